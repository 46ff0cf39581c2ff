//! Two checkpoints on the same rows: how the residual stream moved, layer by layer.

use std::path::Path;

use super::export::read_directions;
use super::named::Named;
use super::rows::Read;
use crate::artifact;
use crate::error::{Kind, Refusal, Result};
use crate::steer::shift::{Shift, shift};

/// Compares two runs and writes `shift.json` and `shift.md` into `out`. The directions of the first run and those
/// named (`FILE:NAME[@LAYER]`) are held against the shift.
///
/// # Errors
/// [`Kind::RunConflict`] for runs of different rows, layers or width; what reading them refuses.
pub fn shift_into(
    a: &Path,
    b: &Path,
    named: &[String],
    reference: Option<&str>,
    out: &Path,
) -> Result<Shift> {
    let (first, second) = (Read::open(a, reference)?, Read::open(b, reference)?);
    first.same_rows(&second)?;
    let (x, y) = (&first.observations, &second.observations);
    if x.hidden_size() != y.hidden_size() {
        return Err(Refusal::new(Kind::RunConflict, "the residual streams have different widths")
            .expected(format!("{} in both", x.hidden_size()))
            .found(y.hidden_size().to_string())
            .remedy("a shift compares two checkpoints of one architecture")
            .into());
    }
    let layers: Vec<_> = x.layers().iter().copied().filter(|l| y.layers().contains(l)).collect();
    if layers.is_empty() {
        return Err(Refusal::new(Kind::RunConflict, "the runs share no layer").into());
    }
    let mut warnings = Vec::new();
    if layers.len() < x.layers().len().max(y.layers().len()) {
        warnings.push("only layers that both runs hold are compared".to_owned());
    }
    let named = named.iter().map(|spec| Named::read(spec)).collect::<Result<Vec<_>>>()?;
    let own = match read_directions(a) {
        Ok(directions) => Some(directions),
        Err(e) if e.kind() == Some(Kind::Missing) => {
            warnings.push(format!(
                "{}: no directions, so none of its own are held against the shift",
                a.display()
            ));
            None
        }
        Err(e) => return Err(e),
    };
    let block = first.blocks();
    let mut found = Vec::new();
    for &layer in &layers {
        let mut directions: Vec<(String, Vec<f64>)> = Vec::new();
        for (name, array) in own.iter().flat_map(|o| o.arrays.iter().map(move |a| (o, a))).filter_map(
            |(own, (name, array))| {
                let (_, v) = own.rows(array).find(|(l, _)| *l == layer)?;
                let v: Vec<f64> = v.iter().map(|&v| f64::from(v)).collect();
                // A direction that could not be fitted is stored as zeros.
                (own.width == x.hidden_size() && v.iter().any(|v| *v != 0.0)).then_some((name, v))
            },
        ) {
            directions.push((name.clone(), array));
        }
        for direction in &named {
            directions.push((direction.spec.clone(), direction.at(layer)?));
        }
        let h = x.selected_layer(layer, &first.selection)?;
        let moved = y.selected_layer(layer, &second.selection)?;
        found.push(shift(layer, h.view(), moved.view(), &block, &directions)?);
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
