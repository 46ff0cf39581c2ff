//! Proposition 2 and Lemma 12: the exact gain of the tilted policy over the candidates.
//!
//! The candidates of a prompt stand for the policy they were sampled from, with equal weight; the tilted
//! policy weighs them by w ∝ exp(λ r). Its gain is Σ w S − mean S, averaged over prompts, at λ in units
//! of 1/sd(r), sd(r)² = Σ r²/N over contrasts. To first order it is λ · (K − 1)/K · total slope.

use super::estimate::{Estimate, Quantity};
use crate::probe::Contrasts;
use crate::probe::influence::normal_interval;

/// λ · sd(r) at which the gain is shown.
pub const GRID: [f64; 5] = [0.1, 0.25, 0.5, 1.0, 2.0];

/// sd(r) over contrasts.
pub fn reward_sd(contrasts: &Contrasts, reward: &[f64]) -> f64 {
    let y = contrasts.column(reward);
    (y.iter().map(|v| v * v).sum::<f64>() / y.len() as f64).sqrt()
}

/// Gain in S at one λ·sd(r), averaged over prompts, with its standard error over blocks, and the mean
/// Kullback–Leibler divergence of the tilted policy from the base, in nats.
pub fn gain(
    contrasts: &Contrasts,
    block: &[i32],
    s: &[f64],
    reward: &[f64],
    lambda_sd: f64,
) -> Option<(f64, f64, f64)> {
    let sd = reward_sd(contrasts, reward);
    if sd.is_nan() || sd <= 0.0 {
        return None;
    }
    let lambda = lambda_sd / sd;
    let mut by_block: std::collections::BTreeMap<i32, (f64, f64)> = std::collections::BTreeMap::new();
    let (mut divergence, mut prompts) = (0.0, 0.0);
    for rows in contrasts.prompts() {
        let top = rows.iter().map(|&r| lambda * reward[r]).fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = rows.iter().map(|&r| (lambda * reward[r] - top).exp()).collect();
        let total: f64 = weights.iter().sum();
        let k = rows.len() as f64;
        let (mut tilted, mut plain) = (0.0, 0.0);
        for (&row, w) in rows.iter().zip(&weights) {
            let w = w / total;
            tilted += w * s[row];
            plain += s[row] / k;
            if w > 0.0 {
                divergence += w * (w * k).ln();
            }
        }
        let cell = by_block.entry(block[rows[0]]).or_insert((0.0, 0.0));
        cell.0 += tilted - plain;
        cell.1 += 1.0;
        prompts += 1.0;
    }
    if prompts == 0.0 {
        return None;
    }
    let mean = by_block.values().map(|c| c.0).sum::<f64>() / prompts;
    let g = by_block.len() as f64;
    let squares: f64 = by_block.values().map(|c| (c.0 - c.1 * mean).powi(2)).sum();
    let se = (g / (g - 1.0) * squares).sqrt() / prompts;
    Some((mean, se, divergence / prompts))
}

/// `tilt_gain` over the grid.
pub fn estimates(contrasts: &Contrasts, block: &[i32], s: &[f64], reward: &[f64]) -> Vec<Estimate> {
    GRID.iter()
        .map(|&lambda_sd| {
            let method = "exact reweighting of the candidates";
            let mut estimate = match gain(contrasts, block, s, reward, lambda_sd) {
                None => {
                    Estimate::new(Quantity::TiltGain, method).warn("the reward does not vary within prompts")
                }
                Some((mean, se, kl)) => {
                    let method = format!("{method}; KL {kl:.4} nats");
                    Estimate::figure(Quantity::TiltGain, method, mean, se, normal_interval(mean, se))
                }
            };
            estimate.lambda_sd = Some(lambda_sd);
            estimate
        })
        .collect()
}
