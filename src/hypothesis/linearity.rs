//! Assumptions 1 to 3: does a nonlinear reading of the residual stream tell more than the linear one?
//!
//! The linear reading is ŷ, predicted without the response's block. Curved features of the row, φ `[rows, p]`: squares and
//! products of its scores on the five leading principal directions, and square and cube of ⟨h, v⟩ as the linear
//! reading gives it. Their within-prompt contrasts Φ, freed of what X predicts of them (leave-block-out too), are
//! regressed on the residual e = y − ŷ by leave-block-out least squares. The gain is
//!
//!   Σ e ê / Σ y²,
//!
//! the further share of the variance that curvature explains; least squares is unbiased for it when N ≫ p, and 0 where
//! the label is linear in h plus noise. It sees curvature along these directions, not all of it: a value near 0 does not
//! prove linearity, a clear one disproves it.

use faer::Mat;
use ndarray::Array2;

use super::analysis::Analysis;
use super::bench::{Bench, Label};
use super::estimate::{Estimate, Quantity};
use super::rows;
use super::stage::Stage;
use crate::error::{Kind, Result};
use crate::probe::influence::{Influence, normal_interval};
use crate::probe::twicing::components;
use crate::probe::{Contrasts, Spectrum};

/// Leading principal directions whose products are features.
const LEADING: usize = 5;

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

/// Less its mean, over its standard deviation; NaN where the input is, zeros where it does not vary.
fn standard(mut v: Vec<f64>) -> Vec<f64> {
    let known: Vec<f64> = v.iter().copied().filter(|x| x.is_finite()).collect();
    let n = known.len().max(1) as f64;
    let mean = known.iter().sum::<f64>() / n;
    let sd = (known.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt();
    v.iter_mut().for_each(|x| *x = if sd > 0.0 { (*x - mean) / sd } else { 0.0 * *x });
    v
}

/// Φ's columns for one label, freed of what X predicts of them.
fn features(bench: &Bench, products: &[Vec<f64>], label: &Label, rows: usize) -> Vec<Vec<f64>> {
    let reading = standard(bench.contrasts.spread(&label.yhat, rows));
    let filled: Vec<f64> = reading.iter().map(|q| if q.is_finite() { *q } else { 0.0 }).collect();
    let own = [2, 3].map(|power| bench.column(&filled.iter().map(|q| q.powi(power)).collect::<Vec<_>>()));
    let columns: Vec<Vec<f64>> = products.iter().cloned().chain(own).collect();
    bench
        .probe(columns)
        .into_iter()
        .map(|l| l.y.iter().zip(&l.yhat).map(|(y, yhat)| y - yhat).collect())
        .collect()
}

/// The gain with its influence; `None` where nothing varies or the features outnumber a tenth of the contrasts.
fn gain(contrasts: &Contrasts, label: &Label, phi: &[Vec<f64>]) -> Result<Option<(f64, f64)>> {
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
    // (Σ e ê)/(Σ y²): the influence of a ratio; ê's own dependence on a block adds e ê − ê² to first order.
    let psi = blocks
        .iter()
        .map(|g| {
            g.clone()
                .map(|i| (2.0 * product(i) - told[i] * told[i] - value * label.y[i].powi(2)) / total)
                .sum()
        })
        .collect();
    Ok(Some((value, Influence { value, psi }.se(blocks))))
}

fn estimate(found: Option<(f64, f64)>) -> Estimate {
    match found {
        None => Estimate::missing(
            Quantity::NonlinearGain,
            "fewer than ten contrasts for each curved feature, or nothing varies",
        ),
        Some((value, se)) => {
            let method = "leave-block-out least squares of the linear residual on curved features";
            Estimate::figure(Quantity::NonlinearGain, method, value, se, normal_interval(value, se))
        }
    }
}

/// `nonlinear_gain` of each value, of log P and of each constitution's rewards.
pub(super) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    if stage.length {
        return Ok(());
    }
    let problem = stage.problem;
    let products = |bench: &Bench, h: &Array2<f32>| -> Vec<Vec<f64>> {
        let z = scores(bench, h);
        let pairs = (0..z.len()).flat_map(|i| (i..z.len()).map(move |j| (i, j)));
        pairs
            .map(|(i, j)| bench.column(&z[i].iter().zip(&z[j]).map(|(a, b)| a * b).collect::<Vec<_>>()))
            .collect()
    };
    let h = stage.h;
    let mut asked = Vec::new();
    for &v in values {
        let value = &problem.values[v];
        if let super::problem::Labels::Scores(_) = value.labels {
            asked.push((rows::of_value(problem, value, stage.keep), Asked::Value(v)));
        }
    }
    if problem.logprob.is_some() {
        asked.push((rows::all(problem, stage.keep), Asked::Logprob));
    }
    for (c, judged) in problem.judged.iter().enumerate() {
        asked.push((rows::of_judged(problem, judged, stage.keep), Asked::Reward(c)));
    }
    // Rows in common share their features.
    let mut known: Vec<(rows::Rows, Vec<Vec<f64>>)> = Vec::new();
    for (rows, what) in asked {
        let Some(bench) = stage.bench(rows.clone())? else { continue };
        if !known.iter().any(|(r, _)| *r == rows) {
            known.push((rows.clone(), products(&bench, h)));
        }
        let Some((_, products)) = known.iter().find(|(r, _)| *r == rows) else { continue };
        let column = match what {
            Asked::Value(v) => rows::label(&bench, &problem.values[v]),
            Asked::Logprob => match &problem.logprob {
                Some(logprob) => bench.logprob(logprob),
                None => continue,
            },
            Asked::Reward(c) => bench.column(&problem.judged[c].reward),
        };
        let label = bench.probe(vec![column]).remove(0);
        let phi = features(&bench, products, &label, problem.rows());
        let found = estimate(gain(&bench.contrasts, &label, &phi)?);
        match what {
            Asked::Value(v) => stage.push(out, Some(&bench), Some(&problem.values[v].name), found),
            Asked::Logprob => stage.push(out, Some(&bench), None, found),
            Asked::Reward(c) => stage.push(out, Some(&bench), None, problem.judged[c].mark(found)),
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Asked {
    Value(usize),
    Logprob,
    Reward(usize),
}
