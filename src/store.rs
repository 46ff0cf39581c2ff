//! Finished pieces of a job, each complete, hashed and labelled with its work, on disk or in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayD, IxDyn};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use sha2::{Digest, Sha256};

use crate::artifact;
use crate::error::{Diagnostic, Error, Kind, Place, Result};

/// A store of shards: a folder held by one process at a time, or the memory of this process.
///
/// A shard is the result of one unit of work. Its file carries a fingerprint of the work (everything that determines
/// its numbers) and a hash of its data: a shard with another fingerprint, or that fails verification, counts as
/// missing and is computed again.
#[derive(Debug)]
pub struct Store(Backend);

#[derive(Debug)]
enum Backend {
    Folder {
        folder: PathBuf,
        // Held for its lock, which the system releases when the process ends for any reason.
        _lock: File,
    },
    /// By key, with the fingerprint of the work.
    Memory(Mutex<BTreeMap<String, (String, Shard)>>),
}

/// Named arrays of f32.
pub type Shard = BTreeMap<String, ArrayD<f32>>;

impl Store {
    /// Opens the folder, creating it if needed, and takes its lock.
    ///
    /// # Errors
    /// [`Kind::RunConflict`] if another process holds it.
    pub fn open(folder: &Path) -> Result<Self> {
        artifact::create_folder(folder)?;
        match artifact::lock(&folder.join(".lock"))? {
            Some(lock) => {
                artifact::clear_cut_off(folder)?;
                Ok(Self(Backend::Folder { folder: folder.to_owned(), _lock: lock }))
            }
            None => Err(Diagnostic::new(Kind::RunConflict, "the folder is in use by another process")
                .at(Place::file(folder))
                .remedy("wait for the other process, or choose another --out")
                .into()),
        }
    }

    /// A store in memory, for jobs that fit there and need not survive the process.
    pub fn in_memory() -> Self {
        Self(Backend::Memory(Mutex::default()))
    }

    /// The shard with this key, if it exists, is complete, and has this fingerprint.
    pub fn get(&self, key: &str, fingerprint: &str) -> Option<Shard> {
        let folder = match &self.0 {
            Backend::Folder { folder, .. } => folder,
            Backend::Memory(shards) => {
                let shards = shards.lock().unwrap_or_else(PoisonError::into_inner);
                return shards.get(key).filter(|(own, _)| own == fingerprint).map(|(_, shard)| shard.clone());
            }
        };
        let bytes = fs::read(path(folder, key)).ok()?;
        let shard = parse(&bytes);
        let (_, metadata) = SafeTensors::read_metadata(&bytes).ok()?;
        let notes = metadata.metadata().as_ref()?;
        match shard {
            Some(shard)
                if notes.get("fingerprint").map(String::as_str) == Some(fingerprint)
                    && notes.get("sha256") == Some(&digest(&shard)) =>
            {
                Some(shard)
            }
            _ => {
                tracing::warn!(key, "a shard does not verify and is computed again");
                None
            }
        }
    }

    /// Writes a shard atomically.
    ///
    /// # Errors
    /// The file system's error.
    pub fn put(&self, key: &str, fingerprint: &str, shard: &Shard) -> Result<()> {
        let folder = match &self.0 {
            Backend::Folder { folder, .. } => folder,
            Backend::Memory(shards) => {
                let mut shards = shards.lock().unwrap_or_else(PoisonError::into_inner);
                shards.insert(key.to_owned(), (fingerprint.to_owned(), shard.clone()));
                return Ok(());
            }
        };
        let bytes: Vec<Vec<u8>> =
            shard.values().map(|a| a.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
        let views = shard.iter().zip(&bytes).map(|((name, array), bytes)| {
            TensorView::new(Dtype::F32, array.shape().to_vec(), bytes).map(|view| (name.as_str(), view))
        });
        let views = views.collect::<std::result::Result<Vec<_>, _>>().map_err(|e| broken(&e))?;
        let notes = [("fingerprint", fingerprint.to_owned()), ("sha256", digest(shard))];
        let notes = notes.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        let file = safetensors::serialize(views, Some(notes)).map_err(|e| broken(&e))?;
        artifact::write_bytes(&path(folder, key), &file)
    }

    /// Removes the folder with all its shards.
    ///
    /// # Errors
    /// The file system's error.
    pub fn remove(self) -> Result<()> {
        match &self.0 {
            Backend::Folder { folder, .. } => artifact::remove_folder(folder),
            Backend::Memory(_) => Ok(()),
        }
    }
}

fn path(folder: &Path, key: &str) -> PathBuf {
    folder.join(format!("{key}.safetensors"))
}

/// Names of the arrays of a shard with this fingerprint, from its header alone: takes no lock and verifies no data.
/// Empty if there is none. For estimates of the remaining work.
pub fn names(folder: &Path, key: &str, fingerprint: &str) -> BTreeSet<String> {
    header(&path(folder, key))
        .filter(|header| header["__metadata__"]["fingerprint"] == fingerprint)
        .and_then(|header| {
            Some(header.as_object()?.keys().filter(|k| *k != "__metadata__").cloned().collect())
        })
        .unwrap_or_default()
}

/// Maximum length of a header in bytes.
const MAX_HEADER: u64 = 16 << 20;

fn header(path: &Path) -> Option<serde_json::Value> {
    let mut file = File::open(path).ok()?;
    let mut length = [0u8; 8];
    file.read_exact(&mut length).ok()?;
    let length = u64::from_le_bytes(length).min(MAX_HEADER);
    let mut text = Vec::new();
    file.take(length).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn parse(bytes: &[u8]) -> Option<Shard> {
    let tensors = SafeTensors::deserialize(bytes).ok()?;
    let mut shard = Shard::new();
    for (name, view) in tensors.tensors() {
        let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        shard.insert(name, ArrayD::from_shape_vec(IxDyn(view.shape()), values).ok()?);
    }
    Some(shard)
}

/// Hash of names, shapes and values.
fn digest(shard: &Shard) -> String {
    let mut hasher = Sha256::new();
    for (name, array) in shard {
        hasher.update(format!("{name:?} {:?}\n", array.shape()));
        for value in array {
            hasher.update(value.to_le_bytes());
        }
    }
    artifact::hex(&hasher.finalize())
}

fn broken(error: &safetensors::SafeTensorError) -> Error {
    Diagnostic::new(Kind::Malformed, "a shard cannot be serialised").found(error.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard() -> Shard {
        let array = |v: Vec<f32>, shape: &[usize]| ArrayD::from_shape_vec(IxDyn(shape), v).expect("shape");
        [
            ("resid".to_owned(), array(vec![1.0, -2.5, f32::MIN_POSITIVE, 4.0, 5.0, 6.0], &[2, 1, 3])),
            ("logprob".to_owned(), array(vec![-7.0, -8.0], &[2])),
        ]
        .into_iter()
        .collect()
    }

    #[test]
    fn a_shard_comes_back_as_it_was_and_only_for_its_own_work() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let store = Store::open(folder.path()).expect("store");
        store.put("rows-0", "work a", &shard()).expect("put");
        assert_eq!(store.get("rows-0", "work a"), Some(shard()));
        assert_eq!(store.get("rows-0", "work b"), None);
        assert_eq!(store.get("rows-1", "work a"), None);
        let memory = Store::in_memory();
        memory.put("rows-0", "work a", &shard()).expect("put");
        assert_eq!(memory.get("rows-0", "work a"), Some(shard()));
        assert_eq!((memory.get("rows-0", "work b"), memory.get("rows-1", "work a")), (None, None));
        let own: Vec<String> = names(folder.path(), "rows-0", "work a").into_iter().collect();
        assert_eq!(own, ["logprob", "resid"]);
        assert!(names(folder.path(), "rows-0", "work b").is_empty());
        assert!(names(folder.path(), "rows-1", "work a").is_empty());
        fs::write(folder.path().join("rows-2.safetensors"), [0xff; 9]).expect("write");
        assert!(names(folder.path(), "rows-2", "work a").is_empty());
    }

    #[test]
    fn any_damaged_byte_makes_a_shard_count_as_missing() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let store = Store::open(folder.path()).expect("store");
        store.put("rows-0", "work", &shard()).expect("put");
        let path = folder.path().join("rows-0.safetensors");
        let whole = fs::read(&path).expect("bytes");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).expect("write");
            let got = store.get("rows-0", "work");
            assert!(got.is_none() || got == Some(shard()), "byte {at}");
            fs::write(&path, &whole[..at]).expect("write");
            assert_eq!(store.get("rows-0", "work"), None, "cut at {at}");
        }
    }

    #[test]
    fn a_folder_in_use_is_refused() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let first = Store::open(folder.path()).expect("store");
        let second = Store::open(folder.path()).expect_err("locked");
        assert_eq!(second.kind(), Some(Kind::RunConflict));
        drop(first);
        Store::open(folder.path()).expect("free again");
    }
}
