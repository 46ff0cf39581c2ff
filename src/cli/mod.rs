//! The command line: arguments in, text out; the only module that prints.

#[macro_use]
mod out;

mod args;
mod bars;
mod bench;
mod capture;
mod check;
mod compare;
mod direction;
mod drift;
mod explain;
mod export;
mod fit;
mod memory;
mod meter;
mod models;
mod numbers;
mod organism;
mod plan;
mod preview;
mod run;
mod shift;
mod simulate;
mod steer;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::error::{Error, Result};
use args::{Cli, Command};

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.quiet {
        bars::be_quiet();
    }
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_env("VSTAR_LOG").unwrap_or_else(|_| EnvFilter::new("vstar=warn")),
        )
        .with_writer(std::io::stderr)
        .init();
    match dispatch(cli.command) {
        Ok(()) => match out::failure() {
            None => ExitCode::SUCCESS,
            Some(why) => {
                eprintln!("error: cannot write to standard output: {why}; all files are written");
                ExitCode::FAILURE
            }
        },
        Err(Error::Interrupted) => {
            eprintln!("{}", Error::Interrupted);
            ExitCode::from(130)
        }
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Capture(args) => capture::capture(&args),
        Command::Judge(args) => capture::judge(&args),
        Command::Fit(args) => fit::fit(&args),
        Command::Compare(args) => compare::compare(&args),
        Command::Export(args) => export::export(&args),
        Command::Run(args) => run::run(&args),
        Command::Preview(args) => preview::preview(&args),
        Command::Shift(args) => shift::shift(&args),
        Command::Drift(args) => drift::drift(&args),
        Command::Direction(args) => direction::direction(&args),
        Command::Steer(args) => steer::steer(*args),
        Command::Simulate(args) => simulate::simulate(&args),
        Command::Check(args) => check::check(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Organism(args) => organism::organism(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Models => {
            models::models();
            Ok(())
        }
    }
}
