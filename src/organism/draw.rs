//! Random numbers: stable hashes, and weighted draws.

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use sha2::{Digest, Sha256};

/// A hash of the given texts, the same on every machine.
pub fn hash(parts: &[&str]) -> u64 {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finalize();
    u64::from_le_bytes(digest[..8].try_into().expect("eight bytes"))
}

/// A standard Gaussian number determined by the given texts.
pub fn gaussian_of(parts: &[&str]) -> f64 {
    let bits = hash(parts);
    let unit = |half: u32| (f64::from(half) + 0.5) / 4_294_967_296.0;
    let (u, v) = (unit((bits >> 32) as u32), unit(bits as u32));
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// A standard Gaussian number.
pub fn gaussian(rng: &mut impl Rng) -> f64 {
    StandardNormal.sample(rng)
}

/// An index drawn in proportion to weights.
pub fn weighted(rng: &mut impl Rng, weights: impl Iterator<Item = f64> + Clone) -> usize {
    let total: f64 = weights.clone().sum();
    let mut left = rng.random::<f64>() * total;
    let mut last = 0;
    for (i, w) in weights.enumerate() {
        last = i;
        left -= w;
        if left < 0.0 {
            break;
        }
    }
    last
}

/// σ(x) = 1 / (1 + exp(−x)).
pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
