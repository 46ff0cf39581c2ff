//! Experiments: the plan, the run store, resume.

pub mod experiment;
