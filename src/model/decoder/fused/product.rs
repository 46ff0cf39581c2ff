//! Matrix products into place: C = X Wᵀ (+ C), strided, through the `gemm` crate.

use gemm::Parallelism;

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
}

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
