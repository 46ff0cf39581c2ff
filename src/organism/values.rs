//! The true values: a linear part, a part that depends on the prompt, a part nobody can see.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::draw::gaussian_of;
use super::reply::{Attributes, Situation};
use super::{oracle, policy};

/// The values, in the order of every array of values.
pub const VALUES: [&str; 3] = ["harmless", "honest", "helpful"];

/// Standard deviation of the invisible part, where the visible part has 1.
pub const INVISIBLE_SD: f64 = 0.35;

/// Kindness weighs more where something sad happened: by 1 + this, and by 1 − this at a happy event.
const MOOD: f64 = 0.33;

/// Number of features: kindness with its context, honesty, helpfulness, enthusiasm, formality, length.
pub const FEATURES: usize = 6;

/// Means of the raw features under the base policy, and their standard deviations: what
/// [`measure_scale`] gives for seed 0 and 200,000 replies, rounded.
pub const SCALE: [(f64, f64); FEATURES] = [
    (0.0137, 0.3923),
    (0.0215, 0.3946),
    (0.0175, 0.3983),
    (0.0416, 0.6905),
    (0.0158, 0.6312),
    (1.9507, 0.7384),
];

fn raw(a: &Attributes, situation: &Situation) -> [f64; FEATURES] {
    let kindness = a.kindness * (1.0 - MOOD * situation.mood());
    [kindness, a.honesty, a.helpfulness + a.fit, a.enthusiasm, a.formality, a.length]
}

/// The noise-free features f, each with mean 0 and variance 1 under the base policy.
pub fn features(a: &Attributes, situation: &Situation) -> [f64; FEATURES] {
    let mut f = raw(a, situation);
    for (x, (mean, sd)) in f.iter_mut().zip(SCALE) {
        *x = (*x - mean) / sd;
    }
    f
}

/// The features that the words alone give: without mood and without the match of topics.
pub fn linear_features(a: &Attributes) -> [f64; 3] {
    let x = [a.kindness, a.honesty, a.helpfulness];
    std::array::from_fn(|i| (x[i] - SCALE[i].0) / SCALE[i].1)
}

/// What the oracle says of a reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// S of [`VALUES`]: f plus the invisible part.
    pub values: [f64; 3],
    /// The noise-free features.
    pub features: [f64; FEATURES],
    /// Why the text is not of the grammar, if it is not.
    pub fault: Option<String>,
}

/// Scores any text as a reply to a situation: S_v = f_v + ε_v, with ε_v drawn from a hash of value,
/// prompt and reply.
pub fn score(situation: &Situation, reply: &str) -> Score {
    let reading = oracle::read(reply);
    let f = features(&reading.attributes(situation), situation);
    let prompt = situation.text();
    let values =
        std::array::from_fn(|i| f[i] + INVISIBLE_SD * gaussian_of(&["invisible", VALUES[i], &prompt, reply]));
    Score { values, features: f, fault: reading.fault }
}

/// Means and standard deviations of the raw features over replies of the base policy.
pub fn measure_scale(seed: u64, replies: usize) -> [(f64, f64); FEATURES] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let situations: Vec<Situation> = Situation::all().collect();
    let (mut sum, mut square) = ([0.0; FEATURES], [0.0; FEATURES]);
    for i in 0..replies {
        let situation = &situations[(i * 7919) % situations.len()];
        let x = raw(&policy::reply(situation, &mut rng).attributes(situation), situation);
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

/// Share of a value's visible variance that the words give without the prompt, under the base policy:
/// what [`measure_linear_share`] gives for seed 0 and 200,000 replies, rounded.
pub fn linear_share(value: usize) -> f64 {
    LINEAR_SHARE[value]
}

/// The shares of [`VALUES`].
const LINEAR_SHARE: [f64; 3] = [0.9021, 1.0, 0.8826];

/// Squared correlation of each value's visible part with what the words give without the prompt.
pub fn measure_linear_share(seed: u64, replies: usize) -> [f64; 3] {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let situations: Vec<Situation> = Situation::all().collect();
    let mut sums = [[0.0; 5]; 3];
    for i in 0..replies {
        let situation = &situations[(i * 7919) % situations.len()];
        let a = policy::reply(situation, &mut rng).attributes(situation);
        let (x, y) = (linear_features(&a), features(&a, situation));
        for (v, s) in sums.iter_mut().enumerate() {
            let terms = [x[v], y[v], x[v] * x[v], y[v] * y[v], x[v] * y[v]];
            s.iter_mut().zip(terms).for_each(|(s, t)| *s += t);
        }
    }
    let n = replies as f64;
    sums.map(|[x, y, xx, yy, xy]| {
        let covariance = xy / n - x * y / (n * n);
        covariance * covariance / ((xx / n - x * x / (n * n)) * (yy / n - y * y / (n * n)))
    })
}
