//! Shards of a job: which are there, and computing those that are not.

use std::ops::Range;

use crate::capture::job::fingerprint;
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::forest::{self, Output, Request, Settings};
use crate::model::Decoder;

/// Keeps the readings of a range under the fingerprint of its requests.
pub type Put<'a> = dyn Fn(&Range<usize>, &str, &[Output]) -> Result<()> + 'a;

/// A job in shards: what they ask, whether they are there, and what is done with what was read.
pub struct Sharded<'a> {
    /// Requests `[start, end)` of each shard, rising.
    pub ranges: Vec<Range<usize>>,
    /// The requests of a range.
    pub requests: &'a (dyn Fn(&Range<usize>) -> Vec<Request> + Sync),
    /// Whether the numbers of a range are there already, given the fingerprint of its requests.
    pub there: &'a dyn Fn(&Range<usize>, &str) -> bool,
    /// Keeps the readings of a range under the fingerprint of its requests.
    pub put: &'a Put<'a>,
    /// Where a request stands in the user's files.
    pub place: &'a dyn Fn(usize) -> Place,
    /// What decides the numbers beside the tokens.
    pub job: &'a str,
}

impl Sharded<'_> {
    /// Computes the shards that are not there, and tells `progress` the packed tokens of each part
    /// of the work that is done. Weights in memory serve shard after shard; weights that are read as they are
    /// used serve as many shards at once as `settings.memory` lets wait for them.
    ///
    /// # Errors
    /// What the forward refuses, what `progress` returns, what the file system says; every finished shard is kept.
    pub fn fill(
        &self,
        decoder: &Decoder,
        settings: &Settings,
        progress: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        if !settings.steering.is_empty() {
            // The fingerprints do not name it: steered numbers would pass for others on the next run.
            return Err(
                Diagnostic::new(Kind::Unsupported, "a steered capture cannot be kept in shards").into()
            );
        }
        let mut batch: Vec<(&Range<usize>, String)> = Vec::new();
        let mut requests: Vec<Request> = Vec::new();
        let mut waiting = 0;
        for range in &self.ranges {
            let asked = (self.requests)(range);
            let fingerprint = fingerprint(self.job, &asked);
            let there = (self.there)(range, &fingerprint);
            let needs_plan = there || decoder.streams();
            let tokens = if needs_plan {
                forest::plan_requests(decoder, &asked, settings.chunk_tokens).packed_tokens
            } else {
                0
            };
            if there {
                progress(tokens)?;
                continue;
            }
            let bytes = forest::waiting_bytes(decoder, settings, tokens, asked.len());
            let full = settings.memory.is_some_and(|most| waiting + bytes > most);
            if !batch.is_empty() && (full || !decoder.streams()) {
                self.compute(decoder, settings, &batch, &requests, progress)?;
                (batch, requests, waiting) = (Vec::new(), Vec::new(), 0);
            }
            batch.push((range, fingerprint));
            requests.extend(asked);
            waiting += bytes;
        }
        if !batch.is_empty() {
            self.compute(decoder, settings, &batch, &requests, progress)?;
        }
        Ok(())
    }

    fn compute(
        &self,
        decoder: &Decoder,
        settings: &Settings,
        batch: &[(&Range<usize>, String)],
        requests: &[Request],
        progress: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        let numbers: Vec<usize> = batch.iter().flat_map(|(range, _)| (*range).clone()).collect();
        let place = |i: usize| (self.place)(numbers[i]);
        let ends: Vec<usize> = batch
            .iter()
            .scan(0, |end, (range, _)| {
                *end += range.len();
                Some(*end)
            })
            .collect();
        let readings = forest::run_parts(decoder, requests, &ends, settings, &place, progress)?;
        let mut readings = &readings[..];
        for (range, fingerprint) in batch {
            let (here, rest) = readings.split_at(range.len());
            (self.put)(range, fingerprint, here)?;
            readings = rest;
        }
        Ok(())
    }
}
