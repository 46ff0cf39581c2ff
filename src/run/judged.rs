//! What became of a judge's questions.

use crate::config::JudgeMode;
use crate::error::Diagnostic;

/// What became of the pairs or responses of one judge.
#[derive(Debug, Clone)]
pub struct Judged {
    /// What was asked.
    pub mode: JudgeMode,
    /// Pairs (or responses) judged under each constitution.
    pub judged: usize,
    /// Those left out, with the reason.
    pub skipped: Vec<Diagnostic>,
}

impl Judged {
    /// What was judged, in words.
    pub fn what(&self) -> &'static str {
        match self.mode {
            JudgeMode::Pairwise => "pairs in both orders",
            JudgeMode::Pointwise => "responses one by one",
            JudgeMode::Implicit => "responses by their likelihood",
        }
    }
}
