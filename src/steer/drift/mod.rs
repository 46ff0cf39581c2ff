//! Section 9.4: whether a direction remains the same function of the response across checkpoints.

mod function;
mod page;

pub use function::{Fitted, fit, function_cos};
use serde::Serialize;

use crate::theory::Estimate;
use crate::units::Layer;

/// Distance below 1 from which an interval counts as drift.
pub const MARGIN: f64 = 0.1;

/// Classification of a cosine's interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The whole interval is within the margin of 1.
    Steady,
    /// The whole interval is below 1 minus the margin.
    Drifting,
    /// The whole interval is negative.
    Reversed,
    /// The data are inconclusive.
    Untold,
}

impl Change {
    /// Classifies an estimate.
    pub fn of(e: &Estimate) -> Self {
        match (e.lo, e.hi) {
            (Some(_), Some(hi)) if e.reportable && hi < 0.0 => Self::Reversed,
            (Some(_), Some(hi)) if e.reportable && hi < 1.0 - MARGIN => Self::Drifting,
            (Some(lo), Some(_)) if e.reportable && lo >= 1.0 - MARGIN => Self::Steady,
            _ => Self::Untold,
        }
    }

    /// Description for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Drifting => "drifting",
            Self::Reversed => "reversed",
            Self::Untold => "cannot be told",
        }
    }
}

/// Comparison of two checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Index of the earlier run, from 0.
    pub from: usize,
    /// Index of the later run.
    pub to: usize,
    /// The `function_cos` estimate.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// Euclidean cosine of the exported directions; affected by noise and by rotations of the basis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<f64>,
    /// Classification of the estimate.
    pub change: Change,
}

/// Comparisons of a direction over the series: `v_star.VALUE`, `v_c.CONSTITUTION`, `w`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Track {
    /// Name of the direction.
    pub direction: String,
    /// Each checkpoint against the previous one.
    pub consecutive: Vec<Step>,
    /// Each checkpoint against the first.
    pub from_first: Vec<Step>,
}

/// A run of the series, with the layer read and estimates from its report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stop {
    /// Folder of the run.
    pub run: String,
    /// Name of the model.
    pub model: String,
    /// Layer at which the run is read.
    pub layer: Layer,
    /// `rho`, `alignment` and `generation_alignment` of its report, without length control.
    pub estimates: Vec<Estimate>,
}

/// A series of checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drift {
    /// Format name, `vstar-drift/1`.
    pub format: &'static str,
    /// Number of rows compared.
    pub rows: usize,
    /// Distance below 1 that counts as drift.
    pub margin: f64,
    /// The runs in order.
    pub runs: Vec<Stop>,
    /// Comparisons by direction.
    pub directions: Vec<Track>,
    /// Warnings for the reader.
    pub warnings: Vec<String>,
}
