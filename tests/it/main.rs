//! Integration tests, one module a subject, in one binary.

mod parity;
mod stories;
