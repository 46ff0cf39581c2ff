//! `vstar merge`: the report of a run whose parts were computed separately.

use std::path::{Path, PathBuf};

use clap::Args;

use super::capture::list_skipped;
use super::fit::summary;
use super::terminal::bars::Bars;
use super::terminal::out::result;
use crate::config::{Experiment, OWN};
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::report::terminal;
use crate::run::Loaded;
use crate::run::Outcome;
use crate::run::parts::{Incomplete, Merged, array_expression};

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Folder of a run in parts, or the experiment that its parts were given
    #[arg(value_name = "RUN|EXPERIMENT.toml")]
    pub run: PathBuf,
}

/// Maximum number of parts named one by one.
const NAMED: usize = 20;

/// Merges a run, or says what is missing.
pub fn merge(args: &MergeArgs) -> Result<()> {
    let loaded = Loaded::of(experiment(&args.run)?, &mut Bars::new())?;
    let outcome = complete(&loaded, &mut Bars::new())?;
    let out = &loaded.experiment.out;
    for judged in &outcome.judged {
        list_skipped(judged.what(), &judged.skipped);
    }
    result(|| summary(&outcome.report, out));
    println!("{}", terminal(&outcome.report));
    println!("report in {} and {}", out.join("report.html").display(), out.join("report.md").display());
    Ok(())
}

/// The experiment of a run's folder, or of a file.
pub fn experiment(run: &Path) -> Result<Experiment> {
    if run.is_file() {
        return Experiment::read(run);
    }
    let own = run.join(OWN);
    if !own.is_file() {
        return Err(Diagnostic::new(Kind::Missing, format!("no {OWN}"))
            .at(Place::file(run))
            .expected("the folder of a run, of which at least one part has begun to compute")
            .remedy(format!("`vstar status {}` says what became of its parts", run.display()))
            .into());
    }
    Experiment::read(&own)
}

/// Merges a loaded run.
///
/// # Errors
/// [`Kind::Missing`] if parts are missing, after naming them; errors of the merge.
pub fn complete(loaded: &Loaded, bars: &mut Bars) -> Result<Outcome> {
    match loaded.merge(bars)? {
        Merged::Done(outcome) => Ok(*outcome),
        Merged::Not(incomplete) => Err(refused(&incomplete, &loaded.experiment.out)),
    }
}

fn refused(incomplete: &Incomplete, out: &Path) -> crate::error::Error {
    for (part, why) in incomplete.parts.iter().take(NAMED) {
        eprintln!("part {part}: {why}");
    }
    if let Some(more) = incomplete.parts.len().checked_sub(NAMED).filter(|more| *more > 0) {
        eprintln!("and {more} more");
    }
    let numbers: Vec<usize> = incomplete.parts.keys().copied().collect();
    let (experiment, here) = (out.join(OWN), format!("vstar run {}", out.join(OWN).display()));
    let found = format!("{} of {} shards", incomplete.shards - incomplete.lacking, incomplete.shards);
    let diagnostic = Diagnostic::new(Kind::Missing, "the run is not complete; nothing is written");
    let diagnostic =
        diagnostic.at(Place::file(out)).expected("every shard, with the hash that it was written with");
    if numbers.is_empty() {
        return diagnostic
            .found(format!("{found}, and no record of parts"))
            .remedy(format!("`{here}` computes what is missing"))
            .into();
    }
    let list = array_expression(&numbers);
    diagnostic
        .found(format!("{found}; not complete of {} parts: {list}", incomplete.of))
        .remedy(format!(
            "do these parts again (`--array={list}`, or `vstar run {} --shard I/{}`), or compute the rest here: `{here}`",
            experiment.display(),
            incomplete.of
        ))
        .into()
}
