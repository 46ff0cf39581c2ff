//! How much of the verdict the unembedding reads out at each layer.

use serde::{Deserialize, Serialize};

use crate::probe::Influence;
use crate::probe::influence::mean_product;
use crate::theory::base::bench::Bench;
use crate::theory::base::estimate::Mode;
use crate::theory::state::Figure;
use crate::units::Layer;

/// Name of the report table: a list of [`Lens`], one per layer and constitution, without length control.
pub const TABLE: &str = "verdict_lens";

/// Readout of the unembedding at a layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lens {
    /// The constitution.
    pub constitution: String,
    /// How the judge was asked.
    pub judge: Mode,
    /// Whether the constitution belongs to the placebo arm.
    pub placebo: bool,
    /// The layer.
    pub layer: Layer,
    /// Σ ℓ r / Σ r²: ℓ the log-odds read at the layer, r those of the last layer, where the share is 1.
    pub share: Figure,
    /// Correlation of ℓ and r; absent where ℓ does not vary.
    pub correlation: Option<f64>,
}

/// Σ ℓ r / Σ r² over the contrasts of a bench, and the correlation of ℓ and r; `None` where r does not vary or ℓ is
/// unknown.
pub fn share(bench: &Bench, lens: &[f64], reward: &[f64]) -> Option<(Influence, Option<f64>)> {
    let blocks = bench.contrasts.blocks();
    let (l, r) = (bench.column(lens), bench.column(reward));
    if l.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let (lr, rr, ll) =
        (mean_product(&l, &r, blocks), mean_product(&r, &r, blocks), mean_product(&l, &l, blocks));
    if rr.value <= 0.0 {
        return None;
    }
    let correlation = (ll.value > 0.0).then(|| lr.value / (ll.value * rr.value).sqrt());
    Some((lr.over(&rr), correlation))
}
