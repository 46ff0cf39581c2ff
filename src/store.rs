//! Finished pieces of a job, each complete, hashed and labelled with its work, on disk or in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ndarray::{ArrayD, IxDyn};
use safetensors::tensor::SafeTensors;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::artifact;
use crate::error::{Diagnostic, Kind, Place, Result};

/// A store of shards: a folder held by one process, or by several that share it, or the memory of this process.
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

/// What a store has under a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// A shard that verifies.
    Whole(Shard),
    /// A file that is cut off, altered, or of other work.
    Damaged,
    /// Nothing.
    Absent,
}

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

    /// Opens the folder, creating it if needed, together with other processes that share it. Shards are written whole,
    /// so two processes that compute the same one leave the same file.
    ///
    /// # Errors
    /// [`Kind::RunConflict`] if a process holds it alone.
    pub fn share(folder: &Path) -> Result<Self> {
        artifact::create_folder(folder)?;
        match artifact::lock_shared(&folder.join(".lock"))? {
            Some(lock) => Ok(Self(Backend::Folder { folder: folder.to_owned(), _lock: lock })),
            None => {
                Err(Diagnostic::new(Kind::RunConflict, "the folder is in use by a run that is not in parts")
                    .at(Place::file(folder))
                    .remedy("wait for the other process, or choose another --out")
                    .into())
            }
        }
    }

    /// A store in memory, for jobs that fit there and need not survive the process.
    pub fn in_memory() -> Self {
        Self(Backend::Memory(Mutex::default()))
    }

    /// The shard with this key, if it exists, is complete, and has this fingerprint.
    pub fn get(&self, key: &str, fingerprint: &str) -> Option<Shard> {
        match self.find(key, fingerprint) {
            Found::Whole(shard) => Some(shard),
            Found::Damaged => {
                tracing::warn!(key, "a shard does not verify and is computed again");
                None
            }
            Found::Absent => None,
        }
    }

    /// What is there under a key: a shard counts as whole if its fingerprint and its hash agree.
    pub fn find(&self, key: &str, fingerprint: &str) -> Found {
        let folder = match &self.0 {
            Backend::Folder { folder, .. } => folder,
            Backend::Memory(shards) => {
                let shards = shards.lock().unwrap_or_else(PoisonError::into_inner);
                let own = shards.get(key).filter(|(own, _)| own == fingerprint);
                return own.map_or(Found::Absent, |(_, shard)| Found::Whole(shard.clone()));
            }
        };
        let Ok(bytes) = fs::read(path(folder, key)) else { return Found::Absent };
        let notes = SafeTensors::read_metadata(&bytes).ok().and_then(|(_, m)| m.metadata().clone());
        match (parse(&bytes), notes) {
            (Some(shard), Some(notes))
                if notes.get("fingerprint").map(String::as_str) == Some(fingerprint)
                    && notes.get("sha256") == Some(&digest(&shard)) =>
            {
                Found::Whole(shard)
            }
            _ => Found::Damaged,
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
        artifact::write_bytes(&path(folder, key), &serialised(shard, fingerprint))
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
    folder.join(file(key))
}

/// Name of a shard's file.
pub fn file(key: &str) -> String {
    format!("{key}.safetensors")
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

/// The file of a shard, in the safetensors format: equal shards give equal bytes, which the library's own writer does
/// not promise, because it orders metadata by a hash table.
fn serialised(shard: &Shard, fingerprint: &str) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), json!({"fingerprint": fingerprint, "sha256": digest(shard)}));
    let mut at = 0;
    for (name, array) in shard {
        let end = at + array.len() * size_of::<f32>();
        header
            .insert(name.clone(), json!({"dtype": "F32", "shape": array.shape(), "data_offsets": [at, end]}));
        at = end;
    }
    let mut text = serde_json::Value::Object(header).to_string().into_bytes();
    // The data begin at a multiple of eight bytes.
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut out = Vec::with_capacity(size_of::<u64>() + text.len() + at);
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text);
    out.extend(shard.values().flatten().flat_map(|value| value.to_le_bytes()));
    out
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
    fn equal_shards_are_equal_files_that_the_library_reads() {
        let bytes = serialised(&shard(), "work \"a\"");
        assert_eq!(bytes, serialised(&shard(), "work \"a\""));
        let tensors = SafeTensors::deserialize(&bytes).expect("the library reads it");
        assert_eq!(tensors.tensor("resid").expect("an array").shape(), [2, 1, 3]);
        assert_eq!(parse(&bytes), Some(shard()));
        assert_eq!(parse(&serialised(&Shard::new(), "nothing")), Some(Shard::new()));
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
        assert!(Store::share(folder.path()).is_err(), "nor is it shared");
        drop(first);
        Store::open(folder.path()).expect("free again");
    }

    #[test]
    fn several_share_a_folder_and_none_has_it_alone_meanwhile() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let cut = folder.path().join(".vstar-1-x.tmp");
        fs::write(&cut, b"another's write").expect("write");
        let (one, two) = (Store::share(folder.path()), Store::share(folder.path()));
        let (one, two) = (one.expect("shared"), two.expect("shared"));
        assert!(cut.exists(), "another process may be writing it");
        assert_eq!(Store::open(folder.path()).expect_err("shared").kind(), Some(Kind::RunConflict));
        one.put("rows-0", "work", &shard()).expect("put");
        two.put("rows-0", "work", &shard()).expect("put");
        assert_eq!(two.find("rows-0", "work"), Found::Whole(shard()));
        assert_eq!(two.find("rows-0", "other work"), Found::Damaged);
        assert_eq!(two.find("rows-1", "work"), Found::Absent);
        drop((one, two));
        Store::open(folder.path()).expect("free again");
        assert!(!cut.exists());
    }
}
