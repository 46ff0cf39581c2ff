//! Values against each other: the angles between their directions.

use super::Section;
use crate::hypothesis::{Control, Quantity};
use crate::report::Report;
use crate::report::format::quotable;
use crate::report::rows::Index;
use crate::report::tables::keyed;

/// Angles between the directions of values.
pub(super) fn section(report: &Report, _: &Index<'_>) -> Option<Section> {
    let grid = keyed(report, Quantity::ValueCos);
    if grid.rows.is_empty() {
        return None;
    }
    let plain = |e: &&_| {
        let e: &crate::hypothesis::Estimate = e;
        e.quantity == Quantity::ValueCos && e.control == Control::None && e.judge.is_none()
    };
    let pairs: Vec<_> = report.estimates.iter().filter(plain).collect();
    let known: Vec<_> = pairs.iter().filter(|e| quotable(e)).collect();
    let conflicting = known.iter().filter(|e| e.hi.is_some_and(|hi| hi < 0.0)).count();
    let agreeing = known.iter().filter(|e| e.lo.is_some_and(|lo| lo > 0.0)).count();
    let verdict = if known.is_empty() {
        "No angle between two values is identifiable: at least one of each pair is not encoded.".to_owned()
    } else {
        format!(
            "Of {} pairs of values, {agreeing} agree (acute angle), {conflicting} conflict (obtuse), {} cannot be told apart from a right angle, {} are not identifiable.",
            pairs.len(),
            known.len() - agreeing - conflicting,
            pairs.len() - known.len()
        )
    };
    Some(Section {
        title: "Angles between values",
        source: "Appendix E",
        verdict,
        notes: vec![],
        grids: vec![("Values against each other".into(), grid)],
        figures: vec![],
    })
}
