//! From binary and pairwise labels to the scale of the Gaussian score behind them.
//!
//! Pairwise: a sign keeps 2/π of the variance that a linear probe can explain, so the factor is π/2.
//! Binary: with prevalence p = Φ(t) and within-prompt pair product p₂ = Φ₂(t, t; r), the factor is
//! (p − p₂) / (φ(t)² (1 − r)) (after Dempster and Lerner 1950).

use std::f64::consts::PI;

use statrs::distribution::{Continuous, ContinuousCDF, Normal};

use crate::probe::Contrasts;

/// π/2.
pub const PAIRWISE: f64 = PI / 2.0;

/// Whether a label takes exactly the values 0 and 1 (NaN aside).
pub fn is_binary(labels: &[f64]) -> bool {
    let mut seen = [false; 2];
    for &l in labels.iter().filter(|l| !l.is_nan()) {
        match l {
            0.0 => seen[0] = true,
            1.0 => seen[1] = true,
            _ => return false,
        }
    }
    seen == [true, true]
}

/// The factor of a binary label; `None` where it is not defined (no variation within prompts, or a
/// correlation that no Gaussian gives).
pub fn binary_factor(contrasts: &Contrasts, labels: &[f64]) -> Option<f64> {
    let (mut sum, mut rows, mut products, mut pairs) = (0.0, 0.0, 0.0, 0.0);
    for members in contrasts.prompts() {
        let ones: f64 = members.iter().map(|&r| labels[r]).sum();
        let k = members.len() as f64;
        sum += ones;
        rows += k;
        // Ordered pairs of different responses, both 1.
        products += ones * (ones - 1.0);
        pairs += k * (k - 1.0);
    }
    let (p, both) = (sum / rows, products / pairs);
    if !(p > 0.0 && p < 1.0) || p - both <= 0.0 {
        return None;
    }
    let normal = Normal::standard();
    let t = normal.inverse_cdf(p);
    let r = correlation(t, both)?;
    Some((p - both) / (normal.pdf(t).powi(2) * (1.0 - r)))
}

/// r with Φ₂(t, t; r) = `both`.
fn correlation(t: f64, both: f64) -> Option<f64> {
    let (mut low, mut high) = (-0.999_999, 0.999_999);
    if !(bivariate(t, low) <= both && both <= bivariate(t, high)) {
        return None;
    }
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if bivariate(t, middle) < both { low = middle } else { high = middle }
    }
    Some(0.5 * (low + high))
}

/// Φ₂(t, t; r) = Φ(t)² + ∫₀^r exp(−t²/(1 + s)) / (2π √(1 − s²)) ds; with s = sin u the root drops out.
pub fn bivariate(t: f64, r: f64) -> f64 {
    let end = r.asin();
    let f = |u: f64| (-t * t / (1.0 + u.sin())).exp();
    // Composite Gauss–Legendre, 5 points in each of 32 pieces.
    const NODES: [(f64, f64); 5] = [
        (0.0, 0.568_888_888_888_888_9),
        (0.538_469_310_105_683_1, 0.478_628_670_499_366_47),
        (-0.538_469_310_105_683_1, 0.478_628_670_499_366_47),
        (0.906_179_845_938_664, 0.236_926_885_056_189_08),
        (-0.906_179_845_938_664, 0.236_926_885_056_189_08),
    ];
    let pieces = 32;
    let half = end / (2.0 * f64::from(pieces));
    let integral: f64 = (0..pieces)
        .map(|i| {
            let centre = half * f64::from(2 * i + 1);
            half * NODES.iter().map(|(x, w)| w * f(centre + half * x)).sum::<f64>()
        })
        .sum();
    let phi = Normal::standard().cdf(t);
    phi * phi + integral / (2.0 * PI)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bivariate_normal_agrees_with_scipy() {
        // scipy.stats.multivariate_normal([0, 0], [[1, r], [r, 1]]).cdf([t, t])
        for (t, r, want) in [
            (0.0, 0.5, 1.0 / 3.0),
            (0.0, -0.5, 1.0 / 6.0),
            (-0.524_400_512_708_040_9, 0.3, 0.128_142_813_203_537_7),
            (1.1, -0.7, 0.728_887_878_363_870_8),
        ] {
            assert!((bivariate(t, r) - want).abs() < 2e-6, "{t} {r}: {}", bivariate(t, r));
        }
        assert!((bivariate(0.7, 0.0) - Normal::standard().cdf(0.7).powi(2)).abs() < 1e-14);
    }

    #[test]
    fn only_zeros_and_ones_are_binary() {
        assert!(is_binary(&[0.0, 1.0, f64::NAN, 1.0]));
        assert!(!is_binary(&[0.0, 0.5, 1.0]) && !is_binary(&[1.0, 1.0]) && !is_binary(&[-1.0, 1.0]));
    }
}
