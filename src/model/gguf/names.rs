//! GGUF tensor names of each family, and their layout.

use crate::model::config::{Config, Family};

/// How a tensor's layout differs from Hugging Face's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Identical.
    Same,
    /// Gemma's norms are stored with 1 added.
    PlusOne,
    /// The rows of each head are stored in pairs `(i, i + head_dim / 2)`, the order in which llama.cpp rotates them.
    Paired {
        /// Number of heads.
        heads: usize,
    },
    /// `[rows, columns]`; GPT-2's `Conv1D` has `[columns, rows]`.
    Linear,
    /// All queries, all keys, all values; GPT-NeoX interleaves them head by head.
    Grouped {
        /// Number of heads.
        heads: usize,
    },
}

/// The GGUF name and layout of the tensor that Hugging Face calls `name`; `None` for a name unknown to the family.
pub(super) fn translate(config: &Config, name: &str) -> Option<(String, Layout)> {
    let (bare, suffix) = name.rsplit_once('.').filter(|(_, s)| matches!(*s, "weight" | "bias"))?;
    let (prefix, blocks) = match config.family {
        Family::Gpt2 => ("transformer.", "h."),
        Family::GptNeox => ("gpt_neox.", "layers."),
        _ => ("model.", "layers."),
    };
    let Some(inside) = bare.strip_prefix(prefix) else {
        return matches!(bare, "lm_head" | "embed_out").then(|| (format!("output.{suffix}"), Layout::Same));
    };
    let (name, layout) = match inside.strip_prefix(blocks).and_then(|rest| rest.split_once('.')) {
        Some((index, tail)) => {
            let index: usize = index.parse().ok()?;
            let tail = block(config.family, tail)?;
            (format!("blk.{index}.{tail}.{suffix}"), layout(config, tail, suffix))
        }
        None => {
            let tail = match inside {
                "embed_tokens" | "wte" | "embed_in" => "token_embd",
                "wpe" => "position_embd",
                "norm" | "ln_f" | "final_layer_norm" => "output_norm",
                _ => return None,
            };
            (format!("{tail}.{suffix}"), layout(config, tail, suffix))
        }
    };
    Some((name, layout))
}

/// GGUF name of a tensor inside a block.
fn block(family: Family, tail: &str) -> Option<&'static str> {
    let sandwich = matches!(family, Family::Gemma2 | Family::Gemma3Text);
    Some(match tail {
        "input_layernorm" | "ln_1" => "attn_norm",
        "self_attn.q_proj" => "attn_q",
        "self_attn.k_proj" => "attn_k",
        "self_attn.v_proj" => "attn_v",
        "self_attn.qkv_proj" | "attn.c_attn" | "attention.query_key_value" => "attn_qkv",
        "self_attn.o_proj" | "attn.c_proj" | "attention.dense" => "attn_output",
        "self_attn.q_norm" => "attn_q_norm",
        "self_attn.k_norm" => "attn_k_norm",
        // A norm applied after attention has its own name; otherwise this is the MLP's norm.
        "post_attention_layernorm" if sandwich || family == Family::Olmo2 => "post_attention_norm",
        "post_attention_layernorm" | "pre_feedforward_layernorm" | "ln_2" => "ffn_norm",
        "post_feedforward_layernorm" => "post_ffw_norm",
        "mlp.gate_proj" => "ffn_gate",
        // Phi-3's gate and up projections are one matrix in both formats.
        "mlp.up_proj" | "mlp.gate_up_proj" | "mlp.c_fc" | "mlp.dense_h_to_4h" => "ffn_up",
        "mlp.down_proj" | "mlp.c_proj" | "mlp.dense_4h_to_h" => "ffn_down",
        _ => return None,
    })
}

fn layout(config: &Config, tail: &str, suffix: &str) -> Layout {
    match config.family {
        // Families whose rotation llama.cpp computes on adjacent pairs.
        Family::Llama | Family::Mistral | Family::SmolLm3 | Family::Granite => match tail {
            "attn_q" => Layout::Paired { heads: config.heads },
            "attn_k" => Layout::Paired { heads: config.kv_heads },
            _ => Layout::Same,
        },
        Family::Gemma | Family::Gemma2 | Family::Gemma3Text if tail.ends_with("norm") => Layout::PlusOne,
        Family::Gpt2 if suffix == "weight" && (tail.starts_with("attn_") || tail.starts_with("ffn_")) => {
            if tail.ends_with("norm") {
                Layout::Same
            } else {
                Layout::Linear
            }
        }
        Family::GptNeox if tail == "attn_qkv" => Layout::Grouped { heads: config.heads },
        _ => Layout::Same,
    }
}
