//! Runs an experiment: loads the model, captures responses, asks the judges, fits the observations, and writes the
//! report to the run's folder; results of an earlier run are reused.

pub mod capture;
mod conduct;
pub mod duration;
mod hashes;
pub mod joined;
mod journal;
pub mod judged;
pub mod judges;
pub mod labelling;
mod loaded;
mod observe;
pub mod pairwise;
pub mod parts;
pub mod plan;
pub mod preferences;
pub mod preflight;
pub mod progress;
#[cfg(feature = "cli")]
pub mod quick;
pub mod rows;
pub mod sampling;
pub mod scores;
mod tokens;
pub mod verdicts;
pub mod verify;

pub use conduct::Outcome;
pub use loaded::Loaded;
