//! Estimates the duration of a fit on this machine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use faer::Mat;

use crate::error::Result;
use crate::fit::factorisation;
use crate::probe::Spectrum;
use crate::run::loaded::Loaded;

/// Seconds of the factorisations, which dominate the fit: at each layer one for its profile (on half of the contrasts),
/// one for the directions and one with length controlled for w; at the reported layer two more. Their rate is measured
/// on a factorisation of 768 contrasts of 384 dimensions.
pub fn fit_seconds(loaded: &Loaded) -> Result<f64> {
    let contrasts = contrasts(loaded).1;
    let width = loaded.prepared.model.decoder.config().hidden_size;
    let layers = loaded.prepared.settings.layers.len() as f64;
    let profile = if layers > 1.0 { layers * operations(contrasts / 2, width) } else { 0.0 };
    let all = profile + (2.0 * layers + 2.0) * operations(contrasts, width);
    let x = Mat::from_fn(768, 384, |i, j| ((i * 384 + j) as f64 * 12.9898).sin() * 43_758.545_3 % 1.0);
    let began = Instant::now();
    Spectrum::new(&x)?;
    Ok(all / (operations(768, 384) / began.elapsed().as_secs_f64().max(1e-9)))
}

/// Number of responses, and of their contrasts within prompts.
fn contrasts(loaded: &Loaded) -> (usize, usize) {
    let mut prompts: BTreeMap<i32, BTreeSet<(usize, usize)>> = BTreeMap::new();
    let numbers = loaded.prepared.items.prompt_numbers();
    for row in &loaded.job.rows {
        prompts.entry(numbers[row.item]).or_default().insert((row.item, row.response));
    }
    let responses: usize = prompts.values().map(BTreeSet::len).sum();
    (responses, responses - prompts.len())
}

/// Bytes of one factorisation of the fit, as [`fit_memory`](crate::fit::fit_memory) counts them.
pub fn fit_bytes(loaded: &Loaded) -> usize {
    let (rows, contrasts) = contrasts(loaded);
    factorisation(rows, contrasts, loaded.prepared.model.decoder.config().hidden_size)
}

/// Operations of one factorisation of N contrasts of d dimensions, m = min(N, d): N·d·m for half a Gram
/// matrix, 2·N·d·m for the singular vectors, 9·m³ for the eigenvectors.
fn operations(n: usize, d: usize) -> f64 {
    let m = n.min(d) as f64;
    3.0 * n as f64 * d as f64 * m + 9.0 * m * m * m
}
