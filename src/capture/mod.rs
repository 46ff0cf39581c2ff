//! Residual streams and log-probabilities of responses, in shards that survive an interruption.

pub mod job;
mod shards;

use std::ops::Range;

use ndarray::{ArrayD, IxDyn};

pub use job::{Job, Row, encode};
pub use shards::Sharded;

use crate::error::{Place, Result};
use crate::forest::{Reading, Settings};
use crate::model::Model;
use crate::store::{Shard, Store};

/// Rows in a shard: large enough that shared prefixes pay, small enough that little is lost.
const ROWS: usize = 256;

/// Shards of a capture: rows `[start, end)` each.
pub fn shards(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(ROWS).map(move |start| start..(start + ROWS).min(rows))
}

fn key(range: &Range<usize>) -> String {
    format!("rows-{:08}", range.start)
}

/// Computes the rows that the store does not hold yet. `job` describes what decides the numbers beside
/// the tokens (model, dtype, layers, pooling); `progress` is told how many tokens were done and may end
/// the work with an error, after which the store holds every finished shard.
///
/// # Errors
/// What the forward refuses, what `progress` returns, what the file system says.
pub fn fill(
    model: &Model,
    rows: &[Row],
    job: &str,
    settings: &Settings,
    store: &Store,
    place: &dyn Fn(&Row) -> Place,
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<()> {
    let width = model.decoder.config().hidden_size;
    let keep = |range: &Range<usize>, readings: &[Reading]| -> Shard {
        let n = range.len();
        let resid = readings.iter().flat_map(|r| r.resid.iter().copied()).collect();
        let logprob = readings.iter().map(|r| r.logprob as f32).collect();
        [
            ("resid".to_owned(), array(&[n, settings.layers.len(), width], resid)),
            ("logprob".to_owned(), array(&[n], logprob)),
        ]
        .into_iter()
        .collect()
    };
    let sharded = Sharded {
        ranges: shards(rows.len()).collect(),
        requests: &|range| rows[range.clone()].iter().map(|r| r.request.clone()).collect(),
        key: &key,
        keep: &keep,
        place: &|i| place(&rows[i]),
        job,
    };
    sharded.fill(&model.decoder, settings, store, progress)
}

/// A finished shard of the capture, if the store has it.
pub fn shard(store: &Store, rows: &[Row], job: &str, range: &Range<usize>) -> Option<Shard> {
    let fingerprint = job::fingerprint(job, rows[range.clone()].iter().map(|r| &r.request));
    store.get(&key(range), &fingerprint)
}

fn array(shape: &[usize], values: Vec<f32>) -> ArrayD<f32> {
    ArrayD::from_shape_vec(IxDyn(shape), values).expect("as many values as the shape says")
}
