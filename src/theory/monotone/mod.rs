//! Proposition 15: whether a value reverses along a direction, tested by two lines that need not meet.
//!
//! For the reading t = ⟨h, v̂⟩ of a response along a direction fitted without its fold, with the median m of t: S =
//! prompt effect + a·min(t − m, 0) + b·max(t − m, 0) + c·1(t ≥ m). A value that reverses has slopes a and b of
//! opposite sign, both significant (Simonsohn 2018, *Two lines*). The test cannot detect an optimum beyond the bulk
//! of the responses.

mod section;

use std::ops::Range;

use faer::Mat;
use ndarray::Array2;
use serde::Serialize;

use crate::error::Result;
use crate::linalg::solve;
use crate::probe::Contrasts;
use crate::probe::influence::Z95;
use crate::probe::twicing::ridge;
use crate::theory::base::analysis::Analysis;
use crate::theory::base::bench::Bench;
use crate::theory::base::multiplicity::{false_discovery, two_sided};
use crate::theory::base::problem::Labels;
use crate::theory::base::rows;
use crate::theory::base::stage::Stage;
use crate::theory::gradient::Leading;
use crate::theory::linearity::{Bin, binned};
use crate::theory::statement::{Measure, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "monotone",
    title: "Values with an optimum",
    source: "Proposition 15",
    quantities: &[],
    tables: &[TABLE],
    rests: Rests::OnTheJudge,
    measures: &[Measure::Uncontrolled(measure)],
    section: Some(section::section),
};

/// Name of the table in the report.
pub const TABLE: &str = "two_lines";

/// Number of folds; a direction is fitted on all but one.
const FOLDS: usize = 5;

/// Conclusion from the two slopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Significant slopes of opposite sign: no single direction means "better" (Proposition 15).
    TurnsRound,
    /// Significant slopes of the same sign.
    Monotone,
    /// At least one slope is not significantly different from 0.
    CannotTell,
}

/// The two lines of a value along a direction; slopes in units of the value per unit of the reading.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Lines {
    /// Slope a below the median reading.
    pub below: f64,
    /// Its standard error, robust to clusters (blocks).
    pub below_se: f64,
    /// Slope b above the median reading.
    pub above: f64,
    /// Standard error of b.
    pub above_se: f64,
    /// Step c at the median.
    pub jump: f64,
    /// The median reading m.
    pub median: f64,
    /// Conclusion: each slope at |z| > 1.96, and in the report's table also at an adjusted p below .05.
    pub shape: Shape,
}

impl Lines {
    /// p of a reversal: the larger p of the two slopes; 1 for slopes of the same sign.
    fn turning_p(&self) -> f64 {
        if (self.below > 0.0) == (self.above > 0.0) {
            return 1.0;
        }
        two_sided(self.below / self.below_se).max(two_sided(self.above / self.above_se))
    }

    /// Height of the lines at a reading, without prompt effects; 0 just below the median.
    pub fn at(&self, t: f64) -> f64 {
        let t = t - self.median;
        self.below * t.min(0.0) + self.above * t.max(0.0) + if t >= 0.0 { self.jump } else { 0.0 }
    }
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Along {
    /// The value.
    pub value: String,
    /// The constitution along whose direction rows were read; absent for the value's own direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constitution: Option<String>,
    /// The lines.
    #[serde(flatten)]
    pub lines: Lines,
    /// p of a reversal (the larger p of the two slopes; 1 for slopes of the same sign), adjusted for the false
    /// discovery rate over all directions and values, because the section is exploratory.
    pub q: f64,
    /// Ten bins with equal numbers of responses by reading: mean height of the lines plus mean residual, for the
    /// plot.
    pub bins: Vec<Bin>,
}

/// Bins of the readings `t` with the height of the lines plus the residual of `s`, prompt effects removed.
fn picture(contrasts: &Contrasts, block: &[i32], s: &[f64], t: &[f64], lines: &Lines) -> Vec<Bin> {
    let told: Vec<f64> = t.iter().map(|&t| lines.at(t)).collect();
    let left: Vec<f64> =
        contrasts.column(s).iter().zip(contrasts.column(&told)).map(|(s, told)| s - told).collect();
    let left = contrasts.spread(&left, t.len());
    let height: Vec<f64> = told.iter().zip(&left).map(|(told, left)| told + left).collect();
    binned(block, t, &height)
}

/// Readings ⟨h, v̂⟩ `[rows]` of each label `[N]` by ridge fits without the row's fold; NaN for rows without contrasts.
///
/// A fit without the rows f equals the fit of all rows in which y_f is replaced by its own left-out prediction,
/// so one factorisation serves every fold. df = min(N/8, r/2).
pub fn readings(bench: &Bench, h: &Array2<f32>, labels: &[&[f64]]) -> Vec<Vec<f64>> {
    let spectrum = &bench.spectrum;
    let lambda = spectrum.penalty((bench.n() as f64 / 8.0).min(spectrum.rank() as f64 / 2.0));
    let folds = folds(bench.contrasts.blocks());
    let left_out = ridge(spectrum, &folds, lambda, labels, &spectrum.coordinates(labels));
    let mut out = vec![vec![f64::NAN; h.nrows()]; labels.len()];
    for fold in &folds {
        let replaced: Vec<Vec<f64>> = labels
            .iter()
            .zip(&left_out)
            .map(|(y, yhat)| {
                let mut y = y.to_vec();
                y[fold.clone()].copy_from_slice(&yhat[fold.clone()]);
                y
            })
            .collect();
        let z = spectrum.coordinates(&replaced.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let weights = spectrum.combine(&Mat::from_fn(z.nrows(), z.ncols(), |j, l| {
            z[(j, l)] / (spectrum.n as f64 * (spectrum.mu[j] + lambda))
        }));
        let v = bench.x.transpose() * weights;
        let (mut start, mut inside) = (0, Vec::new());
        for rows in bench.contrasts.prompts() {
            if fold.contains(&start) {
                inside.extend_from_slice(rows);
            }
            start += rows.len() - 1;
        }
        let read = Mat::from_fn(inside.len(), h.ncols(), |i, j| f64::from(h[(inside[i], j)])) * &v;
        for (i, &row) in inside.iter().enumerate() {
            out.iter_mut().enumerate().for_each(|(l, out)| out[row] = read[(i, l)]);
        }
    }
    out
}

/// Whole blocks, in about equal parts of the contrasts.
fn folds(blocks: &[Range<usize>]) -> Vec<Range<usize>> {
    let n = blocks.last().map_or(0, |b| b.end);
    let mut out: Vec<Range<usize>> = Vec::new();
    for block in blocks {
        let part = block.start * FOLDS / n;
        match out.last_mut() {
            Some(last) if last.start * FOLDS / n == part => last.end = block.end,
            _ => out.push(block.clone()),
        }
    }
    out
}

/// The two lines of `s` along `t` (both per row), prompt effects removed by contrasts. `None` with fewer than ten
/// blocks, or where a part has no variation within prompts.
pub fn two_lines(contrasts: &Contrasts, s: &[f64], t: &[f64]) -> Option<Lines> {
    let blocks = contrasts.blocks();
    let mut sorted: Vec<f64> = contrasts.prompts().flatten().map(|&r| t[r]).collect();
    if blocks.len() < 10 || sorted.iter().any(|t| !t.is_finite()) {
        return None;
    }
    sorted.sort_by(f64::total_cmp);
    let median = *sorted.get(sorted.len() / 2)?;
    let column =
        |f: &dyn Fn(f64) -> f64| contrasts.column(&t.iter().map(|t| f(t - median)).collect::<Vec<_>>());
    let x = [column(&|t| t.min(0.0)), column(&|t| t.max(0.0)), column(&|t| f64::from(t >= 0.0))];
    let y = contrasts.column(s);
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // Columns of unit length: the condition of the Gram matrix is then that of their correlations.
    let scale: Vec<f64> = x.iter().map(|x| product(x, x).sqrt()).collect();
    let gram = Mat::from_fn(3, 3, |i, j| product(&x[i], &x[j]) / (scale[i] * scale[j]));
    let beta = solve(gram.as_ref(), &[0, 1, 2].map(|i| product(&x[i], &y) / scale[i]));
    let residual: Vec<f64> =
        (0..y.len()).map(|i| y[i] - (0..3).map(|k| beta[k] * x[k][i] / scale[k]).sum::<f64>()).collect();
    let g = blocks.len() as f64;
    let error = |k: usize| {
        let unit: Vec<f64> = (0..3).map(|i| f64::from(i == k)).collect();
        let row = solve(gram.as_ref(), &unit);
        let of = |block: &Range<usize>| {
            let at = |i: usize| residual[i] * (0..3).map(|k| row[k] * x[k][i] / scale[k]).sum::<f64>();
            block.clone().map(at).sum::<f64>().powi(2)
        };
        (g / (g - 1.0) * blocks.iter().map(of).sum::<f64>()).sqrt() / scale[k]
    };
    let (below, above) = (beta[0] / scale[0], beta[1] / scale[1]);
    let (below_se, above_se) = (error(0), error(1));
    if ![below, above, below_se, above_se].iter().all(|v| v.is_finite()) {
        return None;
    }
    let clear = below.abs() > Z95 * below_se && above.abs() > Z95 * above_se;
    let shape = match (clear, (below > 0.0) == (above > 0.0)) {
        (false, _) => Shape::CannotTell,
        (true, true) => Shape::Monotone,
        (true, false) => Shape::TurnsRound,
    };
    let jump = beta[2] / scale[2];
    Some(Lines { below, below_se, above, above_se, jump, median, shape })
}

/// The lines of each value with response labels along its own direction and along each constitution's.
pub(crate) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    let mut found: Vec<Along> = Vec::new();
    // Values on the same rows share the readings of every constitution.
    let mut groups: Vec<(rows::Rows, Vec<usize>)> = Vec::new();
    for &v in values {
        if let Labels::Scores(_) = &problem.values[v].labels {
            let wanted = rows::of_value(problem, &problem.values[v], stage.keep);
            match groups.iter_mut().find(|(rows, _)| *rows == wanted) {
                Some((_, list)) => list.push(v),
                None => groups.push((wanted, vec![v])),
            }
        }
    }
    for (wanted, group) in groups {
        let Some(bench) = stage.bench(wanted.clone())? else { continue };
        // Without prompts there are no prompt effects to remove.
        if bench.contrasts.prompts().next().is_none() {
            continue;
        }
        let judged = problem.judged.iter().filter(|j| wanted.filtered(|r| j.reward[r].is_finite()) == wanted);
        let judged: Vec<_> = judged.collect();
        let own = group.iter().map(|&v| rows::label(&bench, &problem.values[v]));
        let labels: Vec<Vec<f64>> = own.chain(judged.iter().map(|j| bench.column(&j.reward))).collect();
        let read = readings(&bench, stage.h, &labels.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let (own, theirs) = read.split_at(group.len());
        let leading = Leading::new(&bench);
        for (&v, own) in group.iter().zip(own) {
            let value = &problem.values[v];
            let Labels::Scores(s) = &value.labels else { continue };
            let names = std::iter::once(None).chain(judged.iter().map(|j| Some(j.label())));
            let y = rows::label(&bench, value);
            let marked = std::iter::once(None).chain(judged.iter().map(Some));
            for ((constitution, t), judged) in names.zip(std::iter::once(own).chain(theirs)).zip(marked) {
                let lines = two_lines(&bench.contrasts, s, t);
                let turned = lines.is_some_and(|l| l.shape == Shape::TurnsRound);
                if let Some(lines) = lines {
                    let bins = picture(&bench.contrasts, &problem.block, s, t, &lines);
                    found.push(Along {
                        value: value.name.clone(),
                        constitution,
                        q: lines.turning_p(),
                        lines,
                        bins,
                    });
                }
                // Computing it along every constitution would be too expensive for what it shows.
                let halves = if judged.is_none() || turned { leading.halves(&bench, &y, t) } else { None };
                if let Some(estimate) = halves {
                    let estimate = judged.map_or_else(|| estimate.clone(), |j| j.mark(estimate.clone()));
                    stage.push(out, Some(&bench), Some(&value.name), estimate);
                }
            }
        }
    }
    let adjusted = false_discovery(&found.iter().map(|a| a.q).collect::<Vec<_>>());
    for (along, q) in found.iter_mut().zip(adjusted) {
        along.q = q;
        if along.lines.shape == Shape::TurnsRound && q >= 0.05 {
            along.lines.shape = Shape::CannotTell;
        }
    }
    if let (false, Ok(table)) = (found.is_empty(), serde_json::to_value(found)) {
        out.tables.insert(TABLE.to_owned(), table);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    /// Shapes of S = f(t) + noise(t)·ε over seeds, 4 responses to each of 200 prompts.
    fn shapes(f: impl Fn(f64) -> f64, noise: impl Fn(f64) -> f64) -> Vec<Shape> {
        let of = |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
            let t: Vec<f64> = (0..800).map(|_| normal()).collect();
            let s: Vec<f64> = t.iter().map(|&t| f(t) + noise(t) * normal()).collect();
            let prompt: Vec<i32> = (0..800).map(|i| i / 4).collect();
            let contrasts = Contrasts::helmert(&prompt, &prompt, |_| true);
            two_lines(&contrasts, &s, &t).expect("lines").shape
        };
        (0..100).map(of).collect()
    }

    fn turned(shapes: &[Shape]) -> usize {
        shapes.iter().filter(|s| **s == Shape::TurnsRound).count()
    }

    #[test]
    fn a_u_shape_turns_round_and_a_monotone_value_does_not() {
        assert_eq!(turned(&shapes(|t| -t * t, |_| 1.0)), 100);
        assert!(turned(&shapes(|t| t, |_| 1.0)) == 0);
        assert!(turned(&shapes(f64::tanh, |t| 0.3 + t.abs())) <= 2);
        // Under the null both slopes are significant with opposite signs in 2·.025² of the data sets.
        assert!(turned(&shapes(|_| 0.0, |_| 1.0)) <= 2);
    }

    #[test]
    fn an_optimum_beyond_the_bulk_is_not_seen() {
        // The documented blind spot: an optimum beyond the data.
        assert!(turned(&shapes(|t| -(t - 3.0).powi(2), |_| 1.0)) == 0);
    }

    #[test]
    fn exact_lines_are_found_exactly() {
        let t: Vec<f64> = (0..80).map(|i| f64::from(i * 37 % 80) / 10.0).collect();
        // Prompt effects cancel; the kink is at the median, 4.0.
        let s: Vec<f64> = t
            .iter()
            .enumerate()
            .map(|(i, t)| 2.0 * (t - 4.0).min(0.0) - 0.5 * (t - 4.0).max(0.0) + (i / 4) as f64)
            .collect();
        let prompt: Vec<i32> = (0..80).map(|i| i / 4).collect();
        let contrasts = Contrasts::helmert(&prompt, &prompt, |_| true);
        let lines = two_lines(&contrasts, &s, &t).expect("lines");
        assert!((lines.below - 2.0).abs() < 1e-9 && (lines.above + 0.5).abs() < 1e-9, "{lines:?}");
    }

    #[test]
    fn a_reading_does_not_know_its_own_fold() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let prompt: Vec<i32> = (0..120).map(|i| i / 3).collect();
        let h = Array2::from_shape_fn((120, 6), |_| normal() as f32);
        let contrasts = Contrasts::helmert(&prompt, &prompt, |_| true);
        let bench = Bench::new(contrasts, h.view(), None).expect("a bench");
        let y: Vec<f64> = (0..bench.n()).map(|_| normal()).collect();
        let before = readings(&bench, &h, &[&y]).remove(0);
        // The labels of the first fold (16 contrasts, 24 rows) change: its own readings must not, others must.
        let changed: Vec<f64> =
            y.iter().enumerate().map(|(i, y)| if i < 16 { y + 5.0 } else { *y }).collect();
        let after = readings(&bench, &h, &[&changed]).remove(0);
        assert!((0..24).all(|r| (before[r] - after[r]).abs() < 1e-9));
        assert!((24..120).all(|r| (before[r] - after[r]).abs() > 1e-9));
    }
}
