//! The list of statements, in the order in which they are measured and reported.

use crate::document::Claim;
use crate::theory::reading::index::Index;
use crate::theory::reading::validity::JudgeValidity;
use crate::theory::statement::{Measure, Statement};
use crate::theory::{
    adversarial, angles, answer, ceiling, complement, concentration, dimension, encoding, ensemble, gap,
    geometry, gradient, improvement, items, judging, linearity, monotone, own, policy, promptable, raw,
    several, state, tilt, wording,
};

/// Every measured statement of the paper.
pub const STATEMENTS: &[Statement] = &[
    encoding::STATEMENT,
    linearity::STATEMENT,
    dimension::STATEMENT,
    concentration::STATEMENT,
    geometry::STATEMENT,
    improvement::STATEMENT,
    own::STATEMENT,
    policy::STATEMENT,
    gap::STATEMENT,
    state::STATEMENT,
    tilt::STATEMENT,
    ceiling::STATEMENT,
    complement::STATEMENT,
    adversarial::STATEMENT,
    promptable::STATEMENT,
    ensemble::STATEMENT,
    wording::STATEMENT,
    several::STATEMENT,
    angles::STATEMENT,
    judging::STATEMENT,
    answer::STATEMENT,
    gradient::STATEMENT,
    monotone::STATEMENT,
    raw::STATEMENT,
    items::STATEMENT,
];

/// Measures of all statements, in order.
pub(crate) fn measures() -> impl Iterator<Item = &'static Measure> {
    STATEMENTS.iter().flat_map(|s| s.measures)
}

/// What the data say of each statement; statements without a finding are left out.
pub fn claims(index: &Index<'_>) -> Vec<Claim> {
    let complaint = JudgeValidity::new(index).complaint();
    STATEMENTS.iter().filter_map(|s| s.claim(index, complaint.as_deref())).collect()
}

/// Whether any statement shows this table of the report.
pub fn shows(table: &str) -> bool {
    STATEMENTS.iter().any(|s| s.tables.contains(&table))
}
