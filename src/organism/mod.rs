//! The known-answer model: a text world whose true values are a program, and a tiny model trained on it.
//!
//! [`words`] → [`reply`] → [`policy`] (who says what), [`oracle`] → [`values`] (what it is worth), [`readers`] (what
//! the words alone tell of it),
//! [`principles`] → [`corpus`] (what is said about it), [`net`], [`engine`] → [`train`] (who learns it),
//! [`sample`], [`ask`], [`metrics`] → [`export`], [`card`] (what came of it), [`preference`] → [`rlaif`] (what its own judgments
//! make of it).

pub mod ask;
pub mod card;
pub mod checkpoint;
pub mod composition;
pub mod corpus;
pub mod curriculum;
pub mod draw;
pub mod engine;
pub mod export;
pub mod folder;
pub mod lexicon;
pub mod metrics;
pub mod net;
pub mod optimiser;
pub mod oracle;
pub mod policy;
pub mod preference;
pub mod principles;
pub mod readers;
pub mod reply;
pub mod rlaif;
pub mod sample;
pub mod score;
pub mod train;
pub mod values;
pub mod words;
