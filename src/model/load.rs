//! Loads a model: decoder, tokenizer, template and identity.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};

use super::chat::{Template, TemplateName};
use super::decoder::{Decoder, SharedSource};
use super::describe::Described;
use super::embedded;
use super::files::ModelFiles;
use super::gguf;
use super::hub::{self, Downloads};
use super::naming;
use super::text::TextEncoder;
use super::tokenizer::{ModelText, read_text};
use super::weights::{Adapted, Adapter, Count, Quantization, Rounded, bits_per_weight};
use crate::artifact;
use crate::error::{Diagnostic, Kind, Place, Result};

/// Where a model comes from, as given by the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// A folder in Hugging Face layout.
    Folder(PathBuf),
    /// A GGUF file; any part of a split model.
    Gguf(PathBuf),
    /// A repository on the hub.
    Hub {
        /// `owner/name`.
        id: String,
        /// Branch, tag or commit; `None`: the hub's `main`.
        revision: Option<String>,
        /// A GGUF file of the repository, or the type at the end of its name; `None`: safetensors.
        gguf: Option<String>,
    },
    /// A model embedded in the program.
    Embedded(String),
}

/// Prefix of the names of embedded models.
const EMBEDDED: &str = "embedded:";

impl ModelSource {
    /// Parses `DIR`, `FILE.gguf`, `owner/name`, `owner/name:FILE.gguf`, `owner/name:Q4_K_M` or `embedded:NAME`. Local
    /// files take precedence over a hub id; `revision` applies to the hub only. The URL of a model's page is read as
    /// its id, a folder `models--owner--name` of the hub's cache as its commit, and GPT-2's old names without owner as
    /// the new ones.
    ///
    /// # Errors
    /// [`Kind::Missing`] for a name that is none of these; [`Kind::Invalid`] for a revision of something that has none.
    pub fn parse(name: &str, revision: Option<&str>) -> Result<Self> {
        let (name, addressed) = naming::unaddressed(name);
        let (name, revision) = (name.as_str(), revision.or(addressed.as_deref()));
        let path = PathBuf::from(name);
        let on_hub = |id: &str, gguf: Option<&str>| Self::Hub {
            id: id.to_owned(),
            revision: revision.map(str::to_owned),
            gguf: gguf.map(str::to_owned),
        };
        let source = if let Some(embedded) = name.strip_prefix(EMBEDDED) {
            Self::Embedded(embedded.to_owned())
        } else if path.is_dir() {
            Self::Folder(naming::snapshot(path)?)
        } else if gguf::is_gguf(&path) {
            Self::Gguf(path)
        } else if let Some((id, file)) = hub::gguf_id(name).filter(|_| !path.exists()) {
            on_hub(id, Some(file))
        } else if hub::is_id(name) && gguf::strip_extension(name).is_none() && !path.exists() {
            on_hub(name, None)
        } else {
            return Err(Diagnostic::new(Kind::Missing, format!("no model `{name}`"))
                .expected(
                    "a folder that holds config.json, tokenizer.json and *.safetensors; a GGUF file; the id of a \
                     model on the hub, owner/name, with :FILE.gguf or :TYPE for a GGUF file there; or embedded:NAME",
                )
                .found(if path.exists() { "a file that is not GGUF" } else { "no such file or folder" })
                .remedy("check the path; an id on the hub has an owner")
                .into());
        };
        match (&source, revision) {
            (Self::Folder(_) | Self::Gguf(_) | Self::Embedded(_), Some(revision)) => {
                let found = match source {
                    Self::Folder(_) => "a folder",
                    Self::Gguf(_) => "a GGUF file",
                    _ => "an embedded model",
                };
                Err(Diagnostic::new(Kind::Invalid, format!("revision `{revision}` of `{name}`"))
                    .expected("a model on the hub: other models have no revisions")
                    .found(found)
                    .remedy("leave the revision out; such a model is known by the hashes of its files")
                    .into())
            }
            _ => Ok(source),
        }
    }

    /// Fetches the files if they are not on disk; environment variables determine how the hub is reached.
    ///
    /// # Errors
    /// Errors of [`hub::bring`]; `Missing` for an unknown embedded model.
    pub fn fetch(&self, downloads: &mut dyn Downloads) -> Result<ModelFiles> {
        match self {
            Self::Folder(folder) => Ok(ModelFiles::folder(folder)),
            Self::Gguf(file) => Ok(ModelFiles::gguf_file(file)),
            Self::Hub { id, revision, gguf } => {
                hub::bring(id, revision.as_deref(), gguf.as_deref(), downloads)
            }
            Self::Embedded(name) => {
                let files = embedded::files(name).ok_or_else(|| {
                    let known: Vec<String> =
                        embedded::names().iter().map(|n| format!("{EMBEDDED}{n}")).collect();
                    Diagnostic::new(
                        Kind::Missing,
                        format!("no model `{EMBEDDED}{name}` comes with the program"),
                    )
                    .expected(if known.is_empty() {
                        "nothing: this build has no model of its own".to_owned()
                    } else {
                        format!("one of {}", known.join(", "))
                    })
                    .remedy("give one of these, a folder, or the id of a model on the hub")
                })?;
                ModelFiles::in_memory(files)
            }
        }
    }
}

/// How a model is computed.
#[derive(Debug, Clone)]
pub struct LoadOptions {
    /// dtype of the computation.
    pub dtype: DType,
    /// Device of the computation.
    pub device: Device,
    /// Whether weights are read block by block on use, instead of kept in memory.
    pub stream: bool,
    /// GGUF type through which the weights are rounded; `None`: weights are used as stored.
    pub quantize: Option<Quantization>,
    /// Folder of a LoRA adapter that is merged into the weights before any rounding.
    pub adapter: Option<PathBuf>,
}

/// Identity of a model: enough to tell whether two captures read the same model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Name as given by the user.
    pub name: String,
    /// Commit on the hub; empty for models from elsewhere.
    pub revision: String,
    /// `model_type`.
    pub family: String,
    /// Number of parameters stored in the checkpoint.
    pub parameters: usize,
    /// SHA-256 of `config.json`, or of the metadata of a GGUF file.
    pub config_sha256: String,
    /// SHA-256 of `tokenizer.json`, or of the metadata of a GGUF file.
    pub tokenizer_sha256: String,
    /// SHA-256 of the special and added tokens named in files beside the tokenizer; empty for a GGUF file, whose
    /// metadata contain them.
    #[serde(default)]
    pub special_sha256: String,
    /// SHA-256 of each weight file, by file name.
    pub weights_sha256: BTreeMap<String, String>,
    /// SHA-256 of the chat template; empty if the model has none.
    pub template_sha256: String,
    /// GGUF type through which the weights were rounded at load; empty if they were not.
    #[serde(default)]
    pub quantize: String,
    /// SHA-256 of the LoRA adapter merged into the weights; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub adapter_sha256: String,
    /// Mean number of bits per weight, after rounding, over the weights that the decoder reads.
    #[serde(default)]
    pub bits_per_weight: Option<f64>,
}

impl Identity {
    /// Hash of the function that the weights compute: family, config, weights and their rounding, independent of paths
    /// and names.
    pub fn fingerprint(&self) -> String {
        let weights: Vec<&String> = self.weights_sha256.values().collect();
        let mut all = serde_json::json!([self.family, self.config_sha256, weights, self.quantize]);
        if let Some(all) = all.as_array_mut().filter(|_| !self.adapter_sha256.is_empty()) {
            all.push(self.adapter_sha256.clone().into());
        }
        artifact::sha256(all.to_string().as_bytes())
    }
}

/// Warns where an adapter names another base model than the one at hand; names differ between a hub id and a folder, so that
/// only the last part counts.
fn warn_of_another_base(adapter: &Adapter, name: &str) {
    let last = |name: &str| name.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_lowercase();
    if let Some(base) = adapter.base().filter(|base| last(base) != last(name)) {
        tracing::warn!("the adapter was made for `{base}`, and is merged into `{name}`");
    }
}

/// A loaded model with its tokenizer, identity and templates.
pub struct Model {
    /// The decoder.
    pub decoder: Decoder,
    /// The model's tokenizer.
    pub encoder: TextEncoder,
    /// What identifies the model.
    pub identity: Identity,
    /// Tensors of the checkpoint that the decoder does not use.
    pub unused: Vec<String>,
    /// Number of matrices rounded at load, by the type used.
    pub rounded: BTreeMap<&'static str, Count>,
    chat: Option<String>,
    special: BTreeMap<String, String>,
    ends: Vec<u32>,
    files: ModelFiles,
}

impl Model {
    /// Loads a model, fetching it first if needed, with settings from the environment and without progress reports.
    ///
    /// # Errors
    /// Errors of [`ModelSource::fetch`] and [`Model::open`].
    pub fn load(source: &ModelSource, name: &str, options: &LoadOptions) -> Result<Self> {
        Self::open(&source.fetch(&mut hub::Unwatched)?, name, options)
    }

    /// Loads a model from its files: the config is checked before any weight is read.
    ///
    /// # Errors
    /// Errors of the config, the tokenizer and the weights; [`Kind::Weights`] for cached files that differ from what
    /// the hub sent.
    pub fn open(files: &ModelFiles, name: &str, options: &LoadOptions) -> Result<Self> {
        // Weights to be rounded on the CPU are read as stored.
        let read = match options.quantize {
            None => options.clone(),
            Some(_) => LoadOptions {
                dtype: Rounded::inner_dtype(options.dtype),
                device: Device::Cpu,
                ..options.clone()
            },
        };
        let Described { config, text, config_sha256, weights, ends } = Described::read(files, &read)?;
        let ModelText { encoder, special, chat, sha256: tokenizer_sha256, special_sha256 } = text;
        let mut weights_sha256 = BTreeMap::new();
        for path in weights.paths() {
            let file = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            weights_sha256.insert(file, artifact::sha256_file(path)?);
        }
        files.verify(&weights_sha256)?;
        let adapter = options.adapter.as_deref().map(Adapter::open).transpose()?;
        let adapter_sha256 = adapter.as_ref().map_or_else(String::new, |a| a.sha256().to_owned());
        let merged: SharedSource = match adapter {
            None => weights.clone(),
            Some(adapter) => {
                warn_of_another_base(&adapter, name);
                let adapted = Adapted::new(weights.clone(), adapter, config.family.model_type() == "gpt2");
                adapted.check()?;
                Arc::new(adapted)
            }
        };
        let rounded = options
            .quantize
            .map(|through| Arc::new(Rounded::new(merged.clone(), through, options.dtype, &options.device)));
        let source: SharedSource = match &rounded {
            Some(rounded) => rounded.clone(),
            None => merged,
        };
        let decoder = if options.stream {
            Decoder::stream(config.clone(), &source)?
        } else {
            Decoder::load(config.clone(), source.as_ref())?
        };
        weights.may_be_left_out()?;
        let identity = Identity {
            name: name.to_owned(),
            revision: files.revision().to_owned(),
            family: config.family.model_type().to_owned(),
            parameters: weights.parameters(),
            config_sha256,
            tokenizer_sha256,
            special_sha256,
            weights_sha256,
            template_sha256: chat.as_ref().map_or_else(String::new, |t| artifact::sha256(t.as_bytes())),
            quantize: options.quantize.map_or_else(String::new, |q| q.name().to_owned()),
            adapter_sha256,
            bits_per_weight: bits_per_weight(&source.stored()),
        };
        Ok(Self {
            decoder,
            encoder,
            identity,
            unused: weights.unused(),
            rounded: rounded.map_or_else(BTreeMap::new, |r| r.counts()),
            chat,
            special,
            ends,
            files: files.clone(),
        })
    }

    /// The files that the model was read from.
    pub fn files(&self) -> &ModelFiles {
        &self.files
    }

    /// Tokens that end a generated text, in increasing order: those that the model's files name.
    pub fn ends(&self) -> &[u32] {
        &self.ends
    }

    /// Whether the model's files include a chat template.
    pub fn has_chat_template(&self) -> bool {
        self.chat.is_some()
    }

    /// The template requested by the user: `none`, `chat`, a Jinja file, or (for `None`) chat if the model has a chat
    /// template and none otherwise. The second value is its name for the record.
    ///
    /// # Errors
    /// `Missing` for `chat` if the model has no chat template, or for a missing file; `Malformed` for a template that
    /// does not parse.
    pub fn template(&self, choice: Option<&TemplateName>) -> Result<(Template, String)> {
        let suggested = if self.has_chat_template() { TemplateName::Chat } else { TemplateName::Plain };
        match choice.unwrap_or(&suggested) {
            TemplateName::Plain => Ok((Template::Plain, "none".to_owned())),
            TemplateName::Chat => {
                let Some(chat) = &self.chat else {
                    return Err(Diagnostic::new(Kind::Missing, "the model has no chat template")
                        .at(Place::file(self.files.path()))
                        .expected(
                            "`chat_template` in tokenizer_config.json, chat_template.jinja, or \
                             tokenizer.chat_template in the metadata of a GGUF file",
                        )
                        .remedy("use --template none, or --template FILE with a template of your own")
                        .into());
                };
                let template =
                    Template::jinja(chat, self.special.clone(), &self.files.path().join("chat_template"))?;
                Ok((template, "chat".to_owned()))
            }
            TemplateName::File(path) => {
                let shown = path.display();
                let text = read_text(path)?.ok_or_else(|| {
                    Diagnostic::new(Kind::Missing, format!("no template `{shown}`"))
                        .expected("none, chat, or a Jinja file")
                        .remedy("check the path")
                })?;
                let name = format!("{shown} sha256:{}", artifact::sha256(text.as_bytes()));
                Ok((Template::jinja(&text, self.special.clone(), path)?, name))
            }
        }
    }
}
