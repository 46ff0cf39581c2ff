//! What is reported of a difference of means, layer by layer, and against the directions of a run.

use serde::Serialize;

use super::{Means, Raw, Sets};
use crate::hypothesis::bench::{Bench, Label};
use crate::hypothesis::{Estimate, geometry};
use crate::units::Layer;

/// Against one direction of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Against {
    /// `v_star.VALUE`, `v_c.CONSTITUTION` or `w`.
    pub direction: String,
    /// `direction_cos`.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// Standard deviation of the same for random directions.
    pub random_sd: Option<f64>,
    /// The Euclidean cosine with the exported direction.
    pub raw: Option<Raw>,
}

impl Against {
    /// Measures one.
    pub fn new(
        means: &Means,
        sets: &Sets<'_>,
        name: &str,
        bench: &Bench,
        label: &Label,
        v: Option<&[f64]>,
    ) -> Self {
        let mut estimate = means.cos(sets, bench, label);
        estimate.control = bench.control;
        Self {
            direction: name.to_owned(),
            estimate,
            random_sd: geometry::null(bench, label, 0).estimate,
            raw: v.and_then(|v| means.raw(sets, v)),
        }
    }
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerMeans {
    /// The layer.
    pub layer: Layer,
    /// ‖d‖.
    pub norm: f64,
    /// ⟨d₁, d₂⟩ of the halves: ‖d‖² without noise.
    pub square: Option<f64>,
    /// √(mean ‖h − mean of its set‖²).
    pub spread: f64,
    /// `direction_auc`.
    pub auc: Estimate,
    /// Against the directions of a run.
    pub against: Vec<Against>,
}

/// A difference of means at every layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// `vstar-direction/1`.
    pub format: &'static str,
    /// The model.
    pub model: String,
    /// Its name in directions.safetensors.
    pub name: String,
    /// Which token of a prompt: `last`, `mean`, `-k`.
    pub position: String,
    /// Prompts of the first and the second set.
    pub prompts: [usize; 2],
    /// The run it is held against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// Layer by layer.
    pub layers: Vec<LayerMeans>,
    /// What must be known.
    pub warnings: Vec<String>,
}
