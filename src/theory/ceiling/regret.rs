//! Theorem 6 without the Gaussian assumption: measured loss when a judge chooses the better of two.
//!
//! For each pair of responses to a prompt: max(S_1, S_2) minus S of the one with the larger reward (the mean of both
//! at a tie). Its mean over the pairs of a prompt, averaged over prompts, is the regret of best-of-two selection; a
//! random choice has regret E|S_1 − S_2|/2, which is σ_S/√π for a Gaussian value.

use crate::error::Result;
use crate::probe::Contrasts;
use crate::theory::base::analysis::Analysis;
use crate::theory::base::estimate::{Estimate, Quantity};
use crate::theory::base::mean::{BlockMean, mean_by_block};
use crate::theory::base::problem::Labels;
use crate::theory::base::rows;
use crate::theory::base::stage::Stage;

/// Mean regret over prompts of selecting by `reward`; `None` without pairs.
pub fn regret(contrasts: &Contrasts, block: &[i32], s: &[f64], reward: &[f64]) -> Option<BlockMean> {
    let of_prompt = |rows: &[usize]| {
        let (mut sum, mut pairs) = (0.0, 0.0);
        for (i, &a) in rows.iter().enumerate() {
            for &b in &rows[i + 1..] {
                let chosen = match reward[a].total_cmp(&reward[b]) {
                    _ if reward[a] == reward[b] => (s[a] + s[b]) / 2.0,
                    std::cmp::Ordering::Greater => s[a],
                    _ => s[b],
                };
                sum += s[a].max(s[b]) - chosen;
                pairs += 1.0;
            }
        }
        sum / pairs
    };
    let cells = contrasts.prompts().map(|rows| (block[rows[0]], of_prompt(rows)));
    mean_by_block(cells)
}

/// `measured_regret` of each value, selecting by each constitution's rewards and by the held-out reading of the
/// residual stream (no constitution), on the rows that have both.
pub(crate) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    for &v in values {
        let value = &problem.values[v];
        let Labels::Scores(s) = &value.labels else { continue };
        let wanted = rows::of_value(problem, value, stage.keep);
        let of = |contrasts: &Contrasts, reward: &[f64]| regret(contrasts, &problem.block, s, reward);
        let estimate = |found: Option<BlockMean>, method: &str| match found {
            None => Estimate::missing(Quantity::MeasuredRegret, "no prompt has two responses to choose from"),
            Some(found) => {
                let mut e = found.figure(Quantity::MeasuredRegret, method);
                e.lo = e.lo.map(|lo| lo.max(0.0));
                e
            }
        };
        if let Some(bench) = stage.bench(wanted.clone())? {
            let label = bench.probe(vec![rows::label(&bench, value)]).remove(0);
            let reading = bench.contrasts.spread(&label.yhat, problem.rows());
            let found = of(&bench.contrasts, &reading).map(|found| bench.of_the_fit(found));
            let e = estimate(found, "best of two by ⟨h, v*⟩ on left-out blocks, counted");
            stage.push(out, Some(&bench), Some(&value.name), e);
        }
        for judged in &problem.judged {
            let rows = wanted.filtered(|r| judged.reward[r].is_finite());
            let contrasts = rows.contrasts(problem);
            let e = estimate(of(&contrasts, &judged.reward), "best of two by the rewards, counted");
            stage.push(out, None, Some(&value.name), judged.mark(e));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    /// Regret of selecting by a Gaussian proxy with correlation `rho` to a standard normal value, over many pairs.
    fn of(rho: f64) -> BlockMean {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let n = 60_000;
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let s: Vec<f64> = (0..2 * n).map(|_| normal()).collect();
        let proxy: Vec<f64> = s.iter().map(|s| rho * s + (1.0 - rho * rho).sqrt() * normal()).collect();
        let prompt: Vec<i32> = (0..2 * n).map(|i| i / 2).collect();
        let contrasts = Contrasts::helmert(&prompt, &prompt, |_| true);
        regret(&contrasts, &prompt, &s, &proxy).expect("pairs")
    }

    #[test]
    fn gaussian_pairs_lose_what_appendix_a_says() {
        // (1 − ρ)σ_S/√π, and σ_S/√π for a random choice.
        for rho in [0.0, 0.6, 0.95] {
            let (BlockMean { mean: found, se, .. }, told) =
                (of(rho), (1.0 - rho) / std::f64::consts::PI.sqrt());
            assert!((found - told).abs() < 4.0 * se, "ρ = {rho}: {found} ± {se}, Appendix A: {told}");
        }
    }

    #[test]
    fn an_oracle_loses_nothing_and_a_tie_half_the_difference() {
        let (prompt, s) = (vec![0, 0, 1, 1], vec![1.0, 3.0, 2.0, -2.0]);
        let contrasts = Contrasts::helmert(&prompt, &prompt, |_| true);
        assert_eq!(regret(&contrasts, &prompt, &s, &s).expect("pairs").mean, 0.0);
        assert_eq!(regret(&contrasts, &prompt, &s, &[0.0; 4]).expect("pairs").mean, 1.5);
    }
}
