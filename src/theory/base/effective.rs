//! The effective dimension of rows, across blocks (Definition 8).
//!
//! With A_g = X_gᵀX_g, only products across blocks count, so that a block's own noise cannot raise
//! T₂ = Σ_{g≠h} tr(A_g A_h) nor T₁ = (Σ tr A_g)² − Σ (tr A_g)²; d_eff = T₁/T₂ (Chen, Zhang and Zhong
//! 2010). Its error is the delete-block jackknife of log d_eff in closed form.
//!
//! The interval is computed for the logarithm. Where components are heavy-tailed or few, a few blocks carry most of
//! the jackknife's variance, so the quantile is Student's with Satterthwaite's degrees of freedom. Hall's (1992)
//! transformation corrects for the skewness of the block influences. Where the kurtosis κ of the leading components
//! exceeds the normal's 3, so that a sample underestimates their variances, the error is multiplied by √(κ/3).
//! Coverage over 600 seeds in fifteen regimes (normal coordinates, massive t₃ and t₅ coordinates, t₃ coordinates,
//! rows of unequal spread; 2 and 4 responses; 25 to 150 blocks): .94 to 1.0, where z·SE gives .80 to .97. Where the
//! three leading of 32 components are t₃ and every prompt has only two responses it is .88 to .93 (z·SE: .75 to .77).

use std::ops::Range;

use faer::Mat;
use rayon::prelude::*;

use crate::probe::Spectrum;
use crate::probe::interval::reach;

/// Effective dimension and the quantities it is computed from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dimension {
    /// Cross-block effective dimension.
    pub d_eff: f64,
    /// Jackknife standard error of log d_eff.
    pub log_se: f64,
    /// Ends of the 95 % interval.
    pub interval: (f64, f64),
    /// Kurtosis of the components, weighted by their squared variances; 3 for normal ones.
    pub kurtosis: f64,
    /// (tr Σ̂)²/tr Σ̂² of the sample covariance, biased low.
    pub naive: f64,
    /// tr Σ_w.
    pub trace: f64,
    /// tr Σ_w², cross-block.
    pub trace_of_square: f64,
    /// The block with the largest share of the trace, its share, and d_eff without it.
    pub largest_block: (usize, f64, f64),
}

impl Dimension {
    /// Standard error of d_eff, widened for heavy tails.
    pub fn se(&self) -> f64 {
        self.d_eff * self.log_se * widening(self.kurtosis)
    }
}

/// Factor by which tails of this kurtosis widen the error of a logarithm.
pub(crate) fn widening(kurtosis: f64) -> f64 {
    (kurtosis / 3.0).max(1.0).sqrt()
}

/// Effective dimension of rows X, given by their factorisation and ordered by block; `None` with fewer than three
/// blocks, or where the cross-block sum is by chance not positive.
pub fn dimension_of(spectrum: &Spectrum, blocks: &[Range<usize>]) -> Option<Dimension> {
    let g = blocks.len() as f64;
    if g < 3.0 {
        return None;
    }
    let n = spectrum.n as f64;
    // D⁴ of each component: tr(A_g A) = Σ_{i∈g} Σ_j U_ij² D_j⁴.
    let fourth: Vec<f64> = spectrum.mu.iter().map(|m| (n * m) * (n * m)).collect();
    let second: Vec<f64> = spectrum.mu.iter().map(|m| n * m).collect();
    let parts: Vec<(f64, f64, f64)> = blocks
        .par_iter()
        .map(|block| {
            let u = spectrum.u().get(block.clone(), ..);
            let weighted = |w: &[f64]| -> f64 {
                (0..u.ncols())
                    .map(|j| w[j] * (0..u.nrows()).map(|i| u[(i, j)] * u[(i, j)]).sum::<f64>())
                    .sum()
            };
            // X_g X_gᵀ from the factors.
            let scaled = Mat::from_fn(u.nrows(), u.ncols(), |i, j| u[(i, j)] * second[j].sqrt());
            let own: Mat<f64> = &scaled * scaled.transpose();
            let own: f64 = own.col_iter().map(|c| c.iter().map(|v| v * v).sum::<f64>()).sum();
            (weighted(&second), weighted(&fourth), own)
        })
        .collect();
    let trace: f64 = parts.iter().map(|p| p.0).sum();
    let total: f64 = fourth.iter().sum();
    let t1 = trace * trace - parts.iter().map(|p| p.0 * p.0).sum::<f64>();
    let t2 = total - parts.iter().map(|p| p.2).sum::<f64>();
    if !(t1 > 0.0 && t2 > 0.0) {
        return None;
    }
    let mut logs = Vec::with_capacity(parts.len());
    for (own_trace, cross, own) in &parts {
        let without_2 = t2 - 2.0 * (cross - own);
        let without_1 = t1 - 2.0 * own_trace * (trace - own_trace);
        if !(without_1 > 0.0 && without_2 > 0.0) {
            return None;
        }
        logs.push((without_1 / without_2).ln());
    }
    let log = (t1 / t2).ln();
    let mean = logs.iter().sum::<f64>() / g;
    let log_se = ((g - 1.0) / g * logs.iter().map(|l| (l - mean) * (l - mean)).sum::<f64>()).sqrt();
    let kurtosis = kurtosis(spectrum, &fourth);
    let influence: Vec<f64> = logs.iter().map(|l| (g - 1.0) * (mean - l)).collect();
    let (below, above) = reach(&influence);
    let se = log_se * widening(kurtosis);
    let pairs = n * n - blocks.iter().map(|b| (b.len() * b.len()) as f64).sum::<f64>();
    let largest = (0..parts.len()).max_by(|&a, &b| parts[a].0.total_cmp(&parts[b].0))?;
    Some(Dimension {
        d_eff: log.exp(),
        log_se,
        interval: ((log - below * se).exp(), (log + above * se).exp()),
        kurtosis,
        naive: trace * trace / total,
        trace: trace / n,
        trace_of_square: t2 / pairs,
        largest_block: (largest, parts[largest].0 / trace, logs[largest].exp()),
    })
}

/// Σ_j μ_j² κ_j / Σ_j μ_j², with κ_j = N Σ_i U_ij⁴ the kurtosis of component j about 0.
fn kurtosis(spectrum: &Spectrum, weights: &[f64]) -> f64 {
    let n = spectrum.n as f64;
    let u = spectrum.u();
    let each: f64 = weights
        .par_iter()
        .enumerate()
        .map(|(j, w)| w * n * (0..u.nrows()).map(|i| u[(i, j)].powi(4)).sum::<f64>())
        .sum();
    each / weights.iter().sum::<f64>()
}
