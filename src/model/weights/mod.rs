//! Weights: where tensors come from, and what each family calls them.

mod checkpoint;
mod names;

use candle_core::{DType, Device, Tensor};
use candle_nn::Linear;

pub use checkpoint::Checkpoint;
pub(crate) use checkpoint::shard_names;
pub use names::{BlockNames, Names, Projection};

use crate::error::Result;

/// Something that hands out tensors by name: a checkpoint, or freshly made parameters.
pub trait TensorSource {
    /// Whether there is a tensor of this name.
    fn contains(&self, name: &str) -> bool;

    /// The tensor, in the computation's dtype and on its device.
    ///
    /// # Errors
    /// [`Kind::Weights`](crate::error::Kind::Weights) if there is none, or it has another shape or a
    /// dtype that cannot be computed with.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor>;

    /// dtype of what [`TensorSource::tensor`] returns.
    fn dtype(&self) -> DType;

    /// Device of what [`TensorSource::tensor`] returns.
    fn device(&self) -> &Device;

    /// A projection `[rows, columns]` with its bias `[rows]` if `bias`, whatever its layout on disk.
    ///
    /// # Errors
    /// As [`TensorSource::tensor`].
    fn linear(&self, projection: &Projection, rows: usize, columns: usize, bias: bool) -> Result<Linear> {
        let weight = |prefix: &str, shape: &[usize]| self.tensor(&format!("{prefix}.weight"), shape);
        let bias_of = |prefix: &str, rows: usize| -> Result<Option<Tensor>> {
            bias.then(|| self.tensor(&format!("{prefix}.bias"), &[rows])).transpose()
        };
        match projection {
            Projection::Rows(parts) => {
                let mut weights = Vec::with_capacity(parts.len());
                let mut biases = Vec::with_capacity(parts.len());
                for (prefix, rows) in parts {
                    weights.push(weight(prefix, &[*rows, columns])?);
                    biases.extend(bias_of(prefix, *rows)?);
                }
                let bias = if biases.is_empty() { None } else { Some(join(biases)?) };
                Ok(Linear::new(join(weights)?, bias))
            }
            Projection::Transposed(prefix) => {
                let weight = weight(prefix, &[columns, rows])?.t()?.contiguous()?;
                Ok(Linear::new(weight, bias_of(prefix, rows)?))
            }
            Projection::ByHead { prefix, heads } => {
                let width = rows / (3 * heads);
                let regroup = |t: Tensor, tail: &[usize]| -> Result<Tensor> {
                    let shape = [&[*heads, 3, width], tail].concat();
                    let flat = [&[rows], tail].concat();
                    Ok(t.reshape(shape)?.transpose(0, 1)?.contiguous()?.reshape(flat)?)
                };
                let bias = bias_of(prefix, rows)?.map(|b| regroup(b, &[])).transpose()?;
                Ok(Linear::new(regroup(weight(prefix, &[rows, columns])?, &[columns])?, bias))
            }
        }
    }
}

fn join(mut parts: Vec<Tensor>) -> Result<Tensor> {
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => Ok(only),
        (_, last) => {
            parts.extend(last);
            Ok(Tensor::cat(&parts, 0)?)
        }
    }
}
