//! Models in llama.cpp's file format, GGUF.

mod metadata;
mod tokenizer;

pub use metadata::Metadata;
pub use tokenizer::GgufText;
