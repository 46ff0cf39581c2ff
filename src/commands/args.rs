//! Flags that several commands share.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::config::scope::{LogprobOf, StateLayers, Under};
use crate::config::{
    CaptureSettings, DataSettings, DeviceName, Dtype, JudgeMode, JudgeSettings, JudgeTemplateName,
    ModelSettings, TemplateName,
};
use crate::error::Result;
use crate::forest::Pool;
use crate::input::{ReadOptions, read_constitutions};
use crate::model::{ModelSource, Quantization};
use crate::run::capture::CaptureOptions;
use crate::theory::LayerChoice;
use crate::units::{ByteSize, Layer, LayerList, OneOf};

#[derive(Debug, Args)]
pub struct ComputeArgs {
    /// Branch, tag or commit of a model on the hub [default: main]
    #[arg(long)]
    pub revision: Option<String>,
    /// Tokenizer to use instead of the model's: tokenizer.json, or the folder that holds it
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<PathBuf>,
    /// Number format of the computation [default: f32]
    #[arg(long, value_parser = one_of::<Dtype>())]
    pub dtype: Option<Dtype>,
    /// cpu, cuda or cuda:N [default: cuda:0 if built for it, else cpu]
    #[arg(long)]
    pub device: Option<DeviceName>,
    /// Round the weights to a GGUF type, such as Q4_K, and compute with the rounded weights
    #[arg(long, value_name = "TYPE")]
    pub quantize: Option<String>,
    /// Folder of a LoRA adapter in PEFT's layout, merged into the weights before any rounding
    #[arg(long, value_name = "DIR")]
    pub adapter: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct LoadArgs {
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Read weights block by block as they are used, for models larger than memory
    #[arg(long)]
    pub stream: bool,
    /// Template: none, chat, or a Jinja file [default: chat if the model has one, else none]
    #[arg(long, value_name = "none|chat|FILE")]
    pub template: Option<TemplateName>,
}

#[derive(Debug, Args)]
pub struct ModelArgs {
    /// The model: a folder in Hugging Face layout, a GGUF file, an id on the hub (owner/name; for a GGUF file
    /// owner/name:FILE.gguf or owner/name:Q4_K_M), or embedded:NAME
    #[arg(long, value_name = "DIR|FILE|ID|embedded:NAME")]
    pub model: String,
    #[command(flatten)]
    pub load: LoadArgs,
}

#[derive(Debug, Args)]
pub struct DataArgs {
    /// Items: JSON lines, JSON, CSV, TSV (also .gz) or parquet files, or hf://owner/name[:SPLIT]; several may be given
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// Constitutions: TOML files, folders of them, or `none` for the bare context
    #[arg(long, num_args = 1.., value_name = "FILE|none")]
    pub constitution: Vec<PathBuf>,
    /// Read at most this many items
    #[arg(long)]
    pub limit: Option<usize>,
    /// Skip items that cannot be read, and report their number
    #[arg(long)]
    pub skip_bad: bool,
    /// Name of the value, for data without one
    #[arg(long)]
    pub value_name: Option<String>,
}

#[derive(Debug, Args)]
pub struct CaptureArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub data: DataArgs,
    /// Layers to keep: `all`, or numbers and ranges such as `0,4-8`
    #[arg(long, visible_alias = "layer", default_value = "all")]
    pub layers: LayerList,
    /// How the tokens of a response are pooled into one vector
    #[arg(long, value_parser = one_of::<Pool>(), default_value = "mean")]
    pub pool: Pool,
    /// Maximum memory of the forward pass in addition to the weights, such as 2GB; with --stream, a job that needs
    /// more reads the weights several times
    #[arg(long)]
    pub memory: Option<ByteSize>,
    /// Rows for which log P is computed: all, or only the bare ones
    #[arg(long, value_parser = one_of::<LogprobOf>(), default_value = "all")]
    pub logprob: LogprobOf,
    /// Folder for the observations
    #[arg(long)]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct JudgeArgs {
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// What the judge is asked: pairwise, or a score of each response; `pairwise implicit` gives both [default: as
    /// the template, else pairwise]
    #[arg(long, value_parser = one_of::<JudgeMode>(), num_args = 1..=2, value_delimiter = ',')]
    pub mode: Vec<JudgeMode>,
    /// Judge template: chat, base, base-short, chat-pointwise, base-pointwise, hearth, hearth-pointwise, or a TOML
    /// file [default: one that suits model and mode]
    #[arg(long)]
    pub judge: Option<String>,
    /// Maximum number of pairs per prompt [default: all of two responses, a ring of more]
    #[arg(long)]
    pub max_pairs: Option<usize>,
    /// Layers at which the state is stored at the judge's answer: auto (eight), none, all, or numbers and ranges
    #[arg(long, default_value = "auto")]
    pub judge_layers: StateLayers,
}

impl JudgeArgs {
    /// Settings of the judge.
    pub fn settings(&self) -> JudgeSettings {
        JudgeSettings {
            modes: self.mode.clone(),
            template: self.judge.as_deref().map(JudgeTemplateName::from),
            max_pairs_per_prompt: self.max_pairs,
            layers: self.judge_layers.clone(),
        }
    }
}

impl DataArgs {
    /// Constitution files, and whether the bare context is read as well; only the bare context if none are given.
    pub fn constitutions(&self) -> (Vec<PathBuf>, bool) {
        let files: Vec<PathBuf> =
            self.constitution.iter().filter(|c| c.as_os_str() != "none").cloned().collect();
        let bare = self.constitution.is_empty() || files.len() < self.constitution.len();
        (files, bare)
    }

    /// Selection of items, and how to read them.
    pub fn settings(&self) -> DataSettings {
        let read =
            ReadOptions { skip_bad: self.skip_bad, limit: self.limit, value_name: self.value_name.clone() };
        DataSettings { files: self.data.clone(), read }
    }
}

impl ComputeArgs {
    /// Settings for the given model, in memory.
    ///
    /// # Errors
    /// As [`ModelSource::parse`]; `Invalid` for an unknown type in `--quantize`.
    pub fn settings(&self, model: &str) -> Result<ModelSettings> {
        Ok(ModelSettings {
            source: ModelSource::parse(model, self.revision.as_deref())?,
            tokenizer: self.tokenizer.clone(),
            dtype: self.dtype.unwrap_or_default(),
            device: self.device,
            quantize: self.quantize.as_deref().map(str::parse::<Quantization>).transpose()?,
            adapter: self.adapter.clone(),
            ..ModelSettings::new(model)?
        })
    }
}

impl ModelArgs {
    /// Settings of the model.
    ///
    /// # Errors
    /// As [`ModelSource::parse`].
    pub fn settings(&self) -> Result<ModelSettings> {
        Ok(ModelSettings { stream: self.load.stream, ..self.load.compute.settings(&self.model)? })
    }
}

impl CaptureArgs {
    /// The options of the capture.
    ///
    /// # Errors
    /// Errors of reading the constitutions and of [`ModelSource::parse`].
    pub fn options(&self) -> Result<CaptureOptions> {
        let (constitutions, bare) = self.data.constitutions();
        let constitutions = read_constitutions(&constitutions)?;
        Ok(CaptureOptions {
            model: self.model.settings()?,
            data: self.data.settings(),
            capture: CaptureSettings {
                template: self.model.load.template.clone(),
                layers: self.layers.clone(),
                pool: self.pool,
                memory: self.memory,
                under: Under::All,
                logprob: self.logprob,
            },
            constitutions,
            bare,
        })
    }
}

/// Parser of a flag that takes one of several words.
pub fn one_of<T: OneOf>() -> impl TypedValueParser<Value = T> {
    let words = T::WORDS.iter().map(|(word, _, about)| PossibleValue::new(*word).help(*about));
    PossibleValuesParser::new(words)
        .try_map(|word| T::of_word(&word).ok_or_else(|| format!("`{word}` is none of the words")))
}

/// `auto` or a number.
pub fn layer(text: &str) -> Result<LayerChoice, String> {
    match text {
        "auto" => Ok(LayerChoice::Auto),
        number => match number.parse() {
            Ok(layer) => Ok(LayerChoice::Fixed(Layer(layer))),
            Err(_) => Err(format!("expected `auto` or a number, found `{number}`")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_constitution_the_bare_context_is_read_alone() {
        let args = |list: &[&str]| DataArgs {
            data: Vec::new(),
            constitution: list.iter().map(PathBuf::from).collect(),
            limit: None,
            skip_bad: false,
            value_name: None,
        };
        assert_eq!(args(&[]).constitutions(), (vec![], true));
        assert_eq!(args(&["a.toml"]).constitutions(), (vec![PathBuf::from("a.toml")], false));
        assert_eq!(args(&["none", "a.toml"]).constitutions(), (vec![PathBuf::from("a.toml")], true));
    }
}
