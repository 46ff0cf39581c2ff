//! `vstar direction`.

use std::path::PathBuf;

use clap::Args;

use super::args::ModelArgs;
use super::bars::Bars;
use crate::batch::direction::{DirectionOptions, Position, direction_into};
use crate::error::Result;
use crate::units::LayerList;

#[derive(Debug, Args)]
pub struct DirectionArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Prompts of the first set: items of any format, or rows with `prompt` or `messages` alone
    #[arg(long, value_name = "FILE")]
    pub plus: PathBuf,
    /// Prompts of the second set
    #[arg(long, value_name = "FILE")]
    pub minus: PathBuf,
    /// Read at most so many of each
    #[arg(long)]
    pub limit: Option<usize>,
    /// Layers: `all`, or numbers and ranges such as `0,4-8`
    #[arg(long, visible_alias = "layer", default_value = "all")]
    pub layers: LayerList,
    /// Token of a prompt: last, mean (of all tokens), or -k for the k-th from the end
    #[arg(long, default_value = "last", allow_hyphen_values = true)]
    pub position: String,
    /// Name of the direction in directions.safetensors
    #[arg(long, default_value = "refusal")]
    pub name: String,
    /// Folder of a run whose v*, v_c and w it is held against
    #[arg(long, value_name = "RUN")]
    pub against: Option<PathBuf>,
    /// Folder for the direction, the prompts' residual streams and the findings
    #[arg(long)]
    pub out: PathBuf,
}

/// Makes the direction, writes the findings and prints them.
pub fn direction(args: &DirectionArgs) -> Result<()> {
    let found = direction_into(
        &DirectionOptions {
            model: args.model.options()?,
            plus: args.plus.clone(),
            minus: args.minus.clone(),
            limit: args.limit,
            layers: args.layers.numbers(),
            position: Position::parse(&args.position)?,
            name: args.name.clone(),
            against: args.against.clone(),
            out: args.out.clone(),
        },
        &mut Bars::new(),
        &mut Bars::new(),
    )?;
    println!("{}", found.page().to_terminal());
    println!("direction in {}", args.out.join("directions.safetensors").display());
    Ok(())
}
