//! Safetensors files of any size: validates the header once, and reads and writes tensors piece by piece.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};

use crate::artifact;
use crate::error::{Diagnostic, Error, Kind, Place, Result};

/// Maximum header size, far above any written here: thousands of tensors take a few hundred kB.
const LARGEST_HEADER: u64 = 100_000_000;
const COPY_BUFFER: usize = 1 << 20;

/// An open file. Uses positioned reads, not a memory map: a file truncated by another program while it is read gives an
/// error instead of killing the process.
#[derive(Debug)]
pub(super) struct Container {
    path: PathBuf,
    file: Mutex<File>,
    data_start: u64,
    header: Metadata,
}

impl Container {
    /// Opens a file and checks its header against its length: distinct names, contiguous tensors that fill the file,
    /// sizes that agree with shape and dtype.
    pub fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        let length = file.metadata().map_err(|e| Error::io("read", path, e))?.len();
        let broken = |what: &str| {
            Diagnostic::new(Kind::Malformed, format!("not a whole safetensors file: {what}"))
                .at(Place::file(path))
                .remedy("write the file again; it may have been cut short")
        };
        let mut size = [0u8; 8];
        if length < 8 {
            return Err(broken("it is shorter than the length of its header")
                .found(format!("{length} bytes"))
                .into());
        }
        file.read_exact(&mut size).map_err(|e| Error::io("read", path, e))?;
        let size = u64::from_le_bytes(size);
        if size > LARGEST_HEADER || size > length - 8 {
            return Err(broken("the header is said to be longer than the file, or than any header can be")
                .found(format!("{size} bytes of header in a file of {length}"))
                .into());
        }
        let mut text = vec![0u8; usize::try_from(size).map_err(|_| broken("header too long"))?];
        file.read_exact(&mut text).map_err(|e| Error::io("read", path, e))?;
        if let Some(name) =
            repeated_key(&text).map_err(|e| broken("the header does not parse").found(e.to_string()))?
        {
            return Err(broken("a name stands twice in the header").found(name).into());
        }
        let header: Metadata = serde_json::from_slice(&text)
            .map_err(|e| broken("the header contradicts itself").found(e.to_string()))?;
        let data_start = 8 + size;
        let end = u64::try_from(header.data_len()).ok().and_then(|n| n.checked_add(data_start));
        if end != Some(length) {
            return Err(broken("its tensors do not end where the file ends")
                .expected(format!("{} bytes of tensors", header.data_len()))
                .found(format!("{} bytes", length - data_start))
                .into());
        }
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), data_start, header })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The strings under `__metadata__`.
    pub fn entries(&self) -> BTreeMap<String, String> {
        self.header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Names of the tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.header.offset_keys();
        names.sort();
        names
    }

    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.header.info(name)
    }

    /// Fills `buffer` from a byte `offset` into a tensor.
    pub fn read_at(&self, info: &TensorInfo, offset: u64, buffer: &mut [u8]) -> Result<()> {
        // A panic while the lock was held leaves no inconsistent state: every read seeks first.
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let start = self.data_start + info.data_offsets.0 as u64 + offset;
        file.seek(SeekFrom::Start(start))
            .and_then(|_| file.read_exact(buffer))
            .map_err(|e| Error::io("read", &self.path, e))
    }

    /// All bytes of a tensor.
    pub fn bytes(&self, info: &TensorInfo) -> Result<Vec<u8>> {
        let mut bytes = vec![0u8; info.data_offsets.1 - info.data_offsets.0];
        self.read_at(info, 0, &mut bytes)?;
        Ok(bytes)
    }
}

/// Source of a tensor's bytes when a file is written.
pub(super) enum Source<'a> {
    /// From memory.
    Bytes(Vec<u8>),
    /// From another file, unchanged.
    Copy(&'a Container, TensorInfo),
    /// Written in pieces by the caller, who must write exactly the number of bytes that the shape requires.
    Stream(&'a mut dyn FnMut(&mut dyn Write) -> Result<()>),
}

/// One tensor of a file to be written.
pub(super) struct Part<'a> {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub source: Source<'a>,
}

/// Writes a safetensors file atomically, with the tensors in the order given. Equal parts give equal bytes.
pub(super) fn write(path: &Path, entries: &BTreeMap<String, String>, parts: Vec<Part<'_>>) -> Result<()> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".to_owned(), serde_json::json!(entries));
    let mut start = 0usize;
    for part in &parts {
        let end = start + size(part)?;
        let info = TensorInfo { dtype: part.dtype, shape: part.shape.clone(), data_offsets: (start, end) };
        header.insert(part.name.clone(), serde_json::json!(info));
        start = end;
    }
    let mut text = serde_json::Value::Object(header).to_string().into_bytes();
    // Readers that map the file need aligned tensors: the format pads the header with spaces.
    text.resize(text.len().next_multiple_of(8), b' ');
    let failed = |e| Error::io("write", path, e);
    artifact::write_with(path, |w| {
        w.write_all(&(text.len() as u64).to_le_bytes()).map_err(failed)?;
        w.write_all(&text).map_err(failed)?;
        for part in parts {
            let expected = size(&part)?;
            let mut counted = CountingWriter { inner: &mut *w, bytes: 0 };
            match part.source {
                Source::Bytes(bytes) => counted.write_all(&bytes).map_err(failed)?,
                Source::Copy(from, info) => copy(from, &info, &mut counted, path)?,
                Source::Stream(fill) => fill(&mut counted)?,
            }
            if counted.bytes != expected {
                return Err(Diagnostic::new(Kind::Invalid, "a tensor came in another size than announced")
                    .at(Place::file(path).id(&part.name))
                    .expected(format!("{expected} bytes"))
                    .found(format!("{} bytes", counted.bytes))
                    .into());
            }
        }
        Ok(())
    })
}

fn size(part: &Part<'_>) -> Result<usize> {
    let bits = part.shape.iter().try_fold(part.dtype.bitsize(), |n, &s| n.checked_mul(s));
    bits.map(|b| b / 8).ok_or_else(|| {
        Diagnostic::new(Kind::Invalid, "a tensor too large to be written")
            .at(Place::default().id(&part.name))
            .found(format!("shape {:?}", part.shape))
            .into()
    })
}

fn copy(from: &Container, info: &TensorInfo, to: &mut dyn Write, path: &Path) -> Result<()> {
    let total = info.data_offsets.1 - info.data_offsets.0;
    let mut buffer = vec![0u8; COPY_BUFFER.min(total)];
    let mut done = 0;
    while done < total {
        let n = buffer.len().min(total - done);
        from.read_at(info, done as u64, &mut buffer[..n])?;
        to.write_all(&buffer[..n]).map_err(|e| Error::io("write", path, e))?;
        done += n;
    }
    Ok(())
}

struct CountingWriter<'a> {
    inner: &'a mut dyn Write,
    bytes: usize,
}

impl Write for CountingWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.bytes += n;
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// The first duplicate key in a JSON object. Parsers differ in which value they keep, so programs would interpret such
/// a file differently.
fn repeated_key(json: &[u8]) -> serde_json::Result<Option<String>> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Option<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object of tensors")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
            let mut seen = HashSet::new();
            let mut twice = None;
            while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                if !seen.insert(key.clone()) {
                    twice.get_or_insert(key);
                }
            }
            Ok(twice)
        }
    }
    serde_json::Deserializer::from_slice(json).deserialize_map(Keys)
}
