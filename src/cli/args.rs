//! Every command and flag.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::batch::capture::CaptureOptions;
use crate::batch::experiment::JudgeMode;
use crate::batch::model::ModelOptions;
use crate::batch::scope::{LogprobOf, StateLayers, Under};
use crate::error::Result;
use crate::forest::Pool;
use crate::input::{ReadOptions, read_constitutions};
use crate::model::{ModelSource, Quantization};
use crate::theory::LayerChoice;
use crate::units::{ByteSize, Layer, LayerList};

/// Does a language model encode a value, does a constitution activate it, and would training on the
/// model's own judgments make it better or worse?
#[derive(Debug, Parser)]
#[command(name = "vstar", version)]
pub struct Cli {
    /// Show no progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// From a model to the report: capture, judge and fit, as flags or an experiment file say
    Run(Box<super::run::RunArgs>),
    /// Read residual streams and log-probabilities of responses, with and without constitutions
    Capture(CaptureArgs),
    /// Let the model choose between responses under each constitution, both orders
    Judge(JudgeArgs),
    /// Fit directions and estimates to observations, and write the report
    Fit(super::fit::FitArgs),
    /// Constitutions against each other, and runs side by side
    Compare(super::compare::CompareArgs),
    /// Write the directions or the plots of a run for other programs
    Export(super::export::ExportArgs),
    /// Show items as the model will read them; nothing is run
    Preview(super::preview::PreviewArgs),
    /// Intervene along a direction, and see what it does to better and worse responses
    Steer(Box<super::steer::SteerArgs>),
    /// How the residual stream moved from one checkpoint to another on the same rows
    Shift(super::shift::ShiftArgs),
    /// Whether directions stay the same over a series of checkpoints
    Drift(super::drift::DriftArgs),
    /// The direction between two sets of prompts at every layer, held against those of a run
    Direction(super::direction::DirectionArgs),
    /// Write observations whose true figures are known
    Simulate(super::simulate::SimulateArgs),
    /// Whether a model's numbers can be trusted on this machine
    Check(super::check::CheckArgs),
    /// Measure how fast this machine captures, on a synthetic model of a named shape
    Bench(super::bench::BenchArgs),
    /// The known-answer model: its corpus, its training, its samples and their true values
    Organism(super::organism::OrganismArgs),
    /// What a quantity of the report means: formula, assumptions, source
    Explain(super::explain::ExplainArgs),
    /// List the model families, what of each is computed, and what is refused
    Models,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum PoolName {
    /// Mean over the response's tokens
    Mean,
    /// The response's last token
    Last,
}

impl PoolName {
    /// The name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Last => "last",
        }
    }
}

#[derive(Debug, Args)]
pub struct ComputeArgs {
    /// Branch, tag or commit of a model on the hub [default: main]
    #[arg(long)]
    pub revision: Option<String>,
    /// A tokenizer instead of the model's: tokenizer.json, or the folder that holds it
    #[arg(long, value_name = "FILE")]
    pub tokenizer: Option<PathBuf>,
    /// dtype of the computation: f32, bf16, f16 [default: f32]
    #[arg(long)]
    pub dtype: Option<String>,
    /// cpu, cuda or cuda:N [default: cuda:0 if built for it, else cpu]
    #[arg(long)]
    pub device: Option<String>,
    /// Round the weights through a GGUF type, such as Q4_K, and compute with the rounded ones
    #[arg(long, value_name = "TYPE")]
    pub quantize: Option<String>,
}

#[derive(Debug, Args)]
pub struct ModelArgs {
    /// The model: a folder in Hugging Face layout, a GGUF file, an id on the hub (owner/name; for a GGUF file
    /// owner/name:FILE.gguf or owner/name:Q4_K_M), or embedded:NAME
    #[arg(long, value_name = "DIR|FILE|ID|embedded:NAME")]
    pub model: String,
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Read weights block by block as they are used: for a model larger than memory
    #[arg(long)]
    pub stream: bool,
    /// Template: none, chat, or a Jinja file [default: chat if the model has one, else none]
    #[arg(long, value_name = "none|chat|FILE")]
    pub template: Option<String>,
}

#[derive(Debug, Args)]
pub struct DataArgs {
    /// Items: .jsonl, .jsonl.gz, .json or .parquet; several may be given
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// Constitutions: TOML files, folders of them, or `none` for the bare context
    #[arg(long, num_args = 1.., value_name = "FILE|none")]
    pub constitution: Vec<PathBuf>,
    /// Read at most so many items
    #[arg(long)]
    pub limit: Option<usize>,
    /// Leave out items that cannot be read, and count them
    #[arg(long)]
    pub skip_bad: bool,
    /// Name of the value, for data that do not name it
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
    /// How a response's tokens become one vector
    #[arg(long, value_enum, default_value = "mean")]
    pub pool: PoolName,
    /// Most bytes the forward may take beside the weights, such as 2GB; with --stream, a job that needs more
    /// goes through the weights several times
    #[arg(long)]
    pub memory: Option<ByteSize>,
    /// Of which rows log P is computed: all, or the bare ones alone
    #[arg(long, value_enum, default_value = "all")]
    pub logprob: LogprobName,
    /// Folder for the observations
    #[arg(long)]
    pub out: PathBuf,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogprobName {
    /// All rows
    All,
    /// Rows of the bare context
    Bare,
}

impl LogprobName {
    /// What it stands for.
    pub fn of(self) -> LogprobOf {
        match self {
            Self::All => LogprobOf::All,
            Self::Bare => LogprobOf::Bare,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ModeName {
    /// Which of two responses, both orders
    Pairwise,
    /// Whether one response agrees, yes or no
    Pointwise,
    /// What the constitution changes in the response's likelihood; nothing is asked
    Implicit,
}

impl ModeName {
    /// What it stands for.
    pub fn judge(self) -> JudgeMode {
        match self {
            Self::Pairwise => JudgeMode::Pairwise,
            Self::Pointwise => JudgeMode::Pointwise,
            Self::Implicit => JudgeMode::Implicit,
        }
    }
}

#[derive(Debug, Args)]
pub struct JudgeArgs {
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// What is asked: pairwise, or a score of each response; `pairwise implicit` gives both [default: as the template, else pairwise]
    #[arg(long, value_enum, num_args = 1..=2, value_delimiter = ',')]
    pub mode: Vec<ModeName>,
    /// Judge template: chat, base, base-short, chat-pointwise, base-pointwise, hearth, hearth-pointwise, or a TOML file [default: one that suits model and mode]
    #[arg(long)]
    pub judge: Option<String>,
    /// Most pairs of a prompt [default: all of two, a ring of more]
    #[arg(long)]
    pub max_pairs: Option<usize>,
    /// Layers at which the state is kept where the judge answers: auto (eight), none, all, or numbers and ranges
    #[arg(long, default_value = "auto")]
    pub judge_layers: StateLayers,
}

impl DataArgs {
    /// Constitution files, and whether the bare context is read as well: alone if nothing is given.
    pub fn constitutions(&self) -> (Vec<PathBuf>, bool) {
        let files: Vec<PathBuf> =
            self.constitution.iter().filter(|c| c.as_os_str() != "none").cloned().collect();
        let bare = self.constitution.is_empty() || files.len() < self.constitution.len();
        (files, bare)
    }

    /// How to read the items.
    pub fn read(&self) -> ReadOptions {
        ReadOptions { skip_bad: self.skip_bad, limit: self.limit, value_name: self.value_name.clone() }
    }
}

impl ComputeArgs {
    /// The options for a model named so, in memory, with the template that it suggests.
    ///
    /// # Errors
    /// As [`ModelSource::parse`]; `Invalid` for a type of `--quantize` that is none.
    pub fn options(&self, model: &str) -> Result<ModelOptions> {
        Ok(ModelOptions {
            name: model.to_owned(),
            source: ModelSource::parse(model, self.revision.as_deref())?,
            tokenizer: self.tokenizer.clone(),
            dtype: self.dtype.clone().unwrap_or_else(|| "f32".to_owned()),
            device: self.device.clone(),
            stream: false,
            quantize: self.quantize.as_deref().map(str::parse::<Quantization>).transpose()?,
            template: None,
        })
    }
}

impl ModelArgs {
    /// The options of the model.
    ///
    /// # Errors
    /// As [`ModelSource::parse`].
    pub fn options(&self) -> Result<ModelOptions> {
        let options = self.compute.options(&self.model)?;
        Ok(ModelOptions { stream: self.stream, template: self.template.clone(), ..options })
    }
}

impl CaptureArgs {
    /// The options of the capture.
    ///
    /// # Errors
    /// What reading the constitutions and [`ModelSource::parse`] refuse.
    pub fn options(&self) -> Result<CaptureOptions> {
        let (constitutions, bare) = self.data.constitutions();
        let constitutions = read_constitutions(&constitutions)?;
        Ok(CaptureOptions {
            model: self.model.options()?,
            data: self.data.data.clone(),
            read: self.data.read(),
            constitutions,
            bare,
            layers: self.layers.numbers(),
            pool: match self.pool {
                PoolName::Mean => Pool::Mean,
                PoolName::Last => Pool::Last,
            },
            memory: self.memory.map(|m| m.0),
            under: Under::All,
            logprob: self.logprob.of(),
        })
    }
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
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

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
