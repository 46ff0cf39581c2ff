//! Planted truth: observations whose population figures are known.
