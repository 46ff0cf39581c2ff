//! How estimates are read: found by what they are of, quoted or withheld, and made into verdicts.

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
