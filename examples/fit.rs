//! Fits observations and prints, for every value and constitution, ⟨v_c, v*⟩ and what training would do to first order.
//!
//! usage: `fit OBSERVATIONS.safetensors`

#![allow(clippy::print_stdout)]

use std::path::Path;

use vstar::prelude::*;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).ok_or("usage: fit OBSERVATIONS.safetensors")?;
    let observations = Observations::open(Path::new(&file))?;
    let analysis = vstar::fit::estimates(&observations, &FitSettings::default(), 0)?;
    let columns = observations.columns();
    println!("layer {}", analysis.layer);
    for value in columns.values.keys() {
        println!("{value}: ρ² {}", shown(analysis.get(Quantity::Rho2, Some(value), None)));
        for constitution in columns.judgments.keys() {
            let of = |quantity| shown(analysis.get(quantity, Some(value), Some(constitution)));
            println!(
                "  {constitution}: ⟨v_c, v*⟩ {}, slope {}",
                of(Quantity::Alignment),
                of(Quantity::TotalSlope)
            );
        }
    }
    Ok(())
}

/// The estimate with its interval, or why it may not be quoted.
fn shown(estimate: Option<&Estimate>) -> String {
    match estimate {
        None => "not measured".to_owned(),
        Some(e) if !e.reportable => e.warnings.first().cloned().unwrap_or_else(|| "withheld".to_owned()),
        Some(e) => match (e.estimate, e.lo, e.hi) {
            (Some(x), Some(lo), Some(hi)) => format!("{x:.2} [{lo:.2}, {hi:.2}]"),
            (Some(x), Some(lo), None) => format!("{x:.2} [≥ {lo:.2}]"),
            (x, ..) => format!("{x:?}"),
        },
    }
}
