//! The header of a GGUF file, checked byte by byte before anything is allocated at the size it claims.
//!
//! Layout (little-endian): `GGUF`, version, number of tensors, number of metadata entries; the entries, each a key, a
//! type and a value; for each tensor its name, dimensions (innermost first), type and offset; padding; the tensors'
//! data. Candle reads the values of the metadata once their extent has been validated; it cannot read the table of
//! tensors, because it stops at the first unknown type without saying where.

use std::collections::HashMap;
use std::io::Cursor;
use std::ops::Range;
use std::path::Path;

use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::{Content, Value};

use super::types::{Type, name};
use crate::error::{Diagnostic, Error, Kind, Place, Result};

/// Maximum number of metadata entries; files have dozens.
const ENTRIES: u64 = 1 << 16;
/// Maximum number of tensors; the largest models have thousands.
const TENSORS: u64 = 1 << 20;
/// Maximum number of values in all lists together; the largest vocabularies reach 1.5 million.
const ELEMENTS: u64 = 1 << 22;
/// Maximum bytes of a key or of a tensor's name; the format allows 65,535 and 64.
const NAME: u64 = 1 << 16;
/// Maximum bytes of a string value.
const STRING: u64 = 1 << 26;
/// Maximum nesting depth of lists.
const DEPTH: usize = 4;
/// Default alignment of tensors, in bytes.
const ALIGNMENT: u32 = 32;

/// Contents of the header.
pub(super) struct Header {
    /// The metadata.
    pub(super) metadata: HashMap<String, Value>,
    /// Byte range of the metadata in the file.
    pub(super) extent: Range<usize>,
    /// The tensors, in table order.
    pub(super) tensors: Vec<(String, Stored)>,
}

/// Location and type of a stored tensor.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// Dimensions, outermost first.
    pub(super) shape: Vec<usize>,
    /// Stored type.
    pub(super) dtype: GgmlDType,
    /// Byte range in the file.
    pub(super) bytes: Range<usize>,
}

impl Header {
    /// Reads the header from a file's bytes; `path` is only used in errors.
    ///
    /// # Errors
    /// [`Kind::Weights`] for a file that is truncated, inconsistent or beyond the limits; [`Kind::Unsupported`] for
    /// another version, or a tensor of an unsupported type.
    pub(super) fn read(bytes: &[u8], path: &Path) -> Result<Self> {
        let mut r = Reader { bytes, at: 0, path, inside: "the first bytes".to_owned() };
        let version = r.start()?;
        let tensors = r.count("tensors", TENSORS)?;
        let entries = r.count("metadata entries", ENTRIES)?;
        let begin = r.at;
        let mut keys = HashMap::new();
        let (mut alignment, mut elements) = (ALIGNMENT, 0);
        for i in 0..entries {
            r.inside = format!("metadata entry {i} of {entries} (counted from 0)");
            let key = r.name()?;
            r.inside.clone_from(&key);
            let kind = r.u32()?;
            if key == "general.alignment" {
                alignment = r.alignment(kind)?;
            } else {
                r.value(kind, 0, &mut elements)?;
            }
            if keys.insert(key.clone(), ()).is_some() {
                return Err(r.refuse("the metadata key stands in the file twice").into());
            }
        }
        let extent = begin..r.at;
        let tensors = r.tensors(tensors, alignment)?;
        r.inside = "the metadata".to_owned();
        let metadata = values(&bytes[extent.clone()], version, entries)
            .map_err(|e| r.refuse("the metadata cannot be read").found(e.to_string()))?;
        Ok(Self { metadata, extent, tensors })
    }
}

/// The values of a metadata section that has been validated.
fn values(section: &[u8], version: u32, entries: u64) -> candle_core::Result<HashMap<String, Value>> {
    let mut bytes = Vec::with_capacity(section.len() + 24);
    bytes.extend_from_slice(b"GGUF");
    bytes.extend_from_slice(&version.to_le_bytes());
    // Without tensors, since candle may not know their types.
    bytes.extend_from_slice(&0u64.to_le_bytes());
    bytes.extend_from_slice(&entries.to_le_bytes());
    bytes.extend_from_slice(section);
    Ok(Content::read(&mut Cursor::new(bytes))?.metadata)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    path: &'a Path,
    /// Name of the element being read, for errors.
    inside: String,
}

impl<'a> Reader<'a> {
    fn refuse(&self, what: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Kind::Weights, what).at(Place::file(self.path).id(&self.inside))
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        let rest = self.bytes.len() - self.at;
        match usize::try_from(len).ok().filter(|len| *len <= rest) {
            Some(len) => {
                let taken = &self.bytes[self.at..self.at + len];
                self.at += len;
                Ok(taken)
            }
            None => Err(self
                .refuse("the GGUF file is cut off, or its header is damaged")
                .expected(format!("{len} more bytes at byte {}", self.at))
                .found(format!("{rest} bytes"))
                .remedy("fetch the file again; a download may have been cut off")
                .into()),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Reads magic and version.
    fn start(&mut self) -> Result<u32> {
        let magic = self.take(4)?;
        if magic != b"GGUF" {
            return Err(self
                .refuse("not a GGUF file")
                .expected("a file that begins with `GGUF`")
                .found(format!("`{}`", magic.escape_ascii()))
                .into());
        }
        let version = self.u32()?;
        if !matches!(version, 2 | 3) {
            let mut diagnostic = Diagnostic::new(Kind::Unsupported, "a version of GGUF that cannot be read")
                .at(Place::file(self.path));
            diagnostic = if version & 0xffff == 0 {
                diagnostic.found("a big-endian file").remedy("take the little-endian file of the model")
            } else {
                diagnostic
                    .found(version.to_string())
                    .remedy("convert the model again with a current llama.cpp")
            };
            return Err(diagnostic.expected("version 2 or 3, little-endian").into());
        }
        Ok(version)
    }

    fn count(&mut self, what: &str, most: u64) -> Result<u64> {
        self.inside = format!("the number of {what}");
        let count = self.u64()?;
        if count > most {
            let diagnostic =
                self.refuse("the header claims too much").expected(format!("at most {most} {what}"));
            return Err(diagnostic.found(count.to_string()).into());
        }
        Ok(count)
    }

    fn string(&mut self, most: u64) -> Result<&'a [u8]> {
        let len = self.u64()?;
        if len > most {
            let diagnostic =
                self.refuse("a string that is too long").expected(format!("at most {most} bytes"));
            return Err(diagnostic.found(len.to_string()).into());
        }
        self.take(len)
    }

    fn name(&mut self) -> Result<String> {
        let bytes = self.string(NAME)?;
        match std::str::from_utf8(bytes) {
            Ok(name) if !name.is_empty() && !name.contains('\0') => Ok(name.to_owned()),
            _ => Err(self
                .refuse("a name that is none")
                .expected("text")
                .found(bytes.escape_ascii().to_string())
                .into()),
        }
    }

    fn alignment(&mut self, kind: u32) -> Result<u32> {
        let value = if kind == 4 { Some(self.u32()?) } else { None };
        match value {
            // The format requires a multiple of 8; block data must begin at a multiple of 4.
            Some(value) if value.is_power_of_two() && (8..=1 << 20).contains(&value) => Ok(value),
            other => Err(self
                .refuse("an alignment that cannot be one")
                .expected("a power of two from 8 to 1048576, as a 32-bit unsigned number")
                .found(other.map_or_else(|| format!("a value of type {kind}"), |v| v.to_string()))
                .into()),
        }
    }

    /// Validates and skips a value.
    fn value(&mut self, kind: u32, depth: usize, elements: &mut u64) -> Result<()> {
        match kind {
            0 | 1 => self.take(1).map(drop),
            2 | 3 => self.take(2).map(drop),
            4..=6 => self.take(4).map(drop),
            7 => {
                let byte = self.array::<1>()?[0];
                if byte > 1 {
                    let diagnostic = self.refuse("a truth value that is neither 0 nor 1");
                    return Err(diagnostic.found(byte.to_string()).into());
                }
                Ok(())
            }
            8 => self.string(STRING).map(drop),
            9 => self.list(depth, elements),
            10..=12 => self.take(8).map(drop),
            other => Err(self
                .refuse("a metadata value of a type that is not known")
                .expected("a type from 0 to 12")
                .found(other.to_string())
                .into()),
        }
    }

    fn list(&mut self, depth: usize, elements: &mut u64) -> Result<()> {
        if depth == DEPTH {
            return Err(self
                .refuse("lists within lists, too deep")
                .expected(format!("at most {DEPTH}"))
                .into());
        }
        let kind = self.u32()?;
        let len = self.u64()?;
        *elements = elements.saturating_add(len);
        if *elements > ELEMENTS {
            let diagnostic = self.refuse("the lists of the metadata are too long");
            return Err(diagnostic
                .expected(format!("at most {ELEMENTS} values"))
                .found(elements.to_string())
                .into());
        }
        for _ in 0..len {
            self.value(kind, depth + 1, elements)?;
        }
        Ok(())
    }

    /// Reads the table of tensors and locates the data of each.
    fn tensors(&mut self, count: u64, alignment: u32) -> Result<Vec<(String, Stored)>> {
        let mut table = Vec::new();
        let mut names = HashMap::new();
        for i in 0..count {
            self.inside = format!("tensor {i} of {count} (counted from 0)");
            let name = self.name()?;
            self.inside.clone_from(&name);
            let (shape, dtype, offset) = self.tensor()?;
            let size = self.size(&shape, dtype)?;
            if !offset.is_multiple_of(u64::from(alignment)) {
                let diagnostic = self.refuse("a tensor that is not aligned");
                return Err(diagnostic
                    .expected(format!("a multiple of {alignment}"))
                    .found(offset.to_string())
                    .into());
            }
            if names.insert(name.clone(), ()).is_some() {
                return Err(self.refuse("the tensor stands in the file twice").into());
            }
            table.push((name, shape, dtype, offset, size));
        }
        let data = self.at.next_multiple_of(alignment as usize);
        let mut tensors = Vec::with_capacity(table.len());
        for (name, shape, dtype, offset, size) in table {
            self.inside.clone_from(&name);
            let range = usize::try_from(offset).ok().and_then(|offset| {
                let start = data.checked_add(offset)?;
                Some(start..start.checked_add(size)?)
            });
            match range.filter(|range| range.end <= self.bytes.len()) {
                Some(bytes) => tensors.push((name, Stored { shape, dtype, bytes })),
                None => {
                    return Err(self
                        .refuse("a tensor lies beyond the end of the file")
                        .expected(format!(
                            "{size} bytes at byte {offset} of the data, which begin at byte {data}"
                        ))
                        .found(format!("a file of {} bytes", self.bytes.len()))
                        .remedy("fetch the file again; a download may have been cut off")
                        .into());
                }
            }
        }
        self.apart(&tensors)?;
        Ok(tensors)
    }

    fn tensor(&mut self) -> Result<(Vec<usize>, GgmlDType, u64)> {
        let rank = self.u32()?;
        if !(1..=4).contains(&rank) {
            let diagnostic = self.refuse("a tensor of a rank that cannot be").expected("1 to 4 dimensions");
            return Err(diagnostic.found(rank.to_string()).into());
        }
        let mut shape = Vec::with_capacity(4);
        for _ in 0..rank {
            let size = self.u64()?;
            match usize::try_from(size) {
                Ok(size) if size > 0 => shape.push(size),
                _ => {
                    let diagnostic = self.refuse("a tensor with a dimension that cannot be one");
                    return Err(diagnostic.found(size.to_string()).into());
                }
            }
        }
        shape.reverse();
        let number = self.u32()?;
        let offset = self.u64()?;
        match Type::of(number) {
            Type::Known(dtype) => Ok((shape, dtype, offset)),
            Type::Unread(found) => Err(Error::from(
                Diagnostic::new(Kind::Unsupported, "a tensor of a type that cannot be read")
                    .at(Place::file(self.path).id(&self.inside))
                    .expected("F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1 or Q2_K to Q8_K")
                    .found(format!("type {found}"))
                    .remedy("take another quantisation of the model, for example Q4_K_M or Q8_0"),
            )),
        }
    }

    /// Size of a tensor in bytes.
    fn size(&self, shape: &[usize], dtype: GgmlDType) -> Result<usize> {
        let row = shape.last().copied().unwrap_or_default();
        let (block, bytes) = (dtype.block_size(), dtype.type_size());
        if !row.is_multiple_of(block) {
            let diagnostic = self.refuse("a tensor whose rows are no whole number of blocks");
            return Err(diagnostic
                .expected(format!("rows of a multiple of {block}, as {} has blocks of {block}", name(dtype)))
                .found(format!("shape {shape:?}"))
                .into());
        }
        let count = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        // Half the address space is larger than any file, and the sum of two such sizes cannot overflow.
        let size = count.and_then(|n| (n / block).checked_mul(bytes)).filter(|n| *n <= usize::MAX / 2);
        size.ok_or_else(|| self.refuse("a tensor that is too large").found(format!("shape {shape:?}")).into())
    }

    /// Checks that no two tensors overlap.
    fn apart(&mut self, tensors: &[(String, Stored)]) -> Result<()> {
        let mut order: Vec<_> = tensors.iter().map(|(name, t)| (t.bytes.start, t.bytes.end, name)).collect();
        order.sort_unstable();
        match order.windows(2).find(|pair| pair[1].0 < pair[0].1) {
            None => Ok(()),
            Some(pair) => {
                self.inside.clone_from(pair[1].2);
                let diagnostic = self.refuse("two tensors share bytes of the file");
                Err(diagnostic.found(format!("{} and {}", pair[0].2, pair[1].2)).into())
            }
        }
    }
}
