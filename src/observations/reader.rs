//! Reads the tensors of a file into validated observations.

use std::collections::BTreeSet;
use std::path::Path;

use safetensors::tensor::TensorInfo;

use super::Observations;
use super::columns::{Columns, Judgments};
use super::container::Container;
use super::decode;
use super::meta::Meta;
use super::resid::Resid;
use crate::error::{Diagnostic, Kind, Place, Result};

pub(super) fn open(path: &Path) -> Result<Observations> {
    let container = Container::open(path)?;
    let place = Place::file(path);
    let entries = container.entries();
    let mut warnings = Vec::new();
    let columns = Tensors { container: &container, place: &place }.columns(&mut warnings)?;
    let resid = Resid::in_file(container)?;
    let stored = resid.shape()[1];
    if stored == 0 {
        return Err(Diagnostic::new(Kind::Invalid, "`resid` holds no layers").at(place.id("resid")).into());
    }
    let meta = Meta::parse(entries, stored, &place, &mut warnings)?;
    Observations::assemble(meta, columns, resid, warnings, place)
}

/// Typed access to the tensors of an open file.
pub(super) struct Tensors<'a> {
    pub container: &'a Container,
    pub place: &'a Place,
}

/// The user-defined part of a tensor's name, if the rest matches.
pub(super) fn named<'a>(tensor: &'a str, before: &str, after: &str) -> Option<&'a str> {
    tensor.strip_prefix(before)?.strip_suffix(after).filter(|name| !name.is_empty())
}

impl Tensors<'_> {
    fn columns(&self, warnings: &mut Vec<String>) -> Result<Columns> {
        let mut columns = Columns::default();
        let mut judges = BTreeSet::new();
        let mut unknown = Vec::new();
        for tensor in self.container.names() {
            match tensor.as_str() {
                "resid" => {}
                "prompt" => columns.prompt = Some(self.i32s(&tensor)?),
                "cluster" => columns.cluster = Some(self.i32s(&tensor)?),
                "response" => columns.response = Some(self.i32s(&tensor)?),
                "constitution" => columns.constitution = Some(self.indices(&tensor, 1)?),
                "logprob" => columns.logprob = Some(self.reals(&tensor)?),
                "logq" => columns.logq = Some(self.reals(&tensor)?),
                "ntok" => columns.ntok = Some(self.convert(&tensor, 1, "a count of tokens")?),
                name => {
                    if let Some(value) = named(name, "value.", "") {
                        columns.values.insert(value.to_owned(), self.reals(name)?);
                    } else if let Some(value) = named(name, "pair.", "") {
                        columns.preferences.insert(value.to_owned(), self.pairs(name)?);
                    } else if let Some(constitution) = named(name, "score.", "") {
                        columns.scores.insert(constitution.to_owned(), self.reals(name)?);
                    } else if let Some(judge) =
                        [".pair", ".ab", ".ba"].iter().find_map(|part| named(name, "judge.", part))
                    {
                        judges.insert(judge.to_owned());
                    } else {
                        unknown.push(tensor);
                    }
                }
            }
        }
        for judge in judges {
            let judgments = self.judgments(&judge)?;
            columns.judgments.insert(judge, judgments);
        }
        if !unknown.is_empty() {
            warnings.push(format!("tensors nobody knows are left alone: {}", unknown.join(", ")));
        }
        Ok(columns)
    }

    fn judgments(&self, judge: &str) -> Result<Judgments> {
        let tensor = |part: &str| format!("judge.{judge}.{part}");
        for needed in ["pair", "ab"] {
            if self.container.info(&tensor(needed)).is_none() {
                return Err(Diagnostic::new(Kind::Missing, format!("no tensor `{}`", tensor(needed)))
                    .at(self.place.clone().id(tensor(needed)))
                    .expected("`pair` and `ab` of every judge (`ba` too, unless one order was asked)")
                    .into());
            }
        }
        let ba = tensor("ba");
        let ba = self.container.info(&ba).map(|_| self.reals(&ba)).transpose()?;
        Ok(Judgments { pairs: self.pairs(&tensor("pair"))?, ab: self.reals(&tensor("ab"))?, ba })
    }

    /// A required tensor with this number of dimensions.
    fn tensor(&self, name: &str, dimensions: usize) -> Result<&TensorInfo> {
        let info = self.container.info(name).ok_or_else(|| {
            Diagnostic::new(Kind::Missing, format!("no tensor `{name}`")).at(self.place.clone().id(name))
        })?;
        if info.shape.len() != dimensions || dimensions == 2 && info.shape[1] != 2 {
            let expected = if dimensions == 2 { "[M, 2]" } else { "one dimension" };
            return Err(Diagnostic::new(Kind::Invalid, format!("`{name}` has another shape"))
                .at(self.place.clone().id(name))
                .expected(expected)
                .found(format!("{:?}", info.shape))
                .into());
        }
        Ok(info)
    }

    fn wrong_dtype(&self, name: &str, expected: &str, info: &TensorInfo) -> Diagnostic {
        Diagnostic::new(Kind::Invalid, format!("`{name}` has a dtype that does not convert without loss"))
            .at(self.place.clone().id(name))
            .expected(expected)
            .found(format!("{:?}", info.dtype))
    }

    fn reals(&self, name: &str) -> Result<Vec<f64>> {
        let info = self.tensor(name, 1)?;
        let bytes = self.container.bytes(info)?;
        decode::reals(info.dtype, &bytes).ok_or_else(|| self.wrong_dtype(name, "F32", info).into())
    }

    /// Integers, each of which must fit `T`.
    fn convert<T: TryFrom<i64>>(&self, name: &str, dimensions: usize, what: &str) -> Result<Vec<T>> {
        let info = self.tensor(name, dimensions)?;
        let bytes = self.container.bytes(info)?;
        let whole =
            decode::integers(info.dtype, &bytes).ok_or_else(|| self.wrong_dtype(name, "I32", info))?;
        let width = if dimensions == 2 { 2 } else { 1 };
        let fit = |(at, v): (usize, i64)| {
            T::try_from(v).map_err(|_| {
                Diagnostic::new(Kind::Invalid, format!("row {} of `{name}` is not {what}", at / width))
                    .at(self.place.clone().id(name))
                    .found(v.to_string())
                    .into()
            })
        };
        whole.into_iter().enumerate().map(fit).collect()
    }

    fn i32s(&self, name: &str) -> Result<Vec<i32>> {
        self.convert(name, 1, "a number of 32 bits")
    }

    fn indices(&self, name: &str, dimensions: usize) -> Result<Vec<usize>> {
        self.convert(name, dimensions, "an index")
    }

    fn pairs(&self, name: &str) -> Result<Vec<[usize; 2]>> {
        Ok(self.indices(name, 2)?.as_chunks::<2>().0.to_vec())
    }
}
