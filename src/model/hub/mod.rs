//! Models on the Hugging Face hub: which files are needed, fetched once into the hub's own cache.
//!
//! The cache has the layout that every Hugging Face program shares (`HF_HOME`), so a model fetched by
//! another of them is found, and the other way round. hf-hub says whether a repository is there
//! and speaks Xet. Plain transfers are done here, because hf-hub 1.0 begins a file that was cut off anew,
//! takes the body of an error for the file, and checks neither size nor hash.

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

/// The branch that is read where the user names none.
pub const DEFAULT_REVISION: &str = "main";

/// Listens to downloads; the command line draws bars, tests count.
pub trait Downloads {
    /// A file begins: its name, its bytes (0 if the hub does not say), and how many of them an earlier
    /// run has already fetched.
    fn begin(&mut self, file: &str, bytes: u64, already: u64);

    /// So many more bytes arrived; 0 while the program waits. An error ends the download; what has
    /// arrived is kept.
    ///
    /// # Errors
    /// [`Error::Interrupted`](crate::error::Error::Interrupted), to stop.
    fn advance(&mut self, bytes: u64) -> Result<()>;

    /// The file is whole.
    fn end(&mut self);

    /// A step begins that is no download and whose parts are not counted, such as loading the model.
    fn begin_step(&mut self, _step: &str) {}

    /// That step is over.
    fn end_step(&mut self) {}
}

/// Tells nobody.
pub struct Unwatched;

impl Downloads for Unwatched {
    fn begin(&mut self, _: &str, _: u64, _: u64) {}

    fn advance(&mut self, _: u64) -> Result<()> {
        Ok(())
    }

    fn end(&mut self) {}
}

/// Whether a name is an id on the hub: `owner/name`.
pub fn is_id(name: &str) -> bool {
    let part = |part: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
    };
    name.split_once('/').is_some_and(|(owner, name)| part(owner) && part(name))
}

/// Reads `owner/name:FILE.gguf` or `owner/name:TYPE`: the id, and the file or type.
pub fn gguf_id(name: &str) -> Option<(&str, &str)> {
    name.split_once(':').filter(|(id, file)| is_id(id) && !file.is_empty())
}

/// Brings a model's files into the cache: a GGUF file where one is named, else its safetensors. The environment says how
/// the hub is reached.
///
/// # Errors
/// What [`Settings::from_env`], [`fetch()`] and [`fetch_gguf`] refuse.
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

/// Refuses: this build knows no hub.
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

/// Refuses data sets of the hub: this build knows none.
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
