//! Functions common to all weight files: mapping, tracking requested tensors, and errors.

use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device};
use memmap2::Mmap;

use super::TensorSource;
use crate::error::{Diagnostic, Error, Kind, Place, Result};

/// Weights in one or more files.
pub trait WeightFiles: TensorSource + Send + Sync {
    /// Paths of the files.
    fn paths(&self) -> Vec<&Path>;

    /// Number of parameters in the files.
    fn parameters(&self) -> usize;

    /// Names of tensors that were not requested; a forward pass that ignores a weight needs attention. Buffers in old
    /// checkpoints that follow from the config (causal masks, rotary frequencies) are not listed.
    fn unused(&self) -> Vec<String>;

    /// Checks that the tensors not requested may be ignored, after the decoder has read its own.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for a tensor that belongs to the computation as far as the format tells.
    fn may_be_left_out(&self) -> Result<()> {
        Ok(())
    }
}

/// A file mapped into memory.
pub(in crate::model) struct Mapped {
    path: PathBuf,
    file: File,
    map: Mmap,
}

/// Ranges of at least this size are read through the map; a smaller one would fault in its neighbours, which adds up
/// when single rows of a large matrix are read.
const MAPPED: usize = 1 << 20;

impl Mapped {
    /// Maps a file.
    ///
    /// # Errors
    /// The file system's error.
    pub(in crate::model) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("read", path, e))?;
        // SAFETY: the map is read-only; truncation by another process while it is mapped causes a fault, as with every
        // memory-mapped checkpoint, and cannot be prevented here.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io("map", path, e))?;
        Ok(Self { path: path.to_owned(), file, map })
    }

    /// Path of the file.
    pub(in crate::model) fn path(&self) -> &Path {
        &self.path
    }

    /// All bytes of the file.
    pub(in crate::model) fn whole(&self) -> &[u8] {
        &self.map
    }

    /// Calls `f` with a range of bytes and then releases the mapped pages, so that the data are in memory only once.
    ///
    /// # Errors
    /// The file system's error, and the errors of `f`.
    pub(in crate::model) fn read<R>(
        &self,
        range: Range<usize>,
        f: impl FnOnce(&[u8]) -> Result<R>,
    ) -> Result<R> {
        #[cfg(unix)]
        if range.len() < MAPPED {
            let mut bytes = vec![0; range.len()];
            std::os::unix::fs::FileExt::read_exact_at(&self.file, &mut bytes, range.start as u64)
                .map_err(|e| Error::io("read", &self.path, e))?;
            return f(&bytes);
        }
        let result = f(&self.map[range.clone()]);
        self.release(range);
        result
    }

    fn release(&self, range: Range<usize>) {
        #[cfg(unix)]
        if range.len() >= MAPPED {
            // SAFETY: the map is a read-only view of a file; released pages are read again from it.
            let released = unsafe {
                self.map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len())
            };
            if let Err(e) = released {
                tracing::debug!(error = %e, "mapped weights stay in memory");
            }
        }
        #[cfg(not(unix))]
        let _ = range;
    }
}

/// Names of the requested tensors.
#[derive(Default)]
pub(in crate::model) struct RequestedTensors(Mutex<BTreeSet<String>>);

impl RequestedTensors {
    pub(in crate::model) fn note(&self, name: &str) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !names.contains(name) {
            names.insert(name.to_owned());
        }
    }

    /// All requested names.
    pub(in crate::model) fn names(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(in crate::model) fn contains(&self, name: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }
}

/// The dtype in which a matrix is kept: on the CPU, f32 is computed directly from narrower weights.
pub(in crate::model) fn kept(stored: DType, dtype: DType, device: &Device) -> DType {
    let narrow = matches!(stored, DType::BF16 | DType::F16);
    if device.is_cpu() && dtype == DType::F32 && narrow { stored } else { dtype }
}

/// The error for a tensor missing from the files at `place`, which contain `names`.
pub(in crate::model) fn missing<'a>(
    name: &str,
    shape: &[usize],
    place: Place,
    names: impl ExactSizeIterator<Item = &'a String>,
) -> Error {
    let count = names.len();
    let nearest = names
        .map(|k| (strsim::normalized_levenshtein(k, name), k))
        .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(a.1)))
        .map_or_else(|| "an empty checkpoint".to_owned(), |(_, k)| format!("nearest name: {k}"));
    Diagnostic::new(Kind::Weights, "the checkpoint lacks a tensor")
        .at(place.id(name))
        .expected(format!("shape {shape:?}"))
        .found(format!("{count} tensors, {nearest}"))
        .remedy("check that all shards are there and that config.json belongs to them")
        .into()
}
