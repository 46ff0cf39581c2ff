//! Experiments: the plan, the run store, resume.

pub mod experiment;
pub mod problem;

pub use problem::{Posed, pose};
