//! The one decoder: any family, driven by its checked config, with a tap on the residual stream.

mod attention;
mod block;
mod dense;
mod fused;
mod grouped;
mod lens;
mod logprob;
mod mlp;
mod norm;
mod passage;
mod rotary;
mod steering;
mod vocabulary;

use std::fmt;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Linear, Module};

pub use fused::{bf16_instructions, product_rate};
pub(crate) use grouped::ENTRIES as GROUP_ENTRIES;
pub use logprob::Target;
pub use passage::{Passage, Workspace};
pub use steering::{At, Intervention, Steering};
pub use vocabulary::SharedSource;

use super::config::Config;
use super::packing::Packing;
use super::weights::{Names, TensorSource};
use crate::error::{Diagnostic, Kind, Result};
use crate::units::Layer;
use block::Block;
use norm::Norm;
use vocabulary::Vocabulary;

/// Sees, and may change, the residual stream between blocks.
pub trait Hook {
    /// Called with layer 0 (what enters block 1), then with what leaves each block; what it returns
    /// is what the next block reads.
    ///
    /// # Errors
    /// An error ends the forward.
    fn residual(&mut self, layer: Layer, x: Tensor) -> Result<Tensor>;

    /// Whether it has to see this layer; a layer nobody wants need not be copied out.
    fn wants(&self, _: Layer) -> bool {
        true
    }
}

/// Sees nothing, changes nothing.
pub struct NoHook;

impl Hook for NoHook {
    fn residual(&mut self, _: Layer, x: Tensor) -> Result<Tensor> {
        Ok(x)
    }

    fn wants(&self, _: Layer) -> bool {
        false
    }
}

/// How the forward is computed; the numbers agree to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// Fused kernels on the CPU, batched operations on a GPU.
    #[default]
    Auto,
    /// Tensor operations over many segments at once, without gradients. The residual stream is kept in f32 whatever
    /// the dtype of the products.
    Batched,
    /// Differentiable candle operations: the reference, and what training runs.
    Plain,
}

/// Where the blocks are.
#[derive(Clone)]
enum Blocks {
    Resident(Vec<Block>),
    Streamed { source: SharedSource, names: Names, count: usize },
}

impl fmt::Debug for Blocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resident(blocks) => write!(f, "{} blocks in memory", blocks.len()),
            Self::Streamed { count, .. } => write!(f, "{count} blocks, read as they run"),
        }
    }
}

/// A block, in memory or read for this use.
pub struct BlockRef<'a>(BlockSource<'a>);

enum BlockSource<'a> {
    Here(&'a Block),
    Read(Box<Block>),
}

impl BlockRef<'_> {
    /// Bytes of its matrices.
    pub fn bytes(&self) -> usize {
        self.block().bytes()
    }

    fn block(&self) -> &Block {
        match &self.0 {
            BlockSource::Here(block) => block,
            BlockSource::Read(block) => block,
        }
    }
}

/// The config, untied where it ties the head to the embeddings and the checkpoint has another head: transformers reads
/// that one, and older versions of it did not.
fn with_own_head(mut config: Config, source: &dyn TensorSource, names: &Names) -> Result<Config> {
    /// Rows that are compared at a time.
    const ROWS: usize = 4096;
    if !config.tied || !source.contains(&names.head) || !source.contains(&names.embedding) {
        return Ok(config);
    }
    let shape = [config.vocab_size, config.hidden_size];
    for start in (0..config.vocab_size).step_by(ROWS) {
        let len = ROWS.min(config.vocab_size - start);
        let [head, embedding] =
            [&names.head, &names.embedding].map(|name| source.rows(name, &shape, start, len));
        let (head, embedding) = (head?, embedding?);
        let differ = head.ne(&embedding.to_dtype(head.dtype())?)?.to_dtype(DType::F32)?.sum_all()?;
        if differ.to_scalar::<f32>()? > 0.0 {
            tracing::warn!(
                "config.json ties the output head to the embeddings, and the checkpoint has another `{}`: the \
                 checkpoint's is used, as transformers 5 does (version 4 ties them)",
                names.head
            );
            config.tied = false;
            break;
        }
    }
    Ok(config)
}

/// A decoder with its weights.
///
/// On the CPU, weights that are stored in bf16 or f16 stay as narrow as they are and are widened where they
/// are used; a computation in bf16 rounds weights and the products' inputs to bf16 and keeps the residual
/// stream, norms, attention and sums in f32.
#[derive(Debug, Clone)]
pub struct Decoder {
    config: Config,
    embedding: Vocabulary,
    learned_positions: Option<Tensor>,
    blocks: Blocks,
    final_norm: Norm,
    /// `None` where the head is the embeddings.
    head: Option<Vocabulary>,
    dtype: DType,
    device: Device,
    engine: Engine,
}

impl Decoder {
    /// Reads all weights from a source.
    ///
    /// # Errors
    /// [`Kind::Weights`] if the source lacks a tensor or has it in another shape.
    pub fn load(config: Config, source: &dyn TensorSource) -> Result<Self> {
        let names = Names::new(config.family, source);
        let config = with_own_head(config, source, &names)?;
        // The largest matrix first: while it is packed it is in memory twice.
        let vocabulary = |name: &str| Vocabulary::load(source, name, config.vocab_size, config.hidden_size);
        let (embedding, head) =
            (vocabulary(&names.embedding)?, if config.tied { None } else { Some(vocabulary(&names.head)?) });
        let blocks = (0..config.num_blocks())
            .map(|i| Block::load(source, &names.block(&config, i), &config, i))
            .collect::<Result<Vec<_>>>()?;
        Self::assemble(config, source, &names, embedding, head, Blocks::Resident(blocks))
    }

    /// Checks all weights of a source, block by block, and leaves them there: blocks and vocabulary are read
    /// each time they are used, so that no more than one block is in memory.
    ///
    /// # Errors
    /// As [`Decoder::load`].
    pub fn stream(config: Config, source: &SharedSource) -> Result<Self> {
        let names = Names::new(config.family, source.as_ref());
        let config = with_own_head(config, source.as_ref(), &names)?;
        for i in 0..config.num_blocks() {
            Block::load(source.as_ref(), &names.block(&config, i), &config, i)?;
        }
        let vocabulary =
            |name: &str| Vocabulary::stored(source.clone(), name, config.vocab_size, config.hidden_size);
        let (embedding, head) =
            (vocabulary(&names.embedding)?, if config.tied { None } else { Some(vocabulary(&names.head)?) });
        let count = config.num_blocks();
        let blocks = Blocks::Streamed { source: source.clone(), names: names.clone(), count };
        Self::assemble(config, source.as_ref(), &names, embedding, head, blocks)
    }

    fn assemble(
        config: Config,
        source: &dyn TensorSource,
        names: &Names,
        embedding: Vocabulary,
        head: Option<Vocabulary>,
        blocks: Blocks,
    ) -> Result<Self> {
        let learned_positions = match config.learned_positions {
            Some(n) => Some(source.tensor(&names.positions, &[n, config.hidden_size])?),
            None => None,
        };
        let final_norm =
            Norm::load(source, &names.final_norm, config.hidden_size, config.norm, config.norm_eps)?;
        let (dtype, device) = (source.dtype(), source.device().clone());
        let engine = Engine::Auto;
        Ok(Self { config, embedding, learned_positions, blocks, final_norm, head, dtype, device, engine })
    }

    /// The same decoder under another engine.
    #[must_use]
    pub fn with_engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    fn fused(&self) -> bool {
        self.engine == Engine::Auto && fused::serves(self)
    }

    fn batched(&self) -> bool {
        match self.engine {
            Engine::Auto => !self.device.is_cpu(),
            Engine::Batched => true,
            Engine::Plain => false,
        }
    }

    /// dtype of the residual stream under batched operations.
    fn stream_dtype(&self) -> DType {
        if self.dtype == DType::F64 { DType::F64 } else { DType::F32 }
    }

    /// The checked config.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// dtype of the computation.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Device of the computation.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Whether weights are read as they are used instead of kept in memory.
    pub fn streams(&self) -> bool {
        matches!(self.blocks, Blocks::Streamed { .. })
    }

    /// Bytes of the matrices that rest in memory.
    pub fn bytes(&self) -> usize {
        let blocks = match &self.blocks {
            Blocks::Resident(blocks) => blocks.iter().map(Block::bytes).sum(),
            Blocks::Streamed { .. } => 0,
        };
        blocks + self.embedding.bytes() + self.head.as_ref().map_or(0, Vocabulary::bytes)
    }

    /// Block `index`, counted from 0.
    ///
    /// # Errors
    /// What reading it says, where it is not in memory.
    pub fn block(&self, index: usize) -> Result<BlockRef<'_>> {
        Ok(BlockRef(match &self.blocks {
            Blocks::Resident(blocks) => BlockSource::Here(&blocks[index]),
            Blocks::Streamed { source, names, .. } => BlockSource::Read(Box::new(Block::load(
                source.as_ref(),
                &names.block(&self.config, index),
                &self.config,
                index,
            )?)),
        }))
    }

    /// The residual stream of T packed tokens after block `last`, `[T, hidden]`; `tap` sees every layer
    /// on the way. Blocks after `last` are not run.
    ///
    /// # Errors
    /// `Invalid` for a token id outside the vocabulary, `TooLong` past the model's learned positions or
    /// rotary regime mixture; what the tap returns; tensor trouble.
    pub fn residual_stream(&self, packing: &Packing, last: Layer, tap: &mut dyn Hook) -> Result<Tensor> {
        let mut workspace = Workspace::default();
        let mut passage = Passage::begin(self, packing)?;
        passage.tap(tap)?;
        for i in 0..last.0 {
            passage.step(&self.block(i)?, &mut workspace)?;
            passage.tap(tap)?;
        }
        passage.residual()
    }

    /// Logits of rows of the last layer's residual stream: `[n, hidden] → [n, vocab]`.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        head.with_rows(0, self.config.vocab_size, |weight, _| {
            self.logits_by(&Linear::new(weight.tensor(self.head_dtype(x))?, None), x)
        })
    }

    /// dtype in which the head's product with rows of the residual stream is computed: f32, or f64 where the model is
    /// computed in it. A logit of 16 in bf16 is a multiple of 1/8, and a judge's log-odds may vary by less than that.
    fn head_dtype(&self, x: &Tensor) -> DType {
        if self.dtype == DType::F64 || x.dtype() == DType::F64 { DType::F64 } else { DType::F32 }
    }

    fn logits_by(&self, head: &Linear, x: &Tensor) -> Result<Tensor> {
        let x = self.final_norm.apply(x, self.head_dtype(x), self.batched())?;
        self.shaped(head.forward(&x)?)
    }

    /// Products with the head as logits: multiplied, and capped where the model does so.
    fn shaped(&self, logits: Tensor) -> Result<Tensor> {
        let logits = if self.config.logit_multiplier == 1.0 {
            logits
        } else {
            (logits * self.config.logit_multiplier)?
        };
        match self.config.logit_softcap {
            Some(cap) => Ok(((logits / cap)?.tanh()? * cap)?),
            None => Ok(logits),
        }
    }

    /// What enters block 1, in `dtype`.
    fn embed(&self, packing: &Packing, dtype: DType) -> Result<Tensor> {
        let mut x = self.embedding.gather(packing.tokens(), dtype)?;
        if self.config.embedding_multiplier != 1.0 {
            x = (x * self.config.embedding_multiplier)?;
        }
        if let Some(table) = &self.learned_positions {
            let positions = Tensor::new(packing.positions(), &self.device)?;
            x = (x + table.index_select(&positions, 0)?.to_dtype(dtype)?)?;
        }
        Ok(x)
    }

    fn check(&self, packing: &Packing) -> Result<()> {
        let vocab = self.config.vocab_size;
        if let Some(id) = packing.tokens().iter().find(|&&id| id as usize >= vocab) {
            return Err(Diagnostic::new(Kind::Invalid, "a token id outside the model's vocabulary")
                .expected(format!("ids below {vocab}"))
                .found(id.to_string())
                .remedy("use the tokenizer that belongs to the checkpoint")
                .into());
        }
        if let Some(most) = self.config.learned_positions
            && packing.longest() > most
        {
            return Err(Diagnostic::new(
                Kind::TooLong,
                "a sequence longer than the model's learned positions",
            )
            .expected(format!("at most {most} tokens"))
            .found(format!("{} tokens", packing.longest()))
            .into());
        }
        Ok(())
    }
}
