//! Reads a model's description before its weights: config, tokenizer and related files.

use std::path::Path;
use std::sync::Arc;

use super::config::Config;
use super::ends;
use super::files::ModelFiles;
use super::gguf::{self, GgufCheckpoint, GgufFile};
use super::load::LoadOptions;
use super::tokenizer::{ModelText, read_text};
use super::weights::{Checkpoint, WeightFiles};
use crate::artifact;
use crate::error::{Diagnostic, Kind, Place, Result};

/// The contents of a model's files other than its weights.
pub(super) struct Described {
    pub(super) config: Config,
    pub(super) text: ModelText,
    pub(super) config_sha256: String,
    pub(super) weights: Arc<dyn WeightFiles>,
    /// Tokens that end a generated text.
    pub(super) ends: Vec<u32>,
}

impl Described {
    /// Reads a model's files except the weights.
    ///
    /// # Errors
    /// Errors of [`Config::from_json`], [`ModelText`], [`Checkpoint::open`] and [`GgufFile::open`].
    pub(super) fn read(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        match files.gguf() {
            Some(file) => Self::gguf(file, files.tokenizer().as_deref(), options),
            None => Self::folder(files.path(), files.tokenizer().as_deref(), options),
        }
    }

    fn folder(folder: &Path, tokenizer: Option<&Path>, options: &LoadOptions) -> Result<Self> {
        let config_path = folder.join("config.json");
        let config_text = read_text(&config_path)?.ok_or_else(|| {
            Diagnostic::new(Kind::Missing, "no config.json")
                .at(Place::file(&config_path))
                .expected("a folder in Hugging Face layout: config.json, tokenizer.json, *.safetensors")
                .remedy("point --model at the folder that holds these files, or at a GGUF file")
        })?;
        let config = Config::from_json(&config_text, &config_path)?;
        let text = ModelText::folder(folder, tokenizer, config.bos)?.with_context(config.context);
        Ok(Self {
            ends: ends::of_folder(folder, &config_text, text.eos())?,
            config_sha256: artifact::sha256(config_text.as_bytes()),
            weights: Arc::new(Checkpoint::open(folder, options.dtype, &options.device)?),
            config,
            text,
        })
    }

    fn gguf(path: &Path, tokenizer: Option<&Path>, options: &LoadOptions) -> Result<Self> {
        let file = GgufFile::open(path)?;
        let config = gguf::config(&file)?;
        let sha256 = file.metadata_sha256().to_owned();
        let text = ModelText::gguf(file.metadata(), &sha256, tokenizer)?.with_context(config.context);
        Ok(Self {
            ends: ends::of_gguf(file.metadata(), text.eos())?,
            config_sha256: sha256,
            weights: Arc::new(GgufCheckpoint::new(file, &config, options.dtype, &options.device)),
            config,
            text,
        })
    }
}
