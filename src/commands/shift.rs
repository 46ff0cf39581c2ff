//! `vstar shift`: measures how the residual stream moved between two checkpoints on the same rows, layer by layer.

use super::terminal::out::result;
use crate::artifact;
use crate::error::{Diagnostic, Kind, Result};
use crate::fit::folder::read_directions;
use crate::fit::named::Named;
use crate::fit::rows::RunRows;
use crate::report::export::Directions;
use crate::steer::shift::{Shift, shift as of_layer, turned};
use crate::units::Layer;
use clap::Args;
use std::path::Path;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ShiftArgs {
    /// Folder (or observations file) of the first checkpoint
    #[arg(value_name = "RUN_A")]
    pub first: PathBuf,
    /// Folder (or observations file) of the second, captured on the same data
    #[arg(value_name = "RUN_B")]
    pub second: PathBuf,
    /// Further directions to compare with the shift, in addition to those of RUN_A
    #[arg(long, num_args = 1.., value_name = "FILE:NAME[@LAYER]")]
    pub direction: Vec<String>,
    /// Constitution whose rows are compared [default: none, or the first with rows]
    #[arg(long)]
    pub reference: Option<String>,
    /// Folder for shift.json and shift.md
    #[arg(long, default_value = "shift")]
    pub out: PathBuf,
}

/// Compares the checkpoints, writes the results and prints them.
pub fn shift(args: &ShiftArgs) -> Result<()> {
    let found = shift_into(&args.first, &args.second, &args.direction, args.reference.as_deref(), &args.out)?;
    result(|| serde_json::to_value(&found).expect("plain data serialises"));
    println!("{}", found.page().to_terminal());
    println!("findings in {}", args.out.join("shift.md").display());
    Ok(())
}

/// The directions at a layer, without those that could not be fitted, which are stored as zeros.
fn at(directions: &Directions, layer: Layer, width: usize) -> Vec<(String, Vec<f64>)> {
    let of = |(name, array): (&String, &Vec<f32>)| {
        let v: Vec<f64> = directions.at(array, layer)?.iter().map(|&v| f64::from(v)).collect();
        (directions.width == width && v.iter().any(|v| *v != 0.0)).then(|| (name.clone(), v))
    };
    directions.arrays.iter().filter_map(of).collect()
}

/// Compares two runs and writes `shift.json` and `shift.md` into `out`. The shift is compared with the directions of
/// the first run and the given ones (`FILE:NAME[@LAYER]`).
///
/// # Errors
/// [`Kind::RunConflict`] for runs of different rows, layers or width; errors of reading them.
pub fn shift_into(
    a: &Path,
    b: &Path,
    named: &[String],
    reference: Option<&str>,
    out: &Path,
) -> Result<Shift> {
    let (first, second) = (RunRows::open(a, reference)?, RunRows::open(b, reference)?);
    first.same_rows(&second)?;
    let (x, y) = (&first.observations, &second.observations);
    if x.hidden_size() != y.hidden_size() {
        return Err(Diagnostic::new(Kind::RunConflict, "the residual streams have different widths")
            .expected(format!("{} in both", x.hidden_size()))
            .found(y.hidden_size().to_string())
            .remedy("a shift compares two checkpoints of one architecture")
            .into());
    }
    let layers: Vec<_> = x.layers().iter().copied().filter(|l| y.layers().contains(l)).collect();
    if layers.is_empty() {
        return Err(Diagnostic::new(Kind::RunConflict, "the runs share no layer").into());
    }
    let mut warnings = Vec::new();
    if layers.len() < x.layers().len().max(y.layers().len()) {
        warnings.push("only layers that both runs hold are compared".to_owned());
    }
    let named = named.iter().map(|spec| Named::read(spec)).collect::<Result<Vec<_>>>()?;
    let mut read = |run: &Path, without: &str| match read_directions(run) {
        Ok(directions) => Ok(Some(directions)),
        Err(e) if e.kind() == Some(Kind::Missing) => {
            warnings.push(format!("{}: no directions, so {without}", run.display()));
            Ok(None)
        }
        Err(e) => Err(e),
    };
    let own = read(a, "none of its own are held against the shift")?;
    let theirs = read(b, "none are compared with those of the first")?;
    let block = first.blocks();
    let mut found = Vec::new();
    for &layer in &layers {
        let stored = own.as_ref().map_or_else(Vec::new, |d| at(d, layer, x.hidden_size()));
        let tuned = theirs.as_ref().map_or_else(Vec::new, |d| at(d, layer, x.hidden_size()));
        let mut directions = stored.clone();
        for direction in &named {
            directions.push((direction.spec.clone(), direction.at(layer)?));
        }
        let h = x.selected_layer(layer, &first.selection)?;
        let moved = y.selected_layer(layer, &second.selection)?;
        let mut layer = of_layer(layer, h.view(), moved.view(), &block, &directions)?;
        layer.turned = turned(h.view(), &stored, &tuned);
        found.push(layer);
    }
    let distinct: std::collections::BTreeSet<i32> = block.iter().copied().collect();
    let report = Shift {
        format: "vstar-shift/1",
        runs: [a, b].map(|p| p.display().to_string()),
        models: [first.model(), second.model()],
        rows: first.selection.len(),
        blocks: distinct.len(),
        width: x.hidden_size(),
        layers: found,
        warnings,
    };
    let json = serde_json::to_string_pretty(&report).expect("plain data serialises") + "\n";
    artifact::write_bytes(&out.join("shift.json"), json.as_bytes())?;
    artifact::write_bytes(&out.join("shift.md"), report.page().to_markdown().as_bytes())?;
    Ok(report)
}
