//! What to ask: items in the formats they come in, constitutions, and the reading of TOML files,
//! all checked once, here at the door.

pub mod cluster;
pub mod constitution;
mod container;
mod formats;
pub mod item;
pub mod name;
pub mod read;
pub mod settings;

pub use cluster::{Clusters, cluster};
pub use constitution::{Constitution, Family, Sign, read_constitutions};
pub use item::{Item, Items, Message, Preference, Prompt, Response, Role};
pub use read::{ReadOptions, read_items};
