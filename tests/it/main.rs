//! Integration tests, one module a subject, in one binary.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)]

mod architecture;
mod cli;
mod clusters;
mod content;
mod coverage;
mod foreign;
mod forest;
mod input;
mod known_answers;
mod moments;
mod observations;
mod organism;
mod parity;
mod references;
mod report;
mod settings;
mod simulate;
mod stories;
mod tokens;
