//! Weights: sources of tensors, and each family's tensor names.

mod adapter;
mod checkpoint;
pub(in crate::model) mod files;
mod names;
mod rounding;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

pub use adapter::{Adapted, Adapter};
pub use checkpoint::Checkpoint;
#[cfg(feature = "hub")]
pub(crate) use checkpoint::shard_names;
pub use files::WeightFiles;
pub use names::{BlockNames, Names, Projection};
pub use rounding::{Count, Quantization, Rounded};

use crate::error::Result;

/// Size of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Number of entries.
    pub parameters: usize,
    /// Number of bits, including the scales of quantised blocks.
    pub bits: u64,
}

/// Total bits of all tensors divided by their number of parameters; `None` for no parameters.
pub fn bits_per_weight(stored: &BTreeMap<String, Stored>) -> Option<f64> {
    let parameters: usize = stored.values().map(|s| s.parameters).sum();
    let bits: u64 = stored.values().map(|s| s.bits).sum();
    (parameters > 0).then(|| bits as f64 / parameters as f64)
}

/// A source of tensors by name: a checkpoint, or newly initialised parameters.
pub trait TensorSource {
    /// Whether there is a tensor of this name.
    fn contains(&self, name: &str) -> bool;

    /// The tensor, in the computation's dtype and on its device.
    ///
    /// # Errors
    /// [`Kind::Weights`](crate::error::Kind::Weights) if it is missing, has another shape, or has a dtype that cannot
    /// be used in computations.
    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor>;

    /// dtype of what [`TensorSource::tensor`] returns.
    fn dtype(&self) -> DType;

    /// Device of what [`TensorSource::tensor`] returns.
    fn device(&self) -> &Device;

    /// A matrix in the dtype in which it should be kept: the computation's, or the narrower stored one, from which it
    /// is widened on use.
    ///
    /// # Errors
    /// As [`TensorSource::tensor`].
    fn matrix(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.tensor(name, shape)
    }

    /// Rows `[start, start + len)` of a matrix, as [`TensorSource::matrix`] keeps them.
    ///
    /// # Errors
    /// As [`TensorSource::tensor`].
    fn rows(&self, name: &str, shape: &[usize], start: usize, len: usize) -> Result<Tensor> {
        Ok(self.matrix(name, shape)?.narrow(0, start, len)?)
    }

    /// The tensors requested so far, by the names used in the requests, with their stored size; empty if the source
    /// does not store anything.
    fn stored(&self) -> BTreeMap<String, Stored> {
        BTreeMap::new()
    }

    /// A projection `[rows, columns]` with its bias `[rows]` if `bias`, whatever its layout on disk.
    ///
    /// # Errors
    /// As [`TensorSource::tensor`].
    fn projection(
        &self,
        projection: &Projection,
        rows: usize,
        columns: usize,
        bias: bool,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let weight = |prefix: &str, shape: &[usize]| self.matrix(&format!("{prefix}.weight"), shape);
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
                Ok((join(weights)?, bias))
            }
            Projection::Transposed(prefix) => {
                let weight = weight(prefix, &[columns, rows])?.t()?.contiguous()?;
                Ok((weight, bias_of(prefix, rows)?))
            }
            Projection::ByHead { prefix, heads } => {
                let width = rows / (3 * heads);
                let regroup = |t: Tensor, tail: &[usize]| -> Result<Tensor> {
                    let shape = [&[*heads, 3, width], tail].concat();
                    let flat = [&[rows], tail].concat();
                    Ok(t.reshape(shape)?.transpose(0, 1)?.contiguous()?.reshape(flat)?)
                };
                let bias = bias_of(prefix, rows)?.map(|b| regroup(b, &[])).transpose()?;
                Ok((regroup(weight(prefix, &[rows, columns])?, &[columns])?, bias))
            }
        }
    }
}

/// Stacks tensors; parts of different dtypes (a checkpoint may mix them) are converted to f32.
fn join(mut parts: Vec<Tensor>) -> Result<Tensor> {
    if parts.iter().any(|p| p.dtype() != parts[0].dtype()) {
        parts = parts.iter().map(|p| p.to_dtype(DType::F32)).collect::<candle_core::Result<_>>()?;
    }
    match (parts.len(), parts.pop()) {
        (1, Some(only)) => Ok(only),
        (_, last) => {
            parts.extend(last);
            Ok(Tensor::cat(&parts, 0)?)
        }
    }
}
