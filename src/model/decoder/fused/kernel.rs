//! Kernels of f32 products: a tile of outputs in registers, with at most [`CHUNK`] terms summed in one register.
//!
//! Rounding errors of a sum in one f32 register grow with its number of terms. So the inner dimension is cut into
//! chunks, each chunk is summed in registers, and the chunk sums are added up. The order of summation of an output
//! depends only on the chunks: results are bit-identical for any number of rows or threads, and kernels with fused
//! multiply-add agree with each other as well.

/// Maximum number of terms summed in one register. Between 64 and 128 the error against f64 is below that of torch for
/// inner dimensions of 500 to 20,000; shorter chunks cost time.
pub(super) const CHUNK: usize = 128;

/// How terms are grouped into sums: a first chunk, then chunks of `step`; the last one holds the remainder.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunks {
    first: usize,
    step: usize,
}

impl Chunks {
    /// Splits `k` terms into chunks as equal as possible.
    pub(super) fn even(k: usize) -> Self {
        let step = k.div_ceil(k.div_ceil(CHUNK).max(1)).max(1);
        Self { first: step, step }
    }

    /// Chunks for terms at positions from `start` on, cut at the multiples of [`CHUNK`]: a sum over the same positions
    /// does not depend on where the terms start, if the omitted ones are zeros.
    pub(super) fn aligned(start: usize) -> Self {
        Self { first: CHUNK - start % CHUNK, step: CHUNK }
    }

    /// Start and length of each chunk of `k` terms.
    pub(super) fn of(self, k: usize) -> impl Iterator<Item = (usize, usize)> {
        let mut from = 0;
        std::iter::from_fn(move || {
            let len = if from == 0 { self.first } else { self.step }.min(k - from);
            let chunk = (len > 0).then_some((from, len));
            from += len;
            chunk
        })
    }
}

/// Instruction set used for products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    /// 512-bit registers: tiles of 8 × 48.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// 256-bit registers and fused multiplication and addition: tiles of 6 × 16.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Whatever the compiler generates from plain code: tiles of 4 × 16.
    Portable,
}

impl Level {
    /// The best level that this processor supports.
    pub(super) fn best() -> Self {
        #[cfg(target_arch = "x86_64")]
        for level in [Self::Avx512, Self::Avx2] {
            if level.serves() {
                return level;
            }
        }
        Self::Portable
    }

    /// Whether this processor supports the level.
    pub(super) fn serves(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Self::Portable => true,
        }
    }

    /// Rows of a tile.
    pub(super) fn rows(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 8,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 6,
            Self::Portable => portable::ROWS,
        }
    }

    /// Columns of a tile: the width of a panel.
    pub(super) fn columns(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 48,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 16,
            Self::Portable => portable::COLUMNS,
        }
    }

    /// Columns of one register: the width of a panel is a multiple of it.
    pub(super) fn lanes(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => 16,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 8,
            Self::Portable => portable::COLUMNS,
        }
    }

    /// `c[rows, width] = x[rows, k] · panel[k, width]`, added to the existing values if `add`; rows of `x` are
    /// `x_stride` apart, those of `c` `c_stride`.
    ///
    /// # Safety
    /// The processor must have the instructions; `rows` and `width` are at least 1 and at most a tile's, `width` a
    /// multiple of the lanes; `x`, `panel` and `c` must be valid for the extents above.
    #[allow(clippy::too_many_arguments)]
    pub(super) unsafe fn tile(
        self,
        (rows, k, width): (usize, usize, usize),
        x: *const f32,
        x_stride: usize,
        panel: *const f32,
        c: *mut f32,
        c_stride: usize,
        add: bool,
    ) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Self::Avx512 => avx512::tile(rows, k, width, x, x_stride, panel, c, c_stride, add),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => avx2::tile(rows, k, width, x, x_stride, panel, c, c_stride, add),
                Self::Portable => portable::tile(rows, k, x, x_stride, panel, c, c_stride, add),
            }
        }
    }

    /// `panel[k, width] = w[n, k]ᵀ`, with zeros in the columns from n on; rows of `w` are `stride` apart.
    ///
    /// # Safety
    /// The processor must have the instructions; `n ≤ width`, a multiple of the lanes; `w` and `panel` must be valid
    /// for the extents above.
    pub(super) unsafe fn pack(
        self,
        (n, k, width): (usize, usize, usize),
        w: *const f32,
        stride: usize,
        panel: *mut f32,
    ) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Self::Avx512 | Self::Avx2 => transpose::pack(n, k, width, w, stride, panel),
                Self::Portable => portable::pack(n, k, (0, 0), width, w, stride, panel),
            }
        }
    }
}

mod portable {
    //! Portable kernels.

    pub(super) const ROWS: usize = 4;
    pub(super) const COLUMNS: usize = 16;

    /// Whether fused multiply-add is an instruction; otherwise it costs a call.
    const FUSED: bool = cfg!(any(target_feature = "fma", target_arch = "aarch64"));

    /// # Safety
    /// As [`super::Level::tile`], with a width of [`COLUMNS`].
    #[allow(clippy::too_many_arguments)]
    pub(super) unsafe fn tile(
        rows: usize,
        k: usize,
        x: *const f32,
        x_stride: usize,
        panel: *const f32,
        c: *mut f32,
        c_stride: usize,
        add: bool,
    ) {
        let mut sums = [[0f32; COLUMNS]; ROWS];
        for i in 0..k {
            // SAFETY: `i < k`, and the caller's guarantee; rows past the last one repeat it.
            let (w, x): ([f32; COLUMNS], [f32; ROWS]) = unsafe {
                let x = std::array::from_fn(|r| *x.add(r.min(rows - 1) * x_stride + i));
                (*panel.add(i * COLUMNS).cast(), x)
            };
            for (sums, x) in sums.iter_mut().zip(x) {
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = if FUSED { x.mul_add(w, *sum) } else { *sum + x * w };
                }
            }
        }
        for (r, sums) in sums.iter().enumerate().take(rows) {
            for (v, sum) in sums.iter().enumerate() {
                // SAFETY: guaranteed by the caller.
                unsafe {
                    let to = c.add(r * c_stride + v);
                    *to = if add { *to + sum } else { *sum };
                }
            }
        }
    }

    /// Packs the rest after the first `done` rows and columns of `w` have been packed.
    ///
    /// # Safety
    /// As [`super::Level::pack`].
    pub(super) unsafe fn pack(
        n: usize,
        k: usize,
        done: (usize, usize),
        width: usize,
        w: *const f32,
        stride: usize,
        panel: *mut f32,
    ) {
        for i in 0..width {
            for j in if i < done.0 { done.1 } else { 0 }..k {
                // SAFETY: the caller's promise.
                unsafe { *panel.add(j * width + i) = if i < n { *w.add(i * stride + j) } else { 0.0 } };
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
macro_rules! tiles {
    ($module:ident, $features:literal, $register:ident, $lanes:literal, $zero:ident, $load:ident, $store:ident,
     $all:ident, $fma:ident, $sum:ident, [$($rows:literal)+], [$($vectors:literal)+]) => {
        mod $module {
            use std::arch::x86_64::*;

            /// # Safety
            /// As [`super::Level::tile`].
            #[target_feature(enable = $features)]
            #[allow(clippy::too_many_arguments)]
            pub(super) unsafe fn tile(
                rows: usize,
                k: usize,
                width: usize,
                x: *const f32,
                x_stride: usize,
                panel: *const f32,
                c: *mut f32,
                c_stride: usize,
                add: bool,
            ) {
                tiles!(@rows rows, width / $lanes, [$($rows)+], [$($vectors)+],
                    (k, x, x_stride, panel, c, c_stride, add));
            }

            /// R rows of V registers.
            ///
            /// # Safety
            /// As [`super::Level::tile`].
            #[target_feature(enable = $features)]
            unsafe fn fixed<const R: usize, const V: usize>(
                k: usize,
                x: *const f32,
                x_stride: usize,
                panel: *const f32,
                c: *mut f32,
                c_stride: usize,
                add: bool,
            ) {
                let mut sums = [[$zero(); V]; R];
                let rows: [*const f32; R] = std::array::from_fn(|r| x.wrapping_add(r * x_stride));
                let mut at = panel;
                let mut step = |i: usize| {
                    // SAFETY: `i < k` counts up from 0, and the caller's guarantee.
                    unsafe {
                        let w: [$register; V] = std::array::from_fn(|v| $load(at.add(v * $lanes)));
                        at = at.add(V * $lanes);
                        for r in 0..R {
                            let x = $all(*rows[r].add(i));
                            for v in 0..V {
                                sums[r][v] = $fma(x, w[v], sums[r][v]);
                            }
                        }
                    }
                };
                for i in (0..k / 4 * 4).step_by(4) {
                    step(i);
                    step(i + 1);
                    step(i + 2);
                    step(i + 3);
                }
                for i in k / 4 * 4..k {
                    step(i);
                }
                for r in 0..R {
                    for v in 0..V {
                        // SAFETY: guaranteed by the caller.
                        unsafe {
                            let to = c.add(r * c_stride + v * $lanes);
                            let sum = if add { $sum($load(to), sums[r][v]) } else { sums[r][v] };
                            $store(to, sum);
                        }
                    }
                }
            }
        }
    };
    (@rows $r:expr, $v:expr, [$($rows:literal)+], $vectors:tt, $args:tt) => {
        match $r {
            $($rows => tiles!(@vectors $rows, $v, $vectors, $args),)+
            _ => unreachable!("more rows than a tile has"),
        }
    };
    (@vectors $rows:literal, $v:expr, [$($vectors:literal)+], $args:tt) => {
        match $v {
            $($vectors => tiles!(@call $rows, $vectors, $args),)+
            _ => unreachable!("more columns than a tile has"),
        }
    };
    // SAFETY of the call: passes on the caller's guarantee.
    (@call $rows:literal, $vectors:literal, ($($arg:expr),+)) => {
        unsafe { fixed::<$rows, $vectors>($($arg),+) }
    };
}

#[cfg(target_arch = "x86_64")]
tiles!(
    avx512, "avx512f", __m512, 16, _mm512_setzero_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps,
    _mm512_fmadd_ps, _mm512_add_ps, [1 2 3 4 5 6 7 8], [1 2 3]
);
#[cfg(target_arch = "x86_64")]
tiles!(
    avx2, "avx2,fma", __m256, 8, _mm256_setzero_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps,
    _mm256_fmadd_ps, _mm256_add_ps, [1 2 3 4 5 6], [1 2]
);

#[cfg(target_arch = "x86_64")]
mod transpose {
    //! Packing in blocks of 8 × 8.

    use std::arch::x86_64::*;

    /// # Safety
    /// As [`super::Level::pack`]; the processor must have AVX2.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn pack(
        n: usize,
        k: usize,
        width: usize,
        w: *const f32,
        stride: usize,
        panel: *mut f32,
    ) {
        let (whole_n, whole_k) = (n / 8 * 8, k / 8 * 8);
        // Two adjacent blocks fill a cache line, and few enough rows are read at a time for the processor to prefetch
        // them.
        for pair in (0..whole_n).step_by(16) {
            for j in (0..whole_k).step_by(8) {
                for i in (pair..whole_n.min(pair + 16)).step_by(8) {
                    // SAFETY: eight rows from i and eight columns from j are inside both matrices.
                    unsafe { eight(w.add(i * stride + j), stride, panel.add(j * width + i), width) };
                }
            }
        }
        // SAFETY: guaranteed by the caller.
        unsafe { super::portable::pack(n, k, (whole_n, whole_k), width, w, stride, panel) };
    }

    /// # Safety
    /// Both pointers must be valid for eight rows of eight, the given strides apart.
    #[target_feature(enable = "avx2")]
    unsafe fn eight(from: *const f32, from_stride: usize, to: *mut f32, to_stride: usize) {
        // Rows r and r + 4, one in each half of a register.
        let pair = |r: usize, c: usize| {
            // SAFETY: guaranteed by the caller.
            unsafe {
                _mm256_insertf128_ps::<1>(
                    _mm256_castps128_ps256(_mm_loadu_ps(from.add(r * from_stride + c))),
                    _mm_loadu_ps(from.add((r + 4) * from_stride + c)),
                )
            }
        };
        for c in [0, 4] {
            let (a, b, c4, d) = (pair(0, c), pair(1, c), pair(2, c), pair(3, c));
            let (low_ab, high_ab) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (low_cd, high_cd) = (_mm256_unpacklo_ps(c4, d), _mm256_unpackhi_ps(c4, d));
            let columns = [
                _mm256_shuffle_ps::<0b01_00_01_00>(low_ab, low_cd),
                _mm256_shuffle_ps::<0b11_10_11_10>(low_ab, low_cd),
                _mm256_shuffle_ps::<0b01_00_01_00>(high_ab, high_cd),
                _mm256_shuffle_ps::<0b11_10_11_10>(high_ab, high_cd),
            ];
            for (i, column) in columns.into_iter().enumerate() {
                // SAFETY: guaranteed by the caller.
                unsafe { _mm256_storeu_ps(to.add((c + i) * to_stride), column) };
            }
        }
    }
}
