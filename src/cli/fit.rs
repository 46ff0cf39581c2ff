//! `vstar fit`.

use super::args::{FitArgs, layer};
use crate::batch::fit::{FitOptions, fit_into};
use crate::error::Result;
use crate::report::terminal;

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
