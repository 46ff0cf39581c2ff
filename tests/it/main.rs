//! Integration tests, one module a subject, in one binary.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)]

mod architecture;
mod forest;
mod known_answers;
mod observations;
mod parity;
mod report;
mod stories;
