//! The direction that a constitution adds to the state: Δ_c = E[h_c − h_p], p the placebo texts.
//!
//! Rows are paired: the same response is read under c and under every placebo. Sums over blocks of prompts give Δ_c
//! and its block influences; its squared norm is estimated across blocks only, Σ_{g≠h} ⟨s_g, s_h⟩ / Σ_{g≠h} n_g n_h,
//! so that noise does not inflate it.
//!
//! `activation_alignment` treats Δ_c as a direction of scores: r = ⟨h_0, Δ_c⟩ is a reward like any other, and the
//! cosine is θ̂_{S,r}/√(θ̂_SS θ̂_rr) in the metric of the within-prompt covariance, with θ̂_rr corrected for the
//! error of Δ_c.

use std::collections::BTreeMap;

use faer::Mat;
use ndarray::ArrayView2;

use super::figure::Figure;
use crate::linalg::dot;
use crate::probe::Influence;
use crate::probe::interval::interval;
use crate::theory::base::angle::{Angle, GATE};
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::mean::standard_error;

/// Sums of rows over blocks.
#[derive(Debug, Clone)]
pub struct Sums {
    /// Number of each block in the data, ascending.
    pub names: Vec<i32>,
    /// Number of rows in each block.
    pub n: Vec<f64>,
    /// Sum of each block's rows, `[G][d]`.
    pub sums: Vec<Vec<f64>>,
}

impl Sums {
    /// Sums over the given rows of `h [rows, d]`.
    pub fn new(h: ArrayView2<'_, f32>, rows: &[usize], block: &[i32]) -> Self {
        let mut of: BTreeMap<i32, (f64, Vec<f64>)> = BTreeMap::new();
        for &row in rows {
            let (n, sum) = of.entry(block[row]).or_insert_with(|| (0.0, vec![0.0; h.ncols()]));
            *n += 1.0;
            sum.iter_mut().zip(h.row(row)).for_each(|(s, v)| *s += f64::from(*v));
        }
        let mut out = Self { names: Vec::new(), n: Vec::new(), sums: Vec::new() };
        for (name, (n, sum)) in of {
            out.names.push(name);
            out.n.push(n);
            out.sums.push(sum);
        }
        out
    }
}

/// √E‖h‖² of some rows.
#[derive(Debug, Clone)]
pub struct Typical {
    /// √E‖h‖².
    pub length: f64,
    /// Influence of each block on log √E‖h‖², blocks ascending.
    pub moved: Vec<f64>,
}

impl Typical {
    /// Computed from the given rows of `h [rows, d]`.
    pub fn new(h: ArrayView2<'_, f32>, rows: &[usize], block: &[i32]) -> Self {
        let mut of: BTreeMap<i32, (f64, f64)> = BTreeMap::new();
        for &row in rows {
            let (n, sum) = of.entry(block[row]).or_default();
            *n += 1.0;
            *sum += h.row(row).iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
        }
        let (n, sum) = of.values().fold((0.0, 0.0), |all, b| (all.0 + b.0, all.1 + b.1));
        let moved = of.values().map(|(own, squares)| 0.5 * (squares / sum - own / n)).collect();
        Self { length: (sum / n).sqrt(), moved }
    }
}

/// A mean difference of states with its error.
#[derive(Debug, Clone)]
pub struct Shift {
    /// Δ, `[d]`.
    pub delta: Vec<f64>,
    /// Number of each block in the data.
    pub names: Vec<i32>,
    /// Influence of each block on Δ, `[G][d]`.
    pub moved: Vec<Vec<f64>>,
    /// ‖Δ‖², estimated across blocks only; may be negative if Δ is 0.
    pub norm2: f64,
    /// Δ from the blocks at even and at odd positions.
    pub halves: [Vec<f64>; 2],
}

impl Shift {
    /// `a` minus the mean of `others`, all sums over the same rows; `None` with fewer than two blocks or without
    /// others.
    pub fn new(a: &Sums, others: &[&Sums]) -> Option<Self> {
        let (g, m) = (a.names.len(), others.len() as f64);
        let total: f64 = a.n.iter().sum();
        if g < 2 || others.is_empty() {
            return None;
        }
        let d = a.sums[0].len();
        let differences: Vec<Vec<f64>> = (0..g)
            .map(|b| {
                (0..d).map(|j| a.sums[b][j] - others.iter().map(|o| o.sums[b][j]).sum::<f64>() / m).collect()
            })
            .collect();
        let sum = |keep: &dyn Fn(usize) -> bool| -> (f64, Vec<f64>) {
            let mut out = vec![0.0; d];
            for b in (0..g).filter(|&b| keep(b)) {
                out.iter_mut().zip(&differences[b]).for_each(|(o, v)| *o += v);
            }
            ((0..g).filter(|&b| keep(b)).map(|b| a.n[b]).sum(), out)
        };
        let mean = |(n, sum): (f64, Vec<f64>)| sum.into_iter().map(|v| v / n).collect::<Vec<f64>>();
        let whole = sum(&|_| true).1;
        let squares: f64 = differences.iter().map(|s| dot(s, s)).sum();
        let pairs = total * total - a.n.iter().map(|n| n * n).sum::<f64>();
        let norm2 = (dot(&whole, &whole) - squares) / pairs;
        let delta: Vec<f64> = whole.iter().map(|v| v / total).collect();
        let moved = differences
            .iter()
            .zip(&a.n)
            .map(|(s, n)| s.iter().zip(&delta).map(|(s, m)| (s - n * m) / total).collect())
            .collect();
        let halves = [mean(sum(&|b| b % 2 == 0)), mean(sum(&|b| b % 2 == 1))];
        Some(Self { delta, names: a.names.clone(), moved, norm2, halves })
    }

    /// ‖Δ‖; `None` where ‖Δ‖² is not positive.
    pub fn norm(&self) -> Option<f64> {
        (self.norm2 > 0.0).then(|| self.norm2.sqrt())
    }

    /// ‖Δ‖ over the length of a typical row of the same blocks, with its interval over blocks.
    pub fn relative_norm(&self, typical: &Typical) -> Option<Figure> {
        let norm = self.norm()?;
        let value = norm / typical.length;
        let moves: Vec<f64> = self
            .moved
            .iter()
            .zip(&typical.moved)
            .map(|(m, of)| value * (dot(&self.delta, m) / self.norm2 - of))
            .collect();
        let se = standard_error(&moves);
        let (lo, hi) = interval(value, se, &moves);
        (value.is_finite() && se.is_finite()).then_some(Figure { value, se, lo: lo.max(0.0), hi })
    }
}

/// Readings X u of a direction, `[N]`.
pub fn readings(x: &Mat<f64>, u: &[f64]) -> Vec<f64> {
    let u = Mat::from_fn(u.len(), 1, |i, _| u[i]);
    let r: Mat<f64> = x * &u;
    (0..x.nrows()).map(|i| r[(i, 0)]).collect()
}

/// cos(Δ_c, v*) with its influence and reliability.
#[derive(Debug, Clone)]
pub struct Alignment {
    /// The cosine in the metric of the within-prompt covariance.
    pub cos: Influence,
    /// Correlation of the readings of Δ from the even and the odd blocks, corrected to full length (Spearman, Brown).
    pub reliability: f64,
    /// Whether S is encoded well enough for an angle to be defined.
    pub encoded: bool,
}

/// Alignment of a shift with the value of label `s`; `None` where either does not define a direction.
pub fn alignment(bench: &Bench, s: &Label, shift: &Shift) -> Option<Alignment> {
    let n = bench.n() as f64;
    let r = readings(&bench.x, &shift.delta);
    let square = r.iter().map(|v| v * v).sum::<f64>() / n;
    if square <= 0.0 {
        return None;
    }
    // Change of every contrast's reading due to each block's influence on Δ: [N, G].
    let d = bench.x.ncols();
    let moves = Mat::from_fn(d, shift.moved.len(), |j, b| shift.moved[b][j]);
    let read: Mat<f64> = &bench.x * &moves;
    let noise: f64 = (0..read.ncols()).map(|b| read.col(b).iter().map(|v| v * v).sum::<f64>() / n).sum();
    let kept = 1.0 - noise / square;
    if kept <= 0.0 {
        return None;
    }
    let label = bench.probe(vec![r]).remove(0);
    let angle = Angle::new(bench, s, &label);
    let plain = angle.cos.clone()?;
    let value = (plain.value / kept.sqrt()).clamp(-1.0, 1.0);
    let mut cos = Influence { value, psi: plain.psi.iter().map(|p| p / kept.sqrt()).collect() };
    // Error of Δ itself: the gradient of the cosine along each block's influence.
    let per_s = if angle.slope.value == 0.0 { 0.0 } else { plain.value / angle.slope.value };
    for (at, name) in bench.contrasts.block_names().iter().enumerate() {
        let Ok(b) = shift.names.binary_search(name) else { continue };
        let along_s: f64 = s.y.iter().enumerate().map(|(i, y)| y * read[(i, b)]).sum::<f64>() / n;
        let along_r: f64 = label.y.iter().enumerate().map(|(i, r)| r * read[(i, b)]).sum::<f64>() / n;
        let gradient = (per_s * along_s - plain.value * along_r / square) / kept.sqrt();
        cos.psi[at] += n * gradient;
    }
    let (a, b) = (readings(&bench.x, &shift.halves[0]), readings(&bench.x, &shift.halves[1]));
    let half = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
    let reliability = 2.0 * half / (1.0 + half);
    Some(Alignment { cos, reliability, encoded: angle.gates.0 > GATE })
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    fn sums(values: &[(i32, [f32; 2])]) -> Sums {
        let h = Array2::from_shape_fn((values.len(), 2), |(i, j)| values[i].1[j]);
        let block: Vec<i32> = values.iter().map(|v| v.0).collect();
        Sums::new(h.view(), &(0..values.len()).collect::<Vec<_>>(), &block)
    }

    #[test]
    fn a_constant_shift_is_found_without_error_and_its_norm_is_exact() {
        let a = sums(&[(3, [4.0, 6.0]), (1, [5.0, 5.0]), (3, [1.0, 7.0])]);
        let p = sums(&[(3, [1.0, 2.0]), (1, [2.0, 1.0]), (3, [-2.0, 3.0])]);
        let shift = Shift::new(&a, &[&p]).expect("two blocks");
        assert_eq!(shift.delta, [3.0, 4.0]);
        assert_eq!(shift.names, [1, 3]);
        let typical = Typical { length: 2.0, moved: vec![0.0; shift.names.len()] };
        let norm = shift.relative_norm(&typical).expect("positive");
        assert!((norm.value - 2.5).abs() < 1e-12 && norm.se < 1e-12);
        assert_eq!(shift.halves, [[3.0, 4.0], [3.0, 4.0]]);
    }

    #[test]
    fn what_a_block_moves_the_typical_length_is_what_leaving_it_out_takes() {
        let h = ndarray::Array2::from_shape_fn((200, 3), |(r, j)| ((7 * r + 3 * j) % 11) as f32);
        let block: Vec<i32> = (0..200).map(|r| r / 2).collect();
        let all: Vec<usize> = (0..200).collect();
        let whole = Typical::new(h.view(), &all, &block);
        assert!(whole.moved.iter().sum::<f64>().abs() < 1e-12);
        for g in [0, 41, 99] {
            let rest: Vec<usize> = all.iter().copied().filter(|&r| block[r] != g).collect();
            let without = Typical::new(h.view(), &rest, &block).length;
            let (told, moved) = ((whole.length / without).ln(), whole.moved[g as usize]);
            assert!((told - moved).abs() < 0.02 * moved.abs().max(1e-3), "{g}: {told} {moved}");
        }
    }

    #[test]
    fn noise_adds_nothing_to_the_norm_on_average() {
        // Blocks of ±1 alternating: no shift, and a naive norm would be positive or 0, never below.
        let mut total = 0.0;
        for pattern in 0..16u32 {
            let rows: Vec<(i32, [f32; 2])> =
                (0..4).map(|b| (b, [if pattern >> b & 1 == 1 { 1.0 } else { -1.0 }, 0.0])).collect();
            let zero: Vec<(i32, [f32; 2])> = (0..4).map(|b| (b, [0.0, 0.0])).collect();
            total += Shift::new(&sums(&rows), &[&sums(&zero)]).expect("blocks").norm2;
        }
        assert!(total.abs() < 1e-12, "{total}");
    }
}
