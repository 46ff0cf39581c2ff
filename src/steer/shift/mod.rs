//! Section 8.2: how the residual stream changes from one checkpoint to another on the same tokens.
//!
//! Δ = H_B − H_A, rows × d, at each layer, with and without its mean row (a change shared by all responses moves every
//! row alike and is one direction by construction). With the singular values σ of Δ and p = σ²/Σσ²:
//!
//! - participation ratio (Σσ²)²/Σσ⁴, of the sample and across blocks as in [`crate::theory::dimension`];
//! - entropy rank exp(−Σ p ln p) (Roy and Vetterli 2007), and the number of directions for 90 % of ‖Δ‖²;
//! - the share ‖Δ v̂‖²/‖Δ‖² along a direction, compared with 1/d and v̂ᵀΣv̂/tr Σ, with Σ the covariance of H_A's rows.

mod page;
mod ranks;
mod turned;

use std::collections::BTreeMap;
use std::ops::Range;

use ndarray::{Array2, ArrayView2};
use ranks::ranks;
use serde::Serialize;

use crate::error::{Diagnostic, Kind, Result};
use crate::probe::interval::interval;
use crate::theory::base::mean::standard_error;
use crate::theory::{Estimate, Quantity};
use crate::units::Layer;

pub use ranks::Ranks;
pub use turned::{Turned, turned};

/// A direction's share of the shift.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Share {
    /// Name of the direction.
    pub direction: String,
    /// `shift_share` of the full Δ.
    pub share: Estimate,
    /// `shift_share` of Δ minus its mean row.
    pub share_centred: Estimate,
    /// Expected share of an isotropic direction, 1/d.
    pub isotropic: f64,
    /// Expected share from the covariance, v̂ᵀΣv̂/tr Σ; absent if Σ is 0.
    pub covariance: Option<f64>,
}

/// The shift at one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerShift {
    /// Index of the layer.
    pub layer: Layer,
    /// Root mean square length of the shift, √(mean over rows of ‖Δ‖²).
    pub length: f64,
    /// `length` divided by √(mean ‖h − mean h‖²) of the first checkpoint; absent if its rows are all equal.
    pub relative: Option<f64>,
    /// The mean row's share of ‖Δ‖².
    pub mean_share: f64,
    /// Ranks of the full Δ.
    pub whole: Ranks,
    /// Ranks of Δ minus its mean row.
    pub centred: Ranks,
    /// Shares of the directions.
    pub shares: Vec<Share>,
    /// Directions that both checkpoints have under the same name.
    pub turned: Vec<Turned>,
}

/// Comparison of two checkpoints.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shift {
    /// Format name, `vstar-shift/1`.
    pub format: &'static str,
    /// The two runs.
    pub runs: [String; 2],
    /// The runs' models.
    pub models: [String; 2],
    /// Number of rows compared.
    pub rows: usize,
    /// Number of blocks of rows.
    pub blocks: usize,
    /// Width d of the residual stream.
    pub width: usize,
    /// Results by layer.
    pub layers: Vec<LayerShift>,
    /// Warnings for the reader.
    pub warnings: Vec<String>,
}

/// Rows sorted by block, and the range of each block.
fn by_block(block: &[i32]) -> (Vec<usize>, Vec<Range<usize>>) {
    let mut members: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (row, b) in block.iter().enumerate() {
        members.entry(*b).or_default().push(row);
    }
    let (mut rows, mut ranges) = (Vec::with_capacity(block.len()), Vec::new());
    for own in members.into_values() {
        ranges.push(rows.len()..rows.len() + own.len());
        rows.extend(own);
    }
    (rows, ranges)
}

/// The shift at a layer: `a` and `b` `[rows, d]` of the two checkpoints, `block` of each row, directions `[d]` by name.
///
/// # Errors
/// [`Kind::Invalid`] for matrices or directions of different size; if a decomposition does not converge.
pub fn shift(
    layer: Layer,
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
    block: &[i32],
    directions: &[(String, Vec<f64>)],
) -> Result<LayerShift> {
    let (n, d) = a.dim();
    if b.dim() != (n, d) || block.len() != n || n == 0 {
        return Err(Diagnostic::new(Kind::Invalid, "two checkpoints of different shape")
            .expected(format!("{n} rows of width {d}, at least one"))
            .found(format!("{} rows of width {}", b.nrows(), b.ncols()))
            .into());
    }
    if let Some((name, v)) = directions.iter().find(|(_, v)| v.len() != d) {
        return Err(Diagnostic::new(Kind::Invalid, format!("direction {name} of another width"))
            .expected(format!("{d} numbers"))
            .found(v.len().to_string())
            .into());
    }
    let (order, blocks) = by_block(block);
    let wide = |x: ArrayView2<'_, f32>| Array2::from_shape_fn((n, d), |(i, j)| f64::from(x[[order[i], j]]));
    let (a, b) = (wide(a), wide(b));
    let delta = &b - &a;
    let centred = less_mean(&delta);
    let spread = less_mean(&a);
    let square = |x: &Array2<f64>| x.iter().map(|v| v * v).sum::<f64>();
    let (energy, base) = (square(&delta), square(&spread));
    // Rows that are all equal (one token at layer 0) differ only by rounding.
    let varies = base > 1e-20 * square(&a);
    let shares = directions.iter().map(|(name, v)| {
        let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        let unit: Vec<f64> = v.iter().map(|v| v / norm).collect();
        let along = |x: &Array2<f64>| -> Vec<f64> {
            x.rows()
                .into_iter()
                .map(|r| r.iter().zip(&unit).map(|(x, u)| x * u).sum::<f64>().powi(2))
                .collect()
        };
        Share {
            direction: name.clone(),
            share: share(&along(&delta), &delta, &blocks),
            share_centred: share(&along(&centred), &centred, &blocks),
            isotropic: 1.0 / d as f64,
            covariance: varies.then(|| along(&spread).iter().sum::<f64>() / base),
        }
    });
    let shares = shares.collect();
    Ok(LayerShift {
        layer,
        length: (energy / n as f64).sqrt(),
        relative: varies.then(|| (energy / base).sqrt()),
        mean_share: if energy > 0.0 { 1.0 - square(&centred) / energy } else { 0.0 },
        whole: ranks(&delta, &blocks)?,
        centred: ranks(&centred, &blocks)?,
        shares,
        turned: Vec::new(),
    })
}

fn less_mean(x: &Array2<f64>) -> Array2<f64> {
    let mean = x.sum_axis(ndarray::Axis(0)) / x.nrows() as f64;
    x - &mean
}

/// Σ along / Σ whole, with its error over blocks.
fn share(along: &[f64], x: &Array2<f64>, blocks: &[Range<usize>]) -> Estimate {
    let method = "ratio of sums of squares, influence of blocks";
    let whole: Vec<f64> = x.rows().into_iter().map(|r| r.iter().map(|v| v * v).sum()).collect();
    let total: f64 = whole.iter().sum();
    if total == 0.0 {
        return Estimate::missing(Quantity::ShiftShare, "the checkpoints do not differ here");
    }
    let value = along.iter().sum::<f64>() / total;
    let moves: Vec<f64> = blocks
        .iter()
        .map(|block| block.clone().map(|i| along[i] - value * whole[i]).sum::<f64>() / total)
        .collect();
    let se = standard_error(&moves);
    let (lo, hi) = interval(value, se, &moves);
    let mut e = Estimate::figure(Quantity::ShiftShare, method, value, se, (lo.max(0.0), hi.min(1.0)));
    // A share is never negative, so 0 is not a hypothesis to test.
    e.z = None;
    (e.n, e.blocks) = (Some(x.nrows()), Some(blocks.len()));
    e
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    const N: usize = 300;
    const D: usize = 40;

    fn normal(seed: u64, n: usize, d: usize) -> Array2<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Array2::from_shape_fn((n, d), |_| StandardNormal.sample(&mut rng))
    }

    fn axis(j: usize) -> Vec<f64> {
        (0..D).map(|i| f64::from(u8::from(i == j))).collect()
    }

    fn blocks() -> Vec<i32> {
        (0..N).map(|i| (i / 2) as i32).collect()
    }

    #[test]
    fn a_planted_direction_is_the_whole_shift() {
        let a = normal(1, N, D);
        let c = normal(2, N, 1);
        let mut b = a.clone();
        // Along axis 3, by a different amount for each row.
        for i in 0..N {
            b[[i, 3]] += 1.0 + c[[i, 0]];
        }
        let v = [("v_star.x".to_owned(), axis(3)), ("other".to_owned(), axis(4))];
        let found = shift(Layer(2), a.view(), b.view(), &blocks(), &v).expect("a shift");
        for ranks in [&found.whole, &found.centred] {
            assert!((ranks.rank.estimate.expect("a rank") - 1.0).abs() < 1e-4, "{:?}", ranks.rank);
            assert!((ranks.entropy.expect("a rank") - 1.0).abs() < 1e-3);
            assert_eq!(ranks.k90, Some(1));
        }
        let share = |i: usize| found.shares[i].share.estimate.expect("a share");
        assert!((share(0) - 1.0).abs() < 1e-6 && share(1) < 1e-6);
        assert!((found.mean_share - 0.5).abs() < 0.1);
    }

    #[test]
    fn noise_has_full_rank_and_no_favourite() {
        let a = normal(3, N, D);
        let b = &a + &normal(4, N, D);
        let found =
            shift(Layer(0), a.view(), b.view(), &blocks(), &[("v".to_owned(), axis(0))]).expect("a shift");
        for ranks in [&found.whole, &found.centred] {
            let e = &ranks.rank;
            assert!(e.lo.expect("lo") < 40.0 && e.hi.expect("hi") > 40.0 && e.se.expect("se") < 4.0, "{e:?}");
            // The sample's own ratio is biased low, to about N/(N + d).
            assert!(ranks.naive.expect("a rank") < 38.0);
        }
        let s = &found.shares[0];
        assert!((s.share.estimate.expect("a share") - 1.0 / 40.0).abs() < 0.01);
        assert!(s.share.lo.expect("lo") < s.isotropic && s.share.hi.expect("hi") > s.isotropic);
        assert!((s.covariance.expect("a share") - 1.0 / 40.0).abs() < 0.01);
    }

    #[test]
    fn the_rank_turns_with_the_basis_and_the_share_with_it() {
        let a = normal(5, N, D);
        let mut b = a.clone();
        let c = normal(6, N, 3);
        for i in 0..N {
            (0..3).for_each(|j| b[[i, j]] += c[[i, j]]);
        }
        let v = [("v".to_owned(), axis(0))];
        let plain = shift(Layer(0), a.view(), b.view(), &blocks(), &v).expect("a shift");
        // A cyclic shift of the coordinates is a rotation.
        let turn = |x: &Array2<f32>| Array2::from_shape_fn((N, D), |(i, j)| x[[i, (j + D - 7) % D]]);
        let w = [("v".to_owned(), axis(7))];
        let turned = shift(Layer(0), turn(&a).view(), turn(&b).view(), &blocks(), &w).expect("a shift");
        let near =
            |x: Option<f64>, y: Option<f64>| (x.expect("a figure") - y.expect("a figure")).abs() < 1e-6;
        assert!(near(plain.centred.rank.estimate, turned.centred.rank.estimate));
        assert!(near(plain.shares[0].share.estimate, turned.shares[0].share.estimate));
        assert!((plain.centred.rank.estimate.expect("a rank") - 3.0).abs() < 0.3);
    }

    #[test]
    fn what_did_not_move_has_no_rank_and_shapes_must_agree() {
        let a = normal(7, N, D);
        let found =
            shift(Layer(0), a.view(), a.view(), &blocks(), &[("v".to_owned(), axis(0))]).expect("a shift");
        assert!(found.whole.rank.estimate.is_none() && found.shares[0].share.estimate.is_none());
        assert_eq!(found.length, 0.0);
        // Equal rows have no spread to scale a shift by; the page is rendered regardless.
        let flat = Array2::<f32>::ones((N, D));
        let found =
            shift(Layer(0), flat.view(), a.view(), &blocks(), &[("v".to_owned(), axis(0))]).expect("a shift");
        assert!(found.relative.is_none() && found.shares[0].covariance.is_none());
        let page = Shift {
            format: "vstar-shift/1",
            runs: [String::new(), String::new()],
            models: [String::new(), String::new()],
            rows: N,
            blocks: N / 2,
            width: D,
            layers: vec![found],
            warnings: Vec::new(),
        };
        assert!(page.page().to_markdown().contains("effective rank"));
        let b = normal(8, N, D - 1);
        let refused = shift(Layer(0), a.view(), b.view(), &blocks(), &[]).expect_err("refused");
        assert_eq!(refused.kind(), Some(Kind::Invalid));
    }
}
