//! Effective number of directions of a matrix: singular values and effective ranks.

use std::ops::Range;

use faer::Mat;
use ndarray::Array2;
use serde::Serialize;

use crate::error::{Kind, Result};
use crate::probe::Spectrum;
use crate::theory::base::effective::dimension_of;
use crate::theory::dimension::effective::estimate;
use crate::theory::{Estimate, Quantity};

/// Maximum number of singular values listed.
const LISTED: usize = 16;

/// Effective number of directions of a matrix.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranks {
    /// The largest singular values divided by √rows, in decreasing order, at most 16; their squares are mean squares
    /// along a direction.
    pub singular_values: Vec<f64>,
    /// `shift_rank`: the participation ratio across blocks.
    pub rank: Estimate,
    /// The participation ratio of the sample, biased low for few rows.
    pub naive: Option<f64>,
    /// Entropy rank: exp of the entropy of the shares.
    pub entropy: Option<f64>,
    /// Number of directions for 90 % of the sum of squares.
    pub k90: Option<usize>,
}

/// The ranks of `x` `[rows, d]`, whose blocks are ranges of consecutive rows.
pub(super) fn ranks(x: &Array2<f64>, blocks: &[Range<usize>]) -> Result<Ranks> {
    let none = |why: &str| Ranks {
        singular_values: Vec::new(),
        rank: Estimate::missing(Quantity::ShiftRank, why),
        naive: None,
        entropy: None,
        k90: None,
    };
    let spectrum = match Spectrum::new(&Mat::from_fn(x.nrows(), x.ncols(), |i, j| x[[i, j]])) {
        Ok(spectrum) => spectrum,
        Err(e) if e.kind() == Some(Kind::NotEstimable) => {
            return Ok(none("the checkpoints do not differ here"));
        }
        Err(e) => return Err(e),
    };
    let total: f64 = spectrum.mu.iter().sum();
    let shares: Vec<f64> = spectrum.mu.iter().map(|m| m / total).collect();
    let mut reached = 0.0;
    let k90 = shares.iter().take_while(|p| {
        let before = reached;
        reached += **p;
        before < 0.9
    });
    let k90 = k90.count();
    let rank = match dimension_of(&spectrum, blocks) {
        None => Estimate::missing(Quantity::ShiftRank, "too few blocks to tell the directions from noise"),
        Some(found) => {
            let mut e = estimate(Quantity::ShiftRank, &found);
            (e.n, e.blocks) = (Some(x.nrows()), Some(blocks.len()));
            e
        }
    };
    Ok(Ranks {
        singular_values: spectrum.mu.iter().take(LISTED).map(|m| m.sqrt()).collect(),
        rank,
        naive: Some(1.0 / shares.iter().map(|p| p * p).sum::<f64>()),
        entropy: Some((-shares.iter().map(|p| p * p.ln()).sum::<f64>()).exp()),
        k90: Some(k90),
    })
}
