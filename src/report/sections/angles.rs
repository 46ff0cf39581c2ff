//! Values against each other: the angles between their directions.

use crate::document::Statement;
use crate::hypothesis::{Control, Estimate, Quantity};
use crate::report::Report;
use crate::report::format::{counted, number, quotable};
use crate::report::rows::Index;
use crate::report::tables::keyed;
use crate::report::together::interval_for_all;
use crate::report::words::{joined, quoted};

/// The cosine of every pair of values, over all responses and without control.
fn all_pairs(report: &Report) -> impl Iterator<Item = &Estimate> {
    let plain =
        |e: &&Estimate| e.quantity == Quantity::ValueCos && e.control == Control::None && e.judge.is_none();
    report.estimates.iter().filter(plain)
}

/// Pairs of values whose angle is obtuse with intervals that hold for all pairs together.
fn clearly_obtuse(report: &Report) -> Vec<&Estimate> {
    let known: Vec<&Estimate> = all_pairs(report).filter(|e| quotable(e)).collect();
    let pairs = known.len();
    known.into_iter().filter(|e| interval_for_all(e, pairs).is_some_and(|(_, hi)| hi < 0.0)).collect()
}

/// The sentence on values that stand against one another, whether or not length is held; none where no two clearly do.
pub(in crate::report) fn conflict(report: &Report) -> Option<String> {
    let held = |own: &Estimate| {
        report.estimates.iter().any(|e| {
            e.quantity == Quantity::ValueCos
                && e.control == Control::Length
                && (&e.value, &e.value2, &e.judge) == (&own.value, &own.value2, &own.judge)
                && e.hi.is_some_and(|hi| hi < 0.0)
        })
    };
    let told: Vec<String> = clearly_obtuse(report)
        .into_iter()
        .filter(|e| held(e))
        .filter_map(|e| {
            let (a, b) = (e.value.as_deref()?, e.value2.as_deref()?);
            Some(format!("{} and {} (cosine {})", quoted(a), quoted(b), number(e.estimate?, e.se)))
        })
        .collect();
    (!told.is_empty()).then(|| {
        format!(
            "In that state {} stand against each other: what raises the one tends to lower the other.",
            joined(&told, 3)
        )
    })
}

/// Angles between the directions of values.
pub(super) fn section(report: &Report, _: &Index<'_>) -> Option<Statement> {
    let grid = keyed(report, Quantity::ValueCos);
    if grid.rows.is_empty() {
        return None;
    }
    let pairs: Vec<&Estimate> = all_pairs(report).collect();
    let known: Vec<&Estimate> = pairs.iter().copied().filter(|e| quotable(e)).collect();
    let ends = |e: &&&Estimate| interval_for_all(e, known.len());
    let conflicting = clearly_obtuse(report).len();
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
    Some(Statement {
        title: "Angles between values",
        source: "Appendix E",
        verdict,
        notes: vec![
            "The table has the 95 % interval of each pair; the sentence above counts what excludes a right angle with intervals \
             that hold for all pairs together (Bonferroni)."
                .into(),
        ],
        tables: vec![("Values against each other".into(), grid)],
        figures: vec![],
    })
}
