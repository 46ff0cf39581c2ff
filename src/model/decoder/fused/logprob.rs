//! Log-probabilities in tiles of targets × slices of the vocabulary, with a running log-sum-exp.

use candle_core::Tensor;
use rayon::prelude::*;

use super::panels::PANEL;
use super::product::{View, Weights};
use super::{floats, norm_rows, open, simd};
use crate::error::Result;
use crate::model::decoder::{Decoder, Target};

/// Number of rows computed together.
const TARGETS: usize = 512;

/// Number of vocabulary entries computed together, a multiple of [`PANEL`]: with the rows, 8 MB of logits at a time.
const SLICE: usize = 64 * PANEL;

/// Running log-sum-exp of the logits so far: their maximum, and Σ exp(logit − maximum).
#[derive(Clone, Copy)]
struct Running {
    max: f32,
    sum: f64,
}

impl Running {
    fn take(&mut self, max: f32, sum: f32) {
        let top = self.max.max(max);
        let rescaled = |m: f32, s: f64| if s == 0.0 { 0.0 } else { s * f64::from(m - top).exp() };
        *self = Self { max: top, sum: rescaled(self.max, self.sum) + rescaled(max, f64::from(sum)) };
    }
}

/// Same as [`Decoder::log_probs`]. Reads the vocabulary once, whatever the number of targets.
pub(in crate::model::decoder) fn log_probs(
    decoder: &Decoder,
    x: &Tensor,
    targets: &[Target],
) -> Result<Vec<f64>> {
    let (hidden, vocab) = (decoder.config.hidden_size, decoder.config.vocab_size);
    // Targets after the same token share their logits.
    let mut order: Vec<usize> = (0..targets.len()).collect();
    order.sort_by_key(|&i| targets[i].previous);
    let mut previous: Vec<u32> = order.iter().map(|&i| targets[i].previous as u32).collect();
    previous.dedup();
    if previous.is_empty() {
        return Ok(Vec::new());
    }
    let n = previous.len();
    let rows = floats(&x.index_select(&Tensor::new(previous.as_slice(), x.device())?, 0)?)?;
    let mut normed = vec![0.0; n * hidden];
    norm_rows(&decoder.final_norm, &rows, hidden, &mut normed)?;
    drop(rows);
    // Targets of each row.
    let mut wanted: Vec<Vec<(u32, usize)>> = vec![Vec::new(); n];
    let mut row = 0;
    for &i in &order {
        if targets[i].previous != previous[row] as usize {
            row += 1;
        }
        wanted[row].push((targets[i].token, i));
    }
    let tiles: Vec<_> = (0..n).step_by(TARGETS).map(|from| (from, (from + TARGETS).min(n))).collect();
    let mut running = vec![Running { max: f32::NEG_INFINITY, sum: 0.0 }; n];
    let mut results = vec![0f64; targets.len()];
    let (mut logits, mut packed) = (Vec::new(), Vec::new());
    let head = decoder.head.as_ref().unwrap_or(&decoder.embedding);
    for start in (0..vocab).step_by(SLICE) {
        let width = SLICE.min(vocab - start);
        head.with_rows(start, width, |weight, first| {
            open(weight, (start - first, start - first + width), &mut packed, |w| {
                for &(from, to) in &tiles {
                    let x = View::new(&normed[from * hidden..to * hidden], to - from, hidden, hidden);
                    let (running, wanted) = (&mut running[from..to], &wanted[from..to]);
                    tile(decoder, w, x, start, running, wanted, &mut logits, &mut results);
                }
            })
        })?;
    }
    for (wanted, running) in wanted.iter().zip(&running) {
        for &(_, target) in wanted {
            results[target] -= f64::from(running.max) + running.sum.ln();
        }
    }
    Ok(results)
}

/// Same as [`Decoder::logits`]; the logits of a row do not depend on the other rows.
pub(in crate::model::decoder) fn logits(decoder: &Decoder, x: &Tensor) -> Result<Tensor> {
    let (hidden, vocab) = (decoder.config.hidden_size, decoder.config.vocab_size);
    let n = x.dim(0)?;
    let mut normed = vec![0.0; n * hidden];
    norm_rows(&decoder.final_norm, &floats(x)?, hidden, &mut normed)?;
    let mut out = vec![0f32; n * vocab];
    let mut packed = Vec::new();
    let head = decoder.head.as_ref().unwrap_or(&decoder.embedding);
    for start in (0..vocab).step_by(SLICE) {
        let width = SLICE.min(vocab - start);
        head.with_rows(start, width, |weight, first| {
            open(weight, (start - first, start - first + width), &mut packed, |w| {
                w.times(View::new(&normed, n, hidden, hidden), &mut out[start..], vocab, false);
            })
        })?;
    }
    out.par_chunks_exact_mut(vocab).for_each(|row| shape(decoder, row));
    Ok(Tensor::from_vec(out, (n, vocab), x.device())?)
}

/// Applies the multiplier and the soft cap to logits.
fn shape(decoder: &Decoder, logits: &mut [f32]) {
    let multiplier = decoder.config.logit_multiplier as f32;
    if multiplier != 1.0 {
        logits.iter_mut().for_each(|v| *v *= multiplier);
    }
    if let Some(cap) = decoder.config.logit_softcap {
        simd::soft_cap(logits, cap as f32);
    }
}

/// Logits of some rows for one slice of the vocabulary, starting at token `start`.
#[allow(clippy::too_many_arguments)]
fn tile(
    decoder: &Decoder,
    weights: Weights<'_>,
    x: View<'_>,
    start: usize,
    running: &mut [Running],
    wanted: &[Vec<(u32, usize)>],
    logits: &mut Vec<f32>,
    results: &mut [f64],
) {
    let width = weights.n();
    logits.resize(logits.len().max(x.rows() * width), 0.0);
    let logits = &mut logits[..x.rows() * width];
    weights.times(x, logits, width, false);
    logits.par_chunks_exact_mut(width).zip(running).for_each(|(row, running)| {
        shape(decoder, row);
        let (max, sum) = simd::max_and_sum_exp(row);
        running.take(max, sum);
    });
    for (row, wanted) in logits.chunks_exact(width).zip(wanted) {
        for &(token, target) in wanted {
            if let Some(&logit) = (token as usize).checked_sub(start).and_then(|at| row.get(at)) {
                results[target] = f64::from(logit);
            }
        }
    }
}
