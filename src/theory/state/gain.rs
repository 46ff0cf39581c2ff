//! Selection and amplification: how much more h varies along v* under a constitution than without it.
//!
//! v* is fitted on the bare rows, and each block is scored by a direction fitted without it: f_c = ⟨h_c, v⁽⁻ᵍ⁾⟩. The
//! mean of f_c² is v*'Σ_c v* plus a term from the error of the direction, which is estimated by the jackknife over
//! blocks and subtracted. The same is computed for directions with the same share of variance in every principal
//! component of the bare rows and random signs: their mean ratio is the overall effect of c on h, their spread the
//! chance variation of an unrelated direction. The gain is the ratio along v* over theirs, 1 where c treats v* like
//! any other direction.

use std::ops::Range;

use faer::Mat;

use crate::probe::Influence;
use crate::probe::left_out::LeftOut;

/// Variance along v* in one state.
#[derive(Debug, Clone)]
pub struct Along {
    /// log of the within-prompt variance along v*.
    pub value: Influence,
    /// log of the mean variance over directions with random signs.
    pub random: Influence,
    /// Standard deviation of that variance over random signs, relative to its mean.
    pub random_sd: f64,
}

/// Variance along the directions `left` of contrasts with coordinates `c [N, r]`; `None` where the variance does not
/// exceed the correction for the direction's error.
pub fn along(c: &Mat<f64>, left: &LeftOut, blocks: &[Range<usize>]) -> Option<Along> {
    let (n, r, g) = (c.nrows() as f64, c.ncols(), blocks.len());
    let f = left.scores(c, blocks);
    let mean = |b: usize, j: usize| left.by_block[(j, b)];
    let v: Vec<f64> = (0..r).map(|j| (0..g).map(|b| mean(b, j)).sum::<f64>() / g as f64).collect();
    let moved = |gradient: &[f64], b: usize| -> f64 {
        gradient.iter().enumerate().map(|(j, x)| x * left.moved[(j, b)]).sum()
    };

    let square = f.iter().map(|f| f * f).sum::<f64>() / n;
    let signal = square - left.noise(c);
    let gradient: Vec<f64> =
        (0..r).map(|j| 2.0 * c.col(j).iter().zip(&f).map(|(c, f)| c * f).sum::<f64>() / n).collect();
    let psi = (0..g)
        .map(|b| blocks[b].clone().map(|i| f[i] * f[i]).sum::<f64>() + n * moved(&gradient, b))
        .collect();
    let squares = Influence { value: square, psi };

    let spread: Vec<f64> = (0..r).map(|j| c.col(j).iter().map(|c| c * c).sum::<f64>() / n).collect();
    let diagonal: Vec<f64> = (0..g)
        .map(|b| {
            blocks[b]
                .clone()
                .map(|i| (0..r).map(|j| (mean(b, j) * c[(i, j)]).powi(2)).sum::<f64>())
                .sum::<f64>()
        })
        .collect();
    let random = diagonal.iter().sum::<f64>() / n;
    let error: f64 = left.coordinate_noise().iter().zip(&spread).map(|(e, a)| e * a).sum();
    let random_signal = random - error;
    let gradient: Vec<f64> = (0..r).map(|j| 2.0 * v[j] * spread[j]).collect();
    let psi = (0..g).map(|b| diagonal[b] + n * moved(&gradient, b)).collect();
    let randoms = Influence { value: random, psi };
    if signal <= 0.0 || random_signal <= 0.0 {
        return None;
    }

    // Var over signs of Σ_{j≠k} ξ_j ξ_k v_j v_k A_jk is 2 Σ_{j≠k} (v_j v_k A_jk)².
    let scaled = Mat::from_fn(c.nrows(), r, |i, j| c[(i, j)] * v[j]);
    let gram: Mat<f64> = scaled.transpose() * &scaled;
    let mut off = 0.0;
    for k in 0..r {
        for j in (0..r).filter(|j| *j != k) {
            off += (gram[(j, k)] / n).powi(2);
        }
    }
    Some(Along {
        value: Influence::combine(signal.ln(), &[(1.0 / signal, &squares)]),
        random: Influence::combine(random_signal.ln(), &[(1.0 / random_signal, &randoms)]),
        random_sd: (2.0 * off).sqrt() / random_signal,
    })
}

/// log of the gain: along v* relative to random directions, under c relative to bare.
pub fn log_gain(under: &Along, bare: &Along) -> Influence {
    let value = under.value.value - bare.value.value - under.random.value + bare.random.value;
    Influence::combine(
        value,
        &[(1.0, &under.value), (-1.0, &bare.value), (-1.0, &under.random), (1.0, &bare.random)],
    )
}

/// log of the plain ratio Var⟨h_c, v*⟩ / Var⟨h_0, v*⟩.
pub fn log_ratio(under: &Along, bare: &Along) -> Influence {
    Influence::combine(under.value.value - bare.value.value, &[(1.0, &under.value), (-1.0, &bare.value)])
}
