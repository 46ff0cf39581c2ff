//! What a job takes in memory, estimated before it starts.

use super::Settings;
use crate::model::Decoder;
use crate::model::config::{Mlp, NormPlacement};
use crate::model::decoder::GROUP_ENTRIES;
use crate::model::gpu;

/// Packed tokens that are computed together on the CPU unless memory says less.
const CHUNK_TOKENS: usize = 4096;

/// The same on a GPU, where a chunk must be larger to keep it busy.
const GPU_CHUNK_TOKENS: usize = 16_384;

/// Bytes, by what they are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// Weights: all of them, or one block where they are read as they are used.
    pub weights: usize,
    /// Buffers of one chunk.
    pub chunk: usize,
    /// Residual streams and readings that wait while weights are read; 0 where these are in memory.
    pub waiting: usize,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> usize {
        self.weights.saturating_add(self.chunk).saturating_add(self.waiting)
    }
}

/// Bytes that a token of a chunk takes: residual stream, its norm, queries, keys and values and what attention
/// gives; what a block adds, where it is normalised or scaled first. Batched operations hold more at once: the stream and
/// its sums in f32, the projections before and after they are split and turned, and three tensors of the MLP.
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

/// Bytes that a chunk takes whatever its size: a tile of the MLP, a tile of logits, and weights of a narrower
/// dtype on their way to f32; on a GPU, a group of the attention.
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

/// Bytes of the buffers of a chunk of some packed tokens.
pub fn chunk_bytes(decoder: &Decoder, tokens: usize) -> usize {
    tokens.saturating_mul(token_bytes(decoder)).saturating_add(fixed_bytes(decoder))
}

/// The largest chunk whose buffers take at most `bytes`; never less than 64 tokens.
pub fn affordable_tokens(decoder: &Decoder, bytes: usize) -> usize {
    (bytes.saturating_sub(fixed_bytes(decoder)) / token_bytes(decoder).max(1)).max(64)
}

/// Packed tokens that are computed together where the forward may take `memory` bytes beside the weights; `None`: as many
/// as keep the device busy, in at most half of what is free on a GPU.
pub fn chunk_tokens(decoder: &Decoder, memory: Option<usize>) -> usize {
    let most = if decoder.device().is_cpu() { CHUNK_TOKENS } else { GPU_CHUNK_TOKENS };
    let bytes = memory.or_else(|| gpu::free_memory(decoder.device()).map(|free| free / 2));
    bytes.map_or(most, |bytes| affordable_tokens(decoder, bytes).min(most))
}

/// Bytes that wait while the blocks are read: the residual stream of some packed tokens, and the readings of
/// some requests at all wanted layers.
pub fn waiting_bytes(decoder: &Decoder, settings: &Settings, tokens: usize, requests: usize) -> usize {
    let width = 4 * decoder.config().hidden_size;
    tokens.saturating_mul(width).saturating_add(requests * settings.layers.len() * width)
}

/// The estimate for a job of some packed tokens and requests.
pub fn memory(decoder: &Decoder, settings: &Settings, tokens: usize, requests: usize) -> Memory {
    let chunk = chunk_bytes(decoder, tokens.min(settings.chunk_tokens));
    if !decoder.streams() {
        return Memory { weights: decoder.bytes(), chunk, waiting: 0 };
    }
    let waiting = waiting_bytes(decoder, settings, tokens, requests);
    let waiting = settings.memory.map_or(waiting, |most| waiting.min(most));
    Memory { weights: decoder.block(0).map_or(0, |b| b.bytes()), chunk, waiting }
}
