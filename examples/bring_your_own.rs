//! Activations captured elsewhere, with labels and a judge's log-odds: from arrays to estimates, without a file.
//!
//! Here the arrays are made up, so that the truth is known: S is the first of 16 dimensions plus noise of half its variance
//! (ρ² = 2/3), and the judge rewards that dimension and another one alike (cos = .71).

#![allow(clippy::print_stdout)]

use ndarray::Array3;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use vstar::prelude::*;

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let (prompts, responses, width) = (400, 4, 16);
    let rows = prompts * responses;
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };

    // [rows, layers, width]: yours come from hooks, pooled over the response's tokens.
    let resid = Array3::from_shape_simple_fn((rows, 1, width), || normal() as f32);
    let h = |row: usize, j: usize| f64::from(resid[[row, 0, j]]);
    let label: Vec<f64> = (0..rows).map(|row| h(row, 0) + 0.5f64.sqrt() * normal()).collect();
    let reward: Vec<f64> = (0..rows).map(|row| h(row, 0) + h(row, 1)).collect();

    // Neighbouring responses to a prompt in both orders: log-odds for the one that is named first.
    let of_prompt = |p: usize| (p * responses..(p + 1) * responses - 1).map(|row| [row, row + 1]);
    let pairs: Vec<[usize; 2]> = (0..prompts).flat_map(of_prompt).collect();
    let bias = 0.3;
    let ab: Vec<f64> = pairs.iter().map(|[a, b]| reward[*a] - reward[*b] + bias).collect();
    let ba: Vec<f64> = pairs.iter().map(|[a, b]| reward[*b] - reward[*a] + bias).collect();

    let columns = Columns {
        prompt: Some((0..rows).map(|row| (row / responses) as i32).collect()),
        values: [("kindness".to_owned(), label)].into(),
        judgments: [("be kind".to_owned(), Judgments { pairs, ab, ba: Some(ba) })].into(),
        ..Columns::default()
    };
    let observations = Observations::new(Meta::new(vec![Layer(12)]), columns, resid)?;
    let analysis = vstar::fit::estimates(&observations, &FitSettings::default(), 0)?;

    let rho2 = analysis.get(Quantity::Rho2, Some("kindness"), None).ok_or("no ρ²")?;
    let cos = analysis.get(Quantity::Alignment, Some("kindness"), Some("be kind")).ok_or("no alignment")?;
    for (what, e, truth) in [("ρ²", rho2, 2.0 / 3.0), ("⟨v_c, v*⟩", cos, 0.5f64.sqrt())] {
        let (Some(x), Some(lo), Some(hi)) = (e.estimate, e.lo, e.hi) else {
            return Err(format!("{what}: {:?}", e.warnings).into());
        };
        println!("{what} = {x:.3} [{lo:.3}, {hi:.3}], planted {truth:.3}");
        if !(lo - 0.05..=hi + 0.05).contains(&truth) {
            return Err(format!("{what} is far from what was planted").into());
        }
    }
    Ok(())
}
