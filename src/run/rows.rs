//! The rows of a capture, indexed by response and constitution, and the judges' additions to them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::error::{Diagnostic, Kind, Place, Result};
use crate::observations::{BARE, Judgments, OBSERVATIONS, ROWS, RowRecord, append_judgments, read_rows};
use crate::run::judged::Judged;

/// The rows of a capture.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Records, one per row.
    pub records: Vec<RowRecord>,
    /// Path of their file, if they come from one.
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

    /// Location of the rows, for errors.
    pub fn place(&self) -> Place {
        self.path.as_deref().map_or_else(Place::default, Place::file)
    }

    /// For each response (id, index), the row to which a judge's answers are attached: that of the bare context,
    /// otherwise of the first constitution. Rows are matched by id, so that a judge may run on an earlier capture.
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

    /// For each response (id, index), its row under a constitution.
    pub fn under(&self, constitution: &str) -> HashMap<(&str, usize), usize> {
        let own = self.records.iter().enumerate().filter(|(_, r)| r.constitution == constitution);
        own.map(|(row, r)| ((r.id.as_str(), r.response), row)).collect()
    }

    /// Error for rows that match none of the items.
    pub fn of_other_items(&self) -> Diagnostic {
        Diagnostic::new(Kind::RunConflict, "the observations are of other items")
            .at(self.place())
            .expected("a capture of the same --data")
            .remedy("choose another --out, or run `vstar capture` first")
    }
}

/// A judge's additions to observations.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Forced choices by constitution.
    pub judgments: BTreeMap<String, Judgments>,
    /// Scores by constitution, one per row; NaN for rows without a score.
    pub scores: BTreeMap<String, Vec<f64>>,
    /// Additional metadata.
    pub extra: BTreeMap<String, String>,
    /// Counts of judged and skipped units.
    pub judged: Judged,
}

impl Answers {
    /// Adds the answers to the observations of a folder.
    ///
    /// # Errors
    /// As [`append_judgments`].
    pub fn append(self, folder: &Path) -> Result<Judged> {
        append_judgments(&folder.join(OBSERVATIONS), &self.judgments, &self.scores, &self.extra)?;
        Ok(self.judged)
    }
}
