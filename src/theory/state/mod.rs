//! Effect of a constitution on the state, measured on activations captured under it (Section 3.2, Remark 1).
//!
//! The same responses are read bare (h_0), under each constitution (h_c) and under placebo texts (h_p), paired by
//! row. Four questions, each in its own file: which direction c adds ([`shift`]), whether it amplifies what encodes
//! the value ([`gain`]), whether it makes the value easier to read and rotates its direction ([`retrieval`]), and
//! whether its effect depends on the response at all ([`interaction`]). Every figure is compared with placebo texts
//! ([`placebo`]).

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

/// Name of the report table: a list of [`Finding`], one per control.
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
