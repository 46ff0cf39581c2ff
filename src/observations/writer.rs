//! Writes observations to a file, with `resid` in pieces, as it may be larger than memory.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use ndarray::{ArrayView3, Axis};
use safetensors::tensor::Dtype;

use super::Observations;
use super::columns::{Columns, Judgments};
use super::container::{self, Container, Part, Source};
use super::decode::{f32_bytes, i32_bytes};
use super::meta::Meta;
use super::reader::named;
use super::resid::{Resid, not_finite};
use crate::error::{Diagnostic, Error, Kind, Place, Result};

/// Receives the residual stream in blocks of rows, in order.
pub struct ResidSink<'a> {
    to: &'a mut dyn Write,
    meta: &'a Meta,
    hidden: usize,
    place: &'a Place,
    rows: usize,
}

impl ResidSink<'_> {
    /// Appends a block of rows, [rows, layers, d].
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a wrong shape, [`Kind::NotFinite`] for non-finite numbers, and errors of the file system.
    pub fn push(&mut self, block: ArrayView3<'_, f32>) -> Result<()> {
        let expected = (self.meta.layers.len(), self.hidden);
        let (_, layers, hidden) = block.dim();
        if (layers, hidden) != expected {
            return Err(Diagnostic::new(
                Kind::Invalid,
                "a block of residuals has another shape than announced",
            )
            .at(self.place.clone().id("resid"))
            .expected(format!("[rows, {}, {}]", expected.0, expected.1))
            .found(format!("{:?}", block.shape()))
            .into());
        }
        for row in block.axis_iter(Axis(0)) {
            if let Some(((l, j), &value)) = row.indexed_iter().find(|(_, v)| !v.is_finite()) {
                return Err(not_finite(value, self.rows, self.meta.layers[l], j, self.place).into());
            }
            let bytes = f32_bytes(row.iter().copied());
            let path = self.place.file.as_deref().unwrap_or(Path::new(""));
            self.to.write_all(&bytes).map_err(|e| Error::io("write", path, e))?;
            self.rows += 1;
        }
        Ok(())
    }
}

/// Writes an observations file whose `resid` [rows, layers, hidden] is given in blocks: `fill` pushes all rows, in
/// order. Everything else is checked before the first block is requested; if anything fails, no file is left behind.
///
/// # Errors
/// As [`Observations::new`], errors of `fill`, a number of rows other than announced, and errors of the file system.
pub fn write_streaming(
    path: &Path,
    meta: &Meta,
    columns: &Columns,
    rows: usize,
    hidden: usize,
    fill: impl FnOnce(&mut ResidSink<'_>) -> Result<()>,
) -> Result<()> {
    let place = Place::file(path);
    meta.check(meta.layers.len(), &place)?;
    if rows == 0 || hidden == 0 || meta.layers.is_empty() {
        return Err(Diagnostic::new(Kind::Invalid, "there is nothing to write")
            .at(place)
            .expected("at least one row, layer and dimension")
            .into());
    }
    columns.check(rows, meta.constitutions.len(), &place)?;
    let mut parts = column_parts(columns, &place)?;
    let mut fill = Some(fill);
    let mut stream = |to: &mut dyn Write| -> Result<()> {
        let mut sink = ResidSink { to, meta, hidden, place: &place, rows: 0 };
        if let Some(fill) = fill.take() {
            fill(&mut sink)?;
        }
        if sink.rows == rows {
            return Ok(());
        }
        Err(Diagnostic::new(Kind::Invalid, "another number of rows came than was announced")
            .at(place.clone().id("resid"))
            .expected(rows.to_string())
            .found(sink.rows.to_string())
            .into())
    };
    parts.push(Part {
        name: "resid".to_owned(),
        dtype: Dtype::F32,
        shape: vec![rows, meta.layers.len(), hidden],
        source: Source::Stream(&mut stream),
    });
    container::write(path, &meta.entries(), parts)
}

pub(super) fn write(observations: &Observations, path: &Path) -> Result<()> {
    let (rows, hidden) = (observations.rows(), observations.hidden_size());
    let (meta, columns) = (observations.meta(), observations.columns());
    write_streaming(path, meta, columns, rows, hidden, |sink| {
        if let Resid::Memory(array) = &observations.resid {
            return sink.push(array.view());
        }
        for row in 0..rows {
            sink.push(observations.row(row)?.view())?;
        }
        Ok(())
    })
}

/// Adds judgments and scores to a file, replacing those of the same constitutions. Everything else is copied byte for
/// byte, including unknown tensors; `extra` is added to the metadata (the key `score.NAME` gives the kind of score).
///
/// # Errors
/// As [`Observations::open`] for the existing file and for the additions; [`Kind::Invalid`] if `extra` contains a key
/// reserved by the format; errors of the file system. If anything fails, the old file is kept.
pub fn append_judgments(
    path: &Path,
    judgments: &BTreeMap<String, Judgments>,
    scores: &BTreeMap<String, Vec<f64>>,
    extra: &BTreeMap<String, String>,
) -> Result<()> {
    let old = Observations::open(path)?;
    let place = Place::file(path);
    let mut meta = old.meta.clone();
    if let Some(key) = extra.keys().find(|key| Meta::new(Vec::new()).entries().contains_key(*key)) {
        return Err(Diagnostic::new(Kind::Invalid, format!("metadata key `{key}` is not free to be set"))
            .at(place.id(key))
            .into());
    }
    meta.extra.extend(extra.clone());
    // The whole is checked, because the additions may contradict the existing data.
    let mut columns = old.columns.clone();
    columns.judgments.extend(judgments.clone());
    columns.scores.extend(scores.clone());
    columns.check(old.rows(), meta.constitutions.len(), &place)?;

    let added = Columns { judgments: judgments.clone(), scores: scores.clone(), ..Columns::default() };
    let mut parts = column_parts(&added, &place)?;
    let replaced = |tensor: &str| {
        named(tensor, "score.", "").is_some_and(|name| scores.contains_key(name))
            || [".pair", ".ab", ".ba"]
                .iter()
                .any(|part| named(tensor, "judge.", part).is_some_and(|name| judgments.contains_key(name)))
    };
    let Resid::File { container, .. } = &old.resid else { return Ok(()) };
    for name in container.names().into_iter().filter(|name| !replaced(name)) {
        if let Some(info) = container.info(&name) {
            parts.push(copied(name, info, container));
        }
    }
    parts.sort_by_key(order);
    container::write(path, &meta.entries(), parts)
}

fn copied<'a>(name: String, info: &safetensors::tensor::TensorInfo, container: &'a Container) -> Part<'a> {
    Part { name, dtype: info.dtype, shape: info.shape.clone(), source: Source::Copy(container, info.clone()) }
}

/// Sort order: wide dtypes first, so that each tensor is aligned to its own dtype; then by name.
fn order(part: &Part<'_>) -> (std::cmp::Reverse<usize>, bool, String) {
    (std::cmp::Reverse(part.dtype.bitsize()), part.name == "resid", part.name.clone())
}

/// The columns as tensors, sorted by name.
fn column_parts<'p>(columns: &Columns, place: &Place) -> Result<Vec<Part<'p>>> {
    let mut parts = Parts { parts: Vec::new(), place };
    let c = columns;
    parts.integers("prompt", c.prompt.as_deref())?;
    parts.integers("constitution", c.constitution.as_deref())?;
    parts.integers("cluster", c.cluster.as_deref())?;
    parts.integers("response", c.response.as_deref())?;
    parts.integers("ntok", c.ntok.as_deref())?;
    if let Some(logprob) = &c.logprob {
        parts.reals("logprob", logprob)?;
    }
    if let Some(logq) = &c.logq {
        parts.reals("logq", logq)?;
    }
    for (name, column) in &c.values {
        parts.reals(&format!("value.{name}"), column)?;
    }
    for (name, column) in &c.scores {
        parts.reals(&format!("score.{name}"), column)?;
    }
    for (name, pairs) in &c.preferences {
        parts.pairs(&format!("pair.{name}"), pairs)?;
    }
    for (name, j) in &c.judgments {
        parts.pairs(&format!("judge.{name}.pair"), &j.pairs)?;
        parts.reals(&format!("judge.{name}.ab"), &j.ab)?;
        if let Some(ba) = &j.ba {
            parts.reals(&format!("judge.{name}.ba"), ba)?;
        }
    }
    parts.parts.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(twice) = parts.parts.windows(2).find(|w| w[0].name == w[1].name) {
        return Err(Diagnostic::new(
            Kind::Invalid,
            format!("two columns would be named `{}`", twice[0].name),
        )
        .at(place.clone())
        .into());
    }
    Ok(parts.parts)
}

struct Parts<'a, 'p> {
    parts: Vec<Part<'p>>,
    place: &'a Place,
}

impl Parts<'_, '_> {
    fn add(&mut self, name: &str, dtype: Dtype, shape: Vec<usize>, bytes: Vec<u8>) {
        self.parts.push(Part { name: name.to_owned(), dtype, shape, source: Source::Bytes(bytes) });
    }

    fn too_large(&self, name: &str, found: String) -> Diagnostic {
        Diagnostic::new(Kind::Invalid, "a number does not fit into the file's 32 bits")
            .at(self.place.clone().id(name))
            .found(found)
    }

    fn reals(&mut self, name: &str, column: &[f64]) -> Result<()> {
        if let Some(v) = column.iter().find(|v| v.is_finite() && !(**v as f32).is_finite()) {
            return Err(self.too_large(name, v.to_string()).into());
        }
        self.add(name, Dtype::F32, vec![column.len()], f32_bytes(column.iter().map(|v| *v as f32)));
        Ok(())
    }

    fn integers<T: Copy + std::fmt::Display + TryInto<i32>>(
        &mut self,
        name: &str,
        column: Option<&[T]>,
    ) -> Result<()> {
        let Some(column) = column else { return Ok(()) };
        let bytes = self.i32s(name, column)?;
        self.add(name, Dtype::I32, vec![column.len()], bytes);
        Ok(())
    }

    fn pairs(&mut self, name: &str, pairs: &[[usize; 2]]) -> Result<()> {
        let bytes = self.i32s(name, pairs.as_flattened())?;
        self.add(name, Dtype::I32, vec![pairs.len(), 2], bytes);
        Ok(())
    }

    fn i32s<T: Copy + std::fmt::Display + TryInto<i32>>(&self, name: &str, column: &[T]) -> Result<Vec<u8>> {
        let fit = |&v: &T| v.try_into().map_err(|_| self.too_large(name, v.to_string()).into());
        let whole = column.iter().map(fit).collect::<Result<Vec<i32>>>()?;
        Ok(i32_bytes(whole))
    }
}
