//! Log-probabilities of chosen tokens, without a [tokens, vocab] matrix.

use candle_core::{D, DType, Tensor};
use candle_nn::Linear;

use super::{Decoder, fused};
use crate::error::Result;

/// A token whose probability is wanted, and the row of the residual stream after which it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Row of the token before it.
    pub previous: usize,
    /// Its id.
    pub token: u32,
}

/// Bytes that one slice of logits may take.
const SLICE_BYTES: usize = 64 << 20;

impl Decoder {
    /// log P(token | all before it), natural log, one for each target; `x [n, hidden]` is the last
    /// layer's residual stream, or those rows of it that targets name. Logits are formed for a bounded number of targets at a time.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn log_probs(&self, x: &Tensor, targets: &[Target]) -> Result<Vec<f64>> {
        self.log_probs_of_groups(x, targets, &[x.dim(0)?])
    }

    /// The same for rows of several forests, one after the other: `ends` says before which row each ends.
    /// The numbers are those of each forest on its own to the last bit, and the vocabulary is read once.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn log_probs_of_groups(&self, x: &Tensor, targets: &[Target], ends: &[usize]) -> Result<Vec<f64>> {
        if self.fused() {
            return fused::log_probs(self, x, targets, ends);
        }
        let rows = (SLICE_BYTES / (4 * self.config.vocab_size)).max(1);
        let mut out = Vec::with_capacity(targets.len());
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        head.with_rows(0, self.config.vocab_size, |weight, _| {
            let head = Linear::new(weight.tensor(x.dtype())?, None);
            for slice in targets.chunks(rows) {
                let previous: Vec<u32> = slice.iter().map(|t| t.previous as u32).collect();
                let tokens: Vec<u32> = slice.iter().map(|t| t.token).collect();
                let hidden = x.index_select(&Tensor::new(previous, x.device())?, 0)?;
                let logits = self.logits_by(&head, &hidden)?;
                let wide = if logits.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
                let logits = logits.to_dtype(wide)?;
                let chosen = logits.gather(&Tensor::new(tokens, x.device())?.unsqueeze(1)?, 1)?.squeeze(1)?;
                let log_probs = (chosen - logits.log_sum_exp(D::Minus1)?)?;
                out.extend(log_probs.to_dtype(DType::F64)?.to_vec1::<f64>()?);
            }
            Ok(())
        })?;
        Ok(out)
    }
}
