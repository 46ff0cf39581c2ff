//! Integration tests, one module a subject, in one binary.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)]

mod architecture;
mod clusters;
mod damage;
mod forest;
mod input;
mod known_answers;
mod observations;
mod parity;
mod settings;
mod stories;
