//! How far the judge can be believed: agreement with the labels, consistency, position bias.

use std::collections::{BTreeMap, HashMap};

use super::estimate::{Estimate, Quantity};
use super::problem::{Choices, Judged, Labels, Problem, Value};
use crate::probe::influence::normal_interval;

/// A mean over cells with its standard error over blocks, Σ x / Σ n; the number of cells and of blocks. `None` without
/// cells; the error is infinite with one block.
pub fn mean_by_block<B: Ord>(cells: impl IntoIterator<Item = (B, f64)>) -> Option<(f64, f64, usize, usize)> {
    let mut blocks: BTreeMap<B, (f64, f64)> = BTreeMap::new();
    for (block, x) in cells {
        let cell = blocks.entry(block).or_insert((0.0, 0.0));
        cell.0 += x;
        cell.1 += 1.0;
    }
    let n: f64 = blocks.values().map(|c| c.1).sum();
    if n == 0.0 {
        return None;
    }
    let mean = blocks.values().map(|c| c.0).sum::<f64>() / n;
    let g = blocks.len() as f64;
    let squares: f64 = blocks.values().map(|c| (c.0 - c.1 * mean).powi(2)).sum();
    let se = if g > 1.0 { (g / (g - 1.0) * squares).sqrt() / n } else { f64::INFINITY };
    Some((mean, se, n as usize, blocks.len()))
}

/// What a judge said of pairs whose labels differ: block, debiased log-odds for the better response.
///
/// Forced choices give (ab − ba)/2 for each judged pair; per-response scores their difference for every pair of
/// responses to one prompt. `keep` says which rows count.
pub(super) fn odds_for_the_better(
    problem: &Problem,
    value: &Value,
    judged: &Judged,
    keep: &dyn Fn(usize) -> bool,
) -> Vec<(i32, f64)> {
    let compared: Vec<(usize, usize, f64)> = match &judged.choices {
        Choices::Pairs { pairs, ab, ba } => {
            let odds = ab.iter().zip(ba).map(|(ab, ba)| (ab - ba) / 2.0);
            pairs.iter().zip(odds).map(|(&(a, b), odds)| (a, b, odds)).collect()
        }
        Choices::Scores(scores) => all_pairs(problem, scores),
    };
    let preferred: HashMap<(usize, usize), f64> = match &value.labels {
        Labels::Preferences(list) => {
            list.iter().flat_map(|&(b, w)| [((b, w), 1.0), ((w, b), -1.0)]).collect()
        }
        Labels::Scores(_) => HashMap::new(),
    };
    let difference = |a: usize, b: usize| match &value.labels {
        Labels::Scores(s) => s[a] - s[b],
        Labels::Preferences(_) => preferred.get(&(a, b)).copied().unwrap_or(f64::NAN),
    };
    let told = compared.into_iter().filter_map(|(a, b, odds)| {
        let truth = difference(a, b);
        (keep(a) && truth.is_finite() && truth != 0.0).then(|| (problem.block[a], truth.signum() * odds))
    });
    told.collect()
}

/// 1 for log-odds of the right sign, 0 for the wrong one, half for 0.
pub(super) fn right(odds: f64) -> f64 {
    if odds > 0.0 {
        1.0
    } else if odds < 0.0 {
        0.0
    } else {
        0.5
    }
}

/// `judge_accuracy` of a constitution for a value: share of judged pairs whose labels differ on which the
/// debiased log-odds have the sign of the difference; a log-odds of 0 counts half. Per-response scores are
/// compared on all pairs of responses to one prompt. `keep` says which rows count.
pub fn accuracy(problem: &Problem, value: &Value, judged: &Judged, keep: &dyn Fn(usize) -> bool) -> Estimate {
    let method = match &judged.choices {
        Choices::Pairs { .. } => "debiased log-odds against labels, clustered by block",
        Choices::Scores(_) => {
            "differences of scores against labels, all pairs of a prompt, clustered by block"
        }
    };
    let cells = odds_for_the_better(problem, value, judged, keep);
    let cells = cells.into_iter().map(|(block, odds)| (block, right(odds)));
    let Some((mean, se, n, blocks)) = mean_by_block(cells) else {
        return Estimate::new(Quantity::JudgeAccuracy, method).warn("no judged pair has different labels");
    };
    let (lo, hi) = normal_interval(mean, se);
    let mut estimate =
        Estimate::figure(Quantity::JudgeAccuracy, method, mean, se, (lo.max(0.0), hi.min(1.0)));
    // The question is whether it beats a coin.
    estimate.z = (se > 0.0 && se.is_finite()).then(|| (mean - 0.5) / se);
    (estimate.n, estimate.blocks) = (Some(n), Some(blocks));
    estimate
}

/// Every pair of scored responses to one prompt, with the difference of their scores.
fn all_pairs(problem: &Problem, scores: &[f64]) -> Vec<(usize, usize, f64)> {
    let mut prompts: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for row in (0..problem.rows()).filter(|&r| problem.grouped && scores[r].is_finite()) {
        prompts.entry(problem.prompt[row]).or_default().push(row);
    }
    let mut out = Vec::new();
    for rows in prompts.values() {
        for (i, &a) in rows.iter().enumerate() {
            out.extend(rows[i + 1..].iter().map(|&b| (a, b, scores[a] - scores[b])));
        }
    }
    out
}

/// `judge_inconsistency`, `position_bias` and `position_bias_sd` of a constitution.
pub fn quality(problem: &Problem, judged: &Judged, keep: &dyn Fn(usize) -> bool) -> Vec<Estimate> {
    let (Choices::Pairs { pairs, ab, ba }, Some(fit)) = (&judged.choices, &judged.fit) else {
        return Vec::new();
    };
    let inconsistency = Estimate::bare(
        Quantity::JudgeInconsistency,
        "share of Σ ℓ² that no per-response reward explains",
        fit.inconsistency,
    );
    let inconsistency = if fit.disconnected > 0 {
        inconsistency
            .warn(format!("{} responses were not connected to the rest of their prompt", fit.disconnected))
    } else {
        inconsistency
    };
    let biases: Vec<(i32, f64)> = pairs
        .iter()
        .zip(ab.iter().zip(ba))
        .filter(|((a, _), _)| keep(*a))
        .map(|((a, _), (ab, ba))| (problem.block[*a], (ab + ba) / 2.0))
        .collect();
    let mut out = vec![inconsistency];
    if let Some((mean, se, n, blocks)) = mean_by_block(biases.iter().copied()) {
        let method = "mean of (ab + ba)/2, nats of log-odds for the first place";
        let mut bias = Estimate::figure(Quantity::PositionBias, method, mean, se, normal_interval(mean, se));
        (bias.n, bias.blocks) = (Some(n), Some(blocks));
        let variance =
            biases.iter().map(|(_, b)| (b - mean).powi(2)).sum::<f64>() / (n as f64 - 1.0).max(1.0);
        let method = "standard deviation of (ab + ba)/2, divided by pairs − 1";
        let mut sd = Estimate::bare(Quantity::PositionBiasSd, method, variance.sqrt());
        (sd.n, sd.blocks) = (Some(n), Some(blocks));
        out.extend([bias, sd]);
    }
    out
}
