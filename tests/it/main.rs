//! Integration tests, one module a subject, in one binary.

mod observations;
mod parity;
mod simulate;
mod stories;
