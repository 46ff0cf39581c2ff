//! Errors of hub access, whether a retry may help, and their messages to the user.

use std::fmt;
use std::time::Duration;

use hf_hub::HFError;

use super::Settings;
use crate::error::{Diagnostic, Error, Kind, Place};

/// An error of hub access.
#[derive(Debug)]
pub enum Trouble {
    /// The hub answered with an error status.
    Status {
        /// HTTP status.
        status: u16,
        /// `X-Error-Code`.
        code: String,
        /// Message from the hub.
        message: String,
        /// Wait requested by the hub.
        wait: Option<Duration>,
    },
    /// No connection, or no answer.
    Unreachable(String),
    /// The transfer broke off.
    CutOff(String),
    /// The received bytes do not match the hub's metadata.
    Corrupt(String),
    /// The answer is incomplete or invalid.
    Malformed(String),
    /// An error of the file system, or an interruption by the user.
    Other(Error),
}

impl Trouble {
    /// Whether a retry may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 416 | 429 | 500 | 502 | 503 | 504),
            Self::Unreachable(_) | Self::CutOff(_) | Self::Corrupt(_) => true,
            Self::Malformed(_) | Self::Other(_) => false,
        }
    }

    /// Whether the repository has no such revision.
    pub fn is_absent_revision(&self) -> bool {
        matches!(self, Self::Status { status: 404, code, .. } if code == "RevisionNotFound")
    }

    /// Whether the hub cannot be reached at all, so that the cache must be used.
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Status { status, .. } => *status >= 500,
            Self::Unreachable(_) | Self::CutOff(_) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status, code, message, .. } => {
                write!(f, "HTTP status {status}")?;
                if !code.is_empty() {
                    write!(f, " ({code})")?;
                }
                if !message.is_empty() {
                    write!(f, ": {message}")?;
                }
                Ok(())
            }
            Self::Unreachable(why) | Self::CutOff(why) | Self::Corrupt(why) | Self::Malformed(why) => {
                write!(f, "{why}")
            }
            Self::Other(error) => write!(f, "{error}"),
        }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        let text = causes(&error);
        if error.is_builder() || error.is_redirect() {
            Self::Malformed(text)
        } else if error.is_body() || error.is_decode() {
            Self::CutOff(text)
        } else {
            Self::Unreachable(text)
        }
    }
}

impl From<HFError> for Trouble {
    fn from(error: HFError) -> Self {
        let (context, wait) = match error {
            HFError::Request { source, .. } => return source.into(),
            HFError::RateLimited { retry_after, context } => (context, retry_after),
            HFError::Http { context }
            | HFError::AuthRequired { context }
            | HFError::Forbidden { context }
            | HFError::Conflict { context }
            | HFError::RepoNotFound { context: Some(context), .. }
            | HFError::RevisionNotFound { context: Some(context), .. }
            | HFError::EntryNotFound { context: Some(context), .. } => (context, None),
            HFError::Xet { .. } => return Self::CutOff(error.to_string()),
            other => return Self::Malformed(other.to_string()),
        };
        Self::Status {
            status: context.status.as_u16(),
            code: context.error_code.unwrap_or_default(),
            message: context.server_message.unwrap_or_default(),
            wait,
        }
    }
}

/// An error with its causes: "error sending request" alone says nothing.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Kind of repository, which determines its URLs on the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repository {
    /// A model.
    Model,
    /// A data set.
    Dataset,
}

impl Repository {
    /// Prefix of the id in URLs of pages and files.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Dataset => "datasets/",
        }
    }

    /// Name of the kind in the hub's API and in the cache's folder names.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Model => "models",
            Self::Dataset => "datasets",
        }
    }
}

/// A request to a hub, for error messages.
pub struct HubRequest<'a> {
    /// Whether the repository is a model or a data set.
    pub repository: Repository,
    /// `owner/name`.
    pub id: &'a str,
    /// Branch, tag or commit.
    pub revision: &'a str,
    /// Settings of hub access.
    pub settings: &'a Settings,
}

impl HubRequest<'_> {
    fn page(&self) -> String {
        format!("{}/{}{}", self.settings.endpoint, self.repository.prefix(), self.id)
    }

    fn refuse(&self, what: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Kind::Hub, what).at(Place::default().id(format!("{} @ {}", self.id, self.revision)))
    }

    /// Error for a model that is not cached and cannot be fetched.
    pub fn not_cached(&self, why: &str) -> Error {
        let what = match self.repository {
            Repository::Model => "the model",
            Repository::Dataset => "the data set",
        };
        self.refuse(format!("{what} is not in the cache, and the hub cannot be asked"))
            .expected(format!("{} in reach, or its files in {}", self.page(), self.settings.cache.display()))
            .found(why)
            .remedy("check the network, HF_ENDPOINT, HF_HOME and HF_HUB_OFFLINE; or give a local folder")
            .into()
    }

    /// Error for a file missing from the repository.
    pub fn lacks(&self, file: &str, what: &str, files: &[String]) -> Error {
        let pickled = files.iter().find(|f| f.ends_with(".bin") || f.ends_with(".pt") || f.ends_with(".pth"));
        let quantised = files.iter().find(|f| f.ends_with(".gguf"));
        let mut diagnostic = Diagnostic::new(Kind::Missing, format!("the repository has no {file}"))
            .at(Place::file(self.page()).id(format!("revision {}", self.revision)))
            .expected(format!("{file}: {what}"));
        diagnostic = match pickled {
            Some(pickle) if file.ends_with(".safetensors") => {
                diagnostic.found(format!("{pickle}, a pickle, which can run code when it is read")).remedy(
                    "convert it with `save_pretrained(..., safe_serialization=True)` and give the folder",
                )
            }
            _ => {
                let diagnostic = diagnostic.found(if files.is_empty() {
                    "no file at all".into()
                } else {
                    files.join(", ")
                });
                match quantised {
                    Some(gguf) => diagnostic.remedy(format!("name a GGUF file: {}:{gguf}", self.id)),
                    None => diagnostic
                        .remedy("check the id and the revision; a repository of adapters is no model"),
                }
            }
        };
        diagnostic.into()
    }

    /// Converts to an error message for the user.
    pub fn diagnostic(&self, trouble: Trouble, file: Option<&str>) -> Error {
        let found = trouble.to_string();
        let what_file = file.map_or_else(String::new, |f| format!(" ({f})"));
        let token =
            if self.settings.token.is_some() { "the token that was sent" } else { "no token was sent" };
        let diagnostic = match &trouble {
            Trouble::Status { status: 404, code, .. } => match (code.as_str(), file) {
                ("RevisionNotFound", _) => self
                    .refuse(format!("the repository has no revision `{}`", self.revision))
                    .expected("a branch, a tag or a commit of the repository")
                    .remedy(format!("see {}/tree/main for its branches and commits", self.page())),
                (_, Some(file)) => self
                    .refuse(format!("the hub lists {file} but does not have it"))
                    .remedy("try again later, or another revision"),
                _ => self
                    .refuse(format!("no repository `{}`", self.id))
                    .expected(match self.repository {
                        Repository::Model => "a local folder, or the id of a model on the hub",
                        Repository::Dataset => "a file, or hf://owner/name of a data set on the hub",
                    })
                    .remedy(format!("check the spelling at {}", self.page())),
            },
            Trouble::Status { status: 401 | 403, code, .. } => {
                let what = if code == "GatedRepo" {
                    "the repository is gated"
                } else {
                    "the repository is private, gated, or not there"
                };
                self.refuse(format!("{what}{what_file}"))
                    .expected("a model that anyone may read, or HF_TOKEN with a token that may read it")
                    .remedy(format!(
                        "check the spelling; accept the conditions at {}; set HF_TOKEN",
                        self.page()
                    ))
            }
            Trouble::Status { status: 429, wait, .. } => {
                let later = wait.map_or_else(|| "later".into(), |w| format!("in {} s", w.as_secs()));
                self.refuse(format!("the hub limits the rate of requests{what_file}"))
                    .expected("an answer after a few tries")
                    .remedy(format!("try again {later}; with HF_TOKEN the limits are higher"))
            }
            Trouble::Status { .. } => self
                .refuse(format!("the hub failed{what_file}"))
                .remedy("try again later; what has arrived is kept"),
            Trouble::Unreachable(_) => self
                .refuse(format!("the hub cannot be reached{what_file}"))
                .expected(format!("an answer from {}", self.settings.endpoint))
                .remedy("check the network and HF_ENDPOINT; what has arrived is kept"),
            Trouble::CutOff(_) => self
                .refuse(format!("the transfer was cut off, again and again{what_file}"))
                .remedy("run the same command again: it goes on where it stopped"),
            Trouble::Corrupt(_) => self
                .refuse(format!("what arrived is not what the hub promised{what_file}"))
                .remedy("try again; a proxy on the way may change files"),
            Trouble::Malformed(_) => self
                .refuse(format!("the hub's answer cannot be used{what_file}"))
                .expected("the answers of a Hugging Face hub")
                .remedy("check HF_ENDPOINT"),
            Trouble::Other(_) => {
                let Trouble::Other(error) = trouble else { unreachable!("matched above") };
                return error;
            }
        };
        let found = match &trouble {
            Trouble::Status { status: 401 | 403, .. } => format!("{found}; {token}"),
            _ => found,
        };
        diagnostic.found(found).into()
    }
}
