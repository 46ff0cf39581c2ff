//! `vstar steer`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::args::{CaptureArgs, DataArgs, LogprobName, ModelArgs, PoolName};
use super::bars::Bars;
use crate::batch::steer::{Act, Scale, SteerOptions, steer_into};
use crate::error::Result;
use crate::model::decoder::At;
use crate::units::{ByteSize, LayerList};

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ScaleName {
    /// The root mean square length of the residual stream of the responses at the layer
    Rms,
    /// The direction as it is stored
    Norm,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Tokens {
    /// Every token
    All,
    /// The response's tokens
    Response,
}

#[derive(Debug, Args)]
pub struct SteerArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub data: DataArgs,
    /// The direction: a run's folder or a directions.safetensors, and a name in it; @LAYER takes that layer's vector
    /// for every layer
    #[arg(long, value_name = "FILE:NAME[@LAYER]")]
    pub direction: String,
    /// Where to intervene: `all`, or numbers and ranges [default: the direction's @LAYER, else what its run reported]
    #[arg(long, visible_alias = "layers")]
    pub layer: Option<LayerList>,
    /// Add so many times the unit that --scale says, along the direction
    #[arg(
        long,
        value_name = "ALPHA",
        allow_negative_numbers = true,
        conflicts_with = "ablate",
        required_unless_present = "ablate"
    )]
    pub add: Option<f64>,
    /// Project the direction out
    #[arg(long)]
    pub ablate: bool,
    /// What --add is a multiple of
    #[arg(long, value_enum, default_value = "rms")]
    pub scale: ScaleName,
    /// Which tokens of a response's text are touched; a judge's questions are at all
    #[arg(long, value_enum, default_value = "all")]
    pub tokens: Tokens,
    /// Random directions of equal length to compare with, isotropic and as many with the covariance of h
    #[arg(long, default_value_t = 8)]
    pub random: usize,
    /// Their seed
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Judge template, where constitutions are given [default: one that suits the model]
    #[arg(long)]
    pub judge: Option<String>,
    /// Most pairs of a prompt that are judged [default: all whose labels differ]
    #[arg(long)]
    pub max_pairs: Option<usize>,
    /// Most bytes the forward may take beside the weights, such as 2GB
    #[arg(long)]
    pub memory: Option<ByteSize>,
    /// Folder for steer.json and steer.md
    #[arg(long)]
    pub out: PathBuf,
}

/// Steers, writes the findings and prints them.
pub fn steer(args: SteerArgs) -> Result<()> {
    let capture = CaptureArgs {
        model: args.model,
        data: args.data,
        layers: LayerList::All,
        pool: PoolName::Mean,
        memory: args.memory,
        logprob: LogprobName::All,
        out: args.out.clone(),
    };
    let options = SteerOptions {
        capture: capture.options()?,
        direction: args.direction,
        layers: args.layer,
        act: args.add.map_or(Act::Ablate, Act::Add),
        scale: match args.scale {
            ScaleName::Rms => Scale::Rms,
            ScaleName::Norm => Scale::Norm,
        },
        at: match args.tokens {
            Tokens::All => At::Everywhere,
            Tokens::Response => At::Response,
        },
        random: args.random,
        seed: args.seed,
        judge: args.judge,
        most_pairs: args.max_pairs,
        out: args.out,
    };
    let steered = steer_into(&options, &mut Bars::new(), &mut Bars::new())?;
    println!("{}", steered.page().to_terminal());
    println!("findings in {}", options.out.join("steer.md").display());
    Ok(())
}
