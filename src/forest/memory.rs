//! Estimates a job's memory use before it starts.

use super::Settings;
use crate::model::Decoder;
use crate::model::config::{Mlp, NormPlacement};
use crate::model::decoder::GROUP_ENTRIES;
use crate::model::gpu;

/// Default number of packed tokens computed together on the CPU, unless memory requires fewer.
const CHUNK_TOKENS: usize = 4096;

/// As [`CHUNK_TOKENS`] on a GPU, which needs larger chunks to be kept busy.
const GPU_CHUNK_TOKENS: usize = 16_384;

/// Estimated memory in bytes, by purpose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// Weights: all of them, or one block if they are read on use.
    pub weights: usize,
    /// Buffers of one chunk.
    pub chunk: usize,
    /// Residual streams and readings held while weights are read; 0 if the weights are in memory.
    pub waiting: usize,
}

impl Memory {
    /// Total bytes.
    pub fn total(&self) -> usize {
        self.weights.saturating_add(self.chunk).saturating_add(self.waiting)
    }
}

/// Bytes per token of a chunk: residual stream, its norm, queries, keys and values and the attention's output; a
/// block's update, if it is normalised or scaled first. Batched operations hold more at once: the stream and its sums
/// in f32, the projections before and after they are split and transposed, and three tensors of the MLP.
fn token_bytes(decoder: &Decoder) -> usize {
    let c = decoder.config();
    let qkv = (c.heads + 2 * c.kv_heads) * c.head_dim;
    let apart = c.placement != NormPlacement::Pre || c.residual_multiplier != 1.0;
    let fused = 2 * c.hidden_size + qkv + c.heads * c.head_dim + if apart { 2 * c.hidden_size } else { 0 };
    if decoder.device().is_cpu() {
        4 * fused
    } else {
        4 * 4 * c.hidden_size
            + decoder.dtype().size_in_bytes() * (3 * c.hidden_size + 3 * qkv + 4 * c.intermediate_size)
    }
}

/// Bytes of a chunk independent of its size: a tile of the MLP, a tile of logits, and weights being widened to f32; on
/// a GPU, a group of the attention.
fn fixed_bytes(decoder: &Decoder) -> usize {
    let c = decoder.config();
    if !decoder.device().is_cpu() {
        // Scores in the dtype and in f32, before and after the mask and the softmax.
        return GROUP_ENTRIES * (2 * 4 + 2 * decoder.dtype().size_in_bytes());
    }
    let gates = if matches!(c.mlp, Mlp::Gated(_)) { 2 } else { 1 };
    let tile = 512 * gates * c.intermediate_size + 512 * 4096.min(c.vocab_size);
    let wide = (gates + 1) * c.intermediate_size * c.hidden_size;
    4 * (tile + wide)
}

/// Bytes of the buffers of a chunk with this many packed tokens.
pub fn chunk_bytes(decoder: &Decoder, tokens: usize) -> usize {
    tokens.saturating_mul(token_bytes(decoder)).saturating_add(fixed_bytes(decoder))
}

/// The largest chunk whose buffers take at most `bytes`; never less than 64 tokens.
pub fn affordable_tokens(decoder: &Decoder, bytes: usize) -> usize {
    (bytes.saturating_sub(fixed_bytes(decoder)) / token_bytes(decoder).max(1)).max(64)
}

/// Number of packed tokens computed together if the forward pass may use `memory` bytes in addition to the weights;
/// `None`: as many as keep the device busy, in at most half of the free memory on a GPU.
pub fn chunk_tokens(decoder: &Decoder, memory: Option<usize>) -> usize {
    let most = if decoder.device().is_cpu() { CHUNK_TOKENS } else { GPU_CHUNK_TOKENS };
    let bytes = memory.or_else(|| gpu::free_memory(decoder.device()).map(|free| free / 2));
    bytes.map_or(most, |bytes| affordable_tokens(decoder, bytes).min(most))
}

/// Bytes held while the blocks are read: the residual stream of `tokens` packed tokens, and the readings of `requests`
/// requests at all requested layers.
pub fn waiting_bytes(decoder: &Decoder, settings: &Settings, tokens: usize, requests: usize) -> usize {
    let width = 4 * decoder.config().hidden_size;
    tokens.saturating_mul(width).saturating_add(requests * settings.layers.len() * width)
}

/// Memory estimate for a job with this many packed tokens and requests.
pub fn memory(decoder: &Decoder, settings: &Settings, tokens: usize, requests: usize) -> Memory {
    let chunk = chunk_bytes(decoder, tokens.min(settings.chunk_tokens));
    if !decoder.streams() {
        return Memory { weights: decoder.bytes(), chunk, waiting: 0 };
    }
    let waiting = waiting_bytes(decoder, settings, tokens, requests);
    let waiting = settings.memory.map_or(waiting, |most| waiting.min(most));
    Memory { weights: decoder.block(0).map_or(0, |b| b.bytes()), chunk, waiting }
}
