//! Runs every statement on a problem, over layers, rows, values and constitutions.

pub mod analyse;
mod beside;
mod copies;
mod export;
mod layers;
mod values;
