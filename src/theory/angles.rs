//! Appendix E: the angles between the directions of values, cos(v*_a, v*_b).

use crate::document::Evidence;
use crate::error::Result;
use crate::theory::base::analysis::Analysis;
use crate::theory::base::angle::Angle;
use crate::theory::base::estimate::{Control, Estimate, Quantity};
use crate::theory::base::problem::Labels;
use crate::theory::base::rows;
use crate::theory::base::stage::Stage;
use crate::theory::reading::index::Index;
use crate::theory::reading::keyed::keyed;
use crate::theory::reading::quote::{counted, number, quotable};
use crate::theory::reading::together::interval_for_all;
use crate::theory::reading::words::{joined, quoted};
use crate::theory::statement::{Measure, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "angles",
    title: "Angles between values",
    source: "Appendix E",
    quantities: &[Quantity::ValueCos],
    tables: &[],
    rests: Rests::Otherwise,
    measures: &[Measure::Whole(measure)],
    section: Some(section),
};

/// `value_cos` for each pair of values with response labels, on the rows that have both.
pub(crate) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    for (i, &a) in values.iter().enumerate() {
        for &b in &values[i + 1..] {
            let (a, b) = (&problem.values[a], &problem.values[b]);
            let (Labels::Scores(sa), Labels::Scores(sb)) = (&a.labels, &b.labels) else { continue };
            let keep = stage.keep;
            let rows = rows::all(problem, &|r| keep(r) && sa[r].is_finite() && sb[r].is_finite());
            let Some(bench) = stage.bench(rows)? else { continue };
            let labels = bench.probe(vec![bench.column(sa), bench.column(sb)]);
            let angle = Angle::new(&bench, &labels[0], &labels[1]);
            let mut estimate = angle.estimate(&bench, Quantity::ValueCos, (&a.name, &b.name));
            estimate.value2 = Some(b.name.clone());
            stage.push(out, Some(&bench), Some(&a.name), estimate);
        }
    }
    Ok(())
}

/// Cosines of all pairs of values, over all responses and without control.
fn all_pairs<'a>(index: &Index<'a>) -> impl Iterator<Item = &'a Estimate> {
    let plain =
        |e: &&Estimate| e.quantity == Quantity::ValueCos && e.control == Control::None && e.judge.is_none();
    index.estimates.iter().filter(plain)
}

/// Pairs of values at an obtuse angle, judged by intervals that hold simultaneously for all pairs.
fn clearly_obtuse<'a>(index: &Index<'a>) -> Vec<&'a Estimate> {
    let known: Vec<&Estimate> = all_pairs(index).filter(|e| quotable(e)).collect();
    let pairs = known.len();
    known.into_iter().filter(|e| interval_for_all(e, pairs).is_some_and(|(_, hi)| hi < 0.0)).collect()
}

/// The sentence on values that conflict, with and without length control; `None` where no two clearly do.
pub(crate) fn conflict(index: &Index<'_>) -> Option<String> {
    let held = |own: &Estimate| {
        index.estimates.iter().any(|e| {
            e.quantity == Quantity::ValueCos
                && e.control == Control::Length
                && (&e.value, &e.value2, &e.judge) == (&own.value, &own.value2, &own.judge)
                && e.hi.is_some_and(|hi| hi < 0.0)
        })
    };
    let told: Vec<String> = clearly_obtuse(index)
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
fn section(index: &Index<'_>) -> Option<Evidence> {
    let grid = keyed(index, Quantity::ValueCos);
    if grid.rows.is_empty() {
        return None;
    }
    let pairs: Vec<&Estimate> = all_pairs(index).collect();
    let known: Vec<&Estimate> = pairs.iter().copied().filter(|e| quotable(e)).collect();
    let ends = |e: &&&Estimate| interval_for_all(e, known.len());
    let conflicting = clearly_obtuse(index).len();
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
    Some(Evidence {
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
