//! Results on the state under constitutions, as serialisable types without text.

use serde::{Deserialize, Serialize};

use super::figure::Figure;
use super::interaction::Shares;
use super::placebo::Band;
use super::story::Story;
use crate::theory::base::estimate::Control;
use crate::units::Layer;

/// Outcome for a figure of a constitution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Clearly above the placebo texts.
    Higher,
    /// Clearly below the placebo texts.
    Lower,
    /// Not distinguishable from a placebo text.
    LikePlacebos,
    /// Fewer than four independent placebo texts: no verdict.
    TooFewPlacebos,
    /// The value, or the direction, is not identifiable here.
    NotIdentifiable,
}

impl Outcome {
    /// +1, −1 or 0; `None` where the outcome is undecided.
    pub fn sign(self) -> Option<i8> {
        match self {
            Self::Higher => Some(1),
            Self::Lower => Some(-1),
            Self::LikePlacebos => Some(0),
            Self::TooFewPlacebos | Self::NotIdentifiable => None,
        }
    }
}

/// A figure compared with the placebo texts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The figure; `None` where it could not be estimated.
    pub figure: Option<Figure>,
    /// Prediction band for a placebo text.
    pub band: Option<Band>,
    /// The larger of two p: that of no difference from the placebos over prompts, and that of being another placebo
    /// text.
    pub p: Option<f64>,
    /// `p` adjusted for the number of constitutions, values and figures (Holm).
    pub p_adjusted: Option<f64>,
    /// Outcome of the comparison.
    pub outcome: Outcome,
}

impl Reading {
    /// An empty reading.
    pub const NONE: Self =
        Self { figure: None, band: None, p: None, p_adjusted: None, outcome: Outcome::NotIdentifiable };
}

/// Overall effect of a constitution on the state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shifted {
    /// The constitution.
    pub constitution: String,
    /// Whether it is a placebo; placebos are compared with the other placebos.
    pub placebo: bool,
    /// ‖Δ_c‖ over the root mean square norm of bare rows.
    pub norm: Option<Figure>,
    /// Prediction band from the placebos' own ‖Δ‖.
    pub band: Option<Band>,
    /// Shares of E‖h_c − h_0‖².
    pub shares: Option<Shares>,
    /// Prediction band from the placebos' share by response.
    pub response_band: Option<Band>,
}

/// Effect of a constitution on the state with respect to a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The value.
    pub value: String,
    /// The constitution.
    pub constitution: String,
    /// Whether it is a placebo; placebos are compared with the other placebos.
    pub placebo: bool,
    /// cos(Δ_c, v*).
    pub alignment: Reading,
    /// cos(Δ_c, v*) in raw coordinates, with the fitted v*.
    pub alignment_raw: Option<f64>,
    /// Split-half reliability of Δ_c.
    pub reliability: Option<f64>,
    /// Gain along v* relative to random directions of the same variance.
    pub gain: Reading,
    /// Var⟨h_c, v*⟩ / Var⟨h_0, v*⟩.
    pub ratio: Option<Figure>,
    /// The same ratio for random directions: mean, and standard deviation over directions relative to the mean.
    pub random: Option<(f64, f64)>,
    /// ρ² of S from h_c.
    pub rho2: Option<Figure>,
    /// ρ² from h_c minus the mean under placebos.
    pub retrieval: Reading,
    /// cos(v*_c, v*_0): how the direction fitted under c performs without c.
    pub turn: Reading,
    /// How the direction fitted without c performs under c.
    pub transfer: Reading,
    /// cos(w_c, v*) − cos(w_0, v*), w_c the direction of log P(y | c, x).
    pub conditioned: Reading,
}

/// Reason why some of the figures are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Missing {
    /// The observations hold no rows read under a constitution.
    Rows,
    /// Fewer than 80 % of the rows were read under this constitution.
    FewRows {
        /// The constitution.
        constitution: String,
    },
    /// No rows under placebo texts to compare with.
    Placebos,
    /// Fewer than four independent placebo texts: figures without verdicts.
    FewPlacebos {
        /// Number of independent placebo texts.
        texts: usize,
    },
    /// No log-probabilities: no w_c.
    Logprob,
    /// The prompts of the rows are unknown.
    Prompts,
    /// S is not encoded in the bare rows: there is no v*.
    Unencoded {
        /// The value.
        value: String,
    },
}

/// ‖Δ_c‖ at a layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LayerShift {
    /// The layer.
    pub layer: Layer,
    /// The constitution.
    pub constitution: String,
    /// Whether it is a placebo.
    pub placebo: bool,
    /// ‖Δ_c‖ over the root mean square norm of bare rows; 0 where it does not exceed the noise.
    pub norm: f64,
}

/// All findings under one control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was projected out.
    pub control: Control,
    /// The layer.
    pub layer: Layer,
    /// Number of rows per arm.
    pub rows: usize,
    /// Number of blocks of prompts.
    pub blocks: usize,
    /// Number of independent placebo texts.
    pub placebos: usize,
    /// Reasons for missing figures.
    pub missing: Vec<Missing>,
    /// Overall effects, by constitution.
    pub shifts: Vec<Shifted>,
    /// Effects by value and constitution.
    pub cells: Vec<Cell>,
    /// ‖Δ_c‖ by layer, on all rows; only without control.
    pub layers: Vec<LayerShift>,
    /// Agreement of the estimators, by value and constitution.
    pub stories: Vec<Story>,
}
