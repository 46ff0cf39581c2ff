//! What was found about the state under constitutions: typed, serialisable, without words.

use serde::{Deserialize, Serialize};

use super::figure::Figure;
use super::interaction::Shares;
use super::placebo::Band;
use super::story::Story;
use crate::theory::base::estimate::Control;
use crate::units::Layer;

/// What a figure of a constitution comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Clearly above what placebo texts do.
    Higher,
    /// Clearly below.
    Lower,
    /// Not distinguishable from a placebo text.
    LikePlacebos,
    /// Fewer than four independent placebo texts: no verdict.
    TooFewPlacebos,
    /// The value, or the direction, is not identifiable here.
    NotIdentifiable,
}

impl Outcome {
    /// +1, −1 or 0; `None` where nothing can be said.
    pub fn sign(self) -> Option<i8> {
        match self {
            Self::Higher => Some(1),
            Self::Lower => Some(-1),
            Self::LikePlacebos => Some(0),
            Self::TooFewPlacebos | Self::NotIdentifiable => None,
        }
    }
}

/// A figure against the placebo texts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The figure; `None` where it could not be estimated.
    pub figure: Option<Figure>,
    /// Where a placebo text's would lie.
    pub band: Option<Band>,
    /// The larger of two p: of no difference to the placebos over prompts, and of being one of their texts.
    pub p: Option<f64>,
    /// The same, adjusted for the number of constitutions, values and figures (Holm).
    pub p_adjusted: Option<f64>,
    /// What it comes to.
    pub outcome: Outcome,
}

impl Reading {
    /// Nothing.
    pub const NONE: Self =
        Self { figure: None, band: None, p: None, p_adjusted: None, outcome: Outcome::NotIdentifiable };
}

/// What a constitution does to the state at large.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shifted {
    /// The constitution.
    pub constitution: String,
    /// Whether it is a placebo, compared with the other placebos.
    pub placebo: bool,
    /// ‖Δ_c‖ over the root mean square norm of bare rows.
    pub norm: Option<Figure>,
    /// The band of the placebos' own ‖Δ‖.
    pub band: Option<Band>,
    /// Shares of E‖h_c − h_0‖².
    pub shares: Option<Shares>,
    /// The band of the placebos' share by response.
    pub response_band: Option<Band>,
}

/// What a constitution does to the state with respect to a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The value.
    pub value: String,
    /// The constitution.
    pub constitution: String,
    /// Whether it is a placebo, compared with the other placebos.
    pub placebo: bool,
    /// cos(Δ_c, v*).
    pub alignment: Reading,
    /// cos(Δ_c, v*) in raw coordinates, of the fitted v*.
    pub alignment_raw: Option<f64>,
    /// Split-half reliability of Δ_c.
    pub reliability: Option<f64>,
    /// Gain along v* over random directions of the same variance.
    pub gain: Reading,
    /// Var⟨h_c, v*⟩ / Var⟨h_0, v*⟩.
    pub ratio: Option<Figure>,
    /// The same for random directions: mean, and standard deviation over directions relative to it.
    pub random: Option<(f64, f64)>,
    /// ρ² of S from h_c.
    pub rho2: Option<Figure>,
    /// ρ² from h_c less the mean under placebos.
    pub retrieval: Reading,
    /// cos(v*_c, v*_0): the direction fitted under c, read without it.
    pub turn: Reading,
    /// The direction fitted without c, read under c.
    pub transfer: Reading,
    /// cos(w_c, v*) − cos(w_0, v*), w_c the direction of log P(y | c, x).
    pub conditioned: Reading,
}

/// What is missing for some of the figures.
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
    /// No rows under placebo texts: nothing to compare with.
    Placebos,
    /// Fewer than four independent placebo texts: figures without verdicts.
    FewPlacebos {
        /// How many there are.
        texts: usize,
    },
    /// No log-probabilities: no w_c.
    Logprob,
    /// Which rows answer the same prompt is not known.
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
    /// ‖Δ_c‖ over the root mean square norm of bare rows; 0 where nothing is left after noise.
    pub norm: f64,
}

/// Everything under one control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was projected out.
    pub control: Control,
    /// The layer.
    pub layer: Layer,
    /// Rows of each arm.
    pub rows: usize,
    /// Blocks of prompts.
    pub blocks: usize,
    /// Independent placebo texts.
    pub placebos: usize,
    /// What is missing.
    pub missing: Vec<Missing>,
    /// By constitution.
    pub shifts: Vec<Shifted>,
    /// By value and constitution.
    pub cells: Vec<Cell>,
    /// ‖Δ_c‖ by layer, on all rows; without control only.
    pub layers: Vec<LayerShift>,
    /// Whether the estimators tell one story, by value and constitution.
    pub stories: Vec<Story>,
}
