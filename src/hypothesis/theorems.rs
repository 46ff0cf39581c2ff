//! The statements of the paper that are measured beyond the core, in the order in which they are.

use super::analysis::Analysis;
use super::stage::Stage;
use super::{
    angles, best, calibration, complement, concentration, dominance, ensemble, gradient, items, linearity,
    monotone, policy, promptable, regret, several, state, verdict, wording,
};
use crate::error::Result;

/// Measures a statement for the values of these numbers, under the stage's control.
pub(super) type Measure = fn(&mut Stage<'_>, &[usize], &mut Analysis) -> Result<()>;

/// Name (for the log) and measurement.
pub(super) const THEOREMS: &[(&str, Measure)] = &[
    ("angles between values (Appendix E)", angles::measure),
    ("curvature (Assumptions 1 to 3)", linearity::measure),
    ("average gradient (Theorem 14)", gradient::measure),
    ("other covariances, and what dominates (Definition 8)", dominance::measure),
    ("concentration (Conjecture 9)", concentration::measure),
    ("regret, counted (Theorem 6)", regret::measure),
    ("the best of K, and the oracle (Theorem 6)", best::measure),
    ("importance weights (Theorem 3)", policy::measure),
    ("judge, residual stream and people (Section 9.3)", complement::measure),
    ("several values at once (Appendix E)", several::measure),
    ("the best constitution (Proposition 25)", promptable::measure),
    ("ensembles (Section 9.2)", ensemble::measure),
    ("wordings (Section 9.2)", wording::measure),
    ("the judge's calibration (Assumption 3)", calibration::measure),
    ("two lines and two halves (Proposition 15, Theorem 14)", monotone::measure),
    ("the state under a constitution (Section 3.2, Remark 1)", state::measure),
    ("where the verdict is made (Assumption 3)", verdict::measure),
    ("responses at both ends of v*", items::measure),
];
