//! Settings of hub access: endpoint, token, cache folder, timeouts.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::{Diagnostic, Kind, Result};

/// Settings of hub access.
#[derive(Clone)]
pub struct Settings {
    /// URL of the hub, without a trailing slash.
    pub endpoint: String,
    /// Token sent with each request to the hub, and to no other host.
    pub token: Option<String>,
    /// Cache folder.
    pub cache: PathBuf,
    /// Whether only the cache is used.
    pub offline: bool,
    /// Timeouts and retries.
    pub patience: Patience,
}

/// Timeouts and retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Attempts per request; a truncated transfer gets as many again whenever bytes have arrived.
    pub tries: u32,
    /// Wait before the second attempt; doubled before each further one.
    pub first_wait: Duration,
    /// Longest accepted wait that a hub may ask for (`Retry-After`); a longer one is an error.
    pub longest_wait: Duration,
    /// Time without received bytes after which a connection counts as lost.
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
    /// Reads the environment: `HF_ENDPOINT`, `HF_TOKEN` (or `HF_TOKEN_PATH`, or the file `token` in `HF_HOME`),
    /// `HF_HUB_CACHE` or `HF_HOME`, `HF_HUB_OFFLINE`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for an endpoint that is not a URL.
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

/// Finds the token as hf-hub does, which does not expose it.
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

/// Whether a boolean variable is set, by the rules of Hugging Face's programs.
pub(super) fn is_set(name: &str) -> bool {
    variable(name).is_some_and(|v| matches!(v.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE"))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
