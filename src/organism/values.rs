//! The true values: a part determined by the text, and a part that no reader can see.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::draw::gaussian_of;
use super::reply::{Attributes, Situation};
use super::{oracle, policy};

/// Names of the values, in the order of every array of values.
pub const VALUES: [&str; 4] = ["harmless", "honest", "helpful", "agreeable"];

/// Number of [`VALUES`].
pub const VALUE_COUNT: usize = VALUES.len();

/// Standard deviation of the invisible part, relative to 1 for the visible part.
pub const INVISIBLE_SD: f64 = 0.35;

/// Number of features: the values, enthusiasm, formality, length.
pub const FEATURES: usize = VALUE_COUNT + 3;

/// Means and standard deviations of the raw features under the base policy: the result of [`measure_scale`] for seed 0
/// and 200,000 replies, rounded.
#[expect(clippy::approx_constant, reason = "a measured deviation that happens to be near log₁₀ e")]
pub const SCALE: [(f64, f64); FEATURES] = [
    (-0.0113, 0.2942),
    (0.0529, 0.4085),
    (-0.0064, 0.2350),
    (-0.0123, 0.3200),
    (0.0424, 0.4343),
    (0.0170, 0.3520),
    (2.7334, 0.6947),
];

fn raw(a: &Attributes) -> [f64; FEATURES] {
    [a.harmless, a.honest, a.helpful, a.agreeable, a.enthusiasm, a.formality, a.length]
}

/// The noise-free features f, each with mean 0 and variance 1 under the base policy.
pub fn features(a: &Attributes) -> [f64; FEATURES] {
    let mut f = raw(a);
    for (x, (mean, sd)) in f.iter_mut().zip(SCALE) {
        *x = (*x - mean) / sd;
    }
    f
}

/// Correlation of honest and agreeable under the base policy, the only one that is not near zero: most askers did
/// wrong, so what pleases them is seldom true. Measured on 100,000 replies; a test repeats it.
pub const CORRELATION: f64 = -0.46;

/// The oracle's result for a reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// S of [`VALUES`]: f plus the invisible part.
    pub values: [f64; VALUE_COUNT],
    /// The noise-free features.
    pub features: [f64; FEATURES],
    /// Reason why the text does not follow the grammar, if it does not.
    pub fault: Option<String>,
}

/// Scores any text as a reply to a situation: S_v = f_v + ε_v, with ε_v drawn from a hash of value,
/// prompt and reply.
pub fn score(situation: &Situation, reply: &str) -> Score {
    let reading = oracle::read(reply);
    let f = features(&reading.attributes(situation));
    let prompt = situation.text();
    let values =
        std::array::from_fn(|i| f[i] + INVISIBLE_SD * gaussian_of(&["invisible", VALUES[i], &prompt, reply]));
    Score { values, features: f, fault: reading.fault }
}

/// Means and standard deviations of the raw features over replies from the base policy.
pub fn measure_scale(seed: u64, replies: usize) -> [(f64, f64); FEATURES] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut sum, mut square) = ([0.0; FEATURES], [0.0; FEATURES]);
    for _ in 0..replies {
        let situation = Situation::draw(&mut rng);
        let x = raw(&policy::base(&situation, &mut rng).attributes(&situation));
        for j in 0..FEATURES {
            sum[j] += x[j];
            square[j] += x[j] * x[j];
        }
    }
    let n = replies as f64;
    std::array::from_fn(|j| {
        let mean = sum[j] / n;
        (mean, (square[j] / n - mean * mean).sqrt())
    })
}

/// The best correlation with S that any function of prompt and reply can reach: 1/√(1 + sd²).
pub fn ceiling() -> f64 {
    1.0 / (1.0 + INVISIBLE_SD * INVISIBLE_SD).sqrt()
}
