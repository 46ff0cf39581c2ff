//! Shards of a job: checks which exist and computes the missing ones.

use std::ops::Range;

use crate::capture::job::fingerprint;
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::forest::{self, Output, Request, Settings};
use crate::model::Decoder;

/// Stores the results of a range under the fingerprint of its requests.
pub type Put<'a> = dyn Fn(&Range<usize>, &str, &[Output]) -> Result<()> + 'a;

/// A job in shards: their requests, whether they exist, and how to store results.
pub struct Sharded<'a> {
    /// Requests `[start, end)` of each shard, in increasing order.
    pub ranges: Vec<Range<usize>>,
    /// The requests of a range.
    pub requests: &'a (dyn Fn(&Range<usize>) -> Vec<Request> + Sync),
    /// Whether the results of a range exist, given the fingerprint of its requests.
    pub there: &'a dyn Fn(&Range<usize>, &str) -> bool,
    /// Stores the results of a range under the fingerprint of its requests.
    pub put: &'a Put<'a>,
    /// Location of a request in the user's files.
    pub place: &'a dyn Fn(usize) -> Place,
    /// Description of what determines the results besides the tokens.
    pub job: &'a str,
}

impl Sharded<'_> {
    /// Computes the missing shards and passes the packed tokens of each finished part to `progress`. Weights in memory
    /// are used shard by shard; weights read on use are applied to as many shards at once as `settings.memory` allows.
    ///
    /// # Errors
    /// Errors of the forward pass, of `progress` and of the file system; every finished shard is kept.
    pub fn fill(
        &self,
        decoder: &Decoder,
        settings: &Settings,
        progress: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        if !settings.steering.is_empty() {
            // Fingerprints do not include steering: steered results would be mistaken for unsteered ones on the next
            // run.
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
