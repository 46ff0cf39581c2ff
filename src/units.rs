//! Newtypes for indices, so that a layer cannot be passed for a row.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A layer of the residual stream: 0 is the embeddings' output (what enters block 1), `l` is what
/// leaves block `l`, before the final norm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Layer(pub usize);

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A half-open range of tokens `[start, end)` inside one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenSpan {
    /// First token.
    pub start: usize,
    /// One past the last token.
    pub end: usize,
}

impl TokenSpan {
    /// Number of tokens.
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether no token is in it.
    pub fn is_empty(self) -> bool {
        self.end <= self.start
    }
}
