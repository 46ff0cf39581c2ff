//! Proposition 2 and Lemma 12: the exact gain of the tilted policy over the candidates.
//!
//! The candidates of a prompt stand for the policy they were sampled from, with equal weight; the tilted
//! policy weighs them by w ∝ exp(λ r). Its gain is Σ w S − mean S, averaged over prompts, at λ in units
//! of 1/sd(r), sd(r)² = Σ r²/N over contrasts. To first order it is λ · (K − 1)/K · total slope.

use super::estimate::{Estimate, Quantity};
use super::mean::{BlockMean, mean_by_block};
use crate::probe::Contrasts;

/// λ · sd(r) at which the gain is shown.
pub const GRID: [f64; 5] = [0.1, 0.25, 0.5, 1.0, 2.0];

/// sd(r) over contrasts.
pub fn reward_sd(contrasts: &Contrasts, reward: &[f64]) -> f64 {
    let y = contrasts.column(reward);
    (y.iter().map(|v| v * v).sum::<f64>() / y.len() as f64).sqrt()
}

/// The tilted policy at one λ: means over prompts.
#[derive(Debug, Clone, PartialEq)]
pub struct Tilted {
    /// Gain in S.
    pub gain: BlockMean,
    /// The gain to first order, λ·Cov_j(S_j, r_j) with weights 1/K.
    pub predicted: BlockMean,
    /// Kullback–Leibler divergence from the base, in nats.
    pub divergence: BlockMean,
}

/// The tilted policy at one λ·sd(r); `None` if the reward does not vary within prompts.
pub fn tilted(
    contrasts: &Contrasts,
    block: &[i32],
    s: &[f64],
    reward: &[f64],
    lambda_sd: f64,
) -> Option<Tilted> {
    let cells = prompt_tilts(contrasts, block, s, reward, lambda_sd)?;
    let of = |i: usize| mean_by_block(cells.iter().map(|(block, found)| (*block, found[i])));
    Some(Tilted { gain: of(0)?, predicted: of(1)?, divergence: of(2)? })
}

/// Block, and gain, prediction and divergence, of each prompt; `None` if the reward does not vary within prompts.
pub(super) fn prompt_tilts(
    contrasts: &Contrasts,
    block: &[i32],
    s: &[f64],
    reward: &[f64],
    lambda_sd: f64,
) -> Option<Vec<(i32, [f64; 3])>> {
    let sd = reward_sd(contrasts, reward);
    if sd.is_nan() || sd <= 0.0 {
        return None;
    }
    let lambda = lambda_sd / sd;
    let of_prompt = |rows: &[usize]| {
        let top = rows.iter().map(|&r| lambda * reward[r]).fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = rows.iter().map(|&r| (lambda * reward[r] - top).exp()).collect();
        let total: f64 = weights.iter().sum();
        let k = rows.len() as f64;
        let mean = rows.iter().map(|&r| reward[r]).sum::<f64>() / k;
        let (mut tilted, mut plain, mut covariance, mut divergence) = (0.0, 0.0, 0.0, 0.0);
        for (&row, w) in rows.iter().zip(&weights) {
            let w = w / total;
            tilted += w * s[row];
            plain += s[row] / k;
            covariance += s[row] * (reward[row] - mean) / k;
            if w > 0.0 {
                divergence += w * (w * k).ln();
            }
        }
        (block[rows[0]], [tilted - plain, lambda * covariance, divergence])
    };
    Some(contrasts.prompts().map(of_prompt).collect())
}

/// `tilt_gain`, `tilt_predicted` and `tilt_kl` over the grid.
pub fn estimates(contrasts: &Contrasts, block: &[i32], s: &[f64], reward: &[f64]) -> Vec<Estimate> {
    GRID.iter()
        .flat_map(|&lambda_sd| {
            let kinds = [
                (Quantity::TiltGain, "exact reweighting of the candidates"),
                (Quantity::TiltPredicted, "λ times the covariance over the candidates"),
                (Quantity::TiltKl, "exact reweighting of the candidates"),
            ];
            let found = tilted(contrasts, block, s, reward, lambda_sd);
            kinds.into_iter().enumerate().map(move |(i, (quantity, method))| {
                let mut estimate = match &found {
                    None => Estimate::new(quantity, method).warn("the reward does not vary within prompts"),
                    Some(t) => [&t.gain, &t.predicted, &t.divergence][i].figure(quantity, method),
                };
                estimate.lambda_sd = Some(lambda_sd);
                estimate
            })
        })
        .collect()
}
