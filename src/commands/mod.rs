//! The command line. The only module that prints.

#[macro_use]
mod terminal;

mod args;
mod bench;
mod capture;
mod check;
mod compare;
mod completions;
mod constitutions;
mod direction;
mod drift;
mod explain;
mod export;
mod fit;
mod formats;
mod jobs;
mod judges;
mod label;
mod merge;
mod models;
mod organism;
mod plan;
mod preview;
mod run;
mod sample;
mod shift;
mod simulate;
mod status;
mod steer;
mod sweep;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::error::{Diagnostic, Error, Kind, Result};

/// Does a language model encode a value, does a constitution activate it, and would training on the
/// model's own judgments make it better or worse?
#[derive(Debug, Parser)]
#[command(name = "vstar", version)]
pub struct Cli {
    /// Show no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// Print the result as one JSON value to standard output, and messages to standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// Command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// Commands of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Capture, judge and fit a model as specified by flags or an experiment file, and write the report
    Run(Box<run::RunArgs>),
    /// Verify the parts of a run (`vstar run --shard I/N`), fit, and write the report
    Merge(merge::MergeArgs),
    /// What is done, running, failed and missing of a run in parts
    Status(status::StatusArgs),
    /// Run an experiment for every combination of models, data, constitutions, dtype and quantization, and compare them
    Sweep(sweep::SweepArgs),
    /// Write sbatch scripts for a sweep: an array of parts and a merge for each cell, and the comparison
    Slurm(jobs::SlurmArgs),
    /// Write Kubernetes manifests for a sweep: an Indexed Job of parts and a merge for each cell
    K8s(jobs::K8sArgs),
    /// Read residual streams and log-probabilities of responses, with and without constitutions
    Capture(args::CaptureArgs),
    /// Ask the model to choose between responses under each constitution, in both orders
    Judge(args::JudgeArgs),
    /// Fit directions and estimates to observations, and write the report
    Fit(fit::FitArgs),
    /// Compare constitutions by their directions, and runs side by side
    Compare(compare::CompareArgs),
    /// Write the directions or the plots of a run for other programs
    Export(export::ExportArgs),
    /// Sample responses to prompts from a model, as items with their log P
    Sample(Box<sample::SampleArgs>),
    /// Label responses by a model's judgments under a constitution
    Label(Box<label::LabelArgs>),
    /// Compare the replies of a model before and after training: every score of them, and how far the policies diverge
    Verify(Box<verify::VerifyArgs>),
    /// Show items as the model will read them, without computing anything
    Preview(preview::PreviewArgs),
    /// Intervene along a direction and measure the effect on better and worse responses
    Steer(Box<steer::SteerArgs>),
    /// Measure how the residual stream moved from one checkpoint to another on the same rows
    Shift(shift::ShiftArgs),
    /// Measure whether directions stay the same over a series of checkpoints
    Drift(drift::DriftArgs),
    /// Compute the difference-in-means direction between two sets of prompts, at every layer
    Direction(direction::DirectionArgs),
    /// Write observations with planted truth, or count coverage and verdicts over seeds
    Simulate(simulate::SimulateArgs),
    /// Check whether a model's numbers are reliable on this machine
    Check(check::CheckArgs),
    /// Measure the capture speed of this machine on a synthetic model of a given shape
    Bench(bench::BenchArgs),
    /// Build, train, sample and score the known-answer model
    Organism(organism::OrganismArgs),
    /// Explain a quantity of the report: formula, assumptions, source
    Explain(explain::ExplainArgs),
    /// List the supported and refused model families, and what is computed for each
    Models,
    /// List the built-in constitutions, or print one
    Constitutions(constitutions::ConstitutionsArgs),
    /// List the built-in judge templates, or print one
    Judges(judges::JudgesArgs),
    /// List the formats of items, each with a row to copy
    Formats,
    /// Print the completions of a shell
    Completions(completions::CompletionsArgs),
    /// Print the manual page
    #[command(hide = true)]
    Man,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.quiet {
        terminal::bars::be_quiet();
    }
    if cli.json {
        terminal::out::give_json();
    }
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_env("VSTAR_LOG").unwrap_or_else(|_| EnvFilter::new("vstar=warn")),
        )
        .with_writer(std::io::stderr)
        .event_format(terminal::log::Lines)
        .init();
    outlive_file_limits();
    match speaks_json(&cli).and_then(|()| dispatch(cli.command)) {
        Ok(()) => match terminal::out::failure() {
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

/// Registers a handler for SIGXFSZ: a file that grows beyond `ulimit -f` would otherwise end the process; with it,
/// the write returns an error that says what to do.
fn outlive_file_limits() {
    #[cfg(unix)]
    {
        let heard = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        // If the handler cannot be registered, the signal ends the process as usual.
        let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, heard);
    }
}

/// Errors on `--json` for commands without a JSON result.
fn speaks_json(cli: &Cli) -> Result<()> {
    let without = match &cli.command {
        Command::Completions(_) => "completions",
        Command::Man => "man",
        Command::Organism(_) => "organism",
        _ => return Ok(()),
    };
    if !cli.json {
        return Ok(());
    }
    Err(Diagnostic::new(Kind::Unsupported, format!("`vstar {without}` with --json"))
        .expected("a command whose result is data")
        .remedy("leave --json out")
        .into())
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::Capture(args) => capture::capture(&args),
        Command::Judge(args) => capture::judge(&args),
        Command::Fit(args) => fit::fit(&args),
        Command::Constitutions(args) => constitutions::constitutions(&args),
        Command::Judges(args) => judges::judges(&args),
        Command::Man => completions::man(),
        Command::Formats => {
            formats::formats();
            Ok(())
        }
        Command::Completions(args) => {
            completions::completions(&args);
            Ok(())
        }
        Command::Compare(args) => compare::compare(&args),
        Command::Export(args) => export::export(&args),
        Command::Run(args) => run::run(&args),
        Command::Sample(args) => sample::sample(&args),
        Command::Verify(args) => verify::verify(&args),
        Command::Label(args) => label::label(&args),
        Command::Merge(args) => merge::merge(&args),
        Command::Sweep(args) => sweep::sweep(&args),
        Command::Slurm(args) => jobs::slurm(&args),
        Command::K8s(args) => jobs::k8s(&args),
        Command::Status(args) => status::status(&args),
        Command::Preview(args) => preview::preview(&args),
        Command::Shift(args) => shift::shift(&args),
        Command::Drift(args) => drift::drift(&args),
        Command::Direction(args) => direction::direction(&args),
        Command::Steer(args) => steer::steer(*args),
        Command::Simulate(args) => simulate::simulate(&args),
        Command::Check(args) => check::check(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Organism(args) => organism::organism(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Models => {
            models::models();
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
