//! What the parts and the merge of a cell take, from the estimates that `vstar run --dry-run` prints.

use std::time::Instant;

use serde::Serialize;

use super::super::terminal::bars::Bars;
use crate::config::Cell;
use crate::error::Result;
use crate::run::Loaded;
use crate::run::duration::fit_bytes;
use crate::run::parts::Inventory;
use crate::run::plan::{Part, steps};

/// Estimated cost of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Cost {
    /// Seconds of loading the model and encoding the texts, which every part repeats; measured here.
    pub load: f64,
    /// Seconds of capture and judging in all.
    pub compute: f64,
    /// Seconds of the fit.
    pub fit: f64,
    /// Bytes of memory of a part.
    pub part_bytes: u64,
    /// Bytes of memory of the merge.
    pub merge_bytes: u64,
    /// Number of shards: more parts have nothing to do.
    pub shards: usize,
}

/// Seconds of computing that a part gets where the number of parts is left to the program.
const PART: f64 = 1800.0;
/// Factor of what is asked for over what is estimated: nodes are slower, busier and fuller than estimated.
const MARGIN: f64 = 2.0;
/// Seconds for starting a process on a cold node, and for ending it.
const START: f64 = 300.0;
/// Bytes for the program itself, the texts and what is not estimated.
const PROGRAM: u64 = 1 << 30;

impl Cost {
    /// Loads a cell and estimates its cost, from short samples on this machine.
    ///
    /// # Errors
    /// Errors of loading and of the samples.
    pub fn of(cell: &Cell) -> Result<Self> {
        let began = Instant::now();
        let loaded = Loaded::of(cell.experiment.clone(), &mut Bars::new())?;
        let load = began.elapsed().as_secs_f64();
        let steps = steps(&loaded, &mut Bars::new())?;
        let seconds =
            |fit: bool| steps.iter().filter(|s| (s.part == Part::Fit) == fit).map(|s| s.seconds).sum::<f64>();
        let rows = &loaded.job.rows;
        let memory = loaded.prepared.memory(&loaded.prepared.plan(rows), rows.len()).total() as u64;
        // Ids of the rows, and about as many of the questions to a judge; a merge holds the columns as well.
        let tokens: usize = steps.iter().map(|s| s.naive_tokens).sum();
        let texts = 2 * size_of::<u32>() as u64 * tokens as u64;
        let verdicts = 64 * steps.iter().map(|s| s.sequences as u64).sum::<u64>();
        Ok(Self {
            load,
            compute: seconds(false),
            fit: seconds(true),
            part_bytes: memory + texts,
            merge_bytes: memory + texts + verdicts + 2 * fit_bytes(&loaded) as u64,
            shards: Inventory::of(&loaded)?.len(),
        })
    }

    /// Number of parts that take about half an hour each here.
    pub fn parts(&self) -> usize {
        ((self.compute / PART).ceil() as usize).clamp(1, self.shards.max(1))
    }

    /// Minutes to ask for, for each of `of` parts.
    pub fn part_minutes(&self, of: usize) -> u64 {
        minutes(START + MARGIN * (self.load + self.compute / of.max(1) as f64))
    }

    /// Minutes to ask for, for the merge.
    pub fn merge_minutes(&self) -> u64 {
        minutes(START + MARGIN * (self.load + self.fit))
    }

    /// MiB to ask for, for a part.
    pub fn part_mib(&self) -> u64 {
        mib(self.part_bytes)
    }

    /// MiB to ask for, for the merge.
    pub fn merge_mib(&self) -> u64 {
        mib(self.merge_bytes)
    }
}

fn minutes(seconds: f64) -> u64 {
    (seconds / 60.0).ceil() as u64
}

fn mib(bytes: u64) -> u64 {
    ((bytes as f64 * MARGIN) as u64 + PROGRAM) >> 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_covers_what_is_estimated() {
        let cost = Cost {
            load: 60.0,
            compute: 36_000.0,
            fit: 600.0,
            part_bytes: 3 << 30,
            merge_bytes: 5 << 30,
            shards: 1000,
        };
        assert_eq!(cost.parts(), 20);
        assert_eq!(cost.part_minutes(20), 67);
        assert_eq!((cost.part_mib(), cost.merge_mib()), (7 << 10, 11 << 10));
        assert_eq!(cost.merge_minutes(), 27);
        assert_eq!(Cost { compute: 0.0, ..cost }.parts(), 1);
        assert_eq!(Cost { shards: 7, ..cost }.parts(), 7);
    }
}
