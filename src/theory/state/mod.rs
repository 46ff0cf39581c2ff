//! What a constitution does to the state, measured on activations captured under it (Section 3.2, Remark 1).
//!
//! The same responses are read bare (h_0), under each constitution (h_c) and under placebo texts (h_p), row by row in
//! pairs. Four questions, each a file: which direction does c add ([`shift`]), does it amplify what encodes the value
//! ([`gain`]), does it make the value easier to read and turn its direction ([`retrieval`]), and does its effect depend on
//! the response at all ([`interaction`]). Every figure is set against placebo texts ([`placebo`]).

pub mod agreement;
mod cells;
mod chosen;
mod figure;
pub mod finding;
pub mod gain;
pub mod interaction;
pub mod map;
mod measure;
pub mod placebo;
mod report;
pub mod retrieval;
mod section;
pub mod shift;
mod story;

use measure::measure;
pub(crate) use section::without_a_judge;

use crate::theory::base::estimate::Quantity;
use crate::theory::statement::{Measure, Rests, Statement};

pub use figure::Figure;
pub use finding::{Cell, Finding, LayerShift, Missing, Outcome, Reading, Shifted};
pub use story::{Agreement, Route, Sign, Story};

/// Name of the table in the report: a list of [`Finding`], one a control.
pub const TABLE: &str = "state";

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "state",
    title: "What constitutions do to the state",
    source: "Section 3.2, Remark 1",
    quantities: &[
        Quantity::ActivationNorm,
        Quantity::ActivationAlignment,
        Quantity::ActivationGain,
        Quantity::RetrievalGain,
        Quantity::ValueTurn,
        Quantity::ConditionedGap,
        Quantity::ResponseShare,
    ],
    tables: &[TABLE],
    rests: Rests::Otherwise,
    measures: &[Measure::Whole(measure)],
    section: Some(section::section),
};
