//! Matrices in bf16, packed for the processor's bf16 dot products.
//!
//! `VDPBF16PS` multiplies pairs of bf16 and adds both products to an f32. A panel holds 64 output rows; within it, the
//! pairs at one position of the inner dimension are adjacent for all 64 rows, so that four registers of weights serve
//! six rows of activations at a time.

use std::cell::RefCell;

use candle_core::{CpuStorage, DType, Storage, Tensor};
use half::bf16;
use rayon::prelude::*;

use super::product::{Shared, View};
use crate::error::Result;

/// Number of output rows of a panel.
pub(in crate::model::decoder) const PANEL: usize = 64;

/// Number of activation rows that one task multiplies with one panel: together with a block of the panel they fit the
/// second-level cache.
const TASK_ROWS: usize = 96;

/// Number of pairs of the inner dimension processed before moving to the next rows.
const BLOCK_PAIRS: usize = 1024;

/// A matrix W `[rows, columns]` in bf16, padded with zeros to whole panels and whole pairs.
#[derive(Debug)]
pub(in crate::model::decoder) struct Panels {
    rows: usize,
    columns: usize,
    /// Panel by panel, pair by pair, 64 rows of two.
    words: Vec<u32>,
}

/// Whether the processor has the bf16 instructions.
pub(in crate::model::decoder) fn available() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512bf16")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

impl Panels {
    /// Packs a matrix; other dtypes are rounded to bf16 first.
    ///
    /// # Errors
    /// If the tensor is not a matrix on the CPU.
    pub(in crate::model::decoder) fn pack(matrix: &Tensor) -> Result<Self> {
        let (rows, columns) = matrix.dims2()?;
        let matrix = matrix.to_dtype(DType::BF16)?.contiguous()?;
        let (storage, layout) = matrix.storage_and_layout();
        let (Storage::Cpu(CpuStorage::BF16(data)), Some((start, end))) =
            (&*storage, layout.contiguous_offsets())
        else {
            return Err(candle_core::Error::Msg("a bf16 matrix on the CPU was expected".into()).into());
        };
        let data = &data[start..end];
        let pairs = columns.div_ceil(2);
        let mut words = vec![0u32; rows.div_ceil(PANEL) * pairs * PANEL];
        words.par_chunks_mut(pairs * PANEL).enumerate().for_each(|(panel, words)| {
            for lane in 0..PANEL.min(rows - panel * PANEL) {
                let row = &data[(panel * PANEL + lane) * columns..][..columns];
                for (pair, two) in row.chunks(2).enumerate() {
                    words[pair * PANEL + lane] = word(two);
                }
            }
        });
        Ok(Self { rows, columns, words })
    }

    pub(in crate::model::decoder) fn rows(&self) -> usize {
        self.rows
    }

    pub(in crate::model::decoder) fn bytes(&self) -> usize {
        4 * self.words.len()
    }

    fn pairs(&self) -> usize {
        self.columns.div_ceil(2)
    }

    /// Row `index`, widened to f32.
    pub(in crate::model::decoder) fn row(&self, index: usize, out: &mut [f32]) {
        assert!(index < self.rows && out.len() == self.columns);
        let (panel, lane) = (index / PANEL, index % PANEL);
        let words = &self.words[panel * self.pairs() * PANEL..];
        for (pair, two) in out.chunks_mut(2).enumerate() {
            let word = words[pair * PANEL + lane];
            for (slot, cell) in two.iter_mut().enumerate() {
                *cell = f32::from_bits((word >> (16 * slot)) << 16);
            }
        }
    }

    /// Rows `[start, start + len)` in f32; the inverse of packing.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub(in crate::model::decoder) fn unpack(&self, start: usize, len: usize) -> Result<Tensor> {
        let mut values = vec![0f32; len * self.columns];
        values
            .par_chunks_exact_mut(self.columns.max(1))
            .enumerate()
            .for_each(|(i, row)| self.row(start + i, row));
        Ok(Tensor::from_vec(values, (len, self.columns), &candle_core::Device::Cpu)?)
    }
}

fn word(two: &[bf16]) -> u32 {
    let high = two.get(1).map_or(0, |v| u32::from(v.to_bits()));
    u32::from(two[0].to_bits()) | high << 16
}

thread_local! {
    /// Activations in bf16, reused between products so that their pages are faulted in only once.
    static ACTIVATIONS: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

/// `out[m, n] = x[m, k] · W[first.., k]ᵀ` for n rows of W from `first` (a multiple of 64), added to the existing values
/// if `add`; activations are rounded to bf16, products are summed in f32.
///
/// # Panics
/// If shapes do not match or the processor lacks the instructions ([`available`]).
pub(super) fn times_transposed(
    x: View<'_>,
    panels: &Panels,
    first: usize,
    n: usize,
    out: &mut [f32],
    stride: usize,
    add: bool,
) {
    let (m, k) = (x.rows(), x.columns());
    assert!(available(), "no bf16 instructions");
    assert_eq!(k, panels.columns);
    assert!(first.is_multiple_of(PANEL) && first + n <= panels.rows);
    if m == 0 || n == 0 {
        return;
    }
    assert!(n <= stride || m == 1);
    assert!((m - 1) * stride + n <= out.len(), "a product past its target");
    let pairs = panels.pairs();
    let mut activations = ACTIVATIONS.take();
    if activations.len() < m * pairs {
        activations.resize(m * pairs, 0);
    }
    activations[..m * pairs].par_chunks_mut(pairs).enumerate().for_each(|(i, row)| narrow(x.row(i), row));
    let target = Shared::new(out);
    let count = n.div_ceil(PANEL);
    let tasks = m.div_ceil(TASK_ROWS) * count;
    (0..tasks).into_par_iter().for_each(|task| {
        let (from, panel) = (task / count * TASK_ROWS, task % count);
        let columns = PANEL.min(n - panel * PANEL);
        let words = &panels.words[(first / PANEL + panel) * pairs * PANEL..][..pairs * PANEL];
        for block in (0..pairs).step_by(BLOCK_PAIRS) {
            let here = BLOCK_PAIRS.min(pairs - block);
            let words = &words[block * PANEL..(block + here) * PANEL];
            let mut row = from;
            let end = (from + TASK_ROWS).min(m);
            while row < end {
                let rows = (end - row).min(6);
                let x = &activations[row * pairs + block..(row + rows - 1) * pairs + block + here];
                // SAFETY: `(row + rows − 1)·stride + 64·panel + columns` is inside `out` by the assertion
                // above, and no other task writes these rows at these columns.
                unsafe {
                    let out = target.at(row * stride + panel * PANEL);
                    tile(rows, x, pairs, words, out, stride, columns, add || block > 0);
                }
                row += rows;
            }
        }
    });
    ACTIVATIONS.set(activations);
}

/// Rounds a row to bf16 pairs, to nearest even.
fn narrow(row: &[f32], out: &mut [u32]) {
    assert_eq!(out.len(), row.len().div_ceil(2));
    #[cfg(target_arch = "x86_64")]
    // SAFETY: panels exist only if the instructions are available, and `out` has one word per two elements.
    let done = unsafe { wide::narrow(row, out) };
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    for (two, word) in row[done..].chunks(2).zip(&mut out[done / 2..]) {
        let round = |v: f32| u32::from(bf16::from_f32(v).to_bits());
        *word = round(two[0]) | two.get(1).map_or(0, |&v| round(v)) << 16;
    }
}

/// `rows ≤ 6` rows of activations times one block of a panel.
///
/// # Safety
/// `out` must be valid for `rows` rows of `columns ≤ 64` elements, `stride` apart, and the processor must
/// have the instructions.
#[allow(clippy::too_many_arguments)]
unsafe fn tile(
    rows: usize,
    x: &[u32],
    x_stride: usize,
    words: &[u32],
    out: *mut f32,
    stride: usize,
    columns: usize,
    add: bool,
) {
    #[cfg(target_arch = "x86_64")]
    {
        let pairs = words.len() / PANEL;
        assert!(x.len() >= (rows - 1) * x_stride + pairs);
        // SAFETY: the caller's guarantee, and the assertion for what is read.
        unsafe {
            match rows {
                1 => wide::tile::<1>(x, x_stride, words, out, stride, columns, add),
                2 => wide::tile::<2>(x, x_stride, words, out, stride, columns, add),
                3 => wide::tile::<3>(x, x_stride, words, out, stride, columns, add),
                4 => wide::tile::<4>(x, x_stride, words, out, stride, columns, add),
                5 => wide::tile::<5>(x, x_stride, words, out, stride, columns, add),
                _ => wide::tile::<6>(x, x_stride, words, out, stride, columns, add),
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (rows, x, x_stride, words, out, stride, columns, add);
        unreachable!("panels are made only where the instructions are");
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    //! The kernel itself.

    use std::arch::x86_64::*;

    use super::PANEL;

    /// Rounds as many whole registers as there are; returns the number of elements rounded.
    ///
    /// # Safety
    /// The processor must have the instructions, and `out` one word per two elements of `row`.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn narrow(row: &[f32], out: &mut [u32]) -> usize {
        let whole = row.len() / 32 * 32;
        for at in (0..whole).step_by(32) {
            // SAFETY: 32 elements from `at` are inside `row`, 16 words from `at / 2` inside `out`.
            unsafe {
                let low = _mm512_loadu_ps(row.as_ptr().add(at));
                let high = _mm512_loadu_ps(row.as_ptr().add(at + 16));
                let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
                _mm512_storeu_si512(out.as_mut_ptr().add(at / 2).cast(), both);
            }
        }
        whole
    }

    /// # Safety
    /// As [`super::tile`], with R rows, and `x` long enough for R rows of `words.len() / 64` pairs.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn tile<const R: usize>(
        x: &[u32],
        x_stride: usize,
        words: &[u32],
        out: *mut f32,
        stride: usize,
        columns: usize,
        add: bool,
    ) {
        let pairs = words.len() / PANEL;
        let mut sums = [[_mm512_setzero_ps(); 4]; R];
        let (x, words) = (x.as_ptr(), words.as_ptr());
        for pair in 0..pairs {
            // SAFETY: `pair < pairs` and the caller's guarantee about `x`.
            unsafe {
                let at = words.add(pair * PANEL).cast::<__m512i>();
                let w = [
                    _mm512_loadu_si512(at),
                    _mm512_loadu_si512(at.add(1)),
                    _mm512_loadu_si512(at.add(2)),
                    _mm512_loadu_si512(at.add(3)),
                ];
                for (row, sums) in sums.iter_mut().enumerate() {
                    let two = _mm512_set1_epi32(*x.add(row * x_stride + pair) as i32);
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = _mm512_dpbf16_ps(
                            *sum,
                            std::mem::transmute::<__m512i, __m512bh>(two),
                            std::mem::transmute::<__m512i, __m512bh>(w),
                        );
                    }
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (i, &sum) in sums.iter().enumerate() {
                let here = columns.saturating_sub(16 * i).min(16);
                let mask = ((1u32 << here) - 1) as __mmask16;
                if mask == 0 {
                    continue;
                }
                // SAFETY: the mask covers only columns that the caller guarantees to be valid.
                unsafe {
                    let to = out.add(row * stride + 16 * i);
                    let sum = if add { _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, to)) } else { sum };
                    _mm512_mask_storeu_ps(to, mask, sum);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use proptest::prelude::*;

    use super::*;

    fn matrix(rows: usize, columns: usize, seed: u32) -> Vec<f32> {
        let value =
            |i: usize| ((i as u32 + seed).wrapping_mul(2_654_435_761) >> 8) as f32 / 16_777_216.0 - 0.5;
        (0..rows * columns).map(value).collect()
    }

    fn rounded(values: &[f32]) -> Vec<f32> {
        values.iter().map(|&v| bf16::from_f32(v).to_f32()).collect()
    }

    #[test]
    fn what_is_packed_comes_back_rounded_and_nothing_else() {
        let values = matrix(70, 13, 1);
        let tensor = Tensor::from_slice(&values, (70, 13), &Device::Cpu).expect("tensor");
        let panels = Panels::pack(&tensor).expect("panels");
        let back = panels.unpack(0, 70).expect("tensor").flatten_all().and_then(|t| t.to_vec1::<f32>());
        assert_eq!(back.expect("values"), rounded(&values));
    }

    #[test]
    fn activations_are_rounded_as_the_half_crate_rounds_them() {
        if !available() {
            return;
        }
        let values: Vec<f32> = matrix(1, 4001, 3)
            .into_iter()
            .chain([0.0, -0.0, 1.0, f32::MAX, f32::MIN_POSITIVE, f32::INFINITY, 1.003_906_3, 1.011_718_8])
            .collect();
        let mut words = vec![0; values.len().div_ceil(2)];
        narrow(&values, &mut words);
        for (i, &v) in values.iter().enumerate() {
            let got = (words[i / 2] >> (16 * (i % 2))) as u16;
            assert_eq!(got, bf16::from_f32(v).to_bits(), "{v}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// All tails: row counts that are no multiple of six, outputs no multiple of 64, an odd inner dimension, more
        /// than one block, a slice of the panels, wider strides, accumulation.
        #[test]
        fn the_kernel_multiplies(
            m in 1usize..110,
            n in 1usize..150,
            k in prop_oneof![1usize..90, 2040usize..2060],
            first in 0usize..2,
            gap in 0usize..3,
            add in any::<bool>(),
            seed in 0u32..1000,
        ) {
            if available() {
                let first = first * PANEL;
                let (x, w) = (matrix(m, k, seed), matrix(first + n, k, seed + 77));
                let tensor = Tensor::from_slice(&w, (first + n, k), &Device::Cpu).expect("tensor");
                let panels = Panels::pack(&tensor).expect("panels");
                let stride = n + gap;
                let mut out = vec![0.25f32; m * stride];
                times_transposed(View::new(&x, m, k, k), &panels, first, n, &mut out, stride, add);
                let (x, w) = (rounded(&x), rounded(&w));
                for i in 0..m {
                    for j in 0..stride {
                        let dot = |j: usize| -> f64 {
                            (0..k).map(|c| f64::from(x[i * k + c]) * f64::from(w[(first + j) * k + c])).sum()
                        };
                        let start = if add || j >= n { 0.25 } else { 0.0 };
                        let want = start + if j < n { dot(j) } else { 0.0 };
                        let got = f64::from(out[i * stride + j]);
                        prop_assert!((got - want).abs() < 1e-6 * (1 + k) as f64, "{i} {j}: {got} {want}");
                    }
                }
            }
        }
    }
}
