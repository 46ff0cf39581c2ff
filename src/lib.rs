//! Measures whether a language model encodes a value as a direction of its residual stream (v*, ρ),
//! which direction a constitution prompt activates (v_c), and how the two align, better or worse
//! than default generation does (w): the latent value hypothesis, tested.
//!
//! The program is `vstar` (see the README). The library offers the same without a run folder: load a model, capture,
//! judge, fit, and look up ⟨v_c, v\*⟩ and every other quantity by name.
//!
//! ```
//! use vstar::prelude::*;
//!
//! let constitutions = read_constitutions(&["embedded:hearth".into()])?;
//! let model = ModelSettings::new("embedded:hearth-xs")?;
//! let mut options = CaptureOptions::new(model, ["embedded:hearth"], constitutions);
//! options.data.read.limit = Some(40);
//! options.capture.layers = LayerList::These(vec![Layer(2)]);
//!
//! let prepared = Prepared::new(&options)?;
//! let judges = Judges::new(&JudgeSettings::default(), &prepared)?;
//! let observations = prepared.observe(&judges, &mut Silent)?;
//! let analysis = vstar::fit::estimates(&observations, &FitSettings::default(), 0)?;
//!
//! let alignment = analysis.get(Quantity::Alignment, Some("helpful"), Some("helpful")).expect("both are there");
//! println!("⟨v_c, v*⟩ = {:?} [{:?}, {:?}]", alignment.estimate, alignment.lo, alignment.hi);
//! # assert!(alignment.estimate.is_some());
//! # Ok::<(), vstar::error::Error>(())
//! ```
//!
//! `examples/` has the same with files (`capture`, `fit`), with activations captured elsewhere (`bring_your_own`),
//! and an intervention (`steer`). Features, all on by default: `cli` (the program), `hub` (models by name from the
//! hub), `parquet` (items in parquet files), `train` (the known-answer model's world and training); `cuda` is off.
//!
//! Data flows one way, and a module imports only from those before it:
//!
//! [`input`] → [`model`] → [`forest`] → [`generation`] → [`check`] → [`observations`] → [`capture`] → [`judge`] → [`config`] → [`probe`] →
//! [`document`] → [`theory`] → [`report`] → [`simulate`] → [`steer`] → [`organism`] → [`fit`] → [`coverage`] → [`run`] →
//! [`commands`],
//! and the shared modules [`error`], [`guard`], [`json`], [`source`], [`units`], [`artifact`], [`store`], [`sets`],
//! [`linalg`]; [`prelude`] re-exports what most programs need. `tests/it/architecture.rs` enforces this order from
//! the `use` lines.

// Tests may write files directly.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod artifact;
pub mod capture;
pub mod check;
#[cfg(feature = "cli")]
pub mod commands;
pub mod config;
pub mod coverage;
pub mod document;
pub mod error;
pub mod fit;
pub mod forest;
pub mod generation;
pub mod guard;
pub mod input;
pub mod json;
pub mod judge;
pub mod linalg;
pub mod model;
pub mod observations;
#[cfg(feature = "train")]
pub mod organism;
pub mod prelude;
pub mod probe;
pub mod report;
pub mod run;
pub mod sets;
pub mod simulate;
pub mod source;
pub mod steer;
pub mod store;
pub mod theory;
pub mod units;
