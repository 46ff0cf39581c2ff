//! Terminal output shared by commands: lines, progress, and formatted amounts.

#[macro_use]
pub mod out;

pub mod bars;
#[cfg(unix)]
mod endings;
pub mod log;
pub mod memory;
mod meter;
pub mod numbers;
