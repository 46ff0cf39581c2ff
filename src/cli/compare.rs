//! `vstar compare`.

use std::path::PathBuf;

use clap::Args;

use crate::batch::compare::compare_into;
use crate::error::Result;
use crate::report::compare::to_terminal;

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Folders of finished runs or fits
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Share of value-relevant text that each run's model was trained on, in their order, to hold the gaps against 1 − η
    #[arg(long, value_delimiter = ',', value_name = "ETA,…")]
    pub eta: Option<Vec<f64>>,
    /// Folder for compare.json, compare.md and compare.html [default: the run's for one, ./compare for more]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Write every plot as an SVG file too, into `plots` in that folder
    #[arg(long)]
    pub svg: bool,
}

/// Compares runs, writes the comparison and prints its summary.
pub fn compare(args: &CompareArgs) -> Result<()> {
    let out = match (&args.out, &args.runs[..]) {
        (Some(out), _) => out.clone(),
        (None, [run]) => run.clone(),
        (None, _) => PathBuf::from("compare"),
    };
    let comparison = compare_into(&args.runs, args.eta.clone(), &out, args.svg)?;
    println!("{}", to_terminal(&comparison));
    println!("comparison in {}", out.join("compare.html").display());
    Ok(())
}
