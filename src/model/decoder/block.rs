//! One block: attention and MLP, added to the residual stream.

use candle_core::{DType, Tensor};

use super::attention::Attention;
use super::cache::Kept;
use super::grouped::Plan;
use super::mlp::Mlp;
use super::norm::Norm;
use super::rotary::Rotary;
use crate::error::Result;
use crate::model::config::{Config, NormPlacement, Residual};
use crate::model::packing::Packing;
use crate::model::weights::{BlockNames, TensorSource};

/// x ← x + m · after(attention(before(x))), and the same with the MLP; norms are placed before, after or on both sides,
/// and both updates may be computed from the same x (parallel residual).
#[derive(Debug, Clone)]
pub struct Block {
    pub(super) before_attention: Option<Norm>,
    pub(super) after_attention: Option<Norm>,
    pub(super) before_mlp: Option<Norm>,
    pub(super) after_mlp: Option<Norm>,
    pub(super) attention: Attention,
    pub(super) mlp: Mlp,
    pub(super) parallel: bool,
    pub(super) multiplier: f64,
    pub(super) rope: Option<usize>,
}

/// Settings for computing many segments of a block together.
pub(super) struct Batched<'a> {
    pub(super) plan: &'a Plan,
    /// dtype of the products; the residual stream is kept in a wider one.
    pub(super) dtype: DType,
}

impl Block {
    /// Reads block `index`, counted from 0.
    ///
    /// # Errors
    /// If the checkpoint lacks a tensor or has another shape.
    pub fn load(
        source: &dyn TensorSource,
        names: &BlockNames,
        config: &Config,
        index: usize,
    ) -> Result<Self> {
        let norm = |prefix: &str, wanted: bool| -> Result<Option<Norm>> {
            wanted
                .then(|| Norm::load(source, prefix, config.hidden_size, config.norm, config.norm_eps))
                .transpose()
        };
        let before = config.placement != NormPlacement::Post;
        let after = config.placement != NormPlacement::Pre;
        Ok(Self {
            before_attention: norm(&names.before_attention, before)?,
            after_attention: norm(&names.after_attention, after)?,
            before_mlp: norm(&names.before_mlp, before)?,
            after_mlp: norm(&names.after_mlp, after)?,
            attention: Attention::load(source, names, config, index)?,
            mlp: Mlp::load(source, names, config)?,
            parallel: config.residual == Residual::Parallel,
            multiplier: config.residual_multiplier,
            rope: config.blocks[index].rope,
        })
    }

    /// `x [T, hidden] → [T, hidden]`: the residual stream after this block, in x's dtype, of the packing's fresh tokens;
    /// `kept` holds keys and values of the others.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        packing: &Packing,
        rotaries: &[Rotary],
        batched: Option<&Batched<'_>>,
        kept: Option<&mut Kept>,
    ) -> Result<Tensor> {
        let rotary = self.rope.map(|r| &rotaries[r]);
        let (wide, at_once) = (x.dtype(), batched.is_some());
        let narrow = batched.map_or(wide, |b| b.dtype);
        let normed = |norm: &Option<Norm>, x: &Tensor, dtype: DType| -> Result<Tensor> {
            match norm {
                Some(norm) => norm.apply(x, dtype, at_once),
                None => Ok(x.to_dtype(dtype)?),
            }
        };
        let input = normed(&self.before_attention, x, narrow)?;
        let attended = self.attention.forward(&input, packing, rotary, batched.map(|b| b.plan), kept)?;
        let attended = self.scaled(normed(&self.after_attention, &attended, wide)?)?;
        let middle = (x + attended)?;
        let mlp_input = if self.parallel { x } else { &middle };
        let mixed = self.mlp.forward(&normed(&self.before_mlp, mlp_input, narrow)?)?;
        let mixed = self.scaled(normed(&self.after_mlp, &mixed, wide)?)?;
        Ok((middle + mixed)?)
    }

    /// Bytes of the block's matrices.
    pub(super) fn bytes(&self) -> usize {
        [&self.attention.qkv, &self.attention.out, &self.mlp.up, &self.mlp.down]
            .map(super::dense::Dense::bytes)
            .iter()
            .sum()
    }

    fn scaled(&self, x: Tensor) -> Result<Tensor> {
        if self.multiplier == 1.0 { Ok(x) } else { Ok((x * self.multiplier)?) }
    }
}
