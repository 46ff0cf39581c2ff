//! Norms, rotation and gate, each with its gradient; compiled for the widest available vectors.

/// Defines a function that runs `$body` with the best available instruction set.
macro_rules! dispatch {
    ($(#[$doc:meta])* $name:ident = $body:ident($($arg:ident: $type:ty),* $(,)?)) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        pub fn $name($($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn wide($($arg: $type),*) {
                    $body($($arg),*)
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has every feature that `wide` was compiled for.
                    return unsafe { wide($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}
pub(super) use dispatch;

/// ε added to the mean square.
pub const EPS: f32 = 1e-5;

/// A dot product in eight running sums, so that it vectorises.
#[inline(always)]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; 8];
    let (ca, cb) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = ca.remainder().iter().zip(cb.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in ca.zip(cb) {
        for i in 0..8 {
            sums[i] += x[i] * y[i];
        }
    }
    let four: [f32; 4] = std::array::from_fn(|i| sums[i] + sums[i + 4]);
    (four[0] + four[2]) + (four[1] + four[3]) + rest
}

dispatch! {
    /// y = x / √(mean(x²) + ε) · w, row by row; `inverse` stores 1 / √(…).
    norm = norm_body(x: &[f32], w: &[f32], y: &mut [f32], inverse: &mut [f32])
}

#[inline(always)]
fn norm_body(x: &[f32], w: &[f32], y: &mut [f32], inverse: &mut [f32]) {
    let d = w.len();
    for ((x, y), inverse) in x.chunks_exact(d).zip(y.chunks_exact_mut(d)).zip(inverse) {
        let r = 1.0 / (dot(x, x) / d as f32 + EPS).sqrt();
        *inverse = r;
        for i in 0..d {
            y[i] = x[i] * r * w[i];
        }
    }
}

dispatch! {
    /// Adds the norm's gradient to `dx` and `dw`; `dy` is overwritten.
    norm_back = norm_back_body(
        x: &[f32], w: &[f32], inverse: &[f32], dy: &mut [f32], dx: &mut [f32], dw: &mut [f32],
    )
}

#[inline(always)]
fn norm_back_body(x: &[f32], w: &[f32], inverse: &[f32], dy: &mut [f32], dx: &mut [f32], dw: &mut [f32]) {
    let d = w.len();
    let rows = x.chunks_exact(d).zip(dy.chunks_exact_mut(d)).zip(dx.chunks_exact_mut(d)).zip(inverse);
    for (((x, dy), dx), &r) in rows {
        for i in 0..d {
            dw[i] += dy[i] * x[i] * r;
            dy[i] *= w[i];
        }
        let pull = dot(dy, x) * r * r * r / d as f32;
        for i in 0..d {
            dx[i] += dy[i] * r - x[i] * pull;
        }
    }
}

dispatch! {
    /// out = silu(gate) · up, with gate and up concatenated in each row.
    gate = gate_body(gate_up: &[f32], m: usize, out: &mut [f32])
}

#[inline(always)]
fn gate_body(gate_up: &[f32], m: usize, out: &mut [f32]) {
    for (row, out) in gate_up.chunks_exact(2 * m).zip(out.chunks_exact_mut(m)) {
        let (gate, up) = row.split_at(m);
        for i in 0..m {
            out[i] = gate[i] / (1.0 + exp(-gate[i])) * up[i];
        }
    }
}

dispatch! {
    /// Gradient of [`gate`]: `gate_up` is replaced by its gradient.
    gate_back = gate_back_body(gate_up: &mut [f32], m: usize, dout: &[f32])
}

#[inline(always)]
fn gate_back_body(gate_up: &mut [f32], m: usize, dout: &[f32]) {
    for (row, dout) in gate_up.chunks_exact_mut(2 * m).zip(dout.chunks_exact(m)) {
        let (gate, up) = row.split_at_mut(m);
        for i in 0..m {
            let g = gate[i];
            let s = 1.0 / (1.0 + exp(-g));
            let (d, u) = (dout[i], up[i]);
            up[i] = d * g * s;
            gate[i] = d * u * s * (1.0 + g * (1.0 - s));
        }
    }
}

/// eˣ to about 1e-7 relative, in operations that vectorise.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    let n = (x * std::f32::consts::LOG2_E + 12_582_912.0) - 12_582_912.0;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.0 / 5040.0;
    let p = p * r + 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    f32::from_bits(((n as i32 + 127) << 23) as u32) * p
}

/// Cosines and sines by position, `[positions, half]`.
pub struct Angles {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl Angles {
    /// Angles position · base^(−2i/head) of a head.
    pub fn new(positions: usize, head: usize, base: f64) -> Self {
        let half = head / 2;
        let angle = |p: usize, i: usize| p as f64 * base.powf(-2.0 * i as f64 / head as f64);
        let cells = |f: fn(f64) -> f64| {
            (0..positions).flat_map(|p| (0..half).map(move |i| f(angle(p, i)) as f32)).collect()
        };
        Self { cos: cells(f64::cos), sin: cells(f64::sin), half }
    }

    /// Rotates the first `width` entries of each row (queries and keys), head by head; in reverse if `inverse`.
    pub fn rotate(&self, rows: &mut [f32], stride: usize, width: usize, positions: &[u32], inverse: bool) {
        let half = self.half;
        let sign = if inverse { -1.0 } else { 1.0 };
        for (row, &position) in rows.chunks_exact_mut(stride).zip(positions) {
            let at = position as usize * half;
            let (cos, sin) = (&self.cos[at..at + half], &self.sin[at..at + half]);
            for head in row[..width].chunks_exact_mut(2 * half) {
                let (low, high) = head.split_at_mut(half);
                for i in 0..half {
                    let (a, b, s) = (low[i], high[i], sign * sin[i]);
                    low[i] = a * cos[i] - b * s;
                    high[i] = b * cos[i] + a * s;
                }
            }
        }
    }
}
