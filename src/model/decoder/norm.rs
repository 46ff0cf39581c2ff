//! RMS and layer norms, accumulated in f32 or better.

use candle_core::{D, DType, Tensor};

use crate::error::Result;
use crate::model::config::NormKind;
use crate::model::weights::TensorSource;

/// A norm over the last dimension, of width n.
///
/// RMS: y = x / √(mean(x²) + ε) · w. Layer: y = (x − mean(x)) / √(var(x) + ε) · w + b, with the variance divided by n.
/// Gemma's 1 + w is computed when the weights are read.
#[derive(Debug, Clone)]
pub struct Norm {
    centred: bool,
    pub(super) weight: Tensor,
    pub(super) bias: Option<Tensor>,
    pub(super) eps: f64,
}

impl Norm {
    /// Reads `{prefix}.weight` (and `.bias` for a layer norm) of width `width`.
    ///
    /// # Errors
    /// If the checkpoint lacks them or has another shape.
    pub fn load(
        source: &dyn TensorSource,
        prefix: &str,
        width: usize,
        kind: NormKind,
        eps: f64,
    ) -> Result<Self> {
        // In f32 or wider whatever the computation's dtype: 1 + w would lose most of a small w's bits.
        let wide = if source.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let weight = source.tensor(&format!("{prefix}.weight"), &[width])?.to_dtype(wide)?;
        let weight = if kind == NormKind::RmsPlusOne { (weight + 1.0)? } else { weight };
        let centred = kind == NormKind::Layer;
        let bias = if centred { Some(source.tensor(&format!("{prefix}.bias"), &[width])?) } else { None };
        Ok(Self { centred, weight, bias, eps })
    }

    /// `x [.., n] → [.., n]` in `dtype`; `at_once` selects one fused operation, which has no gradient.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub(super) fn apply(&self, x: &Tensor, dtype: DType, at_once: bool) -> Result<Tensor> {
        if !at_once || x.dtype() == DType::F64 {
            return Ok(self.forward(x)?.to_dtype(dtype)?);
        }
        let x = x.to_dtype(DType::F32)?.contiguous()?;
        let weight = self.weight.to_dtype(DType::F32)?;
        let eps = self.eps as f32;
        let y = match (&self.bias, self.centred) {
            (Some(bias), true) => candle_nn::ops::layer_norm(&x, &weight, &bias.to_dtype(DType::F32)?, eps)?,
            _ => candle_nn::ops::rms_norm(&x, &weight, eps)?,
        };
        Ok(y.to_dtype(dtype)?)
    }

    /// `x [.., n] → [.., n]`, in x's dtype.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let dtype = x.dtype();
        let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let mut x = x.to_dtype(wide)?;
        if self.centred {
            x = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        }
        let mean_square = x.sqr()?.mean_keepdim(D::Minus1)?;
        let x = x.broadcast_div(&(mean_square + self.eps)?.sqrt()?)?;
        let y = x.broadcast_mul(&self.weight.to_dtype(wide)?)?;
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(&bias.to_dtype(wide)?)?,
            None => y,
        };
        Ok(y.to_dtype(dtype)?)
    }
}
