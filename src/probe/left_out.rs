//! The directions behind leave-block-out twicing, for scoring other activations of the same responses.
//!
//! Twicing's fit without block g is a direction v⁽⁻ᵍ⁾ = β + NλA⁻¹β, where A and β are the ridge system and its solution
//! without the block's rows. In the coordinates of the right singular vectors V of X, both follow from the full fit by
//! the Woodbury identity, with w_j = 1/(N(μ_j + λ)), G = X_g V, H = G diag(w) Gᵀ:
//!
//!   e = (I − H)⁻¹(y_g − f_g),   b = β − w∘(Gᵀe),   v⁽⁻ᵍ⁾ = b + Nλ(w∘b + w∘Gᵀ(I − H)⁻¹G(w∘b))
//!
//! A score ⟨h_c, v⁽⁻ᵍ⁾⟩ of a row of block g is therefore independent of the block, whatever h_c is: for example h under
//! a constitution, while v was fitted on h without one.

use std::ops::Range;

use faer::Mat;
use rayon::prelude::*;

use super::spectrum::Spectrum;
use crate::linalg::solve;

/// Directions fitted without each block, in the coordinates of the right singular vectors.
#[derive(Debug, Clone)]
pub struct LeftOut {
    /// v⁽⁻ᵍ⁾, `[r, G]`.
    pub by_block: Mat<f64>,
    /// Each block's effect on the direction: v⁽⁻ᵍ⁾ minus their mean, negated, `[r, G]`.
    pub moved: Mat<f64>,
}

/// Right singular vectors V of X, `[d, r]`.
pub fn right(spectrum: &Spectrum, x: &Mat<f64>) -> Mat<f64> {
    let scale: Vec<f64> = spectrum.mu.iter().map(|m| 1.0 / (spectrum.n as f64 * m).sqrt()).collect();
    let mut v = x.transpose() * spectrum.u();
    for (j, s) in scale.iter().enumerate() {
        v.col_mut(j).iter_mut().for_each(|value| *value *= s);
    }
    v
}

impl LeftOut {
    /// The directions of a label `[N]` under penalty `lambda`.
    pub fn new(spectrum: &Spectrum, blocks: &[Range<usize>], lambda: f64, y: &[f64]) -> Self {
        let (n, r) = (spectrum.n as f64, spectrum.rank());
        let w: Vec<f64> = spectrum.mu.iter().map(|m| 1.0 / (n * (m + lambda))).collect();
        let d: Vec<f64> = spectrum.mu.iter().map(|m| (n * m).sqrt()).collect();
        let z = spectrum.coordinates(&[y]);
        let beta: Vec<f64> = (0..r).map(|j| w[j] * d[j] * z[(j, 0)]).collect();
        let u = spectrum.u();
        let columns: Vec<Vec<f64>> = blocks
            .par_iter()
            .map(|block| {
                let m = block.len();
                let own = Mat::from_fn(m, r, |i, j| u[(block.start + i, j)] * d[j]);
                let weighted = Mat::from_fn(m, r, |i, j| own[(i, j)] * w[j]);
                let hat: Mat<f64> = &weighted * own.transpose();
                let left = Mat::from_fn(m, m, |i, k| f64::from(i == k) - hat[(i, k)]);
                let dot = |row: &Mat<f64>, i: usize, x: &[f64]| -> f64 {
                    x.iter().enumerate().map(|(j, x)| row[(i, j)] * x).sum()
                };
                let gap: Vec<f64> = (0..m).map(|i| y[block.start + i] - dot(&own, i, &beta)).collect();
                let e = solve(left.as_ref(), &gap);
                let back = |e: &[f64]| -> Vec<f64> {
                    (0..r).map(|j| e.iter().enumerate().map(|(i, e)| weighted[(i, j)] * e).sum()).collect()
                };
                let b: Vec<f64> = beta.iter().zip(back(&e)).map(|(b, s)| b - s).collect();
                let seen: Vec<f64> = (0..m).map(|i| dot(&weighted, i, &b)).collect();
                let lift = back(&solve(left.as_ref(), &seen));
                (0..r).map(|j| b[j] + n * lambda * (w[j] * b[j] + lift[j])).collect()
            })
            .collect();
        let g = columns.len();
        let mean: Vec<f64> =
            (0..r).map(|j| columns.iter().map(|c| c[j]).sum::<f64>() / g.max(1) as f64).collect();
        Self {
            by_block: Mat::from_fn(r, g, |j, b| columns[b][j]),
            moved: Mat::from_fn(r, g, |j, b| mean[j] - columns[b][j]),
        }
    }

    /// Scores of contrasts whose coordinates X V are `c [N, r]`, each by the direction fitted without its block.
    pub fn scores(&self, c: &Mat<f64>, blocks: &[Range<usize>]) -> Vec<f64> {
        let mut out = vec![0.0; c.nrows()];
        for (b, block) in blocks.iter().enumerate() {
            for i in block.clone() {
                out[i] = (0..c.ncols()).map(|j| c[(i, j)] * self.by_block[(j, b)]).sum();
            }
        }
        out
    }

    /// Mean variance of these contrasts' scores due to the error of the direction: the jackknife's (G − 1)/G Σ_g mean
    /// (c · moved_g)².
    pub fn noise(&self, c: &Mat<f64>) -> f64 {
        let g = self.moved.ncols() as f64;
        let product: Mat<f64> = c * &self.moved;
        let mut sum = 0.0;
        for b in 0..product.ncols() {
            sum += product.col(b).iter().map(|v| v * v).sum::<f64>();
        }
        (g - 1.0) / g * sum / c.nrows() as f64
    }

    /// As [`LeftOut::noise`], for each coordinate of the direction alone, `[r]`.
    pub fn coordinate_noise(&self) -> Vec<f64> {
        let g = self.moved.ncols() as f64;
        (0..self.moved.nrows())
            .map(|j| (g - 1.0) / g * (0..self.moved.ncols()).map(|b| self.moved[(j, b)].powi(2)).sum::<f64>())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::twicing::twicing;

    fn noise(n: usize, salt: f64) -> Vec<f64> {
        (0..n).map(|i| ((i as f64 + salt) * 12.9898).sin() * 43758.5453 % 1.0).collect()
    }

    #[test]
    fn scores_of_the_fitted_rows_themselves_are_twicings_predictions() {
        for (n, d) in [(40, 9), (17, 30)] {
            let cells = noise(n * d, 0.3);
            let x = Mat::from_fn(n, d, |i, j| cells[i * d + j] * (1.0 + 5.0 * f64::from(j == 0)));
            let y: Vec<f64> =
                noise(n, 7.7).iter().enumerate().map(|(i, e)| x[(i, 0)] - x[(i, 3)] + e).collect();
            let spectrum = Spectrum::new(&x).expect("variance");
            let lambda = spectrum.penalty(spectrum.default_df());
            let blocks = [0..1, 1..4, 4..9, 9..11, 11..n];
            let told = twicing(&spectrum, &blocks, lambda, &[&y]).remove(0);
            let left = LeftOut::new(&spectrum, &blocks, lambda, &y);
            let c: Mat<f64> = &x * right(&spectrum, &x);
            let found = left.scores(&c, &blocks);
            assert!(
                told.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-8),
                "{n}x{d}: {told:?} {found:?}"
            );
            // Twice the activations give twice the scores: the direction is the same.
            let doubled = Mat::from_fn(n, c.ncols(), |i, j| 2.0 * c[(i, j)]);
            let twice = left.scores(&doubled, &blocks);
            assert!(found.iter().zip(&twice).all(|(a, b)| (2.0 * a - b).abs() < 1e-12));
            assert!((left.noise(&doubled) - 4.0 * left.noise(&c)).abs() < 1e-9 * left.noise(&doubled));
        }
    }
}
