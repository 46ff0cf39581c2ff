//! What interventions do and how checkpoints differ (sections 8.1, 8.2 and 9.4 of the paper): plain numbers in,
//! estimates and pages out; nothing here names a model or a file.

pub mod drift;
pub mod effect;
pub mod means;
pub mod random;
pub mod shift;
