//! What v* reads as best and as worst: the responses at both ends of ⟨h, v*⟩, and those it reads most wrongly.
//!
//! Scores are predictions by a fit without the response's block, centred within the prompt, in units of the value.

use serde::Serialize;

use super::analysis::Analysis;
use super::problem::Labels;
use super::rows;
use super::stage::Stage;
use crate::error::Result;

/// Name of the table in the report.
pub const TABLE: &str = "items";

/// Responses at each end.
const EACH: usize = 6;

/// Why a response is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Among the highest scores.
    Highest,
    /// Among the lowest scores.
    Lowest,
    /// Among the largest differences between score and label.
    MostWrong,
}

/// A listed response; for preferences, the better response of a pair, and the worse one as `against`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// The value.
    pub value: String,
    /// Why it is listed.
    pub end: End,
    /// Its row in the problem.
    pub row: usize,
    /// The row it was preferred to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<usize>,
    /// ⟨h, v*⟩ on a left-out block, within the prompt; for a preference, of the difference over √2.
    pub score: f64,
    /// The label, within the prompt; for a preference 1.
    pub label: f64,
}

/// Lists the ends of each value's score.
pub(super) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    if stage.length {
        return Ok(());
    }
    let problem = stage.problem;
    let mut listed: Vec<Listed> = Vec::new();
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
        for end in [End::Highest, End::Lowest, End::MostWrong] {
            let rank = |c: &(usize, Option<usize>, f64, f64)| match end {
                End::Highest => -c.2,
                End::Lowest => c.2,
                End::MostWrong => -(c.3 - c.2).abs(),
            };
            let mut order: Vec<_> = scored.iter().collect();
            // Equal scores in the order of the data.
            order.sort_by(|a, b| rank(a).total_cmp(&rank(b)).then(a.0.cmp(&b.0)));
            listed.extend(order.into_iter().take(EACH).map(|&(row, against, score, label)| Listed {
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
