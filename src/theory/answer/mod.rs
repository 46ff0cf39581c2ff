//! Where the verdict is made: the judge's residual stream at the position of its answer.
//!
//! Of a pair that is asked in both orders z = (h_ab − h_ba)/2 at the answer's position is what turns with the order, so
//! that no liking for a place is in it; least squares give each response its part, as they give it a reward. Everything
//! that is asked of h can then be asked of z on the same contrasts: how much of the verdict r_c a probe reads
//! (`verdict_rho2`), how much of a value S (`verdict_value_rho2`), at what angle the two lie (`verdict_alignment`), and
//! whether the direction v_c that reads r_c from the responses themselves reads it here too (`verdict_transfer`). What the
//! unembedding reads of the two answers at each layer is how much of the verdict stands there already (`lens_share`).

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
