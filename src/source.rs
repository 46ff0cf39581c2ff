//! Reads external files completely, up to a size limit.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Diagnostic, Error, Kind, Place, Result};

/// Maximum size in bytes of a settings file: a config, a chat template, a constitution.
pub const SMALL: u64 = 16 << 20;

/// Maximum size in bytes of a tokenizer or index file; the largest published ones have 35 MB.
pub const LARGE: u64 = 512 << 20;

/// Reads a whole file.
///
/// # Errors
/// The file system's error; `Invalid` for anything other than a regular file (a pipe would block, a device never
/// ends), and for a file of more than `most` bytes.
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let failed = |e| Error::io("read", path, e);
    let kind = std::fs::metadata(path).map_err(failed)?.file_type();
    if !kind.is_file() {
        return Err(Diagnostic::new(Kind::Invalid, "not a file")
            .at(Place::file(path))
            .expected("a file")
            .found(if kind.is_dir() { "a folder" } else { "a pipe or a device" })
            .into());
    }
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(Diagnostic::new(Kind::Invalid, "the file is too large to be what it stands for")
            .at(Place::file(path))
            .expected(format!("at most {} MiB", most >> 20))
            .into());
    }
    Ok(bytes)
}

/// Reads a whole file as text.
///
/// # Errors
/// As [`read`], and `Malformed` for bytes that are not UTF-8.
pub fn read_text(path: &Path, most: u64) -> Result<String> {
    String::from_utf8(read(path, most)?).map_err(|e| {
        Diagnostic::new(Kind::Malformed, "the file is not UTF-8")
            .at(Place::file(path))
            .found(e.utf8_error().to_string())
            .remedy("save it as UTF-8")
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_or_too_large_is_refused_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a");
        std::fs::write(&file, "äb").expect("written");
        assert_eq!(read_text(&file, 3).expect("read"), "äb");
        assert!(read(&file, 2).expect_err("refused").to_string().contains("too large"));
        std::fs::write(&file, b"\xff").expect("written");
        assert!(read_text(&file, 3).expect_err("refused").to_string().contains("UTF-8"));
        for other in [folder.path(), Path::new("/dev/zero")] {
            if other.exists() {
                assert!(read(other, 3).expect_err("refused").to_string().contains("not a file"));
            }
        }
    }
}
