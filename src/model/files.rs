//! Local paths of a model's files, whatever their origin.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use crate::artifact;
use crate::error::{Diagnostic, Error, Kind, Place, Result};

/// The files of a model: a folder in Hugging Face layout or a GGUF file, with their provenance.
#[derive(Debug, Clone)]
pub struct ModelFiles {
    folder: PathBuf,
    gguf: Option<PathBuf>,
    tokenizer: Option<PathBuf>,
    revision: String,
    promised: BTreeMap<String, String>,
    /// Keeps the temporary folder of an embedded model until its last user is dropped.
    _temporary: Option<Arc<TempDir>>,
}

impl ModelFiles {
    /// A folder given by the user.
    pub fn folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            gguf: None,
            tokenizer: None,
            revision: String::new(),
            promised: BTreeMap::new(),
            _temporary: None,
        }
    }

    /// A GGUF file given by the user; any part of a split model.
    pub fn gguf_file(file: &Path) -> Self {
        let folder = file.parent().map(Path::to_owned).unwrap_or_default();
        Self { gguf: Some(file.to_owned()), ..Self::folder(&folder) }
    }

    /// A commit in the hub's cache; `promised` is the SHA-256 of each weight file for which the hub gave one.
    pub fn cached(folder: PathBuf, commit: String, promised: BTreeMap<String, String>) -> Self {
        Self { revision: commit, promised, ..Self::folder(&folder) }
    }

    /// The same files, with the GGUF file of this name in the commit as the model.
    #[must_use]
    pub fn with_gguf(mut self, name: &str) -> Self {
        self.gguf = Some(self.folder.join(name));
        self
    }

    /// Files embedded in the program, written to a temporary folder, from which the weights are mapped like any others.
    ///
    /// # Errors
    /// The file system's error.
    pub fn in_memory(files: &[(&str, &[u8])]) -> Result<Self> {
        const PREFIX: &str = "vstar-model-";
        // Removes folders of processes that were killed before they could clean up.
        artifact::clear_dead(&std::env::temp_dir(), PREFIX);
        let temporary = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir()
            .map_err(|e| Error::io("make folder", std::env::temp_dir(), e))?;
        for (name, bytes) in files {
            artifact::write_bytes(&temporary.path().join(name), bytes)?;
        }
        let mut files = Self::folder(temporary.path());
        files._temporary = Some(Arc::new(temporary));
        Ok(files)
    }

    /// Replaces the tokenizer by another one: a `tokenizer.json`, or the folder that holds it.
    #[must_use]
    pub fn with_tokenizer(mut self, tokenizer: Option<&Path>) -> Self {
        self.tokenizer = tokenizer.map(Path::to_owned);
        self
    }

    /// The tokenizer used instead of the model's: `tokenizer.json` in a folder, or a file.
    pub fn tokenizer(&self) -> Option<PathBuf> {
        self.tokenizer
            .as_ref()
            .map(|path| if path.is_dir() { path.join("tokenizer.json") } else { path.clone() })
    }

    /// The model's folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The GGUF file, if the model is one; any part of a split model.
    pub fn gguf(&self) -> Option<&Path> {
        self.gguf.as_deref()
    }

    /// The commit on the hub; empty for models from elsewhere.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// Compares the weights' hashes with those given by the hub.
    ///
    /// # Errors
    /// [`Kind::Weights`] for a file with a different hash.
    pub fn verify(&self, weights_sha256: &BTreeMap<String, String>) -> Result<()> {
        for (file, promised) in &self.promised {
            // Weights are keyed by file name; GGUF files may be in subfolders of the repository.
            match weights_sha256.get(file.rsplit('/').next().unwrap_or(file)) {
                Some(found) if !found.eq_ignore_ascii_case(promised) => {
                    return Err(Diagnostic::new(
                        Kind::Weights,
                        "a file in the cache is not what the hub sent",
                    )
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
