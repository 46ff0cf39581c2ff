//! The trainable network: a Llama in plain Rust on packed documents, with its gradient.
//!
//! It computes the same as [`crate::model::Decoder`] on the same weights (a test compares outputs and gradients).
//! Training needs some ten thousand steps with small matrices; this network avoids the overhead per operation of a
//! general library.

mod attention;
mod backward;
mod forward;
mod kernels;
mod matmul;
mod shape;

pub use backward::gradient;
pub use forward::{Batch, ROPE_BASE, Span, Target, cross_entropies};
pub use shape::{HEAD, Shape, Slots};
