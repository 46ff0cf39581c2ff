//! The weights of a GGUF file, with Hugging Face's names, layout and values.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::GgufFile;
use super::dequantise;
use super::header::Stored;
use super::names::{Layout, translate};
use super::rotary::BUFFERS;
use crate::error::{Diagnostic, Kind, Result};
use crate::model::config::Config;
use crate::model::weights::files::{Mapped, RequestedTensors, WeightFiles, kept, missing};
use crate::model::weights::{Stored as Size, TensorSource};

/// The weights of a GGUF file, dequantised as they are read.
///
/// Names and shapes are those of the family in Hugging Face layout. llama.cpp's changes are undone: the pairing of rows
/// for its rotation, the 1 added to Gemma's norms, GPT-2's and GPT-NeoX's layouts.
pub struct GgufCheckpoint {
    file: GgufFile,
    config: Config,
    /// Tensors requested so far, by their GGUF names.
    asked: RequestedTensors,
    /// Tensors requested so far, by their Hugging Face names.
    wanted: RequestedTensors,
    dtype: DType,
    device: Device,
}

impl GgufCheckpoint {
    /// The weights of `file`, the model described by `config`; tensors are returned in `dtype` on `device`.
    pub fn new(file: GgufFile, config: &Config, dtype: DType, device: &Device) -> Self {
        Self {
            file,
            config: config.clone(),
            asked: RequestedTensors::default(),
            wanted: RequestedTensors::default(),
            dtype,
            device: device.clone(),
        }
    }

    /// A tensor, or some of its rows; `dtype` maps the stored dtype to that of the result.
    fn read(
        &self,
        name: &str,
        shape: &[usize],
        rows: Option<(usize, usize)>,
        dtype: impl Fn(DType) -> DType,
    ) -> Result<Tensor> {
        let Some((stored_name, layout)) = translate(&self.config, name) else {
            return Err(missing(name, shape, self.file.place(name), self.file.tensors().keys()));
        };
        let mut stored_shape = shape.to_vec();
        if layout == Layout::Linear {
            stored_shape.reverse();
        }
        let Some((file, stored)) = self.file.tensor(&stored_name) else {
            let place = self.file.place(&stored_name);
            return Err(missing(&stored_name, &stored_shape, place, self.file.tensors().keys()));
        };
        self.asked.note(&stored_name);
        self.wanted.note(name);
        if stored.shape != stored_shape {
            return Err(Diagnostic::new(Kind::Weights, "a tensor is not what the metadata promises")
                .at(self.file.place(&stored_name))
                .expected(format!("shape {stored_shape:?}"))
                .found(format!("shape {:?}", stored.shape))
                .remedy("fetch the file again, or convert the model again")
                .into());
        }
        // Quantised blocks lie within rows, so single rows can be read directly if the layout keeps rows in place.
        let direct = rows.filter(|_| layout == Layout::Same);
        let to = dtype(dequantise::plain(stored.dtype).unwrap_or(DType::F32));
        let to = if layout == Layout::PlusOne { DType::F32 } else { to };
        let tensor = undo(&part(file, stored, direct, to)?, layout)?;
        let tensor = match rows {
            Some((start, len)) if direct.is_none() => tensor.narrow(0, start, len)?,
            _ => tensor,
        };
        let wanted = dtype(dequantise::plain(stored.dtype).unwrap_or(DType::F32));
        Ok(tensor.to_dtype(wanted)?.to_device(&self.device)?)
    }
}

/// A stored tensor, or some of its rows, in `dtype` on the CPU.
fn part(file: &Mapped, stored: &Stored, rows: Option<(usize, usize)>, dtype: DType) -> Result<Tensor> {
    let (mut range, mut shape) = (stored.bytes.clone(), stored.shape.clone());
    if let Some((first, len)) = rows {
        let row = (range.end - range.start) / shape[0];
        range = range.start + first * row..range.start + (first + len) * row;
        shape[0] = len;
    }
    file.read(range, |bytes| dequantise::tensor(bytes, stored.dtype, &shape, dtype))
}

/// Converts a tensor to its Hugging Face layout.
fn undo(tensor: &Tensor, layout: Layout) -> Result<Tensor> {
    let (rows, tail) = (tensor.dims()[0], &tensor.dims()[1..]);
    // Views the rows as an array with three axes and swaps two of them.
    let swapped = |axes: [usize; 3], a: usize, b: usize| -> Result<Tensor> {
        let split = tensor.reshape([&axes[..], tail].concat())?;
        Ok(split.transpose(a, b)?.contiguous()?.reshape(tensor.dims())?)
    };
    match layout {
        Layout::Same => Ok(tensor.clone()),
        // In f32, as in transformers.
        Layout::PlusOne => Ok((tensor - 1.0)?),
        Layout::Linear => Ok(tensor.t()?.contiguous()?),
        Layout::Paired { heads } => swapped([heads, rows / heads / 2, 2], 1, 2),
        Layout::Grouped { heads } => swapped([3, heads, rows / heads / 3], 0, 1),
    }
}

impl WeightFiles for GgufCheckpoint {
    fn paths(&self) -> Vec<&Path> {
        self.file.paths().collect()
    }

    fn parameters(&self) -> usize {
        let count = |(_, stored): &(usize, Stored)| stored.shape.iter().product::<usize>();
        self.file
            .tensors()
            .iter()
            .filter(|(name, _)| !BUFFERS.contains(&name.as_str()))
            .map(|(_, t)| count(t))
            .sum()
    }

    fn unused(&self) -> Vec<String> {
        let used = |name: &str| self.asked.contains(name) || BUFFERS.contains(&name);
        let unused: BTreeSet<_> = self.file.tensors().keys().filter(|name| !used(name)).cloned().collect();
        unused.into_iter().collect()
    }

    /// llama.cpp's converter writes only what the model computes with, so a tensor unknown to this family (a bias, a
    /// norm, experts) changes the numbers.
    fn may_be_left_out(&self) -> Result<()> {
        let unused = self.unused();
        // Classification heads do not affect the residual stream.
        let Some(first) = unused.iter().find(|name| !name.starts_with("cls")) else { return Ok(()) };
        Err(Diagnostic::new(Kind::Unsupported, "a tensor that is not implemented for this architecture")
            .at(self.file.place(first))
            .expected(format!("the tensors of {}", self.config.family.model_type()))
            .found(format!("{} tensors that it does not have: {}", unused.len(), unused.join(", ")))
            .remedy("use another model; a forward that ignored them would give wrong residual streams")
            .into())
    }
}

impl TensorSource for GgufCheckpoint {
    fn contains(&self, name: &str) -> bool {
        translate(&self.config, name).is_some_and(|(name, _)| self.file.tensor(&name).is_some())
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.read(name, shape, None, |_| self.dtype)
    }

    fn matrix(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.read(name, shape, None, |stored| kept(stored, self.dtype, &self.device))
    }

    fn rows(&self, name: &str, shape: &[usize], start: usize, len: usize) -> Result<Tensor> {
        self.read(name, shape, Some((start, len)), |stored| kept(stored, self.dtype, &self.device))
    }

    fn stored(&self) -> BTreeMap<String, Size> {
        let of = |name: String| {
            let (_, stored) = self.file.tensor(&translate(&self.config, &name)?.0)?;
            let bits = 8 * (stored.bytes.end - stored.bytes.start) as u64;
            Some((name, Size { parameters: stored.shape.iter().product(), bits }))
        };
        self.wanted.names().into_iter().filter_map(of).collect()
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn device(&self) -> &Device {
        &self.device
    }
}
