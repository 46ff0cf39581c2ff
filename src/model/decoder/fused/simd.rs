//! Element-wise kernels, written once and compiled for the widest vectors the processor has.
//!
//! Each body is plain Rust that the compiler vectorises; [`dispatch!`] compiles it three times (AVX-512,
//! AVX2 with FMA, baseline) and picks one at run time.

/// Defines `pub(super) fn $name` that runs `$body` under the best instruction set at hand.
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
    /// The rotation of one head: pairs (x_i, x_{i + half}).
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

/// eˣ to about one unit in the last place for −87 ≤ x ≤ 88; 0 below.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; e^r by its Taylor polynomial of degree 7; 2ⁿ by exponent bits.
#[inline(always)]
fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    // ln 2 in two parts, so that n · the first is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 · 2²³ rounds to the nearest integer, which then stands in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = clamped * LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (clamped - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    // Neither a checked sum nor a saturating cast: both would keep the loop from being vectorised.
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if x < -87.0 { 0.0 } else { p * power }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// Error function, absolute error below 1.5e-7 (Abramowitz and Stegun 7.1.26).
#[inline(always)]
fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let poly =
        t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    (1.0 - poly * exp(-a * a)).copysign(x)
}

/// Σ f(x) in sixteen lanes of f32, added up in f64 every 4096 elements.
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
        *g = *g * sigmoid(*g) * u;
    }
}

#[inline(always)]
fn silu_body(x: &mut [f32]) {
    for v in x {
        *v *= sigmoid(*v);
    }
}

#[inline(always)]
fn gelu_body(x: &mut [f32]) {
    for v in x {
        *v = 0.5 * *v * (1.0 + erf(*v * std::f32::consts::FRAC_1_SQRT_2));
    }
}

#[inline(always)]
fn gelu_tanh_body(x: &mut [f32]) {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    for v in x {
        *v = 0.5 * *v * (1.0 + tanh(SQRT_2_OVER_PI * (*v + 0.044_715 * *v * *v * *v)));
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

    fn grid() -> Vec<f32> {
        (-4000..=4000).map(|i| i as f32 * 0.005).collect()
    }

    #[test]
    fn exp_is_right_to_a_few_units_in_the_last_place() {
        for i in -8700..8800 {
            let x = i as f32 * 0.01;
            let want = f64::from(x).exp();
            assert!(((f64::from(exp(x)) - want) / want).abs() < 3e-7, "{x}");
        }
        assert_eq!(exp(-1000.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    }

    #[test]
    fn activations_agree_with_f64() {
        let erf64 = statrs::function::erf::erf;
        type Case<'a> = (fn(&mut [f32]), &'a dyn Fn(f64) -> f64);
        let cases: [Case<'_>; 3] = [
            (silu, &|x| x / (1.0 + (-x).exp())),
            (gelu, &|x| 0.5 * x * (1.0 + erf64(x / 2f64.sqrt()))),
            (gelu_tanh, &|x| {
                0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3))).tanh())
            }),
        ];
        for (kernel, reference) in cases {
            let mut x = grid();
            kernel(&mut x);
            for (&got, &at) in x.iter().zip(&grid()) {
                let want = reference(f64::from(at));
                assert!((f64::from(got) - want).abs() < 2e-6 * (1.0 + want.abs()), "at {at}: {got} {want}");
            }
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
