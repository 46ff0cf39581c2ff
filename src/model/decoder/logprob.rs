//! Log-probabilities of chosen tokens, without a [tokens, vocab] matrix.

use candle_core::{D, DType, Tensor};
use candle_nn::Linear;

use super::{Decoder, fused};
use crate::error::Result;

/// A token whose probability is computed, and the row of the residual stream before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Row of the preceding token.
    pub previous: usize,
    /// Token id.
    pub token: u32,
}

/// Maximum size in bytes of a slice of the head, and of a slice of logits.
const SLICE_BYTES: usize = 64 << 20;

impl Decoder {
    /// log P(token | all before it), natural log, one per target; `x [n, hidden]` is the last layer's residual stream,
    /// or those of its rows that targets refer to, of one forest or several. Logits are computed for a bounded number
    /// of targets at a time.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn log_probs(&self, x: &Tensor, targets: &[Target]) -> Result<Vec<f64>> {
        if self.fused() {
            return fused::log_probs(self, x, targets);
        }
        self.plain_log_probs(x, targets)
    }

    /// Iterates over slices of the vocabulary, with a running log-sum-exp per target: neither the head nor its logits
    /// are ever materialised whole in the dtype of the computation.
    fn plain_log_probs(&self, x: &Tensor, targets: &[Target]) -> Result<Vec<f64>> {
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        let (vocab, hidden, dtype) = (self.config.vocab_size, self.config.hidden_size, self.head_dtype(x));
        let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let size = dtype.size_in_bytes();
        let tokens = (SLICE_BYTES / (size * hidden)).clamp(1, vocab);
        let rows = (SLICE_BYTES / (size * tokens)).max(1);
        let (mut chosen, mut normalisers) =
            (vec![0.0; targets.len()], vec![f64::NEG_INFINITY; targets.len()]);
        let head = self.head.as_ref().unwrap_or(&self.embedding);
        for start in (0..vocab).step_by(tokens) {
            let len = tokens.min(vocab - start);
            head.with_rows(start, len, |weight, first| {
                let head = Linear::new(weight.rows(start - first, len, dtype)?, None);
                for (slice, at) in targets.chunks(rows).zip((0..).step_by(rows)) {
                    let previous: Vec<u32> = slice.iter().map(|t| t.previous as u32).collect();
                    let hidden = x.index_select(&Tensor::new(previous, x.device())?, 0)?;
                    let logits = self.logits_by(&head, &hidden)?.to_dtype(wide)?;
                    let sums = logits.log_sum_exp(D::Minus1)?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
                    // A single copy from the device for all targets.
                    let column = |t: &Target| (t.token as usize).checked_sub(start).filter(|&c| c < len);
                    let columns: Vec<u32> = slice.iter().map(|t| column(t).unwrap_or(0) as u32).collect();
                    let columns = Tensor::from_vec(columns, (slice.len(), 1), x.device())?;
                    let logits = logits.gather(&columns, 1)?.flatten_all()?;
                    let logits = logits.to_dtype(DType::F64)?.to_vec1::<f64>()?;
                    for (i, (target, sum)) in slice.iter().zip(sums).enumerate() {
                        normalisers[at + i] = log_add(normalisers[at + i], sum);
                        if column(target).is_some() {
                            chosen[at + i] = logits[i];
                        }
                    }
                }
                Ok(())
            })?;
        }
        Ok(chosen.iter().zip(&normalisers).map(|(logit, sum)| logit - sum).collect())
    }
}

/// ln(eᵃ + eᵇ).
fn log_add(a: f64, b: f64) -> f64 {
    let (high, low) = if a > b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}
