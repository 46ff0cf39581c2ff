//! Effects of interventions and differences between checkpoints (sections 8.1, 8.2 and 9.4 of the paper): takes plain
//! numbers and returns estimates and pages; independent of models and files.

pub mod drift;
pub mod effect;
pub mod means;
pub mod random;
pub mod shift;
