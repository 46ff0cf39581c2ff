//! Adds v* to the residual stream and prints what that does to the log-probability of better and worse responses.
//!
//! v* is fitted on the same responses first. usage: `steer MODEL ITEMS VALUE LAYER`, such as
//! `cargo run --release --example steer -- embedded:hearth-xs embedded:hearth helpful 2`

#![allow(clippy::print_stdout)]

use vstar::error::Place;
use vstar::forest::{self, Request};
use vstar::model::decoder::{At, Intervention, Steering};
use vstar::prelude::*;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, items, value, layer] = &args[..] else {
        return Err("usage: steer MODEL ITEMS VALUE LAYER".into());
    };
    let layer = Layer(layer.parse()?);
    let mut options = CaptureOptions::new(ModelSettings::new(model)?, [items], Vec::new());
    options.data.read.limit = Some(60);
    options.capture.layers = LayerList::These(vec![layer]);
    let prepared = Prepared::new(&options)?;
    let observations = prepared.observe(&Judges::default(), &mut Silent)?;
    let analysis = vstar::fit::estimates(&observations, &FitSettings::default(), 0)?;
    let v = &analysis.directions.get(&format!("v_star.{value}")).ok_or("no such value")?[0];

    let label = observations.columns().values.get(value).ok_or("no such value")?;
    let h = observations.layer(layer)?;
    let rms = (h.iter().map(|x| f64::from(x * x)).sum::<f64>() / h.nrows() as f64).sqrt();
    let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
    let requests: Vec<Request> = prepared.job()?.rows.into_iter().map(|row| row.request).collect();
    let logprob = |steering: Steering| -> Result<Vec<f64>> {
        let settings = forest::Settings { steering, ..prepared.settings.clone() };
        let read =
            forest::run(&prepared.model.decoder, &requests, &settings, &|_| Place::default(), &mut |_| {
                Ok(())
            })?;
        Ok(read.iter().map(|r| r.logprob).collect())
    };
    let before = logprob(Steering::default())?;
    for alpha in [-0.3, 0.3] {
        let add = Intervention::add(layer, v, alpha * rms / length, At::Everywhere)?;
        let after = logprob(Steering::new(vec![add]))?;
        let change = |better: bool| {
            let of = |row: &usize| label[*row].is_finite() && (label[*row] > 0.0) == better;
            let rows: Vec<usize> = (0..label.len()).filter(of).collect();
            rows.iter().map(|&row| after[row] - before[row]).sum::<f64>() / rows.len().max(1) as f64
        };
        println!(
            "{alpha:+.1} RMS along v*.{value}: log P changes by {:+.2} nats (label above 0) and {:+.2} (below)",
            change(true),
            change(false)
        );
    }
    Ok(())
}
