//! Rotary position embeddings of packed tokens.

use candle_core::{D, DType, Device, Tensor};

use crate::error::Result;
use crate::model::config::Rope;

/// Cosines and sines of one rotary embedding at the positions of T packed tokens.
#[derive(Debug, Clone)]
pub struct Rotary {
    /// Cosines, `[T, 1, r/2]`.
    cos: Tensor,
    /// Sines, `[T, 1, r/2]`.
    sin: Tensor,
    width: usize,
}

impl Rotary {
    /// Tables for these positions; `regime` selects among the rope's frequency tables.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn new(rope: &Rope, regime: usize, positions: &[u32], dtype: DType, device: &Device) -> Result<Self> {
        let table = rope.table(regime);
        let half = rope.dim / 2;
        let mut cos = Vec::with_capacity(positions.len() * half);
        let mut sin = Vec::with_capacity(positions.len() * half);
        for &position in positions {
            for frequency in &table.inv_freq {
                let angle = f64::from(position) * frequency;
                cos.push(angle.cos() * table.attention_factor);
                sin.push(angle.sin() * table.attention_factor);
            }
        }
        let shape = (positions.len(), 1, half);
        Ok(Self {
            cos: Tensor::from_vec(cos, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?,
            sin: Tensor::from_vec(sin, shape, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?,
            width: rope.dim,
        })
    }

    /// Like [`Rotary::apply`], in one operation without gradient if the whole head is rotated.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub(super) fn apply_at_once(&self, x: &Tensor) -> Result<Tensor> {
        if self.width != x.dim(D::Minus1)? {
            return self.apply(x);
        }
        let x = x.contiguous()?.unsqueeze(0)?;
        Ok(candle_nn::rotary_emb::rope_thd(&x, &self.cos.squeeze(1)?, &self.sin.squeeze(1)?)?.squeeze(0)?)
    }

    /// Rotates `x [T, heads, head_dim]`: pairs (x_i, x_{i + r/2}) of the first r entries of a head;
    /// entries from r on pass through.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let half = self.width / 2;
        let head_dim = x.dim(D::Minus1)?;
        let low = x.narrow(D::Minus1, 0, half)?;
        let high = x.narrow(D::Minus1, half, half)?;
        let rotated_low = (low.broadcast_mul(&self.cos)? - high.broadcast_mul(&self.sin)?)?;
        let rotated_high = (high.broadcast_mul(&self.cos)? + low.broadcast_mul(&self.sin)?)?;
        if self.width == head_dim {
            return Ok(Tensor::cat(&[&rotated_low, &rotated_high], D::Minus1)?);
        }
        let rest = x.narrow(D::Minus1, self.width, head_dim - self.width)?;
        Ok(Tensor::cat(&[&rotated_low, &rotated_high, &rest], D::Minus1)?)
    }
}
