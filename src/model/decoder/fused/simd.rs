//! Element-wise kernels, written once and compiled for the widest vectors the processor has.
//!
//! Each body is plain Rust that the compiler vectorises; [`dispatch!`] compiles it three times (AVX-512,
//! AVX2 with FMA, baseline) and picks one at run time.

/// Defines `pub(super) fn $name`, which runs `$body` with the best available instruction set.
macro_rules! dispatch {
    ($(#[$doc:meta])* $name:ident = $body:ident($($arg:ident: $type:ty),*) $(-> $ret:ty)?) => {
        $(#[$doc])*
        pub(super) fn $name($($arg: $type),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx2,fma")]
                fn wide($($arg: $type),*) $(-> $ret)? {
                    $body($($arg),*)
                }
                #[target_feature(enable = "avx2,fma")]
                fn middle($($arg: $type),*) $(-> $ret)? {
                    $body($($arg),*)
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("fma")
                {
                    // SAFETY: the processor has every feature that `wide` was compiled for.
                    return unsafe { wide($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has every feature that `middle` was compiled for.
                    return unsafe { middle($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}

dispatch! {
    /// y = x / √(mean(x²) + ε) · w.
    rms_norm = rms_norm_body(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32])
}
dispatch! {
    /// y = (x − mean) / √(var + ε) · w + b.
    layer_norm = layer_norm_body(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, y: &mut [f32])
}
dispatch! {
    /// gate ← silu(gate) · up.
    silu_gate = silu_gate_body(gate: &mut [f32], up: &[f32])
}
dispatch! {
    /// x ← silu(x).
    silu = silu_body(x: &mut [f32])
}
dispatch! {
    /// x ← x · Φ(x).
    gelu = gelu_body(x: &mut [f32])
}
dispatch! {
    /// x ← the tanh approximation of x · Φ(x).
    gelu_tanh = gelu_tanh_body(x: &mut [f32])
}
dispatch! {
    /// x ← cap · tanh(x / cap).
    soft_cap = soft_cap_body(x: &mut [f32], cap: f32)
}
dispatch! {
    /// x ← exp(x − max) / Σ exp(x − max).
    softmax = softmax_body(x: &mut [f32])
}
dispatch! {
    /// max(x) and Σ exp(x − max(x)).
    max_and_sum_exp = max_and_sum_exp_body(x: &[f32]) -> (f32, f32)
}
dispatch! {
    /// Rotates one head: pairs (x_i, x_{i + half}).
    rotate = rotate_body(x: &mut [f32], cos: &[f32], sin: &[f32])
}
dispatch! {
    /// x ← x + s · y.
    add_scaled = add_scaled_body(x: &mut [f32], y: &[f32], s: f32)
}
dispatch! {
    /// gate ← gate · up.
    multiply = multiply_body(gate: &mut [f32], up: &[f32])
}

/// Σ cᵢ xⁱ, the highest coefficient first.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for c in &coefficients[1..] {
        sum = sum * x + c;
    }
    sum
}

/// eˣ to about one unit in the last place for −87 ≤ x ≤ 88; 0 below, e⁸⁸ above.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; e^r by its Taylor polynomial of degree 7, whose small terms are summed before 1
/// is added; 2ⁿ by exponent bits.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, so that n times the first part is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 · 2²³ rounds to the nearest integer, which is then in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = clamped * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (clamped - n * LN2_HIGH) - n * LN2_LOW;
    let beyond = polynomial(r, [1.0 / 5040.0, 1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5]);
    let p = 1.0 + (r + r * r * beyond);
    // Neither a checked sum nor a saturating cast: both would prevent vectorisation.
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if x < -87.0 { 0.0 } else { p * power }
}

/// tanh x: an odd polynomial (Cephes) near 0, where the other form would suffer cancellation.
#[inline(always)]
fn tanh(x: f32) -> f32 {
    let square = x * x;
    let near =
        polynomial(square, [-5.704_988_7e-3, 2.063_909e-2, -5.373_971_6e-2, 1.333_144_2e-1, -3.333_328e-1]);
    let far = (1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0)).copysign(x);
    if x.abs() < 0.625 { x + x * square * near } else { far }
}

/// Coefficients for [`normal`], the highest first.
const ERFCX: [f32; 8] = [
    0.093_034_5,
    -0.224_854_05,
    0.080_652_975,
    0.062_250_1,
    0.178_282_54,
    0.247_078_6,
    0.282_025_46,
    0.282_099_13,
];

/// Φ(x), the standard normal distribution function.
///
/// With a = |x| / √2: below 1 by a polynomial for erf(a) / a in a² (Cephes), beyond by one for e^(a²) erfc(a)
/// in 1 / (1 + a/2), fitted to 1.1e-8 on 1 ≤ a ≤ 10, so that small probabilities keep their digits.
#[inline(always)]
fn normal(x: f32) -> f32 {
    let signed = x * std::f32::consts::FRAC_1_SQRT_2;
    let a = signed.abs();
    let erf = signed
        * polynomial(
            a * a,
            [
                7.853_861e-5,
                -8.010_194e-4,
                5.188_328e-3,
                -2.685_381_2e-2,
                1.128_358_5e-1,
                -3.761_262_6e-1,
                std::f32::consts::FRAC_2_SQRT_PI,
            ],
        );
    let t = 1.0 / (1.0 + 0.5 * a);
    let tail = 0.5 * exp(-a * a) * t * polynomial(t, ERFCX);
    if a < 1.0 {
        0.5 + 0.5 * erf
    } else if x < 0.0 {
        tail
    } else {
        1.0 - tail
    }
}

/// Σ f(x) in sixteen f32 lanes, accumulated in f64 every 4096 elements.
#[inline(always)]
fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f64 {
    let mut total = 0.0;
    for block in x.chunks(4096) {
        let mut lanes = [0f32; 16];
        let (whole, rest) = block.as_chunks::<16>();
        for chunk in whole {
            for (lane, &v) in lanes.iter_mut().zip(chunk) {
                *lane += f(v);
            }
        }
        total += lanes.iter().map(|&l| f64::from(l)).sum::<f64>();
        total += rest.iter().map(|&v| f64::from(f(v))).sum::<f64>();
    }
    total
}

#[inline(always)]
fn rms_norm_body(x: &[f32], weight: &[f32], eps: f32, y: &mut [f32]) {
    let mean = sum(x, |v| v * v) / x.len() as f64;
    let scale = (1.0 / (mean + f64::from(eps)).sqrt()) as f32;
    for ((y, &x), &w) in y.iter_mut().zip(x).zip(weight) {
        *y = x * scale * w;
    }
}

#[inline(always)]
fn layer_norm_body(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, y: &mut [f32]) {
    let mean = (sum(x, |v| v) / x.len() as f64) as f32;
    let variance = sum(x, |v| (v - mean) * (v - mean)) / x.len() as f64;
    let scale = (1.0 / (variance + f64::from(eps)).sqrt()) as f32;
    for (((y, &x), &w), &b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
        *y = (x - mean) * scale * w + b;
    }
}

#[inline(always)]
fn silu_gate_body(gate: &mut [f32], up: &[f32]) {
    for (g, &u) in gate.iter_mut().zip(up) {
        *g = *g / (1.0 + exp(-*g)) * u;
    }
}

#[inline(always)]
fn silu_body(x: &mut [f32]) {
    for v in x {
        *v /= 1.0 + exp(-*v);
    }
}

#[inline(always)]
fn gelu_body(x: &mut [f32]) {
    for v in x {
        *v *= normal(*v);
    }
}

#[inline(always)]
fn gelu_tanh_body(x: &mut [f32]) {
    // (1 + tanh y) / 2 = 1 / (1 + e^−2y), which avoids cancellation where y is far below 0.
    const MINUS_TWO_SQRT_2_OVER_PI: f32 = -1.595_769;
    for v in x {
        *v /= 1.0 + exp(MINUS_TWO_SQRT_2_OVER_PI * (*v + 0.044_715 * *v * *v * *v));
    }
}

#[inline(always)]
fn soft_cap_body(x: &mut [f32], cap: f32) {
    let inverse = 1.0 / cap;
    for v in x {
        *v = cap * tanh(*v * inverse);
    }
}

#[inline(always)]
fn maximum(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (whole, rest) = x.as_chunks::<16>();
    for chunk in whole {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane = if v > *lane { v } else { *lane };
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)
}

#[inline(always)]
fn softmax_body(x: &mut [f32]) {
    let max = maximum(x);
    for v in x.iter_mut() {
        *v = exp(*v - max);
    }
    let scale = (1.0 / sum(x, |v| v)) as f32;
    for v in x.iter_mut() {
        *v *= scale;
    }
}

#[inline(always)]
fn max_and_sum_exp_body(x: &[f32]) -> (f32, f32) {
    let max = maximum(x);
    (max, sum(x, |v| exp(v - max)) as f32)
}

#[inline(always)]
fn rotate_body(x: &mut [f32], cos: &[f32], sin: &[f32]) {
    let half = cos.len();
    let (low, high) = x[..2 * half].split_at_mut(half);
    for (((a, b), &c), &s) in low.iter_mut().zip(high).zip(cos).zip(sin) {
        (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
    }
}

#[inline(always)]
fn add_scaled_body(x: &mut [f32], y: &[f32], s: f32) {
    for (x, &y) in x.iter_mut().zip(y) {
        *x += s * y;
    }
}

#[inline(always)]
fn multiply_body(gate: &mut [f32], up: &[f32]) {
    for (g, &u) in gate.iter_mut().zip(up) {
        *g *= u;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance from the exact value, in units in the last place.
    fn ulps(got: f32, want: f64) -> f64 {
        let near = want as f32;
        let unit = f64::from(f32::from_bits(near.abs().to_bits() + 1)) - f64::from(near.abs());
        (f64::from(got) - want).abs() / unit
    }

    #[test]
    fn exp_is_right_to_a_unit_in_the_last_place() {
        let worst = (-870_000..=880_000)
            .map(|i| i as f32 * 1e-4)
            .map(|x| ulps(exp(x), f64::from(x).exp()))
            .fold(0.0, f64::max);
        assert!(worst < 1.0, "{worst}");
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1000.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(f32::NAN).is_nan(), "what is no number must not look like one");
    }

    /// torch 2.15 on the same grid: silu 1.8, gelu 102, gelu_tanh 24, soft cap 2.3 units in the last place; left of it
    /// 8e-7 for gelu.
    #[test]
    fn activations_are_right_to_a_few_units_in_the_last_place() {
        let phi = |x: f64| 0.5 * statrs::function::erf::erfc(-x / 2f64.sqrt());
        let root = (2.0 / std::f64::consts::PI).sqrt();
        type Case<'a> = (&'a str, fn(&mut [f32]), &'a dyn Fn(f64) -> f64, f64);
        let cases: [Case<'_>; 4] = [
            ("silu", silu, &|x| x / (1.0 + (-x).exp()), 2.0),
            ("gelu", gelu, &|x| x * phi(x), 10.0),
            ("gelu_tanh", gelu_tanh, &|x| x / (1.0 + (-2.0 * root * (x + 0.044715 * x.powi(3))).exp()), 12.0),
            ("soft_cap", |x| soft_cap(x, 30.0), &|x| 30.0 * (x / 30.0).tanh(), 4.0),
        ];
        for (name, kernel, reference, limit) in cases {
            let grid: Vec<f32> = (-80_000..=80_000).map(|i| i as f32 * 1e-3).collect();
            let mut x = grid.clone();
            kernel(&mut x);
            let mut worst = (0.0, 0.0);
            for (&got, &at) in x.iter().zip(&grid) {
                let want = reference(f64::from(at));
                // Far to the left the rounding of the exponent becomes visible; values there are too small to affect
                // any sum.
                let off = if want.abs() < 1e-2 * f64::from(at.abs()) {
                    assert!((f64::from(got) - want).abs() < 4e-8, "{name}({at}) = {got}, not {want}");
                    0.0
                } else {
                    ulps(got, want)
                };
                worst = if off > worst.0 { (off, at) } else { worst };
            }
            assert!(worst.0 < limit, "{name}: {worst:?}");
            let mut x = [f32::NAN; 3];
            kernel(&mut x);
            assert!(x.iter().all(|v| v.is_nan()), "{name} hides what is no number");
        }
    }

    #[test]
    fn softmax_sums_to_one_whatever_the_level() {
        for level in [-1e4f32, 0.0, 1e4] {
            let mut x: Vec<f32> = (0..37).map(|i| level + (i as f32 * 0.7).sin()).collect();
            let copy = x.clone();
            softmax(&mut x);
            let (max, sum) = max_and_sum_exp(&copy);
            assert!((x.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            for (p, v) in x.iter().zip(&copy) {
                assert!((p - (v - max).exp() / sum).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn all_instruction_sets_give_the_same_norms() {
        let x: Vec<f32> = (0..67).map(|i| (i as f32 * 1.3).cos() * 3.0).collect();
        let (w, b): (Vec<f32>, Vec<f32>) = (0..67).map(|i| (1.0 + i as f32 * 0.01, 0.1 * i as f32)).unzip();
        let (mut fast, mut plain) = (vec![0.0; 67], vec![0.0; 67]);
        rms_norm(&x, &w, 1e-5, &mut fast);
        rms_norm_body(&x, &w, 1e-5, &mut plain);
        assert!(fast.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-5));
        layer_norm(&x, &w, &b, 1e-5, &mut fast);
        layer_norm_body(&x, &w, &b, 1e-5, &mut plain);
        assert!(fast.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
