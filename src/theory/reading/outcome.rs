//! The words of a verdict, and the limits of its rules.

use serde::Serialize;

pub use crate::probe::influence::Z95;

/// Significance level for adjusted p.
pub const LEVEL: f64 = 0.05;
/// Share of the best possible slope below which an effect is too small to matter.
pub const MATTERS: f64 = 0.05;
/// Number of independent groups of answers below which no verdict is given.
pub const MIN_GROUPS: usize = 20;

/// The verdict's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Training would initially raise the value.
    Improves,
    /// Training would initially lower the value.
    Degrades,
    /// No effect beyond chance, the placebos or length.
    NoEvidence,
    /// v*, v_c or a standard error is missing: the data cannot decide.
    NotIdentifiable,
    /// The slope differs from 0, but there are too few placebo texts for a stronger verdict.
    DiffersFromZero,
    /// A text that names no value has an effect.
    PlaceboEffect,
    /// The judge is not valid, so that no conclusion about the constitution is possible.
    JudgeInvalid,
    /// Too few independent groups of answers.
    TooLittleData,
}

/// Qualification of an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Qualifier {
    /// Under length control the interval reaches zero or the alignment fails its gate.
    LengthConfounded,
    /// No token counts are available.
    LengthNotControlled,
    /// Under length control the sign reverses or no effect is left.
    LengthExplains,
    /// No larger than the effect of placebo constitutions.
    WithinPlacebo,
    /// No larger than for unrelated directions, and too few placebo texts to distinguish them.
    Ordinary,
    /// A small share of the best possible slope.
    TooSmall,
    /// The total slope is missing or has the other sign.
    TotalDisagrees,
    /// The encoded slope is inconclusive; the total slope is significantly positive.
    TotalPositive,
    /// The encoded slope is inconclusive; the total slope is significantly negative.
    TotalNegative,
}

impl Outcome {
    /// All qualifiers.
    pub const ALL: [Self; 8] = [
        Self::Improves,
        Self::Degrades,
        Self::NoEvidence,
        Self::NotIdentifiable,
        Self::DiffersFromZero,
        Self::PlaceboEffect,
        Self::JudgeInvalid,
        Self::TooLittleData,
    ];

    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Improves => "improves",
            Self::Degrades => "degrades",
            Self::NoEvidence => "no evidence",
            Self::NotIdentifiable => "not identifiable",
            Self::DiffersFromZero => "differs from 0",
            Self::PlaceboEffect => "placebo effect",
            Self::JudgeInvalid => "judge not valid",
            Self::TooLittleData => "too little data",
        }
    }
}

impl Qualifier {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LengthConfounded => "length-confounded",
            Self::LengthNotControlled => "length not controlled",
            Self::LengthExplains => "length explains it",
            Self::WithinPlacebo => "within the placebo arm",
            Self::Ordinary => "ordinary direction",
            Self::TooSmall => "too small to matter",
            Self::TotalDisagrees => "total slope disagrees",
            Self::TotalPositive => "total slope positive",
            Self::TotalNegative => "total slope negative",
        }
    }

    /// In a word.
    pub(crate) fn short(self) -> &'static str {
        match self {
            Self::LengthConfounded => "length?",
            Self::LengthNotControlled => "no lengths",
            Self::LengthExplains => "length",
            Self::WithinPlacebo => "placebo",
            Self::Ordinary => "ordinary",
            Self::TooSmall => "small",
            Self::TotalDisagrees => "total",
            Self::TotalPositive => "total +",
            Self::TotalNegative => "total −",
        }
    }
}
