//! Assumptions 1 to 3: whether a nonlinear reading of the residual stream explains more than the linear one.
//!
//! The linear reading is ŷ, predicted without the response's block. The nonlinear features φ `[rows, p]` of a row are
//! squares and products of its scores on the five leading principal directions, and square and cube of ⟨h, v⟩ from
//! the linear reading. Their within-prompt contrasts Φ, minus their own leave-block-out predictions from X, are
//! regressed on the residual e = y − ŷ by leave-block-out least squares. The gain is
//!
//!   Σ e ê / Σ y²,
//!
//! the additional share of the variance explained by curvature. Least squares is unbiased for it when N ≫ p, and it
//! is 0 where the label is linear in h plus noise. With fewer than 1.5 contrasts per dimension the ridge leaves part
//! of the linear reading in both e and Φ, which looks like curvature, so no result is given. The test sees curvature
//! along these directions only: a value near 0 does not prove linearity; a clearly positive one disproves it.

mod section;

use std::ops::Range;

use faer::Mat;
use ndarray::Array2;
use serde::Serialize;

use crate::error::{Kind, Result};
use crate::probe::influence::Influence;
use crate::probe::twicing::components;
use crate::probe::{Contrasts, Spectrum};
use crate::theory::base::analysis::Analysis;
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::estimate::{Estimate, Quantity};
use crate::theory::base::mean::mean_by_block;
use crate::theory::base::rows;
use crate::theory::base::stage::Stage;
use crate::theory::statement::{Measure, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "linearity",
    title: "Linear or curved",
    source: "Assumptions 1, 2, 3",
    quantities: &[Quantity::NonlinearGain],
    tables: &[TABLE],
    rests: Rests::Otherwise,
    measures: &[Measure::Uncontrolled(measure)],
    section: Some(section::section),
};

/// Number of leading principal directions whose products are features.
const LEADING: usize = 5;
/// Number of bins in the residual plot.
const BINS: usize = 10;
/// Name of the table of residuals in the report.
pub const TABLE: &str = "residuals";

/// Scores of every row on the leading principal directions of the contrasts, centred and scaled: `[rows, ≤ 5]`.
fn scores(bench: &Bench, h: &Array2<f32>) -> Vec<Vec<f64>> {
    let k = LEADING.min(bench.spectrum.rank());
    let u = bench.spectrum.u();
    let leading = Mat::from_fn(bench.n(), k, |i, j| u[(i, j)]);
    let directions = bench.x.transpose() * &leading;
    (0..k)
        .map(|j| {
            let of = |r: usize| {
                h.row(r).iter().enumerate().map(|(c, &v)| f64::from(v) * directions[(c, j)]).sum::<f64>()
            };
            standard((0..h.nrows()).map(of).collect())
        })
        .collect()
}

/// Standardises to mean 0 and standard deviation 1; NaN stays NaN, a constant input gives zeros.
fn standard(mut v: Vec<f64>) -> Vec<f64> {
    let known: Vec<f64> = v.iter().copied().filter(|x| x.is_finite()).collect();
    let n = known.len().max(1) as f64;
    let mean = known.iter().sum::<f64>() / n;
    let sd = (known.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    v.iter_mut().for_each(|x| *x = if sd > 0.0 { (*x - mean) / sd } else { 0.0 * *x });
    v
}

/// Nonlinear features of one label's rows, as contrasts.
pub(crate) struct Curved {
    /// φ: products of leading scores, square and cube of the linear reading; `[p][N]`.
    pub(crate) features: Vec<Vec<f64>>,
    /// ⟨h, E∇φ⟩, the reading along the average gradient of each feature; `[p][N]`.
    pub(crate) gradients: Vec<Vec<f64>>,
}

impl Curved {
    /// Computes the features for a label and its linear reading.
    pub(crate) fn new(bench: &Bench, h: &Array2<f32>, label: &Label) -> Self {
        Products::new(bench, h).with(bench, label)
    }

    /// Φ: the features minus their predictions from X.
    pub(crate) fn freed(&self, bench: &Bench) -> Vec<Vec<f64>> {
        let labels = bench.probe_alone(self.features.clone());
        labels.into_iter().map(|l| l.y.iter().zip(&l.yhat).map(|(y, yhat)| y - yhat).collect()).collect()
    }
}

/// Features shared by all labels of the same rows: products of the leading scores.
struct Products {
    curved: Curved,
    rows: usize,
}

impl Products {
    fn new(bench: &Bench, h: &Array2<f32>) -> Self {
        let z = scores(bench, h);
        let rows = h.nrows();
        let inside = bench.contrasts.spread(&vec![0.0; bench.n()], rows);
        let kept: Vec<usize> = (0..rows).filter(|&r| inside[r].is_finite()).collect();
        let mean = |v: &[f64]| kept.iter().map(|&r| v[r]).sum::<f64>() / kept.len().max(1) as f64;
        let means: Vec<f64> = z.iter().map(|z| mean(z)).collect();
        let mut curved = Curved { features: Vec::new(), gradients: Vec::new() };
        for i in 0..z.len() {
            for j in i..z.len() {
                let both = z[i].iter().zip(&z[j]);
                curved.features.push(bench.column(&both.clone().map(|(a, b)| a * b).collect::<Vec<_>>()));
                // ∇(ab) = b∇a + a∇b.
                let gradient = both.map(|(a, b)| means[j] * a + means[i] * b).collect::<Vec<_>>();
                curved.gradients.push(bench.column(&gradient));
            }
        }
        Self { curved, rows }
    }

    /// Adds the features of a label's own reading q: q² and q³.
    fn with(&self, bench: &Bench, label: &Label) -> Curved {
        let reading = standard(bench.contrasts.spread(&label.yhat, self.rows));
        let known = reading.iter().filter(|q| q.is_finite()).count().max(1) as f64;
        let filled: Vec<f64> = reading.iter().map(|q| if q.is_finite() { *q } else { 0.0 }).collect();
        let mean = |power: i32| filled.iter().map(|q| q.powi(power)).sum::<f64>() / known;
        let (mut features, mut gradients) = (self.curved.features.clone(), self.curved.gradients.clone());
        for power in [2, 3] {
            features.push(bench.column(&filled.iter().map(|q| q.powi(power)).collect::<Vec<_>>()));
            let slope = f64::from(power) * mean(power - 1);
            gradients.push(bench.column(&filled.iter().map(|q| slope * q).collect::<Vec<_>>()));
        }
        Curved { features, gradients }
    }
}

/// The gain with its influence; `None` where nothing varies or where there are more features than a tenth of the
/// contrasts.
fn gain(contrasts: &Contrasts, label: &Label, phi: &[Vec<f64>]) -> Result<Option<Influence>> {
    let n = label.y.len();
    if n < 10 * phi.len() {
        return Ok(None);
    }
    let scale: Vec<f64> = phi.iter().map(|c| c.iter().map(|v| v * v).sum::<f64>().sqrt()).collect();
    let kept: Vec<usize> = (0..phi.len()).filter(|&j| scale[j] > 0.0).collect();
    let matrix = Mat::from_fn(n, kept.len(), |i, j| phi[kept[j]][i] / scale[kept[j]]);
    let spectrum = match Spectrum::new(&matrix) {
        Ok(spectrum) => spectrum,
        Err(e) if e.kind() == Some(Kind::NotEstimable) => return Ok(None),
        Err(e) => return Err(e),
    };
    let residual: Vec<f64> = label.y.iter().zip(&label.yhat).map(|(y, yhat)| y - yhat).collect();
    let blocks = contrasts.blocks();
    let told = components(&spectrum, blocks, spectrum.rank(), &[&residual]).remove(0);
    let total = label.variance();
    if total <= 0.0 {
        return Ok(None);
    }
    let product = |i: usize| residual[i] * told[i];
    let value = (0..n).map(product).sum::<f64>() / (n as f64 * total);
    // (Σ e ê)/(Σ y²): influence of a ratio; the dependence of ê on a block adds e ê − ê² to first order.
    let psi = blocks
        .iter()
        .map(|g| {
            g.clone()
                .map(|i| (2.0 * product(i) - told[i] * told[i] - value * label.y[i].powi(2)) / total)
                .sum()
        })
        .collect();
    Ok(Some(Influence { value, psi }))
}

fn estimate(found: Option<Influence>, blocks: &[Range<usize>]) -> Estimate {
    match found {
        None => Estimate::missing(
            Quantity::NonlinearGain,
            "fewer than ten contrasts for each curved feature, or nothing varies",
        ),
        Some(gain) => {
            let method = "leave-block-out least squares of the linear residual on curved features";
            let se = gain.se(blocks);
            let interval = gain.symmetric_interval(blocks);
            Estimate::figure(Quantity::NonlinearGain, method, gain.value, se, interval)
        }
    }
}

/// A bin of readings in the residual plot.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bin {
    /// Mean linear reading, within prompts.
    pub reading: f64,
    /// Mean residual of the label.
    pub residual: f64,
    /// Standard error of the mean residual over blocks; absent with one block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub se: Option<f64>,
}

/// A label's residuals by linear reading. Without value and constitution: log P.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Residuals {
    /// The value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The constitution, for rewards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constitution: Option<String>,
    /// Ten bins with equal numbers of responses, ascending.
    pub bins: Vec<Bin>,
}

/// Means of `values` in bins with equal numbers of rows, binned by `by` (both one per row, NaN to exclude the row),
/// with standard errors over blocks.
pub(crate) fn binned(block: &[i32], by: &[f64], values: &[f64]) -> Vec<Bin> {
    let mut rows: Vec<usize> =
        (0..by.len()).filter(|&r| by[r].is_finite() && values[r].is_finite()).collect();
    rows.sort_by(|&a, &b| by[a].total_cmp(&by[b]));
    let bin = |rows: &[usize]| -> Option<Bin> {
        let reading = rows.iter().map(|&r| by[r]).sum::<f64>() / rows.len() as f64;
        let residual = mean_by_block(rows.iter().map(|&r| (block[r], values[r])))?;
        Some(Bin { reading, residual: residual.mean, se: Some(residual.se).filter(|se| se.is_finite()) })
    };
    (0..BINS).filter_map(|b| bin(&rows[b * rows.len() / BINS..(b + 1) * rows.len() / BINS])).collect()
}

/// `nonlinear_gain` of each value, of log P and of each constitution's rewards.
pub(crate) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    let h = stage.h;
    let mut asked = Vec::new();
    for &v in values {
        let value = &problem.values[v];
        if let crate::theory::base::problem::Labels::Scores(_) = value.labels {
            asked.push((rows::of_value(problem, value, stage.keep), Target::Value(v)));
        }
    }
    if problem.logprob.is_some() {
        asked.push((rows::all(problem, stage.keep), Target::Logprob));
    }
    for (c, judged) in problem.judged.iter().enumerate() {
        asked.push((rows::of_judged(problem, judged, stage.keep), Target::Reward(c)));
    }
    // Labels on the same rows share their features.
    let mut residuals: Vec<Residuals> = Vec::new();
    let mut known: Vec<(rows::Rows, Products)> = Vec::new();
    let column = |bench: &Bench, what: Target| match (what, &problem.logprob) {
        (Target::Value(v), _) => rows::label(bench, &problem.values[v]),
        (Target::Reward(c), _) => bench.column(&problem.judged[c].reward),
        (Target::Logprob, Some(logprob)) => bench.logprob(logprob),
        (Target::Logprob, None) => Vec::new(),
    };
    for (rows, what) in asked.clone() {
        let Some(bench) = stage.bench(rows.clone())? else { continue };
        if !known.iter().any(|(r, _)| *r == rows) {
            let products = Products::new(&bench, h);
            // Compute all labels of these rows, and their features, in one pass each; the bench caches them.
            let alike = asked.iter().filter(|(r, _)| *r == rows).map(|(_, what)| column(&bench, *what));
            let labels = bench.probe_alone(alike.collect());
            if bench.spectrum.resolves() {
                let shared = products.curved.features.len();
                let own = labels.iter().flat_map(|l| products.with(&bench, l).features.split_off(shared));
                bench.probe_alone(products.curved.features.iter().cloned().chain(own).collect());
            }
            known.push((rows.clone(), products));
        }
        let Some((_, products)) = known.iter().find(|(r, _)| *r == rows) else { continue };
        let label = bench.probe_alone(vec![column(&bench, what)]).remove(0);
        let found = if bench.spectrum.resolves() {
            let phi = products.with(&bench, &label).freed(&bench);
            estimate(gain(&bench.contrasts, &label, &phi)?, bench.contrasts.blocks())
        } else {
            Estimate::missing(
                Quantity::NonlinearGain,
                "fewer than 1.5 contrasts a dimension: what shrinkage leaves of the linear part looks curved",
            )
        };
        let spread = |y: &[f64]| bench.contrasts.spread(y, problem.rows());
        let left: Vec<f64> = label.y.iter().zip(&label.yhat).map(|(y, yhat)| y - yhat).collect();
        residuals.push(Residuals {
            value: if let Target::Value(v) = what { Some(problem.values[v].name.clone()) } else { None },
            constitution: if let Target::Reward(c) = what { Some(problem.judged[c].label()) } else { None },
            bins: binned(&problem.block, &spread(&label.yhat), &spread(&left)),
        });
        match what {
            Target::Value(v) => stage.push(out, Some(&bench), Some(&problem.values[v].name), found),
            Target::Logprob => stage.push(out, Some(&bench), None, found),
            Target::Reward(c) => stage.push(out, Some(&bench), None, problem.judged[c].mark(found)),
        }
    }
    if let (false, Ok(table)) = (residuals.is_empty(), serde_json::to_value(residuals)) {
        out.tables.insert(TABLE.to_owned(), table);
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Target {
    Value(usize),
    Logprob,
    Reward(usize),
}
