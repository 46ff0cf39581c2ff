//! Theorem 3's covariance under the base policy P, from candidates sampled from another policy q.
//!
//! Candidates of a prompt are weighted by w ∝ P/q, w = exp(log P − log q) normalised to sum to 1. The slope is the
//! mean over prompts, each counting K − 1 times as in `total_slope`, of the weighted covariance Σ w (S − S̄)(r − r̄)
//! / (1 − Σ w²), which for equal weights is the unbiased one. Where P and q differ, few candidates carry most of the
//! weight: the median over prompts of the effective sample size 1/Σw² over K measures this, and below .7 the slope is
//! withheld.

use crate::error::Result;
use crate::probe::Contrasts;
use crate::theory::base::analysis::Analysis;
use crate::theory::base::estimate::{Estimate, Mode, Quantity};
use crate::theory::base::mean::{BlockMean, mean_by_block};
use crate::theory::base::problem::Labels;
use crate::theory::base::rows;
use crate::theory::base::stage::Stage;
use crate::theory::statement::{Measure, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "policy",
    title: "Importance weights",
    source: "Theorem 3",
    quantities: &[Quantity::PolicySlope, Quantity::EssRatio],
    tables: &[],
    rests: Rests::OnTheJudge,
    measures: &[Measure::Uncontrolled(measure)],
    section: None,
};

/// Median effective sample size over K below which the slope is flagged, and below which it is withheld.
const FLAGGED: f64 = 0.9;
const LEAST: f64 = 0.7;

/// Importance weights of a prompt's rows.
fn weights(rows: &[usize], log_ratio: &[f64]) -> Vec<f64> {
    let top = rows.iter().map(|&r| log_ratio[r]).fold(f64::NEG_INFINITY, f64::max);
    let raw: Vec<f64> = rows.iter().map(|&r| (log_ratio[r] - top).exp()).collect();
    let total: f64 = raw.iter().sum();
    raw.into_iter().map(|w| w / total).collect()
}

/// Median over prompts of 1/(K Σ w²); `None` without prompts.
pub fn ess_ratio(contrasts: &Contrasts, log_ratio: &[f64]) -> Option<f64> {
    let of = |rows: &[usize]| {
        let squares: f64 = weights(rows, log_ratio).iter().map(|w| w * w).sum();
        1.0 / (rows.len() as f64 * squares)
    };
    let mut all: Vec<f64> = contrasts.prompts().map(of).collect();
    all.sort_by(f64::total_cmp);
    let n = all.len();
    (n > 0).then(|| (all[(n - 1) / 2] + all[n / 2]) / 2.0)
}

/// Weighted covariance of S and r within prompts; `None` where no prompt has two candidates with weight.
pub fn slope(
    contrasts: &Contrasts,
    block: &[i32],
    log_ratio: &[f64],
    s: &[f64],
    reward: &[f64],
) -> Option<BlockMean> {
    let cells = contrasts.prompts().flat_map(|rows| {
        let w = weights(rows, log_ratio);
        let mean = |v: &[f64]| rows.iter().zip(&w).map(|(&r, w)| w * v[r]).sum::<f64>();
        let (ms, mr) = (mean(s), mean(reward));
        let covariance: f64 = rows.iter().zip(&w).map(|(&r, w)| w * (s[r] - ms) * (reward[r] - mr)).sum();
        let left = 1.0 - w.iter().map(|w| w * w).sum::<f64>();
        let figure = (left > 1e-9).then(|| covariance / left);
        // Repeated once per contrast of the prompt.
        std::iter::repeat_n((block[rows[0]], figure), rows.len() - 1)
    });
    mean_by_block(cells.filter_map(|(block, figure)| Some((block, figure?))))
}

/// `ess_ratio` and `policy_slope` of each value with response labels, where log q is known.
pub(crate) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    let (Some(p), Some(q)) = (&problem.logprob, &problem.logq) else { return Ok(()) };
    let log_ratio: Vec<f64> = p.iter().zip(q).map(|(p, q)| p - q).collect();
    for &v in values {
        let value = &problem.values[v];
        let Labels::Scores(s) = &value.labels else { continue };
        let wanted = rows::of_value(problem, value, stage.keep);
        let ratio = ess_ratio(&wanted.contrasts(problem), &log_ratio);
        let estimate = match ratio {
            Some(ratio) => Estimate::bare(Quantity::EssRatio, "median over prompts of 1/(K Σ w²)", ratio),
            None => Estimate::missing(Quantity::EssRatio, "no prompt has two labelled responses"),
        };
        stage.push(out, None, Some(&value.name), estimate);
        for judged in problem.judged.iter().filter(|j| j.mode != Mode::Implicit) {
            let contrasts = wanted.filtered(|r| judged.reward[r].is_finite()).contrasts(problem);
            let found = slope(&contrasts, &problem.block, &log_ratio, s, &judged.reward);
            let estimate = match (found, ess_ratio(&contrasts, &log_ratio)) {
                (Some(slope), Some(ratio)) => {
                    let method = "weights P/q, covariance over 1 − Σ w²";
                    let e = slope.figure(Quantity::PolicySlope, method);
                    if ratio < LEAST {
                        e.withheld(format!(
                            "the candidates are too far from the policy: median effective sample size {ratio:.2} of K"
                        ))
                    } else if ratio < FLAGGED {
                        e.warn(format!("biased upwards: median effective sample size {ratio:.2} of K"))
                    } else {
                        e
                    }
                }
                _ => Estimate::missing(
                    Quantity::PolicySlope,
                    "no prompt has two candidates of weight with label and reward",
                ),
            };
            stage.push(out, None, Some(&value.name), judged.mark(estimate));
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

    #[test]
    fn equal_weights_give_the_total_slope() {
        let prompt = [0, 0, 0, 1, 1];
        let contrasts = Contrasts::helmert(&prompt, &prompt, |_| true);
        let (s, r) = ([1.0, 2.0, 4.0, 0.0, 3.0], [0.5, -1.0, 2.0, 1.0, 2.0]);
        let (sc, rc) = (contrasts.column(&s), contrasts.column(&r));
        let told = sc.iter().zip(&rc).map(|(a, b)| a * b).sum::<f64>() / 3.0;
        let BlockMean { mean: got, .. } = slope(&contrasts, &prompt, &[7.0; 5], &s, &r).expect("a slope");
        assert!((got - told).abs() < 1e-12, "{got} {told}");
        assert_eq!(ess_ratio(&contrasts, &[7.0; 5]), Some(1.0));
    }

    #[test]
    fn weights_bring_back_the_covariance_under_the_policy() {
        // P = N(0, 1), q = N(0, 1.3²); S = x², r = x: no covariance under either. S = (x > 0)·x, r = x: Var/2 under each,
        // .5 under P and .845 under q.
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let (k, prompts) = (16, 3000);
        let x: Vec<f64> = (0..k * prompts).map(|_| 1.3 * normal()).collect();
        let s: Vec<f64> = x.iter().map(|x| x.max(0.0)).collect();
        let log_ratio: Vec<f64> = x.iter().map(|x| -0.5 * x * x + 0.5 * x * x / 1.69).collect();
        let prompt: Vec<i32> = (0..x.len()).map(|i| (i / k) as i32).collect();
        let contrasts = Contrasts::helmert(&prompt, &prompt, |_| true);
        let BlockMean { mean: plain, .. } =
            slope(&contrasts, &prompt, &vec![0.0; x.len()], &s, &x).expect("a slope");
        assert!((plain - 0.845).abs() < 0.03, "{plain}");
        let BlockMean { mean: weighted, se, .. } =
            slope(&contrasts, &prompt, &log_ratio, &s, &x).expect("a slope");
        // The ratio of weighted sums has a bias of order 1/K.
        assert!((weighted - 0.5).abs() < 0.05 && se < 0.01, "{weighted} ± {se}");
        let ratio = ess_ratio(&contrasts, &log_ratio).expect("a ratio");
        assert!((0.7..1.0).contains(&ratio), "{ratio}");
    }
}
