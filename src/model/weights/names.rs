//! Each family's tensor names and projection layouts.

use super::TensorSource;
use crate::model::config::{Config, Family, Mlp};

/// Layout of a projection in the checkpoint; names are without `.weight` and `.bias`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Projection {
    /// Matrices `[rows, columns]` to be stacked, with the number of rows of each.
    Rows(Vec<(String, usize)>),
    /// One matrix `[columns, rows]` (GPT-2's `Conv1D`).
    Transposed(String),
    /// Query, key and value interleaved head by head: rows ordered `[heads, 3, head_dim]` (GPT-NeoX).
    ByHead {
        /// Name of the matrix.
        prefix: String,
        /// Number of heads.
        heads: usize,
    },
}

/// Names of the tensors outside the blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// Token embeddings.
    pub embedding: String,
    /// Learned position embeddings.
    pub positions: String,
    /// Final norm, without `.weight`.
    pub final_norm: String,
    /// Output head.
    pub head: String,
    blocks: String,
}

impl Names {
    /// The names in this source: with the wrapper's prefix (`model.` or similar), or without it, as in bare models.
    pub fn new(family: Family, source: &dyn TensorSource) -> Self {
        let (prefix, embedding, positions, final_norm, head, blocks) = match family {
            Family::Gpt2 => ("transformer.", "wte.weight", "wpe.weight", "ln_f", "lm_head.weight", "h."),
            Family::GptNeox => {
                ("gpt_neox.", "embed_in.weight", "", "final_layer_norm", "embed_out.weight", "layers.")
            }
            _ => ("model.", "embed_tokens.weight", "", "norm", "lm_head.weight", "layers."),
        };
        let prefix = if source.contains(embedding) { "" } else { prefix };
        Self {
            embedding: format!("{prefix}{embedding}"),
            positions: format!("{prefix}{positions}"),
            final_norm: format!("{prefix}{final_norm}"),
            head: head.to_owned(),
            blocks: format!("{prefix}{blocks}"),
        }
    }

    /// The names of block `index`, counted from 0.
    pub fn block(&self, config: &Config, index: usize) -> BlockNames {
        BlockNames::new(config, &format!("{}{index}.", self.blocks))
    }
}

/// Tensor names of a block; norms are without `.weight`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockNames {
    /// Norm before attention.
    pub before_attention: String,
    /// Norm after attention.
    pub after_attention: String,
    /// Norm before the MLP.
    pub before_mlp: String,
    /// Norm after the MLP.
    pub after_mlp: String,
    /// Norm on queries.
    pub query_norm: String,
    /// Norm on keys.
    pub key_norm: String,
    /// Query, key and value projections.
    pub qkv: Projection,
    /// Attention output projection.
    pub out: Projection,
    /// Gate and up projections, or up alone.
    pub up: Projection,
    /// Down projection.
    pub down: Projection,
}

impl BlockNames {
    fn new(config: &Config, prefix: &str) -> Self {
        let name = |tail: &str| format!("{prefix}{tail}");
        let one = |tail: &str, rows: usize| Projection::Rows(vec![(name(tail), rows)]);
        let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
        let (q_rows, kv_rows) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        let (qkv, out, up, down) = match config.family {
            Family::Gpt2 => (
                Projection::Transposed(name("attn.c_attn")),
                Projection::Transposed(name("attn.c_proj")),
                Projection::Transposed(name("mlp.c_fc")),
                Projection::Transposed(name("mlp.c_proj")),
            ),
            Family::GptNeox => (
                Projection::ByHead { prefix: name("attention.query_key_value"), heads: config.heads },
                one("attention.dense", hidden),
                one("mlp.dense_h_to_4h", intermediate),
                one("mlp.dense_4h_to_h", hidden),
            ),
            Family::Phi3 => (
                one("self_attn.qkv_proj", q_rows + 2 * kv_rows),
                one("self_attn.o_proj", hidden),
                one("mlp.gate_up_proj", 2 * intermediate),
                one("mlp.down_proj", hidden),
            ),
            _ => (
                Projection::Rows(vec![
                    (name("self_attn.q_proj"), q_rows),
                    (name("self_attn.k_proj"), kv_rows),
                    (name("self_attn.v_proj"), kv_rows),
                ]),
                one("self_attn.o_proj", hidden),
                match config.mlp {
                    Mlp::Gated(_) => Projection::Rows(vec![
                        (name("mlp.gate_proj"), intermediate),
                        (name("mlp.up_proj"), intermediate),
                    ]),
                    Mlp::Plain(_) => one("mlp.up_proj", intermediate),
                },
                one("mlp.down_proj", hidden),
            ),
        };
        let [before_attention, after_attention, before_mlp, after_mlp] = match config.family {
            Family::Gpt2 => ["ln_1", "", "ln_2", ""],
            Family::Gemma2 | Family::Gemma3Text => [
                "input_layernorm",
                "post_attention_layernorm",
                "pre_feedforward_layernorm",
                "post_feedforward_layernorm",
            ],
            Family::Olmo2 => ["", "post_attention_layernorm", "", "post_feedforward_layernorm"],
            // In a pre-norm block the norm before the MLP is called "post attention".
            _ => ["input_layernorm", "", "post_attention_layernorm", ""],
        };
        Self {
            before_attention: name(before_attention),
            after_attention: name(after_attention),
            before_mlp: name(before_mlp),
            after_mlp: name(after_mlp),
            query_norm: name("self_attn.q_norm"),
            key_norm: name("self_attn.k_norm"),
            qkv,
            out,
            up,
            down,
        }
    }
}
