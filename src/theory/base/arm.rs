//! The placebo arm of a value: how far texts that name no value move it, and how a constitution compares.
//!
//! The arm consists of m independent texts; paraphrases of one text count as one draw, with their rewards averaged.
//! If a constitution is just another such text, its slope minus the mean slope of the arm, divided by s √(1 + 1/m)
//! with s the standard deviation of the arm's slopes, follows Student's t with m − 1 degrees of freedom. K
//! constitutions compared with the same arm share its mean and its s; [`text_p`] is the probability that the largest
//! of their |t| reaches a given one (Dunnett 1955, with the error estimated from the arm alone).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};
use statrs::function::gamma::ln_gamma;

use crate::input::roster::original;
use crate::theory::base::estimate::{Control, Mode, Quantity};
use crate::theory::base::problem::Judged;

/// Smallest number of independent placebo texts for a verdict.
pub const DRAWS_NEEDED: usize = 4;

/// Name of the report table of [`Arm`]s.
pub const TABLE: &str = "placebo_arm";

/// The placebo arm of a value, as the report shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// The value.
    pub value: String,
    /// How the rewards were obtained, if they are reported beside forced choices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Mode>,
    /// What was projected out.
    pub control: Control,
    /// `encoded_slope` or `total_slope`.
    pub quantity: Quantity,
    /// Number m of independent texts; paraphrases of one text count once.
    pub draws: usize,
    /// Mean slope of the texts: the judge's own slope, without the part due to a constitution.
    pub mean: f64,
    /// Standard deviation of the texts' slopes (denominator m − 1); absent for one text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sd: Option<f64>,
    /// 95 % prediction interval for the slope of one more such text: mean ± t s √(1 + 1/m), t with m − 1 degrees of
    /// freedom; absent with fewer than four texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub band: Option<(f64, f64)>,
}

/// Groups placebos by independent text; each group lists indices into `judged`.
pub(crate) fn draws(judged: &[&Judged], paraphrases: &BTreeMap<String, String>) -> Vec<Vec<usize>> {
    let mut texts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, j) in judged.iter().enumerate().filter(|(_, j)| j.placebo) {
        texts.entry(original(paraphrases, &j.name)).or_default().push(place);
    }
    texts.into_values().collect()
}

/// Mean and standard deviation (denominator m − 1); the latter only with two or more slopes.
pub(crate) fn moments(slopes: &[f64]) -> (f64, Option<f64>) {
    let m = slopes.len() as f64;
    let mean = slopes.iter().sum::<f64>() / m;
    let square = slopes.iter().map(|s| (s - mean).powi(2)).sum::<f64>();
    (mean, (slopes.len() > 1).then(|| (square / (m - 1.0)).sqrt()))
}

/// 95 % prediction interval for the slope of one more text; `None` below [`DRAWS_NEEDED`].
pub fn band(slopes: &[f64]) -> Option<(f64, f64)> {
    let m = slopes.len();
    if m < DRAWS_NEEDED || slopes.iter().any(|s| !s.is_finite()) {
        return None;
    }
    let (mean, sd) = moments(slopes);
    let student = StudentsT::new(0.0, 1.0, (m - 1) as f64).ok()?;
    let reach = student.inverse_cdf(0.975) * sd? * (1.0 + 1.0 / m as f64).sqrt();
    Some((mean - reach, mean + reach))
}

/// Two-sided p of `difference` from the mean of an arm of `draws` texts with standard deviation `sd`, as the largest
/// among `compared` constitutions. 1 below [`DRAWS_NEEDED`], and for an arm without spread.
pub fn text_p(difference: f64, sd: f64, draws: usize, compared: usize) -> f64 {
    if draws < DRAWS_NEEDED || !difference.is_finite() || !sd.is_finite() {
        return 1.0;
    }
    // Texts that agree to the last bit are copies and carry no information on the spread.
    if difference == 0.0 || sd <= 0.0 {
        return 1.0;
    }
    let m = draws as f64;
    let t = difference.abs() / (sd * (1.0 + 1.0 / m).sqrt());
    let (normal, df) = (Normal::standard(), m - 1.0);
    // s/σ = √(χ²/df): integrates over u = ln(s/σ) and over the arm's mean z/√m. Both integrands are smooth and decay
    // at both ends, so that equal steps are accurate to many digits.
    let log_constant = 2f64.ln() + (df / 2.0) * (df / 2.0).ln() - ln_gamma(df / 2.0);
    let (mut mass, mut p) = (0.0, 0.0);
    for i in 0..SCALES {
        let u = LEAST_LOG + (MOST_LOG - LEAST_LOG) * i as f64 / (SCALES - 1) as f64;
        let weight = (log_constant + df * u - df / 2.0 * (2.0 * u).exp()).exp();
        let reach = t * u.exp() * (1.0 + 1.0 / m).sqrt();
        for j in 0..MEANS {
            let z = 8.0 * (2.0 * j as f64 / (MEANS - 1) as f64 - 1.0);
            let at = z / m.sqrt();
            let weight = weight * (-z * z / 2.0).exp();
            let outside = normal.sf(reach - at) + normal.sf(reach + at);
            // 1 − (1 − q)^K, exact for small q.
            p += weight * -(compared as f64 * (-outside.min(1.0)).ln_1p()).exp_m1();
            mass += weight;
        }
    }
    (p / mass).clamp(0.0, 1.0)
}

/// Range and number of steps of ln(s/σ), and number of steps of the arm's mean.
const LEAST_LOG: f64 = -9.0;
const MOST_LOG: f64 = 1.8;
const SCALES: usize = 217;
const MEANS: usize = 65;

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    #[test]
    fn one_constitution_is_tested_by_students_t() {
        for (m, t) in [(4, 3.182_446), (4, 9.0), (8, 2.364_624), (16, 4.0)] {
            let student = StudentsT::new(0.0, 1.0, (m - 1) as f64).expect("t");
            let reach = (1.0 + 1.0 / m as f64).sqrt();
            let p = text_p(-t * 0.3 * reach, 0.3, m, 1);
            let exact = 2.0 * student.sf(t);
            assert!((p / exact - 1.0).abs() < 1e-3, "m {m}, t {t}: {p} {exact}");
        }
    }

    #[test]
    fn the_largest_of_several_has_the_share_that_drawing_gives() {
        let (m, k, draws) = (5, 6, 40_000);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let mut reached = 0;
        for _ in 0..draws {
            let arm: Vec<f64> = (0..m).map(|_| normal()).collect();
            let (mean, sd) = moments(&arm);
            let scale = sd.expect("sd") * (1.0 + 1.0 / m as f64).sqrt();
            let largest = (0..k).map(|_| (normal() - mean).abs() / scale).fold(0.0, f64::max);
            reached += usize::from(largest >= 3.0);
        }
        let share = f64::from(reached as u32) / f64::from(draws);
        let p = text_p(3.0 * 1.2f64.sqrt(), 1.0, m, k);
        assert!((share - p).abs() < 0.008, "{share} {p}");
    }

    #[test]
    fn fewer_than_four_texts_support_nothing() {
        assert_eq!(text_p(1e9, 1.0, 3, 1), 1.0);
        assert_eq!(band(&[0.0, 1.0, 2.0]), None);
        // Mean 0, sd √(2/3), t₀.₉₇₅ = 3.182 446 with 3 degrees of freedom.
        let (lo, hi) = band(&[-1.0, 0.0, 0.0, 1.0]).expect("a band");
        let reach = 3.182_446 * (2.0f64 / 3.0).sqrt() * 1.25f64.sqrt();
        assert!((hi - reach).abs() < 1e-4 && (lo + reach).abs() < 1e-4, "{lo} {hi} {reach}");
    }
}
