//! Captures responses under constitutions and asks the judge, all in memory, and writes the observations.
//!
//! usage: `capture MODEL ITEMS CONSTITUTIONS OUT.safetensors`, such as
//! `cargo run --release --example capture -- embedded:hearth-xs embedded:hearth embedded:hearth mine.safetensors`

#![allow(clippy::print_stdout)]

use std::path::Path;

use vstar::prelude::*;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, items, constitutions, out] = &args[..] else {
        return Err("usage: capture MODEL ITEMS CONSTITUTIONS OUT.safetensors".into());
    };
    let constitutions = read_constitutions(&[constitutions.into()])?;
    let mut options = CaptureOptions::new(ModelSettings::new(model)?, [items], constitutions);
    options.data.read.limit = Some(60);
    let prepared = Prepared::new(&options)?;
    let judges = Judges::new(&JudgeSettings::default(), &prepared)?;
    let observations = prepared.observe(&judges, &mut Silent)?;
    observations.write(Path::new(out))?;
    println!(
        "{} rows of {} layers × {} dimensions in {out}",
        observations.rows(),
        observations.layers().len(),
        observations.hidden_size()
    );
    Ok(())
}
