//! Which model, how it is computed, and the template that puts items to it.

use std::path::PathBuf;

use crate::error::{Kind, Refusal, Result};
use crate::model::chat::Template;
use crate::model::hub::Downloads;
use crate::model::{LoadOptions, Model, ModelFiles, ModelSource, Quantization, device, dtype};
use crate::units::Layer;

/// What a command that runs a model is told of it.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// The model, as the user names it.
    pub name: String,
    /// Where it comes from.
    pub source: ModelSource,
    /// A tokenizer instead of the model's: `tokenizer.json`, or the folder that holds it.
    pub tokenizer: Option<PathBuf>,
    /// dtype of the computation: `f32`, `bf16`, `f16`.
    pub dtype: String,
    /// `cpu`, `cuda:N`; `None`: as built.
    pub device: Option<String>,
    /// Whether weights are read as they are used.
    pub stream: bool,
    /// The GGUF type through which the weights are rounded.
    pub quantize: Option<Quantization>,
    /// `none`, `chat`, a file; `None`: as the model suggests.
    pub template: Option<String>,
}

/// A model with the template that puts items to it.
pub struct Opened {
    /// The model.
    pub model: Model,
    /// The template.
    pub template: Template,
    /// Its name for the record.
    pub template_name: String,
}

impl ModelOptions {
    /// How the weights are loaded.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a dtype or device that does not parse or is not there.
    pub fn load(&self) -> Result<LoadOptions> {
        Ok(LoadOptions {
            dtype: dtype(&self.dtype)?,
            device: device(self.device.as_deref())?,
            stream: self.stream,
            quantize: self.quantize,
        })
    }

    /// Fetches the model's files; `downloads` listens meanwhile.
    ///
    /// # Errors
    /// As [`ModelSource::fetch`].
    pub fn fetch(&self, downloads: &mut dyn Downloads) -> Result<ModelFiles> {
        Ok(self.source.fetch(downloads)?.with_tokenizer(self.tokenizer.as_deref()))
    }

    /// Fetches and opens the model; `downloads` listens meanwhile.
    ///
    /// # Errors
    /// What [`ModelOptions::load`], the hub, the model's files and the template refuse.
    pub fn open(&self, downloads: &mut dyn Downloads) -> Result<Opened> {
        let load = self.load()?;
        let files = self.fetch(downloads)?;
        downloads.begin_step("load the model");
        let model = Model::open(&files, &self.name, &load);
        downloads.end_step();
        let model = model?;
        let (template, template_name) = model.template(self.template.as_deref())?;
        Ok(Opened { model, template, template_name })
    }
}

impl Opened {
    /// Layers asked for by number, each once, rising; `None`: all, 0 (the embeddings' output) to the number of blocks.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a layer that the model does not have.
    pub fn layers(&self, asked: Option<&[usize]>) -> Result<Vec<Layer>> {
        let blocks = self.model.decoder.config().num_blocks();
        let layers = each_once(asked, blocks);
        match layers.iter().find(|l| l.0 > blocks) {
            None => Ok(layers),
            Some(bad) => Err(Refusal::new(Kind::Invalid, format!("the model has no layer {bad}"))
                .expected(format!("0 (the embeddings' output) to {blocks}"))
                .into()),
        }
    }
}

/// Layers asked for by number, each once, rising, in the model or not; `None`: 0 to `blocks`.
pub fn each_once(asked: Option<&[usize]>, blocks: usize) -> Vec<Layer> {
    let mut layers: Vec<Layer> = match asked {
        None => (0..=blocks).map(Layer).collect(),
        Some(list) => list.iter().copied().map(Layer).collect(),
    };
    layers.sort_unstable();
    layers.dedup();
    layers
}
