//! In-place matrix products: C = X Wᵀ (+ C), strided.
//!
//! f32 weights are packed on use, once for all rows of a chunk; bf16 weights are kept in panels of their own.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::kernel::{Chunks, Level};
use super::panels::{self, Panels};
use super::simd;

/// A strided, read-only view of a matrix, rows by columns.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    stride: usize,
}

impl<'a> View<'a> {
    /// `rows × columns`, consecutive rows `stride` apart.
    pub(super) fn new(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(columns <= stride || rows <= 1);
        assert!(rows == 0 || (rows - 1) * stride + columns <= data.len(), "a view past its data");
        Self { data, rows, columns, stride }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn row(&self, i: usize) -> &'a [f32] {
        &self.data[i * self.stride..][..self.columns]
    }
}

/// Weights `[n, k]` ready for multiplication.
#[derive(Clone, Copy)]
pub(super) enum Weights<'a> {
    /// f32.
    Packed(Packed<'a>),
    /// bf16: `n` rows from `first`, a multiple of 64.
    Panels { panels: &'a Panels, first: usize, n: usize },
}

impl Weights<'_> {
    pub(super) fn n(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.n,
            Self::Panels { n, .. } => *n,
        }
    }

    /// `out[m, n] = x[m, k] · selfᵀ`, added to the existing values if `add`; rows of `out` are `stride` apart.
    pub(super) fn times(&self, x: View<'_>, out: &mut [f32], stride: usize, add: bool) {
        match *self {
            Self::Packed(packed) => times(x, packed, out, stride, add),
            Self::Panels { panels, first, n } => {
                panels::times_transposed(x, panels, first, n, out, stride, add);
            }
        }
    }
}

/// A pointer shared by tasks, no two of which touch the same elements.
#[derive(Clone, Copy)]
pub(super) struct Shared(*mut f32);

impl Shared {
    pub(super) fn new(data: &mut [f32]) -> Self {
        Self(data.as_mut_ptr())
    }

    /// Pointer to the element at an index.
    ///
    /// # Safety
    /// The index must lie inside the buffer, and no other task may write to it.
    pub(super) unsafe fn at(self, index: usize) -> *mut f32 {
        // SAFETY: guaranteed by the caller.
        unsafe { self.0.add(index) }
    }
}

// SAFETY: callers of `at` guarantee that no two of them touch the same element.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// Rows and columns of the block of outputs computed by one task: together with the rows of X and the panels needed for
/// one chunk it fits the second-level cache.
const BLOCK: (usize, usize) = (256, 144);

/// A matrix `[k, n]` in panels of a few columns; each panel `[k, width]` is contiguous, as the kernels read it; the
/// last panel is padded with zeros to whole registers.
#[derive(Clone, Copy)]
pub(super) struct Packed<'a> {
    level: Level,
    data: &'a [f32],
    n: usize,
    k: usize,
}

impl<'a> Packed<'a> {
    /// Packs a matrix `[k, n]` into panels: `fill` writes each panel and is given the panel's first column, its number
    /// of columns, its width and its elements. With `parallel`, several threads call it.
    pub(super) fn fill(
        level: Level,
        (k, n): (usize, usize),
        buffer: &'a mut Vec<f32>,
        parallel: bool,
        fill: impl Fn(usize, usize, usize, &mut [f32]) + Sync,
    ) -> Self {
        assert!(k > 0, "a product over no terms");
        let len = n.next_multiple_of(level.lanes()) * k;
        if buffer.len() < len {
            buffer.resize(len, 0.0);
        }
        let one = |(i, panel): (usize, &mut [f32])| {
            let first = i * level.columns();
            fill(first, level.columns().min(n - first), panel.len() / k, panel);
        };
        let size = (level.columns() * k).max(1);
        if parallel {
            buffer[..len].par_chunks_mut(size).enumerate().for_each(one);
        } else {
            buffer[..len].chunks_mut(size).enumerate().for_each(one);
        }
        Self { level, data: &buffer[..len], n, k }
    }

    /// Packs Wᵀ for rows `W [n, k]`.
    pub(super) fn transposed(level: Level, w: View<'_>, buffer: &'a mut Vec<f32>, parallel: bool) -> Self {
        Self::fill(level, (w.columns, w.rows), buffer, parallel, |first, n, width, panel| {
            let rows = View::new(&w.data[first * w.stride..], n, w.columns, w.stride);
            transpose_panel(level, rows, width, panel);
        })
    }

    fn panels(&self) -> usize {
        self.n.div_ceil(self.level.columns())
    }

    /// A panel's elements and its width.
    fn panel(&self, index: usize) -> (&'a [f32], usize) {
        let start = index * self.level.columns() * self.k;
        let panel = &self.data[start..self.data.len().min(start + self.level.columns() * self.k)];
        (panel, panel.len() / self.k)
    }
}

/// `panel[k, width] = w[n, k]ᵀ`.
pub(super) fn transpose_panel(level: Level, w: View<'_>, width: usize, panel: &mut [f32]) {
    assert!(level.serves() && w.rows <= width && width.is_multiple_of(level.lanes()));
    assert!(panel.len() >= w.columns * width);
    // SAFETY: the assertions, and the view's own bounds for what is read.
    unsafe { level.pack((w.rows, w.columns, width), w.data.as_ptr(), w.stride, panel.as_mut_ptr()) };
}

/// `c[m, n] = x[m, k] · w[k, n]` on this thread; rows of `c` are `stride` apart, at least n rounded up to whole
/// registers; columns beyond n are overwritten.
pub(super) fn times_here(x: View<'_>, w: Packed<'_>, chunks: Chunks, c: &mut [f32], stride: usize) {
    block(x, w, 0..w.panels(), chunks, c, stride);
}

/// As [`times_here`] for some panels of w, of which the first corresponds to the first column of c.
fn block(x: View<'_>, w: Packed<'_>, panels: Range<usize>, chunks: Chunks, c: &mut [f32], stride: usize) {
    let level = w.level;
    assert!(level.serves());
    assert_eq!(x.columns, w.k);
    if x.rows == 0 || panels.is_empty() {
        return;
    }
    let columns = (panels.len() - 1) * level.columns() + w.panel(panels.end - 1).1;
    assert!(columns <= stride && (x.rows - 1) * stride + columns <= c.len(), "a product past its target");
    for (from, len) in chunks.of(w.k) {
        for (place, panel) in panels.clone().enumerate() {
            let (panel, width) = w.panel(panel);
            let panel = &panel[from * width..(from + len) * width];
            for row in (0..x.rows).step_by(level.rows()) {
                let rows = level.rows().min(x.rows - row);
                // SAFETY: the view bounds what is read of x, the slice above bounds the panel, and the assertion bounds
                // what is written: rows up to the last, at the columns of this panel.
                unsafe {
                    let x_at = x.data.as_ptr().add(row * x.stride + from);
                    let c_at = c.as_mut_ptr().add(row * stride + place * level.columns());
                    level.tile((rows, len, width), x_at, x.stride, panel.as_ptr(), c_at, stride, from > 0);
                }
            }
        }
    }
}

thread_local! {
    /// A block of outputs, reused between products so that its pages are faulted in only once.
    static OUTPUTS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// `out[m, n] = x[m, k] · w[k, n]`, added to the existing values if `add`; rows of `out` are `stride` apart.
pub(super) fn times(x: View<'_>, w: Packed<'_>, out: &mut [f32], stride: usize, add: bool) {
    let (m, n) = (x.rows, w.n);
    if m == 0 || n == 0 {
        return;
    }
    assert!(n <= stride || m == 1);
    assert!((m - 1) * stride + n <= out.len(), "a product past its target");
    let tile = w.level.columns();
    let (down, across) = (m.div_ceil(BLOCK.0), w.panels().div_ceil((BLOCK.1 / tile).max(1)));
    let (rows, panels) = (m.div_ceil(down), w.panels().div_ceil(across));
    let target = Shared::new(out);
    (0..down * across).into_par_iter().for_each(|task| {
        let (row, panel) = (task / across * rows, task % across * panels);
        if row >= m || panel >= w.panels() {
            return;
        }
        let rows = rows.min(m - row);
        let here = panel..w.panels().min(panel + panels);
        let (first, last) = (panel * tile, n.min(here.end * tile));
        let width = panels * tile;
        let mut c = OUTPUTS.take();
        if c.len() < rows * width {
            c.resize(rows * width, 0.0);
        }
        let view = View::new(&x.data[row * x.stride..], rows, x.columns, x.stride);
        block(view, w, here, Chunks::even(w.k), &mut c, width);
        for (i, c) in c.chunks_exact(width).take(rows).enumerate() {
            // SAFETY: in bounds by the assertion above; no other task writes these rows at these columns.
            let to = unsafe {
                std::slice::from_raw_parts_mut(target.at((row + i) * stride + first), last - first)
            };
            if add {
                simd::add_scaled(to, c, 1.0);
            } else {
                to.copy_from_slice(&c[..last - first]);
            }
        }
        OUTPUTS.set(c);
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::kernel::CHUNK;
    use super::*;

    fn levels() -> Vec<Level> {
        let all = [
            #[cfg(target_arch = "x86_64")]
            Level::Avx512,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2,
            Level::Portable,
        ];
        all.into_iter().filter(|l| l.serves()).collect()
    }

    fn values(n: usize, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / 8_388_608.0 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    /// Reference that every kernel with fused multiply-add must match to the last bit.
    fn by_definition(x: &[f32], w: &[f32], chunks: Chunks) -> f32 {
        let mut sums = chunks
            .of(x.len())
            .map(|(from, len)| (from..from + len).fold(0f32, |sum, i| x[i].mul_add(w[i], sum)));
        let first = sums.next().expect("a term");
        sums.fold(first, |a, b| a + b)
    }

    fn product(level: Level, x: View<'_>, w: View<'_>, out: &mut [f32], stride: usize, add: bool) {
        let mut buffer = Vec::new();
        times(x, Packed::transposed(level, w, &mut buffer, true), out, stride, add);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        /// All tails: rows and columns that are no multiple of a tile's or a block's, inner dimensions of one and of
        /// many chunks, wider strides, accumulation.
        #[test]
        fn a_product_is_what_its_definition_says_to_the_last_bit(
            m in prop_oneof![1usize..40, 250usize..262],
            n in prop_oneof![1usize..120, 140usize..150],
            k in prop_oneof![1usize..40, 120usize..140, 250usize..400],
            gaps in (0usize..3, 0usize..3, 0usize..3),
            add in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let (x_stride, w_stride, stride) = (k + gaps.0, k + gaps.1, n + gaps.2);
            let (x, w) = (values(m * x_stride, seed), values(n * w_stride, seed ^ 77));
            for level in levels() {
                let mut out = vec![0.25f32; m * stride];
                product(level, View::new(&x, m, k, x_stride), View::new(&w, n, k, w_stride), &mut out, stride, add);
                for i in 0..m {
                    for j in 0..stride {
                        let got = out[i * stride + j];
                        if j >= n {
                            prop_assert_eq!(got, 0.25, "{:?} wrote beyond row {}", level, i);
                            continue;
                        }
                        let sum = by_definition(&x[i * x_stride..][..k], &w[j * w_stride..][..k], Chunks::even(k));
                        let want = if add { 0.25 + sum } else { sum };
                        if level == Level::Portable {
                            prop_assert!((got - want).abs() < 1e-5, "{i} {j}: {got} {want}");
                        } else {
                            prop_assert_eq!(got.to_bits(), want.to_bits(), "{:?} {} {}: {} {}", level, i, j, got, want);
                        }
                    }
                }
            }
        }

        /// A sum over positions does not depend on where the terms start, if the earlier ones are zeros.
        #[test]
        fn aligned_sums_do_not_depend_on_their_start(
            start in 0usize..300,
            len in 1usize..300,
            n in 1usize..20,
            seed in any::<u64>(),
        ) {
            let k = start + len;
            let mut x = values(3 * k, seed);
            x.chunks_exact_mut(k).for_each(|row| row[..start].fill(0.0));
            let v = values(k * n, seed ^ 5);
            let columns = n;
            for level in levels() {
                let padded = n.next_multiple_of(level.lanes());
                let here = |from: usize| {
                    let mut buffer = Vec::new();
                    let packed = Packed::fill(level, (k - from, n), &mut buffer, false, |column, n, width, panel| {
                        for (row, to) in panel.chunks_exact_mut(width).enumerate() {
                            to.fill(0.0);
                            to[..n].copy_from_slice(&v[(from + row) * columns + column..][..n]);
                        }
                    });
                    let mut c = vec![0f32; 3 * padded];
                    let x = View::new(&x[from..], 3, k - from, k);
                    times_here(x, packed, Chunks::aligned(from), &mut c, padded);
                    c
                };
                let whole = here(0);
                for from in [start / 2, start] {
                    prop_assert!(here(from) == whole, "{level:?} from {from}");
                }
            }
        }
    }

    #[test]
    fn chunks_cover_every_term_once_and_are_short() {
        for k in 1..1000 {
            for chunks in [Chunks::even(k), Chunks::aligned(k % 311)] {
                let mut next = 0;
                for (from, len) in chunks.of(k) {
                    assert!(from == next && (1..=CHUNK).contains(&len), "{k}: {from} {len}");
                    next += len;
                }
                assert_eq!(next, k);
            }
        }
        assert_eq!(Chunks::aligned(130).of(300).collect::<Vec<_>>(), [(0, 126), (126, 128), (254, 46)]);
    }

    /// The limit is the error of torch 2.15 on a Zen 4 processor for the same numbers (2.5e-7 to 2.7e-7); one register
    /// for all of 1536 terms gives 5e-7, for 512 at a time 4e-7.
    #[test]
    fn long_sums_are_no_less_exact_than_in_torch() {
        let (m, n) = (12, 48);
        for k in [576, 896, 1536, 4864] {
            let (x, w) = (values(m * k, k as u64), values(n * k, 3));
            for level in levels() {
                let mut out = vec![0f32; m * n];
                product(level, View::new(&x, m, k, k), View::new(&w, n, k, k), &mut out, n, false);
                let (mut off, mut size) = (0.0, 0.0);
                for i in 0..m {
                    for j in 0..n {
                        let term = |c: usize| f64::from(x[i * k + c]) * f64::from(w[j * k + c]);
                        let want: f64 = (0..k).map(term).sum();
                        off += (f64::from(out[i * n + j]) - want).powi(2);
                        size += want * want;
                    }
                }
                let error = (off / size).sqrt();
                assert!(error < 2.6e-7, "{level:?}, {k} terms: {error:.2e}");
            }
        }
    }

    #[test]
    fn a_row_is_the_same_alone_and_among_others() {
        let (m, n, k) = (300, 100, 700);
        let (x, w) = (values(m * k, 1), values(n * k, 2));
        for level in levels() {
            let mut whole = vec![0f32; m * n];
            product(level, View::new(&x, m, k, k), View::new(&w, n, k, k), &mut whole, n, false);
            for i in [0, 7, 128, 299] {
                let mut alone = vec![0f32; n];
                product(level, View::new(&x[i * k..], 1, k, k), View::new(&w, n, k, k), &mut alone, n, false);
                assert!(alone == whole[i * n..][..n], "{level:?}, row {i}");
            }
        }
    }
}
