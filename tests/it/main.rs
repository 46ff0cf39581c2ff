//! Integration tests, one module a subject, in one binary.

mod stories;
