//! Settings shared by families: sizes, activations, rotary positions, windows, and Hugging Face's defaults.

use super::family::Family;
use super::raw::Raw;
use super::{Activation, Biases, BlockConfig, Config, Mlp, NormKind, NormPlacement, QkNorm, Residual, Rope};
use crate::error::Result;

pub(super) fn activation(raw: &Raw, key: &str, name: &str) -> Result<Activation> {
    match name {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu" => Ok(Activation::Gelu),
        "gelu_pytorch_tanh" | "gelu_new" | "gelu_fast" => Ok(Activation::GeluTanh),
        "relu" => Ok(Activation::Relu),
        other => {
            Err(raw.unsupported(key, other.to_owned(), "silu, gelu, gelu_pytorch_tanh, gelu_new or relu"))
        }
    }
}

/// Class defaults of Hugging Face that a `config.json` may leave out.
pub(super) struct Defaults {
    pub act: &'static str,
    pub eps: f64,
    pub theta: f64,
    pub tied: bool,
    pub context: usize,
    pub kv_heads: Option<usize>,
    pub head_dim: Option<usize>,
    /// `original_max_position_embeddings`.
    pub pretrained: Option<usize>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            act: "silu",
            eps: 1e-6,
            theta: 10_000.0,
            tied: false,
            context: 2048,
            kv_heads: None,
            head_dim: None,
            pretrained: None,
        }
    }
}

/// Settings shared by Llama-like families: names of the sizes, pre-norm RMS, gated MLP, one rotary base.
pub(super) fn common(raw: &Raw, family: Family, defaults: &Defaults) -> Result<Config> {
    let hidden_size = raw.usize("hidden_size")?;
    let heads = raw.usize("num_attention_heads")?;
    let kv_heads = raw.usize_or("num_key_value_heads", defaults.kv_heads.unwrap_or(heads))?;
    let head_dim = match raw.usize_opt("head_dim")?.or(defaults.head_dim) {
        Some(n) => n,
        None if heads > 0 && hidden_size.is_multiple_of(heads) => hidden_size / heads,
        None => {
            return Err(raw.invalid(
                "num_attention_heads",
                format!("a divisor of hidden_size = {hidden_size}, or an explicit head_dim"),
                heads.to_string(),
            ));
        }
    };
    let context = raw.usize_or("max_position_embeddings", defaults.context)?;
    let blocks = raw.usize("num_hidden_layers")?;
    let act = match raw.str_opt("hidden_activation")? {
        Some(name) => activation(raw, "hidden_activation", name)?,
        None => activation(raw, "hidden_act", raw.str_opt("hidden_act")?.unwrap_or(defaults.act))?,
    };
    let pretrained = raw.usize_opt("original_max_position_embeddings")?.or(defaults.pretrained);
    let rope = rotary(raw, family, head_dim, defaults.theta, pretrained, context)?;
    Ok(Config {
        family,
        hidden_size,
        intermediate_size: raw.usize("intermediate_size")?,
        vocab_size: raw.usize("vocab_size")?,
        context,
        heads,
        kv_heads,
        head_dim,
        blocks: vec![BlockConfig { window: None, rope: Some(0) }; blocks.min(4097)],
        ropes: vec![rope],
        learned_positions: None,
        norm: NormKind::Rms,
        norm_eps: raw.f64_or("rms_norm_eps", defaults.eps)?,
        placement: NormPlacement::Pre,
        residual: Residual::Sequential,
        qk_norm: QkNorm::None,
        biases: Biases { qkv: false, attention_out: false, mlp: false },
        mlp: Mlp::Gated(act),
        attention_scale: (head_dim as f64).powf(-0.5),
        inverse_layer_scale: false,
        attention_softcap: None,
        logit_softcap: None,
        embedding_multiplier: 1.0,
        residual_multiplier: 1.0,
        logit_multiplier: 1.0,
        tied: raw.bool_or("tie_word_embeddings", defaults.tied)?,
        bos: raw.id_opt("bos_token_id"),
    })
}

/// The object with the rotary settings: `rope_scaling` (transformers 4) unless it is empty, else `rope_parameters`
/// (transformers 5), in transformers' order of precedence.
pub(super) fn rope_object(raw: &Raw) -> Result<Option<Raw>> {
    match raw.object("rope_scaling")?.filter(|scaling| !scaling.is_empty()) {
        Some(scaling) => Ok(Some(scaling)),
        None => raw.object("rope_parameters"),
    }
}

/// The rotary embedding from these settings and `rope_theta`.
fn rotary(
    raw: &Raw,
    family: Family,
    head_dim: usize,
    theta: f64,
    pretrained: Option<usize>,
    context: usize,
) -> Result<Rope> {
    let scaling = rope_object(raw)?;
    rotary_from(raw, family, scaling.as_ref(), head_dim, theta, pretrained, context)
}

/// Width of the rotated part of a head.
pub(super) fn rotary_dim(raw: &Raw, head_dim: usize, fraction: f64) -> Result<usize> {
    // Frequency tables are built before the weights could reveal an absurd width.
    const WIDEST: usize = 1 << 16;
    if head_dim == 0 || head_dim > WIDEST {
        return Err(raw.invalid("head_dim", format!("a number from 1 to {WIDEST}"), head_dim.to_string()));
    }
    if !(fraction > 0.0 && fraction <= 1.0) {
        let found = fraction.to_string();
        return Err(raw.invalid("partial_rotary_factor", "a number above 0, at most 1".into(), found));
    }
    Ok((head_dim as f64 * fraction) as usize)
}

/// The rotated fraction of a head. transformers reads it in some families only: in the others it may be present in the
/// config without effect, and with a scaling of the rotary base transformers cannot compute it.
fn whole_unless_partial(raw: &Raw, family: Family, scaling: Option<&Raw>, fraction: f64) -> Result<f64> {
    if family == Family::Phi3 || !(fraction > 0.0 && fraction < 1.0) {
        return Ok(fraction);
    }
    let kind = |s: &Raw| {
        Ok::<_, crate::error::Error>(s.str_opt("rope_type")?.or(s.str_opt("type")?).map(str::to_owned))
    };
    if let Some(kind) = scaling.map(kind).transpose()?.flatten().filter(|kind| kind != "default") {
        return Err(raw.unsupported(
            "partial_rotary_factor",
            format!("{fraction}, with rotary positions of the type `{kind}`"),
            "whole heads in this family",
        ));
    }
    tracing::warn!(
        "`partial_rotary_factor` of {fraction} is left out of account, as transformers does for {}",
        family.model_type()
    );
    Ok(1.0)
}

pub(super) fn rotary_from(
    raw: &Raw,
    family: Family,
    scaling: Option<&Raw>,
    head_dim: usize,
    theta: f64,
    pretrained: Option<usize>,
    context: usize,
) -> Result<Rope> {
    let inside = |key: &str| scaling.map_or(Ok(None), |s| s.f64_opt(key));
    let theta = match inside("rope_theta")? {
        Some(theta) => theta,
        None => raw.f64_or("rope_theta", theta)?,
    };
    if !(theta.is_finite() && theta > 1.0) {
        return Err(raw.invalid("rope_theta", "a number above 1".into(), theta.to_string()));
    }
    let fraction = match inside("partial_rotary_factor")? {
        Some(fraction) => fraction,
        None => raw.f64_or("partial_rotary_factor", 1.0)?,
    };
    let fraction = whole_unless_partial(raw, family, scaling, fraction)?;
    let dim = rotary_dim(raw, head_dim, fraction)?;
    match scaling {
        Some(scaling) => Rope::scaled(dim, theta, scaling, pretrained, context),
        None => Ok(Rope::plain(dim, theta)),
    }
}

/// Which blocks use a sliding window: `layer_types` if the config has it, else the family's own rule.
pub(super) fn windows(
    raw: &Raw,
    config: &mut Config,
    window: Option<usize>,
    slides: impl Fn(usize) -> bool,
) -> Result<Vec<bool>> {
    let n = config.blocks.len();
    let types = raw.str_list("layer_types")?;
    if let Some(types) = &types
        && types.len() != n
    {
        return Err(raw.invalid(
            "layer_types",
            format!("{n} entries, one a block"),
            format!("{} entries", types.len()),
        ));
    }
    let mut sliding = Vec::with_capacity(n);
    for i in 0..n {
        sliding.push(match types.as_ref().map(|t| t[i]) {
            Some("sliding_attention") => true,
            Some("full_attention") => false,
            Some(other) => {
                return Err(raw.unsupported(
                    "layer_types",
                    other.to_owned(),
                    "full_attention or sliding_attention",
                ));
            }
            None => slides(i),
        });
    }
    for (block, &slides) in config.blocks.iter_mut().zip(&sliding) {
        if slides {
            match window {
                Some(0) => return Err(raw.invalid("sliding_window", "at least 1".into(), "0".into())),
                Some(w) => block.window = Some(w),
                None => {
                    return Err(raw.invalid(
                        "sliding_window",
                        "a width, since blocks slide".into(),
                        "nothing".into(),
                    ));
                }
            }
        }
    }
    Ok(sliding)
}
