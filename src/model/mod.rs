//! Open-weights language models: one decoder driven by a checked config.

pub mod chat;
pub mod config;
pub mod decoder;
mod describe;
pub mod embedded;
mod ends;
mod files;
pub mod gguf;
pub mod gpu;
pub mod hub;
mod load;
mod naming;
pub mod packing;
pub mod settings;
pub mod text;
mod tokenizer;
pub mod weights;

pub use config::Config;
pub use decoder::Decoder;
pub use files::ModelFiles;
pub use load::{Identity, LoadOptions, Model, ModelSource};
pub use packing::Packing;
pub use settings::{DeviceName, Dtype, ModelSettings, Opened};
pub use weights::Quantization;
