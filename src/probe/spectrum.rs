//! An eigen-decomposition of the contrasts, shared by all labels.

use faer::{Mat, MatRef};

use crate::error::{Diagnostic, Kind, Result};
use crate::linalg::{lower_gram, symmetric_eigen, weighted_dot};

/// Minimum number of contrasts in a block for a matrix product to pay off in its hat matrix.
const SMALL: usize = 64;

/// X = U D Vᵀ of the contrasts X `[N, d]`, with μ_j = D_j²/N.
#[derive(Debug, Clone)]
pub struct Spectrum {
    /// Eigenvalues of XᵀX/N, in decreasing order; those below 1e-10 of the largest are dropped.
    pub mu: Vec<f64>,
    /// Left singular vectors, transposed: `[r, N]`, so that the entries of a contrast are contiguous.
    ut: Mat<f64>,
    /// Number of contrasts N.
    pub n: usize,
    /// Width d.
    pub d: usize,
}

impl Spectrum {
    /// Decomposes XᵀX/N (N > d) or XXᵀ/N (N ≤ d).
    ///
    /// # Errors
    /// [`Kind::NotEstimable`] if X has no variance; a numeric error if the iteration does not converge.
    pub fn new(x: &Mat<f64>) -> Result<Self> {
        let (n, d) = (x.nrows(), x.ncols());
        let tall = n > d;
        let long = if tall { x.transpose() } else { x.as_ref() };
        let gram = lower_gram(long, 1.0 / n as f64);
        let eigen = symmetric_eigen(gram.as_ref())?;
        let top = eigen.values.first().copied().unwrap_or(0.0);
        let rank = eigen.values.iter().take_while(|&&m| m > 1e-10 * top && m > 0.0).count();
        if rank == 0 {
            return Err(Diagnostic::new(
                Kind::NotEstimable,
                "the residual stream does not vary within prompts",
            )
            .expected("responses to one prompt with different residual streams")
            .found(format!("{n} contrasts of zero variance"))
            .into());
        }
        let mu: Vec<f64> = eigen.values[..rank].to_vec();
        let vectors = eigen.vectors.get(.., ..rank);
        let ut = if tall {
            let scaled = Mat::from_fn(d, rank, |i, j| vectors[(i, j)] / (n as f64 * mu[j]).sqrt());
            scaled.transpose() * x.transpose()
        } else {
            vectors.transpose().to_owned()
        };
        Ok(Self { mu, ut, n, d })
    }

    /// Left singular vectors U, `[N, r]`.
    pub fn u(&self) -> MatRef<'_, f64> {
        self.ut.transpose()
    }

    /// Rank r.
    pub fn rank(&self) -> usize {
        self.mu.len()
    }

    /// Degrees of freedom of the default penalty: min(N/2, c r), with c = 0.9 up to 24 contrasts per dimension and
    /// rising to 1 beyond: c = 1 − 0.1/(1 + 25 (t² − 1)²) with t = N/(24 r).
    ///
    /// The part of v* that the penalty suppresses is a bias that does not shrink with N if c is constant: with v* in
    /// the last components, ρ² = .8 and N/r = 94, it is −4 standard errors.
    pub fn default_df(&self) -> f64 {
        let (n, rank) = (self.n as f64, self.rank() as f64);
        let t = (n / (24.0 * rank)).max(1.0);
        let cap = 1.0 - 0.1 / (1.0 + 25.0 * (t * t - 1.0).powi(2));
        (n / 2.0).min(cap * rank)
    }

    /// Degrees of freedom of the fit used for intervals if N ≥ 1.5 r: min(0.75 N, 0.99 r), or the default's if those
    /// are more. It resolves the part of v* that the default suppresses, with hardly more variance.
    pub fn interval_df(&self) -> f64 {
        (0.75 * self.n as f64).min(0.99 * self.rank() as f64).max(self.default_df())
    }

    /// Whether the contrasts resolve all of v*: N ≥ 1.5 r. Below that, a ridge recovers only part of it, ρ² is a lower
    /// estimate, and other estimates refer to the recovered part. (With N ≤ d the rank is N, unless h lies in fewer
    /// dimensions.)
    pub fn resolves(&self) -> bool {
        self.n as f64 >= 1.5 * self.rank() as f64
    }

    /// Degrees of freedom under a penalty, Σ μ_j/(μ_j + λ).
    pub fn df(&self, lambda: f64) -> f64 {
        self.mu.iter().map(|m| m / (m + lambda)).sum()
    }

    /// λ that solves Σ μ_j/(μ_j + λ) = df, for 0 < df < r.
    pub fn penalty(&self, df: f64) -> f64 {
        let used = |log: f64| self.df(log.exp());
        // At these ends the sum is r and 0, to within rounding.
        let (mut low, mut high) =
            (self.mu[self.mu.len() - 1].ln() - 40.0, self.mu[0].ln() + (self.rank() as f64).ln() + 40.0);
        for _ in 0..200 {
            let middle = 0.5 * (low + high);
            if used(middle) > df { low = middle } else { high = middle }
        }
        (0.5 * (low + high)).exp()
    }

    /// Uᵀy of each label y `[N]`: `[r, labels]`. One pass over U for all labels.
    pub fn coordinates(&self, labels: &[&[f64]]) -> Mat<f64> {
        self.leading_coordinates(self.rank(), labels)
    }

    /// As [`Spectrum::coordinates`], for the leading `k` components only: `[k, labels]`.
    pub fn leading_coordinates(&self, k: usize, labels: &[&[f64]]) -> Mat<f64> {
        let y = Mat::from_fn(self.n, labels.len(), |i, l| labels[l][i]);
        self.ut.get(..k.min(self.rank()), ..) * y
    }

    /// U_k Z for Z `[k, m]`, k ≤ r: `[N, m]`. One pass over the leading k columns of U for all columns of Z.
    pub fn combine(&self, z: &Mat<f64>) -> Mat<f64> {
        self.ut.get(..z.nrows(), ..).transpose() * z
    }

    /// U_g diag(weights) U_gᵀ for the contrasts `rows` of a block, on the leading components, one per weight.
    pub fn hat(&self, rows: std::ops::Range<usize>, weights: &[f64]) -> Mat<f64> {
        let row = |i: usize| {
            let column = self.ut.col(rows.start + i).try_as_col_major();
            column.expect("a matrix of its own has contiguous columns").as_slice()
        };
        if rows.len() > SMALL {
            let u = self.u();
            let leading = weights.len().min(self.rank());
            let own = Mat::from_fn(rows.len(), leading, |i, j| u[(rows.start + i, j)]);
            let weighted = Mat::from_fn(rows.len(), leading, |i, j| weights[j] * own[(i, j)]);
            return weighted * own.transpose();
        }
        let mut hat = Mat::zeros(rows.len(), rows.len());
        for i in 0..rows.len() {
            for j in 0..=i {
                let value = weighted_dot(weights, row(i), row(j));
                hat[(i, j)] = value;
                hat[(j, i)] = value;
            }
        }
        hat
    }
}
