//! `vstar run`.

use super::args::RunArgs;
use super::bars::Bars;
use super::capture::{describe, list_skipped};
use crate::batch::run::Loaded;
use crate::error::Result;
use crate::report::terminal;

/// Runs an experiment from start to report, or prints its plan.
pub fn run(args: &RunArgs) -> Result<()> {
    let loaded = Loaded::read(&args.experiment, &mut Bars::new())?;
    describe(&loaded.prepared, &loaded.job);
    if args.dry_run {
        println!("out: {}", loaded.experiment.out.display());
        return Ok(());
    }
    let outcome = loaded.run(&mut Bars::new())?;
    for judged in &outcome.judged {
        list_skipped(judged.what(), &judged.skipped);
    }
    println!("\n{}", terminal(&outcome.report));
    println!("report in {}", loaded.experiment.out.join("report.md").display());
    Ok(())
}
