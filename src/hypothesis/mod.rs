//! The paper's statements as measurements: one module a theorem, plain numbers in, verdicts out.

pub mod analysis;
mod angles;
pub mod arm;
pub mod bench;
mod beside;
pub mod best;
pub mod between;
pub mod calibration;
pub mod ceiling;
pub mod complement;
pub mod concentration;
pub mod copies;
pub mod dimension;
pub mod discrimination;
pub mod dominance;
pub mod encoding;
mod ensemble;
pub mod estimate;
mod export;
pub mod gap;
pub mod geometry;
mod gradient;
pub mod improvement;
pub mod items;
pub mod judging;
pub mod latent;
pub mod layers;
pub mod linearity;
pub mod mean;
pub mod monotone;
mod moved;
pub mod multiplicity;
mod own;
pub mod policy;
pub mod problem;
pub mod promptable;
pub mod quantity;
pub mod raw;
pub mod regret;
pub mod rows;
pub mod scaling;
pub mod several;
mod stage;
pub mod state;
mod theorems;
pub mod tilt;
pub mod verdict;
pub mod wording;

pub use analysis::{Analysis, LayerChoice, Options, analyse};
pub use estimate::{Control, Estimate, Flag, Mode, Quantity};
pub use problem::{
    Asked, Choices, Judged, Labels, LayerSource, Parts, Problem, StateText, Value, VerdictSource, VerdictText,
};
