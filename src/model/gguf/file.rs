//! A model in GGUF format: one file, or the parts of a split one, mapped and checked.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};

use super::Metadata;
use super::dequantise;
use super::header::{Header, Stored};
use crate::artifact;
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::model::weights::files::{Mapped, missing};

/// The files of a model in GGUF.
pub struct GgufFile {
    parts: Vec<Mapped>,
    metadata: Metadata,
    metadata_sha256: String,
    tensors: HashMap<String, (usize, Stored)>,
}

impl GgufFile {
    /// Opens a file; any part of a split model (`NAME-00001-of-00003.gguf`) opens all of them.
    ///
    /// # Errors
    /// [`Kind::Missing`] for a missing part; [`Kind::Weights`] for a damaged or hostile file, or parts that do not
    /// belong together; [`Kind::Unsupported`] for a tensor of an unsupported type.
    pub fn open(path: &Path) -> Result<Self> {
        let paths = parts(path)?;
        let mut files = Vec::with_capacity(paths.len());
        let mut tensors = HashMap::new();
        let mut first = None;
        for (index, path) in paths.iter().enumerate() {
            let file = Mapped::open(path)?;
            let header = Header::read(file.whole(), path)?;
            let metadata = Metadata::new(path, header.metadata);
            check_split(&metadata, index, paths.len())?;
            for (name, stored) in header.tensors {
                if let Some((other, _)) = tensors.insert(name.clone(), (index, stored)) {
                    return Err(Diagnostic::new(
                        Kind::Weights,
                        "the tensor stands in two parts of the model",
                    )
                    .at(Place::file(path).id(name))
                    .found(format!("it is in {} too", paths[other].display()))
                    .into());
                }
            }
            if first.is_none() {
                first = Some((metadata, artifact::sha256(&file.whole()[header.extent])));
            }
            files.push(file);
        }
        let Some((metadata, metadata_sha256)) = first else { unreachable!("a model has at least one part") };
        let expected = metadata.usize("split.tensors.count")?.unwrap_or(tensors.len());
        if expected != tensors.len() {
            return Err(Diagnostic::new(Kind::Weights, "the parts do not hold all tensors of the model")
                .at(metadata.place("split.tensors.count"))
                .expected(format!("{expected} tensors"))
                .found(format!("{} in {} files", tensors.len(), paths.len()))
                .remedy("take all parts from the same place")
                .into());
        }
        Ok(Self { parts: files, metadata, metadata_sha256, tensors })
    }

    /// The metadata; for a split model, those of the first part.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// SHA-256 of the bytes of the metadata, which hold config and tokenizer.
    pub fn metadata_sha256(&self) -> &str {
        &self.metadata_sha256
    }

    /// The files, in part order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.parts.iter().map(Mapped::path)
    }

    /// Shape of a tensor, outermost dimension first.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|(_, stored)| stored.shape.as_slice())
    }

    /// A stored tensor, in `dtype` on the CPU.
    ///
    /// # Errors
    /// [`Kind::Weights`] for a missing tensor; errors of reading and of the tensor library.
    pub fn read(&self, name: &str, dtype: DType) -> Result<Tensor> {
        match self.tensor(name) {
            Some((file, stored)) => {
                file.read(stored.bytes.clone(), |b| dequantise::tensor(b, stored.dtype, &stored.shape, dtype))
            }
            None => Err(missing(name, &[], self.place(name), self.tensors.keys())),
        }
    }

    /// Location of a tensor, for errors.
    pub(super) fn place(&self, name: &str) -> Place {
        let part = self.tensors.get(name).map_or(0, |(part, _)| *part);
        Place::file(self.parts[part].path()).id(name)
    }

    /// The tensor of this name, and the file that contains it.
    pub(super) fn tensor(&self, name: &str) -> Option<(&Mapped, &Stored)> {
        self.tensors.get(name).map(|(part, stored)| (&self.parts[*part], stored))
    }

    /// All tensors.
    pub(super) fn tensors(&self) -> &HashMap<String, (usize, Stored)> {
        &self.tensors
    }
}

/// Whether `path` is a file that starts with GGUF's magic bytes or has its extension.
pub fn is_gguf(path: &Path) -> bool {
    if !path.is_file() {
        return false;
    }
    let named = path.file_name().and_then(|n| n.to_str()).is_some_and(|n| strip_extension(n).is_some());
    let mut magic = [0; 4];
    named || File::open(path).and_then(|mut f| f.read_exact(&mut magic)).is_ok() && &magic == b"GGUF"
}

/// Checks that a part's metadata agree with its file name.
fn check_split(metadata: &Metadata, index: usize, count: usize) -> Result<()> {
    for (key, own) in [("split.count", count), ("split.no", index)] {
        let found = metadata.usize(key)?.unwrap_or(own);
        if found != own && !(key == "split.count" && found == 0 && count == 1) {
            return Err(Diagnostic::new(
                Kind::Weights,
                "the part of a split model is not what its name says",
            )
            .at(metadata.place(key))
            .expected(own.to_string())
            .found(found.to_string())
            .remedy(
                "keep the names that the parts came with, NAME-00001-of-00003.gguf, and all parts together",
            )
            .into());
        }
    }
    Ok(())
}

/// Parses a name `STEM-00002-of-00003.gguf`: the stem, the part's number and the number of parts.
pub(crate) fn split_name(name: &str) -> Option<(&str, usize, usize)> {
    let bare = strip_extension(name)?;
    let (rest, count) = bare.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let read = |digits: &str| -> Option<usize> {
        (digits.len() == 5 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
    };
    let (number, count) = (read(number)?, read(count)?);
    (1..=count).contains(&number).then_some((stem, number, count))
}

/// A file name without `.gguf`; `None` if it lacks that extension.
pub(crate) fn strip_extension(name: &str) -> Option<&str> {
    let at = name.len().checked_sub(".gguf".len()).filter(|at| name.is_char_boundary(*at))?;
    name[at..].eq_ignore_ascii_case(".gguf").then(|| &name[..at])
}

/// The names of all parts of a file's model.
pub(crate) fn part_names(name: &str) -> Vec<String> {
    match split_name(name) {
        None => vec![name.to_owned()],
        Some((stem, _, count)) => {
            let extension = &name[name.len() - ".gguf".len()..];
            (1..=count).map(|i| format!("{stem}-{i:05}-of-{count:05}{extension}")).collect()
        }
    }
}

/// The files of a file's model, all of which must exist.
fn parts(path: &Path) -> Result<Vec<PathBuf>> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if split_name(name).is_none() {
        return Ok(vec![path.to_owned()]);
    }
    let mut paths = Vec::new();
    for name in part_names(name) {
        let part = path.with_file_name(name);
        if !part.is_file() {
            return Err(Diagnostic::new(Kind::Missing, "a part of the split model is not there")
                .at(Place::file(&part))
                .expected("all parts in one folder, under the names that they came with")
                .found("no such file")
                .remedy("fetch the missing part")
                .into());
        }
        paths.push(part);
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parts() {
        assert_eq!(split_name("m-q4-00002-of-00003.gguf"), Some(("m-q4", 2, 3)));
        assert_eq!(split_name("a/m-00001-of-00001.GGUF"), Some(("a/m", 1, 1)));
        for bad in [
            "m.gguf",
            "m-00004-of-00003.gguf",
            "m-00000-of-00003.gguf",
            "m-1-of-3.gguf",
            "m-00001-of-00003.bin",
            "ü.ggu",
        ] {
            assert_eq!(split_name(bad), None, "{bad}");
        }
        assert_eq!(part_names("m-00002-of-00002.gguf"), ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]);
        assert_eq!(part_names("m.gguf"), ["m.gguf"]);
    }
}
