//! The one error type: what went wrong, where, what was expected and found, and what to do about it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where in the user's input something went wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, as the user named it.
    pub file: Option<PathBuf>,
    /// Line number, counted from 1.
    pub line: Option<usize>,
    /// Identifier within the file: the item's id, the tensor's name, or the key's path.
    pub id: Option<String>,
}

impl Place {
    /// A place that covers a whole file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { file: Some(path.into()), ..Self::default() }
    }

    /// The same file, at a line counted from 1.
    #[must_use]
    pub fn line(mut self, line: usize) -> Self {
        self.line = Some(line);
        self
    }

    /// The same place with an identifier.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
        }
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(id) = &self.id {
            let gap = if self.file.is_some() || self.line.is_some() { " " } else { "" };
            write!(f, "{gap}[{}]", Excerpt(id))?;
        }
        Ok(())
    }
}

/// The kind of a diagnostic, for callers that act on it (and for `--skip-bad`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A line, file or header that does not parse.
    Malformed,
    /// A missing required field, key or file.
    Missing,
    /// An unknown key.
    UnknownKey,
    /// A value out of range.
    Invalid,
    /// A response without text.
    EmptyResponse,
    /// The response cannot be located in the rendered text.
    ResponseNotFound,
    /// No token belongs to the response.
    ResponseMerged,
    /// A sequence longer than the model's context.
    TooLong,
    /// A checkpoint that lacks a tensor, or has it in another shape or dtype.
    Weights,
    /// A model family, or a setting of one, that is not implemented.
    Unsupported,
    /// NaN or infinity where a number was needed.
    NotFinite,
    /// A judge template whose answers are not single, distinct tokens.
    AnswerTokens,
    /// A run folder made by a different experiment, or in use.
    RunConflict,
    /// The data cannot support the estimate.
    NotEstimable,
    /// A model hub refused the request, or could not be reached.
    Hub,
}

/// An actionable error: what is wrong, where, what was expected and found, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The kind.
    pub kind: Kind,
    /// What is wrong, in one clause.
    pub what: String,
    /// Where it is.
    pub place: Place,
    /// What was expected.
    pub expected: Option<String>,
    /// What was found.
    pub found: Option<String>,
    /// How to fix it.
    pub remedy: Option<String>,
}

impl Diagnostic {
    /// Creates a diagnostic of a kind; the builder methods add the other fields.
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), place: Place::default(), expected: None, found: None, remedy: None }
    }

    /// Adds the place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// Adds what was expected.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Adds what was found.
    #[must_use]
    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.found = Some(found.into());
        self
    }

    /// Adds how to fix it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        write!(f, "{}", self.what)?;
        if let Some(expected) = &self.expected {
            write!(f, "\n  expected: {expected}")?;
        }
        if let Some(found) = &self.found {
            write!(f, "\n  found:    {}", Excerpt(found))?;
        }
        if let Some(remedy) = &self.remedy {
            write!(f, "\n  to do:    {remedy}")?;
        }
        Ok(())
    }
}

/// External text, shortened and with control characters made visible, so that an error about a 10 MB line fits on a
/// screen and cannot send control sequences to the terminal.
pub struct Excerpt<'a>(pub &'a str);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 160;
        for (count, c) in self.0.chars().enumerate() {
            if count == MOST {
                return write!(f, "… ({} bytes in all)", self.0.len());
            }
            if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Rejected input, configuration or data, with the reason.
    #[error("{0}")]
    Diagnostic(Box<Diagnostic>),
    /// A file-system error.
    #[error("cannot {action} {}: {source}{}", path.display(), advice(source))]
    Io {
        /// What was attempted: "read", "write", "rename".
        action: &'static str,
        /// The affected path.
        path: PathBuf,
        /// The system's own error.
        source: std::io::Error,
    },
    /// An error of the tensor library: a bug in this program, or a memory or device failure.
    #[error("tensor computation failed: {0}")]
    Tensor(#[from] candle_core::Error),
    /// A numerical routine did not converge.
    #[error("{what} did not converge")]
    Numeric {
        /// The routine.
        what: &'static str,
    },
    /// Interrupted by the user.
    #[error("interrupted; finished parts are kept, run the same command again to go on")]
    Interrupted,
}

/// Advice where the system's message is not sufficient.
fn advice(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match source.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => {
            "\n  to do:    free some space and run the same command again; finished parts are kept"
        }
        _ => "",
    }
}

impl Error {
    /// Wraps a file-system error with the attempted action and path.
    pub fn io(action: &'static str, path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.as_ref().to_owned(), source }
    }

    /// The kind of diagnostic, if this is one.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Diagnostic(diagnostic) => Some(diagnostic.kind),
            _ => None,
        }
    }
}

impl From<Diagnostic> for Error {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Diagnostic(Box::new(diagnostic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_where_what_and_what_to_do() {
        let diagnostic = Diagnostic::new(Kind::Missing, "no field `prompt`")
            .at(Place::file("data.jsonl").line(3).id("p17"))
            .expected("`prompt` or `messages`")
            .found("keys `id`, `responses`")
            .remedy("add one of them");
        let text = Error::from(diagnostic).to_string();
        assert_eq!(
            text,
            "data.jsonl:3 [p17]: no field `prompt`\n  expected: `prompt` or `messages`\n  found:    keys `id`, `responses`\n  to do:    add one of them"
        );
    }

    #[test]
    fn excerpts_are_short_and_show_control_characters() {
        let long = "\u{1b}[2J".to_string() + &"x".repeat(1 << 20);
        let shown = Excerpt(&long).to_string();
        assert!(shown.len() < 400 && shown.starts_with("\\u{1b}[2J"), "{shown}");
    }
}
