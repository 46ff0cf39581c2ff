//! What an analysis is asked, and what it gives.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Diagnostic, Kind, Result};
use crate::theory::base::arm::Arm;
use crate::theory::base::dominant::Dominance;
use crate::theory::base::estimate::{Control, Estimate, Mode, Quantity};
use crate::theory::base::layers::{HalfChoice, LayerAlignment, LayerDimension, LayerRho2};
use crate::theory::base::problem::Problem;
use crate::units::Layer;

/// Name of the table `[{value, constitution, control, quantity, difference, se, z}]`: slopes against the
/// placebo arm, paired.
pub const PLACEBO: &str = "placebo";

/// Which layer is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayerChoice {
    /// The only one, or those that encode S best: each half of the blocks chooses for the other. Never the embeddings.
    #[default]
    Auto,
    /// This one, on all data.
    Fixed(Layer),
}

impl LayerChoice {
    /// The layer, where one is given.
    pub fn fixed(self) -> Option<Layer> {
        match self {
            Self::Auto => None,
            Self::Fixed(layer) => Some(layer),
        }
    }
}

/// What to analyse.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The layer.
    pub layer: LayerChoice,
    /// Only these values; `None`: all.
    pub values: Option<Vec<String>>,
    /// Weights of values over σ_S in weighted aggregates, by name; 1 for those not named.
    pub weights: BTreeMap<String, f64>,
    /// The constitutions that are averaged; `None`: all outside the placebo arm.
    pub ensemble: Option<Vec<String>>,
    /// Constitutions that word another one anew, and that one.
    pub wordings: BTreeMap<String, String>,
    /// Leaves out the statements beyond the core, and the directions.
    pub core_only: bool,
    /// Seed of the random directions of the geometry and concentration nulls and of the draws by which p-values are
    /// adjusted.
    pub seed: u64,
}

impl Options {
    /// A value's weight.
    pub(crate) fn weight(&self, value: &str) -> f64 {
        self.weights.get(value).copied().unwrap_or(1.0)
    }

    /// Refuses weights of values and members of an ensemble that are not there, and weights that are not positive.
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

/// A constitution's slopes less the mean of the placebo arm's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlaceboContrast {
    /// The value.
    pub value: String,
    /// The constitution.
    pub constitution: String,
    /// How the rewards were obtained, where they stand beside forced choices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Mode>,
    /// What was projected out.
    pub control: Control,
    /// Which slope: `encoded_slope` or `total_slope`.
    pub quantity: Quantity,
    /// Slope minus the mean slope of the placebos.
    pub difference: f64,
    /// Its standard error.
    pub se: f64,
    /// difference / SE.
    pub z: f64,
    /// Independent placebo texts.
    pub draws: usize,
    /// Two-sided p over the choice of prompts, adjusted for all constitutions and values.
    pub p_prompts: f64,
    /// Two-sided p over the choice of placebo texts, adjusted likewise; absent below four texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub p_texts: Option<f64>,
}

/// What came out.
#[derive(Debug, Clone, Default)]
pub struct Analysis {
    /// Every estimate.
    pub estimates: Vec<Estimate>,
    /// The layer that is reported.
    pub layer: Layer,
    /// How it was chosen, in words.
    pub layer_note: String,
    /// What each half of the blocks chose; empty where no layer had to be chosen.
    pub choice: Vec<HalfChoice>,
    /// ρ² by layer, each half of the blocks fitted by itself; empty where no layer had to be chosen.
    pub profile: Vec<LayerRho2>,
    /// Alignments by layer from the same fits, those that are identifiable.
    pub alignments: Vec<LayerAlignment>,
    /// `v_star.VALUE`, `v_c.CONSTITUTION`, `w`: one `[d]` vector a layer, in the order of the layers.
    pub directions: BTreeMap<String, Vec<Vec<f64>>>,
    /// d_eff by layer, on all rows.
    pub dimensions: Vec<LayerDimension>,
    /// Shares of single coordinates and prompts in figures, and the figures without them.
    pub dominance: Vec<Dominance>,
    /// Slopes against the placebo arm.
    pub placebo: Vec<PlaceboContrast>,
    /// The placebo arms.
    pub arms: Vec<Arm>,
    /// What single statements found beside estimates, by the name of the table in the report.
    pub tables: BTreeMap<String, serde_json::Value>,
    /// What the reader must know.
    pub warnings: Vec<String>,
    /// Seconds by step.
    pub seconds: Vec<(String, f64)>,
}

impl Analysis {
    /// The estimate of a quantity without control, of a value and a constitution where it has them; where several judges were
    /// asked, of the one that stands by itself.
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

    /// Adds an entry to a table that is a list, and the table where it is the first.
    pub(crate) fn add_to_table(&mut self, name: &str, entry: &impl Serialize) {
        let Ok(entry) = serde_json::to_value(entry) else { return };
        let table =
            self.tables.entry(name.to_owned()).or_insert_with(|| serde_json::Value::Array(Vec::new()));
        if let Some(list) = table.as_array_mut() {
            list.push(entry);
        }
    }
}
