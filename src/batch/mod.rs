//! Experiments: the plan, the run store, resume.

pub mod capture;
pub mod experiment;
pub mod judge;
pub mod problem;
pub mod progress;

pub use problem::{Posed, pose};
