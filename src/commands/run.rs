//! `vstar run`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::args::{ComputeArgs, LoadArgs, layer, one_of};
use super::capture::{describe, list_skipped};
use super::fit::summary;
use super::plan;
use super::terminal::bars::Bars;
use super::terminal::numbers::compact;
use super::terminal::out::result;
use crate::config::scope::{LogprobOf, StateLayers};
use crate::config::{Experiment, Given, JudgeMode, OWN, TemplateName, defaults};
use crate::error::Result;
use crate::forest::Pool;
use crate::input::settings::{Setting, quoted, quoted_list};
use crate::model::ModelSource;
use crate::report::terminal;
use crate::run::Loaded;
use crate::run::parts::{Inventory, attempt, from_environment};
use crate::run::plan::steps;
use crate::run::quick;
use crate::theory::LayerChoice;
use crate::units::{ByteSize, LayerList, OneOf, Part};

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Experiment, a TOML file; flags override its settings [default: the settings of the flags; without a model the
    /// quick start, on the built-in known-answer model]
    pub experiment: Option<PathBuf>,
    /// The model: a folder in Hugging Face layout, a GGUF file, an id on the hub (owner/name; for a GGUF file
    /// owner/name:FILE.gguf or owner/name:Q4_K_M), or embedded:NAME
    #[arg(long, value_name = "DIR|FILE|ID|embedded:NAME")]
    pub model: Option<String>,
    #[command(flatten)]
    pub load: LoadArgs,
    /// Items: .jsonl, .jsonl.gz, .json, .parquet or embedded:NAME; several may be given [default: the built-in
    /// labelled prompts: embedded:harmless, embedded:honest, embedded:helpful]
    #[arg(long, num_args = 1.., value_name = "FILE")]
    pub data: Vec<PathBuf>,
    /// Constitutions: TOML files, folders of them, embedded:NAME, embedded:all, or `none` for no judge [default: 19
    /// built-in ones of all families, including six placebos]
    #[arg(long, num_args = 1.., value_name = "FILE|none")]
    pub constitution: Vec<PathBuf>,
    /// Read at most this many items in all: the first 1/n of them from each of n files
    #[arg(long)]
    pub limit: Option<usize>,
    /// Skip items that cannot be read, and report their number
    #[arg(long)]
    pub skip_bad: bool,
    /// Name of the value, for data without one
    #[arg(long)]
    pub value_name: Option<String>,
    /// Layers to keep: `all`, or numbers and ranges such as `0,4-8` [default: all]
    #[arg(long)]
    pub layers: Option<LayerList>,
    /// How the tokens of a response are pooled into one vector [default: mean]
    #[arg(long, value_parser = one_of::<Pool>())]
    pub pool: Option<Pool>,
    /// Maximum memory of the forward pass in addition to the weights, such as 2GB
    #[arg(long)]
    pub memory: Option<ByteSize>,
    /// What the judge is asked: pairwise, or a score of each response; `pairwise implicit` gives both
    #[arg(long, value_parser = one_of::<JudgeMode>(), num_args = 1..=2, value_delimiter = ',')]
    pub mode: Vec<JudgeMode>,
    /// Judge template: the name of a built-in one, or a TOML file [default: one that suits model and mode]
    #[arg(long)]
    pub judge: Option<String>,
    /// Maximum number of pairs per prompt [default: all of two responses, a ring of more]
    #[arg(long)]
    pub max_pairs: Option<usize>,
    /// Constitutions under which responses are read: all, none, or names; the judge is asked under all in any case
    /// [default: all]
    #[arg(long, num_args = 1.., value_name = "all|none|NAME")]
    pub under: Vec<String>,
    /// Rows for which log P is computed: all, or only the bare ones [default: all]
    #[arg(long, value_parser = one_of::<LogprobOf>())]
    pub logprob: Option<LogprobOf>,
    /// Layers at which the state is stored at the judge's answer: auto (eight), none, all, or numbers and ranges
    /// [default: auto]
    #[arg(long)]
    pub judge_layers: Option<StateLayers>,
    /// Layer to report, or `auto` [default: auto]
    #[arg(long, value_parser = layer)]
    pub layer: Option<LayerChoice>,
    /// Only this value; may be given several times [default: all of the data]
    #[arg(long)]
    pub value: Vec<String>,
    /// Constitution whose rows give h [default: none, the bare context]
    #[arg(long)]
    pub reference: Option<String>,
    /// Seed of the random directions and draws used as references for estimates [default: 0]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Set any key of an experiment file: judge.mode=implicit, fit.weights={harmless=2}; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Folder for the run [default: runs/ and the name of the experiment or model]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Do one of N parts of capture and judging, such as 3/8, without a fit: any part on any machine, in any order, into
    /// one folder that all of them see; then `vstar merge`
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Part>,
    /// Number of parts, of which the environment names the one to do: SLURM_ARRAY_TASK_ID from 1 to N, or
    /// JOB_COMPLETION_INDEX from 0 to N - 1
    #[arg(long, value_name = "N", conflicts_with = "shard")]
    pub shards: Option<usize>,
    /// Check everything and print the plan: sequences, tokens, memory, time from a short sample; nothing is written
    #[arg(long)]
    pub dry_run: bool,
}

impl RunArgs {
    /// The part to do, if the run is in parts.
    ///
    /// # Errors
    /// Errors of [`from_environment`].
    fn part(&self) -> Result<Option<Part>> {
        let named = |of| from_environment(of, &|name| std::env::var(name).ok());
        Ok(self.shard.or(self.shards.map(named).transpose()?))
    }

    /// Settings from the flags. A model given without an experiment file starts from the defaults.
    ///
    /// # Errors
    /// Errors of [`ModelSource::parse`] and [`Setting::parse`].
    fn settings(&self) -> Result<Vec<Setting>> {
        let set: Vec<Setting> = self.set.iter().map(|text| Setting::parse(text)).collect::<Result<_>>()?;
        let sets = |key: &str| set.iter().any(|s| s.toml.starts_with(key));
        let given = Given {
            data: !self.data.is_empty() || sets("data.files"),
            constitutions: !self.constitution.is_empty() || sets("constitutions"),
        };
        let stands = |source: &ModelSource| match &self.experiment {
            None => defaults(source, given),
            Some(_) => Vec::new(),
        };
        let mut all = Vec::new();
        if let Some(name) = &self.model {
            let source = ModelSource::parse(name, self.load.compute.revision.as_deref())?;
            all = stands(&source);
            let (key, value) = match &source {
                ModelSource::Hub { .. } => ("model.hub", name.as_str()),
                ModelSource::Embedded(name) => ("model.embedded", name.as_str()),
                ModelSource::Folder(_) | ModelSource::Gguf(_) => ("model.path", name.as_str()),
            };
            const KEYS: &[&str] = &["model.path", "model.hub", "model.embedded", "model.revision"];
            all.push(Setting::new(format!("--model {name}"), key, &quoted(value)).replacing(KEYS));
        } else if sets("model.") {
            all = stands(&ModelSource::Folder(PathBuf::new()));
        }
        all.extend(self.flags());
        all.extend(set);
        Ok(all)
    }

    /// One setting for each flag given, except the model.
    fn flags(&self) -> Vec<Setting> {
        let mut all = Vec::new();
        let mut put = |flag: &str, key: &str, value: Option<(String, String)>| {
            if let Some((shown, toml)) = value {
                all.push(Setting::new(format!("--{flag} {shown}"), key, &toml));
            }
        };
        let text = |t: &Option<String>| t.as_ref().map(|t| (t.clone(), quoted(t)));
        let number = |n: Option<String>| n.map(|n| (n.clone(), n));
        let paths = |list: &[PathBuf]| {
            let list: Vec<_> = list.iter().map(|p| p.to_string_lossy().into_owned()).collect();
            (!list.is_empty()).then(|| (list.join(" "), quoted_list(&list)))
        };
        let on = |flag: bool| flag.then(|| (String::new(), "true".to_owned()));
        let ComputeArgs { revision, tokenizer, dtype, device, quantize, adapter } = &self.load.compute;
        put("revision", "model.revision", text(revision));
        put(
            "tokenizer",
            "model.tokenizer",
            tokenizer
                .as_ref()
                .and_then(|t| paths(std::slice::from_ref(t)))
                .map(|(shown, _)| (shown.clone(), quoted(&shown))),
        );
        put("dtype", "model.dtype", text(&dtype.map(|d| d.as_str().to_owned())));
        put("device", "model.device", text(&device.map(|d| d.to_string())));
        put("quantize", "model.quantize", text(quantize));
        let folder = adapter.as_ref().map(|p| p.to_string_lossy().into_owned());
        put("adapter", "model.adapter", folder.map(|p| (p.clone(), quoted(&p))));
        put("stream", "model.stream", on(self.load.stream));
        put("template", "capture.template", text(&self.load.template.as_ref().map(TemplateName::name)));
        put("data", "data.files", paths(&self.data));
        put("limit", "data.limit", number(self.limit.map(|n| n.to_string())));
        put("skip-bad", "data.skip_bad", on(self.skip_bad));
        put("value-name", "data.value_name", text(&self.value_name));
        put("layers", "capture.layers", text(&self.layers.as_ref().map(ToString::to_string)));
        put("pool", "capture.pool", text(&self.pool.map(|p| p.as_str().to_owned())));
        put("memory", "capture.memory", number(self.memory.map(|m| m.0.to_string())));
        let modes: Vec<&str> = self.mode.iter().map(|m| m.as_str()).collect();
        put("mode", "judge.mode", (!modes.is_empty()).then(|| (modes.join(" "), quoted_list(&modes))));
        put("judge", "judge.template", text(&self.judge));
        put("max-pairs", "judge.max_pairs_per_prompt", number(self.max_pairs.map(|n| n.to_string())));
        put("judge-layers", "judge.layers", text(&self.judge_layers.as_ref().map(ToString::to_string)));
        let under = (!self.under.is_empty()).then(|| (self.under.join(" "), quoted_list(&self.under)));
        put("under", "capture.under", under);
        put("logprob", "capture.logprob", text(&self.logprob.map(|l| l.as_str().to_owned())));
        let layer = self.layer.map(|layer| match layer {
            LayerChoice::Auto => ("auto".to_owned(), quoted("auto")),
            LayerChoice::Fixed(layer) => (layer.to_string(), layer.to_string()),
        });
        put("layer", "fit.layer", layer);
        put(
            "value",
            "fit.values",
            (!self.value.is_empty()).then(|| (self.value.join(" "), quoted_list(&self.value))),
        );
        put("reference", "fit.reference", text(&self.reference));
        put("seed", "seed", number(self.seed.map(|n| n.to_string())));
        put(
            "out",
            "out",
            self.out.as_ref().map(|p| p.to_string_lossy()).map(|p| (p.to_string(), quoted(&p))),
        );
        if !self.constitution.is_empty() {
            let files: Vec<PathBuf> =
                self.constitution.iter().filter(|c| c.as_os_str() != "none").cloned().collect();
            let setting = match paths(&files) {
                Some((shown, toml)) => {
                    Setting::new(format!("--constitution {shown}"), "constitutions.files", &toml)
                        .replacing(&["constitutions"])
                }
                None => Setting::removing("--constitution none", &["constitutions", "judge"]),
            };
            all.insert(0, setting);
        }
        all
    }
}

/// Runs an experiment from start to report, or prints its plan.
pub fn run(args: &RunArgs) -> Result<()> {
    let part = args.part()?;
    let settings = args.settings()?;
    let file = match &args.experiment {
        Some(path) => Some(path.clone()),
        None if args.model.is_some() || settings.iter().any(|s| s.toml.starts_with("model.")) => None,
        None => {
            let path = quick::unpack(Path::new(quick::FOLDER))?;
            println!("no model given: the quick start, which is now in {}", path.display());
            Some(path)
        }
    };
    let experiment = Experiment::compose(file.as_deref(), &settings)?;
    if let Some(part) = part.filter(|_| !args.dry_run) {
        return do_part(experiment, part);
    }
    let loaded = Loaded::of(experiment, &mut Bars::new())?;
    for warning in &loaded.warnings {
        println!("warning: {warning}");
    }
    describe(&loaded.prepared, &loaded.job);
    let steps = steps(&loaded, &mut Bars::new())?;
    plan::show(&steps, loaded.judges.implicit());
    let out = &loaded.experiment.out;
    println!("out: {}", out.display());
    if args.dry_run {
        let part = part.map(|part| share(&loaded, part)).transpose()?;
        result(|| json!({"steps": steps, "warnings": loaded.warnings, "folder": out, "part": part}));
        return Ok(());
    }
    let outcome = loaded.run(&mut Bars::new())?;
    for judged in &outcome.judged {
        list_skipped(judged.what(), &judged.skipped);
    }
    result(|| summary(&outcome.report, out));
    println!("\n{}", terminal(&outcome.report));
    println!("report in {} and {}", out.join("report.html").display(), out.join("report.md").display());
    println!("run again with: vstar run {}", out.join(OWN).display());
    Ok(())
}

/// Prints the size of a part.
fn share(loaded: &Loaded, part: Part) -> Result<serde_json::Value> {
    let inventory = Inventory::of(loaded)?;
    let (shards, tokens) = inventory.size(part);
    println!(
        "part {part}: {shards} of {} shards, {} tokens, {} of them there already",
        inventory.len(),
        compact(tokens.total as f64),
        compact(tokens.there as f64),
    );
    Ok(json!({"part": part.number(), "of": part.of(), "shards": shards, "tokens": tokens}))
}

/// Does one part of an experiment.
fn do_part(experiment: Experiment, part: Part) -> Result<()> {
    let out = experiment.out.clone();
    println!("part {part} of {}", out.display());
    let finished = attempt(experiment, part, &mut Bars::new(), &mut Bars::new(), &mut |loaded| {
        loaded.warnings.iter().for_each(|warning| println!("warning: {warning}"));
        describe(&loaded.prepared, &loaded.job);
    })?;
    result(|| {
        json!({"part": part.number(), "of": part.of(), "shards": finished.shards, "shards_of_run": finished.of,
               "tokens": finished.tokens, "tokens_there_before": finished.there, "folder": out})
    });
    println!(
        "part {part} is done: {} of {} shards, {} tokens, {} of them there before",
        finished.shards,
        finished.of,
        compact(finished.tokens as f64),
        compact(finished.there as f64),
    );
    if finished.shards == 0 {
        println!("note: the run has fewer shards than parts; this part has nothing to do");
    }
    println!("when all parts are done: vstar merge {}", out.display());
    Ok(())
}
