//! Section 9.4: whether a direction stays the same function of the response from one checkpoint to the next.

mod function;
mod page;

pub use function::{Fitted, fit, function_cos};
use serde::Serialize;

use crate::theory::Estimate;
use crate::units::Layer;

/// How far below 1 an interval must lie to be called drift.
pub const MARGIN: f64 = 0.1;

/// What an interval says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The whole interval is within the margin of 1.
    Steady,
    /// The whole interval is below it.
    Drifting,
    /// The whole interval is negative.
    Reversed,
    /// The data do not tell.
    Untold,
}

impl Change {
    /// What an estimate says.
    pub fn of(e: &Estimate) -> Self {
        match (e.lo, e.hi) {
            (Some(_), Some(hi)) if e.reportable && hi < 0.0 => Self::Reversed,
            (Some(_), Some(hi)) if e.reportable && hi < 1.0 - MARGIN => Self::Drifting,
            (Some(lo), Some(_)) if e.reportable && lo >= 1.0 - MARGIN => Self::Steady,
            _ => Self::Untold,
        }
    }

    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Drifting => "drifting",
            Self::Reversed => "reversed",
            Self::Untold => "cannot be told",
        }
    }
}

/// One comparison of two steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Number of the earlier run, from 0.
    pub from: usize,
    /// Number of the later run.
    pub to: usize,
    /// `function_cos`.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// Euclidean cosine of the exported directions: moved by noise and by a turn of the basis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<f64>,
    /// What it says.
    pub change: Change,
}

/// A direction over the series: `v_star.VALUE`, `v_c.CONSTITUTION`, `w`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Track {
    /// Name of the direction.
    pub direction: String,
    /// Each step against the one before.
    pub consecutive: Vec<Step>,
    /// Each step against the first.
    pub from_first: Vec<Step>,
}

/// A run of the series: where it is read, and what its report says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stop {
    /// The folder.
    pub run: String,
    /// The model.
    pub model: String,
    /// The layer.
    pub layer: Layer,
    /// `rho`, `alignment` and `generation_alignment` of its report, without length control.
    pub estimates: Vec<Estimate>,
}

/// A series of checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drift {
    /// `vstar-drift/1`.
    pub format: &'static str,
    /// Rows compared.
    pub rows: usize,
    /// How far below 1 is called drift.
    pub margin: f64,
    /// The runs in order.
    pub runs: Vec<Stop>,
    /// The directions.
    pub directions: Vec<Track>,
    /// What must be known.
    pub warnings: Vec<String>,
}
