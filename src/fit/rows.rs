//! Runs of several checkpoints on the same responses: opens their observations and checks that the rows match.

use std::path::{Path, PathBuf};

use crate::error::{Diagnostic, Kind, Place, Result};
use crate::observations::{OBSERVATIONS, ROWS};
use crate::observations::{Observations, RowRecord, RowSelection, read_rows};

/// The observations of a run, and the rows of the reference in them.
pub struct RunRows {
    /// The folder.
    pub folder: PathBuf,
    /// All observations.
    pub observations: Observations,
    /// The rows that are compared.
    pub selection: RowSelection,
    records: Option<Vec<RowRecord>>,
}

impl RunRows {
    /// Opens a run's folder, or an observations file; `reference` names the constitution whose rows are used, by
    /// default the file's own.
    ///
    /// # Errors
    /// Errors of the observations.
    pub fn open(run: &Path, reference: Option<&str>) -> Result<Self> {
        let file = if run.is_dir() { run.join(OBSERVATIONS) } else { run.to_owned() };
        let observations = Observations::open(&file)?;
        let name = reference.unwrap_or_else(|| observations.default_reference());
        let selection = observations.select_constitution(name)?;
        let list = file.with_file_name(ROWS);
        let records = if list.is_file() { Some(read_rows(&list)?) } else { None };
        let records = records.filter(|r| r.len() == observations.rows());
        Ok(Self { folder: run.to_owned(), observations, selection, records })
    }

    /// Name of the model.
    pub fn model(&self) -> String {
        self.observations.meta().model.clone()
    }

    /// Checks that another run has the same rows: equal in number, ids, responses, token counts of responses, and
    /// prompts.
    ///
    /// # Errors
    /// [`Kind::RunConflict`] with the first row that differs.
    pub fn same_rows(&self, other: &Self) -> Result<()> {
        let refuse = |what: String, expected: String, found: String| {
            Err(Diagnostic::new(Kind::RunConflict, what)
                .at(Place::file(&other.folder))
                .expected(expected)
                .found(found)
                .remedy("capture both checkpoints with the same data, template and constitutions")
                .into())
        };
        let (n, m) = (self.selection.len(), other.selection.len());
        if n != m {
            return refuse("the runs hold different rows".into(), format!("{n} rows"), format!("{m} rows"));
        }
        if let (Some(a), Some(b)) = (&self.records, &other.records) {
            let key = |r: &RowRecord| format!("{}, response {}", r.id, r.response);
            for (&x, &y) in self.selection.rows().iter().zip(other.selection.rows()) {
                if (&a[x].id, a[x].response) != (&b[y].id, b[y].response) {
                    return refuse("the runs hold different rows".into(), key(&a[x]), key(&b[y]));
                }
            }
        }
        let tokens = |r: &Self| r.observations.columns().ntok.as_ref().map(|t| r.selection.pick(t));
        if let (Some(a), Some(b)) = (tokens(self), tokens(other))
            && let Some(row) = (0..n).find(|&r| a[r] != b[r])
        {
            let what = format!("row {row} is not the same text to both models");
            return refuse(what, format!("{} response tokens", a[row]), format!("{}", b[row]));
        }
        let prompts = |r: &Self| r.observations.prompt().map(|p| renumbered(&r.selection.pick(p)));
        if let (Some(a), Some(b)) = (prompts(self), prompts(other))
            && a != b
        {
            return refuse(
                "the runs group rows into different prompts".into(),
                "the same prompts".into(),
                "others".into(),
            );
        }
        Ok(())
    }

    /// Block of each compared row; its own block where the file does not say.
    pub fn blocks(&self) -> Vec<i32> {
        match self.observations.blocks() {
            Some(blocks) => self.selection.pick(blocks),
            None => (0..).take(self.selection.len()).collect(),
        }
    }
}

/// Group numbers in order of appearance.
fn renumbered(groups: &[i32]) -> Vec<usize> {
    let mut seen = std::collections::HashMap::new();
    groups
        .iter()
        .map(|g| {
            let next = seen.len();
            *seen.entry(*g).or_insert(next)
        })
        .collect()
}
