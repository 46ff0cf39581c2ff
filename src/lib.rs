//! Measures whether a language model encodes a value as a direction of its residual stream (v*, ρ),
//! which direction a constitution prompt activates (v_c), and how the two align, better or worse
//! than default generation does (w): the latent value hypothesis, tested.
//!
//! Data flows one way, and a module imports only from those before it:
//!
//! [`input`] → [`model`] → [`forest`] → [`check`] → [`observations`] → [`capture`] → [`judge`] → [`config`] → [`probe`] →
//! [`document`] → [`theory`] → [`report`] → [`simulate`] → [`steer`] → [`organism`] → [`fit`] → [`coverage`] → [`run`] →
//! [`commands`],
//! beside the small shared ones: [`error`], [`units`], [`artifact`], [`store`], [`sets`], [`linalg`].
//! `tests/it/architecture.rs` reads the `use` lines and holds everyone to it.

// Tests may lay out files as they need them.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod artifact;
pub mod capture;
pub mod check;
pub mod commands;
pub mod config;
pub mod coverage;
pub mod document;
pub mod error;
pub mod fit;
pub mod forest;
pub mod input;
pub mod judge;
pub mod linalg;
pub mod model;
pub mod observations;
pub mod organism;
pub mod probe;
pub mod report;
pub mod run;
pub mod sets;
pub mod simulate;
pub mod steer;
pub mod store;
pub mod theory;
pub mod units;
