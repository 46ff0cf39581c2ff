//! A run: an experiment carried out. The model is loaded, responses are captured, the judges asked, the observations
//! fitted, and the report written into the folder of the run; what an earlier run has finished is used again.

pub mod capture;
mod conduct;
pub mod duration;
mod hashes;
pub mod joined;
pub mod judged;
pub mod judges;
mod loaded;
mod observe;
pub mod pairwise;
pub mod plan;
pub mod preflight;
pub mod progress;
#[cfg(feature = "cli")]
pub mod quick;
pub mod rows;
pub mod scores;
mod tokens;
pub mod verdicts;

pub use conduct::Outcome;
pub use loaded::Loaded;
