//! Integration tests, one module a subject, in one binary.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)]

mod architecture;
mod foreign;
mod forest;
mod moments;
mod known_answers;
mod observations;
mod input;
mod parity;
mod simulate;
mod stories;
