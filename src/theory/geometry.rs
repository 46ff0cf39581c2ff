//! The geometry null: typical cosines of unrelated directions under this covariance.
//!
//! In few effective dimensions, unrelated directions are far from orthogonal. For u ~ N(0, I_d) in raw coordinates,
//! corr(S, ⟨h, u⟩)/ρ̂ is the cosine of v* with an unrelated direction; its standard deviation over 200 draws is
//! printed beside every alignment.

use faer::Mat;

use crate::probe::influence::Z95;
use crate::theory::base::angle::GATE;
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::dominant::{Dominance, Largest, What, without_column, words};
use crate::theory::base::estimate::{Estimate, Flag, Quantity};
use crate::theory::base::random::{DRAWS, random_directions, random_readings};
use crate::theory::encoding::rho2;
use crate::theory::statement::{Measure, OfValue, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "geometry",
    title: "Unrelated directions",
    source: "Appendix D",
    quantities: &[Quantity::GeometryNull],
    tables: &[],
    rests: Rests::Otherwise,
    measures: &[Measure::Value { gives: &[], of: value }],
    section: None,
};

fn value(v: &OfValue<'_>) -> Vec<Estimate> {
    vec![null(v.bench, v.s, v.stage.options.seed)]
}

/// XORed into the seed of the analysis: the null is the same for every value, layer and run with the same width and
/// seed.
const SEED: u64 = 0x7673_7461_725f_6e75;

/// `geometry_null`: standard deviation of the cosine between v* and unrelated directions, drawn with `seed`.
pub fn null(bench: &Bench, s: &Label, seed: u64) -> Estimate {
    let method = "200 Gaussian directions in raw coordinates, fixed seed";
    let Some(rho2) = rho2(bench, s) else {
        return Estimate::new(Quantity::GeometryNull, method).warn("S does not vary within prompts");
    };
    if !(rho2.value > 0.0 && rho2.value / rho2.se(bench.contrasts.blocks()) > GATE) {
        return Estimate::new(Quantity::GeometryNull, method)
            .warn("S is not encoded: there is no v* to have an angle with");
    }
    let scores = random_readings(&bench.x, SEED ^ seed, DRAWS);
    let sd = spread(s, &scores, rho2.value);
    let estimate = Estimate::bare(Quantity::GeometryNull, method, sd);
    let estimate = match dominance(bench, s, seed) {
        Some(found) if found.dominates => estimate.flag(Flag::DominantCoordinate).warn(words(&found)),
        _ => estimate,
    };
    if Z95 * sd < 1.0 {
        return estimate;
    }
    // With few effective dimensions, or a barely encoded S, no cosine can be significant.
    estimate.withheld("95 % of unrelated directions have any cosine at all: none can be told from them")
}

/// √(mean cos²) over directions with readings `[N, draws]`; the mean is 0 by symmetry.
fn spread(s: &Label, readings: &Mat<f64>, rho2: f64) -> f64 {
    let s_norm = s.y.iter().map(|v| v * v).sum::<f64>().sqrt();
    let squares = (0..readings.ncols()).map(|j| {
        let (mut dot, mut square) = (0.0, 0.0);
        for (i, y) in s.y.iter().enumerate() {
            let score = readings[(i, j)];
            dot += y * score;
            square += score * score;
        }
        (dot / (s_norm * square.sqrt() * rho2.sqrt())).powi(2)
    });
    (squares.sum::<f64>() / readings.ncols() as f64).sqrt()
}

/// The coordinate with the largest share of the variance read by random directions, and the null of directions that
/// ignore it; `None` where there is no null.
pub fn dominance(bench: &Bench, s: &Label, seed: u64) -> Option<Dominance> {
    let rho2 = rho2(bench, s)?;
    if !(rho2.value > 0.0 && rho2.value / rho2.se(bench.contrasts.blocks()) > GATE) {
        return None;
    }
    let largest = Largest::column(&bench.x)?;
    let mut found = Dominance {
        quantity: Quantity::GeometryNull,
        value: None,
        what: What::Coordinate,
        index: largest.index,
        share: largest.share,
        dominates: largest.dominates(),
        estimate: None,
        without: None,
        without_interval: None,
    };
    if found.dominates {
        let directions = random_directions(&bench.x, SEED ^ seed, DRAWS);
        found.estimate = Some(spread(s, &(&bench.x * &directions), rho2.value));
        let rest = without_column(&bench.x, largest.index);
        found.without = Some(spread(s, &(&rest * &directions), rho2.value)).filter(|sd| sd.is_finite());
    }
    Some(found)
}
