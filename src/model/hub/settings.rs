//! How the hub is reached: where, as whom, where the cache lies, how long to wait.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Diagnostic, Kind, Result};

/// How the hub is reached.
#[derive(Clone)]
pub struct Settings {
    /// Address of the hub, without a slash at the end.
    pub endpoint: String,
    /// Token to be sent with each request to the hub, and to it alone.
    pub token: Option<String>,
    /// Folder of the cache.
    pub cache: PathBuf,
    /// Whether the cache alone is used.
    pub offline: bool,
    /// How long to wait and how often to try.
    pub patience: Patience,
}

/// How long to wait and how often to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Tries of one request; a transfer that was cut off has as many again whenever bytes arrived.
    pub tries: u32,
    /// Wait before the second try; doubled before each further one.
    pub first_wait: Duration,
    /// Longest wait that a hub may ask for (`Retry-After`); one that asks for more is believed and refused.
    pub longest_wait: Duration,
    /// Time without a byte after which a connection counts as lost.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tries: 6,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(90),
            silence: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// What the environment says: `HF_ENDPOINT`, `HF_TOKEN` (or `HF_TOKEN_PATH`, or the file `token` in
    /// `HF_HOME`), `HF_HUB_CACHE` or `HF_HOME`, `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an endpoint that is no address.
    pub fn from_env() -> Result<Self> {
        let client = hf_hub::HFClient::builder().build().map_err(|e| {
            Diagnostic::new(Kind::Invalid, "the hub's address cannot be used")
                .expected("HF_ENDPOINT with an address such as https://host, or none")
                .found(e.to_string())
        })?;
        Ok(Self {
            endpoint: client.endpoint().to_owned(),
            token: token(),
            cache: client.cache_dir().to_owned(),
            offline: is_set("HF_HUB_OFFLINE"),
            patience: Patience::default(),
        })
    }
}

/// The token as hf-hub finds it; it does not hand it out.
fn token() -> Option<String> {
    if variable("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some() {
        return None;
    }
    let file = |path: PathBuf| std::fs::read_to_string(path).ok();
    variable("HF_TOKEN")
        .or_else(|| file(variable("HF_TOKEN_PATH")?.into()))
        .or_else(|| file(hf_hub::hf_home().join("token")))
        .map(|token| token.trim().to_owned())
        .filter(|token| !token.is_empty())
}

/// Whether a switch is on, as Hugging Face's programs read it.
pub(super) fn is_set(name: &str) -> bool {
    variable(name).is_some_and(|v| matches!(v.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE"))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
