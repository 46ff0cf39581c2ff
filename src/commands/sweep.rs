//! `vstar sweep`: the cells of a sweep one after the other, then their comparison.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::compare::compare_into;
use super::plan;
use super::terminal::bars::Bars;
use super::terminal::numbers::{about, compact};
use super::terminal::out::result;
use crate::config::{Cell, Sweep};
use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::fit::folder::REPORT;
use crate::report::compare::to_terminal;
use crate::run::Loaded;
use crate::run::plan::steps;

#[derive(Debug, Args)]
pub struct SweepArgs {
    /// Sweep: an experiment, a TOML file, with a table [sweep] of what varies: models, data, constitutions, dtype,
    /// quantize; without it, an experiment of one cell
    #[arg(value_name = "SWEEP.toml")]
    pub sweep: PathBuf,
    /// Run one cell only, by its number from 1 or its name, and compare nothing
    #[arg(long, value_name = "K|NAME")]
    pub cell: Option<String>,
    /// Print the plan of every cell; nothing is written
    #[arg(long)]
    pub dry_run: bool,
}

/// Runs or plans the cells of a sweep.
pub fn sweep(args: &SweepArgs) -> Result<()> {
    let sweep = Sweep::read(&args.sweep)?;
    let chosen: Vec<&Cell> = match &args.cell {
        Some(name) => vec![find(&sweep, name, &args.sweep)?],
        None => sweep.cells.iter().collect(),
    };
    println!("{}: {} cells in {}", args.sweep.display(), sweep.cells.len(), sweep.out.display());
    if args.dry_run {
        return plan_all(&chosen);
    }
    let mut failed = Vec::new();
    let mut done = Vec::new();
    for (number, cell) in chosen.iter().enumerate() {
        let out = &cell.experiment.out;
        println!("cell {} of {}: {}", number + 1, chosen.len(), cell.name);
        let state = match one(cell) {
            Ok(true) => "computed",
            Ok(false) => {
                println!("  its report is there: {}", out.join(REPORT).display());
                "there"
            }
            // The next cell would only be interrupted as well.
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(e) => {
                eprintln!("cell {}: {e}", cell.name);
                failed.push(cell.name.clone());
                "failed"
            }
        };
        done.push(json!({"cell": cell.name, "folder": out, "state": state}));
    }
    if !failed.is_empty() {
        return Err(Diagnostic::new(
            Kind::Missing,
            format!("{} of {} cells failed", failed.len(), done.len()),
        )
        .at(Place::file(&args.sweep))
        .found(failed.join(", "))
        .remedy("mend what they name and run the same command again; finished cells are kept")
        .into());
    }
    let folders: Vec<PathBuf> = sweep.cells.iter().map(|c| c.experiment.out.clone()).collect();
    if args.cell.is_some() || folders.len() < 2 {
        result(|| json!({"cells": done}));
        return Ok(());
    }
    let comparison = compare_into(&folders, None, &sweep.out, false)?;
    result(|| json!({"cells": done, "comparison": sweep.out.join("compare.json")}));
    println!("\n{}", to_terminal(&comparison));
    println!("comparison in {}", sweep.out.join("compare.html").display());
    Ok(())
}

/// The cell of a number or a name.
fn find<'s>(sweep: &'s Sweep, wanted: &str, path: &Path) -> Result<&'s Cell> {
    let named = sweep.cells.iter().find(|c| c.name == wanted);
    let numbered = wanted.parse::<usize>().ok().and_then(|n| sweep.cells.get(n.checked_sub(1)?));
    named.or(numbered).ok_or_else(|| {
        let names: Vec<&str> = sweep.cells.iter().map(|c| c.name.as_str()).collect();
        Diagnostic::new(Kind::Invalid, format!("the sweep has no cell `{wanted}`"))
            .at(Place::file(path))
            .expected(format!("a number from 1 to {}, or one of {}", names.len(), names.join(", ")))
            .into()
    })
}

/// Runs a cell; false if its report is there already, of the same inputs and settings.
fn one(cell: &Cell) -> Result<bool> {
    let out = &cell.experiment.out;
    let loaded = Loaded::of(cell.experiment.clone(), &mut Bars::new())?;
    if loaded.is_reported() {
        return Ok(false);
    }
    loaded.warnings.iter().for_each(|warning| println!("warning: {warning}"));
    loaded.run(&mut Bars::new())?;
    println!("  report in {}", out.join("report.html").display());
    Ok(true)
}

fn plan_all(cells: &[&Cell]) -> Result<()> {
    let (mut all, mut seconds, mut naive, mut packed, mut bytes) = (Vec::new(), 0.0, 0, 0, 0);
    for cell in cells {
        let loaded = Loaded::of(cell.experiment.clone(), &mut Bars::new())?;
        println!("\ncell {}: {}", cell.name, cell.experiment.out.display());
        loaded.warnings.iter().for_each(|warning| println!("warning: {warning}"));
        let steps = steps(&loaded, &mut Bars::new())?;
        plan::show(&steps, loaded.judges.implicit());
        for step in &steps {
            seconds += step.seconds;
            naive += step.naive_tokens;
            packed += step.packed_tokens;
            bytes += step.bytes;
        }
        all.push(json!({"cell": cell.name, "folder": cell.experiment.out, "steps": steps}));
    }
    println!(
        "\nthe sweep: {} tokens, {} of them computed, {} one after the other on this machine, {}B of disk",
        compact(naive as f64),
        compact(packed as f64),
        about(seconds),
        compact(bytes as f64)
    );
    result(|| json!({"cells": all}));
    Ok(())
}
