//! Operations of a job, counted before it runs.

use super::chunk::Plan;
use super::run::Request;
use super::trie::Forest;
use crate::error::Result;
use crate::model::config::{Config, Mlp};

/// Floating-point operations of a forward over a plan; a multiplication and its addition count as two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Operations {
    /// Of the blocks: products of every computed token, and attention to every token that it sees.
    pub blocks: f64,
    /// Of the output head: after every token that log P needs, and before every answer.
    pub head: f64,
}

impl Operations {
    /// Of both.
    pub fn total(&self) -> f64 {
        self.blocks + self.head
    }

    /// Share of the output head in \[0, 1\]; 0 where there is nothing to compute.
    pub fn head_share(&self) -> f64 {
        if self.total() > 0.0 { self.head / self.total() } else { 0.0 }
    }
}

/// Parameters of one block's products.
pub fn block_parameters(config: &Config) -> usize {
    let qkv = (config.heads + 2 * config.kv_heads) * config.head_dim * config.hidden_size;
    let out = config.heads * config.head_dim * config.hidden_size;
    let gates = if matches!(config.mlp, Mlp::Gated(_)) { 3 } else { 2 };
    qkv + out + gates * config.hidden_size * config.intermediate_size
}

/// Operations of requests that are computed by a plan of theirs.
///
/// # Errors
/// What [`Forest::build`] refuses.
pub fn operations<S: std::borrow::Borrow<Request>>(
    config: &Config,
    requests: &[S],
    plan: &Plan,
) -> Result<Operations> {
    let mut seen = 0usize;
    let mut heads = 0usize;
    for chunk in &plan.chunks {
        let members: Vec<&Request> = chunk.iter().map(|&i| requests[i].borrow()).collect();
        let built = Forest::build(&members)?;
        seen += built.packing().positions().iter().map(|&p| p as usize + 1).sum::<usize>();
        let mut read = std::collections::BTreeSet::new();
        for (i, request) in members.iter().enumerate() {
            if let Some(span) = request.response.filter(|_| request.logprob) {
                read.extend(built.indices(i, span.start.max(1) - 1, span.end - 1));
            }
            if request.answers.is_some() {
                let end = request.tokens.len();
                read.extend(built.indices(i, end - 1, end));
            }
        }
        heads += read.len();
    }
    let products = 2.0 * plan.packed_tokens as f64 * block_parameters(config) as f64;
    let attention = 4.0 * seen as f64 * (config.heads * config.head_dim) as f64;
    Ok(Operations {
        blocks: config.num_blocks() as f64 * (products + attention),
        head: 2.0 * heads as f64 * (config.vocab_size * config.hidden_size) as f64,
    })
}
