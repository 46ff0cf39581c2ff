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

pub use lens::{Lens, TABLE};
pub(super) use measure::measure;
