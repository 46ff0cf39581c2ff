//! Held-out discrimination by ⟨h, v*⟩: pairs ordered rightly, and the area under the ROC curve.

use super::bench::{Bench, Label};
use super::estimate::{Estimate, Quantity};
use crate::probe::influence::normal_interval;

/// `pair_accuracy` for response labels: share of within-prompt pairs with different labels that the
/// left-out predictions order rightly (ties count half).
pub fn pair_accuracy(bench: &Bench, s: &Label, labels: &[f64]) -> Estimate {
    let scores = bench.contrasts.spread(&s.yhat, labels.len());
    let mut cells = Vec::new();
    for (unit, rows) in bench.contrasts.prompts().enumerate() {
        let (mut right, mut n) = (0.0, 0.0);
        for (i, &a) in rows.iter().enumerate() {
            for &b in &rows[i + 1..] {
                let (truth, guess) = (labels[a] - labels[b], scores[a] - scores[b]);
                if truth != 0.0 {
                    right += half_sign(truth * guess);
                    n += 1.0;
                }
            }
        }
        cells.push((unit, right, n));
    }
    share(&cells)
}

/// `pair_accuracy` for preferences: share predicted with the right sign.
pub fn preference_accuracy(bench: &Bench, s: &Label) -> Estimate {
    let blocks = bench.contrasts.blocks();
    let cells: Vec<(usize, f64, f64)> = blocks
        .iter()
        .enumerate()
        .map(|(g, block)| {
            let right = block.clone().map(|i| half_sign(s.y[i] * s.yhat[i])).sum();
            (g, right, block.len() as f64)
        })
        .collect();
    share(&cells)
}

fn half_sign(v: f64) -> f64 {
    if v > 0.0 {
        1.0
    } else if v < 0.0 {
        0.0
    } else {
        0.5
    }
}

fn share(cells: &[(usize, f64, f64)]) -> Estimate {
    let method = "leave-block-out predictions, within prompts";
    let n: f64 = cells.iter().map(|c| c.2).sum();
    if n == 0.0 {
        return Estimate::new(Quantity::PairAccuracy, method).warn("no pair with different labels");
    }
    let mean = cells.iter().map(|c| c.1).sum::<f64>() / n;
    let g = cells.len() as f64;
    let squares: f64 = cells.iter().map(|c| (c.1 - c.2 * mean).powi(2)).sum();
    let se = if g > 1.0 { (g / (g - 1.0) * squares).sqrt() / n } else { f64::INFINITY };
    let (lo, hi) = normal_interval(mean, se);
    let mut estimate = Estimate::figure(Quantity::PairAccuracy, method, mean, se, (lo.max(0.0), hi.min(1.0)));
    estimate.z = (se > 0.0 && se.is_finite()).then(|| (mean - 0.5) / se);
    estimate
}

/// `auc` of binary labels: the chance that a response labelled 1 has the higher left-out score than one
/// labelled 0, scores centred within prompts, over all pairs of the data.
pub fn auc(bench: &Bench, s: &Label, labels: &[f64]) -> Estimate {
    let method = "leave-block-out predictions, centred within prompts";
    let scores = bench.contrasts.spread(&s.yhat, labels.len());
    let mut ranked: Vec<(f64, bool)> =
        scores.iter().zip(labels).filter(|(s, _)| s.is_finite()).map(|(s, l)| (*s, *l > 0.5)).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    match area(&ranked) {
        Some(area) => Estimate::bare(Quantity::Auc, method, area),
        None => Estimate::new(Quantity::Auc, method).warn("only one class"),
    }
}

/// Area under the ROC curve of (score, positive), sorted by score: (Σ ranks of positives − p(p+1)/2)/(pn)
/// with mid-ranks for ties (Mann and Whitney 1947).
pub fn area(sorted: &[(f64, bool)]) -> Option<f64> {
    let positives = sorted.iter().filter(|s| s.1).count() as f64;
    let negatives = sorted.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let (mut ranks, mut i) = (0.0, 0);
    while i < sorted.len() {
        let mut j = i;
        while j < sorted.len() && sorted[j].0 == sorted[i].0 {
            j += 1;
        }
        let middle = (i + 1 + j) as f64 / 2.0;
        ranks += middle * sorted[i..j].iter().filter(|s| s.1).count() as f64;
        i = j;
    }
    Some((ranks - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}
