//! The three matrix products of a linear layer, row-major and packed.

use gemm::Parallelism;

/// One operand: data, step between rows, step between columns.
type Operand<'a> = (&'a [f32], usize, usize);

fn product(m: usize, n: usize, k: usize, a: Operand<'_>, b: Operand<'_>, out: &mut [f32], add: bool) {
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    assert!(out.len() >= m * n);
    assert!(a.0.len() > (m - 1) * a.1 + (k - 1) * a.2);
    assert!(b.0.len() > (k - 1) * b.1 + (n - 1) * b.2);
    // SAFETY: the assertions bound every element that is read or written, and `out` is borrowed mutably, so it overlaps
    // neither operand.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            add,
            a.0.as_ptr(),
            a.2 as isize,
            a.1 as isize,
            b.0.as_ptr(),
            b.2 as isize,
            b.1 as isize,
            1f32,
            1f32,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// `y[t, n] = x[t, k] · w[n, k]ᵀ`, added to the existing values if `add`.
pub fn forward(x: &[f32], w: &[f32], t: usize, n: usize, k: usize, y: &mut [f32], add: bool) {
    product(t, n, k, (x, k, 1), (w, 1, k), y, add);
}

/// `dx[t, k] = dy[t, n] · w[n, k]`.
pub fn to_input(dy: &[f32], w: &[f32], t: usize, n: usize, k: usize, dx: &mut [f32]) {
    product(t, k, n, (dy, n, 1), (w, k, 1), dx, false);
}

/// `dw[n, k] += dy[t, n]ᵀ · x[t, k]`.
pub fn to_weight(dy: &[f32], x: &[f32], t: usize, n: usize, k: usize, dw: &mut [f32]) {
    product(n, k, t, (dy, 1, n), (x, k, 1), dw, true);
}
