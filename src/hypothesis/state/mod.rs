//! What a constitution does to the state, measured on activations captured under it (Section 3.2, Remark 1).
//!
//! The same responses are read bare (h_0), under each constitution (h_c) and under placebo texts (h_p), row by row in
//! pairs. Four questions, each a file: which direction does c add ([`shift`]), does it amplify what encodes the value
//! ([`gain`]), does it make the value easier to read and turn its direction ([`retrieval`]), and does its effect depend on
//! the response at all ([`interaction`]). Every figure is set against placebo texts ([`placebo`]).

pub mod agreement;
mod cells;
mod chosen;
pub mod finding;
pub mod gain;
pub mod interaction;
pub mod map;
mod measure;
pub mod placebo;
mod report;
pub mod retrieval;
pub mod shift;

pub use agreement::{Agreement, Route, Sign, Story};
pub use finding::{Cell, Figure, Finding, LayerShift, Missing, Outcome, Reading, Shifted};
pub(super) use measure::measure;

/// Name of the table in the report: a list of [`Finding`], one a control.
pub const TABLE: &str = "state";
