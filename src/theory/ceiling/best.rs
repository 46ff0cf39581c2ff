//! Theorem 6 for more than two candidates: best of K, and the tilted policy compared with the oracle at equal
//! divergence.
//!
//! For a normal value the best of K exceeds the mean by m_K σ_S, m_K = E max of K standard normals (m_2 = 1/√π), and
//! selection by a reading of correlation ρ reaches ρ m_K σ_S: the least regret is (1 − ρ) m_K σ_S. The measured loss
//! over all candidates of a prompt is reported beside it. The oracle for a tilted policy tilts by S itself, with the
//! strength that gives the same mean Kullback–Leibler divergence over the candidates; for normal values and rewards
//! its share of the gain is corr(S, r_c).

use statrs::distribution::{Continuous, ContinuousCDF, Normal};

use crate::error::Result;
use crate::probe::Contrasts;
use crate::theory::base::analysis::Analysis;
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::estimate::{Estimate, Mode, Quantity};
use crate::theory::base::mean::{BlockMean, mean_by_block};
use crate::theory::base::problem::Labels;
use crate::theory::base::rows;
use crate::theory::base::stage::Stage;
use crate::theory::ceiling;
use crate::theory::encoding::latent::Scale;
use crate::theory::tilt::{GRID, prompt_tilts};

/// m_K: the expected maximum of K independent standard normals, by Simpson's rule on ±9 standard deviations.
pub fn expected_maximum(k: usize) -> f64 {
    const STEPS: usize = 2000;
    let (normal, step) = (Normal::standard(), 18.0 / STEPS as f64);
    let power = i32::try_from(k.saturating_sub(1)).unwrap_or(i32::MAX);
    let at = |i: usize| {
        let x = -9.0 + step * i as f64;
        let weight = match i {
            0 | STEPS => 1.0,
            i if i % 2 == 1 => 4.0,
            _ => 2.0,
        };
        weight * x * k as f64 * normal.pdf(x) * normal.cdf(x).powi(power)
    };
    (0..=STEPS).map(at).sum::<f64>() * step / 3.0
}

/// Mean over prompts of max S minus S of the candidate with the largest reward (the mean over ties); `None` without
/// prompts.
pub fn regret(contrasts: &Contrasts, block: &[i32], s: &[f64], reward: &[f64]) -> Option<BlockMean> {
    let of = |rows: &[usize]| {
        let top = |v: &[f64]| rows.iter().map(|&r| v[r]).fold(f64::NEG_INFINITY, f64::max);
        let best = top(reward);
        let tied: Vec<f64> = rows.iter().filter(|&&r| reward[r] == best).map(|&r| s[r]).collect();
        (block[rows[0]], top(s) - tied.iter().sum::<f64>() / tied.len() as f64)
    };
    mean_by_block(contrasts.prompts().map(of))
}

/// The median number of candidates, and the mean of m_K, over prompts; `None` without prompts.
fn candidates(contrasts: &Contrasts) -> Option<(usize, f64)> {
    let mut sizes: Vec<usize> = contrasts.prompts().map(<[usize]>::len).collect();
    sizes.sort_unstable();
    let median = *sizes.get(sizes.len() / 2)?;
    let (mut sum, mut known) = (0.0, (0, 0.0));
    for &k in &sizes {
        // Sizes are sorted, so that each is computed once.
        if known.0 != k {
            known = (k, expected_maximum(k));
        }
        sum += known.1;
    }
    Some((median, sum / sizes.len() as f64))
}

/// Gain of the policy tilted by `reward` at λ·sd, over the gain of the policy tilted by S at the same mean
/// divergence; `None` where either does not vary, or where the oracle cannot reach that divergence.
pub fn oracle_share(
    contrasts: &Contrasts,
    block: &[i32],
    s: &[f64],
    reward: &[f64],
    lambda_sd: f64,
) -> Option<BlockMean> {
    let mean =
        |cells: &[(i32, [f64; 3])], i: usize| cells.iter().map(|c| c.1[i]).sum::<f64>() / cells.len() as f64;
    let own = prompt_tilts(contrasts, block, s, reward, lambda_sd)?;
    let divergence = mean(&own, 2);
    // The divergence rises with λ; beyond e^5 standard deviations only the best candidate has weight.
    let (mut low, mut high) = (-12.0f64, 5.0f64);
    let reached = |log: f64| prompt_tilts(contrasts, block, s, s, log.exp()).map(|cells| mean(&cells, 2));
    if !(divergence > 0.0 && reached(high)? >= divergence) {
        return None;
    }
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        if reached(middle)? < divergence { low = middle } else { high = middle }
    }
    let oracle = prompt_tilts(contrasts, block, s, s, high.exp())?;
    let best = mean(&oracle, 0);
    if best.is_nan() || best <= 0.0 {
        return None;
    }
    let share = mean(&own, 0) / best;
    // Influence of a ratio: that of the mean of own − share · oracle (which is 0 overall), over the oracle's gain.
    let rest = own.iter().zip(&oracle).map(|(a, b)| (a.0, (a.1[0] - share * b.1[0]) / best));
    mean_by_block(rest).map(|rest| BlockMean { mean: share, ..rest })
}

/// `best_of_ceiling`, `best_of_regret` and `oracle_share` of each value with response labels.
pub(crate) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    for &v in values {
        let value = &problem.values[v];
        let Labels::Scores(s) = &value.labels else { continue };
        let wanted = rows::of_value(problem, value, stage.keep);
        let contrasts = wanted.contrasts(problem);
        let Some((k, maximum)) = candidates(&contrasts) else { continue };
        if let Some(bench) = stage.bench(wanted.clone())? {
            let label = bench.probe(vec![rows::label(&bench, value)]).remove(0);
            let mut estimate = bound(&bench, &label, Scale::of(&value.labels), maximum);
            estimate.k = Some(k);
            stage.push(out, Some(&bench), Some(&value.name), estimate);
        }
        for judged in problem.judged.iter().filter(|j| !j.beside && j.mode != Mode::Implicit) {
            let contrasts = wanted.filtered(|r| judged.reward[r].is_finite()).contrasts(problem);
            let mut estimate = match regret(&contrasts, &problem.block, s, &judged.reward) {
                None => {
                    Estimate::missing(Quantity::BestOfRegret, "no prompt has two responses to choose from")
                }
                Some(found) => {
                    let method = "best of all candidates by the rewards, counted";
                    let mut e = found.figure(Quantity::BestOfRegret, method);
                    e.lo = e.lo.map(|lo| lo.max(0.0));
                    e
                }
            };
            estimate.k = Some(k);
            stage.push(out, None, Some(&value.name), judged.mark(estimate));
            for lambda_sd in GRID {
                let found = oracle_share(&contrasts, &problem.block, s, &judged.reward, lambda_sd);
                let mut estimate = match found {
                    None => Estimate::missing(
                        Quantity::OracleShare,
                        "S or the reward does not vary, or the oracle cannot go as far from the candidates",
                    ),
                    Some(share) => {
                        let method = "gain over the oracle’s at equal divergence, over the candidates";
                        share.figure(Quantity::OracleShare, method)
                    }
                };
                estimate.lambda_sd = Some(lambda_sd);
                stage.push(out, None, Some(&value.name), judged.mark(estimate));
            }
        }
    }
    Ok(())
}

/// `best_of_ceiling`: the ceiling of two candidates times m_K √π.
fn bound(bench: &Bench, s: &Label, scale: Scale, maximum: f64) -> Estimate {
    if scale.is_latent() {
        return Estimate::missing(
            Quantity::BestOfCeiling,
            "labels of few levels: the best of K by the latent score is not the best label",
        );
    }
    let mut e = ceiling::ceiling(bench, s, None);
    let factor = maximum * std::f64::consts::PI.sqrt();
    (e.quantity, e.method) = (Quantity::BestOfCeiling, "(1 − ρ)σ_S m_K, delta method".to_owned());
    for figure in [&mut e.estimate, &mut e.se, &mut e.lo, &mut e.hi] {
        *figure = figure.map(|v| v * factor);
    }
    e
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    #[test]
    fn the_expected_maximum_is_that_of_the_tables() {
        // Harter (1961): 0.56419, 0.84628, 1.02938, 1.42360, 1.76599.
        for (k, told) in [(1, 0.0), (2, 0.56419), (3, 0.84628), (4, 1.02938), (8, 1.42360), (16, 1.76599)] {
            assert!((expected_maximum(k) - told).abs() < 1e-5, "{k}: {}", expected_maximum(k));
        }
    }

    /// S and a reward with correlation `rho`, K candidates per prompt.
    fn drawn(rho: f64, k: usize, prompts: usize) -> (Contrasts, Vec<i32>, Vec<f64>, Vec<f64>) {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let s: Vec<f64> = (0..k * prompts).map(|_| normal()).collect();
        let r = s.iter().map(|s| rho * s + (1.0 - rho * rho).sqrt() * normal()).collect();
        let prompt: Vec<i32> = (0..s.len()).map(|i| (i / k) as i32).collect();
        (Contrasts::helmert(&prompt, &prompt, |_| true), prompt, s, r)
    }

    #[test]
    fn the_best_of_k_loses_what_theorem_6_says_with_m_of_k() {
        for (k, rho) in [(2, 0.5), (4, 0.6), (8, 0.9)] {
            let (contrasts, prompt, s, r) = drawn(rho, k, 8000);
            let BlockMean { mean: found, se, .. } = regret(&contrasts, &prompt, &s, &r).expect("a regret");
            let told = (1.0 - rho) * expected_maximum(k);
            assert!((found - told).abs() < 4.0 * se, "{k}, {rho}: {found} ± {se}, {told}");
        }
    }

    #[test]
    fn against_the_oracle_a_tilt_gains_its_correlation() {
        // To first order in λ, with many candidates: corr(S, r).
        let (contrasts, prompt, s, r) = drawn(0.6, 8, 4000);
        for lambda in [0.1, 0.5] {
            let BlockMean { mean: share, se, .. } =
                oracle_share(&contrasts, &prompt, &s, &r, lambda).expect("a share");
            assert!((share - 0.6).abs() < 4.0 * se + 0.01, "{lambda}: {share} ± {se}");
        }
        let own = oracle_share(&contrasts, &prompt, &s, &s, 0.5).expect("a share");
        assert!((own.mean - 1.0).abs() < 1e-6, "{own:?}");
    }
}
