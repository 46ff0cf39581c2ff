//! Integration tests, one module a subject, in one binary.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)]

mod architecture;
mod arm;
mod by_hand;
mod candle_transformers;
mod check;
mod cli;
mod clusters;
mod compare;
mod content;
mod copies;
mod coverage;
mod dominance;
mod encoding;
mod export;
mod foreign;
mod forest;
mod formats;
mod gguf;
mod gguf_tokens;
mod grids;
mod hostile;
mod hub;
mod input;
#[cfg(target_os = "linux")]
mod interventions;
mod kill;
mod known_answers;
mod layers;
mod loopback;
mod modes;
mod moments;
mod negative;
mod observations;
mod organism;
mod paper_map;
mod parity;
mod published;
mod real_models;
mod references;
mod report;
mod rope;
mod rounding;
mod run_flags;
mod sentences;
mod settings;
mod simulate;
mod state;
mod steering;
mod stories;
mod theorems;
mod tokens;
mod toy;
mod verdict;
