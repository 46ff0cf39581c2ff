//! The only place that writes files: to a temporary file beside the target, synced, then renamed.

#![allow(clippy::disallowed_methods)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// How the name of a temporary file begins, before the number of the process, and ends.
const PREFIX: &str = ".vstar-";
const SUFFIX: &str = ".tmp";

/// Writes a file whole or not at all: `fill` writes to a temporary file in the same folder, which
/// is synced and renamed over `path` only if `fill` succeeded. Missing folders are made.
///
/// # Errors
/// What `fill` returns, or the file system's error with the path.
pub fn write_with(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_folder(folder)?;
    persist(filled(folder, path, fill)?, path)
}

/// A temporary file in a folder with what `fill` writes, synced.
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

/// Writes files that belong together: all are written beside their places before the first is moved. The last one says
/// that the others are there: it is taken away first and comes last, so that files of two times never stand together
/// with it.
///
/// # Errors
/// The file system's error with the path; until all are written the old files stay.
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

/// Whether a process that carries this number runs on this machine; where that cannot be known, it does.
fn runs(process: &str) -> bool {
    let processes = Path::new("/proc");
    !processes.join("self").exists() || processes.join(process).exists()
}

/// Removes what processes that run no more left in a folder: entries whose names begin with `prefix` and the number of
/// the process. What cannot be removed stays.
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

/// Removes what writes of processes that run no more left in a folder.
pub fn clear_dead_writes(folder: &Path) {
    clear_dead(folder, PREFIX);
}

/// Writes bytes whole or not at all.
///
/// # Errors
/// The file system's error with the path.
pub fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    write_with(path, |w| w.write_all(bytes).map_err(|e| Error::io("write", path, e)))
}

/// Removes what writes that were cut off left in a folder. Only for a folder that no other process writes
/// into: hold its lock.
///
/// # Errors
/// The file system's error with the path.
pub fn clear_cut_off(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|e| Error::io("read", folder, e))? {
        let path = entry.map_err(|e| Error::io("read", folder, e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
    }
    Ok(())
}

/// Makes a folder and its parents.
///
/// # Errors
/// The file system's error with the path.
pub fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|e| Error::io("make folder", path, e))
}

/// Opens a file to hold its lock, making it if it is not there; it is released when the file is closed
/// or the process ends. `Ok(None)`: another process holds it.
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

/// Removes a folder and what is in it.
///
/// # Errors
/// The file system's error with the path.
pub fn remove_folder(path: &Path) -> Result<()> {
    fs::remove_dir_all(path).map_err(|e| Error::io("remove", path, e))
}

/// Removes a file; one that is not there is no error.
///
/// # Errors
/// The file system's error with the path.
pub fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// Makes `at` stand for the file `target`, which is relative to `at`'s folder: a symbolic link, or a copy
/// where the system has none. What stood at `at` is replaced.
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

/// A file that arrives in pieces, over several runs if need be. It has its final name only once it is whole.
pub struct Partial {
    file: File,
    path: PathBuf,
    len: u64,
}

impl Partial {
    /// Opens what an earlier run left at `path`, or begins there.
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

    /// Bytes that have arrived.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing has arrived.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the bytes lie until the file is whole.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// The file system's error with the path.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|e| Error::io("write", &self.path, e))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Throws away what has arrived.
    ///
    /// # Errors
    /// The file system's error with the path.
    pub fn restart(&mut self) -> Result<()> {
        self.file.set_len(0).map_err(|e| Error::io("write", &self.path, e))?;
        self.len = 0;
        Ok(())
    }

    /// Gives the file its name: it is whole.
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
