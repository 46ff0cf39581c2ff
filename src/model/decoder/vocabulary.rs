//! A matrix with one row per token: the embeddings, or the output head.

use std::fmt;
use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::dense::{Weight, packs};
use crate::error::Result;
use crate::model::weights::TensorSource;

/// A source from which blocks and vocabulary can be read during the forward pass.
pub type SharedSource = Arc<dyn TensorSource + Send + Sync>;

/// `[vocab, hidden]`, in memory or read from the source on demand.
#[derive(Clone)]
pub(super) struct Vocabulary {
    rows: Rows,
    size: usize,
    hidden: usize,
}

#[derive(Clone)]
enum Rows {
    Resident(Weight),
    Stored { source: SharedSource, name: String },
}

impl fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = match &self.rows {
            Rows::Resident(weight) => format!("{weight:?}"),
            Rows::Stored { name, .. } => name.clone(),
        };
        write!(f, "Vocabulary[{}, {}]({rows})", self.size, self.hidden)
    }
}

impl Vocabulary {
    /// Reads the whole matrix into memory.
    ///
    /// # Errors
    /// If the source lacks it or has another shape.
    pub(super) fn load(source: &dyn TensorSource, name: &str, size: usize, hidden: usize) -> Result<Self> {
        let weight = Weight::new(source.matrix(name, &[size, hidden])?, packs(source))?;
        Ok(Self { rows: Rows::Resident(weight), size, hidden })
    }

    /// Leaves the matrix in the source, to be read on demand.
    ///
    /// # Errors
    /// If the source lacks it or has another shape.
    pub(super) fn stored(source: SharedSource, name: &str, size: usize, hidden: usize) -> Result<Self> {
        source.rows(name, &[size, hidden], 0, 1)?;
        Ok(Self { rows: Rows::Stored { source, name: name.to_owned() }, size, hidden })
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        match &self.rows {
            Rows::Resident(weight) => weight.bytes(),
            Rows::Stored { .. } => 0,
        }
    }

    /// The rows of the given tokens, `[n, hidden]` in `dtype`.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub(super) fn gather(&self, ids: &[u32], dtype: DType) -> Result<Tensor> {
        match &self.rows {
            Rows::Resident(Weight::Matrix(table)) => {
                Ok(table.index_select(&Tensor::new(ids, table.device())?, 0)?.to_dtype(dtype)?)
            }
            Rows::Resident(Weight::Panels(panels)) => {
                let mut values = vec![0f32; ids.len() * self.hidden];
                for (row, &id) in values.chunks_exact_mut(self.hidden).zip(ids) {
                    panels.row(id as usize, row);
                }
                Ok(Tensor::from_vec(values, (ids.len(), self.hidden), &candle_core::Device::Cpu)?
                    .to_dtype(dtype)?)
            }
            Rows::Stored { source, name } => {
                let mut unique = ids.to_vec();
                unique.sort_unstable();
                unique.dedup();
                let shape = [self.size, self.hidden];
                let read = unique
                    .iter()
                    .map(|&id| source.rows(name, &shape, id as usize, 1))
                    .collect::<Result<Vec<_>>>()?;
                let table = Tensor::cat(&read, 0)?.to_dtype(dtype)?;
                let at: Vec<u32> = ids.iter().map(|id| unique.partition_point(|u| u < id) as u32).collect();
                Ok(table.index_select(&Tensor::new(at, table.device())?, 0)?)
            }
        }
    }

    /// Calls `f` with the matrix, or with rows `[start, start + len)` of it read for the purpose; the number passed to
    /// `f` is the index of the first row given.
    ///
    /// # Errors
    /// Errors of reading and of `f`.
    pub(super) fn with_rows<R>(
        &self,
        start: usize,
        len: usize,
        f: impl FnOnce(&Weight, usize) -> Result<R>,
    ) -> Result<R> {
        match &self.rows {
            Rows::Resident(weight) => f(weight, 0),
            Rows::Stored { source, name } => {
                let rows = source.rows(name, &[self.size, self.hidden], start, len)?;
                f(&Weight::new(rows, packs(source.as_ref()))?, start)
            }
        }
    }
}
