//! `vstar run`.

use std::path::Path;

use super::args::RunArgs;
use super::bars::Bars;
use super::capture::{describe, list_skipped};
use crate::batch::quick;
use crate::batch::run::Loaded;
use crate::error::Result;
use crate::report::terminal;

/// Runs an experiment from start to report, or prints its plan.
pub fn run(args: &RunArgs) -> Result<()> {
    let experiment = match &args.experiment {
        Some(path) => path.clone(),
        None => {
            let path = quick::unpack(Path::new(quick::FOLDER))?;
            println!("no experiment given: the quick start, which is now in {}", path.display());
            path
        }
    };
    let loaded = Loaded::read(&experiment, &mut Bars::new())?;
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
