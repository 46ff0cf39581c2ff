//! The known-answer model: a text world whose true values are a program, and a tiny model trained on it.
//!
//! [`words`] → [`reply`] → [`policy`] (the distribution of replies), [`oracle`] → [`values`] (their true values),
//! [`readers`] (what word counts alone predict), [`principles`] → [`corpus`] (documents about values), [`net`],
//! [`engine`] → [`train`] (training), [`sample`], [`ask`], [`metrics`] → [`export`], [`card`] (measurement and export),
//! [`preference`] → [`rlaif`] (training on the model's own judgments).

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
