//! What a model's files say before its weights are read: config, tokenizer, special tokens, template.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::Config;
use super::files::ModelFiles;
use super::gguf::{self, GgufCheckpoint, GgufFile, GgufText};
use super::load::LoadOptions;
use super::text::TextEncoder;
use super::weights::{Checkpoint, WeightFiles};
use crate::artifact;
use crate::error::{Error, Kind, Place, Refusal, Result};

/// What a model's files say, before the weights are read.
pub(super) struct Described {
    pub(super) config: Config,
    pub(super) encoder: TextEncoder,
    pub(super) special: SpecialTokens,
    pub(super) config_sha256: String,
    pub(super) tokenizer_sha256: String,
    pub(super) weights: Arc<dyn WeightFiles>,
}

impl Described {
    /// A model's files.
    ///
    /// # Errors
    /// What [`Config::from_json`], [`TextEncoder::open`], [`Checkpoint::open`] and [`GgufFile::open`] refuse.
    pub(super) fn read(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        match files.gguf() {
            Some(file) => Self::gguf(file, files.tokenizer(), options),
            None => Self::folder(files.path(), files.tokenizer(), options),
        }
    }

    fn folder(folder: &Path, tokenizer: Option<PathBuf>, options: &LoadOptions) -> Result<Self> {
        let config_path = folder.join("config.json");
        let config_text = read_text(&config_path)?.ok_or_else(|| {
            Refusal::new(Kind::Missing, "no config.json")
                .at(Place::file(&config_path))
                .expected("a folder in Hugging Face layout: config.json, tokenizer.json, *.safetensors")
                .remedy("point --model at the folder that holds these files, or at a GGUF file")
        })?;
        let config = Config::from_json(&config_text, &config_path)?;
        let tokenizer = tokenizer.unwrap_or_else(|| folder.join("tokenizer.json"));
        let (encoder, special) = with_tokenizer(&tokenizer, config.bos)?;
        let encoder = encoder.with_context(config.context);
        Ok(Self {
            config_sha256: artifact::sha256(config_text.as_bytes()),
            tokenizer_sha256: artifact::sha256_file(&tokenizer)?,
            weights: Arc::new(Checkpoint::open(folder, options.dtype, &options.device)?),
            config,
            encoder,
            special,
        })
    }

    fn gguf(path: &Path, tokenizer: Option<PathBuf>, options: &LoadOptions) -> Result<Self> {
        let file = GgufFile::open(path)?;
        let config = gguf::config(&file)?;
        let sha256 = file.metadata_sha256().to_owned();
        let (encoder, special, tokenizer_sha256) = match tokenizer {
            None => {
                let text = GgufText::read(file.metadata())?;
                let special = SpecialTokens { special: text.special, chat: text.chat };
                (TextEncoder::from_tokenizer(text.tokenizer, path, text.bos), special, sha256.clone())
            }
            Some(tokenizer) => {
                let (encoder, mut special) = with_tokenizer(&tokenizer, None)?;
                if special.chat.is_none() {
                    special.chat = file.metadata().str("tokenizer.chat_template")?.map(str::to_owned);
                }
                (encoder, special, artifact::sha256_file(&tokenizer)?)
            }
        };
        let encoder = encoder.with_context(config.context);
        Ok(Self {
            config_sha256: sha256,
            tokenizer_sha256,
            weights: Arc::new(GgufCheckpoint::new(file, &config, options.dtype, &options.device)),
            config,
            encoder,
            special,
        })
    }
}

/// A `tokenizer.json`, with the special tokens and the template in the files beside it.
fn with_tokenizer(tokenizer: &Path, bos_id: Option<u32>) -> Result<(TextEncoder, SpecialTokens)> {
    let special = SpecialTokens::read(tokenizer.parent().unwrap_or(Path::new("")))?;
    let bos = special.special.get("bos_token").map(String::as_str);
    Ok((TextEncoder::open(tokenizer, bos, bos_id)?, special))
}

/// Special tokens and the chat template of a model's folder.
pub(super) struct SpecialTokens {
    pub(super) special: BTreeMap<String, String>,
    pub(super) chat: Option<String>,
}

impl SpecialTokens {
    fn read(folder: &Path) -> Result<Self> {
        let mut special = BTreeMap::new();
        let mut chat = None;
        // The later file wins: tokenizer_config.json is what transformers reads first.
        for file in ["special_tokens_map.json", "tokenizer_config.json"] {
            let path = folder.join(file);
            let Some(text) = read_text(&path)? else { continue };
            let json: serde_json::Value = serde_json::from_str(&text).map_err(|e| {
                Refusal::new(Kind::Malformed, "not JSON").at(Place::file(&path)).found(e.to_string())
            })?;
            for (key, value) in json.as_object().into_iter().flatten() {
                let content = value.as_str().or_else(|| value.get("content").and_then(|c| c.as_str()));
                if let (true, Some(content)) = (key.ends_with("_token"), content) {
                    special.insert(key.clone(), content.to_owned());
                }
            }
            chat = json.get("chat_template").and_then(named_template).or(chat);
        }
        if let Some(text) = read_text(&folder.join("chat_template.jinja"))? {
            chat = Some(text);
        }
        Ok(Self { special, chat })
    }
}

/// A chat template is a string, or a list of `{name, template}` of which `default` counts.
fn named_template(value: &serde_json::Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let list = value.as_array()?;
    let default = list.iter().find(|t| t.get("name").and_then(|n| n.as_str()) == Some("default"));
    default.or(list.first())?.get("template")?.as_str().map(str::to_owned)
}

pub(super) fn read_text(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", path, e)),
    }
}
