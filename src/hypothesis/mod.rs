//! The paper's statements as measurements: one module a theorem, plain numbers in, verdicts out.

pub mod estimate;

pub use estimate::{Control, Estimate, Quantity};
