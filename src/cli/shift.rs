//! `vstar shift`.

use std::path::PathBuf;

use clap::Args;

use crate::batch::shift::shift_into;
use crate::error::Result;

#[derive(Debug, Args)]
pub struct ShiftArgs {
    /// Folder (or observations file) of the first checkpoint
    #[arg(value_name = "RUN_A")]
    pub first: PathBuf,
    /// Folder (or observations file) of the second, captured on the same data
    #[arg(value_name = "RUN_B")]
    pub second: PathBuf,
    /// Further directions to hold against the shift, beside those of RUN_A
    #[arg(long, num_args = 1.., value_name = "FILE:NAME[@LAYER]")]
    pub direction: Vec<String>,
    /// Constitution whose rows are compared [default: none, or the first with rows]
    #[arg(long)]
    pub reference: Option<String>,
    /// Folder for shift.json and shift.md
    #[arg(long, default_value = "shift")]
    pub out: PathBuf,
}

/// Compares, writes the findings and prints them.
pub fn shift(args: &ShiftArgs) -> Result<()> {
    let found = shift_into(&args.first, &args.second, &args.direction, args.reference.as_deref(), &args.out)?;
    println!("{}", found.page().to_terminal());
    println!("findings in {}", args.out.join("shift.md").display());
    Ok(())
}
