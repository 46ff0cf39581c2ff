//! The statements of the paper that are measured beyond the core, in the order in which they are.

use super::analysis::Analysis;
use super::stage::Stage;
use super::{angles, calibration, items, linearity, monotone, regret, several};
use crate::error::Result;

/// Measures a statement for the values of these numbers, under the stage's control.
pub(super) type Measure = fn(&mut Stage<'_>, &[usize], &mut Analysis) -> Result<()>;

/// Name (for the log) and measurement.
pub(super) const THEOREMS: &[(&str, Measure)] = &[
    ("angles between values (Appendix E)", angles::measure),
    ("curvature (Assumptions 1 to 3)", linearity::measure),
    ("regret, counted (Theorem 6)", regret::measure),
    ("several values at once (Appendix E)", several::measure),
    ("the judge's calibration (Assumption 3)", calibration::measure),
    ("two lines (Proposition 15)", monotone::measure),
    ("responses at both ends of v*", items::measure),
];
