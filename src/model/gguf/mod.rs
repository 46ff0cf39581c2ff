//! Models in llama.cpp's file format, GGUF.

mod metadata;

pub use metadata::Metadata;
