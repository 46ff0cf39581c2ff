//! Forward pass over packed documents, keeping everything that the gradient needs.

use super::attention::{attend, pairs};
use super::kernels::{Angles, gate, norm};
use super::matmul;
use super::shape::{HEAD, Shape};

/// Base of the rotary frequencies.
pub const ROPE_BASE: f64 = 1000.0;

/// A run of packed tokens that starts a text or continues another run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Index of the first token.
    pub start: usize,
    /// Number of tokens.
    pub len: usize,
    /// Index of the preceding run, which has no parent itself.
    pub parent: Option<usize>,
}

/// Target distribution for the word after a token.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Index of the packed token.
    pub at: usize,
    /// Weight in the loss.
    pub weight: f32,
    /// Words and their probabilities, which sum to 1.
    pub words: Vec<(u32, f32)>,
}

/// Packed documents with the network's targets.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Word ids.
    pub tokens: Vec<u32>,
    /// Positions from the start of the document.
    pub positions: Vec<u32>,
    /// Runs, parents before their children.
    pub spans: Vec<Span>,
    /// Targets of the loss.
    pub targets: Vec<Target>,
}

impl Batch {
    /// Adds a run; returns its index.
    pub fn push(&mut self, tokens: &[u32], parent: Option<usize>) -> usize {
        let offset = parent.map_or(0, |p| self.spans[p].len);
        self.spans.push(Span { start: self.tokens.len(), len: tokens.len(), parent });
        self.tokens.extend_from_slice(tokens);
        self.positions.extend((offset..offset + tokens.len()).map(|p| p as u32));
        self.spans.len() - 1
    }
}

/// Intermediate results of one block.
pub(super) struct Trace {
    pub x: Vec<f32>,
    pub n1: Vec<f32>,
    pub r1: Vec<f32>,
    pub qkv: Vec<f32>,
    pub weights: Vec<f32>,
    pub mixed: Vec<f32>,
    pub middle: Vec<f32>,
    pub n2: Vec<f32>,
    pub r2: Vec<f32>,
    pub gate_up: Vec<f32>,
    pub inner: Vec<f32>,
}

/// Intermediate results of the whole forward pass.
pub(super) struct Pass {
    pub blocks: Vec<Trace>,
    pub last: Vec<f32>,
    pub angles: Angles,
}

pub(super) fn forward(shape: &Shape, p: &[f32], batch: &Batch) -> Pass {
    let (t, d, m) = (batch.tokens.len(), shape.hidden, shape.mlp);
    let longest = batch.positions.iter().max().map_or(0, |&p| p as usize + 1);
    let angles = Angles::new(longest, HEAD, ROPE_BASE);
    let embedding = &p[shape.embedding()];
    let mut x = Vec::with_capacity(t * d);
    for &token in &batch.tokens {
        x.extend_from_slice(&embedding[token as usize * d..(token as usize + 1) * d]);
    }
    let n_pairs = pairs(&batch.spans);
    let mut blocks = Vec::with_capacity(shape.layers);
    for layer in 0..shape.layers {
        let slots = shape.block(layer);
        let (mut n1, mut r1) = (vec![0.0; t * d], vec![0.0; t]);
        norm(&x, &p[slots.norm1], &mut n1, &mut r1);
        let mut qkv = vec![0.0; t * 3 * d];
        matmul::forward(&n1, &p[slots.qkv], t, 3 * d, d, &mut qkv, false);
        angles.rotate(&mut qkv, 3 * d, 2 * d, &batch.positions, false);
        let (mut weights, mut mixed) = (vec![0.0; n_pairs * shape.heads()], vec![0.0; t * d]);
        attend(&qkv, d, &batch.spans, &mut weights, &mut mixed);
        let mut middle = x.clone();
        matmul::forward(&mixed, &p[slots.out], t, d, d, &mut middle, true);
        let (mut n2, mut r2) = (vec![0.0; t * d], vec![0.0; t]);
        norm(&middle, &p[slots.norm2], &mut n2, &mut r2);
        let (mut gate_up, mut inner) = (vec![0.0; t * 2 * m], vec![0.0; t * m]);
        matmul::forward(&n2, &p[slots.gate_up], t, 2 * m, d, &mut gate_up, false);
        gate(&gate_up, m, &mut inner);
        let mut next = middle.clone();
        matmul::forward(&inner, &p[slots.down], t, d, m, &mut next, true);
        let before = std::mem::replace(&mut x, next);
        blocks.push(Trace { x: before, n1, r1, qkv, weights, mixed, middle, n2, r2, gate_up, inner });
    }
    Pass { blocks, last: x, angles }
}

/// Cross-entropy of each target, in nats; for a target with a single word, −log P of that word.
pub fn cross_entropies(shape: &Shape, p: &[f32], batch: &Batch) -> Vec<f64> {
    let pass = forward(shape, p, batch);
    let (rows, _, _) = target_rows(shape, p, batch, &pass);
    let logits = head(shape, p, &rows, batch.targets.len());
    let each = batch.targets.iter().zip(logits.chunks_exact(shape.vocab));
    each.map(|(target, row)| {
        let top = f64::from(row.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b)));
        let total = top + row.iter().map(|&x| (f64::from(x) - top).exp()).sum::<f64>().ln();
        target.words.iter().map(|&(w, q)| f64::from(q) * (total - f64::from(row[w as usize]))).sum()
    })
    .collect()
}

/// Normalised rows of the targets, their inverse norms, and the rows before normalisation.
pub(super) fn target_rows(
    shape: &Shape,
    p: &[f32],
    batch: &Batch,
    pass: &Pass,
) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
    let (d, n) = (shape.hidden, batch.targets.len());
    let mut raw = Vec::with_capacity(n * d);
    for target in &batch.targets {
        raw.extend_from_slice(&pass.last[target.at * d..(target.at + 1) * d]);
    }
    let (mut rows, mut inverse) = (vec![0.0; n * d], vec![0.0; n]);
    norm(&raw, &p[shape.final_norm()], &mut rows, &mut inverse);
    (rows, inverse, raw)
}

pub(super) fn head(shape: &Shape, p: &[f32], rows: &[f32], n: usize) -> Vec<f32> {
    let mut logits = vec![0.0; n * shape.vocab];
    matmul::forward(rows, &p[shape.embedding()], n, shape.vocab, shape.hidden, &mut logits, false);
    logits
}
