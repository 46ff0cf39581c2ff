//! What a part writes about itself into `parts/` of the run's folder: a record that it renews while it runs, and a
//! mark once all of its shards are there.
//!
//! They are two files because a part may run twice at once: a mark stands whatever becomes of the second process.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::artifact;
use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::run::loaded::FIT;
use crate::source;
use crate::units::Part;

/// Name of the folder of records inside a run's folder.
pub const FOLDER: &str = "parts";

/// Time between two beats of a record.
pub const EVERY: Duration = Duration::from_secs(10);

/// Format of a record.
const RECORD: &str = "vstar-part/1";
/// Format of a mark.
const DONE: &str = "vstar-part-done/1";
/// Maximum size of either file in bytes.
const MAX_FILE: u64 = 64 << 20;

/// State of a part's last process, in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It works; true as long as its beat is recent.
    Running,
    /// All shards of the part are there.
    Finished,
    /// It was asked to stop (SIGTERM, Ctrl-C) and kept what it had.
    Interrupted,
    /// It ended with an error.
    Failed,
}

/// Progress in tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Tokens of the part.
    pub total: u64,
    /// Tokens that had been computed before this process.
    pub there: u64,
    /// Tokens that are computed, `there` included.
    pub done: u64,
}

/// A part's last process, in facts that mean the same on every machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// `vstar-part/1`.
    pub format: String,
    /// Number of the part, from 1.
    pub part: usize,
    /// Number of parts.
    pub of: usize,
    /// State of the process.
    pub phase: Phase,
    /// The process's number on its machine.
    pub pid: u32,
    /// Start, in seconds since 1970.
    pub started: u64,
    /// Last sign of life, in seconds since 1970.
    pub beat: u64,
    /// What is being done: `load`, `capture`, `judge`.
    pub step: String,
    /// Number of shards of the part.
    pub shards: usize,
    /// Progress.
    pub tokens: Tokens,
    /// Seconds spent computing tokens.
    pub seconds: f64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

/// The mark of a finished part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// `vstar-part-done/1`.
    pub format: String,
    /// Number of the part, from 1.
    pub part: usize,
    /// Number of parts.
    pub of: usize,
    /// What the shards are of: [`digest`] of the run's manifest.
    pub run: String,
    /// Files of the part, in `shards/`.
    pub files: Vec<String>,
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

/// SHA-256 of what decides the shards of a run: its manifest without the fit.
pub fn digest(manifest: &Value) -> String {
    let mut manifest = manifest.clone();
    if let Some(keys) = manifest.as_object_mut() {
        keys.shift_remove(FIT);
    }
    artifact::sha256(manifest.to_string().as_bytes())
}

/// Name of a part's files, without their ending; sorts by number.
fn stem(part: Part) -> String {
    format!("{:05}-of-{:05}", part.number(), part.of())
}

impl Record {
    /// A process that begins with a part now.
    pub fn begin(part: Part) -> Self {
        let now = now();
        Self {
            format: RECORD.into(),
            part: part.number(),
            of: part.of(),
            phase: Phase::Running,
            pid: std::process::id(),
            started: now,
            beat: now,
            step: "load".into(),
            shards: 0,
            tokens: Tokens::default(),
            seconds: 0.0,
            reason: None,
        }
    }

    /// The record's file in a run's folder.
    pub fn path(run: &Path, part: Part) -> PathBuf {
        run.join(FOLDER).join(format!("{}.json", stem(part)))
    }

    /// Writes the record.
    ///
    /// # Errors
    /// The file system's error.
    pub fn write(&self, run: &Path, part: Part) -> Result<()> {
        write(&Self::path(run, part), self)
    }
}

impl Done {
    /// The mark of a part with these files.
    pub fn new(part: Part, run: String, files: Vec<String>) -> Self {
        Self { format: DONE.into(), part: part.number(), of: part.of(), run, files }
    }

    /// The mark's file in a run's folder.
    pub fn path(run: &Path, part: Part) -> PathBuf {
        run.join(FOLDER).join(format!("{}.done.json", stem(part)))
    }

    /// Writes the mark.
    ///
    /// # Errors
    /// The file system's error.
    pub fn write(&self, run: &Path, part: Part) -> Result<()> {
        write(&Self::path(run, part), self)
    }

    /// Takes the mark away: a shard of the part is missing or damaged after all.
    ///
    /// # Errors
    /// The file system's error.
    pub fn withdraw(run: &Path, part: Part) -> Result<()> {
        artifact::remove_file(&Self::path(run, part))
    }
}

fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| {
        Diagnostic::new(Kind::Malformed, "a record of a part cannot be written").found(e.to_string())
    })?;
    artifact::write_bytes(path, text.as_bytes())
}

/// All records and marks of a run's folder; none if it has no parts.
///
/// # Errors
/// The file system's error; [`Kind::Malformed`] for a file that is no record.
pub fn read_all(run: &Path) -> Result<(Vec<Record>, Vec<Done>)> {
    let folder = run.join(FOLDER);
    let entries = match std::fs::read_dir(&folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Default::default()),
        entries => entries.map_err(|e| Error::io("read", &folder, e))?,
    };
    let (mut records, mut marks) = (Vec::new(), Vec::new());
    for entry in entries {
        let path = entry.map_err(|e| Error::io("read", &folder, e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || !name.ends_with(".json") {
            continue;
        }
        if name.ends_with(".done.json") {
            marks.extend(read::<Done>(&path)?);
        } else {
            records.extend(read::<Record>(&path)?);
        }
    }
    records.retain(|r| Part::new(r.part, r.of).is_some());
    marks.retain(|m| Part::new(m.part, m.of).is_some());
    records.sort_by_key(|r| (r.of, r.part));
    marks.sort_by_key(|m| (m.of, m.part));
    Ok((records, marks))
}

/// Reads a file; `None` if it was taken away meanwhile.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let bytes = match source::read(path, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(_) if !path.exists() => return Ok(None),
        Err(e) => return Err(e),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| {
        Diagnostic::new(Kind::Malformed, "not the record of a part")
            .at(Place::file(path))
            .found(e.to_string())
            .remedy("remove the file; the part is then done again, from what is there of it")
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_marks_come_back_and_other_files_do_not_disturb() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(read_all(folder.path()).expect("no parts"), (vec![], vec![]));
        let part = Part::new(3, 12).expect("a part");
        let record = Record { reason: Some("no\nluck".into()), ..Record::begin(part) };
        record.write(folder.path(), part).expect("written");
        let done = Done::new(part, "run".into(), vec!["rows-1.safetensors".into()]);
        done.write(folder.path(), part).expect("written");
        std::fs::write(folder.path().join("parts/.merge"), "").expect("a lock");
        assert_eq!(read_all(folder.path()).expect("parts"), (vec![record], vec![done]));
        Done::withdraw(folder.path(), part).expect("withdrawn");
        assert!(read_all(folder.path()).expect("parts").1.is_empty());
        std::fs::write(folder.path().join("parts/00004-of-00012.json"), "{").expect("damage");
        let refused = read_all(folder.path()).expect_err("refused").to_string();
        assert!(refused.contains("00004-of-00012.json"), "{refused}");
    }

    #[test]
    fn the_fit_does_not_decide_what_shards_a_run_has() {
        let of = |text: &str| digest(&serde_json::from_str(text).expect("JSON"));
        assert_eq!(of(r#"{"a": 1, "fit": {"seed": 1}}"#), of(r#"{"a": 1, "fit": {"seed": 2}}"#));
        assert_ne!(of(r#"{"a": 1}"#), of(r#"{"a": 2}"#));
    }
}
