//! Writes files atomically: to a temporary file next to the target, synced, then renamed. The only module that writes
//! files.

#![allow(clippy::disallowed_methods)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Prefix (before the process id) and suffix of the name of a temporary file.
const PREFIX: &str = ".vstar-";
const SUFFIX: &str = ".tmp";

/// Writes a file atomically: `fill` writes to a temporary file in the same folder, which is synced and renamed to
/// `path` only if `fill` succeeded. Creates missing folders.
///
/// # Errors
/// Errors of `fill`, or the file system's error with the path.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_folder(folder)?;
    persist(filled(folder, path, fill)?, path)
}

/// A synced temporary file in a folder, with what `fill` writes.
fn filled(
    folder: &Path,
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<()>,
) -> Result<tempfile::NamedTempFile> {
    let mut temporary = tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{}-", std::process::id()))
        .suffix(SUFFIX)
        .tempfile_in(folder)
        .map_err(|e| Error::io("write into", folder, e))?;
    {
        let mut writer = BufWriter::with_capacity(1 << 20, temporary.as_file_mut());
        fill(&mut writer)?;
        writer.flush().map_err(|e| Error::io("write", path, e))?;
    }
    temporary.as_file().sync_all().map_err(|e| Error::io("write", path, e))?;
    set_ordinary_permissions(temporary.as_file()).map_err(|e| Error::io("write", path, e))?;
    Ok(temporary)
}

fn persist(temporary: tempfile::NamedTempFile, path: &Path) -> Result<()> {
    temporary.persist(path).map(|_| ()).map_err(|e| Error::io("rename into place", path, e.error))
}

/// Writes files that belong together: all are written to temporary files before the first is renamed. The last file
/// marks the set as complete: it is removed first and renamed last, so that it never exists beside files of different
/// writes.
///
/// # Errors
/// The file system's error with the path; the old files stay until all new ones are written.
pub fn write_together(folder: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    create_folder(folder)?;
    let mut written = Vec::with_capacity(files.len());
    for (name, bytes) in files {
        let path = folder.join(name);
        let temporary =
            filled(folder, &path, |w| w.write_all(bytes).map_err(|e| Error::io("write", &path, e)))?;
        written.push((temporary, path));
    }
    if let Some((_, last)) = written.last() {
        remove_file(last)?;
    }
    written.into_iter().try_for_each(|(temporary, path)| persist(temporary, &path))
}

/// Whether a process with this id runs on this machine; assumed true where that is unknown.
fn runs(process: &str) -> bool {
    let processes = Path::new("/proc");
    !processes.join("self").exists() || processes.join(process).exists()
}

/// Removes leftovers of dead processes from a folder: entries whose names begin with `prefix` and the process id.
/// Entries that cannot be removed stay.
pub fn clear_dead(folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process =
            name.strip_prefix(prefix).and_then(|rest| rest.split_once('-')).map(|(process, _)| process);
        let is_dead = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()) && !runs(p);
        if process.is_some_and(is_dead) {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}

/// Removes temporary files of dead processes from a folder.
pub fn clear_dead_writes(folder: &Path) {
    clear_dead(folder, PREFIX);
}

/// Writes bytes atomically.
///
/// # Errors
/// The file system's error with the path.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |w| w.write_all(bytes).map_err(|e| Error::io("write", path, e)))
}

/// Removes temporary files of interrupted writes from a folder. Requires that no other process writes to the folder:
/// hold its lock.
///
/// # Errors
/// The file system's error with the path.
pub fn clear_cut_off(folder: &Path) -> Result<()> {
    clear_temporary(folder, &|_| true)
}

fn clear_temporary(folder: &Path, wanted: &dyn Fn(&fs::DirEntry) -> bool) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|e| Error::io("read", folder, e))? {
        let entry = entry.map_err(|e| Error::io("read", folder, e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) && wanted(&entry) {
            let path = entry.path();
            fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
    }
    Ok(())
}

/// Creates a folder and its parents.
///
/// # Errors
/// The file system's error with the path.
pub fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| Error::io("make folder", path, e))
}

/// Opens a file, creating it if needed, and locks it; the lock is released when the file is closed or the process
/// ends. `Ok(None)` if another process holds the lock.
///
/// # Errors
/// The file system's error with the path.
pub fn lock(path: &Path) -> Result<Option<File>> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|e| Error::io("open", path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(e)) => Err(Error::io("lock", path, e)),
    }
}

/// As [`lock`], for a lock that several processes hold at once; `Ok(None)` if one holds it alone. A file system that
/// knows no locks gives an unlocked file: every write is whole in any case.
///
/// # Errors
/// The file system's error with the path.
pub fn lock_shared(path: &Path) -> Result<Option<File>> {
    let file = lock_file(path)?;
    granted(path, file.try_lock_shared(), file)
}

/// As [`lock`], on a file system that may know no locks.
///
/// # Errors
/// The file system's error with the path.
pub fn lock_if_possible(path: &Path) -> Result<Option<File>> {
    let file = lock_file(path)?;
    granted(path, file.try_lock(), file)
}

/// Opens the file of a lock. Locks over a network need it open for reading (shared) or writing (exclusive).
fn lock_file(path: &Path) -> Result<File> {
    let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
    open.map_err(|e| Error::io("open", path, e))
}

/// Linux's ENOLCK, which has no kind of its own: the server of a network file system gives no locks.
const NO_LOCKS: i32 = 37;

fn granted(
    path: &Path,
    outcome: std::result::Result<(), fs::TryLockError>,
    file: File,
) -> Result<Option<File>> {
    match outcome {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(e))
            if e.kind() == io::ErrorKind::Unsupported || e.raw_os_error() == Some(NO_LOCKS) =>
        {
            tracing::warn!(path = %path.display(), "the file system knows no locks");
            Ok(Some(file))
        }
        Err(fs::TryLockError::Error(e)) => Err(Error::io("lock", path, e)),
    }
}

/// Writes bytes atomically, unless the file already has them.
///
/// # Errors
/// The file system's error with the path.
pub fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<()> {
    match fs::read(path) {
        Ok(there) if there == bytes => Ok(()),
        _ => write_bytes(path, bytes),
    }
}

/// Age from which a temporary file counts as left behind where other processes may be writing: no file is written for
/// so long.
const ABANDONED: std::time::Duration = std::time::Duration::from_secs(3600);

/// Removes temporary files of interrupted writes from a folder in which other processes may be writing: those older
/// than an hour.
///
/// # Errors
/// The file system's error with the path.
pub fn clear_abandoned(folder: &Path) -> Result<()> {
    clear_temporary(folder, &|entry| {
        let age = entry.metadata().and_then(|m| m.modified()).ok().and_then(|at| at.elapsed().ok());
        age.is_some_and(|age| age > ABANDONED)
    })
}

/// Removes a folder and its contents.
///
/// # Errors
/// The file system's error with the path.
pub fn remove_folder(path: &Path) -> Result<()> {
    fs::remove_dir_all(path).map_err(|e| Error::io("remove", path, e))
}

/// Removes a file; a missing file is no error.
///
/// # Errors
/// The file system's error with the path.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// Creates at `at` a symbolic link to the file `target`, which is relative to `at`'s folder, or a copy if the system
/// has no links. Replaces an existing entry.
///
/// # Errors
/// The file system's error with the path.
pub fn link(target: &Path, at: &Path) -> Result<()> {
    let folder = at.parent().unwrap_or(Path::new("."));
    create_folder(folder)?;
    remove_file(at)?;
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, at).map_err(|e| Error::io("link", at, e));
    #[cfg(not(unix))]
    return fs::copy(folder.join(target), at).map(|_| ()).map_err(|e| Error::io("copy to", at, e));
}

/// A file received in pieces, possibly over several runs. It gets its final name only when it is complete.
pub struct Partial {
    file: File,
    path: PathBuf,
    len: u64,
}

impl Partial {
    /// Opens the partial file left at `path` by an earlier run, or creates it.
    ///
    /// # Errors
    /// The file system's error with the path.
    pub fn open(path: &Path) -> Result<Self> {
        if let Some(folder) = path.parent() {
            create_folder(folder)?;
        }
        let open = |e| Error::io("write", path, e);
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(open)?;
        let len = file.metadata().map_err(open)?.len();
        Ok(Self { file, path: path.to_owned(), len })
    }

    /// Number of bytes received.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether no bytes have been received.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Path of the partial file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// The file system's error with the path.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| Error::io("write", &self.path, e))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Discards the bytes received.
    ///
    /// # Errors
    /// The file system's error with the path.
    pub fn restart(&mut self) -> Result<()> {
        self.truncate(0)
    }

    /// Discards all but the first `len` bytes.
    ///
    /// # Errors
    /// The file system's error with the path.
    pub fn truncate(&mut self, len: u64) -> Result<()> {
        self.file.set_len(len).map_err(|e| Error::io("write", &self.path, e))?;
        self.len = len;
        Ok(())
    }

    /// Renames the complete file to its final name.
    ///
    /// # Errors
    /// The file system's error with the path.
    pub fn finish(self, name: &Path) -> Result<()> {
        self.file.sync_all().map_err(|e| Error::io("write", &self.path, e))?;
        fs::rename(&self.path, name).map_err(|e| Error::io("rename into place", name, e))
    }
}

/// Hex SHA-256 of a file, read in pieces.
///
/// # Errors
/// The file system's error with the path.
pub fn sha256_file(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(|e| Error::io("read", path, e))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        let n = file.read(&mut buffer).map_err(|e| Error::io("read", path, e))?;
        if n == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..n]);
    }
}

/// Hex SHA-256 of bytes.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub fn hex(digest: &[u8]) -> String {
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

/// Temporary files are private; results should be as readable as any other new file.
#[cfg(unix)]
fn set_ordinary_permissions(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_ordinary_permissions(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_no_litter() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("report.json");
        write_bytes(&path, b"old").expect("first write");
        let failed = write_with(&path, |w| {
            w.write_all(b"half").map_err(|e| Error::io("write", &path, e))?;
            Err(Error::Interrupted)
        });
        assert!(matches!(failed, Err(Error::Interrupted)));
        assert_eq!(fs::read(&path).expect("still there"), b"old");
        assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 1);
    }

    #[test]
    fn the_hash_is_sha256() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
