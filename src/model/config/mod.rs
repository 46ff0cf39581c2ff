//! The validated config: every setting of a decoder that affects its numbers, for any family.

mod family;
mod raw;
pub mod rope;
mod shared;

use std::path::Path;

pub use family::{FAMILIES, Family};
pub use rope::{Rope, RopeTable};

use crate::error::Result;
use raw::Raw;

/// How a norm scales its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// x / rms(x) · w.
    Rms,
    /// x / rms(x) · (1 + w), as Gemma stores it.
    RmsPlusOne,
    /// (x − mean) / sd · w + b.
    Layer,
}

/// Position of the norms in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormPlacement {
    /// x + f(norm(x)).
    Pre,
    /// x + norm(f(x)), as in OLMo 2.
    Post,
    /// x + norm(f(norm(x))), as in Gemma 2 and 3.
    Sandwich,
}

/// How attention and MLP are added to the residual stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residual {
    /// x ← x + attention, then x ← x + MLP.
    Sequential,
    /// x ← x + attention(norm₁ x) + MLP(norm₂ x).
    Parallel,
}

/// Norms applied to queries and keys before the rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QkNorm {
    /// No norm.
    None,
    /// One norm of width `head_dim`, applied to each head.
    PerHead,
    /// One norm over all heads together, as in OLMo 2.
    Whole,
}

/// Activation of the MLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x · σ(x).
    Silu,
    /// x · Φ(x), with the exact error function.
    Gelu,
    /// The tanh approximation of GELU.
    GeluTanh,
    /// max(0, x).
    Relu,
}

/// The MLP of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mlp {
    /// down(act(gate x) ⊙ up x).
    Gated(Activation),
    /// down(act(up x)).
    Plain(Activation),
}

/// Projections that have a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Biases {
    /// Query, key and value projections.
    pub qkv: bool,
    /// Attention output projection.
    pub attention_out: bool,
    /// MLP projections.
    pub mlp: bool,
}

/// Settings that differ between blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockConfig {
    /// A token attends to itself and the `window − 1` tokens before it; `None`: to all tokens before it.
    pub window: Option<usize>,
    /// Index into [`Config::ropes`]; `None` for a block without rotary positions.
    pub rope: Option<usize>,
}

/// A validated decoder config: created only by [`Config::from_json`], so every setting in it is implemented.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Model family, which determines the weights' names and layouts.
    pub family: Family,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Number of token ids.
    pub vocab_size: usize,
    /// Maximum sequence length, in tokens.
    pub context: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Settings per block, one entry each.
    pub blocks: Vec<BlockConfig>,
    /// The distinct rotary embeddings of this model.
    pub ropes: Vec<Rope>,
    /// Number of learned position embeddings; `None` if positions are not learned.
    pub learned_positions: Option<usize>,
    /// Kind of every norm.
    pub norm: NormKind,
    /// ε inside the norms.
    pub norm_eps: f64,
    /// Position of the norms in a block.
    pub placement: NormPlacement,
    /// How attention and MLP are added to the residual stream: sequential or parallel.
    pub residual: Residual,
    /// Norms on queries and keys.
    pub qk_norm: QkNorm,
    /// Projections that have a bias.
    pub biases: Biases,
    /// The MLP.
    pub mlp: Mlp,
    /// Factor on q·k, the same for every block (GPT-2's inverse-layer scaling is separate: `inverse_layer_scale`).
    pub attention_scale: f64,
    /// Whether block i's scores are also divided by i + 1 (GPT-2's `scale_attn_by_inverse_layer_idx`).
    pub inverse_layer_scale: bool,
    /// Soft cap c on attention scores: c · tanh(score / c).
    pub attention_softcap: Option<f64>,
    /// Soft cap c on logits: c · tanh(logit / c).
    pub logit_softcap: Option<f64>,
    /// Factor on the embeddings.
    pub embedding_multiplier: f64,
    /// Factor on each block's update of the residual stream.
    pub residual_multiplier: f64,
    /// Factor on the logits.
    pub logit_multiplier: f64,
    /// Whether the output head is the embedding matrix.
    pub tied: bool,
    /// Id of the beginning-of-sequence token, if the config has one.
    pub bos: Option<u32>,
}

impl Config {
    /// Parses and validates a `config.json`. `path` only names the file in errors.
    ///
    /// # Errors
    /// [`Kind::Unsupported`](crate::error::Kind::Unsupported) for a family, or a setting of one, that is not
    /// implemented; `Malformed`, `Missing` or `Invalid` for an inconsistent config.
    pub fn from_json(text: &str, path: &Path) -> Result<Self> {
        let raw = Raw::parse(text, path)?;
        let config = family::config(&raw)?;
        config.check(&raw)?;
        Ok(config)
    }

    /// Number of blocks, L; the residual stream has layers 0 to L.
    pub fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Index of the model's rotary table for a sequence of `len` tokens. Sequences of different regimes encode
    /// positions differently in the same tokens, so they must not share a prefix (`longrope`: its long factors apply
    /// from the first token of a long sequence).
    pub fn rope_regime(&self, len: usize) -> usize {
        self.ropes.iter().map(|r| r.regime(len)).max().unwrap_or(0)
    }

    fn check(&self, raw: &Raw) -> Result<()> {
        let positive = [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("vocab_size", self.vocab_size),
            ("num_attention_heads", self.heads),
            ("num_key_value_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.context),
            ("num_hidden_layers", self.blocks.len()),
        ];
        // A hostile config must not make the program reserve terabytes before the weights are read.
        const MOST: usize = 1 << 28;
        for (key, value) in positive {
            if value == 0 || value > MOST {
                return Err(raw.invalid(key, format!("a number from 1 to {MOST}"), value.to_string()));
            }
        }
        if self.blocks.len() > 4096 {
            return Err(raw.invalid(
                "num_hidden_layers",
                "at most 4096".into(),
                self.blocks.len().to_string(),
            ));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(raw.invalid(
                "num_key_value_heads",
                format!("a divisor of num_attention_heads = {}", self.heads),
                self.kv_heads.to_string(),
            ));
        }
        if !(self.norm_eps.is_finite() && self.norm_eps >= 0.0) {
            let key = match self.family {
                Family::Gpt2 => "layer_norm_epsilon",
                Family::GptNeox => "layer_norm_eps",
                _ => "rms_norm_eps",
            };
            return Err(raw.invalid(key, "a small positive number".into(), self.norm_eps.to_string()));
        }
        for rope in &self.ropes {
            if rope.dim == 0 || !rope.dim.is_multiple_of(2) || rope.dim > self.head_dim {
                return Err(raw.invalid(
                    "rotary dimension",
                    format!("an even number from 2 to head_dim = {}", self.head_dim),
                    rope.dim.to_string(),
                ));
            }
            let good = |f: &f64| f.is_finite() && *f > 0.0;
            if !rope.tables.iter().all(|t| t.inv_freq.iter().all(good) && good(&t.attention_factor)) {
                return Err(raw.invalid(
                    "rope_scaling",
                    "settings that give finite, positive frequencies".into(),
                    "others".into(),
                ));
            }
        }
        let finite = [
            self.attention_scale,
            self.embedding_multiplier,
            self.residual_multiplier,
            self.logit_multiplier,
        ];
        if finite.iter().any(|v| !v.is_finite() || *v == 0.0) {
            return Err(raw.invalid(
                "multipliers",
                "finite numbers other than 0".into(),
                format!("{finite:?}"),
            ));
        }
        Ok(())
    }
}
