//! Model selection and computation settings.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use candle_core::{DType, Device};

use super::chat::{Template, TemplateName};
use super::gpu;
use super::hub::Downloads;
use super::load::{LoadOptions, Model};
use super::{ModelFiles, ModelSource, Quantization};
use crate::error::{Diagnostic, Kind, Result};
use crate::units::{Layer, OneOf};

/// Model selection and computation settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSettings {
    /// Where the model comes from.
    pub source: ModelSource,
    /// Name as given by the user.
    pub name: String,
    /// dtype of the computation.
    pub dtype: Dtype,
    /// Device; `None`: the GPU if this build supports one, else the CPU.
    pub device: Option<DeviceName>,
    /// Whether weights are read block by block on use.
    pub stream: bool,
    /// A tokenizer used instead of the model's: `tokenizer.json`, or the folder that holds it.
    pub tokenizer: Option<PathBuf>,
    /// The GGUF type through which the weights are rounded.
    pub quantize: Option<Quantization>,
    /// Folder of a LoRA adapter that is merged into the weights.
    pub adapter: Option<PathBuf>,
}

/// Number format of the computation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dtype {
    /// `f32`
    #[default]
    F32,
    /// `bf16`
    Bf16,
    /// `f16`
    F16,
}

/// A device by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceName {
    /// `cpu`
    Cpu,
    /// `cuda` or `cuda:N`
    Cuda(usize),
}

impl OneOf for Dtype {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        ("f32", Self::F32, "32 bits"),
        ("bf16", Self::Bf16, "16 bits, the range of f32"),
        ("f16", Self::F16, "16 bits, of a smaller range"),
    ];
}

impl Dtype {
    /// The corresponding candle dtype.
    pub fn candle(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }
}

impl DeviceName {
    /// Accepted syntax, for messages.
    pub const GRAMMAR: &'static str = "cpu, cuda or cuda:N";

    /// Opens the device; `None` is the GPU if this program was built for one.
    ///
    /// # Errors
    /// `Unsupported` for a GPU in a build without GPU support; errors of the driver.
    pub fn open(chosen: Option<Self>) -> Result<Device> {
        let built_for = if cfg!(feature = "cuda") { Self::Cuda(0) } else { Self::Cpu };
        match chosen.unwrap_or(built_for) {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(_) if !cfg!(feature = "cuda") => {
                Err(Diagnostic::new(Kind::Unsupported, "this program was built without CUDA")
                    .expected("--device cpu")
                    .remedy("build it with `cargo build --release --features cuda`")
                    .into())
            }
            Self::Cuda(number) => {
                let device = Device::new_cuda(number)?;
                gpu::keep_freed_memory(&device)?;
                Ok(device)
            }
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(n) => write!(f, "cuda:{n}"),
        }
    }
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        let read = match name {
            "cpu" => Some(Self::Cpu),
            "cuda" => Some(Self::Cuda(0)),
            _ => name.strip_prefix("cuda:").and_then(|n| n.parse().ok()).map(Self::Cuda),
        };
        read.ok_or_else(|| format!("expected {}, found `{name}`", Self::GRAMMAR))
    }
}

/// A model with the template that renders items for it.
pub struct Opened {
    /// The model.
    pub model: Model,
    /// The template.
    pub template: Template,
    /// The template's name for the record.
    pub template_name: String,
}

impl ModelSettings {
    /// Loads the named model into memory, in f32, on the build's default device: a folder in Hugging Face layout, a
    /// GGUF file, a hub id, or `embedded:NAME`.
    ///
    /// # Errors
    /// As [`ModelSource::parse`].
    pub fn new(name: &str) -> Result<Self> {
        Ok(Self {
            source: ModelSource::parse(name, None)?,
            name: name.to_owned(),
            dtype: Dtype::default(),
            device: None,
            stream: false,
            tokenizer: None,
            quantize: None,
            adapter: None,
        })
    }

    /// Options for loading the weights.
    ///
    /// # Errors
    /// As [`DeviceName::open`].
    pub fn load(&self) -> Result<LoadOptions> {
        Ok(LoadOptions {
            dtype: self.dtype.candle(),
            device: DeviceName::open(self.device)?,
            stream: self.stream,
            quantize: self.quantize,
            adapter: self.adapter.clone(),
        })
    }

    /// Fetches the model's files; `downloads` receives the progress.
    ///
    /// # Errors
    /// As [`ModelSource::fetch`].
    pub fn fetch(&self, downloads: &mut dyn Downloads) -> Result<ModelFiles> {
        Ok(self.source.fetch(downloads)?.with_tokenizer(self.tokenizer.as_deref()))
    }

    /// Fetches and opens the model with a template (`None`: the model's default); `downloads` receives the progress.
    ///
    /// # Errors
    /// Errors of [`ModelSettings::load`], the hub, the model's files and the template.
    pub fn open(&self, template: Option<&TemplateName>, downloads: &mut dyn Downloads) -> Result<Opened> {
        let load = self.load()?;
        let files = self.fetch(downloads)?;
        downloads.begin_step("load the model");
        let model = Model::open(&files, &self.name, &load);
        downloads.end_step();
        let model = model?;
        let (template, template_name) = model.template(template)?;
        Ok(Opened { model, template, template_name })
    }
}

impl Opened {
    /// The requested layers, without duplicates, in increasing order; `None`: all, from 0 (the embeddings' output) to
    /// the number of blocks.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a layer that the model does not have.
    pub fn layers(&self, asked: Option<&[usize]>) -> Result<Vec<Layer>> {
        let blocks = self.model.decoder.config().num_blocks();
        let layers = each_once(asked, blocks);
        match layers.iter().find(|l| l.0 > blocks) {
            None => Ok(layers),
            Some(bad) => Err(Diagnostic::new(Kind::Invalid, format!("the model has no layer {bad}"))
                .expected(format!("0 (the embeddings' output) to {blocks}"))
                .into()),
        }
    }
}

/// The requested layers, without duplicates, in increasing order, whether or not the model has them; `None`: 0 to
/// `blocks`.
pub fn each_once(asked: Option<&[usize]>, blocks: usize) -> Vec<Layer> {
    let mut layers: Vec<Layer> = match asked {
        None => (0..=blocks).map(Layer).collect(),
        Some(list) => list.iter().copied().map(Layer).collect(),
    };
    layers.sort_unstable();
    layers.dedup();
    layers
}
