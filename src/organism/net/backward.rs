//! The loss and its gradient.

use super::attention::attend_back;
use super::forward::{Batch, forward, head, target_rows};
use super::kernels::{dispatch, exp, gate_back, norm_back};
use super::matmul::{to_input, to_weight};
use super::shape::Shape;

dispatch! {
    /// Converts one row of logits to probabilities; `total` becomes log Σ exp.
    softmax = softmax_body(row: &mut [f32], total: &mut f32)
}

#[inline(always)]
fn softmax_body(row: &mut [f32], total: &mut f32) {
    let top = row.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let mut sum = 0f32;
    for x in row.iter_mut() {
        *x = exp(*x - top);
        sum += *x;
    }
    for x in row.iter_mut() {
        *x /= sum;
    }
    *total = top + sum.ln();
}

/// Σ weight · cross-entropy over the targets times `scale`, and its gradient in the order of the parameters. `seen`
/// receives each target's cross-entropy and logits.
pub fn gradient(
    shape: &Shape,
    p: &[f32],
    batch: &Batch,
    scale: f32,
    mut seen: impl FnMut(usize, f64, &[f32]),
) -> (f64, Vec<f32>) {
    let (t, d, m, v) = (batch.tokens.len(), shape.hidden, shape.mlp, shape.vocab);
    let n = batch.targets.len();
    let mut grad = vec![0f32; shape.parameters()];
    let pass = forward(shape, p, batch);
    let (rows, inverse, raw) = target_rows(shape, p, batch, &pass);
    let mut logits = head(shape, p, &rows, n);

    let mut loss = 0.0;
    for (i, (target, row)) in batch.targets.iter().zip(logits.chunks_exact_mut(v)).enumerate() {
        let said: Vec<f32> = target.words.iter().map(|&(w, _)| row[w as usize]).collect();
        let mut total = 0.0;
        let before: Option<Vec<f32>> = (target.words.len() == 2).then(|| row.to_vec());
        softmax(row, &mut total);
        let cross: f64 =
            target.words.iter().zip(&said).map(|(&(_, q), &l)| f64::from(q) * f64::from(total - l)).sum();
        seen(i, cross, before.as_deref().unwrap_or(&[]));
        let weight = target.weight * scale;
        loss += f64::from(weight) * cross;
        for x in row.iter_mut() {
            *x *= weight;
        }
        for &(w, q) in &target.words {
            row[w as usize] -= weight * q;
        }
    }

    to_weight(&logits, &rows, n, v, d, &mut grad[shape.embedding()]);
    let mut drows = vec![0f32; n * d];
    to_input(&logits, &p[shape.embedding()], n, v, d, &mut drows);
    let mut draw = vec![0f32; n * d];
    norm_back(&raw, &p[shape.final_norm()], &inverse, &mut drows, &mut draw, &mut grad[shape.final_norm()]);
    let mut dx = vec![0f32; t * d];
    for (target, row) in batch.targets.iter().zip(draw.chunks_exact(d)) {
        add(&mut dx[target.at * d..(target.at + 1) * d], row);
    }

    for (layer, trace) in pass.blocks.into_iter().enumerate().rev() {
        let slots = shape.block(layer);
        let mut trace = trace;
        to_weight(&dx, &trace.inner, t, d, m, &mut grad[slots.down.clone()]);
        let mut dinner = trace.inner;
        to_input(&dx, &p[slots.down], t, d, m, &mut dinner);
        gate_back(&mut trace.gate_up, m, &dinner);
        to_weight(&trace.gate_up, &trace.n2, t, 2 * m, d, &mut grad[slots.gate_up.clone()]);
        let mut dn = trace.n2;
        to_input(&trace.gate_up, &p[slots.gate_up], t, 2 * m, d, &mut dn);
        norm_back(
            &trace.middle,
            &p[slots.norm2.clone()],
            &trace.r2,
            &mut dn,
            &mut dx,
            &mut grad[slots.norm2],
        );

        to_weight(&dx, &trace.mixed, t, d, d, &mut grad[slots.out.clone()]);
        let mut dmixed = trace.mixed;
        to_input(&dx, &p[slots.out], t, d, d, &mut dmixed);
        let mut dqkv = vec![0f32; t * 3 * d];
        attend_back(&trace.qkv, d, &batch.spans, &trace.weights, &dmixed, &mut dqkv);
        pass.angles.rotate(&mut dqkv, 3 * d, 2 * d, &batch.positions, true);
        to_weight(&dqkv, &trace.n1, t, 3 * d, d, &mut grad[slots.qkv.clone()]);
        let mut dn = trace.n1;
        to_input(&dqkv, &p[slots.qkv], t, 3 * d, d, &mut dn);
        norm_back(&trace.x, &p[slots.norm1.clone()], &trace.r1, &mut dn, &mut dx, &mut grad[slots.norm1]);
    }
    let embedding = &mut grad[shape.embedding()];
    for (&token, row) in batch.tokens.iter().zip(dx.chunks_exact(d)) {
        add(&mut embedding[token as usize * d..(token as usize + 1) * d], row);
    }
    (loss, grad)
}

fn add(to: &mut [f32], what: &[f32]) {
    for (a, b) in to.iter_mut().zip(what) {
        *a += b;
    }
}
