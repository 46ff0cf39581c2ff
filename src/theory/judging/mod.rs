//! Quality of the judge: agreement with the labels and between orders, consistency, position bias, and how much of
//! its choices depends on the constitution.

pub mod calibration;
mod section;

use std::collections::{BTreeMap, HashMap};

use crate::probe::interval::interval;
use crate::theory::base::analysis::Options;
use crate::theory::base::estimate::{Estimate, Quantity};
use crate::theory::base::mean::{mean_by_block, standard_error};
use crate::theory::base::problem::{Choices, Judged, Labels, Problem, Value};
use crate::theory::base::{arm, rows};
use crate::theory::statement::{Cells, Measure, OfPair, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "judging",
    title: "How sure the judge is, and how right",
    source: "Assumption 3",
    quantities: &[
        Quantity::JudgeAccuracy,
        Quantity::JudgeInconsistency,
        Quantity::PositionBias,
        Quantity::PositionBiasSd,
        Quantity::JudgeSpread,
        Quantity::OrderAgreement,
        Quantity::ConstitutionShare,
        Quantity::PlaceboShare,
        Quantity::JudgeOverconfidence,
    ],
    tables: &[calibration::TABLE],
    rests: Rests::Otherwise,
    measures: &[
        Measure::Pair { gives: &[], of: pair },
        Measure::Uncontrolled(calibration::measure),
        Measure::Problem(problem),
    ],
    section: Some(section::section),
};

/// `judge_accuracy`; it has no length control.
fn pair(p: &OfPair<'_>) -> Cells {
    match p.stage.length {
        true => Cells::default(),
        false => Cells::of([accuracy(p.stage.problem, p.value, p.judged, p.stage.keep)]),
    }
}

/// Estimates without a value: each constitution's consistency and bias, and how much rewards depend on the
/// constitution.
fn problem(problem: &Problem, options: &Options) -> Vec<Estimate> {
    let quality =
        |j: &Judged| quality(problem, j, &|_| true).into_iter().map(|e| j.mark(e)).collect::<Vec<_>>();
    let mut out: Vec<Estimate> = problem.judged.iter().flat_map(quality).collect();
    let alone = problem.judged.iter().filter(|j| !j.beside);
    // Rewards of different modes have different units.
    let mode = alone.clone().map(|j| j.mode).min();
    let alone: Vec<&Judged> = alone.filter(|j| Some(j.mode) == mode).collect();
    out.extend(together(problem, &alone, &options.wordings, &|_| true));
    out
}

/// Judgments of pairs with different labels: block, and debiased log-odds for the better response.
///
/// Forced choices give (ab − ba)/2 for each judged pair; per-response scores give their difference for every pair of
/// responses to one prompt. `keep` selects the rows that count.
pub(crate) fn odds_for_the_better(
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

/// 1 for log-odds of the right sign, 0 for the wrong one, one half for 0.
pub(crate) fn right(odds: f64) -> f64 {
    if odds > 0.0 {
        1.0
    } else if odds < 0.0 {
        0.0
    } else {
        0.5
    }
}

/// `judge_accuracy` of a constitution for a value: among judged pairs with different labels, the share on which the
/// debiased log-odds have the sign of the difference; a log-odds of 0 counts half. Per-response scores are compared
/// on all pairs of responses to one prompt. `keep` selects the rows that count.
pub fn accuracy(problem: &Problem, value: &Value, judged: &Judged, keep: &dyn Fn(usize) -> bool) -> Estimate {
    let method = match &judged.choices {
        Choices::Pairs { .. } => "debiased log-odds against labels, clustered by block",
        Choices::Scores(_) => {
            "differences of scores against labels, all pairs of a prompt, clustered by block"
        }
    };
    let cells = odds_for_the_better(problem, value, judged, keep);
    let cells = cells.into_iter().map(|(block, odds)| (block, right(odds)));
    match mean_by_block(cells) {
        Some(found) => found.share(Quantity::JudgeAccuracy, method),
        None => Estimate::new(Quantity::JudgeAccuracy, method).warn("no judged pair has different labels"),
    }
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

/// `judge_inconsistency`, `position_bias`, `position_bias_sd`, `judge_spread` and `order_agreement` of a constitution.
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
    if let Some(found) = mean_by_block(biases.iter().copied()) {
        let (mean, n, blocks) = (found.mean, found.cells, found.blocks());
        let method = "mean of (ab + ba)/2, nats of log-odds for the first place";
        let mut bias = found.figure(Quantity::PositionBias, method);
        (bias.n, bias.blocks) = (Some(n), Some(blocks));
        let variance =
            biases.iter().map(|(_, b)| (b - mean).powi(2)).sum::<f64>() / (n as f64 - 1.0).max(1.0);
        let method = "standard deviation of (ab + ba)/2, divided by pairs − 1";
        let mut sd = Estimate::bare(Quantity::PositionBiasSd, method, variance.sqrt());
        (sd.n, sd.blocks) = (Some(n), Some(blocks));
        let spread =
            keep_pairs(pairs, ab, ba, keep).map(|(_, ab, ba)| ((ab - ba) / 2.0).powi(2)).sum::<f64>();
        let method = "root mean square of (ab − ba)/2, nats of log-odds";
        let mut spread = Estimate::bare(Quantity::JudgeSpread, method, (spread / n as f64).sqrt());
        (spread.n, spread.blocks) = (Some(n), Some(blocks));
        out.extend([bias, sd, spread]);
    }
    out.extend(agreement(orders(problem, judged, keep)));
    out
}

/// Judged pairs among the kept rows: first row, log-odds in both orders.
fn keep_pairs<'a>(
    pairs: &'a [(usize, usize)],
    ab: &'a [f64],
    ba: &'a [f64],
    keep: &'a dyn Fn(usize) -> bool,
) -> impl Iterator<Item = (usize, f64, f64)> + 'a {
    let all = pairs.iter().zip(ab.iter().zip(ba)).map(|(&(a, _), (&ab, &ba))| (a, ab, ba));
    all.filter(move |(a, ..)| keep(*a))
}

/// Block, and 1 where both orders prefer the same response, for each pair; empty where only one order was judged.
fn orders(problem: &Problem, judged: &Judged, keep: &dyn Fn(usize) -> bool) -> Vec<(i32, f64)> {
    let Choices::Pairs { pairs, ab, ba } = &judged.choices else { return Vec::new() };
    let cells: Vec<(usize, f64, f64)> = keep_pairs(pairs, ab, ba, keep).collect();
    // With one order, the other is filled in by mirroring about the mean bias when the data are read, and adds no
    // information.
    let mirrored = cells.windows(2).all(|w| {
        let (one, other) = (w[0].1 + w[0].2, w[1].1 + w[1].2);
        (one - other).abs() <= 1e-9 * (1.0 + one.abs())
    });
    if mirrored && cells.len() > 2 {
        return Vec::new();
    }
    let same = |ab: f64, ba: f64| right(-ab.signum() * ba * f64::from(u8::from(ab != 0.0)));
    cells.into_iter().map(|(a, ab, ba)| (problem.block[a], same(ab, ba))).collect()
}

/// `order_agreement` from these cells.
fn agreement(cells: Vec<(i32, f64)>) -> Option<Estimate> {
    let method = "share of pairs with the same preference in both orders, clustered by block";
    Some(mean_by_block(cells)?.share(Quantity::OrderAgreement, method))
}

/// Estimates over all constitutions together: `order_agreement`, `constitution_share` and `placebo_share`, for the
/// constitutions of one mode whose rewards are the main ones.
pub(crate) fn together(
    problem: &Problem,
    judged: &[&Judged],
    paraphrases: &BTreeMap<String, String>,
    keep: &dyn Fn(usize) -> bool,
) -> Vec<Estimate> {
    // A text without content leaves a small reward, whose sign is decided by any position bias.
    let real = judged.iter().any(|j| !j.placebo);
    let asked = judged.iter().filter(|j| !(real && j.placebo));
    let cells = asked.flat_map(|j| orders(problem, j, keep)).collect();
    let mut out: Vec<Estimate> = agreement(cells).into_iter().collect();
    let common = |r: usize| keep(r) && judged.iter().all(|j| j.reward[r].is_finite());
    let contrasts = rows::all(problem, &common).contrasts(problem);
    if judged.len() < 2 || contrasts.is_empty() {
        return out;
    }
    let columns: Vec<Vec<f64>> = judged.iter().map(|j| contrasts.column(&j.reward)).collect();
    let mean = |of: &[&Vec<f64>], i: usize| of.iter().map(|c| c[i]).sum::<f64>() / of.len() as f64;
    let texts: Vec<Vec<f64>> = arm::draws(judged, paraphrases)
        .iter()
        .map(|places| {
            let members: Vec<&Vec<f64>> = places.iter().map(|&p| &columns[p]).collect();
            (0..contrasts.len()).map(|i| mean(&members, i)).collect()
        })
        .collect();
    let real: Vec<&Vec<f64>> =
        columns.iter().zip(judged).filter(|(_, j)| !j.placebo).map(|(c, _)| c).collect();
    let all: Vec<&Vec<f64>> = columns.iter().collect();
    let spread = |of: &[&Vec<f64>], i: usize| {
        let centre = mean(of, i);
        of.iter().map(|c| (c[i] - centre).powi(2)).sum::<f64>() / (of.len() as f64 - 1.0)
    };
    let texts: Vec<&Vec<f64>> = texts.iter().collect();
    let m = texts.len() as f64;
    let from_arm = |c: &[f64], i: usize| (c[i] - mean(&texts, i)).powi(2) / (1.0 + 1.0 / m);
    // Sums by block: between constitutions, between placebo texts, total.
    let of = |f: &dyn Fn(usize) -> f64| -> Vec<f64> {
        contrasts.blocks().iter().map(|b| b.clone().map(f).sum::<f64>()).collect()
    };
    let total = of(&|i| all.iter().map(|c| c[i] * c[i]).sum::<f64>() / all.len() as f64);
    let figure = |quantity, part: &[f64], method: &str| {
        let share = Ratio::new(part, &total)?;
        let (lo, hi) = interval(share.value, share.se, &share.moves);
        let mut e = Estimate::figure(quantity, method, share.value, share.se, (lo.max(0.0), hi));
        (e.n, e.blocks) = (Some(contrasts.len()), Some(contrasts.blocks().len()));
        Some(e)
    };
    let placebo = (texts.len() > 1).then(|| of(&|i| spread(&texts, i)));
    let between = if texts.is_empty() {
        let method = "variance between constitutions over that of the rewards";
        (real.len() > 1).then(|| (of(&|i| spread(&real, i)), method))
    } else {
        // One constitution with an effect suffices to show that the judge responds to constitutions.
        let each = real.iter().map(|c| of(&|i| from_arm(c, i)));
        let size = |sums: &[f64]| sums.iter().sum::<f64>();
        let method = "largest mean square distance from the placebo arm over that of the rewards";
        each.max_by(|a, b| size(a).total_cmp(&size(b))).map(|sums| (sums, method))
    };
    if let Some((between, method)) = &between
        && let Some(mut e) = figure(Quantity::ConstitutionShare, between, method)
    {
        let excess = placebo.as_ref().and_then(|placebo| {
            Ratio::new(&between.iter().zip(placebo).map(|(b, p)| b - p).collect::<Vec<_>>(), &total)
        });
        e.z = excess.filter(|x| x.se > 0.0 && x.se.is_finite()).map(|x| x.value / x.se);
        out.push(e);
    }
    let method = "variance between placebo texts over that of the rewards";
    out.extend(placebo.and_then(|p| figure(Quantity::PlaceboShare, &p, method)));
    out
}

/// Σ a / Σ b over blocks with its standard error.
struct Ratio {
    value: f64,
    se: f64,
    /// Influence of each block.
    moves: Vec<f64>,
}

impl Ratio {
    fn new(a: &[f64], b: &[f64]) -> Option<Self> {
        let (sum_a, sum_b) = (a.iter().sum::<f64>(), b.iter().sum::<f64>());
        let value = sum_a / sum_b;
        if !value.is_finite() {
            return None;
        }
        let moves: Vec<f64> = a.iter().zip(b).map(|(a, b)| (a - value * b) / sum_b).collect();
        Some(Self { value, se: standard_error(&moves), moves })
    }
}
