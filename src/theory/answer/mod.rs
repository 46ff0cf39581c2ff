//! Where the verdict arises: the judge's residual stream at the position of its answer.
//!
//! For a pair judged in both orders, z = (h_ab − h_ba)/2 at the answer's position is the part that changes sign with
//! the order, so that it contains no position preference; least squares assigns each response its part, as for
//! rewards. Every analysis of h can then be applied to z on the same contrasts: how much of the verdict r_c a probe
//! reads (`verdict_rho2`), how much of a value S (`verdict_value_rho2`), the angle between the two
//! (`verdict_alignment`), and whether the direction v_c that reads r_c from the responses also reads it here
//! (`verdict_transfer`). `lens_share` is how much of the verdict the unembedding already reads from the two answers
//! at each layer.

mod lens;
mod measure;
mod section;

use measure::measure;
pub(crate) use section::left_unsaid;

use crate::theory::base::estimate::Quantity;
use crate::theory::statement::{Measure, Rests, Statement};

pub use lens::{Lens, TABLE};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "answer",
    title: "Where the verdict is made",
    source: "Assumption 3",
    quantities: &[
        Quantity::VerdictRho2,
        Quantity::LensShare,
        Quantity::VerdictTransfer,
        Quantity::VerdictValueRho2,
        Quantity::VerdictAlignment,
    ],
    tables: &[TABLE],
    rests: Rests::Otherwise,
    measures: &[Measure::Whole(measure)],
    section: Some(section::section),
};
