//! The geometry null: what cosine unrelated directions have in this covariance.
//!
//! In few effective dimensions, directions that have nothing to do with each other are far from
//! orthogonal. For u ~ N(0, I_d) in raw coordinates, corr(S, ⟨h, u⟩)/ρ̂ is the cosine of v* with an
//! unrelated direction; its standard deviation over 200 draws is printed beside every alignment.

use faer::Mat;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::bench::{Bench, Label};
use super::encoding::rho2;
use super::estimate::{Estimate, Quantity};
use super::improvement::GATE;
use crate::probe::influence::Z95;

/// Directions drawn.
pub(super) const DRAWS: usize = 200;

/// Seed of the draws: the null is the same for every value, layer and run of one width.
const SEED: u64 = 0x7673_7461_725f_6e75;

/// Noise-free readings X u of random directions u ~ N(0, I), `[N, draws]`.
pub(super) fn random_readings(bench: &Bench, seed: u64, draws: usize) -> Mat<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut directions: Mat<f64> = Mat::zeros(bench.x.ncols(), draws);
    for j in 0..draws {
        directions.col_mut(j).iter_mut().for_each(|u| *u = StandardNormal.sample(&mut rng));
    }
    &bench.x * &directions
}

/// `geometry_null`: standard deviation of the cosine between v* and unrelated directions.
pub fn null(bench: &Bench, s: &Label) -> Estimate {
    let method = "200 Gaussian directions in raw coordinates, fixed seed";
    let Some(rho2) = rho2(bench, s) else {
        return Estimate::new(Quantity::GeometryNull, method).warn("S does not vary within prompts");
    };
    if !(rho2.value > 0.0 && rho2.value / rho2.se(bench.contrasts.blocks()) > GATE) {
        return Estimate::new(Quantity::GeometryNull, method)
            .warn("S is not encoded: there is no v* to have an angle with");
    }
    let scores = random_readings(bench, SEED, DRAWS);
    let s_norm = s.y.iter().map(|v| v * v).sum::<f64>().sqrt();
    let cosines: Vec<f64> = (0..DRAWS)
        .map(|j| {
            let (mut dot, mut square) = (0.0, 0.0);
            for (i, y) in s.y.iter().enumerate() {
                let score = scores[(i, j)];
                dot += y * score;
                square += score * score;
            }
            dot / (s_norm * square.sqrt() * rho2.value.sqrt())
        })
        .collect();
    // The mean is 0 by symmetry.
    let sd = (cosines.iter().map(|c| c * c).sum::<f64>() / DRAWS as f64).sqrt();
    let estimate = Estimate::bare(Quantity::GeometryNull, method, sd);
    if Z95 * sd < 1.0 {
        return estimate;
    }
    // With few effective dimensions, or with an S that is barely encoded, no cosine is out of the ordinary.
    estimate.withheld("95 % of unrelated directions have any cosine at all: none can be told from them")
}
