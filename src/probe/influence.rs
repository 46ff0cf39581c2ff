//! θ̂ of two labels and its influence on blocks: every interval, without a refit.
//!
//! θ̂_ab = (1/2N) Σ (y_a ŷ_b + y_b ŷ_a), where ŷ never saw the block. A block's influence on it is
//! ψ_g = Σ_{rows of g} (y_a ŷ_b + y_b ŷ_a − ŷ_a ŷ_b). Influences of functions of several θ̂ combine by the
//! gradient; centred by n_g · Σψ/N they give SE² = G/(G−1) · Σ ψ² / N² (Efron and Stein 1981).

use std::ops::Range;

use statrs::distribution::{ContinuousCDF, Normal};

/// 97.5 % point of the standard normal distribution.
pub const Z95: f64 = 1.959_963_984_540_054;

/// A label with its leave-block-out predictions.
#[derive(Debug, Clone, Copy)]
pub struct Probed<'a> {
    /// Contrasts of the label, `[N]`.
    pub y: &'a [f64],
    /// Predictions, `[N]`.
    pub yhat: &'a [f64],
}

/// An estimate with its influence on each block, `[G]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Influence {
    /// The estimate.
    pub value: f64,
    /// Uncentred ψ_g; what is divided by N is their sum.
    pub psi: Vec<f64>,
}

/// θ̂ of two labels.
pub fn theta(a: Probed<'_>, b: Probed<'_>, blocks: &[Range<usize>]) -> Influence {
    let n = a.y.len() as f64;
    let cross = |i: usize| a.y[i] * b.yhat[i] + b.y[i] * a.yhat[i];
    let value = (0..a.y.len()).map(cross).sum::<f64>() / (2.0 * n);
    let psi = blocks.iter().map(|g| g.clone().map(|i| cross(i) - a.yhat[i] * b.yhat[i]).sum()).collect();
    Influence { value, psi }
}

/// The mean over contrasts of a·b: no regression.
pub fn mean_product(a: &[f64], b: &[f64], blocks: &[Range<usize>]) -> Influence {
    let psi: Vec<f64> = blocks.iter().map(|g| g.clone().map(|i| a[i] * b[i]).sum()).collect();
    Influence { value: psi.iter().sum::<f64>() / a.len() as f64, psi }
}

impl Influence {
    /// Σ w_k ψ_k with a value of its own: the influence of a function whose gradient is w.
    pub fn combine(value: f64, parts: &[(f64, &Self)]) -> Self {
        let mut psi = vec![0.0; parts.first().map_or(0, |(_, p)| p.psi.len())];
        for (weight, part) in parts {
            psi.iter_mut().zip(&part.psi).for_each(|(to, from)| *to += weight * from);
        }
        Self { value, psi }
    }

    /// ψ centred by each block's share of the contrasts, divided by N: what a block moved the estimate.
    pub fn centred(&self, blocks: &[Range<usize>]) -> Vec<f64> {
        let n: f64 = blocks.iter().map(|g| g.len() as f64).sum();
        let total: f64 = self.psi.iter().sum();
        self.psi.iter().zip(blocks).map(|(p, g)| (p - g.len() as f64 * total / n) / n).collect()
    }

    /// Standard error; infinite with fewer than two blocks.
    pub fn se(&self, blocks: &[Range<usize>]) -> f64 {
        let g = blocks.len() as f64;
        if g < 2.0 {
            return f64::INFINITY;
        }
        (g / (g - 1.0) * self.centred(blocks).iter().map(|p| p * p).sum::<f64>()).sqrt()
    }
}

/// cos = θ_ab/√(θ_aa θ_bb), truncated to ±1, with its influence; `None` where θ_aa or θ_bb is not
/// positive, since there is then no direction to have an angle with.
pub fn cosine(ab: &Influence, aa: &Influence, bb: &Influence) -> Option<Influence> {
    if aa.value <= 0.0 || bb.value <= 0.0 {
        return None;
    }
    let scale = 1.0 / (aa.value * bb.value).sqrt();
    let raw = ab.value * scale;
    let parts = [(scale, ab), (-0.5 * raw / aa.value, aa), (-0.5 * raw / bb.value, bb)];
    Some(Influence::combine(raw.clamp(-1.0, 1.0), &parts))
}

/// The 95 % interval of a cosine on Fisher's z scale: tanh(atanh c ± 1.96 · SE/(1 − c²)).
///
/// Within one standard error of ±1 the first-order error on that scale, SE/(1 − c²), has no meaning (at ±1 it is
/// infinite) and would give [−1, 1] for a cosine of 0.9998 ± 0.005: the interval is then c ± 1.96 SE cut at ±1.
pub fn fisher_interval(cos: f64, se: f64) -> (f64, f64) {
    fisher_interval_at(Z95, cos, se)
}

/// The same for `of` cosines at once: each at the level .95^(1/of) (Šidák 1967), so that the largest of them is covered
/// too.
pub fn fisher_interval_for_all(cos: f64, se: f64, of: usize) -> (f64, f64) {
    let level = 0.95f64.powf(1.0 / of.max(1) as f64);
    fisher_interval_at(Normal::standard().inverse_cdf(0.5 + level / 2.0), cos, se)
}

/// The interval of ± `wide` standard errors.
fn fisher_interval_at(wide: f64, cos: f64, se: f64) -> (f64, f64) {
    let room = 1.0 - cos * cos;
    if se >= 1.0 - cos.abs() {
        return ((cos - wide * se).max(-1.0), (cos + wide * se).min(1.0));
    }
    let (z, half) = (cos.atanh(), wide * se / room);
    ((z - half).tanh(), (z + half).tanh())
}

/// estimate ± 1.96 SE.
pub fn normal_interval(value: f64, se: f64) -> (f64, f64) {
    (value - Z95 * se, value + Z95 * se)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_cosine_is_fishers_until_the_estimate_is_within_its_error_of_the_end() {
        let (lo, hi) = fisher_interval(0.6, 0.1);
        let (z, half) = (0.6f64.atanh(), Z95 * 0.1 / 0.64);
        assert_eq!((lo, hi), ((z - half).tanh(), (z + half).tanh()));
        let (lo, hi) = fisher_interval(-0.9998, 0.005);
        assert!((lo + 1.0).abs() < 1e-12 && (hi + 0.9998 - Z95 * 0.005).abs() < 1e-12, "{lo} {hi}");
        assert_eq!(fisher_interval(1.0, 0.01), (1.0 - Z95 * 0.01, 1.0));
    }

    #[test]
    fn the_best_of_many_has_a_wider_interval_than_the_only_one() {
        let (one, many) = (fisher_interval_for_all(0.5, 0.05, 1), fisher_interval_for_all(0.5, 0.05, 20));
        assert!(many.0 < one.0 && many.1 > one.1);
        assert!((one.0 - (0.5f64.atanh() - 1.959_963_98 * 0.05 / 0.75).tanh()).abs() < 1e-6);
    }
}
