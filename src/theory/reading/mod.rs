//! Interpretation of estimates: lookup by key, reportable or withheld figures, verdicts.

pub mod card;
pub mod index;
pub(crate) mod keyed;
pub mod outcome;
pub mod quote;
mod rules;
pub(crate) mod together;
pub mod validity;
pub mod verdict;
pub(crate) mod words;
