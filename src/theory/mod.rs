//! The paper's statements as measurements, one module per statement: numbers in, estimates and report sections out.
//!
//! A statement's module contains its estimators, its report section, its simulated ground truth, and a constant
//! [`Statement`] listed in [`STATEMENTS`]. `base` holds the shared estimators, `reading` interprets estimates, and
//! `driver` runs all statements. `docs/paper-map.md` maps statements to modules.

mod adversarial;
pub mod angles;
pub mod answer;
pub mod base;
pub mod between;
pub mod ceiling;
mod complement;
pub mod concentration;
pub mod dimension;
mod driver;
pub mod encoding;
mod ensemble;
pub mod gap;
pub mod geometry;
pub mod gradient;
mod improvement;
pub mod items;
pub mod judging;
pub mod linearity;
pub mod monotone;
mod own;
pub mod policy;
pub mod promptable;
pub mod raw;
pub mod reading;
pub mod scaling;
pub mod several;
pub mod state;
pub mod statement;
pub mod statements;
pub mod tilt;
pub mod wording;

pub use base::analysis::{Analysis, LayerChoice, Options};
pub use base::estimate::{Control, Estimate, Flag, Mode, Quantity};
pub use base::problem::{
    Choices, Judged, Labels, LayerSource, Parts, Problem, RawChoices, StateText, Value, VerdictSource,
    VerdictText,
};
pub use driver::analyse::analyse;
pub use statement::{Rests, Statement};
pub use statements::STATEMENTS;
