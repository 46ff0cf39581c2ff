//! Responses with the highest and lowest ⟨h, v*⟩, and those with the largest prediction errors.
//!
//! Scores are predictions from a fit without the response's block, centred within the prompt, in units of the value.

pub(crate) mod decks;
pub mod readings;

use serde::Serialize;

use crate::document::Evidence;
use crate::error::Result;
use crate::theory::base::analysis::Analysis;
use crate::theory::base::problem::Labels;
use crate::theory::base::rows;
use crate::theory::base::stage::Stage;
use crate::theory::reading::index::Index;
use crate::theory::statement::{Measure, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "items",
    title: "What v* reads in single responses",
    source: "Assumption 1",
    quantities: &[],
    tables: &[TABLE, readings::TABLE],
    rests: Rests::Otherwise,
    measures: &[Measure::Uncontrolled(measure)],
    section: Some(section),
};

/// Name of the table in the report.
pub const TABLE: &str = "items";

/// Number of responses at each end.
const EACH: usize = 6;

/// Why a response is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Among the highest scores.
    Highest,
    /// Among the lowest scores.
    Lowest,
    /// Among the largest differences between score and label.
    MostWrong,
}

/// A listed response; for preferences, the better response of a pair, and the worse one as `against`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ListedResponse {
    /// The value.
    pub value: String,
    /// Why it is listed.
    pub end: Reason,
    /// Its row in the problem.
    pub row: usize,
    /// The row it was preferred to, for a preference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<usize>,
    /// ⟨h, v*⟩ on a left-out block, centred within the prompt; for a preference, of the difference over √2.
    pub score: f64,
    /// The label, centred within the prompt; 1 for a preference.
    pub label: f64,
}

/// Lists both ends of each value's scores.
pub(crate) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    let mut listed: Vec<ListedResponse> = Vec::new();
    for &v in values {
        let value = &problem.values[v];
        let wanted = rows::of_value(problem, value, stage.keep);
        let Some(bench) = stage.bench(wanted)? else { continue };
        let s = bench.probe(vec![rows::label(&bench, value)]).remove(0);
        let scored: Vec<(usize, Option<usize>, f64, f64)> = match &value.labels {
            Labels::Scores(_) => {
                let spread = |y: &[f64]| bench.contrasts.spread(y, problem.rows());
                let (score, label) = (spread(&s.yhat), spread(&s.y));
                let all = score.iter().zip(&label).enumerate().filter(|(_, (score, _))| score.is_finite());
                all.map(|(row, (&score, &label))| (row, None, score, label)).collect()
            }
            Labels::Preferences(_) => {
                let pairs = bench.contrasts.pair_rows();
                let of = pairs.zip(s.yhat.iter().zip(&s.y));
                of.map(|((better, worse), (&score, &y))| (better, Some(worse), score, y)).collect()
            }
        };
        for end in [Reason::Highest, Reason::Lowest, Reason::MostWrong] {
            let rank = |c: &(usize, Option<usize>, f64, f64)| match end {
                Reason::Highest => -c.2,
                Reason::Lowest => c.2,
                Reason::MostWrong => -(c.3 - c.2).abs(),
            };
            let mut order: Vec<_> = scored.iter().collect();
            // Equal scores keep the order of the data.
            order.sort_by(|a, b| rank(a).total_cmp(&rank(b)).then(a.0.cmp(&b.0)));
            listed.extend(order.into_iter().take(EACH).map(|&(row, against, score, label)| ListedResponse {
                value: value.name.clone(),
                end,
                row,
                against,
                score,
                label,
            }));
        }
    }
    if let (false, Ok(table)) = (listed.is_empty(), serde_json::to_value(listed)) {
        out.tables.insert(TABLE.to_owned(), table);
    }
    Ok(())
}

/// Table of the listed responses; the responses themselves are shown as cards ([`decks`]).
fn section(index: &Index<'_>) -> Option<Evidence> {
    index.rows(TABLE).filter(|rows| !rows.is_empty())?;
    Some(Evidence {
        verdict: "The responses with the highest and lowest scores, and those whose labels the score misses most, are under “Single \
                  responses”."
            .into(),
        ..Evidence::default()
    })
}
