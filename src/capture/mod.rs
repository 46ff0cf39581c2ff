//! Residual streams and log-probabilities of responses, in shards that survive an interruption.

pub mod job;
mod shards;

use std::ops::Range;
use std::path::Path;

use ndarray::{ArrayD, IxDyn};

pub use job::{Job, Row, encode};
pub use shards::Sharded;

use crate::error::{Place, Result};
use crate::forest::{Output, Settings};
use crate::model::Model;
use crate::store::{self, Shard, Store};

/// Number of rows in a shard: large enough to benefit from shared prefixes, small enough to lose little on
/// interruption.
const ROWS: usize = 256;

/// Shards of a capture: rows `[start, end)` each, all of one constitution, so that adding a constitution leaves
/// existing shards unchanged.
pub fn shards(rows: &[Row]) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut first = 0;
    for own in rows.chunk_by(|a, b| a.constitution == b.constitution) {
        let end = first + own.len();
        out.extend((first..end).step_by(ROWS).map(|start| start..(start + ROWS).min(end)));
        first = end;
    }
    out
}

/// Name of a shard: determined by its requests, not by the position of its rows in the job.
fn key(fingerprint: &str) -> String {
    format!("rows-{}", fingerprint.get(..16).unwrap_or(fingerprint))
}

/// Computes the rows missing from the store, of the shards whose index `mine` accepts. `job` describes what determines the results besides the tokens (model,
/// dtype, layers, pooling); `progress` receives the number of finished tokens and may stop with an error, after which
/// the store contains every finished shard.
///
/// # Errors
/// Errors of the forward pass, of `progress` and of the file system.
#[allow(clippy::too_many_arguments)]
pub fn fill(
    model: &Model,
    rows: &[Row],
    job: &str,
    settings: &Settings,
    store: &Store,
    place: &dyn Fn(&Row) -> Place,
    mine: &dyn Fn(usize) -> bool,
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<()> {
    let width = model.decoder.config().hidden_size;
    let put = |range: &Range<usize>, fingerprint: &str, readings: &[Output]| -> Result<()> {
        let n = range.len();
        let resid = readings.iter().flat_map(|r| r.resid.iter().copied()).collect();
        let logprob = readings.iter().map(|r| r.logprob as f32).collect();
        let shard: Shard = [
            ("resid".to_owned(), array(&[n, settings.layers.len(), width], resid)),
            ("logprob".to_owned(), array(&[n], logprob)),
        ]
        .into_iter()
        .collect();
        store.put(&key(fingerprint), fingerprint, &shard)
    };
    let sharded = Sharded {
        ranges: shards(rows).into_iter().enumerate().filter(|(i, _)| mine(*i)).map(|(_, r)| r).collect(),
        requests: &|range| rows[range.clone()].iter().map(|r| r.request.clone()).collect(),
        there: &|_, fingerprint| store.get(&key(fingerprint), fingerprint).is_some(),
        put: &put,
        place: &|i| place(&rows[i]),
        job,
    };
    sharded.fill(&model.decoder, settings, progress)
}

/// Rows whose shards are missing from a folder; does not lock or verify the shards.
pub fn outstanding<'a>(rows: &'a [Row], job: &str, folder: &Path) -> Vec<&'a Row> {
    let lacks = |range: &Range<usize>| !is_there(rows, job, range, folder);
    shards(rows).into_iter().filter(lacks).flat_map(|range| &rows[range]).collect()
}

/// Whether the shard of a range lies in a folder; does not lock or verify it.
pub fn is_there(rows: &[Row], job: &str, range: &Range<usize>, folder: &Path) -> bool {
    let (key, fingerprint) = named(rows, job, range);
    !store::names(folder, &key, &fingerprint).is_empty()
}

/// Key and fingerprint of the shard of a range.
pub fn named(rows: &[Row], job: &str, range: &Range<usize>) -> (String, String) {
    let fingerprint = job::fingerprint(job, rows[range.clone()].iter().map(|r| &r.request));
    (key(&fingerprint), fingerprint)
}

/// A finished shard of the capture, if the store has it.
pub fn shard(store: &Store, rows: &[Row], job: &str, range: &Range<usize>) -> Option<Shard> {
    let (key, fingerprint) = named(rows, job, range);
    store.get(&key, &fingerprint)
}

fn array(shape: &[usize], values: Vec<f32>) -> ArrayD<f32> {
    ArrayD::from_shape_vec(IxDyn(shape), values).expect("as many values as the shape says")
}
