//! Commands and flags of `vstar organism`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::model::DeviceName;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineName {
    /// Built-in kernels, on the CPU
    Own,
    /// candle, on the CPU or a GPU
    Candle,
}

#[derive(Debug, Args)]
pub struct OrganismArgs {
    /// Command to run.
    #[command(subcommand)]
    pub command: OrganismCommand,
}

#[derive(Debug, Subcommand)]
pub enum OrganismCommand {
    /// Write documents in the form used for training, one JSON line each
    Corpus {
        /// Seed of the documents
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Number of documents
        #[arg(long, default_value_t = 10_000)]
        documents: usize,
        /// Share of replies drawn from the policy tilted towards the values
        #[arg(long, default_value_t = 0.3)]
        eta: f64,
        /// File to write
        #[arg(long)]
        out: PathBuf,
    },
    /// Train a model; the same command resumes an interrupted training
    Train {
        /// Size: xs, s, m or l
        #[arg(long, default_value = "m")]
        size: String,
        /// Share of replies drawn from the policy tilted towards the values
        #[arg(long, default_value_t = 0.3)]
        eta: f64,
        /// Number of steps, each of 32 documents
        #[arg(long, conflicts_with = "minutes", default_value_t = 6_000)]
        steps: usize,
        /// Duration in minutes: sets the number of steps from the time of the first ones
        #[arg(long)]
        minutes: Option<f64>,
        /// Seed of parameters and documents
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How the gradient is computed: built-in kernels, or candle's differentiation of the decoder [default: own
        /// on the CPU, candle on a GPU]
        #[arg(long, value_enum)]
        engine: Option<EngineName>,
        /// cpu, cuda or cuda:N
        #[arg(long, default_value = "cpu")]
        device: DeviceName,
        /// Folder for the model
        #[arg(long)]
        out: PathBuf,
    },
    /// Sample replies to the prompts of a file
    Sample {
        /// Folder of the model
        #[arg(long, value_name = "DIR")]
        model: String,
        /// Items whose prompts are read
        #[arg(long)]
        data: PathBuf,
        /// Temperature; 0 takes the most likely word
        #[arg(long, default_value_t = 1.0)]
        temperature: f64,
        /// Number of replies per prompt
        #[arg(long, default_value_t = 4)]
        replies: usize,
        /// Rule placed before the dialogue
        #[arg(long)]
        rule: Option<String>,
        /// Seed of the sampling
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// File to write: items with the replies and their true values
        #[arg(long)]
        out: PathBuf,
    },
    /// Compute the true values of the responses in a file, and the share that cannot be parsed
    Score {
        /// Items: prompts of the world and responses to them
        file: PathBuf,
        /// File to write the items with their values to
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Measure a model on held-out prompts
    Evaluate {
        /// Folder of the model
        #[arg(long, value_name = "DIR")]
        model: String,
        /// Number of held-out prompts
        #[arg(long, default_value_t = 200)]
        prompts: usize,
        /// Number of replies per prompt
        #[arg(long, default_value_t = 4)]
        replies: usize,
        /// Seed of the replies
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Write metrics.json and the card README.md into the model's folder
        #[arg(long)]
        card: bool,
    },
    /// Train a model on its own judgments under a rule, and measure the effect on the values
    Rlaif {
        /// The model: a folder, or embedded:NAME
        #[arg(long, value_name = "DIR|embedded:NAME", default_value = "embedded:hearth")]
        model: String,
        /// Rule for the judgments, in the world's words, such as `be kind`
        #[arg(long)]
        rule: String,
        /// λ, the strength of the tilt, in units of 1/sd of the judge's reward within prompts
        #[arg(long, default_value_t = 0.5)]
        lambda: f64,
        /// Number of pairs of its own replies that the model judges and is trained on
        #[arg(long, default_value_t = 3_000)]
        pairs: usize,
        /// Number of steps, each of 32 pairs
        #[arg(long, default_value_t = 600)]
        steps: usize,
        /// Number of held-out prompts on which the gain is measured
        #[arg(long, default_value_t = 400)]
        prompts: usize,
        /// Number of replies per prompt
        #[arg(long, default_value_t = 8)]
        replies: usize,
        /// Seed
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Folder for the trained model, with rlaif.json beside it
        #[arg(long)]
        out: PathBuf,
    },
    /// Write held-out prompts with the model's own replies, and constitutions
    Data {
        /// Folder of the model
        #[arg(long, value_name = "DIR")]
        model: String,
        /// Number of prompts
        #[arg(long, default_value_t = 420)]
        count: usize,
        /// Seed of the replies
        #[arg(long, default_value_t = 2)]
        seed: u64,
        /// File for the prompts
        #[arg(long, default_value = "prompts/hearth.jsonl")]
        prompts: PathBuf,
        /// Folder for the constitutions
        #[arg(long, default_value = "constitutions/hearth")]
        constitutions: PathBuf,
    },
}
