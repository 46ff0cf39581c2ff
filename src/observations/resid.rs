//! The residual stream of all rows and layers, in memory or read from the file a few rows at a time.

use ndarray::{Array2, Array3, Axis};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, TensorInfo};

use super::container::Container;
use super::decode;
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::units::Layer;

/// Location of `resid` [N, layers, d].
#[derive(Debug)]
pub(super) enum Resid {
    /// In memory.
    Memory(Array3<f32>),
    /// In a file: only the requested layers are read.
    File {
        /// The open file.
        container: Container,
        /// The tensor `resid` in it.
        info: TensorInfo,
        /// N, layers, d.
        shape: [usize; 3],
    },
}

impl Resid {
    /// The tensor `resid` of a file: [N, layers, d], or [N, d] for one layer.
    pub fn in_file(container: Container) -> Result<Self> {
        let place = Place::file(container.path()).id("resid");
        let Some(info) = container.info("resid").cloned() else {
            return Err(Diagnostic::new(Kind::Missing, "no tensor `resid`")
                .at(place)
                .expected("the residual stream, f32 [N, layers, d]")
                .found(format!("tensors {}", container.names().join(", ")))
                .into());
        };
        let shape = match info.shape[..] {
            [n, layers, d] => [n, layers, d],
            [n, d] => [n, 1, d],
            _ => {
                return Err(Diagnostic::new(Kind::Invalid, "`resid` has another number of dimensions")
                    .at(place)
                    .expected("[N, layers, d]")
                    .found(format!("{:?}", info.shape))
                    .into());
            }
        };
        if !matches!(info.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64) {
            return Err(Diagnostic::new(Kind::Invalid, "`resid` has a dtype that holds no activations")
                .at(place)
                .expected("F32 (F16, BF16 and F64 are converted)")
                .found(format!("{:?}", info.dtype))
                .into());
        }
        Ok(Self::File { container, info, shape })
    }

    /// Shape [N, layers, d].
    pub fn shape(&self) -> [usize; 3] {
        match self {
            Self::Memory(array) => array.dim().into(),
            Self::File { shape, .. } => *shape,
        }
    }

    /// One layer of the given rows, [rows, d]: `at` is the layer's index in the second dimension, `layer` its name in
    /// errors. The caller checks the indices.
    pub fn gather(&self, at: usize, layer: Layer, rows: &[usize], place: &Place) -> Result<Array2<f32>> {
        let [_, layers, d] = self.shape();
        let mut out = Array2::<f32>::zeros((rows.len(), d));
        match self {
            Self::Memory(array) => {
                for (mut to, &row) in out.axis_iter_mut(Axis(0)).zip(rows) {
                    to.assign(&array.slice(ndarray::s![row, at, ..]));
                }
            }
            Self::File { container, info, .. } => {
                let width = d * (info.dtype.bitsize() / 8);
                let mut buffer = vec![0u8; width];
                for (mut to, &row) in out.axis_iter_mut(Axis(0)).zip(rows) {
                    container.read_at(info, ((row * layers + at) * width) as u64, &mut buffer)?;
                    let to = to.as_slice_mut().unwrap_or_default();
                    // The dtype was checked when the file was opened.
                    let _ = decode::f32_into(info.dtype, &buffer, to);
                }
            }
        }
        finite(&out, layer, rows, place)?;
        Ok(out)
    }
}

fn finite(array: &Array2<f32>, layer: Layer, rows: &[usize], place: &Place) -> Result<()> {
    let bad = array
        .axis_iter(Axis(0))
        .into_par_iter()
        .enumerate()
        .find_map_first(|(i, row)| row.iter().position(|v| !v.is_finite()).map(|j| (i, j)));
    match bad {
        None => Ok(()),
        Some((i, j)) => Err(not_finite(array[[i, j]], rows[i], layer, j, place).into()),
    }
}

/// Error for a non-finite residual.
pub(super) fn not_finite(
    value: f32,
    row: usize,
    layer: Layer,
    dimension: usize,
    place: &Place,
) -> Diagnostic {
    Diagnostic::new(
        Kind::NotFinite,
        format!("row {row} of layer {layer} is not a number in dimension {dimension}"),
    )
    .at(place.clone().id("resid"))
    .expected("finite activations")
    .found(value.to_string())
    .remedy("capture again in f32: half precision overflows in models with massive activations")
}
