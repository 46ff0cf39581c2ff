//! `vstar fit`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};

use super::args::layer;
use super::terminal::memory::{mebibytes, peak_resident};
use super::terminal::out::result;
use crate::config::FitSettings;
use crate::fit::{FitOptions, fit_into, fit_memory};
use crate::report::{Report, brief, terminal, to_json};
use crate::theory::LayerChoice;

#[derive(Debug, Args)]
pub struct FitArgs {
    /// Observations: a file written by `vstar capture`
    #[arg(long)]
    pub observations: PathBuf,
    /// Layer to report, or `auto`
    #[arg(long, default_value = "auto", value_parser = layer)]
    pub layer: LayerChoice,
    /// Only this value; may be given several times
    #[arg(long)]
    pub value: Vec<String>,
    /// Constitution whose rows give h [default: none, or the first with rows]
    #[arg(long)]
    pub reference: Option<String>,
    /// Constitutions of the placebo arm, if the file does not mark them
    #[arg(long)]
    pub placebo: Vec<String>,
    /// A constitution to average into the ensemble; may be given several times [default: all outside the placebo arm]
    #[arg(long)]
    pub ensemble: Vec<String>,
    /// Weight of a value in weighted aggregates; may be given several times [default: 1 each]
    #[arg(long, value_name = "VALUE=WEIGHT", value_parser = weight)]
    pub weight: Vec<(String, f64)>,
    /// Seed of the random directions and draws used as references for estimates
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Folder for the report
    #[arg(long)]
    pub out: PathBuf,
}

/// `VALUE=WEIGHT`.
fn weight(text: &str) -> Result<(String, f64), String> {
    let (name, weight) = text.rsplit_once('=').ok_or("expected VALUE=WEIGHT")?;
    let weight: f64 = weight.trim().parse().map_err(|_| format!("`{weight}` is not a number"))?;
    if weight > 0.0 && weight.is_finite() {
        Ok((name.trim().to_owned(), weight))
    } else {
        Err("expected a number above 0".into())
    }
}

/// The report without estimates and tables, which are in the file: findings in words, verdicts, provenance, warnings.
pub fn summary(report: &Report, out: &Path) -> Value {
    let page = brief(report);
    // Its own writer made it.
    let text = to_json(report).unwrap_or_default();
    let mut all: Value = serde_json::from_str(&text).unwrap_or_default();
    if let Some(all) = all.as_object_mut() {
        all.shift_remove("estimates");
        all.shift_remove("tables");
        all.insert("finding".into(), json!(page.title));
        all.insert("sentences".into(), json!(page.lead));
        all.insert("folder".into(), json!(out));
    }
    all
}

/// Fits, writes the report, prints its summary.
pub fn fit(args: &FitArgs) -> crate::error::Result<()> {
    let begun = Instant::now();
    crate::run::joined::fits_into(&args.observations, &args.out)?;
    let need = fit_memory(&args.observations, args.reference.as_deref())?;
    println!(
        "{} rows of width {}: a factorisation takes about {}",
        need.rows,
        need.width,
        mebibytes(need.bytes)
    );
    let report = fit_into(&FitOptions {
        observations: args.observations.clone(),
        settings: FitSettings {
            layer: args.layer.fixed(),
            values: args.value.clone(),
            reference: args.reference.clone(),
            ensemble: args.ensemble.clone(),
            weights: args.weight.iter().cloned().collect(),
        },
        placebo: args.placebo.clone(),
        seed: args.seed,
        out: args.out.clone(),
        constitutions: Vec::new(),
        skipped: Vec::new(),
        skipped_pairs: Vec::new(),
        manifest: None,
    })?;
    result(|| summary(&report, &args.out));
    println!("{}", terminal(&report));
    let peak = peak_resident().map_or_else(String::new, |b| format!(", {} at the peak", mebibytes(b)));
    println!(
        "report in {} ({:.1} s{peak})",
        args.out.join("report.md").display(),
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}
