//! Experiments: settings from a TOML file, from the command line, or both, validated before anything runs.
//!
//! Input paths are relative to the folder of the file, so that an experiment has the same meaning wherever it is
//! started; in command-line settings they are relative to the current folder. `embedded:NAME` refers to data in the
//! program. `out` is relative to the current folder, where the run is started; for an `experiment.toml` in a run's
//! folder, it is that folder.
//!
//! ```toml
#![doc = include_str!("../../experiments/reference.toml")]
//! ```

mod defaults;
mod read;
pub mod scope;
pub mod sweep;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::config::scope::{LogprobOf, StateLayers, Under};
use crate::error::Result;
use crate::input::{Constitution, ReadOptions, read_constitutions};
use crate::judge::JudgeTemplate;

use crate::units::{ByteSize, Layer, LayerList, OneOf};

pub use crate::forest::Pool;
pub use crate::model::chat::TemplateName;
pub use crate::model::settings::{DeviceName, Dtype, ModelSettings};
pub use defaults::{Given, defaults};
pub use read::{MANIFEST, OWN};
pub use sweep::{Cell, Sweep};

/// Settings of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// Model settings.
    pub model: ModelSettings,
    /// Data settings.
    pub data: DataSettings,
    /// Files and folders of constitutions; empty if only the bare context is captured.
    pub constitutions: Vec<PathBuf>,
    /// Names of the selected constitutions; `None`: all.
    pub only: Option<Vec<String>>,
    /// Capture settings.
    pub capture: CaptureSettings,
    /// Judge settings; `None` if no judge is used, or there is no constitution to judge by.
    pub judge: Option<JudgeSettings>,
    /// Fit settings.
    pub fit: FitSettings,
    /// Folder of the run.
    pub out: PathBuf,
    /// Random seed.
    pub seed: u64,
}

/// Selection of items.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataSettings {
    /// Files with the items.
    pub files: Vec<PathBuf>,
    /// Options for reading them.
    pub read: ReadOptions,
}

/// Settings for capturing activations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaptureSettings {
    /// The template; `None`: chat if the tokenizer has a chat template.
    pub template: Option<TemplateName>,
    /// Layers to capture.
    pub layers: LayerList,
    /// Pooling over a response's tokens.
    pub pool: Pool,
    /// Memory limit of a capture; `None`: what the machine has.
    pub memory: Option<ByteSize>,
    /// Constitutions under which responses are read.
    pub under: Under,
    /// Rows for which log P is computed.
    pub logprob: LogprobOf,
}

/// Settings of the judge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JudgeSettings {
    /// Modes; empty: the template's mode, or forced choices.
    pub modes: Vec<JudgeMode>,
    /// The template; `None`: the built-in one that suits the model.
    pub template: Option<JudgeTemplateName>,
    /// Maximum number of judged pairs per prompt; `None`: the judge's own default.
    pub max_pairs_per_prompt: Option<usize>,
    /// Layers at which the state at the judge's answers is kept.
    pub layers: StateLayers,
}

/// Type of questions to a judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JudgeMode {
    /// `pairwise`: which of two responses, both orders.
    Pairwise,
    /// `pointwise`: whether one response agrees, yes or no.
    Pointwise,
    /// `implicit`: the constitution's effect on a response's likelihood, from the capture itself.
    Implicit,
}

impl OneOf for JudgeMode {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        ("pairwise", Self::Pairwise, "Which of two responses, both orders"),
        ("pointwise", Self::Pointwise, "Whether one response agrees, yes or no"),
        (
            "implicit",
            Self::Implicit,
            "What the constitution changes in the response's likelihood; nothing is asked",
        ),
    ];
}

/// A judge template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JudgeTemplateName {
    /// A built-in template, by name.
    Shipped(String),
    /// A file whose name ends in `.toml`.
    File(PathBuf),
}

/// Fit settings; all of them affect results.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FitSettings {
    /// The reported layer; `None`: selected from the data (`auto`).
    pub layer: Option<Layer>,
    /// The values; empty: all values labelled in the data.
    pub values: Vec<String>,
    /// The constitution whose rows provide h; `None`: the bare context, otherwise the first constitution with rows.
    pub reference: Option<String>,
    /// The constitutions to average; empty: all outside the placebo arm.
    pub ensemble: Vec<String>,
    /// Weights of values in weighted aggregates; 1 for values not listed.
    pub weights: BTreeMap<String, f64>,
}

impl Experiment {
    /// Reads the selected constitutions, in the order of their files.
    ///
    /// # Errors
    /// Errors of [`read_constitutions`].
    pub fn constitutions(&self) -> Result<Vec<Constitution>> {
        if self.constitutions.is_empty() {
            return Ok(Vec::new());
        }
        let mut all = read_constitutions(&self.constitutions)?;
        all.retain(|c| self.only.as_ref().is_none_or(|only| only.contains(&c.name)));
        Ok(all)
    }
}

impl From<&str> for JudgeTemplateName {
    /// Parses the name of a built-in template, or a file.
    fn from(name: &str) -> Self {
        if JudgeTemplate::built_in().any(|known| known == name) {
            Self::Shipped(name.to_owned())
        } else {
            Self::File(PathBuf::from(name))
        }
    }
}

impl JudgeTemplateName {
    /// The name as given on the command line.
    pub fn name(&self) -> String {
        match self {
            Self::Shipped(name) => name.clone(),
            Self::File(path) => path.to_string_lossy().into_owned(),
        }
    }
}
