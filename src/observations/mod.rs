//! The observations file: activations and other results of a capture, row by row.
//!
//! One row is one (constitution, response): the response's pooled residual stream at the stored layers, read after that
//! constitution, with its labels. Rows are ordered by constitution as given, then by row of the data, then by response.
//! An estimate reads h, S and log P from the rows of one constitution, the reference
//! ([`Observations::select_constitution`], by default `none`), and a judge's pairs refer to rows of the reference.
//!
//! The file is a safetensors file, described tensor by tensor in `FORMATS` in the documentation. It also serves to
//! import activations captured elsewhere, so reading is lenient if nothing is lost and strict otherwise:
//! - `resid` may be f16, bf16, f32 or f64 (kept as f32 in memory), and [N, d] if it has one layer; labels may be any
//!   float, integer or boolean; indices any integer type.
//! - Without `format`, `layers` is counted from 0; without `constitutions`, all rows are `none`.
//! - Without `prompt`, rows connected by `pair.*` or `judge.*` are assumed to share a prompt, with a warning; without
//!   pairs, [`Observations::prompt`] is `None`, and [`Observations::require_prompt`] returns an error with the reason.
//! - Unknown tensors are ignored, kept when the file is rewritten, and named in a warning.
//! - A file without labels is a valid capture; only the fit refuses it.

mod columns;
mod container;
mod decode;
mod meta;
mod reader;
mod resid;
mod rows;
mod select;
mod writer;

use std::path::Path;

use ndarray::{Array2, Array3};

pub use columns::{Columns, Judgments};
pub use meta::{BARE, FORMAT, Meta};
pub use rows::{RowRecord, read_rows, write_rows};
pub use select::{RowSelection, Selected};
pub use writer::{ResidSink, append_judgments, write_streaming};

use crate::error::{Diagnostic, Kind, Place, Result};
use crate::sets::DisjointSets;
use crate::units::Layer;
use resid::Resid;

/// File name of the observations in a folder.
pub const OBSERVATIONS: &str = "observations.safetensors";

/// File name of the list of rows beside the observations.
pub const ROWS: &str = "observations.jsonl";

/// Source of the prompt groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptSource {
    /// The column `prompt`.
    Column,
    /// Rows connected by pairs.
    Pairs,
    /// None: it is unknown which rows answer the same prompt.
    Unknown,
}

/// N validated rows of observations. The residual stream stays in its file until a layer is requested.
#[derive(Debug)]
pub struct Observations {
    meta: Meta,
    columns: Columns,
    resid: Resid,
    derived_prompt: Option<Vec<i32>>,
    warnings: Vec<String>,
    place: Place,
}

impl Observations {
    /// Creates observations in memory, with `resid` of shape [N, layers, d].
    ///
    /// # Errors
    /// An error that names the column and the row: lengths that differ, an index out of range, a pair across prompts or
    /// constitutions, a non-finite number, a duplicate name.
    pub fn new(meta: Meta, columns: Columns, resid: Array3<f32>) -> Result<Self> {
        Self::assemble(meta, columns, Resid::Memory(resid), Vec::new(), Place::default())
    }

    /// Opens a file. Reads and validates all but `resid`, whose numbers are checked as each layer is read.
    ///
    /// # Errors
    /// As [`Observations::new`], and for files that are damaged, lack `resid` or have a different format.
    pub fn open(path: &Path) -> Result<Self> {
        reader::open(path)
    }

    /// Replaces the columns, with the checks of [`Observations::new`].
    ///
    /// # Errors
    /// As [`Observations::new`].
    pub fn with_columns(self, columns: Columns) -> Result<Self> {
        Self::assemble(self.meta, columns, self.resid, Vec::new(), self.place)
    }

    fn assemble(
        meta: Meta,
        columns: Columns,
        resid: Resid,
        mut warnings: Vec<String>,
        place: Place,
    ) -> Result<Self> {
        let [rows, layers, hidden] = resid.shape();
        if rows == 0 || layers == 0 || hidden == 0 {
            return Err(Diagnostic::new(Kind::Invalid, "`resid` is empty")
                .at(place.id("resid"))
                .expected("at least one row, layer and dimension")
                .found(format!("[{rows}, {layers}, {hidden}]"))
                .into());
        }
        meta.check(layers, &place)?;
        warnings.extend(columns.check(rows, meta.constitutions.len(), &place)?);
        let mut derived_prompt = None;
        if columns.prompt.is_none() && columns.pair_tables().any(|(_, pairs)| !pairs.is_empty()) {
            let mut sets = DisjointSets::new(rows);
            for &[a, b] in columns.pair_tables().flat_map(|(_, pairs)| pairs) {
                sets.join(a, b);
            }
            derived_prompt = Some(sets.numbers());
            warnings.push("no column `prompt`: rows that pairs connect are taken for one prompt".to_owned());
        }
        Ok(Self { meta, columns, resid, derived_prompt, warnings, place })
    }

    /// Metadata of the file.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The columns beside `resid`.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// N, the number of rows.
    pub fn rows(&self) -> usize {
        self.resid.shape()[0]
    }

    /// d, the width of the residual stream.
    pub fn hidden_size(&self) -> usize {
        self.resid.shape()[2]
    }

    /// The layers stored, in the order of the file.
    pub fn layers(&self) -> &[Layer] {
        &self.meta.layers
    }

    /// Warnings about the file that a reader of the results must know: defaults used, tensors ignored.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Path of the file, for errors about its content; empty for observations in memory.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Source of the prompt groups.
    pub fn prompt_source(&self) -> PromptSource {
        match (&self.columns.prompt, &self.derived_prompt) {
            (Some(_), _) => PromptSource::Column,
            (None, Some(_)) => PromptSource::Pairs,
            (None, None) => PromptSource::Unknown,
        }
    }

    /// Prompt number of each row, `[N]`; `None` if it is unknown which rows answer the same prompt.
    pub fn prompt(&self) -> Option<&[i32]> {
        self.columns.prompt.as_deref().or(self.derived_prompt.as_deref())
    }

    /// Prompt number of each row, `[N]`.
    ///
    /// # Errors
    /// [`Kind::NotEstimable`] if it is unknown which rows answer the same prompt.
    pub fn require_prompt(&self) -> Result<&[i32]> {
        self.prompt().ok_or_else(|| {
            Diagnostic::new(Kind::NotEstimable, "no column `prompt` and no pairs: which rows answer the same prompt is not known")
                .at(self.place.clone().id("prompt"))
                .expected("`prompt`, i32 [N], equal for responses to one prompt")
                .remedy("add the column: contrasts are taken inside prompts, because what differs between prompts confounds values and activations")
                .into()
        })
    }

    /// Block number of each row, `[N]`, for leave-out and intervals: the clusters if there are any, else the prompts.
    pub fn blocks(&self) -> Option<&[i32]> {
        self.columns.cluster.as_deref().or(self.prompt())
    }

    /// The residual stream of all rows at one layer, [N, d].
    ///
    /// # Errors
    /// [`Kind::Missing`] for a layer that is not stored; [`Kind::NotFinite`] with row, layer and dimension; errors of
    /// the file system.
    pub fn layer(&self, layer: Layer) -> Result<Array2<f32>> {
        self.layer_rows(layer, &(0..self.rows()).collect::<Vec<_>>())
    }

    /// The residual stream of the given rows at one layer, [rows, d], in the order given.
    ///
    /// # Errors
    /// As [`Observations::layer`], and [`Kind::Invalid`] for a row out of range.
    pub fn layer_rows(&self, layer: Layer, rows: &[usize]) -> Result<Array2<f32>> {
        let Some(at) = self.meta.layers.iter().position(|&l| l == layer) else {
            let stored: Vec<String> = self.meta.layers.iter().map(ToString::to_string).collect();
            return Err(Diagnostic::new(Kind::Missing, format!("layer {layer} is not stored"))
                .at(self.place.clone().id("resid"))
                .expected(format!("one of {}", stored.join(", ")))
                .into());
        };
        if let Some(row) = rows.iter().find(|&&row| row >= self.rows()) {
            return Err(Diagnostic::new(Kind::Invalid, format!("row {row} does not exist"))
                .at(self.place.clone())
                .expected(format!("a row below {}", self.rows()))
                .into());
        }
        self.resid.gather(at, layer, rows, &self.place)
    }

    /// The residual stream of the given rows at one layer, `[rows, d]`, in the order given; 0 for `None`.
    ///
    /// # Errors
    /// As [`Observations::layer_rows`].
    pub fn sparse_rows(&self, layer: Layer, rows: &[Option<usize>]) -> Result<Array2<f32>> {
        let there: Vec<usize> = rows.iter().copied().flatten().collect();
        let read = self.layer_rows(layer, &there)?;
        let mut out = Array2::zeros((rows.len(), self.hidden_size()));
        let positions = rows.iter().enumerate().filter(|(_, row)| row.is_some()).map(|(at, _)| at);
        for (from, to) in read.rows().into_iter().zip(positions) {
            out.row_mut(to).assign(&from);
        }
        Ok(out)
    }

    /// One row at every layer, `[1, layers, d]`.
    ///
    /// # Errors
    /// As [`Observations::layer_rows`].
    pub fn row(&self, row: usize) -> Result<Array3<f32>> {
        let mut block = Array3::zeros((1, self.layers().len(), self.hidden_size()));
        for (at, &layer) in self.layers().iter().enumerate() {
            block.slice_mut(ndarray::s![.., at, ..]).assign(&self.layer_rows(layer, &[row])?);
        }
        Ok(block)
    }

    /// Writes the observations to a file atomically.
    ///
    /// # Errors
    /// [`Kind::NotFinite`] for non-finite residuals; errors of the file system.
    pub fn write(&self, path: &Path) -> Result<()> {
        writer::write(self, path)
    }
}
