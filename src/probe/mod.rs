//! Linear probes: contrasts, leave-block-out twicing ridge, directions, intervals.

pub mod contrasts;
pub mod direction;
pub mod influence;
pub mod interval;
pub mod left_out;
pub mod length;
pub mod logistic;
pub mod reml;
pub mod rewards;
pub mod ridge;
pub mod spectrum;
pub mod twicing;

pub use contrasts::Contrasts;
pub use influence::{Influence, Probed};
pub use ridge::{FittedRidge, RidgeProbe};
pub use spectrum::Spectrum;
