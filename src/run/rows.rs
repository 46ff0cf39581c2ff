//! The rows of a capture, by what was read under what, and what judges add to them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::error::{Diagnostic, Kind, Place, Result};
use crate::observations::{BARE, Judgments, OBSERVATIONS, ROWS, RowRecord, append_judgments, read_rows};
use crate::run::judged::Judged;

/// The rows of a capture.
#[derive(Debug, Clone)]
pub struct Rows {
    /// One record a row.
    pub records: Vec<RowRecord>,
    /// Their file, where they lie in one.
    path: Option<PathBuf>,
}

impl Rows {
    /// Reads the list of rows of a folder.
    ///
    /// # Errors
    /// As [`read_rows`].
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(ROWS);
        Ok(Self { records: read_rows(&path)?, path: Some(path) })
    }

    /// Rows in memory.
    pub fn new(records: Vec<RowRecord>) -> Self {
        Self { records, path: None }
    }

    /// Where they stand, for errors.
    pub fn place(&self) -> Place {
        self.path.as_deref().map_or_else(Place::default, Place::file)
    }

    /// Row of each response (id, number) whose row carries what a judge says: of the bare context, or else of the first
    /// constitution. Rows are matched by id, so that a judge may run on a capture made earlier.
    ///
    /// # Errors
    /// [`Kind::Missing`] without rows.
    pub fn reference(&self) -> Result<HashMap<(&str, usize), usize>> {
        let bare = self.records.iter().find(|r| r.constitution == BARE);
        match bare.or(self.records.first()) {
            Some(record) => Ok(self.under(&record.constitution)),
            None => Err(Diagnostic::new(Kind::Missing, "no rows").at(self.place()).into()),
        }
    }

    /// Row of each response (id, number) under a constitution.
    pub fn under(&self, constitution: &str) -> HashMap<(&str, usize), usize> {
        let own = self.records.iter().enumerate().filter(|(_, r)| r.constitution == constitution);
        own.map(|(row, r)| ((r.id.as_str(), r.response), row)).collect()
    }

    /// The refusal of rows that are of none of the items.
    pub fn of_other_items(&self) -> Diagnostic {
        Diagnostic::new(Kind::RunConflict, "the observations are of other items")
            .at(self.place())
            .expected("a capture of the same --data")
            .remedy("choose another --out, or run `vstar capture` first")
    }
}

/// What a judge adds to observations.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Forced choices by constitution.
    pub judgments: BTreeMap<String, Judgments>,
    /// A score of each row by constitution; NaN where there is none.
    pub scores: BTreeMap<String, Vec<f64>>,
    /// Metadata.
    pub extra: BTreeMap<String, String>,
    /// What was asked, and what was left out.
    pub judged: Judged,
}

impl Answers {
    /// Adds them to the observations of a folder.
    ///
    /// # Errors
    /// As [`append_judgments`].
    pub fn append(self, folder: &Path) -> Result<Judged> {
        append_judgments(&folder.join(OBSERVATIONS), &self.judgments, &self.scores, &self.extra)?;
        Ok(self.judged)
    }
}
