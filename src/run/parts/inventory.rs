//! The shards of a run in their order, which parts divide: those of the capture, then those of each judge.

use std::ops::Range;

use rayon::prelude::*;

use crate::capture;
use crate::error::Result;
use crate::forest;
use crate::judge::CellsState;
use crate::run::judges::Asked;
use crate::run::loaded::Loaded;
use crate::run::parts::record::Tokens;
use crate::store::{Found, Store, file};
use crate::units::Part;

/// The shards of a run.
pub struct Inventory<'a> {
    loaded: &'a Loaded,
    recipe: String,
    rows: Vec<Range<usize>>,
    /// Each judge with the ranges of its files.
    judges: Vec<(Asked, Vec<Range<usize>>)>,
}

/// State of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is there and its hash holds.
    Whole,
    /// Its file does not verify.
    Damaged,
    /// It is not there, or not all of it.
    Absent,
}

/// A shard that is not there, or does not verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// Index of the shard, from 0.
    pub index: usize,
    /// Its file, the first of them.
    pub file: String,
    /// Damaged or absent.
    pub state: State,
}

impl<'a> Inventory<'a> {
    /// The shards of a loaded experiment. The judges' questions are made from the rows of the capture, which need not
    /// have been captured.
    ///
    /// # Errors
    /// Errors of the judges' templates; a judge that has nothing to judge.
    pub fn of(loaded: &'a Loaded) -> Result<Self> {
        let asked = loaded.judges.questions(&loaded.prepared, &loaded.job)?;
        let judges = asked.into_iter().map(|asked| {
            asked.must_ask()?;
            let ranges = asked.cells(loaded.judges.layers()).ranges().collect();
            Ok((asked, ranges))
        });
        Ok(Self {
            loaded,
            recipe: loaded.prepared.shard_recipe(),
            rows: capture::shards(&loaded.job.rows),
            judges: judges.collect::<Result<_>>()?,
        })
    }

    /// Number of shards.
    pub fn len(&self) -> usize {
        self.rows.len() + self.judges.iter().map(|(_, ranges)| ranges.len()).sum::<usize>()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The judges, each with the index of its first shard.
    pub fn judges(&self) -> impl Iterator<Item = (usize, &Asked)> {
        let first = self.rows.len();
        self.judges.iter().scan(first, |next, (asked, ranges)| {
            let own = *next;
            *next += ranges.len();
            Some((own, asked))
        })
    }

    /// The judge of a shard and the range of its units; `None` for a shard of the capture.
    fn judged(&self, index: usize) -> Option<(&Asked, &Range<usize>)> {
        let mut at = index.checked_sub(self.rows.len())?;
        for (asked, ranges) in &self.judges {
            match ranges.get(at) {
                Some(range) => return Some((asked, range)),
                None => at -= ranges.len(),
            }
        }
        None
    }

    /// Names of a shard's files: a judge's states lie beside its answers.
    fn files_of(&self, index: usize) -> Vec<String> {
        let keys = match self.judged(index) {
            Some((asked, range)) => asked.cells(self.loaded.judges.layers()).keys(range),
            None => vec![capture::named(&self.loaded.job.rows, &self.recipe, &self.rows[index]).0],
        };
        keys.iter().map(|key| file(key)).collect()
    }

    /// Files of a part's shards.
    pub fn files(&self, part: Part) -> Vec<String> {
        (0..self.len())
            .into_par_iter()
            .filter(|&i| part.holds(i))
            .flat_map_iter(|i| self.files_of(i))
            .collect()
    }

    /// Number of a part's shards, and its tokens: all, and those of shards that are there; verifies nothing.
    pub fn size(&self, part: Part) -> (usize, Tokens) {
        let own: Vec<usize> = (0..self.len()).filter(|&i| part.holds(i)).collect();
        let folder = self.loaded.shards();
        let prepared = &self.loaded.prepared;
        let tokens = |index: usize| -> (u64, u64) {
            let Some((asked, range)) = self.judged(index) else {
                let (rows, range) = (&self.loaded.job.rows, &self.rows[index]);
                let all = prepared.plan_of(rows, std::slice::from_ref(range)).packed_tokens as u64;
                let there = capture::is_there(rows, &self.recipe, range, &folder);
                return (all, if there { all } else { 0 });
            };
            let cells = asked.cells(self.loaded.judges.layers());
            let requests: Vec<_> = cells.of(range).iter().collect();
            let chunk = prepared.settings.chunk_tokens;
            let all = forest::plan_requests(&prepared.model.decoder, &requests, chunk).packed_tokens as u64;
            // As much of the tokens as of the questions: what they share is counted with the last.
            let left = cells.outstanding_of(range, &folder).len() as u64;
            (all, all - all * left / (requests.len() as u64).max(1))
        };
        let each: Vec<(u64, u64)> = own.par_iter().map(|&index| tokens(index)).collect();
        let there = each.iter().map(|(_, there)| there).sum();
        (own.len(), Tokens { total: each.iter().map(|(all, _)| all).sum(), there, done: 0 })
    }

    /// Reads and verifies every shard and returns those that are missing or damaged, in order.
    pub fn lacks(&self, store: &Store) -> Vec<Lack> {
        let state = |index: usize| match self.judged(index) {
            Some((asked, range)) => match asked.cells(self.loaded.judges.layers()).state(store, range) {
                CellsState::Whole => State::Whole,
                CellsState::Damaged => State::Damaged,
                CellsState::Absent => State::Absent,
            },
            None => {
                let (key, fingerprint) =
                    capture::named(&self.loaded.job.rows, &self.recipe, &self.rows[index]);
                match store.find(&key, &fingerprint) {
                    Found::Whole(_) => State::Whole,
                    Found::Damaged => State::Damaged,
                    Found::Absent => State::Absent,
                }
            }
        };
        (0..self.len())
            .into_par_iter()
            .filter_map(|index| {
                let state = state(index);
                let file = || self.files_of(index).swap_remove(0);
                (state != State::Whole).then(|| Lack { index, file: file(), state })
            })
            .collect()
    }
}
