//! Bias, root mean squared error and coverage of any estimator over fresh seeds.

use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;
use serde::Serialize;

use super::design::Design;
use super::{Simulated, simulate};
use crate::error::{Diagnostic, Kind, Place, Result};

/// An estimate from one data set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figure {
    /// The estimate.
    pub estimate: f64,
    /// Interval [lo, hi], if there is one; an end of a one-sided bound is infinite.
    pub interval: Option<[f64; 2]>,
    /// The target, if it is not the population's figure: a fit of fewer contrasts than dimensions estimates the figure
    /// of the part of v* that it resolves.
    pub target: Option<f64>,
}

impl From<(f64, f64, f64)> for Figure {
    fn from((estimate, lo, hi): (f64, f64, f64)) -> Self {
        Self { estimate, interval: Some([lo, hi]), target: None }
    }
}

/// Results for one figure over all seeds. The truth differs between seeds if directions are random; errors are computed
/// per seed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// Name of the figure, as in [`Truth::get`](super::Truth::get).
    pub name: String,
    /// Number of seeds with a finite estimate.
    pub given: usize,
    /// Number of seeds without an estimate (gates, refusals).
    pub withheld: usize,
    /// Mean truth over the seeds with an estimate; `None` if undefined.
    pub truth: Option<f64>,
    /// Mean estimate.
    pub mean: f64,
    /// Mean of estimate − truth.
    pub bias: Option<f64>,
    /// Standard error of the bias, sd/√given; `None` for fewer than two seeds.
    pub bias_se: Option<f64>,
    /// √ mean of (estimate − truth)².
    pub rmse: Option<f64>,
    /// Number of intervals for seeds with a truth.
    pub intervals: usize,
    /// Whether some intervals are one-sided bounds.
    pub one_sided: bool,
    /// Whether some estimates have a target of their own.
    pub targeted: bool,
    /// Share of intervals that contain the truth.
    pub coverage: Option<f64>,
    /// Mean of hi − lo.
    pub width: Option<f64>,
    /// Share of intervals that exclude 0.
    pub excludes_zero: Option<f64>,
}

/// A table of bias, RMSE and coverage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// Seeds of the draws: first, and one past the last.
    pub seeds: [u64; 2],
    /// One line per figure, sorted by name.
    pub lines: Vec<Line>,
}

impl Table {
    /// Draws one data set per seed, in parallel, and compares the results of `estimate` with the truth.
    ///
    /// # Errors
    /// Errors of drawing and of `estimate`; [`Kind::Invalid`] for a figure unknown to the truth.
    pub fn over<F>(design: &Design, seeds: Range<u64>, estimate: F) -> Result<Self>
    where
        F: Fn(&Simulated) -> Result<BTreeMap<String, Figure>> + Sync,
    {
        let rounds = seeds.clone().into_par_iter().map(|seed| {
            let simulated = simulate(design, seed)?;
            let figures = estimate(&simulated)?;
            let compared = figures.into_iter().map(|(name, figure)| {
                let truth = simulated.truth.get(&name).ok_or_else(|| {
                    Diagnostic::new(Kind::Invalid, "no such figure in the truth")
                        .at(Place::default().id(&name))
                })?;
                let truth = figure.target.or(truth);
                Ok((name, (figure, truth)))
            });
            compared.collect::<Result<BTreeMap<_, _>>>()
        });
        let rounds: Vec<_> = rounds.collect::<Result<_>>()?;
        let mut columns: BTreeMap<&str, Vec<(Figure, Option<f64>)>> = BTreeMap::new();
        for (name, compared) in rounds.iter().flatten() {
            if compared.0.estimate.is_finite() {
                columns.entry(name).or_default().push(*compared);
            } else {
                columns.entry(name).or_default();
            }
        }
        let lines = columns.into_iter().map(|(name, column)| Line::of(name, &column, rounds.len())).collect();
        Ok(Self { seeds: [seeds.start, seeds.end], lines })
    }

    /// The line with this name.
    pub fn line(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name == name)
    }
}

impl Line {
    fn of(name: &str, column: &[(Figure, Option<f64>)], seeds: usize) -> Self {
        let known: Vec<(Figure, f64)> =
            column.iter().filter_map(|(f, t)| Some((*f, (*t).filter(|t| t.is_finite())?))).collect();
        let errors: Vec<f64> = known.iter().map(|(f, t)| f.estimate - t).collect();
        let bias = mean(&errors);
        let bias_se = bias.filter(|_| errors.len() > 1).map(|bias| {
            let n = errors.len() as f64;
            (errors.iter().map(|e| (e - bias).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt()
        });
        let squares: Vec<f64> = errors.iter().map(|e| e * e).collect();
        let hits: Vec<f64> = known
            .iter()
            .filter_map(|(f, t)| f.interval.map(|[lo, hi]| f64::from(u8::from((lo..=hi).contains(t)))))
            .collect();
        let intervals: Vec<[f64; 2]> = column.iter().filter_map(|(f, _)| f.interval).collect();
        let widths: Vec<f64> = intervals.iter().map(|[lo, hi]| hi - lo).collect();
        let excluding: Vec<f64> =
            intervals.iter().map(|[lo, hi]| f64::from(u8::from(*lo > 0.0 || *hi < 0.0))).collect();
        Self {
            name: name.to_owned(),
            given: column.len(),
            withheld: seeds - column.len(),
            truth: mean(&known.iter().map(|(_, t)| *t).collect::<Vec<_>>()),
            mean: mean(&column.iter().map(|(f, _)| f.estimate).collect::<Vec<_>>()).unwrap_or(f64::NAN),
            bias,
            bias_se,
            rmse: mean(&squares).map(f64::sqrt),
            intervals: hits.len(),
            one_sided: intervals.iter().any(|[lo, hi]| lo.is_infinite() || hi.is_infinite()),
            targeted: column.iter().any(|(f, _)| f.target.is_some()),
            coverage: mean(&hits),
            width: mean(&widths),
            excludes_zero: mean(&excluding),
        }
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn small() -> Design {
        Design { hidden_size: 24, prompts: 4, ..Design::default() }
    }

    #[test]
    fn the_figures_of_a_table_are_those_worked_by_hand() {
        // Errors −0.1, 0.1, 0.3 (seeds 0, 1, 2), seed 3 withheld; intervals ± 0.2 around the estimate.
        let table = Table::over(&small(), 0..4, |s| {
            let truth = s.truth.get("rho2 S").flatten().expect("planted");
            let estimate = truth + [-0.1, 0.1, 0.3, f64::NAN][s.truth.seed as usize];
            Ok(BTreeMap::from([("rho2 S".to_owned(), (estimate, estimate - 0.2, estimate + 0.2).into())]))
        })
        .expect("a table");
        let line = table.line("rho2 S").expect("the line");
        let close = |a: Option<f64>, b: f64| assert!((a.expect("defined") - b).abs() < 1e-12, "{a:?} {b}");
        assert_eq!((line.given, line.withheld), (3, 1));
        close(line.truth, 0.4);
        close(line.bias, 0.1);
        close(line.bias_se, 0.2 / 3f64.sqrt());
        close(line.rmse, (0.11f64 / 3.0).sqrt());
        close(line.coverage, 2.0 / 3.0);
        close(line.width, 0.4);
        close(line.excludes_zero, 1.0);
    }

    #[test]
    fn a_figure_without_truth_is_refused_and_an_undefined_one_has_no_bias() {
        let name = |name: &str| BTreeMap::from([(name.to_owned(), (0.5, 0.4, 0.6).into())]);
        let unknown = Table::over(&small(), 0..2, |_| Ok(name("cos S|J:nobody")));
        assert_eq!(unknown.expect_err("refused").kind(), Some(Kind::Invalid));
        let design = Design { rho2: 0.0, ..small() };
        let table = Table::over(&design, 0..2, |_| Ok(name("cos S|J:good"))).expect("a table");
        let line = &table.lines[0];
        assert_eq!((line.given, line.truth, line.bias, line.coverage), (2, None, None, None));
        assert!((line.mean - 0.5).abs() < 1e-15);
        let failing = Table::over(&small(), 0..2, |_| Err(Error::Interrupted));
        assert!(matches!(failing, Err(Error::Interrupted)));
    }
}
