//! Counts a job's operations before it runs.

use super::chunk::Plan;
use super::run::Request;
use super::trie::Forest;
use crate::error::Result;
use crate::model::config::{Config, Mlp};

/// Floating-point operations of a forward pass over a plan; a multiply-add counts as two.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Operations {
    /// Operations of the blocks: products for every computed token, and attention to every visible token.
    pub blocks: f64,
    /// Operations of the output head: for every token whose log P is needed, and for every answer.
    pub head: f64,
}

impl Operations {
    /// Total of blocks and head.
    pub fn total(&self) -> f64 {
        self.blocks + self.head
    }

    /// The output head's share of the operations, in \[0, 1\]; 0 if there is nothing to compute.
    pub fn head_share(&self) -> f64 {
        if self.total() > 0.0 { self.head / self.total() } else { 0.0 }
    }
}

/// Number of parameters in one block's products.
pub fn block_parameters(config: &Config) -> usize {
    let qkv = (config.heads + 2 * config.kv_heads) * config.head_dim * config.hidden_size;
    let out = config.heads * config.head_dim * config.hidden_size;
    let gates = if matches!(config.mlp, Mlp::Gated(_)) { 3 } else { 2 };
    qkv + out + gates * config.hidden_size * config.intermediate_size
}

/// Operations of requests computed under their own plan.
///
/// # Errors
/// Errors of [`Forest::build`].
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
