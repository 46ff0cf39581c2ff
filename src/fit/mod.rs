//! From observations to the report: the problem in plain numbers, its analysis, and the files that say what came out.

pub mod folder;
pub mod named;
pub mod problem;
mod report;
pub mod roster;
pub mod rows;
pub mod verdicts;
mod words;

pub use problem::{Posed, pose};
pub use report::{FitMemory, FitOptions, Fitted, estimates, fit, fit_into, fit_memory};
