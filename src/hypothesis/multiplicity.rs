//! p-values adjusted for the number of constitutions: the Gaussian multiplier maximum.
//!
//! Under the joint null the influences, multiplied block by block with independent standard normals, have
//! the covariance of the estimates; the adjusted p of z_j is the chance that the largest |z*| reaches |z_j|
//! (Chernozhukov, Chetverikov and Kato 2013). It is at most Bonferroni's, which resolves the far tail.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal};

/// Draws of the multipliers.
const DRAWS: usize = 10_000;

/// Mixed with the seed of the analysis.
const SEED: u64 = 0x6d75_6c74;

/// One statistic: z, and what each block (by its number in the data) moved it.
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

/// Adjusted two-sided p of each statistic, by draws with `seed`.
pub fn adjusted(statistics: &[Statistic], seed: u64) -> Vec<f64> {
    let m = statistics.len() as f64;
    let bonferroni = |z: f64| (m * two_sided(z)).min(1.0);
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
    let maxima: Vec<f64> = (0..DRAWS)
        .into_par_iter()
        .map(|draw| {
            // A stream a draw: the same numbers whatever the number of threads.
            let mut rng = ChaCha8Rng::seed_from_u64(SEED ^ seed);
            rng.set_stream(draw as u64);
            let weights: Vec<f64> = (0..blocks.len()).map(|_| StandardNormal.sample(&mut rng)).collect();
            rows.iter()
                .map(|row| row.iter().zip(&weights).map(|(r, w)| r * w).sum::<f64>().abs())
                .fold(0.0, f64::max)
        })
        .collect();
    statistics
        .iter()
        .map(|s| {
            let reached = maxima.iter().filter(|&&max| max >= s.z.abs()).count();
            let simulated = (reached + 1) as f64 / (DRAWS + 1) as f64;
            simulated.min(bonferroni(s.z))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
