//! The packed forest of token segments: every shared token is computed once.

mod chunk;
mod run;
mod trie;

pub use chunk::Plan;
pub use run::{Pool, Reading, Request, Settings, chunk_bytes, plan_requests, run, waiting_bytes};
pub use trie::Forest;
