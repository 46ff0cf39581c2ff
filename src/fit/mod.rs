//! From observations to the report: poses the numerical problem, analyses it, and writes the results.

pub mod folder;
pub mod named;
pub mod problem;
mod report;
pub mod roster;
pub mod rows;
pub mod verdicts;
mod words;

pub use problem::{Posed, pose};
pub use report::{FitMemory, FitOptions, Fitted, estimates, factorisation, fit, fit_into, fit_memory};
