//! p-values adjusted for the number of tests: the Gaussian multiplier maximum, and the false discovery rate.
//!
//! A report has one family of tests per quantity and control, over every constitution and every value. Under the
//! joint null the influences, multiplied block by block with independent standard normals, have the covariance of the
//! estimates; the adjusted p of z_j is the probability that the largest |z*| reaches |z_j| (Chernozhukov, Chetverikov
//! and Kato 2013). It is capped at Bonferroni's p, which resolves the far tail. Influences are aligned by the block's
//! number in the data, so that values with different rows stay dependent where they share blocks.
//!
//! Exploratory sections (ensembles, wordings, two lines, trade-offs) have families of their own, adjusted for the
//! false discovery rate (Benjamini and Hochberg 1995) and labelled as exploratory.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal};

use crate::theory::base::analysis::Analysis;
use crate::theory::base::estimate::{Mode, Quantity};

/// Number of multiplier draws.
const DRAWS: usize = 10_000;

/// Constant XORed into the seed of the analysis.
const SEED: u64 = 0x6d75_6c74;

/// A test statistic: z, and its influence by block number in the data.
#[derive(Debug, Clone)]
pub struct Statistic {
    /// estimate / SE.
    pub z: f64,
    /// Centred influence of each block.
    pub influence: BTreeMap<i32, f64>,
}

/// Two-sided p of a standard normal z.
pub fn two_sided(z: f64) -> f64 {
    2.0 * Normal::standard().sf(z.abs())
}

/// Adjusted two-sided p of each statistic, drawn with `seed`; 1 where z is not a number.
pub fn adjusted(statistics: &[Statistic], seed: u64) -> Vec<f64> {
    let m = statistics.len() as f64;
    // z is NaN where estimate and error are both 0; that is no evidence.
    let bonferroni = |z: f64| if z.is_nan() { 1.0 } else { (m * two_sided(z)).min(1.0) };
    if statistics.len() < 2 {
        return statistics.iter().map(|s| bonferroni(s.z)).collect();
    }
    let blocks: std::collections::BTreeSet<i32> =
        statistics.iter().flat_map(|s| s.influence.keys().copied()).collect();
    let rows: Vec<Vec<f64>> = statistics
        .iter()
        .map(|s| {
            let norm = s.influence.values().map(|v| v * v).sum::<f64>().sqrt();
            let scale = if norm > 0.0 { 1.0 / norm } else { 0.0 };
            blocks.iter().map(|b| s.influence.get(b).map_or(0.0, |v| v * scale)).collect()
        })
        .collect();
    // Loop over blocks on the outside, so that the sums of the statistics vectorise.
    let (count, width) = (blocks.len(), rows.len());
    let moves: Vec<f64> = (0..count).flat_map(|b| rows.iter().map(move |row| row[b])).collect();
    let maxima: Vec<f64> = (0..DRAWS)
        .into_par_iter()
        .map(|draw| {
            // One random stream per draw: results do not depend on the number of threads.
            let mut rng = ChaCha8Rng::seed_from_u64(SEED ^ seed);
            rng.set_stream(draw as u64);
            let mut sums = vec![0.0; width];
            for of_block in moves.chunks_exact(width) {
                let weight: f64 = StandardNormal.sample(&mut rng);
                sums.iter_mut().zip(of_block).for_each(|(sum, moved)| *sum += moved * weight);
            }
            sums.into_iter().map(f64::abs).fold(0.0, f64::max)
        })
        .collect();
    statistics
        .iter()
        .map(|s| {
            let reached = maxima.iter().filter(|&&max| max >= s.z.abs()).count();
            let simulated = (reached + 1) as f64 / (DRAWS + 1) as f64;
            if s.z.is_nan() { 1.0 } else { simulated.min(bonferroni(s.z)) }
        })
        .collect()
}

/// p-values adjusted for the false discovery rate (Benjamini and Hochberg), in input order. Rejecting below level q
/// keeps the expected share of false rejections at most q, for independent or positively dependent tests.
pub fn false_discovery(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[b].total_cmp(&p[a]));
    let (mut out, mut least) = (vec![1.0; p.len()], 1.0f64);
    for (above, &i) in order.iter().enumerate() {
        least = least.min(p[i] * p.len() as f64 / (p.len() - above) as f64);
        out[i] = least;
    }
    out
}

/// A test whose adjusted p is filled in once its family is complete.
#[derive(Debug, Clone)]
pub(crate) struct Test {
    /// The statistic.
    pub(crate) statistic: Statistic,
    /// Indices of the estimates that receive the p.
    pub(crate) estimates: Vec<usize>,
    /// Index of the placebo contrast that receives the p.
    pub(crate) contrast: Option<usize>,
}

/// The tests of a report under one control, one family per quantity.
#[derive(Debug, Default)]
pub(crate) struct Tests {
    families: BTreeMap<(bool, Quantity, Option<Mode>), Vec<Test>>,
}

impl Tests {
    /// Adds a test of a quantity. Differences from the placebo arm form their own families, and so do rewards
    /// reported beside forced choices (`judge`), so that they leave the adjusted p-values of the main figures
    /// unchanged.
    pub(crate) fn push(&mut self, quantity: Quantity, judge: Option<Mode>, test: Test) {
        self.families.entry((test.contrast.is_some(), quantity, judge)).or_default().push(test);
    }

    /// Adjusts every family and writes the p-values. A difference from the placebo arm gets the larger of two: the p
    /// over the choice of prompts, and the p over the choice of placebo texts times the number of arms.
    pub(crate) fn finish(self, seed: u64, out: &mut Analysis) {
        for tests in self.families.into_values() {
            let statistics: Vec<Statistic> = tests.iter().map(|t| t.statistic.clone()).collect();
            let arms: std::collections::BTreeSet<_> = tests
                .iter()
                .filter_map(|t| out.placebo.get(t.contrast?))
                .map(|c| (c.value.clone(), c.judge))
                .collect();
            for (test, p) in tests.iter().zip(adjusted(&statistics, seed)) {
                let mut own = Some(p);
                if let Some(contrast) = test.contrast.and_then(|c| out.placebo.get_mut(c)) {
                    contrast.p_texts = contrast.p_texts.map(|p| (p * arms.len() as f64).min(1.0));
                    contrast.p_prompts = p;
                    own = contrast.p_texts.map(|texts| texts.max(p));
                }
                for &e in &test.estimates {
                    out.estimates[e].p_adjusted = own;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_false_discovery_rate_is_that_of_benjamini_and_hochberg() {
        // Reference: p.adjust(c(.01, .04, .03, .005, .6), "BH") in R.
        let adjusted = false_discovery(&[0.01, 0.04, 0.03, 0.005, 0.6]);
        for (a, b) in adjusted.iter().zip([0.025, 0.05, 0.05, 0.025, 0.6]) {
            assert!((a - b).abs() < 1e-12, "{adjusted:?}");
        }
        assert!(false_discovery(&[]).is_empty());
    }

    fn statistic(z: f64, influence: &[f64]) -> Statistic {
        Statistic { z, influence: (0..).zip(influence.iter().copied()).collect() }
    }

    #[test]
    fn independent_statistics_pay_for_their_number_and_copies_do_not() {
        let mut independent = Vec::new();
        for j in 0..10 {
            let row: Vec<f64> = (0..100).map(|g| if g % 10 == j { 1.0 } else { 0.0 }).collect();
            independent.push(statistic(2.8, &row));
        }
        let p = adjusted(&independent, 0)[0];
        let sidak = 1.0 - (1.0 - two_sided(2.8)).powi(10);
        assert!((p - sidak).abs() < 0.01, "{p} {sidak}");
        let copies = vec![statistic(2.0, &[1.0, -2.0, 0.5, 3.0]); 10];
        assert!((adjusted(&copies, 0)[0] - two_sided(2.0)).abs() < 0.008);
    }

    #[test]
    fn one_statistic_is_not_adjusted() {
        assert!((adjusted(&[statistic(1.96, &[1.0])], 0)[0] - 0.05).abs() < 1e-4);
    }
}
