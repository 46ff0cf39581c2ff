//! The cache shared by all Hugging Face programs: `models--owner--name/{blobs,snapshots,refs}`, and `datasets--…`.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::trouble::{Repository, Trouble};
use super::{DEFAULT_REVISION, Downloads};
use crate::artifact;
use crate::error::Result;

/// The cache of one repository.
pub struct Cache {
    root: PathBuf,
    locks: PathBuf,
}

impl Cache {
    /// The cache folder of one repository.
    pub fn new(cache: &Path, repository: Repository, id: &str) -> Self {
        let name = format!("{}--{}", repository.kind(), id.replace('/', "--"));
        Self { root: cache.join(&name), locks: cache.join(".locks").join(name) }
    }

    /// The commit that a revision referred to when it was last fetched, if the cache has any of it.
    pub fn commit(&self, revision: &str) -> Option<String> {
        let commit = if is_commit(revision) {
            revision.to_owned()
        } else {
            match std::fs::read_to_string(self.root.join("refs").join(revision)) {
                Ok(text) => text.trim().to_owned(),
                Err(_) => self.only_commit().filter(|_| revision == DEFAULT_REVISION)?,
            }
        };
        (is_commit(&commit) && self.snapshot(&commit).is_dir()).then_some(commit)
    }

    /// The commit of a cache that holds exactly one and no refs, as copied caches do.
    fn only_commit(&self) -> Option<String> {
        if std::fs::read_dir(self.root.join("refs")).is_ok_and(|mut refs| refs.next().is_some()) {
            return None;
        }
        let mut entries = std::fs::read_dir(self.root.join("snapshots")).ok()?.flatten();
        let only = entries.next()?.file_name().to_string_lossy().into_owned();
        entries.next().is_none().then_some(only)
    }

    /// Records the commit of a revision.
    pub fn remember(&self, revision: &str, commit: &str) -> Result<()> {
        if is_commit(revision) {
            return Ok(());
        }
        artifact::write_bytes(&self.root.join("refs").join(revision), commit.as_bytes())
    }

    /// Folder of a commit's files.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// The files of a commit, by their paths in the repository.
    pub fn files(&self, commit: &str) -> Vec<String> {
        let mut files = Vec::new();
        list(&self.snapshot(commit), "", &mut files);
        files
    }

    /// Whether the cache has this file of a commit.
    pub fn has(&self, commit: &str, file: &str) -> bool {
        self.snapshot(commit).join(file).is_file()
    }

    /// Path of a blob.
    pub fn blob(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    /// Links a commit's file to a blob.
    pub fn point(&self, commit: &str, file: &str, etag: &str) -> Result<()> {
        // A file in a subfolder of the repository is that much deeper.
        let up = "../".repeat(2 + file.matches('/').count());
        artifact::link(&Path::new(&up).join("blobs").join(etag), &self.snapshot(commit).join(file))
    }

    /// SHA-256 of a file according to the hub, which names large files by it.
    pub fn sha256(&self, commit: &str, file: &str) -> Option<String> {
        let target = std::fs::read_link(self.snapshot(commit).join(file)).ok()?;
        let name = target.file_name()?.to_str()?;
        is_sha256(name).then(|| name.to_owned())
    }

    /// Locks a blob; waits while another process fetches it.
    pub fn lock(&self, etag: &str, downloads: &mut dyn Downloads) -> Result<File, Trouble> {
        artifact::create_folder(&self.locks)?;
        let path = self.locks.join(format!("{etag}.lock"));
        loop {
            if let Some(lock) = artifact::lock(&path)? {
                return Ok(lock);
            }
            downloads.advance(0)?;
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

/// Lists the files under a folder, by their relative paths.
fn list(folder: &Path, prefix: &str, out: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        if path.is_dir() { list(&path, &format!("{name}/"), out) } else { out.push(name) }
    }
}

/// Whether the text is a commit id: 40 hexadecimal digits.
pub fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether an etag is a SHA-256 hash.
pub fn is_sha256(etag: &str) -> bool {
    etag.len() == 64 && etag.bytes().all(|b| b.is_ascii_hexdigit())
}
