//! Values against each other: the angles between their directions.

use super::Section;
use crate::hypothesis::{Control, Estimate, Quantity};
use crate::report::Report;
use crate::report::format::{counted, quotable};
use crate::report::rows::Index;
use crate::report::tables::keyed;
use crate::report::together::interval_for_all;

/// Angles between the directions of values.
pub(super) fn section(report: &Report, _: &Index<'_>) -> Option<Section> {
    let grid = keyed(report, Quantity::ValueCos);
    if grid.rows.is_empty() {
        return None;
    }
    let plain =
        |e: &&Estimate| e.quantity == Quantity::ValueCos && e.control == Control::None && e.judge.is_none();
    let pairs: Vec<&Estimate> = report.estimates.iter().filter(plain).collect();
    let known: Vec<&Estimate> = pairs.iter().copied().filter(|e| quotable(e)).collect();
    let ends = |e: &&&Estimate| interval_for_all(e, known.len());
    let conflicting = known.iter().filter(|e| ends(e).is_some_and(|(_, hi)| hi < 0.0)).count();
    let agreeing = known.iter().filter(|e| ends(e).is_some_and(|(lo, _)| lo > 0.0)).count();
    let verdict = if known.is_empty() {
        "No angle between two values is identifiable.".to_owned()
    } else {
        format!(
            "Of {} of values, {agreeing} clearly agree (acute angle), {conflicting} clearly conflict (obtuse), {} cannot be told apart from a right angle, {} are not identifiable.",
            counted(pairs.len() as u64, "pair"),
            known.len() - agreeing - conflicting,
            pairs.len() - known.len()
        )
    };
    Some(Section {
        title: "Angles between values",
        source: "Appendix E",
        verdict,
        notes: vec![
            "The table has the 95 % interval of each pair; the sentence above counts what excludes a right angle with intervals \
             that hold for all pairs together (Bonferroni)."
                .into(),
        ],
        grids: vec![("Values against each other".into(), grid)],
        figures: vec![],
    })
}
