//! The known-answer model: a text world whose true values are a program, and a tiny model trained on it.

pub mod corpus;
pub mod curriculum;
pub mod draw;
pub mod lexicon;
pub mod net;
pub mod optimiser;
pub mod oracle;
pub mod policy;
pub mod principles;
pub mod reply;
pub mod train;
pub mod values;
pub mod words;
