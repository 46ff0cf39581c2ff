//! What is done of a run in parts, from the files that the parts write; no model is loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::config::MANIFEST;
use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::run::parts::record::{Done, Phase, Record, digest, now, read_all};
use crate::units::Part;

/// Age of a beat from which its process counts as lost: several beats, and some difference between clocks.
pub const LOST: Duration = Duration::from_secs(90);

/// State of a part.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum PartState {
    /// All of its shards are there.
    Finished,
    /// A process works on it.
    Running,
    /// Nothing was heard from its process for this many seconds: it was killed, or its machine is gone.
    Lost {
        /// Seconds since its last beat.
        silent: u64,
    },
    /// It was asked to stop; what it had is kept.
    Interrupted,
    /// It ended with an error.
    Failed {
        /// The error.
        reason: String,
    },
    /// It said that it finished, and these files are not there any more, or the run has changed since.
    Withdrawn {
        /// What is missing.
        reason: String,
    },
    /// No process ever began with it.
    Missing,
}

impl PartState {
    /// Whether the part is to be submitted again.
    pub fn is_open(&self) -> bool {
        !matches!(self, Self::Finished | Self::Running)
    }
}

/// A part with its state and its last record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartStatus {
    /// Number of the part, from 1.
    pub part: usize,
    /// State.
    #[serde(flatten)]
    pub state: PartState,
    /// What its last process wrote.
    pub record: Option<Record>,
}

/// What is done of a run in parts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// Number of parts.
    pub of: usize,
    /// All parts, by number.
    pub parts: Vec<PartStatus>,
    /// Whether the run has a report.
    pub reported: bool,
    /// Seconds until the running parts are done, at the rate of each; `None` if none runs or its rate is unknown.
    pub seconds_running: Option<f64>,
    /// Seconds for everything that is left, shared by the parts that run (one, if none runs): tokens left of parts that
    /// began, and the mean of these for parts that did not, at the mean rate; `None` where nothing is measured yet.
    pub seconds_left: Option<f64>,
}

impl Status {
    /// Numbers of the parts to submit again.
    pub fn open(&self) -> Vec<usize> {
        self.parts.iter().filter(|p| p.state.is_open()).map(|p| p.part).collect()
    }

    /// Number of parts in a state.
    pub fn count(&self, of: impl Fn(&PartState) -> bool) -> usize {
        self.parts.iter().filter(|p| of(&p.state)).count()
    }
}

/// Reads what is done of the run in a folder. If it was divided in several ways, the one that began last counts.
///
/// # Errors
/// [`Kind::Missing`] for a folder without parts; errors of the records.
pub fn status(run: &Path) -> Result<Status> {
    at(run, now())
}

fn at(run: &Path, now: u64) -> Result<Status> {
    let (records, marks) = read_all(run)?;
    let of = records.iter().max_by_key(|r| r.started).map(|r| r.of).or(marks.iter().map(|m| m.of).max());
    let Some(of) = of else {
        return Err(Diagnostic::new(Kind::Missing, "no part of a run has begun here")
            .at(Place::file(run))
            .expected("the folder of a run in parts (`vstar run … --shard I/N`)")
            .remedy(if run.join(MANIFEST).is_file() {
                "the run is not in parts; `vstar run` on its experiment.toml goes on with it"
            } else {
                "check the path; `out` of an experiment is relative to the folder where it was started"
            })
            .into());
    };
    let own = manifest(run)?.map(|m| digest(&m));
    let there = shards(run)?;
    let records: BTreeMap<usize, Record> =
        records.into_iter().filter(|r| r.of == of).map(|r| (r.part, r)).collect();
    let marks: BTreeMap<usize, Done> =
        marks.into_iter().filter(|m| m.of == of).map(|m| (m.part, m)).collect();
    let parts = (1..=of).map(|part| {
        let (record, mark) = (records.get(&part), marks.get(&part));
        let state = state(record, mark, own.as_deref(), &there, now);
        PartStatus { part, state, record: record.cloned() }
    });
    let parts: Vec<PartStatus> = parts.collect();
    let reported = run.join(crate::fit::folder::REPORT).is_file();
    let (seconds_running, seconds_left) = expected(&parts);
    Ok(Status { of, parts, reported, seconds_running, seconds_left })
}

fn state(
    record: Option<&Record>,
    mark: Option<&Done>,
    own: Option<&str>,
    there: &BTreeSet<String>,
    now: u64,
) -> PartState {
    let broken = mark.and_then(|mark| {
        if own != Some(mark.run.as_str()) {
            return Some("the run has changed since".to_owned());
        }
        let mut gone = mark.files.iter().filter(|f| !there.contains(*f));
        let first = gone.next()?;
        Some(match gone.count() {
            0 => format!("{first} is not there any more"),
            more => format!("{first} and {more} others are not there any more"),
        })
    });
    if mark.is_some() && broken.is_none() {
        return PartState::Finished;
    }
    let Some(record) = record else {
        return broken.map_or(PartState::Missing, |reason| PartState::Withdrawn { reason });
    };
    match record.phase {
        Phase::Running => {
            let silent = now.saturating_sub(record.beat);
            if silent > LOST.as_secs() { PartState::Lost { silent } } else { PartState::Running }
        }
        Phase::Interrupted => PartState::Interrupted,
        Phase::Failed => PartState::Failed { reason: record.reason.clone().unwrap_or_default() },
        Phase::Finished => PartState::Withdrawn {
            reason: broken.unwrap_or_else(|| "a shard of it did not verify".to_owned()),
        },
    }
}

/// Seconds left of the running parts, and of everything.
fn expected(parts: &[PartStatus]) -> (Option<f64>, Option<f64>) {
    let computed = |r: &Record| r.tokens.done.saturating_sub(r.tokens.there) as f64;
    let known: Vec<&Record> =
        parts.iter().filter_map(|p| p.record.as_ref()).filter(|r| r.tokens.total > 0).collect();
    let seconds: f64 = known.iter().map(|r| r.seconds).sum();
    let tokens: f64 = known.iter().map(|r| computed(r)).sum();
    if known.is_empty() || tokens <= 0.0 || seconds <= 0.0 {
        return (None, None);
    }
    let rate = tokens / seconds;
    let mean = known.iter().map(|r| r.tokens.total as f64).sum::<f64>() / known.len() as f64;
    let left = |p: &PartStatus| match (&p.state, &p.record) {
        (PartState::Finished, _) => 0.0,
        (_, Some(r)) if r.tokens.total > 0 => (r.tokens.total - r.tokens.done.min(r.tokens.total)) as f64,
        _ => mean,
    };
    let running: Vec<&PartStatus> = parts.iter().filter(|p| p.state == PartState::Running).collect();
    let of_part = |p: &&PartStatus| {
        let own = p.record.as_ref().filter(|r| r.seconds > 0.0 && computed(r) > 0.0);
        left(p) / own.map_or(rate, |r| computed(r) / r.seconds)
    };
    let of_running = running.iter().map(of_part).reduce(f64::max);
    let all: f64 = parts.iter().map(left).sum();
    let hands = running.len().max(1) as f64;
    (of_running, Some((all / rate / hands).max(of_running.unwrap_or(0.0))))
}

fn manifest(run: &Path) -> Result<Option<Value>> {
    let path = run.join(MANIFEST);
    match std::fs::read_to_string(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", &path, e)),
        Ok(text) => Ok(serde_json::from_str(&text).ok()),
    }
}

/// Names of the files of shards, in one reading of the folder.
fn shards(run: &Path) -> Result<BTreeSet<String>> {
    let folder = run.join("shards");
    let entries = match std::fs::read_dir(&folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.map_err(|e| Error::io("read", &folder, e))?,
    };
    entries
        .map(|entry| {
            let entry = entry.map_err(|e| Error::io("read", &folder, e))?;
            Ok(entry.file_name().to_string_lossy().into_owned())
        })
        .collect()
}

/// The part of a shard in this division.
pub(super) fn owner(index: usize, of: usize) -> Option<Part> {
    Part::new(index % of.max(1) + 1, of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::parts::record::Tokens;

    fn part(n: usize) -> Part {
        Part::new(n, 6).expect("a part")
    }

    fn record(n: usize, phase: Phase, beat: u64) -> Record {
        let tokens = Tokens { total: 1000, there: 200, done: 600 };
        Record { phase, beat, started: 900, tokens, seconds: 4.0, ..Record::begin(part(n)) }
    }

    #[test]
    fn each_part_has_the_state_that_its_files_say() {
        let folder = tempfile::tempdir().expect("a folder");
        let run = folder.path();
        assert_eq!(at(run, 1000).expect_err("no parts").kind(), Some(Kind::Missing));
        std::fs::create_dir(run.join("shards")).expect("a folder");
        std::fs::write(run.join("shards/a.safetensors"), "").expect("a shard");
        std::fs::write(run.join(MANIFEST), "{\"fit\": 1, \"data\": 2}").expect("a manifest");
        let own = digest(&serde_json::json!({"data": 2}));
        let mark = |n, run: &str, file: &str| Done::new(part(n), run.to_owned(), vec![file.to_owned()]);
        let write = |r: Record| r.write(run, part(r.part)).expect("written");
        // Part 1 is done, and a second process of it works still.
        write(record(1, Phase::Running, 990));
        mark(1, &own, "a.safetensors").write(run, part(1)).expect("written");
        write(record(2, Phase::Running, 990));
        write(record(3, Phase::Running, 800));
        write(Record { reason: Some("too long".into()), ..record(4, Phase::Failed, 500) });
        // Part 5 is marked, of another run; nobody began with part 6.
        mark(5, "another", "a.safetensors").write(run, part(5)).expect("written");
        let status = at(run, 1000).expect("a status");
        let states: Vec<PartState> = status.parts.iter().map(|p| p.state.clone()).collect();
        assert_eq!(states[0], PartState::Finished);
        assert_eq!(states[1], PartState::Running);
        assert_eq!(states[2], PartState::Lost { silent: 200 });
        assert_eq!(states[3], PartState::Failed { reason: "too long".into() });
        assert!(matches!(&states[4], PartState::Withdrawn { reason } if reason.contains("changed")));
        assert_eq!(states[5], PartState::Missing);
        assert_eq!(status.open(), [3, 4, 5, 6]);
        // 100 tokens a second; 400 left of part 2; in all 400 of each of the parts 2 to 4, and 1000 of 5 and 6.
        assert_eq!(status.seconds_running, Some(4.0));
        assert_eq!(status.seconds_left, Some(32.0));
        std::fs::remove_file(run.join("shards/a.safetensors")).expect("removed");
        let states = at(run, 1000).expect("a status");
        // The second process of part 1 goes on; without it the shard is missing.
        assert_eq!(states.parts[0].state, PartState::Running);
        write(record(1, Phase::Finished, 995));
        let states = at(run, 1000).expect("a status");
        assert!(
            matches!(&states.parts[0].state, PartState::Withdrawn { reason } if reason.contains("a.safetensors"))
        );
    }

    #[test]
    fn the_division_that_began_last_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        record(1, Phase::Failed, 10).write(folder.path(), part(1)).expect("written");
        let two = Part::new(2, 2).expect("a part");
        let later = Record { started: 2000, of: 2, part: 2, ..record(2, Phase::Interrupted, 10) };
        later.write(folder.path(), two).expect("written");
        let status = at(folder.path(), 3000).expect("a status");
        assert_eq!((status.of, status.open()), (2, vec![1, 2]));
    }
}
