//! The packed forest of token segments, in which every shared token is computed once.

mod chunk;
mod cost;
mod memory;
mod run;
mod trie;

pub use chunk::Plan;
pub use cost::{Operations, block_parameters, operations};
pub use memory::{Memory, affordable_tokens, chunk_bytes, chunk_tokens, memory, waiting_bytes};
pub use run::{Output, Pool, Request, Settings, plan_requests, run, run_parts};
pub use trie::Forest;
