//! Dense linear algebra in f64: symmetric eigen-decomposition, products, small solves.

pub mod quadratic;

use faer::linalg::matmul::triangular::{BlockStructure, matmul};
use faer::linalg::solvers::{DenseSolveCore, Solve};
use faer::{Accum, Mat, MatRef, Side};

use crate::error::{Error, Result};

/// Eigenvalues, largest first, and the eigenvectors as columns in the same order.
#[derive(Debug, Clone)]
pub struct Eigen {
    /// Eigenvalues, in decreasing order.
    pub values: Vec<f64>,
    /// Eigenvectors `[n, n]`; column j belongs to eigenvalue j.
    pub vectors: Mat<f64>,
}

/// Eigen-decomposition of a symmetric matrix (its lower triangle is read).
///
/// # Errors
/// [`Error::Numeric`] if the iteration does not converge, as for NaN.
pub fn symmetric_eigen(a: MatRef<'_, f64>) -> Result<Eigen> {
    let failed = |_| Error::Numeric { what: "the eigen-decomposition" };
    let eigen = a.self_adjoint_eigen(Side::Lower).map_err(failed)?;
    let n = a.nrows();
    let (rising, columns) = (eigen.S().column_vector(), eigen.U());
    let values = (0..n).rev().map(|j| rising[j]).collect();
    let vectors = Mat::from_fn(n, n, |i, j| columns[(i, n - 1 - j)]);
    Ok(Eigen { values, vectors })
}

/// The lower triangle of scale · A Aᵀ, for A `[n, m]`; the rest is 0. Half the work of the full product.
pub fn lower_gram(a: MatRef<'_, f64>, scale: f64) -> Mat<f64> {
    let mut gram = Mat::zeros(a.nrows(), a.nrows());
    matmul(
        gram.as_mut(),
        BlockStructure::TriangularLower,
        Accum::Replace,
        a,
        BlockStructure::Rectangular,
        a.transpose(),
        BlockStructure::Rectangular,
        scale,
        faer::get_global_parallelism(),
    );
    gram
}

/// Σ w·a·b, in eight parallel sums, since the compiler may not reorder a single one.
pub fn weighted_dot(w: &[f64], a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let n = w.len().min(a.len()).min(b.len());
    let whole = n - n % 8;
    for ((w, a), b) in
        w[..whole].chunks_exact(8).zip(a[..whole].chunks_exact(8)).zip(b[..whole].chunks_exact(8))
    {
        for i in 0..8 {
            sums[i] += w[i] * a[i] * b[i];
        }
    }
    let rest: f64 = (whole..n).map(|i| w[i] * a[i] * b[i]).sum();
    sums.iter().sum::<f64>() + rest
}

/// Solves `a x = b` for a small square `a`.
pub fn solve(a: MatRef<'_, f64>, b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let right = Mat::from_fn(n, 1, |i, _| b[i]);
    let x = a.partial_piv_lu().solve(&right);
    (0..n).map(|i| x[(i, 0)]).collect()
}

/// Solves `a x = b` for a small square `a`; `None` if a pivot is 10¹² times smaller than the largest entry.
pub fn solve_regular(a: MatRef<'_, f64>, b: &[f64]) -> Option<Vec<f64>> {
    if b.is_empty() {
        return Some(Vec::new());
    }
    let lu = a.partial_piv_lu();
    let size =
        (0..b.len()).flat_map(|i| (0..b.len()).map(move |j| (i, j))).fold(0.0f64, |s, at| s.max(a[at].abs()));
    let pivots = lu.U();
    if (0..b.len()).any(|i| pivots[(i, i)].is_nan() || pivots[(i, i)].abs() <= 1e-12 * size) {
        return None;
    }
    let x = lu.solve(&Mat::from_fn(b.len(), 1, |i, _| b[i]));
    Some((0..b.len()).map(|i| x[(i, 0)]).collect())
}

/// Solves `a X = B` for a square `a` and all columns of B with one factorisation.
pub fn solve_all(a: MatRef<'_, f64>, b: &Mat<f64>) -> Mat<f64> {
    a.partial_piv_lu().solve(b)
}

/// The inverse of a symmetric matrix that should be positive definite; uses pivoting if rounding makes it indefinite.
pub fn inverse_of_positive(a: MatRef<'_, f64>) -> Mat<f64> {
    match a.llt(Side::Lower) {
        Ok(factor) => factor.inverse(),
        Err(_) => solve_all(a, &Mat::identity(a.nrows(), a.ncols())),
    }
}

/// Least-squares residuals of `y` on the columns of `z`, by orthogonalising the columns; a column
/// (nearly) spanned by those before it is left out. Returns the orthonormal basis that was used.
pub fn orthonormal(columns: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let mut basis: Vec<Vec<f64>> = Vec::new();
    for column in columns {
        let before = dot(column, column).sqrt();
        let mut c = column.clone();
        // Twice is enough (Kahan, Parlett).
        for _ in 0..2 {
            for q in &basis {
                let along = dot(q, &c);
                c.iter_mut().zip(q).for_each(|(c, q)| *c -= along * q);
            }
        }
        let length = dot(&c, &c).sqrt();
        if length > 1e-10 * before && before > 0.0 {
            c.iter_mut().for_each(|v| *v /= length);
            basis.push(c);
        }
    }
    basis
}

/// Σ a·b.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigen_pairs_reproduce_the_matrix_largest_first() {
        let a = Mat::from_fn(6, 6, |i, j| 1.0 / (1.0 + i as f64 + j as f64));
        let eigen = symmetric_eigen(a.as_ref()).expect("converges");
        assert!(eigen.values.windows(2).all(|w| w[0] >= w[1]));
        for i in 0..6 {
            for j in 0..6 {
                let sum: f64 =
                    (0..6).map(|k| eigen.values[k] * eigen.vectors[(i, k)] * eigen.vectors[(j, k)]).sum();
                assert!((sum - a[(i, j)]).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_lower_gram_and_the_weighted_sum_are_what_they_say() {
        for (n, m) in [(1, 3), (5, 2), (70, 40), (33, 129)] {
            let a = Mat::from_fn(n, m, |i, j| ((i * m + j) as f64 * 0.7).sin());
            let gram = lower_gram(a.as_ref(), 0.25);
            let w: Vec<f64> = (0..m).map(|j| (j as f64).cos()).collect();
            let row = |i: usize| (0..m).map(|j| a[(i, j)]).collect::<Vec<f64>>();
            for i in 0..n {
                for k in 0..n {
                    let plain: f64 = (0..m).map(|j| a[(i, j)] * a[(k, j)]).sum();
                    let expected = if k <= i { 0.25 * plain } else { 0.0 };
                    assert!((gram[(i, k)] - expected).abs() < 1e-12, "{n} {m}: {i} {k}");
                }
                let plain: f64 = (0..m).map(|j| w[j] * a[(i, j)] * a[(0, j)]).sum();
                assert!((weighted_dot(&w, &row(i), &row(0)) - plain).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_dependent_column_adds_nothing_to_a_basis() {
        let basis =
            orthonormal(&[vec![1.0, 1.0, 0.0], vec![2.0, 2.0, 0.0], vec![0.0, 1.0, 1.0], vec![0.0; 3]]);
        assert_eq!(basis.len(), 2);
        assert!(dot(&basis[0], &basis[1]).abs() < 1e-15);
    }
}
