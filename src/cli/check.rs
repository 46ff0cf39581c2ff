//! `vstar check`.

use std::path::PathBuf;

use clap::Args;

use super::args::{ComputeArgs, DataArgs};
use super::bars::Bars;
use super::capture::{describe, rounded};
use super::memory::mebibytes;
use crate::batch::capture::{CHUNK_TOKENS, CaptureOptions, Prepared};
use crate::batch::check::check as run;
use crate::error::{Kind, Refusal, Result};
use crate::forest::Pool;
use crate::input::read_constitutions;

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The model: a folder in Hugging Face layout, a GGUF file, an id on the hub (owner/name; for a GGUF file
    /// owner/name:FILE.gguf or owner/name:Q4_K_M), or embedded:NAME
    #[arg(value_name = "DIR|FILE|ID|embedded:NAME", required_unless_present = "named")]
    pub model: Option<String>,
    /// The same, as in other commands
    #[arg(long = "model", id = "named", value_name = "DIR|FILE|ID|embedded:NAME", conflicts_with = "model")]
    pub named: Option<String>,
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Count what a capture of these items would compute and take in memory
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// Constitutions of that capture: TOML files, folders of them, or `none` for the bare context
    #[arg(long, num_args = 1.., value_name = "FILE|none", requires = "data")]
    pub constitution: Vec<PathBuf>,
}

impl CheckArgs {
    /// The model's name, given either way; clap sees to it that one is there.
    fn model(&self) -> &str {
        self.model.as_deref().or(self.named.as_deref()).unwrap_or_default()
    }

    /// The capture that `--data` asks about.
    ///
    /// # Errors
    /// What reading the constitutions refuses.
    pub fn job(&self) -> Result<Option<CaptureOptions>> {
        if self.data.is_empty() {
            return Ok(None);
        }
        let data = DataArgs {
            data: self.data.clone(),
            constitution: self.constitution.clone(),
            limit: None,
            skip_bad: true,
            value_name: None,
        };
        let (constitutions, bare) = data.constitutions();
        Ok(Some(CaptureOptions {
            model: self.compute.options(self.model())?,
            data: data.data.clone(),
            read: data.read(),
            constitutions: read_constitutions(&constitutions)?,
            bare,
            layers: None,
            pool: Pool::Mean,
            memory: None,
        }))
    }
}

/// Prints what was found; an error if the numbers cannot be trusted.
pub fn check(args: &CheckArgs) -> Result<()> {
    let model = args.compute.options(args.model())?;
    let load = model.load()?;
    let found = run(&model.fetch(&mut Bars::new())?, &model.name, &load)?;
    println!("largest deviation over the layer's RMS, on four short texts");
    println!("{:>5} {:>10} {:>14} {:>14} {:>14}", "layer", "RMS", "against f64", "packed", "in a forest");
    for (layer, l) in found.layers.iter().enumerate() {
        println!("{layer:>5} {:>10.3} {:>14.1e} {:>14.1e} {:>14.1e}", l.rms, l.dtype, l.packed, l.forest);
    }
    println!("limits: {:.0e} against f64, {:.0e} between ways of packing", found.limits.0, found.limits.1);
    println!("log P of a token: at most {:.1e} nats from f64", found.logprob);
    println!(
        "output head: {}; context {} tokens",
        if found.tied { "tied to the embeddings" } else { "its own" },
        found.context
    );
    println!(
        "memory: {} for the weights, {} for a chunk of {CHUNK_TOKENS} tokens",
        mebibytes(found.memory.weights),
        mebibytes(found.memory.chunk)
    );
    if let Some(line) = rounded(&found.rounded, found.bits_per_weight) {
        println!("{line}");
    } else if let Some(bits) = found.bits_per_weight {
        println!("weights: {bits:.2} bits each, as stored");
    }
    if !found.unused.is_empty() {
        println!("tensors that the decoder does not use: {}", found.unused.join(", "));
    }
    if found.system_refused {
        println!("the template takes no system message: constitutions head the user's message");
    }
    let (before, rest) = found.sample.split_at(found.response.start);
    let (inside, after) = rest.split_at(found.response.len());
    println!("a sample as the model reads it:\n{before}⟦{inside}⟧{after}");
    println!("its response: {:?}", &found.tokens[found.span.0..found.span.1]);
    if found.double_bos {
        println!("the text begins with two beginning-of-sequence tokens");
    }
    if let Some(options) = args.job()? {
        let prepared = Prepared::fetched(&options, &mut Bars::new())?;
        describe(&prepared, &prepared.job()?);
    }
    if found.passed() {
        println!("passed");
        return Ok(());
    }
    Err(Refusal::new(Kind::NotFinite, "the model's numbers cannot be trusted on this machine")
        .expected("deviations inside the limits, and one beginning-of-sequence token")
        .remedy("try --dtype f32; compare the layers above to see where the numbers part")
        .into())
}
