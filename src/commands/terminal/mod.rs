//! What commands share of the terminal: lines, progress, and amounts as a reader takes them in.

#[macro_use]
pub mod out;

pub mod bars;
#[cfg(unix)]
mod endings;
pub mod log;
pub mod memory;
mod meter;
pub mod numbers;
