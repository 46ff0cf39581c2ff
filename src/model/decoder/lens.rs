//! The logit lens: applies the unembedding to the residual stream of any layer.

use candle_core::{DType, Tensor};

use super::Decoder;
use crate::error::Result;

impl Decoder {
    /// Log-odds of the first token over the second, in nats, computed by the final norm and the head from each row of
    /// `rows` (n · hidden values, of any layer): log P(first) − log P(second). At the last layer these are the model's
    /// own.
    ///
    /// The normaliser of the softmax is the same for both tokens, so two rows of the head suffice. Computed in f32
    /// whatever the model's dtype.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn lens(&self, rows: &[f32], tokens: [u32; 2]) -> Result<Vec<f64>> {
        let hidden = self.config.hidden_size;
        let x = Tensor::from_slice(rows, (rows.len() / hidden, hidden), &self.device)?;
        let x = self.final_norm.apply(&x, DType::F32, self.batched())?;
        let head = self.head.as_ref().unwrap_or(&self.embedding).gather(&tokens, DType::F32)?;
        let logits = self.shaped(x.matmul(&head.t()?)?)?;
        let logits = logits.to_dtype(DType::F64)?.to_vec2::<f64>()?;
        Ok(logits.into_iter().map(|row| row[0] - row[1]).collect())
    }
}
