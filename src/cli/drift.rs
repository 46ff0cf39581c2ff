//! `vstar drift`.

use std::path::PathBuf;

use clap::Args;

use crate::batch::drift::drift_into;
use crate::error::Result;

#[derive(Debug, Args)]
pub struct DriftArgs {
    /// Folders of finished runs on the same data, one a checkpoint, in order
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Layer of every run [default: the one that each reported]
    #[arg(long)]
    pub layer: Option<usize>,
    /// Constitution whose rows give h [default: none, or the first with rows]
    #[arg(long)]
    pub reference: Option<String>,
    /// Folder for drift.json and drift.md
    #[arg(long, default_value = "drift")]
    pub out: PathBuf,
}

/// Compares, writes the findings and prints them.
pub fn drift(args: &DriftArgs) -> Result<()> {
    let found = drift_into(&args.runs, args.layer, args.reference.as_deref(), &args.out)?;
    println!("{}", found.page().to_terminal());
    println!("findings in {}", args.out.join("drift.md").display());
    Ok(())
}
