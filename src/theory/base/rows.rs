//! Selection of the rows that carry every label a computation needs.

use crate::probe::Contrasts;
use crate::theory::base::bench::Bench;
use crate::theory::base::problem::{Judged, Labels, Problem, Value};

/// Rows (or preferences) that a bench is built on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Rows {
    /// Responses, ascending.
    Responses(Vec<usize>),
    /// Preferences, as pairs of rows.
    Pairs(Vec<(usize, usize)>),
}

impl Rows {
    /// Contrasts of the rows.
    pub fn contrasts(&self, problem: &Problem) -> Contrasts {
        match self {
            Self::Responses(rows) if !problem.grouped => Contrasts::centred(rows, &problem.block),
            Self::Responses(rows) => {
                let mut kept = vec![false; problem.rows()];
                rows.iter().for_each(|&r| kept[r] = true);
                Contrasts::helmert(&problem.prompt, &problem.block, |r| kept[r])
            }
            Self::Pairs(pairs) => Contrasts::pairs(pairs, &problem.block),
        }
    }

    /// The rows for which `keep` holds; a preference needs both of its rows.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(usize) -> bool) -> Self {
        match self {
            Self::Responses(rows) => Self::Responses(rows.iter().copied().filter(|&r| keep(r)).collect()),
            Self::Pairs(pairs) => {
                Self::Pairs(pairs.iter().copied().filter(|&(a, b)| keep(a) && keep(b)).collect())
            }
        }
    }
}

/// All rows for which `keep` holds.
pub fn all(problem: &Problem, keep: &dyn Fn(usize) -> bool) -> Rows {
    Rows::Responses((0..problem.rows()).filter(|&r| keep(r)).collect())
}

/// Rows labelled by a value.
pub fn of_value(problem: &Problem, value: &Value, keep: &dyn Fn(usize) -> bool) -> Rows {
    match &value.labels {
        Labels::Scores(s) => all(problem, &|r| keep(r) && s[r].is_finite()),
        Labels::Preferences(pairs) => Rows::Pairs(pairs.clone()).filtered(keep),
    }
}

/// The rows that have a reward under a constitution.
pub fn of_judged(problem: &Problem, judged: &Judged, keep: &dyn Fn(usize) -> bool) -> Rows {
    all(problem, &|r| keep(r) && judged.reward[r].is_finite())
}

/// Contrasts of a value's labels on a bench: those of the scores, or +1 for each preference, better first.
pub fn label(bench: &Bench, value: &Value) -> Vec<f64> {
    match &value.labels {
        Labels::Scores(s) => bench.column(s),
        Labels::Preferences(_) => bench.controlled(vec![1.0; bench.n()]),
    }
}
