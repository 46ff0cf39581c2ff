//! Inputs: items in all supported formats, constitutions, and TOML files, validated once on reading.

// An error is created at most once per bad row, so its size does not matter.
#![allow(clippy::result_large_err)]

mod address;
pub mod cluster;
pub mod constitution;
mod container;
pub mod embedded;
pub mod formats;
pub mod item;
pub mod name;
pub mod prompts;
pub mod read;
pub mod roster;
pub mod settings;
pub mod write;

pub use address::{hub_dataset, is_named};
pub use cluster::{Clusters, cluster};
pub use constitution::{Constitution, Family, Sign, read_constitutions};
#[cfg(feature = "hub")]
pub(crate) use container::ENDINGS as DATA_ENDINGS;
pub use item::{Item, Items, Message, Preference, Prompt, Response, Role};
pub use prompts::read_prompts;
pub use read::{ReadOptions, read_items};
pub use roster::Roster;
