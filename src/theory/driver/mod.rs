//! Runs every statement on a problem: the layer, the rows, the values, the constitutions.

pub mod analyse;
mod beside;
mod copies;
mod export;
mod layers;
mod values;
