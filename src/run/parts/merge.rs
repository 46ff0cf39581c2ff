//! Merges the parts of a run: verifies every shard, assembles the observations, fits and reports.

use std::collections::BTreeMap;
use std::path::Path;

use crate::artifact;
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::run::capture::assemble;
use crate::run::conduct::Outcome;
use crate::run::loaded::Loaded;
use crate::run::parts::inventory::{Inventory, Lack, State};
use crate::run::parts::record::{Done, FOLDER};
use crate::run::parts::status::{PartState, Status, owner, status};
use crate::run::progress::Progress;
use crate::store::Store;

/// What keeps a run from being merged, by part.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Incomplete {
    /// Number of shards that are missing or damaged.
    pub lacking: usize,
    /// Number of shards of the run.
    pub shards: usize,
    /// Number of parts; 0 if no part has begun.
    pub of: usize,
    /// By number of the part, what is missing of it and why.
    pub parts: BTreeMap<usize, String>,
}

/// A merged run, or why it cannot be.
pub enum Merged {
    /// The report is written.
    Done(Box<Outcome>),
    /// Nothing is written.
    Not(Incomplete),
}

impl Loaded {
    /// Verifies that every shard of the run is there and that its hash holds, then assembles the observations, fits and
    /// writes the report: the files that [`Loaded::run`] writes. If a shard is missing or damaged nothing is written,
    /// but a finished part with such a shard loses its mark.
    ///
    /// # Errors
    /// [`Kind::RunConflict`] if the folder belongs to another experiment, or another merge is at it; errors of the
    /// steps.
    pub fn merge(&self, progress: &mut dyn Progress) -> Result<Merged> {
        let out = &self.experiment.out;
        let store = Store::share(&self.shards())?;
        let lock = out.join(FOLDER).join(".merge");
        artifact::create_folder(&out.join(FOLDER))?;
        let Some(_lock) = artifact::lock_if_possible(&lock)? else {
            return Err(Diagnostic::new(Kind::RunConflict, "another merge of this run is at work")
                .at(Place::file(out))
                .remedy("wait for it")
                .into());
        };
        let manifest = self.manifest();
        self.claim(&manifest)?;
        progress.begin_timed("verify the shards", None);
        let inventory = Inventory::of(self);
        let lacks = inventory.as_ref().map(|inventory| inventory.lacks(&store)).unwrap_or_default();
        progress.end();
        let inventory = inventory?;
        if !lacks.is_empty() {
            let status = status(out).ok();
            return Ok(Merged::Not(incomplete(&lacks, inventory.len(), status.as_ref(), out)?));
        }
        artifact::clear_abandoned(out)?;
        artifact::clear_abandoned(&self.shards())?;
        assemble(&self.prepared, &self.job, &store, out)?;
        Ok(Merged::Done(Box::new(self.conclude(manifest, &store, progress)?)))
    }
}

/// Names what is missing of each part, and withdraws the marks of those that said they had finished.
fn incomplete(lacks: &[Lack], shards: usize, status: Option<&Status>, out: &Path) -> Result<Incomplete> {
    let mut all =
        Incomplete { lacking: lacks.len(), shards, of: status.map_or(0, |s| s.of), ..Default::default() };
    let Some(status) = status else { return Ok(all) };
    let mut by_part: BTreeMap<usize, Vec<&Lack>> = BTreeMap::new();
    for lack in lacks {
        if let Some(part) = owner(lack.index, status.of) {
            by_part.entry(part.number()).or_default().push(lack);
        }
    }
    for (number, lacks) in by_part {
        let Some(part) = status.parts.get(number - 1) else { continue };
        if part.state == PartState::Finished
            && let Some(part) = owner(number - 1, status.of)
        {
            Done::withdraw(out, part)?;
        }
        let first = lacks.iter().find(|l| l.state == State::Damaged).unwrap_or(&lacks[0]);
        let damaged = first.state == State::Damaged;
        let what = match (damaged, lacks.len()) {
            (true, 1) => format!("{} does not verify", first.file),
            (true, n) => format!("{n} shards are missing or do not verify, such as {}", first.file),
            (false, 1) => format!("{} is not there", first.file),
            (false, n) => format!("{n} shards are not there"),
        };
        let why = match &part.state {
            PartState::Missing => "never began".to_owned(),
            PartState::Running => "still runs".to_owned(),
            PartState::Lost { silent } => format!("lost: no sign of it for {silent} s"),
            PartState::Interrupted => "was interrupted".to_owned(),
            PartState::Failed { reason } => format!("failed: {reason}"),
            PartState::Finished | PartState::Withdrawn { .. } => "had finished".to_owned(),
        };
        all.parts.insert(number, format!("{why}; {what}"));
    }
    Ok(all)
}
