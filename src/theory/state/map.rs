//! Map of constitutions by their effect on the state, compared with the map by the judge's choices under them.
//!
//! cos(Δ_a, Δ_b) in the within-prompt covariance of h_0: the correlation of the readings of two shifts, with norms
//! corrected for the error of each shift. The agreement of two maps is the correlation of their cosines over pairs of
//! constitutions; because pairs share constitutions, p comes from relabelling one map (Mantel 1967).

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::chosen::{Participants, shifts_of};
use super::shift::{Shift, readings};
use crate::error::{Kind, Result};
use crate::linalg::dot;
use crate::theory::base::analysis::Options;
use crate::theory::base::bench::Bench;
use crate::theory::base::problem::{LayerSource, Problem};
use crate::theory::base::rows;
use crate::units::Layer;

/// Number of relabellings of one map.
const DRAWS: usize = 9_999;
/// Fewest constitutions for a test by relabelling: 4! = 24 orders are too few.
const ENOUGH: usize = 5;

/// Cosines between constitutions' shifts of the state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ShiftMap {
    /// Names of the constitutions, placebos excluded.
    pub names: Vec<String>,
    /// cos(Δ_a, Δ_b), `[names][names]`, 1 on the diagonal.
    pub cos: Vec<Vec<f64>>,
}

/// Agreement of two maps of the same constitutions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapAgreement {
    /// Number of constitutions in both.
    pub constitutions: usize,
    /// Correlation of the cosines over pairs.
    pub correlation: f64,
    /// Share of relabellings with at least this correlation (one-sided).
    pub p: f64,
}

/// The map at a layer; `None` without rows under at least two constitutions and a placebo text.
///
/// # Errors
/// If rows cannot be read, or the factorisation does not converge.
pub fn shift_map(
    problem: &Problem,
    source: &dyn LayerSource,
    options: &Options,
    layer: Layer,
) -> Result<Option<ShiftMap>> {
    let chosen = Participants::new(problem, source, options, &|_| true, &mut Vec::new());
    let there = |r: usize| chosen.all_there(r);
    if chosen.has_no_placebo() || !problem.grouped {
        return Ok(None);
    }
    let contrasts = rows::all(problem, &there).contrasts(problem);
    let h = source.resid(layer)?;
    if contrasts.is_empty() {
        return Ok(None);
    }
    let bench = match Bench::new(contrasts, h.view(), None) {
        Ok(bench) => bench,
        Err(e) if e.kind() == Some(Kind::NotEstimable) => return Ok(None),
        Err(e) => return Err(e),
    };
    let found: Vec<(String, Shift)> = shifts_of(problem, source, &chosen, layer, &there)?;
    if found.len() < 2 {
        return Ok(None);
    }
    let n = bench.n() as f64;
    let read: Vec<(Vec<f64>, f64)> = found
        .iter()
        .map(|(_, shift)| {
            let r = readings(&bench.x, &shift.delta);
            let noise: f64 = shift
                .moved
                .iter()
                .map(|m| {
                    let e = readings(&bench.x, m);
                    dot(&e, &e)
                })
                .sum();
            let square = dot(&r, &r) - noise;
            (r, (square / n).max(0.0).sqrt())
        })
        .collect();
    let cos = |a: usize, b: usize| {
        let scale = read[a].1 * read[b].1;
        if a == b {
            1.0
        } else if scale > 0.0 {
            (dot(&read[a].0, &read[b].0) / n / scale).clamp(-1.0, 1.0)
        } else {
            0.0
        }
    };
    let k = found.len();
    Ok(Some(ShiftMap {
        names: found.iter().map(|(name, _)| name.clone()).collect(),
        cos: (0..k).map(|a| (0..k).map(|b| cos(a, b)).collect()).collect(),
    }))
}

/// Agreement of two matrices of cosines in the same order; `None` for fewer than five constitutions, or without
/// spread.
pub fn agreement(a: &[Vec<f64>], b: &[Vec<f64>]) -> Option<MapAgreement> {
    let k = a.len();
    if k < ENOUGH || b.len() != k {
        return None;
    }
    let pairs: Vec<(usize, usize)> = (0..k).flat_map(|i| (i + 1..k).map(move |j| (i, j))).collect();
    let centred = |m: &[Vec<f64>], order: &[usize]| -> Vec<f64> {
        let v: Vec<f64> = pairs.iter().map(|&(i, j)| m[order[i]][order[j]]).collect();
        let mean = v.iter().sum::<f64>() / v.len() as f64;
        v.into_iter().map(|x| x - mean).collect()
    };
    let mut order: Vec<usize> = (0..k).collect();
    let (x, y) = (centred(a, &order), centred(b, &order));
    let scale = (dot(&x, &x) * dot(&y, &y)).sqrt();
    if !scale.is_finite() || scale <= 1e-12 {
        return None;
    }
    let correlation = dot(&x, &y) / scale;
    let mut rng = ChaCha8Rng::seed_from_u64(0x6d61_7073);
    let mut reached = 0;
    for _ in 0..DRAWS {
        order.shuffle(&mut rng);
        // Equal orders must count although their sums differ by rounding.
        reached += usize::from(dot(&x, &centred(b, &order)) / scale >= correlation - 1e-12);
    }
    Some(MapAgreement { constitutions: k, correlation, p: (reached + 1) as f64 / (DRAWS + 1) as f64 })
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use rand_distr::StandardNormal;

    use super::*;

    /// Cosines of random vectors, and those of the same vectors with added noise.
    fn maps(rng: &mut ChaCha8Rng, shared: f64) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let mut draw = || (0..4).map(|_| rng.sample::<f64, _>(StandardNormal)).collect::<Vec<f64>>();
        let a: Vec<Vec<f64>> = (0..9).map(|_| draw()).collect();
        let b: Vec<Vec<f64>> = a
            .iter()
            .map(|v| v.iter().zip(draw()).map(|(v, e)| shared * v + (1.0 - shared) * e).collect())
            .collect();
        let cosines = |m: &[Vec<f64>]| {
            let cos = |u: &Vec<f64>, v: &Vec<f64>| dot(u, v) / (dot(u, u) * dot(v, v)).sqrt();
            m.iter().map(|u| m.iter().map(|v| cos(u, v)).collect()).collect::<Vec<Vec<f64>>>()
        };
        (cosines(&a), cosines(&b))
    }

    #[test]
    fn maps_of_the_same_directions_agree_and_unrelated_ones_do_at_the_nominal_rate() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (a, b) = maps(&mut rng, 0.8);
        let found = agreement(&a, &b).expect("nine constitutions");
        assert!(found.correlation > 0.7 && found.p < 0.001, "{found:?}");
        let same = agreement(&a, &a).expect("nine constitutions");
        assert!((same.correlation - 1.0).abs() < 1e-12 && same.p < 0.001);
        let small = (0..60).filter(|_| {
            let (a, b) = maps(&mut rng, 0.0);
            agreement(&a, &b).expect("nine constitutions").p < 0.1
        });
        let small = small.count();
        assert!((1..=13).contains(&small), "{small} of 60 below .1");
        assert_eq!(agreement(&a[..4], &b[..4]), None);
    }
}
