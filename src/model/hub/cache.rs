//! The cache that all Hugging Face programs share: `models--owner--name/{blobs,snapshots,refs}`, and `datasets--…`.

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
    /// The part of a cache that belongs to a repository.
    pub fn new(cache: &Path, repository: Repository, id: &str) -> Self {
        let name = format!("{}--{}", repository.kind(), id.replace('/', "--"));
        Self { root: cache.join(&name), locks: cache.join(".locks").join(name) }
    }

    /// The commit that a revision stood for when it was last fetched, if the cache has anything of it.
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

    /// The commit of a cache that holds one and does not say what it stands for, as copied caches do.
    fn only_commit(&self) -> Option<String> {
        if std::fs::read_dir(self.root.join("refs")).is_ok_and(|mut refs| refs.next().is_some()) {
            return None;
        }
        let mut entries = std::fs::read_dir(self.root.join("snapshots")).ok()?.flatten();
        let only = entries.next()?.file_name().to_string_lossy().into_owned();
        entries.next().is_none().then_some(only)
    }

    /// Records what a revision stands for.
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

    /// Whether a file of a commit is there.
    pub fn has(&self, commit: &str, file: &str) -> bool {
        self.snapshot(commit).join(file).is_file()
    }

    /// Where a content lies.
    pub fn blob(&self, etag: &str) -> PathBuf {
        self.root.join("blobs").join(etag)
    }

    /// Lets a commit's file stand for a content.
    pub fn point(&self, commit: &str, file: &str, etag: &str) -> Result<()> {
        // A file in a folder of the repository lies that much deeper.
        let up = "../".repeat(2 + file.matches('/').count());
        artifact::link(&Path::new(&up).join("blobs").join(etag), &self.snapshot(commit).join(file))
    }

    /// SHA-256 of a file as the hub gave it: large files are named by it.
    pub fn sha256(&self, commit: &str, file: &str) -> Option<String> {
        let target = std::fs::read_link(self.snapshot(commit).join(file)).ok()?;
        let name = target.file_name()?.to_str()?;
        is_sha256(name).then(|| name.to_owned())
    }

    /// Waits until no other process fetches this content.
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

/// The files under a folder, by their paths from there.
fn list(folder: &Path, prefix: &str, out: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let path = entry.path();
        if path.is_dir() { list(&path, &format!("{name}/"), out) } else { out.push(name) }
    }
}

/// Whether this is a commit: 40 hexadecimal digits.
pub fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether an etag is the SHA-256 of the content.
pub fn is_sha256(etag: &str) -> bool {
    etag.len() == 64 && etag.bytes().all(|b| b.is_ascii_hexdigit())
}
