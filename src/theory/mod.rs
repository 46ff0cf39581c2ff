//! The paper's statements as measurements, one module a statement: plain numbers in, estimates and pages out.
//!
//! A statement's module holds what measures it, what a report says of it, its planted truth, and a constant
//! [`Statement`] that stands in [`STATEMENTS`]. `base` is what they measure with, `reading` what estimates are read with,
//! and `driver` runs them all. `docs/paper-map.md` says which statement stands where.

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
