//! A model's folder in Hugging Face layout: config, tokenizer, weights.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device};
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde_json::json;

use super::lexicon::{LEXICON, SPECIAL};
use super::net::{HEAD, ROPE_BASE, Shape};
use crate::artifact;
use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::model::Config;
use crate::model::ModelFiles;
use crate::model::weights::{Checkpoint, TensorSource};

/// Maximum context length, in tokens.
const CONTEXT: usize = 256;

/// Renders a dialogue in the world's words; a system message becomes a rule.
const CHAT_TEMPLATE: &str = "{% for m in messages %}{% if m['role'] == 'system' %}rule : {{ m['content'] }} . \
{% elif m['role'] == 'user' %}user : {{ m['content'] }} {% else %}bot : {{ m['content'] }}{% endif %}\
{% endfor %}{% if add_generation_prompt %}bot :{% endif %}";

/// Text of `config.json`.
pub fn config_json(shape: &Shape) -> String {
    let config = json!({
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": false,
        "attention_dropout": 0.0,
        "bos_token_id": null,
        "dtype": "float32",
        "eos_token_id": LEXICON.ends(),
        "head_dim": HEAD,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "initializer_range": 0.1,
        "intermediate_size": shape.mlp,
        "max_position_embeddings": CONTEXT,
        "mlp_bias": false,
        "model_type": "llama",
        "num_attention_heads": shape.heads(),
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.heads(),
        "pad_token_id": 0,
        "rms_norm_eps": 1e-5,
        "rope_theta": ROPE_BASE,
        "tie_word_embeddings": true,
        "torch_dtype": "float32",
        "use_cache": true,
        "vocab_size": shape.vocab,
    });
    pretty(&config)
}

fn tokenizer_config_json() -> String {
    pretty(&json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": false,
        "pad_token": SPECIAL[0],
        "unk_token": SPECIAL[1],
        "eos_token": SPECIAL[2],
        "chat_template": CHAT_TEMPLATE,
    }))
}

fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).expect("plain JSON") + "\n"
}

/// Tensors by their Hugging Face Llama names: shape, and range among the parameters.
pub fn tensors(shape: &Shape) -> Vec<(String, Vec<usize>, std::ops::Range<usize>)> {
    let (d, m) = (shape.hidden, shape.mlp);
    let mut out = vec![
        ("model.embed_tokens.weight".to_owned(), vec![shape.vocab, d], shape.embedding()),
        ("model.norm.weight".to_owned(), vec![d], shape.final_norm()),
    ];
    for i in 0..shape.layers {
        let b = shape.block(i);
        let part = |range: &std::ops::Range<usize>, n: usize, size: usize| {
            range.start + n * size..range.start + (n + 1) * size
        };
        let mut put = |name: &str, dims: &[usize], range| {
            out.push((format!("model.layers.{i}.{name}.weight"), dims.to_vec(), range));
        };
        put("input_layernorm", &[d], b.norm1.clone());
        for (n, name) in ["q_proj", "k_proj", "v_proj"].into_iter().enumerate() {
            put(&format!("self_attn.{name}"), &[d, d], part(&b.qkv, n, d * d));
        }
        put("self_attn.o_proj", &[d, d], b.out.clone());
        put("post_attention_layernorm", &[d], b.norm2.clone());
        for (n, name) in ["gate_proj", "up_proj"].into_iter().enumerate() {
            put(&format!("mlp.{name}"), &[m, d], part(&b.gate_up, n, m * d));
        }
        put("mlp.down_proj", &[d, m], b.down.clone());
    }
    out
}

/// Reads a model of this world: its sizes and its parameters.
///
/// # Errors
/// `Unsupported` for a model of another kind; errors of the checkpoint.
pub fn read(files: &ModelFiles) -> Result<(Shape, Vec<f32>)> {
    let path = files.path().join("config.json");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
    let config = Config::from_json(&text, &path)?;
    let gated: usize = config_number(&text, "intermediate_size");
    let shape = Shape {
        vocab: config.vocab_size,
        hidden: config.hidden_size,
        layers: config.num_blocks(),
        mlp: gated,
    };
    let of_this_world = serde_json::from_str::<serde_json::Value>(&text).ok().filter(|own| {
        let ours: serde_json::Value = serde_json::from_str(&config_json(&shape)).unwrap_or_default();
        let decides = [
            "model_type",
            "head_dim",
            "num_attention_heads",
            "num_key_value_heads",
            "rope_theta",
            "tie_word_embeddings",
        ];
        decides.iter().all(|key| own.get(*key) == ours.get(*key)) && shape.vocab == LEXICON.size()
    });
    if of_this_world.is_none() {
        return Err(Diagnostic::new(Kind::Unsupported, "training a model of another kind")
            .at(Place::file(&path))
            .expected("a folder that `vstar organism train` wrote, or embedded:hearth")
            .into());
    }
    let checkpoint = Checkpoint::open(files.path(), DType::F32, &Device::Cpu)?;
    let mut parameters = vec![0f32; shape.parameters()];
    for (name, dims, range) in tensors(&shape) {
        let tensor = checkpoint.tensor(&name, &dims)?.flatten_all()?.to_vec1::<f32>()?;
        parameters[range].copy_from_slice(&tensor);
    }
    Ok((shape, parameters))
}

fn config_number(text: &str, key: &str) -> usize {
    let config: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    config[key].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(0)
}

/// Bytes of `model.safetensors`.
///
/// # Errors
/// `Weights` if the parameters do not match the shape.
pub fn weights(shape: &Shape, parameters: &[f32]) -> Result<Vec<u8>> {
    let bytes: BTreeMap<String, (Vec<usize>, Vec<u8>)> = tensors(shape)
        .into_iter()
        .map(|(name, dims, range)| {
            (name, (dims, parameters[range].iter().flat_map(|x| x.to_le_bytes()).collect()))
        })
        .collect();
    pack(bytes.iter().map(|(name, (dims, bytes))| (name.as_str(), dims.clone(), bytes.as_slice())), None)
}

/// Packs tensors of 32-bit floats into one safetensors file.
pub(super) fn pack<'a>(
    tensors: impl Iterator<Item = (&'a str, Vec<usize>, &'a [u8])>,
    notes: Option<std::collections::HashMap<String, String>>,
) -> Result<Vec<u8>> {
    let broken = |e: safetensors::SafeTensorError| {
        Diagnostic::new(Kind::Weights, "tensors that do not pack").found(e.to_string())
    };
    let views = tensors
        .map(|(name, dims, bytes)| Ok((name, TensorView::new(Dtype::F32, dims, bytes).map_err(broken)?)))
        .collect::<Result<Vec<_>, Diagnostic>>()?;
    let mut notes = notes.unwrap_or_default();
    notes.insert("format".to_owned(), "pt".to_owned());
    Ok(serialize(views, Some(notes)).map_err(broken)?)
}

/// Writes the folder.
///
/// # Errors
/// Errors of the file system.
pub fn write(folder: &Path, shape: &Shape, parameters: &[f32]) -> Result<()> {
    artifact::write_bytes(&folder.join("config.json"), config_json(shape).as_bytes())?;
    artifact::write_bytes(&folder.join("tokenizer.json"), LEXICON.tokenizer_json().as_bytes())?;
    artifact::write_bytes(&folder.join("tokenizer_config.json"), tokenizer_config_json().as_bytes())?;
    artifact::write_bytes(&folder.join("model.safetensors"), &weights(shape, parameters)?)
}
