//! Whether a constitution shifts the state of all responses alike: shares of E‖h_c − h_0‖².
//!
//! D = h_c − h_0 of a response is μ + a_prompt + b_response. E‖b‖² is the mean square of within-prompt contrasts,
//! ‖μ‖² is estimated across blocks only, and the remainder of the mean of ‖D‖² belongs to the prompt; all three are
//! unbiased. Only b can change which response of a prompt is preferred.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use super::shift::{Shift, Sums};
use crate::probe::Contrasts;
use crate::probe::length::LengthControl;

/// Shares of the mean square of h_c − h_0; they sum to 1, and a small one may be estimated below 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// Shared by all responses to all prompts.
    pub common: f64,
    /// Varying between prompts.
    pub prompt: f64,
    /// Varying between responses to one prompt.
    pub response: f64,
    /// Standard error of `response` over blocks.
    pub response_se: f64,
    /// tr Cov_within(h_c − h_0) / tr Cov_within(h_0).
    pub within: f64,
}

/// The shares for some rows; `None` where nothing differs, or there are no contrasts or fewer than two blocks.
pub fn shares(
    under: ArrayView2<'_, f32>,
    bare: ArrayView2<'_, f32>,
    rows: &[usize],
    block: &[i32],
    contrasts: &Contrasts,
    length: Option<&LengthControl>,
) -> Option<Shares> {
    let mut difference: Array2<f32> = Array2::zeros(bare.raw_dim());
    for &row in rows {
        let d = &under.row(row) - &bare.row(row);
        difference.row_mut(row).assign(&d);
    }
    let sums = Sums::new(difference.view(), rows, block);
    let nothing = Sums { sums: sums.sums.iter().map(|s| vec![0.0; s.len()]).collect(), ..sums.clone() };
    let shift = Shift::new(&sums, &[&nothing])?;
    let cleaned = |h: ArrayView2<'_, f32>| {
        let mut x = contrasts.matrix(h);
        if let Some(length) = length {
            length.clean_matrix(&mut x);
        }
        let mut squares = vec![0.0; x.nrows()];
        for j in 0..x.ncols() {
            squares.iter_mut().zip(x.col(j).iter()).for_each(|(s, v)| *s += v * v);
        }
        squares
    };
    let (own, state) = (cleaned(difference.view()), cleaned(bare));
    let contrast_mean = |s: &[f64]| s.iter().sum::<f64>() / s.len() as f64;
    if own.is_empty() {
        return None;
    }
    let response = contrast_mean(&own);
    let n = rows.len() as f64;
    let row_squares = |row: usize| difference.row(row).iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
    let mut total_by: std::collections::BTreeMap<i32, f64> = std::collections::BTreeMap::new();
    for &row in rows {
        *total_by.entry(block[row]).or_default() += row_squares(row);
    }
    let total = total_by.values().sum::<f64>() / n;
    if total <= 0.0 {
        return None;
    }
    let share = response / total;
    let g = shift.names.len() as f64;
    let mut squares = 0.0;
    for (b, name) in shift.names.iter().enumerate() {
        let whole = (total_by.get(name).copied().unwrap_or(0.0) - sums.n[b] * total) / n;
        let part = contrasts.block_names().binary_search(name).map_or(0.0, |at| {
            let range = contrasts.blocks()[at].clone();
            let len = range.len() as f64;
            (range.map(|i| own[i]).sum::<f64>() - len * response) / own.len() as f64
        });
        squares += ((part - share * whole) / total).powi(2);
    }
    let within = response / contrast_mean(&state);
    Some(Shares {
        common: shift.norm2 / total,
        prompt: 1.0 - share - shift.norm2 / total,
        response: share,
        response_se: (g / (g - 1.0) * squares).sqrt(),
        within,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four prompts with two responses; `f(prompt, response)` is added to the state under the constitution.
    fn planted(f: impl Fn(usize, usize) -> [f32; 2]) -> Option<Shares> {
        let prompt: Vec<i32> = (0..8).map(|i| i / 2).collect();
        let bare = Array2::from_shape_fn((8, 2), |(i, j)| ((3 * i + j) as f32).sin());
        let under = Array2::from_shape_fn((8, 2), |(i, j)| bare[[i, j]] + f(i / 2, i % 2)[j]);
        let contrasts = Contrasts::helmert(&prompt, &prompt, |_| true);
        shares(under.view(), bare.view(), &(0..8).collect::<Vec<_>>(), &prompt, &contrasts, None)
    }

    #[test]
    fn a_shift_is_common_and_a_difference_between_responses_is_not() {
        let common = planted(|_, _| [1.0, -2.0]).expect("a difference");
        assert!((common.common - 1.0).abs() < 1e-5 && common.response.abs() < 1e-5, "{common:?}");
        let response = planted(|_, r| [if r == 0 { 1.0 } else { -1.0 }, 0.0]).expect("a difference");
        // Within a prompt ±1: E‖b‖² is the contrast's 2, of which the two rows show 1 each.
        assert!(response.response > 1.9 && response.common.abs() < 1e-5, "{response:?}");
        assert_eq!(planted(|_, _| [0.0, 0.0]), None);
    }

    #[test]
    fn the_shares_are_unbiased_over_all_signs() {
        // a_prompt = ±2 and b = ±1, all patterns: E‖D‖² = 16 + 4 + 1 of which 16 common, 4 prompt, 1 response.
        let mut sums = [0.0; 3];
        let patterns = 1 << 12;
        for pattern in 0..patterns {
            let sign = |bit: usize| if pattern >> bit & 1 == 1 { 1.0 } else { -1.0 };
            let s = planted(|p, r| [4.0 + 2.0 * sign(p) + sign(4 + 2 * p + r), 0.0]).expect("a difference");
            let total = {
                let mut t = 0.0;
                for p in 0..4 {
                    for r in 0..2 {
                        t += f64::from(4.0 + 2.0 * sign(p) + sign(4 + 2 * p + r)).powi(2) / 8.0;
                    }
                }
                t
            };
            for (sum, share) in sums.iter_mut().zip([s.common, s.prompt, s.response]) {
                *sum += share * total / f64::from(patterns);
            }
        }
        for (sum, told) in sums.iter().zip([16.0, 4.0, 1.0]) {
            assert!((sum - told).abs() < 1e-3, "{sums:?}");
        }
    }
}
