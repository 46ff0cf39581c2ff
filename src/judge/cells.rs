//! Answers to questions, stored in cells: a model's answers under one constitution for a few adjacent units (pairs or
//! responses). A cell is identified by its questions, so adding a constitution only computes its own cells. Adjacent
//! units are asked together under all constitutions that lack them, so that what these share, the pair, is computed
//! once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use ndarray::{ArrayD, IxDyn};

use super::states::{self, States};
use crate::capture::Sharded;
use crate::capture::job::fingerprint;
use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::forest::{self, Output, Pool, Request, Settings};
use crate::model::Decoder;
use crate::store::{self, Found, Shard, Store};
use crate::units::{Layer, TokenSpan};

/// Number of units in a file.
const UNITS: usize = 32;

/// Description of the contents of a file of cells, independent of their names.
const CELLS: &str = "cells of judgments";

/// Questions: `[units, constitutions, orders]` requests.
pub struct Cells<'a> {
    /// Prefix of the file names.
    pub name: &'static str,
    /// The requests.
    pub requests: &'a [Request],
    /// Number of constitutions.
    pub constitutions: usize,
    /// Number of requests for a unit under a constitution.
    pub orders: usize,
    /// Description of what determines the results besides the tokens.
    pub job: &'a str,
    /// Layers whose residual stream at the answer's position is kept, in increasing order; empty: none.
    pub layers: &'a [Layer],
}

/// A judge's answers under one constitution.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answers {
    /// Log-odds of the first answer over the second in nats, `[units, orders]`.
    pub odds: Vec<f32>,
    /// The same log-odds according to the logit lens at each kept layer, `[units, orders, layers]`.
    pub lens: Vec<f32>,
}

/// What a store has of the cells of a range of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellsState {
    /// All of them, verified.
    Whole,
    /// A file that does not verify.
    Damaged,
    /// Not all of them.
    Absent,
}

/// The cells of a range of units.
struct Part {
    /// Range of the units.
    units: Range<usize>,
    /// Name of the cell, by constitution.
    names: Vec<String>,
    /// Existing cells, including those of constitutions that are not requested now.
    cells: Shard,
    /// Constitutions whose cells are missing.
    missing: Vec<usize>,
}

impl Cells<'_> {
    /// Ranges of units, each of which has a file.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let units = self.requests.len() / (self.constitutions * self.orders).max(1);
        (0..units).step_by(UNITS).map(move |start| start..(start + UNITS).min(units))
    }

    /// Key of the file of a range of units.
    fn key(&self, units: &Range<usize>) -> String {
        format!("{}-{:08}", self.name, units.start)
    }

    /// Keys of all files of a range of units: the answers, and the states where they are kept.
    pub fn keys(&self, units: &Range<usize>) -> Vec<String> {
        let key = self.key(units);
        let states = (!self.layers.is_empty()).then(|| states::key(&key));
        std::iter::once(key).chain(states).collect()
    }

    /// Name of a cell's lens readings.
    fn lens_name(&self, cell: &str) -> String {
        let layers: Vec<String> = self.layers.iter().map(ToString::to_string).collect();
        format!("{cell}.lens.{}", layers.join("-"))
    }

    /// Whether a file whose arrays are given by `there` contains a cell: the log-odds, and the lens readings if states
    /// are kept.
    fn holds(&self, cell: &str, there: impl Fn(&str) -> bool) -> bool {
        there(cell) && (self.layers.is_empty() || there(&self.lens_name(cell)))
    }

    /// Indices of the requests for the given units under the given constitutions, grouped by unit.
    fn numbers(&self, units: &Range<usize>, constitutions: &[usize]) -> Vec<usize> {
        let mut out = Vec::with_capacity(units.len() * constitutions.len() * self.orders);
        for unit in units.clone() {
            for c in constitutions {
                let first = (unit * self.constitutions + c) * self.orders;
                out.extend(first..first + self.orders);
            }
        }
        out
    }

    /// Name of a cell: a hash of its questions and of what determines the answers.
    fn cell(&self, units: &Range<usize>, constitution: usize) -> String {
        let numbers = self.numbers(units, &[constitution]);
        fingerprint(self.job, numbers.into_iter().map(|i| &self.requests[i]))
    }

    /// Indices of the requests whose answers are missing from a folder of shards; does not lock or verify the shards.
    pub fn outstanding(&self, folder: &Path) -> Vec<usize> {
        self.ranges().flat_map(|units| self.outstanding_of(&units, folder)).collect()
    }

    /// As [`Cells::outstanding`], of a range of units.
    pub fn outstanding_of(&self, units: &Range<usize>, folder: &Path) -> Vec<usize> {
        let there = store::names(folder, &self.key(units), CELLS);
        let lacks = |&c: &usize| !self.holds(&self.cell(units, c), |name| there.contains(name));
        let missing: Vec<usize> = (0..self.constitutions).filter(lacks).collect();
        self.numbers(units, &missing)
    }

    /// The requests of a range of units.
    pub fn of(&self, units: &Range<usize>) -> &[Request] {
        let each = self.constitutions * self.orders;
        &self.requests[units.start * each..units.end * each]
    }

    /// Reads and verifies the files of a range of units: the answers, and the states where they are kept.
    pub fn state(&self, store: &Store, units: &Range<usize>) -> CellsState {
        let cells = match store.find(&self.key(units), CELLS) {
            Found::Whole(cells) => cells,
            Found::Damaged => return CellsState::Damaged,
            Found::Absent => return CellsState::Absent,
        };
        let kept = match states::find(store, &self.key(units), self.layers) {
            Found::Whole(kept) => kept,
            Found::Damaged => return CellsState::Damaged,
            Found::Absent => Shard::new(),
        };
        let whole = (0..self.constitutions).all(|c| {
            let name = self.cell(units, c);
            self.holds(&name, |array| cells.contains_key(array))
                && (self.layers.is_empty() || kept.contains_key(&name))
        });
        if whole { CellsState::Whole } else { CellsState::Absent }
    }

    /// The request as it is run: if states are kept, the answer's position is pooled.
    fn asked(&self, number: usize) -> Request {
        let request = self.requests[number].clone();
        let end = request.tokens.len();
        let response = (!self.layers.is_empty()).then_some(TokenSpan { start: end - 1, end });
        Request { response, ..request }
    }

    /// Computes the cells missing from the store and returns all of them, by constitution. `progress` is as in
    /// [`crate::capture::fill`].
    ///
    /// # Errors
    /// Errors of the forward pass, of `progress` and of the file system.
    pub fn answers(
        &self,
        decoder: &Decoder,
        settings: &Settings,
        store: &Store,
        place: &dyn Fn(usize) -> Place,
        progress: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Vec<Answers>> {
        let parts = self.compute(decoder, settings, store, place, &|_| true, progress)?;
        let mut out = vec![Answers::default(); self.constitutions];
        for part in &parts {
            let units = part.units.len() * self.orders;
            for (name, answers) in part.names.iter().zip(&mut out) {
                let lens = part.cells.get(&self.lens_name(name));
                match part.cells.get(name) {
                    Some(odds) if odds.len() == units => answers.odds.extend(odds.iter()),
                    _ => return Err(self.foreign(&part.units)),
                }
                match lens {
                    _ if self.layers.is_empty() => {}
                    Some(lens) if lens.len() == units * self.layers.len() => answers.lens.extend(lens.iter()),
                    _ => return Err(self.foreign(&part.units)),
                }
            }
        }
        Ok(out)
    }

    /// Computes the cells missing from the store, of the ranges of units whose index `mine` accepts, and leaves them
    /// there. `progress` is as in [`crate::capture::fill`].
    ///
    /// # Errors
    /// As [`Cells::answers`].
    pub fn fill(
        &self,
        decoder: &Decoder,
        settings: &Settings,
        store: &Store,
        place: &dyn Fn(usize) -> Place,
        mine: &dyn Fn(usize) -> bool,
        progress: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<()> {
        self.compute(decoder, settings, store, place, mine, progress).map(drop)
    }

    fn compute(
        &self,
        decoder: &Decoder,
        settings: &Settings,
        store: &Store,
        place: &dyn Fn(usize) -> Place,
        mine: &dyn Fn(usize) -> bool,
        progress: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Vec<Part>> {
        let settings = Settings { layers: self.layers.to_vec(), pool: Pool::Last, ..settings.clone() };
        let mut parts = Vec::new();
        // Requests to compute, and the part that each belongs to.
        let (mut todo, mut ranges, mut whose) = (Vec::new(), Vec::new(), Vec::new());
        for (_, units) in self.ranges().enumerate().filter(|(i, _)| mine(*i)) {
            let names: Vec<String> = (0..self.constitutions).map(|c| self.cell(&units, c)).collect();
            let cells = store.get(&self.key(&units), CELLS).unwrap_or_default();
            let kept = states::kept(store, &self.key(&units), self.layers);
            let (there, missing): (Vec<usize>, Vec<usize>) = (0..self.constitutions).partition(|&c| {
                let states = self.layers.is_empty() || kept.contains(&names[c]);
                states && self.holds(&names[c], |name| cells.contains_key(name))
            });
            if !there.is_empty() {
                let asked: Vec<&Request> =
                    self.numbers(&units, &there).into_iter().map(|i| &self.requests[i]).collect();
                progress(forest::plan_requests(decoder, &asked, settings.chunk_tokens).packed_tokens)?;
            }
            if !missing.is_empty() {
                let start = todo.len();
                todo.extend(self.numbers(&units, &missing));
                ranges.push(start..todo.len());
                whose.push(parts.len());
            }
            parts.push(Part { units, names, cells, missing });
        }
        let parts = RefCell::new(parts);
        let put = |range: &Range<usize>, _: &str, readings: &[Output]| -> Result<()> {
            let at = ranges.partition_point(|r: &Range<usize>| r.start < range.start);
            let mut parts = parts.borrow_mut();
            let part = &mut parts[whose[at]];
            let key = self.key(&part.units);
            let lens = self.lens(decoder, &todo[range.clone()], readings)?;
            let (units, width) = (part.units.len(), self.layers.len());
            let mut states = Shard::new();
            for (m, &c) in part.missing.iter().enumerate() {
                // Indices of this constitution's readings among all.
                let own: Vec<usize> = (0..units)
                    .flat_map(|u| {
                        let first = (u * part.missing.len() + m) * self.orders;
                        first..first + self.orders
                    })
                    .collect();
                let odds = own.iter().map(|&i| (readings[i].answers[0] - readings[i].answers[1]) as f32);
                let odds = array(&[units, self.orders], odds.collect());
                part.cells.insert(part.names[c].clone(), odds);
                if self.layers.is_empty() {
                    continue;
                }
                let read = own.iter().flat_map(|&i| &lens[i * width..(i + 1) * width]).copied();
                let read = array(&[units, self.orders, width], read.collect());
                part.cells.insert(self.lens_name(&part.names[c]), read);
                let hidden = decoder.config().hidden_size;
                let odd: Vec<f32> = own
                    .chunks_exact(self.orders)
                    .flat_map(|unit| states::odd(unit.iter().map(|&i| &readings[i].resid[..])))
                    .collect();
                states.insert(part.names[c].clone(), array(&[units, width, hidden], odd));
            }
            // Written first: if the odds exist, so do the states.
            if !states.is_empty() {
                states::put(store, &key, self.layers, states)?;
            }
            store.put(&key, CELLS, &part.cells)
        };
        let sharded = Sharded {
            ranges: ranges.clone(),
            requests: &|range| todo[range.clone()].iter().map(|&i| self.asked(i)).collect(),
            there: &|_, _| false,
            put: &put,
            place: &|i| place(todo[i]),
            job: self.job,
        };
        sharded.fill(decoder, &settings, progress)?;
        Ok(parts.into_inner())
    }

    /// Lens readings, `[readings, layers]`; `numbers` are the indices of the requests.
    fn lens(&self, decoder: &Decoder, numbers: &[usize], readings: &[Output]) -> Result<Vec<f32>> {
        let width = self.layers.len();
        let mut out = vec![0.0; readings.len() * width];
        if width == 0 {
            return Ok(out);
        }
        // Almost always a single pair of tokens for all.
        let mut by_tokens: BTreeMap<[u32; 2], Vec<usize>> = BTreeMap::new();
        for (at, &number) in numbers.iter().enumerate() {
            if let Some(tokens) = self.requests[number].answers {
                by_tokens.entry(tokens).or_default().push(at);
            }
        }
        for (tokens, members) in by_tokens {
            for members in members.chunks(LENS_READINGS) {
                let rows: Vec<f32> = members.iter().flat_map(|&at| &readings[at].resid).copied().collect();
                let read = decoder.lens(&rows, tokens)?;
                for (&at, read) in members.iter().zip(read.chunks_exact(width)) {
                    out[at * width..(at + 1) * width].iter_mut().zip(read).for_each(|(o, r)| *o = *r as f32);
                }
            }
        }
        Ok(out)
    }

    /// Calls `each` with the kept states of successive ranges of units: the range, and by constitution `[units, layers,
    /// hidden]`, half the difference of the two orders, or the only one.
    ///
    /// # Errors
    /// If the states are missing from the store; errors of `each`.
    pub fn states(&self, store: &Store, each: &mut States<'_>) -> Result<()> {
        for units in self.ranges() {
            let mut shard = states::get(store, &self.key(&units), self.layers);
            let cells = (0..self.constitutions)
                .map(|c| shard.remove(&self.cell(&units, c)).ok_or_else(|| self.foreign(&units)))
                .collect::<Result<Vec<_>>>()?;
            each(units, &cells)?;
        }
        Ok(())
    }

    fn foreign(&self, units: &Range<usize>) -> Error {
        Diagnostic::new(Kind::RunConflict, "judgments of another job lie in the folder")
            .found(format!("{}.safetensors", self.key(units)))
            .remedy("remove the folder `shards`, and run the same command again")
            .into()
    }
}

/// Number of readings passed to the lens at once.
const LENS_READINGS: usize = 256;

fn array(shape: &[usize], values: Vec<f32>) -> ArrayD<f32> {
    ArrayD::from_shape_vec(IxDyn(shape), values).expect("a value for each cell")
}
