//! Converts labels with few levels and preferences to the scale of the Gaussian score behind them.
//!
//! A label with few levels, S = f(L) with f a step function of a latent Gaussian score L of total variance 1, loses
//! variance that no reading of the residual stream can explain: a value that ⟨h, v*⟩ determines entirely has ρ² = .63
//! as 1{L > 0}, .37 as 1{L > 1.28}. By Stein's lemma cov(f(L), h) = E f'(L) · cov(L, h), with E f'(L) = Σ_k δ_k
//! φ(c_k) for steps of height δ_k at the thresholds c_k, so that
//!
//!   ρ²_latent = ρ² · Var_w(S) / ((E f')² (1 − r)),
//!
//! where r is the correlation of L between two responses to one prompt, which solves Σ_jk δ_j δ_k P(L > c_j, L' >
//! c_k; r) = E S S' (the polychoric correlation by its first moment; for two levels Dempster and Lerner 1950). A
//! preference shows only the sign of a difference, which keeps 2/π of the variance: the factor is π/2.

use std::collections::BTreeSet;
use std::f64::consts::PI;

use statrs::distribution::{Continuous, ContinuousCDF, Normal};

use crate::probe::Influence;
use crate::theory::base::bench::Bench;
use crate::theory::base::problem::Labels;

/// Largest number of distinct labels treated as levels of a latent score: a scale from 0 to 10 has eleven.
pub const MOST_LEVELS: usize = 11;

/// Measurement scale of labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Practically continuous: the labels' own scale.
    Continuous,
    /// This many levels.
    Levels(usize),
    /// Which of two responses is better.
    Preference,
}

impl Scale {
    /// Scale of the given labels; NaN means no label.
    pub fn of(labels: &Labels) -> Self {
        match labels {
            Labels::Preferences(_) => Self::Preference,
            Labels::Scores(s) => match levels(s).len() {
                n @ 2..=MOST_LEVELS => Self::Levels(n),
                _ => Self::Continuous,
            },
        }
    }

    /// Whether ρ, the ceiling and the training bottleneck refer to a latent score.
    pub fn is_latent(self) -> bool {
        self != Self::Continuous
    }

    /// Whether there are two levels.
    pub fn is_binary(self) -> bool {
        self == Self::Levels(2)
    }

    /// Description of the latent scale.
    pub fn words(self) -> &'static str {
        match self {
            Self::Continuous => "the labels' own scale",
            Self::Levels(2) => "probit scale of a binary label",
            Self::Levels(_) => "probit scale of a label of few levels",
            Self::Preference => "probit scale of a preference",
        }
    }
}

/// Distinct finite labels, ascending.
fn levels(labels: &[f64]) -> Vec<f64> {
    // Bits of positive numbers are ordered like the numbers; only the count matters, so the loop may stop early.
    let mut seen = BTreeSet::new();
    for l in labels.iter().filter(|l| l.is_finite()) {
        // −0 and 0 are one level.
        seen.insert((l + 0.0).to_bits());
        if seen.len() > MOST_LEVELS {
            break;
        }
    }
    let mut out: Vec<f64> = seen.into_iter().map(f64::from_bits).collect();
    out.sort_by(f64::total_cmp);
    out
}

/// Relation between a label and its latent score L of total variance 1, with block influences.
#[derive(Debug, Clone, PartialEq)]
pub struct Latent {
    /// ρ²_latent / ρ².
    pub factor: Influence,
    /// E f'(L) · √(1 − r): cov(S, x) over the covariance of x with L over its within-prompt standard deviation.
    pub slope: Influence,
}

impl Latent {
    /// From labels on a bench; `None` where it is undefined: labels on their own scale, no variation within prompts,
    /// or a correlation that no Gaussian score produces.
    pub fn of(bench: &Bench, labels: &Labels) -> Option<Self> {
        let still = |value: f64| Influence { value, psi: vec![0.0; bench.blocks()] };
        match (Scale::of(labels), labels) {
            (Scale::Preference, _) => Some(Self { factor: still(PI / 2.0), slope: still((2.0 / PI).sqrt()) }),
            (Scale::Levels(_), Labels::Scores(s)) => Self::of_levels(bench, s),
            _ => None,
        }
    }

    fn of_levels(bench: &Bench, labels: &[f64]) -> Option<Self> {
        let moments = Moments::of(bench, labels)?;
        let (normal, m) = (Normal::standard(), &moments);
        let steps = m.steps.len();
        let within = m.second - m.product.value;
        let c: Vec<f64> = m.above.iter().map(|p| normal.inverse_cdf(1.0 - p.value)).collect();
        let r = correlation(&m.steps, &c, m.product.value)?;
        let slope: f64 = (0..steps).map(|k| m.steps[k] * normal.pdf(c[k])).sum();
        if !(within > 0.0 && slope > 0.0 && r < 1.0) {
            return None;
        }
        // Gradients with respect to the within-prompt variance, E f' and r.
        let root = (1.0 - r * r).sqrt();
        let density: f64 = pairs(steps)
            .map(|(j, k)| {
                let q = (c[j] * c[j] - 2.0 * r * c[j] * c[k] + c[k] * c[k]) / (root * root);
                m.steps[j] * m.steps[k] * (-0.5 * q).exp() / (2.0 * PI * root)
            })
            .sum();
        let by_above = |k: usize| -> f64 {
            let given = |j: usize| m.steps[j] * normal.cdf((r * c[k] - c[j]) / root);
            2.0 * m.steps[k] * (0..steps).map(given).sum::<f64>()
        };
        let factor = within / (slope * slope * (1.0 - r));
        let scale = slope * (1.0 - r).sqrt();
        let (mut of_factor, mut of_scale) = (Vec::new(), Vec::new());
        for (k, cut) in c.iter().enumerate() {
            let (d_slope, d_r) = (m.steps[k] * cut, -by_above(k) / density);
            let d_within = m.top[k];
            of_factor
                .push((factor * (d_within / within - 2.0 * d_slope / slope + d_r / (1.0 - r)), &m.above[k]));
            of_scale.push((scale * (d_slope / slope - 0.5 * d_r / (1.0 - r)), &m.above[k]));
        }
        let d_r = 1.0 / density;
        of_factor.push((factor * (-1.0 / within + d_r / (1.0 - r)), &m.product));
        of_scale.push((scale * (-0.5 * d_r / (1.0 - r)), &m.product));
        Some(Self {
            factor: Influence::combine(factor, &of_factor),
            slope: Influence::combine(scale, &of_scale),
        })
    }
}

/// Moments of labels with few levels, counted from the lowest level.
struct Moments {
    /// δ_k, the height of each step.
    steps: Vec<f64>,
    /// Difference of the squares of the levels above and below each step.
    top: Vec<f64>,
    /// P(S above the step).
    above: Vec<Influence>,
    /// E S².
    second: f64,
    /// Mean of S·S' over ordered pairs of distinct responses to a prompt.
    product: Influence,
}

impl Moments {
    fn of(bench: &Bench, labels: &[f64]) -> Option<Self> {
        let contrasts = &bench.contrasts;
        let used: Vec<f64> = contrasts.prompts().flatten().map(|&r| labels[r]).collect();
        let levels = levels(&used);
        let low = *levels.first().filter(|_| levels.len() > 1)?;
        let steps: Vec<f64> = levels.windows(2).map(|w| w[1] - w[0]).collect();
        let top = levels.windows(2).map(|w| (w[1] - low).powi(2) - (w[0] - low).powi(2)).collect::<Vec<_>>();
        // Sums by block: rows, pairs, rows above each step, products.
        let blocks = contrasts.blocks();
        let mut sums = vec![vec![0.0; 3 + steps.len()]; blocks.len()];
        let (mut at, mut block) = (0, 0);
        for rows in contrasts.prompts() {
            while at >= blocks[block].end {
                block += 1;
            }
            let s: Vec<f64> = rows.iter().map(|&r| labels[r] - low).collect();
            let (sum, square) = (s.iter().sum::<f64>(), s.iter().map(|v| v * v).sum::<f64>());
            let k = s.len() as f64;
            let own = &mut sums[block];
            own[0] += k;
            own[1] += k * (k - 1.0);
            own[2] += sum * sum - square;
            for (step, window) in levels.windows(2).enumerate() {
                let middle = 0.5 * (window[0] + window[1]) - low;
                own[3 + step] += s.iter().filter(|v| **v > middle).count() as f64;
            }
            at += rows.len() - 1;
        }
        let ratio = |above: usize, below: usize| -> Influence {
            let total = |i: usize| sums.iter().map(|s| s[i]).sum::<f64>();
            let (value, size) = (total(above) / total(below), total(below));
            let psi = sums.iter().map(|s| bench.n() as f64 * (s[above] - value * s[below]) / size).collect();
            Influence { value, psi }
        };
        let above: Vec<Influence> = (0..steps.len()).map(|k| ratio(3 + k, 0)).collect();
        let second = above.iter().zip(&top).map(|(p, t)| p.value * t).sum();
        Some(Self { steps, top, above, second, product: ratio(2, 1) })
    }
}

fn pairs(n: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..n).flat_map(move |j| (0..n).map(move |k| (j, k)))
}

/// r with Σ_jk δ_j δ_k P(L > c_j, L' > c_k; r) = `product`.
fn correlation(steps: &[f64], c: &[f64], product: f64) -> Option<f64> {
    let at = |r: f64| -> f64 {
        // Symmetric: each pair of steps once.
        pairs(steps.len())
            .filter(|(j, k)| j <= k)
            .map(|(j, k)| {
                let both = steps[j] * steps[k] * bivariate(-c[j], -c[k], r);
                if j == k { both } else { 2.0 * both }
            })
            .sum()
    };
    let (mut low, mut high) = (-0.999_999, 0.999_999);
    if !(at(low) <= product && product <= at(high)) {
        return None;
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if at(middle) < product { low = middle } else { high = middle }
    }
    Some(0.5 * (low + high))
}

/// Φ₂(a, b; r) = Φ(a)Φ(b) + ∫₀^r exp(−(a² − 2abs + b²)/(2(1 − s²))) / (2π √(1 − s²)) ds; substituting s = sin u
/// removes the root.
pub fn bivariate(a: f64, b: f64, r: f64) -> f64 {
    let end = r.asin();
    let f = |u: f64| {
        let (s, c) = u.sin_cos();
        (-(a * a - 2.0 * a * b * s + b * b) / (2.0 * c * c)).exp()
    };
    // Composite Gauss–Legendre, 5 points in each of 32 pieces.
    const NODES: [(f64, f64); 5] = [
        (0.0, 0.568_888_888_888_888_9),
        (0.538_469_310_105_683_1, 0.478_628_670_499_366_47),
        (-0.538_469_310_105_683_1, 0.478_628_670_499_366_47),
        (0.906_179_845_938_664, 0.236_926_885_056_189_08),
        (-0.906_179_845_938_664, 0.236_926_885_056_189_08),
    ];
    let pieces = 32;
    let half = end / (2.0 * f64::from(pieces));
    let integral: f64 = (0..pieces)
        .map(|i| {
            let centre = half * f64::from(2 * i + 1);
            half * NODES.iter().map(|(x, w)| w * f(centre + half * x)).sum::<f64>()
        })
        .sum();
    let normal = Normal::standard();
    normal.cdf(a) * normal.cdf(b) + integral / (2.0 * PI)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::probe::Contrasts;

    #[test]
    fn the_bivariate_normal_agrees_with_scipy() {
        // scipy.stats.multivariate_normal([0, 0], [[1, r], [r, 1]]).cdf([a, b])
        for (a, b, r, want) in [
            (0.0, 0.0, 0.5, 1.0 / 3.0),
            (0.0, 0.0, -0.5, 1.0 / 6.0),
            (-0.524_400_512_708_040_9, -0.524_400_512_708_040_9, 0.3, 0.128_142_813_203_537_7),
            (1.1, 1.1, -0.7, 0.728_887_878_363_870_8),
            (0.3, -1.2, 0.6, 0.108_425_504_2),
            (-0.4, 0.9, -0.8, 0.185_914_570_6),
        ] {
            assert!((bivariate(a, b, r) - want).abs() < 2e-6, "{a} {b} {r}: {}", bivariate(a, b, r));
        }
        let product = Normal::standard().cdf(0.7) * Normal::standard().cdf(-0.2);
        assert!((bivariate(0.7, -0.2, 0.0) - product).abs() < 1e-14);
    }

    #[test]
    fn labels_are_known_by_their_levels() {
        let scale = |l: &[f64]| Scale::of(&Labels::Scores(l.to_vec()));
        assert!(scale(&[0.0, 1.0, f64::NAN, -0.0]).is_binary() && scale(&[-1.0, 1.0]).is_binary());
        assert_eq!(scale(&[0.0, 0.5, 1.0]), Scale::Levels(3));
        assert_eq!(scale(&[1.0, 1.0]), Scale::Continuous);
        assert_eq!(scale(&(0..40).map(f64::from).collect::<Vec<_>>()), Scale::Continuous);
        assert_eq!(Scale::of(&Labels::Preferences(vec![(0, 1)])), Scale::Preference);
    }

    /// The factor for labels f(g + prompt effect) with intraclass correlation `icc`, four responses to each of many
    /// prompts.
    fn factor(f: impl Fn(f64) -> f64, icc: f64, prompts: usize, seed: u64) -> (f64, f64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let mut labels = Vec::new();
        for _ in 0..prompts {
            let effect = icc.sqrt() * normal();
            labels.extend((0..4).map(|_| f(effect + (1.0 - icc).sqrt() * normal())));
        }
        let prompt: Vec<i32> = (0..labels.len() as i32).map(|i| i / 4).collect();
        let contrasts = Contrasts::helmert(&prompt, &prompt, |_| true);
        let h = Array2::from_shape_fn((labels.len(), 1), |(i, _)| (i as f32).sin());
        let bench = Bench::new(contrasts, h.view(), None).expect("a bench");
        let found = Latent::of(&bench, &Labels::Scores(labels)).expect("a latent scale").factor;
        (found.value, found.se(bench.contrasts.blocks()))
    }

    #[test]
    fn the_factor_undoes_what_levels_take() {
        // 1/ρ² of a label whose latent score is determined by h: only f loses variance. At ICC 0 it is 1/corr(f(L),
        // L)².
        let half = PI / 2.0;
        let rare = {
            let (n, p) = (Normal::standard(), 0.1);
            let t = n.inverse_cdf(1.0 - p);
            p * (1.0 - p) / n.pdf(t).powi(2)
        };
        let three = |l: f64| f64::from(u8::from(l > -0.5)) + f64::from(u8::from(l > 0.5));
        let thirds = {
            let n = Normal::standard();
            let (p, d) = (n.cdf(-0.5), n.pdf(0.5));
            2.0 * p / (2.0 * d).powi(2)
        };
        for (told, (found, se)) in [
            (half, factor(|l| f64::from(u8::from(l > 0.0)), 0.0, 4000, 1)),
            (rare, factor(|l| f64::from(u8::from(l > 1.281_551_565_545)), 0.0, 4000, 2)),
            (thirds, factor(three, 0.0, 4000, 3)),
        ] {
            assert!((found - told).abs() < 4.0 * se, "{found} ± {se}, told {told}");
            assert!(se < 0.05 * told, "{se}");
        }
    }

    #[test]
    fn the_error_of_the_factor_is_that_of_repeated_draws() {
        let f = |l: f64| f64::from(u8::from(l > 0.8)) + f64::from(u8::from(l > -0.3));
        let draws: Vec<(f64, f64)> = (0..200).map(|seed| factor(f, 0.4, 60, seed)).collect();
        let mean = draws.iter().map(|d| d.0).sum::<f64>() / 200.0;
        let sd = (draws.iter().map(|d| (d.0 - mean).powi(2)).sum::<f64>() / 199.0).sqrt();
        let told = draws.iter().map(|d| d.1).sum::<f64>() / 200.0;
        assert!((told / sd - 1.0).abs() < 0.2, "told {told}, drawn {sd}");
    }
}
