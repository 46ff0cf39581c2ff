//! Estimates the cost of a run before it starts: sequences, tokens, and time from a short sample.

use std::collections::BTreeSet;
use std::time::Instant;

use serde::Serialize;

use crate::capture::Row;
use crate::config::JudgeMode;
use crate::error::Result;
use crate::forest::{self, Request};
use crate::run::capture::Prepared;
use crate::run::duration::fit_seconds;
use crate::run::loaded::Loaded;
use crate::run::progress::Progress;

/// A part of a run, by purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Reading the responses in the bare context.
    Bare,
    /// Reading the responses under this many constitutions.
    Under(usize),
    /// Forced choices under every constitution; true if the states at the answers are kept.
    Pairs(bool),
    /// Questions about single responses under every constitution; true if the states at the answers are kept.
    Singles(bool),
    /// Fit: directions, intervals and the report.
    Fit,
}

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// What the step computes.
    pub part: Part,
    /// Number of sequences read; 0 for the fit.
    pub sequences: usize,
    /// Number of tokens without sharing of prefixes.
    pub naive_tokens: usize,
    /// Number of tokens computed if shared prefixes are computed once.
    pub packed_tokens: usize,
    /// Number of sequences finished by an earlier run.
    pub done: usize,
    /// Estimated seconds for the remaining sequences on this machine, at its current load.
    pub seconds: f64,
    /// Part of `seconds` for log P of the responses: the output head's share of the operations. `None` if the step
    /// computes none.
    pub logprob_seconds: Option<f64>,
    /// Bytes of its residual streams on disk, as shards and as a file.
    pub bytes: u64,
}

/// Seconds of computation after which the measured rate of a sample counts as reliable.
const SAMPLE: f64 = 0.5;

/// The steps of an experiment. Writes nothing; a sample of each step is computed to measure its rate, for about a
/// second, or one sequence if that takes longer.
///
/// # Errors
/// Errors of the judges' questions and the forward pass; `NotEstimable` for a judge that has nothing to judge.
pub fn steps(loaded: &Loaded, progress: &mut dyn Progress) -> Result<Vec<Step>> {
    progress.begin_timed("estimate the time", None);
    let steps = measured(loaded);
    progress.end();
    steps
}

fn measured(loaded: &Loaded) -> Result<Vec<Step>> {
    let prepared = &loaded.prepared;
    let shards = loaded.shards();
    let bare = |row: &Row| prepared.constitutions[row.constitution].is_none();
    let mut out = Vec::new();
    // Each shard belongs to one constitution, so the two parts share nothing.
    for of_bare in [true, false] {
        let rows = || loaded.job.rows.iter().filter(|row| bare(row) == of_bare);
        let all: Vec<&Request> = rows().map(|r| &r.request).collect();
        if all.is_empty() {
            continue;
        }
        let left: Vec<&Request> = prepared
            .outstanding(&loaded.job, &shards)
            .into_iter()
            .filter(|r| bare(r) == of_bare)
            .map(|r| &r.request)
            .collect();
        let texts: BTreeSet<usize> = rows().map(|row| row.constitution).collect();
        let part = if of_bare { Part::Bare } else { Part::Under(texts.len()) };
        let bytes = 2 * all.len() as u64 * row_bytes(prepared, prepared.settings.layers.len());
        out.push(step(prepared, part, &all, &left, bytes)?);
    }
    for planned in loaded.judges.requests(prepared, &loaded.job, &shards)? {
        let all: Vec<&Request> = planned.requests.iter().collect();
        let left: Vec<&Request> = planned.left.iter().map(|&i| &planned.requests[i]).collect();
        let states = planned.layers > 0;
        // A pair is asked twice and stored once; there are about as many pairs as responses.
        let (part, copies) = match planned.mode {
            JudgeMode::Pairwise => (Part::Pairs(states), 1),
            JudgeMode::Pointwise | JudgeMode::Implicit => (Part::Singles(states), 2),
        };
        let bytes = copies * all.len() as u64 * row_bytes(prepared, planned.layers);
        out.push(step(prepared, part, &all, &left, bytes)?);
    }
    out.push(Step {
        part: Part::Fit,
        sequences: 0,
        naive_tokens: 0,
        packed_tokens: 0,
        done: 0,
        seconds: fit_seconds(loaded)?,
        logprob_seconds: None,
        bytes: 0,
    });
    Ok(out)
}

/// Bytes of one row's residual streams, in f32.
fn row_bytes(prepared: &Prepared, layers: usize) -> u64 {
    (layers * prepared.model.decoder.config().hidden_size * size_of::<f32>()) as u64
}

/// A step of the given requests, of which `left` remain to be computed.
fn step(prepared: &Prepared, part: Part, all: &[&Request], left: &[&Request], bytes: u64) -> Result<Step> {
    let decoder = &prepared.model.decoder;
    let tokens =
        |requests: &[&Request]| forest::plan_requests(decoder, requests, prepared.settings.chunk_tokens);
    let plan = tokens(all);
    let judges = matches!(part, Part::Pairs(_) | Part::Singles(_));
    let (mut seconds, mut head) = (0.0, 0.0);
    if !left.is_empty() {
        let left_plan = tokens(left);
        seconds = left_plan.packed_tokens as f64 / rate(prepared, left, judges)?;
        head = forest::operations(decoder.config(), left, &left_plan)?.head_share();
    }
    let logprob = !judges && all.iter().any(|request| request.logprob);
    Ok(Step {
        part,
        sequences: all.len(),
        naive_tokens: plan.naive_tokens,
        packed_tokens: plan.packed_tokens,
        done: all.len() - left.len(),
        seconds,
        logprob_seconds: logprob.then_some(head * seconds),
        bytes,
    })
}

/// Packed tokens per second, measured on increasing pieces of the job until one takes long enough. On a GPU the first
/// piece, which loads kernels, is first computed once without timing.
fn rate(prepared: &Prepared, requests: &[&Request], answers_alone: bool) -> Result<f64> {
    let mut settings = prepared.settings.clone();
    if answers_alone {
        settings.layers.clear();
    }
    let decoder = &prepared.model.decoder;
    let (mut take, mut cold) = (1, !decoder.device().is_cpu());
    loop {
        let part: Vec<Request> = requests.iter().take(take).map(|r| (*r).clone()).collect();
        let tokens = forest::plan_requests(decoder, &part, settings.chunk_tokens).packed_tokens;
        let began = Instant::now();
        forest::run(decoder, &part, &settings, &|_| crate::error::Place::default(), &mut |_| Ok(()))?;
        let seconds = began.elapsed().as_secs_f64().max(1e-9);
        if std::mem::take(&mut cold) {
            continue;
        }
        if seconds > SAMPLE || part.len() == requests.len() {
            return Ok((tokens as f64 / seconds).max(1e-9));
        }
        take *= 2;
    }
}
