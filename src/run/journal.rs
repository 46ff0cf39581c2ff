//! Finished rows of a long job, kept beside its result until it is complete.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::artifact::{self, Partial};
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::source;

/// Rows of a job that is not finished, one JSON object a line after a line that identifies the job. A line that was cut
/// off is dropped.
pub struct Journal {
    file: Partial,
    path: PathBuf,
    rows: Vec<Value>,
    _lock: File,
}

impl Journal {
    /// Opens the journal of a job whose result will be at `out`: `.NAME.partial` in the same folder. `recipe`
    /// identifies everything that decides the rows.
    ///
    /// # Errors
    /// [`Kind::RunConflict`] for the remains of another job, or while another process writes to it; errors of the file
    /// system.
    pub fn open(out: &Path, recipe: &str) -> Result<Self> {
        let name = out.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let path = out.with_file_name(format!(".{name}.partial"));
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            artifact::create_folder(folder)?;
        }
        let Some(lock) = artifact::lock(&path)? else {
            return Err(Diagnostic::new(Kind::RunConflict, "another process writes to this file")
                .at(Place::file(out))
                .remedy("wait for it, or choose another --out")
                .into());
        };
        let text = source::read_text(&path, source::LARGE)?;
        let complete = text.rfind('\n').map_or(0, |end| end + 1);
        let mut lines = text[..complete].lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let first = lines.next();
        if let Some(first) = &first
            && first["recipe"] != recipe
        {
            return Err(Diagnostic::new(Kind::RunConflict, "an unfinished job with other settings is there")
                .at(Place::file(&path))
                .expected("the remains of this job: the same model, data and options")
                .remedy("finish it with its own settings, remove the file, or choose another --out")
                .into());
        }
        let rows = lines.collect();
        let mut file = Partial::open(&path)?;
        file.truncate(complete as u64)?;
        let mut journal = Self { file, path, rows, _lock: lock };
        if first.is_none() {
            journal.write(&json!({"recipe": recipe}))?;
        }
        Ok(journal)
    }

    /// The rows, in the order in which they were finished.
    pub fn rows(&self) -> &[Value] {
        &self.rows
    }

    /// Adds a row.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn append(&mut self, row: Value) -> Result<()> {
        self.write(&row)?;
        self.rows.push(row);
        Ok(())
    }

    fn write(&mut self, row: &Value) -> Result<()> {
        self.file.append(format!("{row}\n").as_bytes())
    }

    /// Removes the journal of a finished job.
    ///
    /// # Errors
    /// Errors of the file system.
    pub fn remove(self) -> Result<()> {
        drop(self.file);
        artifact::remove_file(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_and_a_line_that_was_cut_off_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("s.jsonl");
        let mut journal = Journal::open(&out, "a").expect("a journal");
        journal.append(json!({"id": "x"})).expect("a row");
        journal.append(json!({"id": "y"})).expect("a row");
        drop(journal);
        let path = folder.path().join(".s.jsonl.partial");
        let text = std::fs::read_to_string(&path).expect("text");
        std::fs::write(&path, &text[..text.len() - 3]).expect("cut");
        let journal = Journal::open(&out, "a").expect("a journal");
        assert_eq!(journal.rows(), [json!({"id": "x"})]);
        drop(journal);
        let refused = Journal::open(&out, "b").err().expect("a refusal");
        assert_eq!(refused.kind(), Some(Kind::RunConflict));
        Journal::open(&out, "a").expect("a journal").remove().expect("removed");
        assert!(!path.exists());
    }
}
