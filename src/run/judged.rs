//! Counts of a judge's answered and skipped questions.

use crate::config::JudgeMode;
use crate::error::Diagnostic;

/// Results of one judge: number of judged pairs or responses, and those skipped.
#[derive(Debug, Clone)]
pub struct Judged {
    /// Type of question.
    pub mode: JudgeMode,
    /// Number of pairs (or responses) judged under each constitution.
    pub judged: usize,
    /// Skipped ones, with the reason.
    pub skipped: Vec<Diagnostic>,
}

impl Judged {
    /// Description of the judged units.
    pub fn what(&self) -> &'static str {
        match self.mode {
            JudgeMode::Pairwise => "pairs in both orders",
            JudgeMode::Pointwise => "responses one by one",
            JudgeMode::Implicit => "responses by their likelihood",
        }
    }
}
