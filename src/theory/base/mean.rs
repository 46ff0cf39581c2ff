//! Means over cells that are grouped in blocks.

use std::collections::BTreeMap;

use crate::probe::interval::{interval, share_interval};
use crate::theory::base::estimate::{Estimate, Quantity};

/// A mean over cells, Σ x / Σ n, with the influence of each block.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockMean {
    /// The mean.
    pub mean: f64,
    /// Standard error over blocks; infinite with one block.
    pub se: f64,
    /// Number of cells.
    pub cells: usize,
    /// Influence of each block: the sum of its cells' deviations over the number of all cells.
    pub moves: Vec<f64>,
}

/// Mean over cells, grouped by block; `None` without cells.
pub fn mean_by_block<B: Ord>(cells: impl IntoIterator<Item = (B, f64)>) -> Option<BlockMean> {
    let mut blocks: BTreeMap<B, (f64, f64)> = BTreeMap::new();
    for (block, x) in cells {
        let cell = blocks.entry(block).or_insert((0.0, 0.0));
        cell.0 += x;
        cell.1 += 1.0;
    }
    let n: f64 = blocks.values().map(|c| c.1).sum();
    if n == 0.0 {
        return None;
    }
    let mean = blocks.values().map(|c| c.0).sum::<f64>() / n;
    let moves: Vec<f64> = blocks.values().map(|c| (c.0 - c.1 * mean) / n).collect();
    Some(BlockMean { mean, se: standard_error(&moves), cells: n as usize, moves })
}

/// √(G/(G − 1) Σ v²); infinite with one block.
pub fn standard_error(moves: &[f64]) -> f64 {
    let g = moves.len() as f64;
    if g > 1.0 { (g / (g - 1.0) * moves.iter().map(|v| v * v).sum::<f64>()).sqrt() } else { f64::INFINITY }
}

impl BlockMean {
    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.moves.len()
    }

    /// Corrects the error of a fit's mean prediction score for having fitted on the same cells, which the spread over
    /// blocks does not show. As in a least-squares fit that spends `df` of `n` degrees of freedom, the variance is
    /// multiplied by n/(n − df).
    #[must_use]
    pub fn of_a_fit(mut self, df: f64, n: usize) -> Self {
        let wider = (1.0 - df / n as f64).max(f64::MIN_POSITIVE).powf(-0.5);
        self.se *= wider;
        self.moves.iter_mut().for_each(|m| *m *= wider);
        self
    }

    /// The 95 % interval.
    pub fn interval(&self) -> (f64, f64) {
        interval(self.mean, self.se, &self.moves)
    }

    /// The 95 % interval of a mean of zeros and ones.
    pub fn share_interval(&self) -> (f64, f64) {
        share_interval(self.mean, self.se, &self.moves, self.cells)
    }

    /// Converts to an estimate.
    pub fn figure(&self, quantity: Quantity, method: impl Into<String>) -> Estimate {
        Estimate::figure(quantity, method, self.mean, self.se, self.interval())
    }

    /// Converts to the estimate of a share, with z against one half (chance).
    pub fn share(&self, quantity: Quantity, method: impl Into<String>) -> Estimate {
        let mut e = Estimate::figure(quantity, method, self.mean, self.se, self.share_interval());
        e.z = (self.se > 0.0 && self.se.is_finite()).then(|| (self.mean - 0.5) / self.se);
        (e.n, e.blocks) = (Some(self.cells), Some(self.blocks()));
        e
    }
}
