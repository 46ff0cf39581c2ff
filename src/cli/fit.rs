//! `vstar fit`.

use std::path::PathBuf;

use clap::Args;

use super::args::layer;
use crate::batch::fit::{FitOptions, fit_into};
use crate::error::Result;
use crate::report::terminal;

#[derive(Debug, Args)]
pub struct FitArgs {
    /// Observations: a file as `vstar capture` writes it
    #[arg(long)]
    pub observations: PathBuf,
    /// Layer to report, or `auto`
    #[arg(long, default_value = "auto")]
    pub layer: String,
    /// Only this value; may be given several times
    #[arg(long)]
    pub value: Vec<String>,
    /// Constitution whose rows give h [default: none, or the first with rows]
    #[arg(long)]
    pub reference: Option<String>,
    /// Constitutions of the placebo arm, where the file does not say
    #[arg(long)]
    pub placebo: Vec<String>,
    /// Folder for the report
    #[arg(long)]
    pub out: PathBuf,
}

/// Fits, writes the report, prints its summary.
pub fn fit(args: &FitArgs) -> Result<()> {
    let report = fit_into(&FitOptions {
        observations: args.observations.clone(),
        layer: layer(&args.layer)?,
        values: args.value.clone(),
        reference: args.reference.clone(),
        placebo: args.placebo.clone(),
        out: args.out.clone(),
        constitutions: Vec::new(),
        skipped: Vec::new(),
        skipped_pairs: Vec::new(),
        manifest: None,
    })?;
    println!("{}", terminal(&report));
    println!("report in {}", args.out.join("report.md").display());
    Ok(())
}
