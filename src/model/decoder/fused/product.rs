//! Matrix products into place: C = X Wᵀ (+ C), strided.
//!
//! f32 goes through the `gemm` crate, which with its feature `x86-v4` comes near the processor's peak; bf16 through our
//! own panels.

use gemm::Parallelism;

use super::panels::{self, Panels};

/// A strided view of a matrix, rows by columns, that may be read.
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

/// Weights `[n, k]` ready to be multiplied with.
#[derive(Clone, Copy)]
pub(super) enum Weights<'a> {
    /// f32, as rows.
    Rows(View<'a>),
    /// bf16: `n` rows from `first`, a multiple of 64.
    Panels { panels: &'a Panels, first: usize, n: usize },
}

impl Weights<'_> {
    pub(super) fn n(&self) -> usize {
        match self {
            Self::Rows(view) => view.rows,
            Self::Panels { n, .. } => *n,
        }
    }

    /// `out[m, n] = x[m, k] · selfᵀ`, added to what is there if `add`; rows of `out` are `stride` apart.
    pub(super) fn times(&self, x: View<'_>, out: &mut [f32], stride: usize, add: bool) {
        match *self {
            Self::Rows(w) => times_transposed(x, w, out, stride, add, Threads::All),
            Self::Panels { panels, first, n } => {
                panels::times_transposed(x, panels, first, n, out, stride, add);
            }
        }
    }
}

/// A pointer that tasks may share, since no two of them touch the same elements.
#[derive(Clone, Copy)]
pub(super) struct Shared(*mut f32);

impl Shared {
    pub(super) fn new(data: &mut [f32]) -> Self {
        Self(data.as_mut_ptr())
    }

    /// The element at an index.
    ///
    /// # Safety
    /// The index must lie inside the buffer, and whoever writes there must be the only one.
    pub(super) unsafe fn at(self, index: usize) -> *mut f32 {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(index) }
    }
}

// SAFETY: `at` makes its callers vouch that no two of them touch the same element.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// How the threads of a product are chosen.
#[derive(Clone, Copy)]
pub(super) enum Threads {
    /// All of rayon's.
    All,
    /// The caller's own: the caller is already one of many.
    One,
}

/// `out[m, n] = x[m, k] · w[n, k]ᵀ`, added to what is there if `add`; rows of `out` are `stride` apart.
pub(super) fn times_transposed(
    x: View<'_>,
    w: View<'_>,
    out: &mut [f32],
    stride: usize,
    add: bool,
    threads: Threads,
) {
    assert_eq!(x.columns, w.columns);
    product(x, (w, 1, w.stride as isize), w.rows, out, stride, add, threads);
}

/// `out[m, n] = x[m, k] · v[k, n]`, added to what is there if `add`; rows of `out` are `stride` apart.
pub(super) fn times(x: View<'_>, v: View<'_>, out: &mut [f32], stride: usize, add: bool, threads: Threads) {
    assert_eq!(x.columns, v.rows);
    product(x, (v, v.stride as isize, 1), v.columns, out, stride, add, threads);
}

fn product(
    x: View<'_>,
    (right, row_stride, column_stride): (View<'_>, isize, isize),
    n: usize,
    out: &mut [f32],
    stride: usize,
    add: bool,
    threads: Threads,
) {
    let (m, k) = (x.rows, x.columns);
    if m == 0 || n == 0 {
        return;
    }
    assert!(n <= stride || m == 1);
    assert!((m - 1) * stride + n <= out.len(), "a product past its target");
    let parallelism = match threads {
        Threads::All => Parallelism::Rayon(0),
        Threads::One => Parallelism::None,
    };
    // SAFETY: the views and the assertion above bound every element that is read or written, `out` is
    // borrowed mutably and so overlaps neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            stride as isize,
            add,
            x.data.as_ptr(),
            1,
            x.stride as isize,
            right.data.as_ptr(),
            column_stride,
            row_stride,
            1f32,
            1f32,
            false,
            false,
            false,
            parallelism,
        );
    }
}
