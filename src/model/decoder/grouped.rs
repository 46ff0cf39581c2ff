//! Attention of a whole packed forest in a few batched products, for GPUs.
//!
//! One product per segment leaves a GPU waiting for the next launch. Here the queries of many segments with similar
//! numbers of queries and keys are padded to one size and computed together.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use crate::error::Result;
use crate::model::packing::Packing;

/// Maximum number of queries in one piece; a longer segment is cut, so that early queries skip late keys.
const QUERIES: usize = 256;

/// Maximum number of entries of a group's scores and gathered keys and values.
pub(crate) const ENTRIES: usize = 32 << 20;

/// The attention's dimensions that determine the size of a group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heads {
    /// Query heads.
    pub(super) heads: usize,
    /// Number of entries of a token's keys; its values have as many.
    pub(super) key_width: usize,
}

/// Queries of one segment: its tokens `[from, to)`, with the packed indices of the keys visible to them.
struct Piece {
    queries: std::ops::Range<usize>,
    keys: Vec<u32>,
    /// Position of the first query.
    position: usize,
    /// Position of the first key.
    first: usize,
}

/// Pieces computed together: `pieces` × `queries` rows, each with `keys` keys, padding included.
pub(super) struct Group {
    pub(super) pieces: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    /// Index among the fresh tokens of each row of queries, `[pieces · queries]`.
    pub(super) query_index: Tensor,
    /// Packed index of each key, `[pieces · keys]`.
    pub(super) key_index: Tensor,
    /// 0 where a query sees a key, −∞ elsewhere, `[pieces, 1, queries, keys]`.
    pub(super) mask: Tensor,
}

/// Plan for the attention of one packed forest under one window.
pub(super) struct Plan {
    pub(super) groups: Vec<Group>,
    /// Row of each fresh token in the concatenated rows of the groups, `[fresh]`.
    pub(super) place: Tensor,
}

impl Plan {
    /// Cuts the segments into pieces and groups those of similar size; `dtype` is that of the scores.
    pub(super) fn new(
        packing: &Packing,
        window: Option<usize>,
        heads: Heads,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let mut classes: BTreeMap<(u32, u32), Vec<Piece>> = BTreeMap::new();
        for piece in pieces(packing, window) {
            let class = (size_class(piece.queries.len(), 1), size_class(piece.keys.len(), 2));
            classes.entry(class).or_default().push(piece);
        }
        let fresh = packing.fresh();
        let mut place = vec![0u32; fresh.len()];
        let (mut groups, mut rows) = (Vec::new(), 0);
        for pieces in classes.values() {
            let queries = pieces.iter().map(|p| p.queries.len()).max().unwrap_or(1);
            let keys = pieces.iter().map(|p| p.keys.len()).max().unwrap_or(1);
            let entries = keys * (heads.heads * queries + 4 * heads.key_width);
            for pieces in pieces.chunks((ENTRIES / entries.max(1)).max(1)) {
                for (i, piece) in pieces.iter().enumerate() {
                    for (q, token) in piece.queries.clone().enumerate() {
                        place[token - fresh.start] = (rows + i * queries + q) as u32;
                    }
                }
                rows += pieces.len() * queries;
                groups.push(Group::new(pieces, (queries, keys), fresh.start, window, dtype, device)?);
            }
        }
        Ok(Self { groups, place: Tensor::new(place, device)? })
    }
}

impl Group {
    fn new(
        pieces: &[Piece],
        (queries, keys): (usize, usize),
        fresh: usize,
        window: Option<usize>,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let mut query_index = Vec::with_capacity(pieces.len() * queries);
        let mut key_index = Vec::with_capacity(pieces.len() * keys);
        let mut mask = vec![f32::NEG_INFINITY; pieces.len() * queries * keys];
        for (piece, mask) in pieces.iter().zip(mask.chunks_exact_mut(queries * keys)) {
            // Padding repeats tokens of the same text, so that non-finite values cannot spread to other texts.
            let padded = |at: usize| {
                if at < piece.queries.len() { piece.queries.start + at } else { piece.queries.start }
            };
            query_index.extend((0..queries).map(|q| (padded(q) - fresh) as u32));
            key_index.extend((0..keys).map(|k| piece.keys.get(k).copied().unwrap_or(piece.keys[0])));
            for (q, row) in mask.chunks_exact_mut(keys).enumerate() {
                let position = piece.position + q;
                if q >= piece.queries.len() {
                    // This row is never read, but it must see at least one key.
                    row.fill(0.0);
                    continue;
                }
                let from = window.map_or(0, |w| (position + 1).saturating_sub(w)).max(piece.first);
                row[from - piece.first..=position - piece.first].fill(0.0);
            }
        }
        let mask = Tensor::from_vec(mask, (pieces.len(), 1, queries, keys), device)?.to_dtype(dtype)?;
        Ok(Self {
            pieces: pieces.len(),
            queries,
            keys,
            query_index: Tensor::new(query_index, device)?,
            key_index: Tensor::new(key_index, device)?,
            mask,
        })
    }
}

fn pieces(packing: &Packing, window: Option<usize>) -> Vec<Piece> {
    let mut out = Vec::new();
    for index in packing.fresh_segments() {
        let segment = packing.segments()[index];
        let offset = packing.offset(index);
        let mut chain = packing.ancestors(index);
        chain.push(index);
        let tokens: Vec<u32> = chain
            .iter()
            .map(|&s| packing.segments()[s])
            .flat_map(|s| (s.start as u32)..(s.start + s.len) as u32)
            .collect();
        for from in (0..segment.len).step_by(QUERIES) {
            let to = (from + QUERIES).min(segment.len);
            let first = window.map_or(0, |w| (offset + from + 1).saturating_sub(w));
            out.push(Piece {
                queries: segment.start + from..segment.start + to,
                keys: tokens[first..offset + to].to_vec(),
                position: offset + from,
                first,
            });
        }
    }
    out
}

/// Sizes of one class are at most a factor of 2^(1/steps) apart.
fn size_class(size: usize, steps: u32) -> u32 {
    (f64::from(steps) * (size.max(1) as f64).log2()).ceil() as u32
}
