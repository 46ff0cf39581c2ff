//! Random directions, the reference for directions that carry no information about a value.

use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Number of random directions.
pub(crate) const DRAWS: usize = 200;

/// Noise-free readings X u of random directions u ~ N(0, I), `[N, draws]`.
pub(crate) fn random_readings(x: &Mat<f64>, seed: u64, draws: usize) -> Mat<f64> {
    x * &random_directions(x, seed, draws)
}

/// The random directions, `[d, draws]`.
pub(crate) fn random_directions(x: &Mat<f64>, seed: u64, draws: usize) -> Mat<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut directions: Mat<f64> = Mat::zeros(x.ncols(), draws);
    for j in 0..draws {
        directions.col_mut(j).iter_mut().for_each(|u| *u = StandardNormal.sample(&mut rng));
    }
    directions
}
