//! Experiments: the plan, the run store, resume.

pub mod bench;
pub mod capture;
pub mod check;
pub mod compare;
pub mod coverage;
pub mod direction;
pub mod drift;
pub mod experiment;
pub mod export;
pub mod fit;
pub mod judge;
pub mod judges;
pub mod model;
pub mod named;
pub mod plan;
pub mod preflight;
pub mod problem;
pub mod progress;
pub mod quick;
pub mod rates;
pub mod rows;
pub mod run;
pub mod scope;
pub mod score;
pub mod shift;
pub mod steer;
pub mod table;
pub mod verdicts;
mod words;

pub use problem::{Posed, pose};
