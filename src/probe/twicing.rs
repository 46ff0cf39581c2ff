//! Leave-block-out predictions: twice-iterated ridge, and principal-component regression.
//!
//! With a_j = μ_j/(μ_j + λ), b_j = a_j λ/(μ_j + λ), f = U diag(a) Uᵀy, s = U diag(b) Uᵀy, and for block g
//! H = U_g diag(a) U_gᵀ, Q = U_g diag(b) U_gᵀ:
//!
//!   e = (I − H)⁻¹(y_g − f_g),   ŷ_g = y_g − e + (I − H)⁻¹(s_g − Q e)
//!
//! is exactly the prediction of a fit without block g (ridge, then ridge on its residuals: Tukey's twicing), so noise
//! of a block cannot affect its own prediction (Kline, Saggio and Sølvsten 2020).

use std::ops::Range;

use faer::Mat;
use rayon::prelude::*;

use super::spectrum::Spectrum;
use crate::linalg::{inverse_of_positive, solve, solve_all};

/// ŷ of each label, `[N]` each, under penalty `lambda`.
pub fn twicing(
    spectrum: &Spectrum,
    blocks: &[Range<usize>],
    lambda: f64,
    labels: &[&[f64]],
) -> Vec<Vec<f64>> {
    let a: Vec<f64> = spectrum.mu.iter().map(|m| m / (m + lambda)).collect();
    let b: Vec<f64> = spectrum.mu.iter().zip(&a).map(|(m, a)| a * lambda / (m + lambda)).collect();
    // f of every label, then s of every label.
    let z = spectrum.coordinates(labels);
    let k = labels.len();
    let both = spectrum.combine(&Mat::from_fn(z.nrows(), 2 * k, |j, l| {
        if l < k { a[j] * z[(j, l)] } else { b[j] * z[(j, l - k)] }
    }));
    assemble(spectrum.n, blocks, labels.len(), |block| {
        let (hat, second) = (spectrum.hat(block.clone(), &a), spectrum.hat(block.clone(), &b));
        left_out(block, &hat, &second, &both, labels)
    })
}

/// v = XᵀU diag(a(2 − a)/(Nμ)) Uᵀy of each label, a = μ/(μ + λ): the direction whose scores X v equal twicing's fit, on
/// all rows of `x` `[N, d]`; `[d, labels]`.
pub fn directions(spectrum: &Spectrum, x: &Mat<f64>, lambda: f64, labels: &[&[f64]]) -> Mat<f64> {
    let filter = |j: usize| {
        let a = spectrum.mu[j] / (spectrum.mu[j] + lambda);
        a * (2.0 - a) / (spectrum.n as f64 * spectrum.mu[j])
    };
    let z = spectrum.coordinates(labels);
    let weights = spectrum.combine(&Mat::from_fn(z.nrows(), z.ncols(), |j, l| filter(j) * z[(j, l)]));
    x.transpose() * weights
}

/// ŷ of a block; `both` contains f of every label, then s of every label.
fn left_out(
    block: &Range<usize>,
    hat: &Mat<f64>,
    second: &Mat<f64>,
    both: &Mat<f64>,
    labels: &[&[f64]],
) -> Vec<Vec<f64>> {
    let n = block.len();
    let left = Mat::from_fn(n, n, |i, j| f64::from(i == j) - hat[(i, j)]);
    let predict = |(l, y): (usize, &&[f64])| {
        let y = &y[block.clone()];
        let gap: Vec<f64> = (0..n).map(|i| y[i] - both[(block.start + i, l)]).collect();
        let e = solve(left.as_ref(), &gap);
        let at = |i: usize| both[(block.start + i, labels.len() + l)];
        let rest: Vec<f64> =
            (0..n).map(|i| at(i) - (0..n).map(|j| second[(i, j)] * e[j]).sum::<f64>()).collect();
        let lift = solve(left.as_ref(), &rest);
        (0..n).map(|i| y[i] - e[i] + lift[i]).collect()
    };
    labels.iter().enumerate().map(predict).collect()
}

/// As [`twicing`], fitted on a subset of the rows only: `rows` of X, in `blocks` numbered within the subset, with
/// `labels` for these rows.
///
/// With K = X_B X_Bᵀ (from the factors of all rows) and n rows, U diag(a) Uᵀ is H = I − nλ(K + nλI)⁻¹, and U diag(b) Uᵀ
/// is H − H².
pub fn twicing_on(
    spectrum: &Spectrum,
    rows: &[usize],
    blocks: &[Range<usize>],
    lambda: f64,
    labels: &[&[f64]],
) -> Vec<Vec<f64>> {
    let (n, u) = (rows.len(), spectrum.u());
    let scale: Vec<f64> = spectrum.mu.iter().map(|m| (spectrum.n as f64 * m).sqrt()).collect();
    let scaled = Mat::from_fn(n, scale.len(), |i, j| u[(rows[i], j)] * scale[j]);
    let ridge = n as f64 * lambda;
    let mut kernel: Mat<f64> = &scaled * scaled.transpose();
    (0..n).for_each(|i| kernel[(i, i)] += ridge);
    let inverse = inverse_of_positive(kernel.as_ref());
    let hat = Mat::from_fn(n, n, |i, j| f64::from(i == j) - ridge * inverse[(i, j)]);
    let y = Mat::from_fn(n, labels.len(), |i, l| labels[l][i]);
    let fit: Mat<f64> = &hat * &y;
    let again: Mat<f64> = &hat * (&y - &fit);
    let k = labels.len();
    let both = Mat::from_fn(n, 2 * k, |i, l| if l < k { fit[(i, l)] } else { again[(i, l - k)] });
    assemble(n, blocks, k, |block| {
        let own = hat.get(block.clone(), block.clone());
        let across = hat.get(block.clone(), ..);
        let second: Mat<f64> = own - across * across.transpose();
        left_out(block, &own.to_owned(), &second, &both, labels)
    })
}

/// ŷ of each label by least squares on the leading `k` principal components, refitted without the
/// block: ŷ_g = y_g − (I − U_g U_gᵀ)⁻¹(y − U Uᵀ y)_g.
pub fn components(
    spectrum: &Spectrum,
    blocks: &[Range<usize>],
    k: usize,
    labels: &[&[f64]],
) -> Vec<Vec<f64>> {
    let z = spectrum.leading_coordinates(k, labels);
    one_fit(spectrum, blocks, &vec![1.0; k.min(spectrum.rank())], labels, &z)
}

/// ŷ of each label by ordinary ridge under penalty `lambda`, refitted without the block. `z` contains the labels'
/// coordinates, which are the same for every penalty.
pub fn ridge(
    spectrum: &Spectrum,
    blocks: &[Range<usize>],
    lambda: f64,
    labels: &[&[f64]],
    z: &Mat<f64>,
) -> Vec<Vec<f64>> {
    let weights: Vec<f64> = spectrum.mu.iter().map(|m| m / (m + lambda)).collect();
    one_fit(spectrum, blocks, &weights, labels, z)
}

fn one_fit(
    spectrum: &Spectrum,
    blocks: &[Range<usize>],
    weights: &[f64],
    labels: &[&[f64]],
    z: &Mat<f64>,
) -> Vec<Vec<f64>> {
    let weight = |j: usize| weights.get(j).copied().unwrap_or(0.0);
    let fits = spectrum.combine(&Mat::from_fn(z.nrows(), z.ncols(), |j, l| weight(j) * z[(j, l)]));
    assemble(spectrum.n, blocks, labels.len(), |block| {
        let hat = spectrum.hat(block.clone(), weights);
        let left = Mat::from_fn(block.len(), block.len(), |i, j| f64::from(i == j) - hat[(i, j)]);
        let at = block.start;
        let gap = Mat::from_fn(block.len(), labels.len(), |i, l| labels[l][at + i] - fits[(at + i, l)]);
        let e = solve_all(left.as_ref(), &gap);
        let predict = |(l, y): (usize, &&[f64])| block.clone().map(|i| y[i] - e[(i - at, l)]).collect();
        labels.iter().enumerate().map(predict).collect()
    })
}

/// Runs `predict` on every block and concatenates its predictions, one vector per label.
fn assemble(
    n: usize,
    blocks: &[Range<usize>],
    labels: usize,
    predict: impl Fn(&Range<usize>) -> Vec<Vec<f64>> + Sync + Send,
) -> Vec<Vec<f64>> {
    let parts: Vec<Vec<Vec<f64>>> = blocks.par_iter().map(predict).collect();
    let mut out = vec![Vec::with_capacity(n); labels];
    for part in parts {
        for (all, piece) in out.iter_mut().zip(part) {
            all.extend(piece);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// β = (XᵀX + N λ I)⁻¹ Xᵀ y over the rows outside the block, with the whole data's N.
    fn refit(x: &Mat<f64>, y: &[f64], lambda: f64, out: &Range<usize>) -> Vec<f64> {
        let (n, d) = (x.nrows(), x.ncols());
        let rows: Vec<usize> = (0..n).filter(|i| !out.contains(i)).collect();
        let mut gram = Mat::from_fn(d, d, |i, j| rows.iter().map(|&r| x[(r, i)] * x[(r, j)]).sum::<f64>());
        for i in 0..d {
            gram[(i, i)] += n as f64 * lambda;
        }
        let right: Vec<f64> = (0..d).map(|j| rows.iter().map(|&r| x[(r, j)] * y[r]).sum()).collect();
        solve(gram.as_ref(), &right)
    }

    fn predict(x: &Mat<f64>, beta: &[f64], i: usize) -> f64 {
        (0..x.ncols()).map(|j| x[(i, j)] * beta[j]).sum()
    }

    fn noise(n: usize, salt: f64) -> Vec<f64> {
        (0..n).map(|i| ((i as f64 + salt) * 12.9898).sin() * 43758.5453 % 1.0).collect()
    }

    #[test]
    fn some_rows_alone_are_what_a_data_set_of_their_own_would_be() {
        for d in [4, 40] {
            let values: Vec<Vec<f64>> = (0..30).map(|i| noise(d, 100.0 * i as f64)).collect();
            let x = Mat::from_fn(30, d, |i, j| values[i][j]);
            let y = noise(30, 0.5);
            let spectrum = Spectrum::new(&x).expect("a spectrum");
            let rows: Vec<usize> = (0..30).filter(|i| i % 6 < 3).collect();
            let blocks: Vec<Range<usize>> = (0..5).map(|b| 3 * b..3 * b + 3).collect();
            let part = Mat::from_fn(rows.len(), d, |i, j| x[(rows[i], j)]);
            let label: Vec<f64> = rows.iter().map(|&r| y[r]).collect();
            let alone = Spectrum::new(&part).expect("a spectrum");
            let told = twicing(&alone, &blocks, 0.3, &[&label]).remove(0);
            let found = twicing_on(&spectrum, &rows, &blocks, 0.3, &[&label]).remove(0);
            assert!(
                told.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-9),
                "d = {d}: {told:?} {found:?}"
            );
        }
    }

    #[test]
    fn predictions_equal_brute_force_refits() {
        for (n, d) in [(40, 9), (17, 30)] {
            let cells = noise(n * d, 0.3);
            let x = Mat::from_fn(n, d, |i, j| cells[i * d + j] * (1.0 + 5.0 * f64::from(j == 0)));
            let y: Vec<f64> =
                noise(n, 7.7).iter().enumerate().map(|(i, e)| x[(i, 0)] - x[(i, 3)] + e).collect();
            let spectrum = Spectrum::new(&x).expect("variance");
            let lambda = spectrum.penalty(spectrum.default_df());
            let blocks = [0..1, 1..4, 4..9, 9..11, 11..n];
            let fast = twicing(&spectrum, &blocks, lambda, &[&y]).remove(0);
            let z = spectrum.coordinates(&[&y]);
            let plain = ridge(&spectrum, &blocks, lambda, &[&y], &z).remove(0);
            for block in &blocks {
                let first = refit(&x, &y, lambda, block);
                let rest: Vec<f64> = (0..n).map(|i| y[i] - predict(&x, &first, i)).collect();
                let second = refit(&x, &rest, lambda, block);
                for i in block.clone() {
                    let once = predict(&x, &first, i);
                    assert!((plain[i] - once).abs() < 1e-9, "ridge {n}x{d} row {i}");
                    assert!(
                        (fast[i] - once - predict(&x, &second, i)).abs() < 1e-9,
                        "twicing {n}x{d} row {i}"
                    );
                }
            }
        }
    }

    #[test]
    fn components_equal_refits_on_fixed_components() {
        let (n, d, k) = (30, 8, 3);
        let cells = noise(n * d, 2.1);
        let x = Mat::from_fn(n, d, |i, j| cells[i * d + j] / (1.0 + j as f64));
        let y = noise(n, 4.2);
        let spectrum = Spectrum::new(&x).expect("variance");
        let blocks = [0..4, 4..5, 5..n];
        let fast = components(&spectrum, &blocks, k, &[&y]).remove(0);
        let scores = spectrum.u().get(.., ..k).to_owned();
        for block in &blocks[..2] {
            let beta = refit(&scores, &y, 0.0, block);
            for i in block.clone() {
                assert!((fast[i] - predict(&scores, &beta, i)).abs() < 1e-9);
            }
        }
    }
}
