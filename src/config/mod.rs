//! Experiments: what is measured, from a TOML file, from settings of the command line, or from both; checked
//! before anything runs.
//!
//! Paths of inputs are relative to the folder of the file, so that an experiment means the same wherever it
//! is started, and in settings of the command line to the current folder. `embedded:NAME` is what comes with the
//! program. `out` is relative to the current folder, because a run belongs where it was started; of an
//! `experiment.toml` in a run's folder it is that folder.
//!
//! ```toml
#![doc = include_str!("../../experiments/reference.toml")]
//! ```

mod defaults;
mod read;
pub mod scope;
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

/// An experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    /// The model.
    pub model: ModelSettings,
    /// The items.
    pub data: DataSettings,
    /// The constitutions' files and folders; empty where only the bare context is captured.
    pub constitutions: Vec<PathBuf>,
    /// Names of the constitutions that take part; `None`: all.
    pub only: Option<Vec<String>>,
    /// How activations are captured.
    pub capture: CaptureSettings,
    /// How the judge is asked; `None` where it is not, or there is no constitution to judge by.
    pub judge: Option<JudgeSettings>,
    /// What is estimated.
    pub fit: FitSettings,
    /// Folder of the run.
    pub out: PathBuf,
    /// Seed of whatever is drawn at random.
    pub seed: u64,
}

/// Which items.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataSettings {
    /// The files.
    pub files: Vec<PathBuf>,
    /// How to read them.
    pub read: ReadOptions,
}

/// How activations are captured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaptureSettings {
    /// The template; `None`: chat where the tokenizer has one.
    pub template: Option<TemplateName>,
    /// The layers.
    pub layers: LayerList,
    /// How a response's tokens become one vector.
    pub pool: Pool,
    /// Memory that a capture may use; `None`: what the machine has.
    pub memory: Option<ByteSize>,
    /// Under which constitutions responses are read.
    pub under: Under,
    /// Of which rows log P is computed.
    pub logprob: LogprobOf,
}

/// How the judge is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JudgeSettings {
    /// What is asked; empty: what the template asks, or forced choices.
    pub modes: Vec<JudgeMode>,
    /// Which template; `None`: the shipped one that suits the model.
    pub template: Option<JudgeTemplateName>,
    /// Most pairs judged of one prompt; `None`: the judge's own default.
    pub max_pairs_per_prompt: Option<usize>,
    /// Layers at which the state is kept where the judge answers.
    pub layers: StateLayers,
}

/// What a judge is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JudgeMode {
    /// `pairwise`: which of two responses, both orders.
    Pairwise,
    /// `pointwise`: whether one response agrees, yes or no.
    Pointwise,
    /// `implicit`: what the constitution changes in a response's likelihood, from the capture itself.
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
    /// One that comes with the program, by name.
    Shipped(String),
    /// A file that ends in `.toml`.
    File(PathBuf),
}

/// What is estimated. All of it decides figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FitSettings {
    /// The layer; `None`: chosen by the data (`auto`).
    pub layer: Option<Layer>,
    /// The values; empty: all that the data label.
    pub values: Vec<String>,
    /// The constitution whose rows give h; `None`: the bare context, or the first constitution with rows.
    pub reference: Option<String>,
    /// The constitutions that are averaged; empty: all outside the placebo arm.
    pub ensemble: Vec<String>,
    /// Weights of values in weighted aggregates; 1 for those not named.
    pub weights: BTreeMap<String, f64>,
}

impl Experiment {
    /// Reads the constitutions that take part, in the order of their files.
    ///
    /// # Errors
    /// Those of [`read_constitutions`].
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
    /// A template that comes with the program, or a file.
    fn from(name: &str) -> Self {
        if JudgeTemplate::built_in().any(|known| known == name) {
            Self::Shipped(name.to_owned())
        } else {
            Self::File(PathBuf::from(name))
        }
    }
}

impl JudgeTemplateName {
    /// As the command line names it.
    pub fn name(&self) -> String {
        match self {
            Self::Shipped(name) => name.clone(),
            Self::File(path) => path.to_string_lossy().into_owned(),
        }
    }
}
