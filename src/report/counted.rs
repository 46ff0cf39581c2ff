//! Selections shared by several sentences of a report: verdicts outside the placebo arm, and the groups of answers
//! behind them.

use crate::theory::reading::index::Index;
use crate::theory::reading::verdict::Verdict;
use crate::theory::{Control, Estimate};

/// Verdicts outside the placebo arm.
pub(super) fn real(verdicts: &[Verdict]) -> impl Iterator<Item = &Verdict> + Clone {
    verdicts.iter().filter(|v| !v.placebo)
}

/// Number of independent groups of answers behind the verdicts.
pub(super) fn groups(index: &Index<'_>, verdicts: &[Verdict]) -> Option<usize> {
    verdicts.iter().filter_map(|v| deciding(index, v)?.blocks).max()
}

/// The slope that decided a verdict.
pub(super) fn deciding<'a>(index: &Index<'a>, v: &Verdict) -> Option<&'a Estimate> {
    let value = index.values.iter().copied().find(|name| *name == v.value)?;
    let named = index.constitutions.iter().find(|c| c.name == v.constitution)?;
    index.cell(v.slope, value, named.name, Control::None)
}

pub(super) fn lower_model(subject: &str) -> String {
    if subject == "This model" { "this model".into() } else { subject.into() }
}
