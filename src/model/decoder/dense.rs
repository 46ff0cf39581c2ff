//! A projection y = x Wᵀ + b, with its weights stored as narrow as possible.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use candle_nn::{Linear, Module};

use super::fused::{self, Panels};
use crate::error::Result;
use crate::model::weights::{Projection, TensorSource};

/// W `[rows, columns]` as stored in memory.
#[derive(Debug, Clone)]
pub(super) enum Weight {
    /// In the dtype of the computation, or in the narrower stored one.
    Matrix(Tensor),
    /// bf16, packed for the processor.
    Panels(Arc<Panels>),
}

impl Weight {
    /// Stores a matrix; `pack` asks for panels.
    pub(super) fn new(matrix: Tensor, pack: bool) -> Result<Self> {
        if pack { Ok(Self::Panels(Arc::new(Panels::pack(&matrix)?))) } else { Ok(Self::Matrix(matrix)) }
    }

    /// The matrix in a dtype.
    pub(super) fn tensor(&self, dtype: DType) -> Result<Tensor> {
        match self {
            Self::Matrix(t) => Ok(t.to_dtype(dtype)?),
            Self::Panels(p) => Ok(p.unpack(0, p.rows())?.to_dtype(dtype)?),
        }
    }

    /// Rows `[start, start + len)` in a dtype.
    pub(super) fn rows(&self, start: usize, len: usize, dtype: DType) -> Result<Tensor> {
        match self {
            Self::Matrix(t) => Ok(t.narrow(0, start, len)?.to_dtype(dtype)?),
            Self::Panels(p) => Ok(p.unpack(start, len)?.to_dtype(dtype)?),
        }
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Matrix(t) => t.elem_count() * t.dtype().size_in_bytes(),
            Self::Panels(p) => p.bytes(),
        }
    }
}

/// Whether matrices from this source should be packed.
pub(super) fn packs(source: &dyn TensorSource) -> bool {
    source.dtype() == DType::BF16 && source.device().is_cpu() && fused::panels_serve()
}

/// y = x Wᵀ + b, with W `[rows, columns]` and b `[rows]`.
#[derive(Debug, Clone)]
pub(super) struct Dense {
    pub(super) weight: Weight,
    pub(super) bias: Option<Tensor>,
}

impl Dense {
    /// Reads a projection, whatever its layout on disk.
    ///
    /// # Errors
    /// If the source lacks it or has another shape.
    pub(super) fn load(
        source: &dyn TensorSource,
        projection: &Projection,
        rows: usize,
        columns: usize,
        bias: bool,
    ) -> Result<Self> {
        let (weight, bias) = source.projection(projection, rows, columns, bias)?;
        Ok(Self { weight: Weight::new(weight, packs(source))?, bias })
    }

    /// `x [T, columns] → [T, rows]` in x's dtype, in differentiable operations.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(Linear::new(self.weight.tensor(x.dtype())?, self.bias.clone()).forward(x)?)
    }

    /// Bytes of W.
    pub(super) fn bytes(&self) -> usize {
        self.weight.bytes()
    }
}
