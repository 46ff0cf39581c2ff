//! Runs an experiment from start to report; resumes an interrupted run.

use std::path::Path;

use serde_json::{Value, json};

use crate::artifact;
use crate::config::{MANIFEST, OWN};
use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::fit::folder::read_report;
use crate::fit::{self, FitOptions};
use crate::observations::OBSERVATIONS;
use crate::report::Report;
use crate::run::capture::capture_into;
use crate::run::duration::fit_seconds;
use crate::run::judged::Judged;
use crate::run::loaded::{CONSTITUTIONS, FIT, Loaded};
use crate::run::progress::Progress;
use crate::run::tokens;
use crate::store::Store;

/// Results of a run.
pub struct Outcome {
    /// The report.
    pub report: Report,
    /// Counts of judged and skipped pairs or responses, one entry per judge.
    pub judged: Vec<Judged>,
}

impl Loaded {
    /// Captures, judges, fits and writes the report to the experiment's folder, together with the experiment itself.
    /// Results of an earlier run with the same capture and judge are reused, constitution by constitution; the fit is
    /// always recomputed with the current settings.
    ///
    /// # Errors
    /// [`Kind::RunConflict`] if the folder belongs to another experiment, naming the differences, or is in use; errors
    /// of the steps. Every finished shard is kept.
    pub fn run(&self, progress: &mut dyn Progress) -> Result<Outcome> {
        let out = &self.experiment.out;
        let store = Store::open(&self.shards())?;
        // The run holds the lock on the shards.
        artifact::clear_cut_off(out)?;
        let manifest = self.manifest();
        self.claim(&manifest)?;
        capture_into(&self.prepared, &self.job, &store, out, progress)?;
        self.conclude(manifest, &store, progress)
    }

    /// Asks the judges about the observations in the folder, fits and writes the report.
    ///
    /// # Errors
    /// Errors of the steps.
    pub(super) fn conclude(
        &self,
        manifest: Value,
        store: &Store,
        progress: &mut dyn Progress,
    ) -> Result<Outcome> {
        let out = &self.experiment.out;
        let judged = self.judges.ask_into(&self.prepared, store, out, progress)?;
        let options = FitOptions {
            observations: out.join(OBSERVATIONS),
            settings: self.experiment.fit.clone(),
            placebo: Vec::new(),
            seed: self.experiment.seed,
            out: out.clone(),
            constitutions: self.prepared.judged().into_iter().cloned().collect(),
            skipped: self.prepared.items.skipped.iter().chain(&self.job.skipped).cloned().collect(),
            skipped_pairs: judged.iter().flat_map(|j| j.skipped.clone()).collect(),
            manifest: Some(manifest),
        };
        progress.begin_timed("fit", Some(fit_seconds(self)?));
        let fitted = fit::fit(&options);
        progress.end();
        let mut fitted = fitted?;
        tokens::read(self, &mut fitted, progress)?;
        fitted.write(out)?;
        Ok(Outcome { report: fitted.report, judged })
    }

    /// Whether the folder has the report of this very run: of the same model, inputs and settings.
    pub fn is_reported(&self) -> bool {
        let report = read_report(&self.experiment.out);
        report.is_ok_and(|report| report.provenance.get("manifest") == Some(&self.manifest()))
    }

    /// Writes what says of which run a folder is, after comparing it with what is there.
    ///
    /// # Errors
    /// [`Kind::RunConflict`] if the folder belongs to another experiment, naming the differences.
    pub fn claim(&self, manifest: &Value) -> Result<()> {
        let out = &self.experiment.out;
        agree(&out.join(MANIFEST), manifest)?;
        artifact::write_if_changed(&out.join(OWN), self.experiment.to_toml()?.as_bytes())
    }
}

/// Writes the manifest, after comparing it with the existing one.
fn agree(path: &Path, manifest: &Value) -> Result<()> {
    let text = match std::fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(Error::io("read", path, e)),
        Ok(text) => text,
    };
    if !text.is_empty() {
        let there: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let mut there = if there.is_object() { there } else { json!({}) };
        for free in [FIT, CONSTITUTIONS] {
            there[free] = manifest[free].clone();
        }
        let mut differ = Vec::new();
        differences("", &there, manifest, &mut differ);
        if !differ.is_empty() {
            return Err(Diagnostic::new(Kind::RunConflict, "the folder holds a run of another experiment")
                .at(Place::file(path))
                .expected("the same model, data, templates and settings of the capture and the judge")
                .found(format!("other values of {}", differ.join(", ")))
                .remedy("give this experiment another --out (`out` in its file), or remove the folder")
                .into());
        }
    }
    let new = serde_json::to_string_pretty(manifest).unwrap_or_default();
    if new == text { Ok(()) } else { artifact::write_bytes(path, new.as_bytes()) }
}

/// Paths of the keys at which two JSON values differ.
fn differences(at: &str, a: &Value, b: &Value, out: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                differences(
                    &path,
                    a.get(key).unwrap_or(&Value::Null),
                    b.get(key).unwrap_or(&Value::Null),
                    out,
                );
            }
        }
        _ if a != b => out.push(at.to_owned()),
        _ => {}
    }
}
