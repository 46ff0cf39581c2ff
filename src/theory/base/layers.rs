//! Per-layer results, and the assignment of blocks to halves.

use serde::Serialize;

use crate::theory::base::dominant::Largest;
use crate::units::Layer;

/// Name of the table `[{layer, value, rho2, se}]`: ρ² by layer, fitted separately on each half of the blocks.
pub const LAYER_PROFILE: &str = "layer_profile";
/// Name of the table `[{layer, value, constitution, cos, interval}]`: alignments by layer from the same fits.
pub const LAYER_ALIGNMENTS: &str = "layer_alignments";
/// Name of the table `[{layer, d_eff, interval, coordinate}]`: effective dimension by layer, on all rows, with the
/// coordinate of the largest share of the variance.
pub const LAYER_DIMENSIONS: &str = "layer_d_eff";
/// Name of the table `[{blocks, layer, rho2_of_other}]`: the layer each half of the blocks chose for the other.
pub const LAYER_CHOICE: &str = "layer_choice";
/// Name of the table (a string) that explains how the layer was chosen.
pub const LAYER_NOTE: &str = "layer_note";

/// Output of the embeddings.
pub const EMBEDDINGS: Layer = Layer(0);

/// ρ² of a value at a layer, fitted separately on each half of the blocks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerRho2 {
    /// The layer.
    pub layer: Layer,
    /// The value.
    pub value: String,
    /// ρ²; `None` if it could not be computed.
    pub rho2: Option<f64>,
    /// Standard error of ρ².
    pub se: Option<f64>,
}

/// Alignment of a constitution with a value at a layer, from the same fits. Shows where in the model alignment
/// arises; plays no part in choosing the layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerAlignment {
    /// The layer.
    pub layer: Layer,
    /// The value.
    pub value: String,
    /// The constitution.
    pub constitution: String,
    /// cos(v_c, v*).
    pub cos: f64,
    /// Ends of the 95 % interval.
    pub interval: (f64, f64),
}

/// The layer chosen by one half of the blocks, and its score on the other half.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HalfChoice {
    /// Number of blocks in the half.
    pub blocks: usize,
    /// Layer chosen for the other half.
    pub layer: Layer,
    /// Mean ρ² over values of the *other* half at that layer; `None` if it cannot be fitted there.
    pub rho2_of_other: Option<f64>,
}

/// d_eff at a layer, over all rows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerDimension {
    /// The layer.
    pub layer: Layer,
    /// Effective dimension, cross-block.
    pub d_eff: f64,
    /// Ends of its 95 % interval.
    pub interval: (f64, f64),
    /// The coordinate with the largest share of the trace of Σ_w.
    pub coordinate: Option<Largest>,
}

/// Whether a block belongs to the selecting half. Decided by a hash of the block's number, so that it depends neither
/// on the order of the data nor on a seed.
pub fn selects(block: i32) -> bool {
    // SplitMix64's finaliser: spreads neighbouring numbers.
    let mut z = (i64::from(block) as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) & 1 == 0
}

/// Layers that may be chosen: all but the embeddings, unless no others exist.
pub fn eligible(layers: &[Layer]) -> Vec<Layer> {
    let inner: Vec<Layer> = layers.iter().copied().filter(|l| *l != EMBEDDINGS).collect();
    if inner.is_empty() { layers.to_vec() } else { inner }
}
