//! Fetches one file into the cache: resumes a partial download, checks it, and names it only when complete.

use std::io::Read;

use sha1::{Digest, Sha1};

use super::Downloads;
use super::cache::{Cache, is_commit, is_sha256};
use super::client::{Client, Meta};
use super::settings::is_set;
use super::trouble::Trouble;
use crate::artifact::{self, Partial};
use crate::error::Result;

/// Fetches a file of a commit unless it is cached.
pub fn file(
    client: &Client,
    cache: &Cache,
    commit: &str,
    file: &str,
    downloads: &mut dyn Downloads,
) -> Result<(), Trouble> {
    if cache.has(commit, file) {
        return Ok(());
    }
    let (at, name) = (commit.to_owned(), file.to_owned());
    let meta = client.patiently(downloads, move |client| client.meta(&at, &name))?;
    let lock = cache.lock(&meta.etag, downloads)?;
    let blob = cache.blob(&meta.etag);
    let whole = |len: u64| meta.size.is_none_or(|size| size == len);
    if !std::fs::metadata(&blob).is_ok_and(|m| m.is_file() && whole(m.len())) {
        artifact::remove_file(&blob)?;
        if meta.xet && !is_set("HF_HUB_DISABLE_XET") {
            // hf-hub takes the lock itself.
            drop(lock);
            let came = client.xet(commit, file, meta.size, downloads);
            match came.and_then(|()| check(&blob, &meta)) {
                Ok(()) => return Ok(cache.point(commit, file, &meta.etag)?),
                Err(Trouble::Other(error)) => return Err(error.into()),
                Err(trouble) => tracing::info!("{file}: Xet failed ({trouble}); fetching it plainly"),
            }
            let _lock = cache.lock(&meta.etag, downloads)?;
            artifact::remove_file(&blob)?;
            pull(client, cache, commit, file, &meta, downloads)?;
        } else {
            pull(client, cache, commit, file, &meta, downloads)?;
        }
    }
    Ok(cache.point(commit, file, &meta.etag)?)
}

/// Fetches a blob until it is complete and correct, or no more bytes arrive.
fn pull(
    client: &Client,
    cache: &Cache,
    commit: &str,
    file: &str,
    meta: &Meta,
    downloads: &mut dyn Downloads,
) -> Result<(), Trouble> {
    let blob = cache.blob(&meta.etag);
    let mut partial = Partial::open(&blob.with_extension("incomplete"))?;
    downloads.begin(file, meta.size.unwrap_or(0), partial.len());
    let (mut tries, mut corrupt) = (0, 0);
    loop {
        let before = partial.len();
        let came = stream(client, commit, file, meta, &mut partial, downloads);
        let trouble = match came.and_then(|()| check(partial.path(), meta)) {
            Ok(()) => break,
            Err(trouble) => trouble,
        };
        match &trouble {
            // The received bytes are not the beginning of this file.
            Trouble::Corrupt(_) | Trouble::Status { status: 416, .. } => {
                partial.restart()?;
                downloads.begin(file, meta.size.unwrap_or(0), 0);
                // An error that occurs twice is permanent; a large file is not fetched again for nothing.
                corrupt += 1;
                tries = if corrupt > 1 { u32::MAX } else { 1 };
            }
            _ => tries = if partial.len() > before { 1 } else { tries + 1 },
        }
        if let Err(trouble) = client.wait(downloads, trouble, tries) {
            if partial.is_empty() {
                artifact::remove_file(partial.path())?;
            }
            return Err(trouble);
        }
    }
    partial.finish(&blob)?;
    downloads.end();
    Ok(())
}

/// Appends the bytes of one answer to `partial`.
fn stream(
    client: &Client,
    commit: &str,
    file: &str,
    meta: &Meta,
    partial: &mut Partial,
    downloads: &mut dyn Downloads,
) -> Result<(), Trouble> {
    if meta.size.is_some_and(|size| size == partial.len() && size > 0) {
        return Ok(());
    }
    let (mut answer, begins) = client.open(commit, file, partial.len())?;
    if begins != partial.len() {
        partial.restart()?;
        downloads.begin(file, meta.size.unwrap_or(0), 0);
    }
    let mut buffer = vec![0u8; 1 << 18];
    loop {
        let n = answer.read(&mut buffer).map_err(|e| Trouble::CutOff(e.to_string()))?;
        if n == 0 {
            break;
        }
        partial.append(&buffer[..n])?;
        downloads.advance(n as u64)?;
        if let Some(size) = meta.size.filter(|size| partial.len() > *size) {
            return Err(Trouble::Corrupt(format!("more than the {size} bytes that the hub promised")));
        }
    }
    match meta.size {
        Some(size) if partial.len() < size => {
            Err(Trouble::CutOff(format!("{} of {size} bytes arrived", partial.len())))
        }
        _ => Ok(()),
    }
}

/// Checks the size and the etag: SHA-256 of large files, git's hash of small ones.
fn check(path: &std::path::Path, meta: &Meta) -> Result<(), Trouble> {
    let len = std::fs::metadata(path).map_err(|e| crate::error::Error::io("read", path, e))?.len();
    if let Some(size) = meta.size.filter(|size| *size != len) {
        return Err(Trouble::Corrupt(format!("{len} bytes instead of {size}")));
    }
    if is_sha256(&meta.etag) {
        let found = artifact::sha256_file(path)?;
        if !found.eq_ignore_ascii_case(&meta.etag) {
            return Err(Trouble::Corrupt(format!("SHA-256 {found} instead of {}", meta.etag)));
        }
    }
    if is_commit(&meta.etag) {
        let found = git_sha1(path, len)?;
        if !found.eq_ignore_ascii_case(&meta.etag) {
            return Err(Trouble::Corrupt(format!("the git hash {found} instead of {}", meta.etag)));
        }
    }
    Ok(())
}

/// Git's blob hash of a file: SHA-1 of `blob LENGTH`, a zero byte, and the bytes.
fn git_sha1(path: &std::path::Path, len: u64) -> Result<String, Trouble> {
    let failed = |e| crate::error::Error::io("read", path, e);
    let mut digest = Sha1::new();
    digest.update(format!("blob {len}\0"));
    std::io::copy(&mut std::fs::File::open(path).map_err(failed)?, &mut digest).map_err(failed)?;
    Ok(artifact::hex(&digest.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_name_that_git_gives_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        std::fs::write(&path, "what is up, doc?").expect("written");
        // Example from the Pro Git book.
        assert_eq!(git_sha1(&path, 16).expect("read"), "bd9dbf5aae1a3862dd1526723246b20206e5fc37");
    }
}
