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
    /// Folder for compare.json and compare.md [default: the run's for one, ./compare for more]
    #[arg(long)]
    pub out: Option<PathBuf>,
}

/// Compares runs, writes the comparison and prints its summary.
pub fn compare(args: &CompareArgs) -> Result<()> {
    let out = match (&args.out, &args.runs[..]) {
        (Some(out), _) => out.clone(),
        (None, [run]) => run.clone(),
        (None, _) => PathBuf::from("compare"),
    };
    let comparison = compare_into(&args.runs, &out)?;
    println!("{}", to_terminal(&comparison));
    println!("comparison in {}", out.join("compare.md").display());
    Ok(())
}
