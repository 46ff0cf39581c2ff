//! Attention over a packed forest, written into one buffer without copying ancestors' keys and values.

use rayon::prelude::*;

use super::kernel::{Chunks, Level};
use super::product::{Packed, Shared, View, times_here};
use super::simd;
use crate::model::packing::Packing;

/// Maximum number of query rows per task: few enough that scores stay in the cache, and that causal keys to their right
/// are not multiplied.
const TILE: usize = 64;

/// Dimensions and settings of the attention.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub scale: f32,
    pub softcap: Option<f32>,
    pub window: Option<usize>,
}

impl Shape {
    /// Width of a row of queries, keys and values.
    pub fn qkv_width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// Width of a row of the output.
    pub fn out_width(&self) -> usize {
        self.heads * self.head_dim
    }
}

/// Rows that hold keys and values of all packed tokens.
#[derive(Clone, Copy)]
pub(super) struct Keys<'a> {
    rows: &'a [f32],
    stride: usize,
    /// Column of the first key; values follow the keys.
    first: usize,
}

impl<'a> Keys<'a> {
    /// Keys and values beside the queries, `[T, (heads + 2·kv_heads)·head_dim]`.
    pub fn beside(qkv: &'a [f32], shape: &Shape) -> Self {
        Self { rows: qkv, stride: shape.qkv_width(), first: shape.out_width() }
    }

    /// Keys and values alone, `[T, 2·kv_heads·head_dim]`.
    pub fn alone(rows: &'a [f32], shape: &Shape) -> Self {
        Self { rows, stride: 2 * shape.kv_heads * shape.head_dim, first: 0 }
    }
}

/// A tile of queries of one segment, under one key head.
struct Task {
    segment: usize,
    from: usize,
    to: usize,
    kv_head: usize,
}

#[derive(Default)]
struct Scratch {
    queries: Vec<f32>,
    /// Keys in order of position and packed into panels, followed by values in panels.
    gathered: Vec<f32>,
    packed: Vec<f32>,
    scores: Vec<f32>,
    mixed: Vec<f32>,
    /// Width of a row of `mixed`, padded.
    mixed_width: usize,
}

/// `qkv [fresh, (heads + 2·kv_heads)·head_dim] → out [fresh, heads·head_dim]`, of the packing's fresh tokens, with keys
/// and values of all tokens.
pub(super) fn attend(qkv: &[f32], keys: Keys<'_>, packing: &Packing, shape: &Shape, out: &mut [f32]) {
    let mut tasks = Vec::new();
    for segment in packing.fresh_segments() {
        let s = packing.segments()[segment];
        for from in (0..s.len).step_by(TILE) {
            let to = (from + TILE).min(s.len);
            tasks.extend((0..shape.kv_heads).map(|kv_head| Task { segment, from, to, kv_head }));
        }
    }
    let length = out.len();
    let target = Shared::new(out);
    tasks.par_iter().for_each_init(Scratch::default, |scratch, task| {
        tile(qkv, keys, packing, shape, task, scratch);
        let (width, group) = (shape.head_dim, shape.heads / shape.kv_heads);
        let start = packing.segments()[task.segment].start - packing.fresh().start;
        let rows = task.to - task.from;
        for head in 0..group {
            for row in 0..rows {
                let at =
                    (start + task.from + row) * shape.out_width() + (task.kv_head * group + head) * width;
                assert!(at + width <= length);
                let from = &scratch.mixed[(head * rows + row) * scratch.mixed_width..][..width];
                // SAFETY: in bounds by the assertion; a task writes only the rows of its own tile at the
                // columns of its own heads.
                unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), target.at(at), width) };
            }
        }
    });
}

/// Computes the tile's output into `scratch.mixed`, `[group·rows, head_dim]`, with padded rows.
fn tile(qkv: &[f32], source: Keys<'_>, packing: &Packing, shape: &Shape, task: &Task, scratch: &mut Scratch) {
    let (width, group) = (shape.head_dim, shape.heads / shape.kv_heads);
    let stride = shape.qkv_width();
    let own = packing.segments()[task.segment];
    let rows = task.to - task.from;
    let first = packing.offset(task.segment) + task.from;
    // Keys before this position are outside the window of every query.
    let reach = shape.window.map_or(0, |w| (first + 1).saturating_sub(w));
    // Ranges of packed tokens whose keys are visible, in order of position.
    let mut ranges = Vec::new();
    for s in packing.ancestors(task.segment) {
        let segment = packing.segments()[s];
        let skip = reach.saturating_sub(packing.offset(s)).min(segment.len);
        if skip < segment.len {
            ranges.push((segment.start + skip, segment.len - skip));
        }
    }
    let skip = reach.saturating_sub(packing.offset(task.segment)).min(task.to);
    ranges.push((own.start + skip, task.to - skip));
    let keys: usize = ranges.iter().map(|r| r.1).sum();

    scratch.queries.resize(group * rows * width, 0.0);
    for head in 0..group {
        for row in 0..rows {
            let row_at = own.start - packing.fresh().start + task.from + row;
            let at = row_at * stride + (task.kv_head * group + head) * width;
            let to = &mut scratch.queries[(head * rows + row) * width..][..width];
            for (t, &q) in to.iter_mut().zip(&qkv[at..at + width]) {
                *t = q * shape.scale;
            }
        }
    }
    let level = Level::best();
    let (m, padded) = (group * rows, keys.next_multiple_of(level.lanes()));
    scratch.mixed_width = width.next_multiple_of(level.lanes());
    scratch.scores.resize(m * padded, 0.0);
    scratch.mixed.resize(m * scratch.mixed_width, 0.0);
    scratch.gathered.resize(keys * width, 0.0);
    let (scores, mixed) = (&mut scratch.scores[..], &mut scratch.mixed[..]);
    let queries = View::new(&scratch.queries, m, width, width);
    let key_column = source.first + task.kv_head * width;
    let value_column = source.first + (shape.kv_heads + task.kv_head) * width;
    let seen = || ranges.iter().flat_map(|&(start, len)| start..start + len);
    for (to, token) in scratch.gathered.chunks_exact_mut(width).zip(seen()) {
        to.copy_from_slice(&source.rows[token * source.stride + key_column..][..width]);
    }
    let keys_here = View::new(&scratch.gathered, keys, width, width);
    let packed = Packed::transposed(level, keys_here, &mut scratch.packed, false);
    times_here(queries, packed, Chunks::even(width), scores, padded);
    for (i, row) in scores.chunks_exact_mut(padded).enumerate() {
        let position = first + i % rows;
        let end = position + 1 - reach;
        let begin = shape.window.map_or(0, |w| (position + 1).saturating_sub(w).saturating_sub(reach));
        if let Some(cap) = shape.softcap {
            simd::soft_cap(&mut row[begin..end], cap);
        }
        simd::softmax(&mut row[begin..end]);
        row[..begin].fill(0.0);
        row[end..].fill(0.0);
    }
    let packed = Packed::fill(level, (keys, width), &mut scratch.packed, false, |column, n, wide, panel| {
        for (to, token) in panel.chunks_exact_mut(wide).zip(seen()) {
            to[..n].copy_from_slice(&source.rows[token * source.stride + value_column + column..][..n]);
            to[n..].fill(0.0);
        }
    });
    // Cut by position, so that the sums do not depend on how the text is packed.
    times_here(
        View::new(scores, m, keys, padded),
        packed,
        Chunks::aligned(reach),
        mixed,
        scratch.mixed_width,
    );
}
