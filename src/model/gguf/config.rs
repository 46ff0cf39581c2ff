//! Translates the metadata of a GGUF file to the `config.json` that Hugging Face has for the same model.
//!
//! llama.cpp omits its built-in settings: activations, which blocks slide or rotate if that is fixed, Gemma's query
//! scale. The values used here follow the models of each architecture.

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::GgufFile;
use super::keys::Keys;
use crate::error::{Diagnostic, Error, Kind, Result};
use crate::model::config::Config;

/// GGUF architectures, each with its Hugging Face `model_type`.
pub const ARCHITECTURES: &[(&str, &str)] = &[
    ("llama", "llama"),
    ("qwen2", "qwen2"),
    ("qwen3", "qwen3"),
    ("gemma", "gemma"),
    ("gemma2", "gemma2"),
    ("gemma3", "gemma3_text"),
    ("phi3", "phi3"),
    ("gpt2", "gpt2"),
    ("gptneox", "gpt_neox"),
    ("olmo2", "olmo2"),
    ("smollm3", "smollm3"),
    ("granite", "granite"),
];

/// The validated config of the model in a file.
///
/// # Errors
/// [`Kind::Unsupported`] for an architecture, or a setting of one, that is not implemented; `Malformed`, `Missing` or
/// `Invalid` for inconsistent settings.
pub fn config(file: &GgufFile) -> Result<Config> {
    let metadata = file.metadata();
    let kind = metadata.str("general.type")?.unwrap_or("model");
    let name = metadata.required("general.architecture", super::Metadata::str)?;
    let Some((arch, model_type)) = ARCHITECTURES.iter().find(|(arch, _)| *arch == name && kind == "model")
    else {
        let known: Vec<&str> = ARCHITECTURES.iter().map(|(arch, _)| *arch).collect();
        let key = if kind == "model" { "general.architecture" } else { "general.type" };
        return Err(Diagnostic::new(
            Kind::Unsupported,
            "a GGUF file that holds no model which is implemented",
        )
        .at(metadata.place(key))
        .expected(format!("a model of architecture {}", known.join(", ")))
        .found(if kind == "model" { name.to_owned() } else { kind.to_owned() })
        .remedy("`vstar models` lists the families that are computed")
        .into());
    };
    let mut translation =
        Translation { file, keys: Keys::new(metadata, arch), map: Map::new(), from: Vec::new() };
    translation.put("model_type", (*model_type).into());
    translation.all()?;
    translation.keys.finish()?;
    translation.config()
}

/// A config under construction.
pub(super) struct Translation<'a> {
    pub(super) file: &'a GgufFile,
    pub(super) keys: Keys<'a>,
    pub(super) map: Map<String, Value>,
    /// Pairs of a config key and the metadata key that it came from.
    from: Vec<(&'static str, String)>,
}

/// Sizes from which several settings are derived.
pub(super) struct Sizes {
    pub(super) hidden: usize,
    pub(super) blocks: usize,
    pub(super) heads: usize,
    pub(super) head_dim: usize,
}

impl Translation<'_> {
    pub(super) fn put(&mut self, key: &'static str, value: Value) {
        self.map.insert(key.to_owned(), value);
    }

    /// Sets a config key from the value of a metadata key.
    pub(super) fn set(&mut self, key: &'static str, source: &str, value: impl Into<Value>) {
        self.from.push((key, self.keys.whole(source)));
        self.map.insert(key.to_owned(), value.into());
    }

    pub(super) fn has(&self, tensor: &str) -> bool {
        self.file.shape(tensor).is_some()
    }

    fn config(self) -> Result<Config> {
        let path: PathBuf = self.file.metadata().path().to_owned();
        let text = Value::Object(self.map).to_string();
        Config::from_json(&text, &path).map_err(|error| match error {
            // Users see the metadata's key, not the config's.
            Error::Diagnostic(mut diagnostic) => {
                let id = diagnostic.place.id.clone().unwrap_or_default();
                let top = id.split('.').next().unwrap_or_default();
                if let Some((_, source)) = self.from.iter().find(|(key, _)| *key == top) {
                    diagnostic.place.id = Some(source.clone());
                }
                Error::Diagnostic(diagnostic)
            }
            other => other,
        })
    }

    fn all(&mut self) -> Result<()> {
        let sizes = self.sizes()?;
        match self.keys.arch() {
            "gpt2" => return self.gpt2(&sizes),
            "gptneox" => self.gpt_neox(&sizes)?,
            _ => {
                let eps = self.keys.f64("attention.layer_norm_rms_epsilon")?;
                self.set("rms_norm_eps", "attention.layer_norm_rms_epsilon", eps);
            }
        }
        self.biases();
        self.rope(&sizes)?;
        self.windows(&sizes)?;
        self.scales(&sizes)?;
        if self.keys.arch() == "smollm3" {
            // Built into llama.cpp, since SmolLM3 is the only such model.
            self.put("no_rope_layer_interval", 4.into());
        }
        Ok(())
    }

    fn sizes(&mut self) -> Result<Sizes> {
        let keys = &self.keys;
        let hidden = keys.usize("embedding_length")?;
        let blocks = keys.usize("block_count")?;
        let context = keys.usize("context_length")?;
        let width = keys.usize("feed_forward_length")?;
        let heads = keys.usize("attention.head_count")?;
        // Lists with one entry per block are allocated before the config is checked.
        for (key, value, most) in [("block_count", blocks, 4096), ("attention.head_count", heads, 1 << 16)] {
            if value == 0 || value > most {
                return Err(keys.invalid(key, format!("a number from 1 to {most}"), value.to_string()));
            }
        }
        let kv_heads = keys.usize_opt("attention.head_count_kv")?.unwrap_or(heads);
        let natural = hidden.is_multiple_of(heads).then(|| hidden / heads);
        let key_length = keys.usize_opt("attention.key_length")?;
        let head_dim = key_length.or(natural).ok_or_else(|| {
            let found = format!("{heads}, and no key_length");
            keys.invalid("attention.head_count", format!("a divisor of embedding_length = {hidden}"), found)
        })?;
        let value_length = keys.usize_opt("attention.value_length")?.unwrap_or(natural.unwrap_or(head_dim));
        if value_length != head_dim {
            let expected = format!("values as wide as keys, {head_dim}");
            return Err(keys.unsupported("attention.value_length", &expected, value_length.to_string()));
        }
        let Some(&[vocabulary, _]) = self.file.shape("token_embd.weight") else {
            return Err(Diagnostic::new(Kind::Weights, "no matrix of token embeddings")
                .at(self.file.place("token_embd.weight"))
                .expected("a tensor token_embd.weight [vocabulary, width]")
                .remedy("take the file of a whole language model")
                .into());
        };
        self.set("hidden_size", "embedding_length", hidden);
        self.set("num_hidden_layers", "block_count", blocks);
        self.set("max_position_embeddings", "context_length", context);
        self.set("intermediate_size", "feed_forward_length", width);
        self.set("num_attention_heads", "attention.head_count", heads);
        self.set("num_key_value_heads", "attention.head_count_kv", kv_heads);
        self.set("head_dim", "attention.key_length", head_dim);
        self.put("vocab_size", vocabulary.into());
        let tied = !self.has("output.weight");
        self.put("tie_word_embeddings", tied.into());
        Ok(Sizes { hidden, blocks, heads, head_dim })
    }

    fn gpt2(&mut self, sizes: &Sizes) -> Result<()> {
        if sizes.head_dim.checked_mul(sizes.heads) != Some(sizes.hidden) {
            let expected = "heads that share the width";
            return Err(self.keys.unsupported("attention.key_length", expected, sizes.head_dim.to_string()));
        }
        if self.map.get("num_key_value_heads") != self.map.get("num_attention_heads") {
            let expected = "keys and values for each head";
            return Err(self.keys.unsupported("attention.head_count_kv", expected, "fewer"));
        }
        let eps = self.keys.f64("attention.layer_norm_epsilon")?;
        self.set("layer_norm_epsilon", "attention.layer_norm_epsilon", eps);
        let inner = self.map.get("intermediate_size").cloned().unwrap_or_default();
        self.set("n_inner", "feed_forward_length", inner);
        self.no_buffers(&[])
    }

    fn gpt_neox(&mut self, sizes: &Sizes) -> Result<()> {
        let eps = self.keys.f64("attention.layer_norm_epsilon")?;
        self.set("layer_norm_eps", "attention.layer_norm_epsilon", eps);
        let parallel = self.keys.bool_opt("use_parallel_residual")?.unwrap_or(true);
        self.set("use_parallel_residual", "use_parallel_residual", parallel);
        // Pythia and related models use the exact GELU, GPT-NeoX-20B the tanh form; the file does not tell them apart.
        let original = sizes.blocks == 44 && sizes.hidden == 6144;
        self.put("hidden_act", if original { "gelu_fast" } else { "gelu" }.into());
        Ok(())
    }

    fn biases(&mut self) {
        let has = |projection: &str| self.has(&format!("blk.0.{projection}.bias"));
        let (attention, mlp) = (has("attn_q") || has("attn_qkv") || has("attn_output"), has("ffn_up"));
        match self.keys.arch() {
            // These always, or never, have biases on query, key and value.
            "qwen2" | "phi3" => {}
            "gptneox" => self.put("attention_bias", attention.into()),
            _ => {
                self.put("attention_bias", attention.into());
                self.put("mlp_bias", mlp.into());
            }
        }
    }
}
