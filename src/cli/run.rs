//! `vstar run`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::bars::Bars;
use super::capture::{describe, list_skipped};
use crate::batch::plan::{Step, steps};
use crate::batch::quick;
use crate::batch::run::Loaded;
use crate::error::Result;
use crate::report::terminal;

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The experiment, a TOML file [default: the quick start, on the known-answer model that the program carries]
    pub experiment: Option<PathBuf>,
    /// Check everything and print the plan: sequences, tokens, memory, time from a short sample; nothing is written
    #[arg(long)]
    pub dry_run: bool,
}

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
        plan(&steps(&loaded)?);
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

fn plan(steps: &[Step]) {
    println!("{:<18} {:>10} {:>14} {:>14} {:>10}", "step", "sequences", "tokens", "computed", "time");
    for step in steps {
        let count = |n: usize| if step.sequences > 0 { n.to_string() } else { String::new() };
        println!(
            "{:<18} {:>10} {:>14} {:>14} {:>10}",
            step.name,
            count(step.sequences),
            count(step.naive_tokens),
            count(step.packed_tokens),
            duration(step.seconds)
        );
    }
    let total: f64 = steps.iter().map(|s| s.seconds).sum();
    println!("about {} in all, from short samples on this machine as it is loaded now", duration(total));
}

/// `12 s`, `3 min`, `2.5 h`.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => "< 1 s".to_owned(),
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}
