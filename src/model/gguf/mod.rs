//! Models in GGUF, llama.cpp's file format.

mod attention;
mod checkpoint;
mod config;
mod dequantise;
mod file;
mod header;
mod keys;
mod metadata;
mod names;
mod rotary;
mod tokenizer;
mod types;

pub use checkpoint::GgufCheckpoint;
pub use config::{ARCHITECTURES, config};
pub(crate) use file::strip_extension;
pub use file::{GgufFile, is_gguf};
#[cfg(feature = "hub")]
pub(crate) use file::{part_names, split_name};
pub use metadata::Metadata;
pub use tokenizer::GgufText;
