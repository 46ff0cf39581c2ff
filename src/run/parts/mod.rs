//! A run in parts: any part on any machine, in any order, into one folder on a file system that all of them see; then
//! a merge that verifies, fits and reports.
//!
//! Parts divide the shards that a single process would write, so a folder filled by parts has the same files, and a
//! part done twice changes nothing. What a part has done and does stands in `parts/` of the run's folder.

mod beat;
mod inventory;
mod merge;
mod numbering;
mod record;
mod status;
mod work;

pub use inventory::{Inventory, Lack, State as ShardState};
pub use merge::{Incomplete, Merged};
pub use numbering::{FROM_SLURM, array_expression, from_environment};
pub use record::{Done, EVERY, FOLDER, Phase, Record, Tokens, digest};
pub use status::{LOST, PartState, PartStatus, Status, status};
pub use work::{Finished, attempt};
