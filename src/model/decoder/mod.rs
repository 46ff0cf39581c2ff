//! The decoder of all families, driven by the validated config, with hooks on the residual stream.

mod attention;
mod block;
mod cache;
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

pub use cache::Cache;
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

/// Observes, and may change, the residual stream between blocks.
pub trait Hook {
    /// Called with layer 0 (the input of block 1), then with the output of each block; the next block reads the
    /// returned tensor.
    ///
    /// # Errors
    /// An error aborts the forward pass.
    fn residual(&mut self, layer: Layer, x: Tensor) -> Result<Tensor>;

    /// Whether the hook needs this layer; unneeded layers are not copied out.
    fn wants(&self, _: Layer) -> bool {
        true
    }
}

/// A hook that observes and changes nothing.
pub struct NoHook;

impl Hook for NoHook {
    fn residual(&mut self, _: Layer, x: Tensor) -> Result<Tensor> {
        Ok(x)
    }

    fn wants(&self, _: Layer) -> bool {
        false
    }
}

/// How the forward pass is computed; results agree to rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// Fused kernels on the CPU, batched operations on a GPU.
    #[default]
    Auto,
    /// Tensor operations over many segments at once, without gradients. The residual stream is kept in f32 whatever the
    /// dtype of the products.
    Batched,
    /// Differentiable candle operations: the reference, used in training.
    Plain,
}

/// Where the blocks are kept.
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

/// A block, held in memory or read for this use.
pub struct BlockRef<'a>(BlockSource<'a>);

enum BlockSource<'a> {
    Here(&'a Block),
    Read(Box<Block>),
}

impl BlockRef<'_> {
    /// Bytes of the block's matrices.
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

/// Unties the head in the config if the config ties it to the embeddings but the checkpoint has a different head:
/// transformers uses that head, older versions of it did not.
fn with_own_head(mut config: Config, source: &dyn TensorSource, names: &Names) -> Result<Config> {
    /// Number of rows compared at a time.
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
/// On the CPU, weights stored in bf16 or f16 keep that width and are widened on use; a computation in bf16 rounds
/// weights and the products' inputs to bf16 and keeps the residual stream, norms, attention and sums in f32.
#[derive(Debug, Clone)]
pub struct Decoder {
    config: Config,
    embedding: Vocabulary,
    learned_positions: Option<Tensor>,
    blocks: Blocks,
    final_norm: Norm,
    /// `None` if the embeddings serve as the head.
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
        // The largest matrix first: while it is packed, it is in memory twice.
        let vocabulary = |name: &str| Vocabulary::load(source, name, config.vocab_size, config.hidden_size);
        let (embedding, head) =
            (vocabulary(&names.embedding)?, if config.tied { None } else { Some(vocabulary(&names.head)?) });
        let blocks = (0..config.num_blocks())
            .map(|i| Block::load(source, &names.block(&config, i), &config, i))
            .collect::<Result<Vec<_>>>()?;
        Self::assemble(config, source, &names, embedding, head, Blocks::Resident(blocks))
    }

    /// Checks all weights of a source, block by block, without keeping them: blocks and vocabulary are read on each
    /// use, so that no more than one block is in memory.
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

    /// The validated config.
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

    /// Whether weights are read on use instead of kept in memory.
    pub fn streams(&self) -> bool {
        matches!(self.blocks, Blocks::Streamed { .. })
    }

    /// Bytes of the matrices held in memory.
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
    /// Errors of reading the block, if it is not in memory.
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

    /// The last layer's residual stream of a forest's fresh tokens, `[fresh, hidden]`. The cache holds keys and values of
    /// the forest's other tokens, and of all of them afterwards; results are those of the whole forest at once.
    ///
    /// # Errors
    /// As [`Decoder::residual_stream`]; `Invalid` for a cache of other tokens.
    pub fn advance(&self, packing: &Packing, cache: &mut Cache) -> Result<Tensor> {
        let mut workspace = Workspace::default();
        let mut passage = Passage::resume(self, packing, cache)?;
        for i in 0..self.config.num_blocks() {
            passage.step(&self.block(i)?, &mut workspace)?;
        }
        passage.residual()
    }

    /// The residual stream of T packed tokens after block `last`, `[T, hidden]`; `tap` is called at every layer on the
    /// way. Blocks after `last` are not run.
    ///
    /// # Errors
    /// `Invalid` for a token id outside the vocabulary; `TooLong` for more tokens than learned positions, or for texts
    /// of different rotary regimes; errors of the tap and of the tensor library.
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

    /// Logits of rows of the last layer's residual stream: `[n, hidden] → [n, vocab]`. Under the fused engine a row's
    /// logits do not depend on the other rows, to the bit.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn logits(&self, x: &Tensor) -> Result<Tensor> {
        if self.fused() {
            return fused::logits(self, x);
        }
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        head.with_rows(0, self.config.vocab_size, |weight, _| {
            self.logits_by(&Linear::new(weight.tensor(self.head_dtype(x))?, None), x)
        })
    }

    /// dtype in which the head is multiplied with rows of the residual stream: f32, or f64 if the model is computed in
    /// f64. A logit of 16 in bf16 is a multiple of 1/8, and a judge's log-odds may vary by less than that.
    fn head_dtype(&self, x: &Tensor) -> DType {
        if self.dtype == DType::F64 || x.dtype() == DType::F64 { DType::F64 } else { DType::F32 }
    }

    fn logits_by(&self, head: &Linear, x: &Tensor) -> Result<Tensor> {
        let x = self.final_norm.apply(x, self.head_dtype(x), self.batched())?;
        self.shaped(head.forward(&x)?)
    }

    /// Turns products with the head into logits: applies the multiplier, and the soft cap if the model has one.
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

    /// The input of block 1, in `dtype`.
    fn embed(&self, packing: &Packing, dtype: DType) -> Result<Tensor> {
        let fresh = packing.fresh();
        let mut x = self.embedding.gather(&packing.tokens()[fresh.clone()], dtype)?;
        if self.config.embedding_multiplier != 1.0 {
            x = (x * self.config.embedding_multiplier)?;
        }
        if let Some(table) = &self.learned_positions {
            let positions = Tensor::new(&packing.positions()[fresh], &self.device)?;
            x = (x + table.index_select(&positions, 0)?.to_dtype(dtype)?)?;
        }
        Ok(x)
    }

    fn check(&self, packing: &Packing) -> Result<()> {
        let vocab = self.config.vocab_size;
        if let Some(id) = packing.tokens()[packing.fresh()].iter().find(|&&id| id as usize >= vocab) {
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
