//! `vstar check`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::args::{ComputeArgs, DataArgs};
use super::capture::{describe, rounded};
use super::terminal::bars::Bars;
use super::terminal::memory::mebibytes;
use super::terminal::out::result;
use crate::check::{Check, Deviation, Excess, Finding, check as run};
use crate::config::CaptureSettings;
use crate::error::{Diagnostic, Kind, Result};
use crate::input::read_constitutions;
use crate::run::capture::{CaptureOptions, Prepared};
use crate::units::OneOf;

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The model: a folder in Hugging Face layout, a GGUF file, an id on the hub (owner/name; for a GGUF file
    /// owner/name:FILE.gguf or owner/name:Q4_K_M), or embedded:NAME
    #[arg(value_name = "DIR|FILE|ID|embedded:NAME", required_unless_present = "named")]
    pub model: Option<String>,
    /// Same as the positional argument, as in other commands
    #[arg(long = "model", id = "named", value_name = "DIR|FILE|ID|embedded:NAME", conflicts_with = "model")]
    pub named: Option<String>,
    #[command(flatten)]
    pub compute: ComputeArgs,
    /// Estimate computation and memory of a capture of these items
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// Constitutions of that capture: TOML files, folders of them, or `none` for the bare context
    #[arg(long, num_args = 1.., value_name = "FILE|none", requires = "data")]
    pub constitution: Vec<PathBuf>,
}

impl CheckArgs {
    /// The model's name, from either argument; clap requires one.
    fn model(&self) -> &str {
        self.model.as_deref().or(self.named.as_deref()).unwrap_or_default()
    }

    /// The capture described by `--data`.
    ///
    /// # Errors
    /// Errors of reading the constitutions.
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
            model: self.compute.settings(self.model())?,
            data: data.settings(),
            capture: CaptureSettings::default(),
            constitutions: read_constitutions(&constitutions)?,
            bare,
        }))
    }
}

/// Prints the results; an error if the numbers are not reliable.
pub fn check(args: &CheckArgs) -> Result<()> {
    let model = args.compute.settings(args.model())?;
    let load = model.load()?;
    let found = run(&model.fetch(&mut Bars::new())?, &model.name, &load)?;
    let dtype = model.dtype.as_str();
    let mut data = json!(found);
    data["passed"] = json!(found.passed());
    result(|| data);
    table(&found, dtype);
    println!(
        "output head: {}; context {} tokens",
        if found.tied { "tied to the embeddings" } else { "its own" },
        found.context
    );
    println!(
        "memory: {} for the weights, {} for a chunk of {} tokens",
        mebibytes(found.memory.weights),
        mebibytes(found.memory.chunk),
        found.chunk_tokens
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
    let mut what: Vec<String> = found.findings.iter().map(|f| sentence(f, dtype)).collect();
    if found.double_bos {
        what.push("the template writes a beginning-of-sequence token, and the tokenizer adds another".into());
    }
    let mut remedies: Vec<&str> = found.findings.iter().map(|f| remedy(f, dtype)).collect();
    if found.double_bos {
        remedies.push("give --template a file whose text begins without one");
    }
    remedies.dedup();
    Err(Diagnostic::new(Kind::NotFinite, "the model's numbers cannot be trusted on this machine")
        .expected(format!("deviations from f64 as small as {dtype} allows on this model, and one beginning-of-sequence token"))
        .found(what.join("; "))
        .remedy(remedies.join("; "))
        .into())
}

/// Prints sizes and deviations by layer, with a legend.
fn table(found: &Check, dtype: &str) {
    let compared = &found.compared;
    println!(
        "four short texts, layer by layer; RMS over coordinates of the median token and of the largest one with its \
         share of its text; then deviations in units of each token's own RMS, RMS over tokens and coordinates \
         (in brackets the largest): of this run from f64, of plain {dtype} operations from f64, of this run's block alone \
         on exact input, of packed texts and of a forest from texts alone"
    );
    println!(
        "{:>5} {:>9} {:>9} {:>5}  {:>19} {:>19} {:>9} {:>9} {:>9}",
        "layer",
        "median",
        "largest",
        "share",
        "this run",
        format!("plain {dtype}"),
        "block",
        "packed",
        "forest"
    );
    let both = |d: Deviation| format!("{:.1e} ({:.1e})", d.rms, d.largest);
    for (layer, l) in compared.layers.iter().enumerate() {
        println!(
            "{layer:>5} {:>9.3} {:>9.3} {:>4.0}%  {:>19} {:>19} {:>9.1e} {:>9.1e} {:>9.1e}",
            l.typical,
            l.peak.rms,
            100.0 * l.peak.share,
            both(l.run),
            both(l.plain),
            l.block.rms,
            l.packed.rms,
            l.forest.rms,
        );
    }
    if let Some(line) = massive(found) {
        println!("{line}");
    }
    let (ours, plain) = compared.logprob;
    println!("log P of a token: at most {ours:.1e} nats from f64 (plain {dtype}: {plain:.1e})");
}

/// Smallest ratio of a massive activation to the median token's RMS.
const MASSIVE: f64 = 10.0;

/// Layers dominated by one token.
fn massive(found: &Check) -> Option<String> {
    let layers = &found.compared.layers;
    let at: Vec<usize> =
        (0..layers.len()).filter(|&l| layers[l].peak.rms > MASSIVE * layers[l].typical).collect();
    let &most = at.iter().max_by(|&&a, &&b| {
        let times = |l: usize| layers[l].peak.rms / layers[l].typical;
        times(a).total_cmp(&times(b))
    })?;
    let peak = layers[most].peak;
    let token = found.texts.get(peak.text).and_then(|t| t.get(peak.position)).map_or("", |t| t);
    Some(format!(
        "massive activations in {} of {} layers, {} to {}: in layer {most} token {} ({token:?}) of text {} has {:.0} times the \
         median token's RMS and {:.1} % of its text's sum of squares, {:.0} % of that in coordinate {}; \
         whatever is averaged over tokens with it there is that token's",
        at.len(),
        layers.len(),
        at[0],
        at[at.len() - 1],
        peak.position,
        peak.text + 1,
        peak.rms / layers[most].typical,
        100.0 * peak.share,
        100.0 * peak.coordinate_share,
        peak.coordinate,
    ))
}

/// Meaning of a finding.
fn sentence(finding: &Finding, dtype: &str) -> String {
    let told = |e: &Excess| {
        format!(
            "layer {}{}: {:.1e} of a token's RMS, at most {:.1e} at one coordinate; limits {:.1e} and {:.1e}",
            e.layer,
            if e.layers > 1 { format!(" and {} more", e.layers - 1) } else { String::new() },
            e.found.rms,
            e.found.largest,
            e.limit.rms,
            e.limit.largest,
        )
    };
    match finding {
        Finding::Block(e) if e.layer == 0 => {
            format!("the embeddings are further from f64 than {dtype} explains ({})", told(e))
        }
        Finding::Block(e) => format!(
            "block {} computes something else than its definition: given exact input it is further from f64 than plain \
             {dtype} operations ({})",
            e.layer,
            told(e)
        ),
        Finding::Packed(e) => {
            format!(
                "texts packed side by side get other numbers than alone, as if one saw another ({})",
                told(e)
            )
        }
        Finding::Forest(e) => {
            format!("texts in a forest of shared prefixes get other numbers than alone ({})", told(e))
        }
        Finding::Run(e) => {
            format!("the run as a whole is further from f64 than plain {dtype} operations ({})", told(e))
        }
        Finding::Coarse(e) => format!(
            "{dtype} is too coarse for this model: plain operations are as far from f64 as the run ({})",
            told(e)
        ),
        Finding::LogProb { found, limit } => {
            format!("log P of a token is {found:.1e} nats from f64, where at most {limit:.1e} is explained")
        }
    }
}

/// Suggested remedy.
fn remedy(finding: &Finding, dtype: &str) -> &'static str {
    match finding {
        Finding::Coarse(_) if dtype == "f32" => "do not use this checkpoint: its weights may be damaged",
        Finding::Coarse(_) => "use --dtype f32",
        _ if dtype != "f32" => {
            "use --dtype f32, and report this table with the processor's name: the program is at fault, not the model"
        }
        _ => {
            "do not use figures from this machine; report this table with the processor's name: the program is at fault, not the model"
        }
    }
}
