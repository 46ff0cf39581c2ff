//! Definition 8 and Conjecture 9: effective dimension, and how few components hold the value.
//!
//! With A_g = X_gᵀX_g, only products across blocks count, so that a block's own noise cannot raise
//! T₂ = Σ_{g≠h} tr(A_g A_h) nor T₁ = (Σ tr A_g)² − Σ (tr A_g)²; d_eff = T₁/T₂ (Chen, Zhang and Zhong
//! 2010). Its error is the delete-block jackknife of log d_eff in closed form.

use std::ops::Range;

use faer::Mat;
use rayon::prelude::*;

use super::bench::{Bench, Label};
use super::encoding::rho2;
use super::estimate::{Estimate, Quantity};
use crate::probe::Spectrum;
use crate::probe::influence::{Z95, normal_interval};
use crate::probe::twicing::components;

/// What `d_eff` is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dimension {
    /// Cross-block effective dimension.
    pub d_eff: f64,
    /// Standard error of its logarithm.
    pub log_se: f64,
    /// (tr Σ̂)²/tr Σ̂² of the sample covariance, biased low.
    pub naive: f64,
    /// tr Σ_w.
    pub trace: f64,
    /// tr Σ_w², cross-block.
    pub trace_of_square: f64,
}

/// Effective dimension of a bench's contrasts; `None` with fewer than three blocks, or where chance makes
/// the cross-block sum not positive.
pub fn dimension(bench: &Bench) -> Option<Dimension> {
    *bench.dimension.get_or_init(|| dimension_of(&bench.spectrum, bench.contrasts.blocks()))
}

/// The same of any rows X, given by their factorisation, ordered by block.
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
    let mean = logs.iter().sum::<f64>() / g;
    let log_se = ((g - 1.0) / g * logs.iter().map(|l| (l - mean) * (l - mean)).sum::<f64>()).sqrt();
    let pairs = n * n - blocks.iter().map(|b| (b.len() * b.len()) as f64).sum::<f64>();
    Some(Dimension {
        d_eff: t1 / t2,
        log_se,
        naive: trace * trace / total,
        trace: trace / n,
        trace_of_square: t2 / pairs,
    })
}

/// `d_eff` and `d_eff_naive`.
pub fn estimates(bench: &Bench) -> Vec<Estimate> {
    let method = "cross-block, jackknife of the logarithm";
    let Some(d) = dimension(bench) else {
        return vec![Estimate::new(Quantity::DEff, method).warn("too few blocks")];
    };
    let (low, high) = normal_interval(d.d_eff.ln(), d.log_se);
    let mut d_eff =
        Estimate::figure(Quantity::DEff, method, d.d_eff, d.d_eff * d.log_se, (low.exp(), high.exp()));
    // Zero is no hypothesis about a dimension.
    d_eff.z = None;
    if d.log_se > 0.5 {
        d_eff = d_eff.warn("a few blocks carry most of the variance: the interval may be too short");
    }
    let naive = Estimate::bare(Quantity::DEffNaive, "sample covariance", d.naive).warn("biased low");
    vec![d_eff, naive]
}

/// The numbers of components at which concentration is shown: doubling, d_eff, and the cross-check's.
pub fn ks(bench: &Bench, d_eff: Option<f64>) -> Vec<usize> {
    let most = super::improvement::cross_check_components(bench);
    let mut ks: Vec<usize> =
        std::iter::successors(Some(1usize), |k| Some(2 * k)).take_while(|k| *k < most).collect();
    ks.push(most);
    ks.extend(d_eff.map(|d| (d.round() as usize).clamp(1, most)));
    ks.sort_unstable();
    ks.dedup();
    ks
}

/// `value_concentration`: ρ² by the leading k principal components alone, in the variance metric of
/// Appendix D, at each k.
pub fn concentration(bench: &Bench, s: &Label, ks: &[usize]) -> Vec<Estimate> {
    let method = "leave-block-out least squares on the leading k principal components";
    ks.iter()
        .map(|&k| {
            let yhat = components(&bench.spectrum, bench.contrasts.blocks(), k, &[&s.y]).remove(0);
            let label = Label { y: s.y.clone(), yhat };
            let mut estimate = match rho2(bench, &label) {
                None => {
                    Estimate::new(Quantity::ValueConcentration, method).warn("S does not vary within prompts")
                }
                Some(rho2) => {
                    let se = rho2.se(bench.contrasts.blocks());
                    let interval = (rho2.value - Z95 * se, rho2.value + Z95 * se);
                    Estimate::figure(Quantity::ValueConcentration, method, rho2.value, se, interval)
                }
            };
            estimate.k = Some(k);
            estimate
        })
        .collect()
}
