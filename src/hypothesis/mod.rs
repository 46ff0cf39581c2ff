//! The paper's statements as measurements: one module a theorem, plain numbers in, verdicts out.

pub mod analysis;
mod angles;
pub mod bench;
pub mod between;
pub mod calibration;
pub mod ceiling;
pub mod dimension;
pub mod discrimination;
pub mod encoding;
pub mod estimate;
mod export;
pub mod gap;
pub mod geometry;
pub mod improvement;
pub mod items;
pub mod judging;
pub mod latent;
pub mod layers;
mod linearity;
pub mod monotone;
mod moved;
pub mod multiplicity;
pub mod problem;
pub mod quantity;
pub mod regret;
pub mod rows;
pub mod scaling;
pub mod several;
mod stage;
mod theorems;
pub mod tilt;

pub use analysis::{Analysis, LayerChoice, Options, analyse};
pub use estimate::{Control, Estimate, Mode, Quantity};
pub use problem::{Asked, Choices, Judged, Labels, LayerSource, Parts, Problem, Value};
