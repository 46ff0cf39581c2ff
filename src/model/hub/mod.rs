//! Models on the Hugging Face hub: fetches the needed files once, into the hub's own cache.
//!
//! The cache has the layout that every Hugging Face program shares (`HF_HOME`), so models fetched by other programs are
//! found, and vice versa. hf-hub checks whether a repository exists and handles Xet. Plain transfers are implemented
//! here, because hf-hub 1.0 restarts a truncated download from the beginning, mistakes the body of an error for the
//! file, and checks neither size nor hash.

#[cfg(feature = "hub")]
mod cache;
#[cfg(feature = "hub")]
mod client;
#[cfg(feature = "hub")]
mod dataset;
#[cfg(feature = "hub")]
mod fetch;
#[cfg(feature = "hub")]
mod gguf;
#[cfg(feature = "hub")]
mod settings;
#[cfg(feature = "hub")]
mod transfer;
#[cfg(feature = "hub")]
mod trouble;

use super::files::ModelFiles;
use crate::error::Result;
#[cfg(not(feature = "hub"))]
use crate::error::{Diagnostic, Kind};

#[cfg(feature = "hub")]
pub use dataset::{fetch_dataset, local as local_data};
#[cfg(feature = "hub")]
pub use fetch::fetch;
#[cfg(feature = "hub")]
pub use gguf::fetch_gguf;
#[cfg(feature = "hub")]
pub use settings::{Patience, Settings};

/// Default branch.
pub const DEFAULT_REVISION: &str = "main";

/// Observer of downloads; the command line draws progress bars, tests count.
pub trait Downloads {
    /// A file starts: its name, its size in bytes (0 if unknown), and how many bytes an earlier run has already
    /// fetched.
    fn begin(&mut self, file: &str, bytes: u64, already: u64);

    /// `bytes` more bytes have arrived; 0 while the program waits. An error stops the download; bytes received so far
    /// are kept.
    ///
    /// # Errors
    /// [`Error::Interrupted`](crate::error::Error::Interrupted), to stop.
    fn advance(&mut self, bytes: u64) -> Result<()>;

    /// The file is complete.
    fn end(&mut self);

    /// A step starts that is not a download and has no countable parts, such as loading the model.
    fn begin_step(&mut self, _step: &str) {}

    /// The step has ended.
    fn end_step(&mut self) {}
}

/// An observer that ignores everything.
pub struct Unwatched;

impl Downloads for Unwatched {
    fn begin(&mut self, _: &str, _: u64, _: u64) {}

    fn advance(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    fn end(&mut self) {}
}

/// Whether a name is a hub id: `owner/name`.
pub fn is_id(name: &str) -> bool {
    let part = |part: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
    };
    name.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}

/// Parses `owner/name:FILE.gguf` or `owner/name:TYPE` to the id and the file or type.
pub fn gguf_id(name: &str) -> Option<(&str, &str)> {
    name.split_once(':').filter(|(id, file)| is_id(id) && !file.is_empty())
}

/// Fetches a model's files into the cache: a GGUF file if one is named, otherwise its safetensors. Environment
/// variables determine how the hub is reached.
///
/// # Errors
/// Errors of [`Settings::from_env`], [`fetch()`] and [`fetch_gguf`].
#[cfg(feature = "hub")]
pub fn bring(
    id: &str,
    revision: Option<&str>,
    gguf: Option<&str>,
    downloads: &mut dyn Downloads,
) -> Result<ModelFiles> {
    let settings = Settings::from_env()?;
    match gguf {
        Some(wanted) => fetch_gguf(id, revision, wanted, &settings, downloads),
        None => fetch(id, revision, &settings, downloads),
    }
}

/// Always refuses: this build has no hub support.
///
/// # Errors
/// [`Kind::Unsupported`].
#[cfg(not(feature = "hub"))]
pub fn bring(id: &str, _: Option<&str>, _: Option<&str>, _: &mut dyn Downloads) -> Result<ModelFiles> {
    Err(without_hub("the folder of a model, or a GGUF file", id.to_owned()))
}

#[cfg(not(feature = "hub"))]
fn without_hub(expected: &str, found: String) -> crate::error::Error {
    Diagnostic::new(Kind::Unsupported, "this program was built without the hub")
        .expected(expected)
        .found(found)
        .remedy("build it with the feature `hub`")
        .into()
}

/// Always refuses data sets on the hub: this build has no hub support.
///
/// # Errors
/// [`Kind::Unsupported`].
#[cfg(not(feature = "hub"))]
pub fn local_data(files: &[std::path::PathBuf], _: &mut dyn Downloads) -> Result<Vec<std::path::PathBuf>> {
    match files.iter().find(|file| crate::input::hub_dataset(file).is_some()) {
        None => Ok(files.to_vec()),
        Some(file) => Err(without_hub("a file", file.display().to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_cannot_lead_out_of_the_cache() {
        assert!(is_id("owner/some-model_1.5"));
        for bad in ["gpt2", "/models/x", "./x", "../x", "a/b/c", "a/", "/b", "a/..", "a b/c", ""] {
            assert!(!is_id(bad), "{bad}");
        }
    }
}
