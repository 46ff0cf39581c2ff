//! Where the files of a model lie on this disk, whatever they came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use crate::artifact;
use crate::error::{Error, Kind, Place, Refusal, Result};

/// The files of a model: a folder in Hugging Face layout, and what is known about it.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    folder: PathBuf,
    revision: String,
    promised: BTreeMap<String, String>,
    /// Keeps files that came from memory until the last user is gone.
    _temporary: Option<Arc<TempDir>>,
}

impl ModelFiles {
    /// A folder that the user named.
    pub fn folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            revision: String::new(),
            promised: BTreeMap::new(),
            _temporary: None,
        }
    }

    /// A commit in the hub's cache; `promised` is the SHA-256 of each weight file that the hub gave one for.
    pub fn cached(folder: PathBuf, commit: String, promised: BTreeMap<String, String>) -> Self {
        Self { folder, revision: commit, promised, _temporary: None }
    }

    /// Files that come with the program: they are written to a temporary folder, from which the weights are
    /// mapped as any other.
    ///
    /// # Errors
    /// The file system's error.
    pub fn in_memory(files: &[(&str, &[u8])]) -> Result<Self> {
        let temporary = tempfile::Builder::new()
            .prefix("vstar-model-")
            .tempdir()
            .map_err(|e| Error::io("make folder", std::env::temp_dir(), e))?;
        for (name, bytes) in files {
            artifact::write_bytes(&temporary.path().join(name), bytes)?;
        }
        let mut files = Self::folder(temporary.path());
        files._temporary = Some(Arc::new(temporary));
        Ok(files)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The commit on the hub; empty where there is none.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Compares the weights with what the hub promised.
    ///
    /// # Errors
    /// [`Kind::Weights`] for a file whose hash is another.
    pub fn verify(&self, weights_sha256: &BTreeMap<String, String>) -> Result<()> {
        for (file, promised) in &self.promised {
            match weights_sha256.get(file) {
                Some(found) if !found.eq_ignore_ascii_case(promised) => {
                    return Err(Refusal::new(Kind::Weights, "a file in the cache is not what the hub sent")
                        .at(Place::file(self.folder.join(file)))
                        .expected(format!("SHA-256 {promised}"))
                        .found(format!("SHA-256 {found}"))
                        .remedy("delete the file, and run again to fetch it anew")
                        .into());
                }
                _ => {}
            }
        }
        Ok(())
    }
}
