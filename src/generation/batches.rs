//! Splits replies into batches that fit into memory.

use std::ops::Range;

use super::Context;
use crate::forest::chunk_tokens;
use crate::model::{Config, Decoder};

/// Default bytes of keys and values.
const CACHE_BYTES: usize = 2 << 30;

/// Maximum number of replies sampled together: enough to make products of their tokens worthwhile.
const TOGETHER: usize = 256;

/// Number of replies to each context, and their greatest length.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Replies to each context.
    pub replies: usize,
    /// Maximum number of tokens in a reply.
    pub longest: usize,
    /// Bytes that keys and values, and the computation of the prompts, may take; `None`: 2 GiB, and the forward pass's
    /// default.
    pub memory: Option<usize>,
}

/// Bytes of one token's keys and values at all blocks.
pub fn token_bytes(decoder: &Decoder) -> usize {
    let config: &Config = decoder.config();
    let wide = if decoder.device().is_cpu() { 4 } else { decoder.dtype().size_in_bytes() };
    config.num_blocks() * 2 * config.kv_heads * config.head_dim * wide
}

/// Consecutive ranges of replies, counted over all contexts (reply r of context c is number c · replies + r). A batch
/// has at least one reply, even if it exceeds the memory, and its contexts have the same rotary regime.
pub fn batches(decoder: &Decoder, contexts: &[Context], size: Size) -> Vec<Range<usize>> {
    let most = size.memory.unwrap_or(CACHE_BYTES) / token_bytes(decoder).max(1);
    let prompt_tokens = chunk_tokens(decoder, size.memory);
    let regime = |c: usize| decoder.config().rope_regime(contexts[c].tokens.len() + size.longest);
    let mut out: Vec<Range<usize>> = Vec::new();
    let (mut tokens, mut prompts) = (0, 0);
    for unit in 0..contexts.len() * size.replies {
        let context = unit / size.replies;
        let prompt = contexts[context].tokens.len();
        let open = out.last().cloned().filter(|batch| {
            let begins = batch.end.is_multiple_of(size.replies);
            let added = size.longest + if begins { prompt } else { 0 };
            batch.len() < TOGETHER
                && tokens + added <= most
                && (!begins || prompts + prompt <= prompt_tokens)
                && regime(batch.start / size.replies) == regime(context)
        });
        match (open, out.last_mut()) {
            (Some(batch), Some(last)) => {
                if batch.end.is_multiple_of(size.replies) {
                    (tokens, prompts) = (tokens + prompt, prompts + prompt);
                }
                tokens += size.longest;
                last.end = unit + 1;
            }
            _ => {
                out.push(unit..unit + 1);
                (tokens, prompts) = (prompt + size.longest, prompt);
            }
        }
    }
    out
}
