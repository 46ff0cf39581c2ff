//! Model families: turns each family's `config.json` into a [`Config`], with Hugging Face's defaults.

use super::raw::Raw;
use super::shared::{Defaults, activation, common, rope_object, rotary_dim, rotary_from, windows};
use super::{Activation, Biases, BlockConfig, Config, Mlp, NormKind, NormPlacement, QkNorm, Residual, Rope};
use crate::error::Result;

/// A decoder family that this program implements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// Llama 1 to 3.x, SmolLM, SmolLM2 and other models with their layout.
    Llama,
    /// Mistral 7B and related models.
    Mistral,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3, dense.
    Qwen3,
    /// Gemma 1.
    Gemma,
    /// Gemma 2.
    Gemma2,
    /// Gemma 3, text only.
    Gemma3Text,
    /// Phi 3, 3.5 and 4 mini.
    Phi3,
    /// GPT-2.
    Gpt2,
    /// GPT-NeoX and Pythia.
    GptNeox,
    /// OLMo 2.
    Olmo2,
    /// SmolLM 3.
    SmolLm3,
    /// Granite 3.
    Granite,
}

/// Every family: its `model_type`, and a description of which parts of its config are computed or refused.
pub const FAMILIES: &[(Family, &str, &str)] = &[
    (
        Family::Llama,
        "llama",
        "grouped heads, explicit head_dim, attention and MLP biases, rope scaling default, linear, llama3, yarn",
    ),
    (Family::Mistral, "mistral", "sliding window, grouped heads, explicit head_dim"),
    (Family::Qwen2, "qwen2", "QKV bias, sliding windows above max_window_layers or by layer_types, yarn"),
    (Family::Qwen3, "qwen3", "QK-norm per head, explicit head_dim, attention bias, sliding windows"),
    (Family::Gemma, "gemma", "1 + w norms, scaled embeddings"),
    (Family::Gemma2, "gemma2", "soft caps on scores and logits, alternating windows, query_pre_attn_scalar"),
    (
        Family::Gemma3Text,
        "gemma3_text",
        "two rotary bases, window pattern, QK-norm; bidirectional attention is refused",
    ),
    (Family::Phi3, "phi3", "partial rotary, longrope, sliding window, fused projections"),
    (Family::Gpt2, "gpt2", "learned positions, inverse-layer scaling; cross-attention is refused"),
    (Family::GptNeox, "gpt_neox", "parallel and sequential residual, partial rotary"),
    (Family::Olmo2, "olmo2", "norms after attention and MLP, QK-norm over all heads"),
    (Family::SmolLm3, "smollm3", "layers without rotary positions, sliding windows"),
    (Family::Granite, "granite", "embedding, attention, residual and logit multipliers"),
];

impl Family {
    /// Hugging Face's `model_type`.
    pub fn model_type(self) -> &'static str {
        FAMILIES.iter().find(|(f, ..)| *f == self).map_or("", |(_, name, _)| name)
    }
}

/// Dispatches on `model_type`.
pub(super) fn config(raw: &Raw) -> Result<Config> {
    let known = || FAMILIES.iter().map(|(_, name, _)| *name).collect::<Vec<_>>().join(", ");
    let Some(name) = raw.str_opt("model_type")? else {
        return Err(raw.unsupported("model_type", "nothing".into(), &known()));
    };
    let Some((family, ..)) = FAMILIES.iter().find(|(_, n, _)| *n == name) else {
        return Err(raw.unsupported("model_type", name.to_owned(), &known()));
    };
    if raw.has("quantization_config") {
        return Err(raw.unsupported(
            "quantization_config",
            "a quantised checkpoint".into(),
            "f32, bf16 or f16 weights",
        ));
    }
    if raw.bool_or("is_encoder_decoder", false)? || raw.bool_or("add_cross_attention", false)? {
        return Err(raw.unsupported("add_cross_attention", "true".into(), "a decoder on its own"));
    }
    match family {
        Family::Llama => llama(raw),
        Family::Mistral => mistral(raw),
        Family::Qwen2 => qwen2(raw),
        Family::Qwen3 => qwen3(raw),
        Family::Gemma => gemma(raw),
        Family::Gemma2 => gemma2(raw),
        Family::Gemma3Text => gemma3(raw),
        Family::Phi3 => phi3(raw),
        Family::Gpt2 => gpt2(raw),
        Family::GptNeox => gpt_neox(raw),
        Family::Olmo2 => olmo2(raw),
        Family::SmolLm3 => smollm3(raw),
        Family::Granite => granite(raw),
    }
}

fn llama(raw: &Raw) -> Result<Config> {
    let mut c = common(raw, Family::Llama, &Defaults::default())?;
    let bias = raw.bool_or("attention_bias", false)?;
    c.biases = Biases { qkv: bias, attention_out: bias, mlp: raw.bool_or("mlp_bias", false)? };
    Ok(c)
}

fn mistral(raw: &Raw) -> Result<Config> {
    let defaults = Defaults { context: 4096 * 32, kv_heads: Some(8), ..Defaults::default() };
    let mut c = common(raw, Family::Mistral, &defaults)?;
    // An absent key means the class default; only `null` disables the window.
    let window = if raw.mentions("sliding_window") { raw.usize_opt("sliding_window")? } else { Some(4096) };
    windows(raw, &mut c, window, |_| window.is_some())?;
    Ok(c)
}

/// Qwen's rule: windows apply if `use_sliding_window` is set, and only from block `max_window_layers` on.
fn qwen_windows(raw: &Raw, c: &mut Config, default_max: usize) -> Result<()> {
    let on = raw.bool_or("use_sliding_window", false)?;
    let window = if on { Some(raw.usize_or("sliding_window", 4096)?) } else { None };
    let from = raw.usize_or("max_window_layers", default_max)?;
    windows(raw, c, window, |i| on && i >= from)?;
    Ok(())
}

fn qwen2(raw: &Raw) -> Result<Config> {
    let defaults = Defaults { context: 32_768, ..Defaults::default() };
    let mut c = common(raw, Family::Qwen2, &defaults)?;
    c.biases.qkv = true;
    qwen_windows(raw, &mut c, 28)?;
    Ok(c)
}

fn qwen3(raw: &Raw) -> Result<Config> {
    let defaults = Defaults { context: 32_768, head_dim: Some(128), ..Defaults::default() };
    let mut c = common(raw, Family::Qwen3, &defaults)?;
    let bias = raw.bool_or("attention_bias", false)?;
    c.biases = Biases { qkv: bias, attention_out: bias, mlp: false };
    c.qk_norm = QkNorm::PerHead;
    qwen_windows(raw, &mut c, 28)?;
    Ok(c)
}

fn gemma_defaults(context: usize) -> Defaults {
    Defaults { act: "gelu_pytorch_tanh", tied: true, context, head_dim: Some(256), ..Defaults::default() }
}

fn gemma_common(raw: &Raw, family: Family, defaults: &Defaults) -> Result<Config> {
    let mut c = common(raw, family, defaults)?;
    let bias = raw.bool_or("attention_bias", false)?;
    c.biases = Biases { qkv: bias, attention_out: bias, mlp: false };
    c.norm = NormKind::RmsPlusOne;
    c.embedding_multiplier = (c.hidden_size as f64).sqrt();
    if raw.bool_or("use_bidirectional_attention", false)? {
        return Err(raw.unsupported("use_bidirectional_attention", "true".into(), "causal attention"));
    }
    Ok(c)
}

fn gemma(raw: &Raw) -> Result<Config> {
    let mut c = gemma_common(raw, Family::Gemma, &gemma_defaults(8192))?;
    // Early files say "gelu"; the model was trained with, and transformers computes, the tanh form.
    if !raw.has("hidden_activation") && c.mlp == Mlp::Gated(Activation::Gelu) {
        c.mlp = Mlp::Gated(Activation::GeluTanh);
    }
    Ok(c)
}

fn gemma2(raw: &Raw) -> Result<Config> {
    let mut c = gemma_common(raw, Family::Gemma2, &Defaults { kv_heads: Some(4), ..gemma_defaults(8192) })?;
    c.placement = NormPlacement::Sandwich;
    c.attention_scale = raw.f64_or("query_pre_attn_scalar", 256.0)?.powf(-0.5);
    c.attention_softcap = softcap(raw, "attn_logit_softcapping", Some(50.0))?;
    c.logit_softcap = softcap(raw, "final_logit_softcapping", Some(30.0))?;
    let window = raw.usize_or("sliding_window", 4096)?;
    windows(raw, &mut c, Some(window), |i| i.is_multiple_of(2))?;
    Ok(c)
}

fn gemma3(raw: &Raw) -> Result<Config> {
    let defaults = Defaults { kv_heads: Some(4), theta: 1_000_000.0, ..gemma_defaults(131_072) };
    // The nested form of transformers 5 has one object per kind of block.
    let nested = raw.object("rope_parameters")?;
    let mut c = gemma_common(raw, Family::Gemma3Text, &defaults)?;
    c.placement = NormPlacement::Sandwich;
    c.qk_norm = QkNorm::PerHead;
    c.attention_scale = raw.f64_or("query_pre_attn_scalar", 256.0)?.powf(-0.5);
    c.attention_softcap = softcap(raw, "attn_logit_softcapping", None)?;
    c.logit_softcap = softcap(raw, "final_logit_softcapping", None)?;
    let (full, local) = match nested {
        Some(n) if n.has("full_attention") || n.has("sliding_attention") => {
            (n.object("full_attention")?, n.object("sliding_attention")?)
        }
        _ => (raw.object("rope_scaling")?, None),
    };
    let local_theta = raw.f64_or("rope_local_base_freq", 10_000.0)?;
    let local_rope = match local {
        Some(local) => rotary_from(raw, c.family, Some(&local), c.head_dim, local_theta, None, c.context)?,
        None => Rope::plain(c.head_dim, local_theta),
    };
    // If each kind of block has its own object, transformers ignores everything outside it.
    let full_rope = rotary_from(raw, c.family, full.as_ref(), c.head_dim, defaults.theta, None, c.context)?;
    c.ropes = vec![full_rope, local_rope];
    let window = raw.usize_or("sliding_window", 4096)?;
    let pattern = raw.usize_or("sliding_window_pattern", raw.usize_or("_sliding_window_pattern", 6)?)?.max(1);
    let sliding = windows(raw, &mut c, Some(window), |i| !(i + 1).is_multiple_of(pattern))?;
    for (block, slides) in c.blocks.iter_mut().zip(sliding) {
        block.rope = Some(usize::from(slides));
    }
    Ok(c)
}

/// Soft cap: the key's number, `None` if the key is `null`, the class default if it is absent.
fn softcap(raw: &Raw, key: &str, default: Option<f64>) -> Result<Option<f64>> {
    let cap = if raw.mentions(key) { raw.f64_opt(key)? } else { default };
    match cap {
        Some(c) if !(c.is_finite() && c > 0.0) => {
            Err(raw.invalid(key, "a positive number".into(), c.to_string()))
        }
        cap => Ok(cap),
    }
}

fn phi3(raw: &Raw) -> Result<Config> {
    let defaults = Defaults { eps: 1e-5, context: 4096, pretrained: Some(4096), ..Defaults::default() };
    let mut c = common(raw, Family::Phi3, &defaults)?;
    let window = raw.usize_opt("sliding_window")?;
    windows(raw, &mut c, window, |_| window.is_some())?;
    Ok(c)
}

fn olmo2(raw: &Raw) -> Result<Config> {
    let defaults = Defaults { eps: 1e-5, ..Defaults::default() };
    let mut c = common(raw, Family::Olmo2, &defaults)?;
    let bias = raw.bool_or("attention_bias", false)?;
    c.biases = Biases { qkv: bias, attention_out: bias, mlp: false };
    c.placement = NormPlacement::Post;
    c.qk_norm = QkNorm::Whole;
    Ok(c)
}

fn smollm3(raw: &Raw) -> Result<Config> {
    let defaults = Defaults {
        theta: 2_000_000.0,
        tied: true,
        context: 32_768,
        kv_heads: Some(4),
        ..Defaults::default()
    };
    let mut c = common(raw, Family::SmolLm3, &defaults)?;
    let bias = raw.bool_or("attention_bias", false)?;
    c.biases = Biases { qkv: bias, attention_out: bias, mlp: raw.bool_or("mlp_bias", false)? };
    let n = c.blocks.len();
    // Despite its name, the list marks the blocks that DO rotate.
    let rotates: Vec<bool> = match raw.usize_list("no_rope_layers")? {
        Some(list) if list.len() == n => list.iter().map(|&v| v != 0).collect(),
        Some(list) => {
            return Err(raw.invalid(
                "no_rope_layers",
                format!("{n} entries"),
                format!("{} entries", list.len()),
            ));
        }
        None => {
            let interval = raw.usize_or("no_rope_layer_interval", 4)?.max(1);
            (0..n).map(|i| !(i + 1).is_multiple_of(interval)).collect()
        }
    };
    let on = raw.bool_or("use_sliding_window", false)?;
    let window = if on { raw.usize_opt("sliding_window")? } else { None };
    windows(raw, &mut c, window, |i| on && window.is_some() && !rotates[i])?;
    for (block, rotates) in c.blocks.iter_mut().zip(rotates) {
        block.rope = rotates.then_some(0);
    }
    Ok(c)
}

fn granite(raw: &Raw) -> Result<Config> {
    let mut c = common(raw, Family::Granite, &Defaults::default())?;
    let bias = raw.bool_or("attention_bias", false)?;
    c.biases = Biases { qkv: bias, attention_out: bias, mlp: raw.bool_or("mlp_bias", false)? };
    c.attention_scale = raw.f64_or("attention_multiplier", 1.0)?;
    c.embedding_multiplier = raw.f64_or("embedding_multiplier", 1.0)?;
    c.residual_multiplier = raw.f64_or("residual_multiplier", 1.0)?;
    c.logit_multiplier = 1.0 / raw.f64_or("logits_scaling", 1.0)?;
    Ok(c)
}

fn gpt2(raw: &Raw) -> Result<Config> {
    // GPT-2 predates the common key names; newer files may use either.
    let size = |old: &str, new: &str| -> Result<usize> {
        match raw.usize_opt(old)? {
            Some(n) => Ok(n),
            None => raw.usize(new),
        }
    };
    let hidden_size = size("n_embd", "hidden_size")?;
    let heads = size("n_head", "num_attention_heads")?;
    if heads == 0 || !hidden_size.is_multiple_of(heads) {
        return Err(raw.invalid("n_head", format!("a divisor of n_embd = {hidden_size}"), heads.to_string()));
    }
    let positions = size("n_positions", "max_position_embeddings")?;
    let head_dim = hidden_size / heads;
    let act =
        activation(raw, "activation_function", raw.str_opt("activation_function")?.unwrap_or("gelu_new"))?;
    let scaled = raw.bool_or("scale_attn_weights", true)?;
    Ok(Config {
        family: Family::Gpt2,
        hidden_size,
        intermediate_size: raw.usize_or("n_inner", hidden_size.saturating_mul(4))?,
        vocab_size: raw.usize("vocab_size")?,
        context: positions,
        heads,
        kv_heads: heads,
        head_dim,
        blocks: vec![
            BlockConfig { window: None, rope: None };
            size("n_layer", "num_hidden_layers")?.min(4097)
        ],
        ropes: Vec::new(),
        learned_positions: Some(positions),
        norm: NormKind::Layer,
        norm_eps: raw.f64_or("layer_norm_epsilon", 1e-5)?,
        placement: NormPlacement::Pre,
        residual: Residual::Sequential,
        qk_norm: QkNorm::None,
        biases: Biases { qkv: true, attention_out: true, mlp: true },
        mlp: Mlp::Plain(act),
        attention_scale: if scaled { (head_dim as f64).powf(-0.5) } else { 1.0 },
        inverse_layer_scale: raw.bool_or("scale_attn_by_inverse_layer_idx", false)?,
        attention_softcap: None,
        logit_softcap: None,
        embedding_multiplier: 1.0,
        residual_multiplier: 1.0,
        logit_multiplier: 1.0,
        tied: raw.bool_or("tie_word_embeddings", true)?,
        bos: raw.id_opt("bos_token_id"),
    })
}

fn gpt_neox(raw: &Raw) -> Result<Config> {
    let defaults = Defaults { act: "gelu", ..Defaults::default() };
    let mut c = common(raw, Family::GptNeox, &defaults)?;
    c.norm = NormKind::Layer;
    c.norm_eps = raw.f64_or("layer_norm_eps", 1e-5)?;
    let Mlp::Gated(act) = c.mlp else { unreachable!("`common` makes a gated MLP") };
    c.mlp = Mlp::Plain(act);
    let bias = raw.bool_or("attention_bias", true)?;
    c.biases = Biases { qkv: bias, attention_out: bias, mlp: true };
    if raw.bool_or("use_parallel_residual", true)? {
        c.residual = Residual::Parallel;
    }
    // Pythia's files use `rotary_pct` and `rotary_emb_base`; transformers 5 moved both into `rope_parameters`.
    let parameters = rope_object(raw)?;
    let inside = |key: &str| parameters.as_ref().map_or(Ok(None), |p| p.f64_opt(key));
    let fraction = match inside("partial_rotary_factor")? {
        Some(fraction) => fraction,
        None => raw.f64_or("rotary_pct", 0.25)?,
    };
    let theta = match inside("rope_theta")? {
        Some(theta) => theta,
        None => raw.f64_or("rotary_emb_base", raw.f64_or("rope_theta", 10_000.0)?)?,
    };
    let dim = rotary_dim(raw, c.head_dim, fraction)?;
    if !(theta.is_finite() && theta > 1.0) {
        return Err(raw.invalid("rotary_emb_base", "a number above 1".into(), theta.to_string()));
    }
    let pretrained = raw.usize_opt("original_max_position_embeddings")?;
    c.ropes = vec![match &parameters {
        Some(parameters) => Rope::scaled(dim, theta, parameters, pretrained, c.context)?,
        None => Rope::plain(dim, theta),
    }];
    Ok(c)
}
