//! Log-probabilities in tiles of targets by slices of the vocabulary, with a running log-sum-exp.

use candle_core::Tensor;

use super::product::{Threads, View, times_transposed};
use super::{norm_rows, simd, with};
use crate::error::Result;
use crate::model::decoder::{Decoder, Target};

/// Targets computed together.
const TARGETS: usize = 512;

/// Vocabulary entries computed together: with the targets, 8 MB of logits at a time.
const SLICE: usize = 4096;

/// As [`Decoder::log_probs`].
pub(in crate::model::decoder) fn log_probs(
    decoder: &Decoder,
    x: &Tensor,
    targets: &[Target],
) -> Result<Vec<f64>> {
    let (hidden, vocab) = (decoder.config.hidden_size, decoder.config.vocab_size);
    let cap = decoder.config.logit_softcap.map(|c| c as f32);
    let multiplier = decoder.config.logit_multiplier as f32;
    let mut out = Vec::with_capacity(targets.len());
    // Targets after the same token share their logits.
    let mut order: Vec<usize> = (0..targets.len()).collect();
    order.sort_by_key(|&i| targets[i].previous);
    let mut results = vec![0f64; targets.len()];
    let mut rows: Vec<usize> = order.iter().map(|&i| targets[i].previous).collect();
    rows.dedup();
    let mut next = 0;
    let (mut gathered, mut normed, mut logits) = (Vec::new(), Vec::new(), Vec::new());
    for tile in rows.chunks(TARGETS) {
        let n = tile.len();
        gathered.clear();
        with(&x.contiguous()?, |x| {
            for &row in tile {
                gathered.extend_from_slice(&x[row * hidden..(row + 1) * hidden]);
            }
        })?;
        normed.resize(n * hidden, 0.0);
        norm_rows(&decoder.final_norm, &gathered, hidden, &mut normed)?;
        // The targets of this tile, as (row in the tile, target).
        let begin = next;
        let mut wanted: Vec<(usize, usize)> = Vec::new();
        for (row, &previous) in tile.iter().enumerate() {
            while next < order.len() && targets[order[next]].previous == previous {
                wanted.push((row, order[next]));
                next += 1;
            }
        }
        debug_assert_eq!(wanted.len(), next - begin);
        let mut running = vec![(f32::NEG_INFINITY, 0f64); n];
        logits.resize(n * SLICE.min(vocab), 0.0);
        with(decoder.head.weight(), |head| {
            for start in (0..vocab).step_by(SLICE) {
                let width = SLICE.min(vocab - start);
                let w = View::new(&head[start * hidden..(start + width) * hidden], width, hidden, hidden);
                let logits = &mut logits[..n * width];
                times_transposed(
                    View::new(&normed, n, hidden, hidden),
                    w,
                    logits,
                    width,
                    false,
                    Threads::All,
                );
                let finish = |row: &mut [f32], running: &mut (f32, f64)| {
                    if multiplier != 1.0 {
                        row.iter_mut().for_each(|v| *v *= multiplier);
                    }
                    if let Some(cap) = cap {
                        simd::soft_cap(row, cap);
                    }
                    let (max, sum) = simd::max_and_sum_exp(row);
                    let top = running.0.max(max);
                    let rescaled = |m: f32, s: f64| s * f64::from(m - top).exp();
                    let before = if running.1 == 0.0 { 0.0 } else { rescaled(running.0, running.1) };
                    *running = (top, before + rescaled(max, f64::from(sum)));
                };
                use rayon::prelude::*;
                logits.par_chunks_exact_mut(width).zip(&mut running).for_each(|(row, r)| finish(row, r));
                for &(row, target) in &wanted {
                    let token = targets[target].token as usize;
                    if (start..start + width).contains(&token) {
                        results[target] = f64::from(logits[row * width + token - start]);
                    }
                }
            }
        })?;
        for (row, target) in wanted {
            let (max, sum) = running[row];
            results[target] -= f64::from(max) + sum.ln();
        }
    }
    out.extend(results);
    Ok(out)
}
