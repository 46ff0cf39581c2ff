//! Answers to questions, kept in cells: what a model says under one constitution about some neighbouring units (pairs
//! or responses). A cell is known by what was asked, so a constitution that is added later costs its own cells alone.
//! Units that stand together are asked together under all constitutions that lack them: what these share, the pair,
//! is computed once.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;

use ndarray::{ArrayD, IxDyn};

use crate::capture::Sharded;
use crate::capture::job::fingerprint;
use crate::error::{Kind, Place, Refusal, Result};
use crate::forest::{self, Reading, Request, Settings};
use crate::model::Decoder;
use crate::store::{self, Shard, Store};

/// Units in a file.
const UNITS: usize = 32;

/// What a file of cells answers, before one looks at the names in it.
const CELLS: &str = "cells of judgments";

/// Questions: `[units, constitutions, orders]` requests.
pub struct Cells<'a> {
    /// What the names of the files begin with.
    pub name: &'static str,
    /// The requests.
    pub requests: &'a [Request],
    /// Number of constitutions.
    pub constitutions: usize,
    /// Requests of a unit under a constitution.
    pub orders: usize,
    /// What decides the numbers beside the tokens.
    pub job: &'a str,
}

/// The cells of some units.
struct Part {
    /// The units.
    units: Range<usize>,
    /// The cell's name, by constitution.
    names: Vec<String>,
    /// Those that are there, and others of constitutions that are not asked for now.
    cells: Shard,
    /// Constitutions whose cells are not there.
    missing: Vec<usize>,
}

impl Cells<'_> {
    fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        let units = self.requests.len() / (self.constitutions * self.orders).max(1);
        (0..units).step_by(UNITS).map(move |start| start..(start + UNITS).min(units))
    }

    fn key(&self, units: &Range<usize>) -> String {
        format!("{}-{:08}", self.name, units.start)
    }

    /// Numbers of the requests about some units under some constitutions, those of a unit together.
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

    /// The name of a cell: a hash of what is asked and of what decides the answer.
    fn cell(&self, units: &Range<usize>, constitution: usize) -> String {
        let numbers = self.numbers(units, &[constitution]);
        fingerprint(self.job, numbers.into_iter().map(|i| &self.requests[i]))
    }

    /// Numbers of the requests whose answers a folder of shards lacks; nothing is locked or checked for damage.
    pub fn outstanding(&self, folder: &Path) -> Vec<usize> {
        let mut out = Vec::new();
        for units in self.ranges() {
            let there = store::names(folder, &self.key(&units), CELLS);
            let missing: Vec<usize> =
                (0..self.constitutions).filter(|&c| !there.contains(&self.cell(&units, c))).collect();
            out.extend(self.numbers(&units, &missing));
        }
        out
    }

    /// Computes the cells that the store lacks and returns all: for each constitution the log-odds of the first
    /// answer over the second, `[units, orders]`. `progress` is as in [`crate::capture::fill`].
    ///
    /// # Errors
    /// What the forward refuses, what `progress` returns, what the file system says.
    pub fn answers(
        &self,
        decoder: &Decoder,
        settings: &Settings,
        store: &Store,
        place: &dyn Fn(usize) -> Place,
        progress: &mut dyn FnMut(usize) -> Result<()>,
    ) -> Result<Vec<Vec<f32>>> {
        let mut parts = Vec::new();
        // What is to be computed: numbers of requests, and which of them belong to which part.
        let (mut todo, mut ranges, mut whose) = (Vec::new(), Vec::new(), Vec::new());
        for units in self.ranges() {
            let names: Vec<String> = (0..self.constitutions).map(|c| self.cell(&units, c)).collect();
            let cells = store.get(&self.key(&units), CELLS).unwrap_or_default();
            let (there, missing): (Vec<usize>, Vec<usize>) =
                (0..self.constitutions).partition(|&c| cells.contains_key(&names[c]));
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
        let put = |range: &Range<usize>, _: &str, readings: &[Reading]| -> Result<()> {
            let at = ranges.partition_point(|r: &Range<usize>| r.start < range.start);
            let mut parts = parts.borrow_mut();
            let part = &mut parts[whose[at]];
            for (m, &c) in part.missing.iter().enumerate() {
                let of_unit = |u: usize| {
                    let first = (u * part.missing.len() + m) * self.orders;
                    readings[first..first + self.orders].iter()
                };
                let odds = (0..part.units.len()).flat_map(of_unit);
                let odds = odds.map(|r| (r.answers[0] - r.answers[1]) as f32).collect();
                let shape = IxDyn(&[part.units.len(), self.orders]);
                let odds = ArrayD::from_shape_vec(shape, odds).expect("one reading a request");
                part.cells.insert(part.names[c].clone(), odds);
            }
            store.put(&self.key(&part.units), CELLS, &part.cells)
        };
        let sharded = Sharded {
            ranges: ranges.clone(),
            requests: &|range| todo[range.clone()].iter().map(|&i| self.requests[i].clone()).collect(),
            there: &|_, _| false,
            put: &put,
            place: &|i| place(todo[i]),
            job: self.job,
        };
        sharded.fill(decoder, settings, progress)?;
        let parts = parts.into_inner();
        let mut out = vec![Vec::new(); self.constitutions];
        for part in &parts {
            for (name, odds) in part.names.iter().zip(&mut out) {
                match part.cells.get(name) {
                    Some(cell) if cell.len() == part.units.len() * self.orders => odds.extend(cell.iter()),
                    _ => {
                        return Err(Refusal::new(
                            Kind::RunConflict,
                            "judgments of another job lie in the folder",
                        )
                        .found(format!("{}.safetensors", self.key(&part.units)))
                        .remedy("remove the folder `shards`, and run the same command again")
                        .into());
                    }
                }
            }
        }
        Ok(out)
    }
}
