//! Directions for export and steering: ridge with the penalty that best predicts left-out blocks.
//!
//! v = (XᵀX + N λ I)⁻¹ Xᵀ y, in the raw coordinates of the residual stream: a score is h · v. Cosines are never
//! computed from these directions, whose noise does not cancel; θ̂ serves that purpose.

use std::ops::Range;

use faer::Mat;

use super::spectrum::Spectrum;
use super::twicing::ridge;

/// A fitted direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Direction {
    /// Coefficients `[d]`.
    pub v: Vec<f64>,
    /// The selected penalty.
    pub lambda: f64,
}

/// Fits a direction to each label. λ is selected from a grid of degrees of freedom, from 0.95 of the rank down by
/// halves to 1, by the smallest leave-block-out squared error.
pub fn directions(
    x: &Mat<f64>,
    spectrum: &Spectrum,
    blocks: &[Range<usize>],
    labels: &[&[f64]],
) -> Vec<Direction> {
    let mut best = vec![(f64::INFINITY, 0.0); labels.len()];
    let z = spectrum.coordinates(labels);
    let mut df = 0.95 * spectrum.rank() as f64;
    loop {
        let lambda = spectrum.penalty(df);
        for ((y, yhat), best) in labels.iter().zip(ridge(spectrum, blocks, lambda, labels, &z)).zip(&mut best)
        {
            let error: f64 = y.iter().zip(&yhat).map(|(y, p)| (y - p) * (y - p)).sum();
            if error < best.0 {
                *best = (error, lambda);
            }
        }
        if df <= 1.0 {
            break;
        }
        df = (df * std::f64::consts::FRAC_1_SQRT_2).max(0.5);
    }
    // v = Xᵀ U diag(1 / (N(μ + λ))) Uᵀ y, which holds whether N > d or not.
    let weights = spectrum.combine(&Mat::from_fn(z.nrows(), z.ncols(), |j, l| {
        z[(j, l)] / (spectrum.n as f64 * (spectrum.mu[j] + best[l].1))
    }));
    let v = x.transpose() * weights;
    let column = |l: usize| (0..x.ncols()).map(|j| v[(j, l)]).collect();
    best.iter().enumerate().map(|(l, &(_, lambda))| Direction { v: column(l), lambda }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_direction_is_the_ridge_solution_whichever_side_is_long() {
        for (n, d) in [(30, 6), (7, 12)] {
            let x = Mat::from_fn(n, d, |i, j| ((i * d + j) as f64 * 0.71).sin() + f64::from(i == j));
            let y: Vec<f64> = (0..n).map(|i| (i as f64 * 1.3).cos()).collect();
            let spectrum = Spectrum::new(&x).expect("variance");
            let blocks: Vec<_> = (0..n).map(|i| i..i + 1).collect();
            let direction = directions(&x, &spectrum, &blocks, &[&y]).remove(0);
            // The normal equations hold: Xᵀ(y − X v) = N λ v.
            for j in 0..d {
                let gradient: f64 = (0..n)
                    .map(|i| x[(i, j)] * (y[i] - (0..d).map(|k| x[(i, k)] * direction.v[k]).sum::<f64>()))
                    .sum();
                assert!((gradient - n as f64 * direction.lambda * direction.v[j]).abs() < 1e-9, "{n}x{d}");
            }
        }
    }
}
