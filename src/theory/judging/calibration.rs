//! Assumption 3 in detail: how often the judge agrees with the labels, by its confidence.
//!
//! A judge whose rewards are the value itself, J = σ(S_1 − S_2), is calibrated. For each judged pair with different
//! labels, the confidence is σ(|ℓ|), ℓ the debiased log-odds, and the agreement 1 or 0. Pairs are sorted by
//! confidence and cut into bins of equal numbers.

use serde::Serialize;

use crate::error::Result;
use crate::theory::base::analysis::Analysis;
use crate::theory::base::estimate::{Estimate, Mode, Quantity};
use crate::theory::base::mean::mean_by_block;
use crate::theory::base::stage::Stage;
use crate::theory::judging::{odds_for_the_better, right};

/// Name of the table of bins in the report.
pub const TABLE: &str = "judge_calibration";

/// Number of bins of a curve.
const BINS: usize = 8;
/// Smallest number of pairs in a bin; with fewer pairs, there are fewer bins.
const FEWEST: usize = 20;

/// Pairs of similar confidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bin {
    /// Mean confidence, σ(|ℓ|).
    pub confidence: f64,
    /// Share that agrees with the labels.
    pub agreement: f64,
    /// Ends of its 95 % interval, clustered by block.
    pub interval: Option<(f64, f64)>,
    /// Number of pairs.
    pub pairs: usize,
}

/// The bins of a value under a constitution.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// The value.
    pub value: String,
    /// The constitution.
    pub constitution: String,
    /// Bins, ascending by confidence.
    pub bins: Vec<Bin>,
}

/// The bins of pairs with these log-odds for the better response; empty for fewer than `FEWEST` pairs.
pub fn bins(mut odds: Vec<(i32, f64)>) -> Vec<Bin> {
    let confidence = |odds: f64| 1.0 / (1.0 + (-odds.abs()).exp());
    odds.sort_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
    let n = BINS.min(odds.len() / FEWEST);
    (0..n)
        .filter_map(|i| {
            let of = &odds[i * odds.len() / n..(i + 1) * odds.len() / n];
            let agreement = mean_by_block(of.iter().map(|&(b, o)| (b, right(o))))?;
            Some(Bin {
                confidence: of.iter().map(|&(_, o)| confidence(o)).sum::<f64>() / of.len() as f64,
                agreement: agreement.mean,
                interval: agreement.se.is_finite().then(|| agreement.share_interval()),
                pairs: agreement.cells,
            })
        })
        .collect()
}

/// `judge_overconfidence` and the bins of each value under each constitution with forced choices. Scores of a single
/// response are not choice probabilities and have no curve.
pub(crate) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    let mut curves = Vec::new();
    for &v in values {
        let value = &problem.values[v];
        for judged in problem.judged.iter().filter(|j| j.mode == Mode::Pairwise) {
            let odds = odds_for_the_better(problem, value, judged, stage.keep);
            let excess = odds.iter().map(|&(block, o)| {
                let sure = 1.0 / (1.0 + (-o.abs()).exp());
                (block, sure - right(o))
            });
            let method = "mean of σ(|ℓ|) less the share that agrees, clustered by block";
            let estimate = match mean_by_block(excess) {
                None => Estimate::new(Quantity::JudgeOverconfidence, method)
                    .warn("no judged pair has different labels"),
                Some(found) => {
                    let mut e = found.figure(Quantity::JudgeOverconfidence, method);
                    (e.n, e.blocks) = (Some(found.cells), Some(found.blocks()));
                    e
                }
            };
            stage.push(out, None, Some(&value.name), judged.mark(estimate));
            let bins = bins(odds);
            if bins.len() > 1 {
                let (value, constitution) = (value.name.clone(), judged.name.clone());
                curves.push(Curve { value, constitution, bins });
            }
        }
    }
    if let (false, Ok(table)) = (curves.is_empty(), serde_json::to_value(curves)) {
        out.tables.insert(TABLE.to_owned(), table);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Pairs whose better response is told with probability σ(slope·ℓ), ℓ said by the judge.
    fn pairs(slope: f64, n: usize) -> Vec<(i32, f64)> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        (0..n)
            .map(|i| {
                let said: f64 = rng.random_range(-4.0..4.0);
                let first = rng.random::<f64>() < 1.0 / (1.0 + (-slope * said).exp());
                (i as i32, if first { said } else { -said })
            })
            .collect()
    }

    #[test]
    fn a_judge_that_means_what_it_says_lies_on_the_diagonal() {
        for bin in bins(pairs(1.0, 40_000)) {
            assert!((bin.confidence - bin.agreement).abs() < 0.03, "{bin:?}");
        }
    }

    #[test]
    fn an_overconfident_judge_lies_below_and_a_contrary_one_below_a_half() {
        let sure = bins(pairs(0.3, 40_000));
        assert!(sure.iter().skip(1).all(|b| b.agreement < b.confidence - 0.03), "{sure:?}");
        assert!(bins(pairs(-1.0, 40_000)).iter().skip(1).all(|b| b.agreement < 0.5));
    }

    #[test]
    fn few_pairs_make_few_bins_and_none_no_curve() {
        assert_eq!(bins(pairs(1.0, 45)).len(), 2);
        assert_eq!(bins(pairs(1.0, 45)).iter().map(|b| b.pairs).sum::<usize>(), 45);
        assert!(bins(Vec::new()).is_empty());
    }
}
