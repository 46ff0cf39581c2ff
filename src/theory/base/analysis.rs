//! Options and results of an analysis.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Diagnostic, Kind, Result};
use crate::theory::base::arm::Arm;
use crate::theory::base::dominant::Dominance;
use crate::theory::base::estimate::{Control, Estimate, Mode, Quantity};
use crate::theory::base::layers::{HalfChoice, LayerAlignment, LayerDimension, LayerRho2};
use crate::theory::base::problem::Problem;
use crate::units::Layer;

/// Name of the table `[{value, constitution, control, quantity, difference, se, z}]`: slopes compared with the
/// placebo arm, paired.
pub const PLACEBO: &str = "placebo";

/// Which layer to report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayerChoice {
    /// The only layer, or the layers that encode S best, each half of the blocks choosing for the other. Never the
    /// embeddings.
    #[default]
    Auto,
    /// This layer, on all data.
    Fixed(Layer),
}

impl LayerChoice {
    /// The fixed layer, if any.
    pub fn fixed(self) -> Option<Layer> {
        match self {
            Self::Auto => None,
            Self::Fixed(layer) => Some(layer),
        }
    }
}

/// Options of an analysis.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Layer to report.
    pub layer: LayerChoice,
    /// Values to analyse; `None` means all.
    pub values: Option<Vec<String>>,
    /// Weights of values over σ_S in weighted aggregates, by name; 1 for those not named.
    pub weights: BTreeMap<String, f64>,
    /// Constitutions to average; `None` means all outside the placebo arm.
    pub ensemble: Option<Vec<String>>,
    /// Maps each rewording to the constitution it rewords.
    pub wordings: BTreeMap<String, String>,
    /// Skips the statements beyond the core, and the directions.
    pub core_only: bool,
    /// Seed of the random directions in the geometry and concentration nulls, and of the draws that adjust p-values.
    pub seed: u64,
}

impl Options {
    /// Weight of a value.
    pub(crate) fn weight(&self, value: &str) -> f64 {
        self.weights.get(value).copied().unwrap_or(1.0)
    }

    /// Errors on weights of unknown values, unknown ensemble members, and weights that are not positive.
    pub(crate) fn check(&self, problem: &Problem) -> Result<()> {
        for (name, weight) in &self.weights {
            if !problem.values.iter().any(|v| v.name == *name) {
                let known: Vec<&str> = problem.values.iter().map(|v| v.name.as_str()).collect();
                return Err(Diagnostic::new(
                    Kind::Missing,
                    format!("a weight of `{name}`, which is no value"),
                )
                .expected(format!("one of {}", known.join(", ")))
                .into());
            }
            if !(*weight > 0.0 && weight.is_finite()) {
                return Err(Diagnostic::new(Kind::Invalid, format!("the weight of `{name}` is {weight}"))
                    .expected("a number above 0")
                    .into());
            }
        }
        for name in self.ensemble.iter().flatten() {
            if !problem.judged.iter().any(|j| j.name == *name) {
                let known: Vec<&str> = problem.judged.iter().map(|j| j.name.as_str()).collect();
                return Err(Diagnostic::new(Kind::Missing, format!("no judgments under `{name}`"))
                    .expected(format!("members of an ensemble among {}", known.join(", ")))
                    .into());
            }
        }
        Ok(())
    }
}

/// A constitution's slope minus the mean slope of the placebo arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlaceboContrast {
    /// The value.
    pub value: String,
    /// The constitution.
    pub constitution: String,
    /// How the rewards were obtained, if they are reported beside forced choices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Mode>,
    /// What was projected out.
    pub control: Control,
    /// `encoded_slope` or `total_slope`.
    pub quantity: Quantity,
    /// Slope minus the mean slope of the placebos.
    pub difference: f64,
    /// Its standard error.
    pub se: f64,
    /// difference / SE.
    pub z: f64,
    /// Number of independent placebo texts.
    pub draws: usize,
    /// Two-sided p over the choice of prompts, adjusted for all constitutions and values.
    pub p_prompts: f64,
    /// Two-sided p over the choice of placebo texts, adjusted likewise; absent with fewer than four texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_texts: Option<f64>,
}

/// Results of an analysis.
#[derive(Debug, Clone, Default)]
pub struct Analysis {
    /// Every estimate.
    pub estimates: Vec<Estimate>,
    /// The reported layer.
    pub layer: Layer,
    /// How the layer was chosen, in words.
    pub layer_note: String,
    /// Choice of each half of the blocks; empty where no layer had to be chosen.
    pub choice: Vec<HalfChoice>,
    /// ρ² by layer, fitted separately on each half of the blocks; empty where no layer had to be chosen.
    pub profile: Vec<LayerRho2>,
    /// Identifiable alignments by layer, from the same fits.
    pub alignments: Vec<LayerAlignment>,
    /// `v_star.VALUE`, `v_c.CONSTITUTION`, `w`: one `[d]` vector per layer, in layer order.
    pub directions: BTreeMap<String, Vec<Vec<f64>>>,
    /// d_eff by layer, over all rows.
    pub dimensions: Vec<LayerDimension>,
    /// Largest shares of single coordinates and prompts, and the figures without them.
    pub dominance: Vec<Dominance>,
    /// Slopes compared with the placebo arm.
    pub placebo: Vec<PlaceboContrast>,
    /// Placebo arms.
    pub arms: Vec<Arm>,
    /// Further tables of single statements, keyed by the name of the table in the report.
    pub tables: BTreeMap<String, serde_json::Value>,
    /// Warnings for the reader.
    pub warnings: Vec<String>,
    /// Duration of each step in seconds.
    pub seconds: Vec<(String, f64)>,
}

impl Analysis {
    /// Estimate of a quantity without control, for the given value and constitution where it has them. With several
    /// judges, the one whose figures are the main ones.
    pub fn get(
        &self,
        quantity: Quantity,
        value: Option<&str>,
        constitution: Option<&str>,
    ) -> Option<&Estimate> {
        self.estimates.iter().find(|e| {
            e.quantity == quantity
                && e.control == Control::None
                && e.judge.is_none()
                && e.value.as_deref() == value
                && e.constitution.as_deref() == constitution
        })
    }

    /// Appends an entry to a list table, creating the table if needed.
    pub(crate) fn add_to_table(&mut self, name: &str, entry: &impl Serialize) {
        let Ok(entry) = serde_json::to_value(entry) else { return };
        let table =
            self.tables.entry(name.to_owned()).or_insert_with(|| serde_json::Value::Array(Vec::new()));
        if let Some(list) = table.as_array_mut() {
            list.push(entry);
        }
    }
}
