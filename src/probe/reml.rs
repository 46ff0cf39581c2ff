//! Variance explained under one variance component: the model-based estimate of ρ².
//!
//! y ~ N(0, τ² X Xᵀ + σ² I), that is v ~ N(0, τ² I); ρ² = τ² t / (τ² t + σ²) with t = Σ μ_j, the trace of XᵀX/N.
//! Maximum likelihood without fixed effects, which contrasts do not have (as GCTA's GREML: Yang et al. 2010).

use super::spectrum::Spectrum;
use crate::linalg::dot;

/// The maximum-likelihood ρ²; `None` for a label that does not vary.
///
/// With s = τ²/σ² the variance profiles out, leaving a one-dimensional search on the scale of logit ρ²: a grid, then
/// golden section around its best point.
pub fn rho2(spectrum: &Spectrum, y: &[f64]) -> Option<f64> {
    let total = dot(y, y);
    if total <= 0.0 {
        return None;
    }
    let n = spectrum.n as f64;
    let z = spectrum.coordinates(&[y]);
    let z: Vec<f64> = (0..spectrum.rank()).map(|j| z[(j, 0)]).collect();
    let outside = (total - dot(&z, &z)).max(0.0);
    let trace: f64 = spectrum.mu.iter().sum();
    let negative_log_likelihood = |logit: f64| -> f64 {
        // s · t = ρ²/(1 − ρ²) = e^logit.
        let s = logit.exp() / trace;
        let (mut quadratic, mut log_det) = (outside, 0.0);
        for (z, mu) in z.iter().zip(&spectrum.mu) {
            let variance = 1.0 + s * n * mu;
            quadratic += z * z / variance;
            log_det += variance.ln();
        }
        0.5 * (n * (quadratic / n).ln() + log_det)
    };
    const STEP: f64 = 0.25;
    let grid = (-80..=80).map(|i| f64::from(i) * STEP);
    let best = grid.min_by(|a, b| negative_log_likelihood(*a).total_cmp(&negative_log_likelihood(*b)))?;
    let (mut low, mut high) = (best - STEP, best + STEP);
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    for _ in 0..80 {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if negative_log_likelihood(left) < negative_log_likelihood(right) { high = right } else { low = left }
    }
    let logit = 0.5 * (low + high);
    Some(1.0 / (1.0 + (-logit).exp()))
}
