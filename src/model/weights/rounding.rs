//! Rounds weights through a GGUF type as they are read, for `--quantize`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use serde::Serialize;

use super::{Projection, Stored, TensorSource};
use crate::error::{Diagnostic, Kind, Place, Result};

/// The types, by GGUF name.
const TYPES: [(&str, GgmlDType); 14] = [
    ("F16", GgmlDType::F16),
    ("BF16", GgmlDType::BF16),
    ("Q4_0", GgmlDType::Q4_0),
    ("Q4_1", GgmlDType::Q4_1),
    ("Q5_0", GgmlDType::Q5_0),
    ("Q5_1", GgmlDType::Q5_1),
    ("Q8_0", GgmlDType::Q8_0),
    ("Q8_1", GgmlDType::Q8_1),
    ("Q2_K", GgmlDType::Q2K),
    ("Q3_K", GgmlDType::Q3K),
    ("Q4_K", GgmlDType::Q4K),
    ("Q5_K", GgmlDType::Q5K),
    ("Q6_K", GgmlDType::Q6K),
    ("Q8_K", GgmlDType::Q8K),
];

/// A GGUF type through which weights are rounded.
///
/// A type stores blocks of 1, 32 or 256 numbers of a row. A matrix whose rows are not a whole number of blocks gets
/// another type, as in llama.cpp: Q4_K becomes Q5_0, Q5_K Q5_1, Q6_K and Q8_K Q8_0; Q2_K and Q3_K become Q4_0
/// (llama.cpp uses IQ4_NL, of the same size). Rows whose length is not a multiple of 32 are rounded to F16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantization(GgmlDType);

impl Quantization {
    /// GGUF name of the type, such as `Q4_K`.
    pub fn name(self) -> &'static str {
        name(self.0)
    }

    /// The type used for a matrix with rows of this length.
    pub fn of_rows(self, columns: usize) -> Self {
        let mut chosen = self.0;
        if !columns.is_multiple_of(chosen.block_size()) {
            chosen = match chosen {
                GgmlDType::Q2K | GgmlDType::Q3K => GgmlDType::Q4_0,
                GgmlDType::Q4K => GgmlDType::Q5_0,
                GgmlDType::Q5K => GgmlDType::Q5_1,
                GgmlDType::Q6K | GgmlDType::Q8K => GgmlDType::Q8_0,
                _ => GgmlDType::F16,
            };
        }
        Self(if columns.is_multiple_of(chosen.block_size()) { chosen } else { GgmlDType::F16 })
    }

    /// Bits needed for `count` numbers, scales included.
    pub fn bits(self, count: usize) -> u64 {
        (count / self.0.block_size() * self.0.type_size() * 8) as u64
    }

    /// Rounds consecutive rows of length `columns` through the type given by [`Quantization::of_rows`].
    ///
    /// # Errors
    /// If the tensor library fails.
    ///
    /// # Panics
    /// If `values` is not a whole number of rows.
    pub fn round(self, values: &mut [f32], columns: usize) -> Result<()> {
        assert!(columns > 0 && values.len().is_multiple_of(columns), "whole rows");
        let kind = self.of_rows(columns).0;
        let rows = (PIECE / columns).max(1);
        values.par_chunks_mut(rows * columns).try_for_each(|piece| {
            let mut blocks = kind.cpu_zeros(piece.len());
            blocks.from_float(piece);
            piece.copy_from_slice(blocks.dequantize(piece.len())?.as_slice::<f32>()?);
            Ok(())
        })
    }
}

/// Numbers rounded by one thread at a time.
const PIECE: usize = 1 << 16;

fn name(kind: GgmlDType) -> &'static str {
    TYPES.iter().find(|(_, t)| *t == kind).map_or("F32", |(name, _)| name)
}

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Quantization {
    type Err = Diagnostic;

    /// Parses a GGUF name, in upper or lower case, with or without underscores.
    fn from_str(text: &str) -> std::result::Result<Self, Diagnostic> {
        let plain = |s: &str| s.replace('_', "").to_ascii_lowercase();
        let wanted = plain(text.trim());
        if let Some((_, kind)) = TYPES.iter().find(|(name, _)| plain(name) == wanted) {
            return Ok(Self(*kind));
        }
        let names = TYPES.map(|(name, _)| name);
        let mut diagnostic =
            Diagnostic::new(Kind::Invalid, format!("no type `{text}` to round weights through"))
                .expected(format!("one of {}", names.join(", ")));
        // A file-level mix, such as Q4_K_M, uses different types for different tensors.
        let mix = names.iter().find(|n| n.ends_with("_K") && wanted.starts_with(&plain(n)));
        if let Some(base) = mix {
            diagnostic = diagnostic.remedy(format!(
                "`{text}` names a mix of types; `{base}` rounds every matrix through one, or give such a GGUF \
                 file as the model"
            ));
        }
        Err(diagnostic)
    }
}

/// Number of matrices and entries of one type.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Number of matrices.
    pub matrices: usize,
    /// Number of entries in these matrices.
    pub parameters: usize,
}

/// A source that can be read from during the forward pass.
type Inner = Arc<dyn TensorSource + Send + Sync>;

/// A source whose matrices are rounded through a type on reading, and returned as the rounded numbers in the dtype of
/// the computation.
///
/// All projections of attention and MLP, the token embeddings and the output head are rounded, in blocks along the
/// input dimension whatever the layout on disk. Norms, biases and learned positions are unchanged.
pub struct Rounded {
    inner: Inner,
    through: Quantization,
    dtype: DType,
    device: Device,
    /// Rounded matrices, by name.
    done: Mutex<BTreeMap<String, (Quantization, usize)>>,
}

impl Rounded {
    /// Rounds the tensors of `inner`, which must be in f32 or f64 (or a narrower stored dtype) on the CPU, and returns
    /// them in `dtype` on `device`.
    pub fn new(inner: Inner, through: Quantization, dtype: DType, device: &Device) -> Self {
        Self { inner, through, dtype, device: device.clone(), done: Mutex::default() }
    }

    /// The dtype in which the inner source must return its tensors, for a computation in `dtype`: rounding starts from
    /// the stored numbers, not from those of a narrower computation.
    pub fn inner_dtype(dtype: DType) -> DType {
        if dtype == DType::F64 { DType::F64 } else { DType::F32 }
    }

    /// Number of matrices rounded so far, by type.
    pub fn counts(&self) -> BTreeMap<&'static str, Count> {
        let mut counts: BTreeMap<&'static str, Count> = BTreeMap::new();
        for (kind, parameters) in self.done.lock().unwrap_or_else(PoisonError::into_inner).values() {
            let count = counts.entry(kind.name()).or_default();
            count.matrices += 1;
            count.parameters += parameters;
        }
        counts
    }

    fn note(&self, name: &str, rows: usize, columns: usize) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.insert(name.to_owned(), (self.through.of_rows(columns), rows * columns));
    }

    /// Rounds a matrix `[rows, columns]` along its rows.
    fn round(&self, matrix: &Tensor, name: &str) -> Result<Tensor> {
        let (rows, columns) = matrix.dims2()?;
        let mut values = matrix.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        if columns > 0 {
            finite(&values, columns, name, "the weights must be finite to be rounded")?;
            self.through.round(&mut values, columns)?;
            let what = format!("a weight is too large for {}", self.through.of_rows(columns));
            finite(&values, columns, name, &what)?;
        }
        let rounded = Tensor::from_vec(values, (rows, columns), &Device::Cpu)?;
        Ok(rounded.to_dtype(self.kept(columns))?.to_device(&self.device)?)
    }

    /// The dtype in which a matrix is kept: numbers rounded to F16 or BF16 need no wider one, since the computation
    /// widens them on use.
    fn kept(&self, columns: usize) -> DType {
        match self.through.of_rows(columns).0 {
            GgmlDType::F16 if self.device.is_cpu() && self.dtype == DType::F32 => DType::F16,
            GgmlDType::BF16 if self.device.is_cpu() && self.dtype == DType::F32 => DType::BF16,
            _ => self.dtype,
        }
    }
}

fn finite(values: &[f32], columns: usize, name: &str, what: &str) -> Result<()> {
    match values.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(at) => Err(Diagnostic::new(Kind::Weights, what)
            .at(Place::default().id(name))
            .expected("finite numbers")
            .found(format!("{} in row {}, column {}", values[at], at / columns, at % columns))
            .remedy("use the model without --quantize, or another type")
            .into()),
    }
}

impl TensorSource for Rounded {
    fn contains(&self, name: &str) -> bool {
        self.inner.contains(name)
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        Ok(self.inner.tensor(name, shape)?.to_dtype(self.dtype)?.to_device(&self.device)?)
    }

    fn matrix(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let matrix = self.round(&self.inner.matrix(name, shape)?, name)?;
        self.note(name, shape[0], shape[1]);
        Ok(matrix)
    }

    fn rows(&self, name: &str, shape: &[usize], start: usize, len: usize) -> Result<Tensor> {
        let rows = self.round(&self.inner.rows(name, shape, start, len)?, name)?;
        self.note(name, shape[0], shape[1]);
        Ok(rows)
    }

    fn projection(
        &self,
        projection: &Projection,
        rows: usize,
        columns: usize,
        bias: bool,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let (weight, bias) = self.inner.projection(projection, rows, columns, bias)?;
        let prefixes: Vec<(&str, usize)> = match projection {
            Projection::Rows(parts) => parts.iter().map(|(prefix, rows)| (prefix.as_str(), *rows)).collect(),
            Projection::Transposed(prefix) | Projection::ByHead { prefix, .. } => vec![(prefix, rows)],
        };
        let first = prefixes.first().map_or("", |(prefix, _)| prefix);
        let weight = self.round(&weight, &format!("{first}.weight"))?;
        for (prefix, rows) in prefixes {
            self.note(&format!("{prefix}.weight"), rows, columns);
        }
        let bias = bias.map(|b| b.to_dtype(self.dtype)?.to_device(&self.device)).transpose()?;
        Ok((weight, bias))
    }

    fn stored(&self) -> BTreeMap<String, Stored> {
        let mut stored = self.inner.stored();
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, (kind, parameters)) in done.iter() {
            if let Some(entry) = stored.get_mut(name) {
                *entry = Stored { parameters: *parameters, bits: kind.bits(*parameters) };
            }
        }
        stored
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn device(&self) -> &Device {
        &self.device
    }
}
