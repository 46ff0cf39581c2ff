//! The one decoder: any family, driven by its checked config, with a tap on the residual stream.

mod attention;
mod block;
mod fused;
mod logprob;
mod mlp;
mod norm;
mod rotary;

use candle_core::{DType, Device, Tensor};
use candle_nn::{Linear, Module};

pub use logprob::Target;

use super::config::Config;
use super::packing::Packing;
use super::weights::{Names, TensorSource};
use crate::error::{Kind, Refusal, Result};
use crate::units::Layer;
use block::Block;
use norm::Norm;
use rotary::Rotary;

/// Sees, and may change, the residual stream between blocks.
pub trait Tap {
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
pub struct NoTap;

impl Tap for NoTap {
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
    /// Fused kernels where they serve (f32 on the CPU), plain operations elsewhere.
    #[default]
    Auto,
    /// Differentiable candle operations: the reference, and what training runs.
    Plain,
}

/// A decoder with its weights.
#[derive(Debug, Clone)]
pub struct Decoder {
    config: Config,
    embedding: Tensor,
    learned_positions: Option<Tensor>,
    blocks: Vec<Block>,
    final_norm: Norm,
    head: Linear,
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
        let (hidden, vocab) = (config.hidden_size, config.vocab_size);
        let embedding = source.tensor(&names.embedding, &[vocab, hidden])?;
        let learned_positions = match config.learned_positions {
            Some(n) => Some(source.tensor(&names.positions, &[n, hidden])?),
            None => None,
        };
        let blocks = (0..config.num_blocks())
            .map(|i| Block::load(source, &names.block(&config, i), &config, i))
            .collect::<Result<Vec<_>>>()?;
        let final_norm = Norm::load(source, &names.final_norm, hidden, config.norm, config.norm_eps)?;
        let head = if config.tied {
            Linear::new(embedding.clone(), None)
        } else {
            Linear::new(source.tensor(&names.head, &[vocab, hidden])?, None)
        };
        let (dtype, device) = (source.dtype(), source.device().clone());
        Ok(Self {
            config,
            embedding,
            learned_positions,
            blocks,
            final_norm,
            head,
            dtype,
            device,
            engine: Engine::Auto,
        })
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

    /// The residual stream of T packed tokens after block `last`, `[T, hidden]`; `tap` sees every layer
    /// on the way. Blocks after `last` are not run.
    ///
    /// # Errors
    /// `Invalid` for a token id outside the vocabulary, `TooLong` past the model's learned positions or
    /// rotary regime mixture; what the tap returns; tensor trouble.
    pub fn residual_stream(&self, packing: &Packing, last: Layer, tap: &mut dyn Tap) -> Result<Tensor> {
        self.check(packing)?;
        if self.fused() {
            return fused::residual_stream(self, packing, last, tap);
        }
        let regime = self.config.rope_regime(packing.longest());
        let rotaries = self
            .config
            .ropes
            .iter()
            .map(|rope| Rotary::new(rope, regime, packing.positions(), self.dtype, &self.device))
            .collect::<Result<Vec<_>>>()?;
        let mut x = tap.residual(Layer(0), self.embed(packing)?)?;
        for (i, block) in self.blocks.iter().enumerate().take(last.0) {
            x = tap.residual(Layer(i + 1), block.forward(&x, packing, &rotaries)?)?;
        }
        Ok(x)
    }

    /// Logits of rows of the last layer's residual stream: `[n, hidden] → [n, vocab]`.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn logits(&self, x: &Tensor) -> Result<Tensor> {
        let logits = self.head.forward(&self.final_norm.forward(x)?)?;
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

    fn embed(&self, packing: &Packing) -> Result<Tensor> {
        let ids = Tensor::new(packing.tokens(), &self.device)?;
        let mut x = self.embedding.index_select(&ids, 0)?;
        if self.config.embedding_multiplier != 1.0 {
            x = (x * self.config.embedding_multiplier)?;
        }
        if let Some(table) = &self.learned_positions {
            let positions = Tensor::new(packing.positions(), &self.device)?;
            x = (x + table.index_select(&positions, 0)?)?;
        }
        Ok(x)
    }

    fn check(&self, packing: &Packing) -> Result<()> {
        let vocab = self.config.vocab_size;
        if let Some(id) = packing.tokens().iter().find(|&&id| id as usize >= vocab) {
            return Err(Refusal::new(Kind::Invalid, "a token id outside the model's vocabulary")
                .expected(format!("ids below {vocab}"))
                .found(id.to_string())
                .remedy("use the tokenizer that belongs to the checkpoint")
                .into());
        }
        if let Some(most) = self.config.learned_positions
            && packing.longest() > most
        {
            return Err(Refusal::new(Kind::TooLong, "a sequence longer than the model's learned positions")
                .expected(format!("at most {most} tokens"))
                .found(format!("{} tokens", packing.longest()))
                .into());
        }
        Ok(())
    }
}
