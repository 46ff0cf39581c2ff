//! Keys and values of computed tokens, so that a text that grows token by token is computed once.

use candle_core::Tensor;

use crate::error::{Diagnostic, Kind, Result};
use crate::model::packing::Packing;

/// Keys and values of a forest's computed tokens at every block, in the order of the packing.
#[derive(Default)]
pub struct Cache {
    blocks: Vec<Kept>,
    tokens: usize,
}

/// Keys and values at one block.
#[derive(Default)]
pub(super) enum Kept {
    /// Nothing yet.
    #[default]
    Empty,
    /// Of the fused engine: rows of keys, then values, `[tokens, 2·kv_heads·head_dim]`.
    Rows(Vec<f32>),
    /// Of the other engines, `[tokens, kv_heads, head_dim]` each.
    Tensors { keys: Tensor, values: Tensor },
}

impl Cache {
    /// Number of tokens whose keys and values are held.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Prepares for the fresh tokens of a packing.
    pub(super) fn begin(&mut self, packing: &Packing, blocks: usize) -> Result<()> {
        let fresh = packing.fresh();
        if fresh.start != self.tokens {
            return Err(Diagnostic::new(Kind::Invalid, "a cache of other tokens than the forest's")
                .expected(format!("the {} tokens before the fresh ones", fresh.start))
                .found(format!("{} tokens", self.tokens))
                .into());
        }
        self.blocks.resize_with(blocks, Kept::default);
        self.tokens = fresh.end;
        Ok(())
    }

    /// What is held at block `index`, counted from 0.
    pub(super) fn block(&mut self, index: usize) -> &mut Kept {
        &mut self.blocks[index]
    }
}

impl Kept {
    /// Appends keys and values of fresh tokens, and returns those of all tokens.
    pub(super) fn append(&mut self, keys: Tensor, values: Tensor) -> Result<(Tensor, Tensor)> {
        let (keys, values) = match &*self {
            Self::Tensors { keys: k, values: v } => {
                (Tensor::cat(&[k, &keys], 0)?, Tensor::cat(&[v, &values], 0)?)
            }
            Self::Empty | Self::Rows(_) => (keys, values),
        };
        *self = Self::Tensors { keys: keys.clone(), values: values.clone() };
        Ok((keys, values))
    }

    /// Appends the columns from `from` on of rows of queries, keys and values, and returns those of all tokens.
    pub(super) fn append_rows(&mut self, qkv: &[f32], width: usize, from: usize) -> &[f32] {
        if !matches!(self, Self::Rows(_)) {
            *self = Self::Rows(Vec::new());
        }
        match self {
            Self::Rows(rows) => {
                for row in qkv.chunks_exact(width) {
                    rows.extend_from_slice(&row[from..]);
                }
                rows
            }
            Self::Empty | Self::Tensors { .. } => &[],
        }
    }
}
