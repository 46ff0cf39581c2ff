//! What to ask: items in the formats they come in, constitutions, and the reading of TOML files,
//! all checked once, here at the door.

// A refusal is made once a bad row, never in the course of a good one: its size costs nothing.
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

pub use address::{hub_dataset, is_named};
pub use cluster::{Clusters, cluster};
pub use constitution::{Constitution, Family, Sign, read_constitutions};
#[cfg(feature = "hub")]
pub(crate) use container::ENDINGS as DATA_ENDINGS;
pub use item::{Item, Items, Message, Preference, Prompt, Response, Role};
pub use prompts::read_prompts;
pub use read::{ReadOptions, read_items};
pub use roster::Roster;
