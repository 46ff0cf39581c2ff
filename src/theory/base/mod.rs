//! Shared tools of the statements: problem, benches of contrasts, estimates, angles, multiplicity, nulls.

pub mod analysis;
pub mod angle;
pub mod arm;
pub mod bench;
pub mod dominant;
pub mod effective;
pub mod estimate;
pub mod layers;
pub mod mean;
mod moved;
pub mod multiplicity;
pub mod problem;
pub mod quantity;
pub mod random;
pub mod rows;
pub(crate) mod stage;

pub(crate) use moved::moved;
