//! An experiment from start to report, resumed where it was cut off.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use super::capture::{CaptureOptions, Prepared, capture_into};
use super::experiment::{Experiment, FitSettings, JudgeTemplateName, MANIFEST, OWN, Pool, TemplateName};
use super::fit::{FitOptions, fit_into};
use super::judges::{Judged, Judges};
use super::model::ModelOptions;
use super::plan::fit_seconds;
use super::preflight;
use super::progress::Progress;
use crate::artifact;
use crate::capture::Job;
use crate::error::{Error, Kind, Place, Refusal, Result};
use crate::input::{cluster, read_items};
use crate::model::hub::Downloads;
use crate::report::Report;
use crate::store::Store;
use crate::theory::LayerChoice;

/// An experiment, loaded and checked, with its work counted; nothing has been computed.
pub struct Loaded {
    /// What the file says.
    pub experiment: Experiment,
    /// Model, items, constitutions.
    pub prepared: Prepared,
    /// The rows of the capture.
    pub job: Job,
    /// The judges that are asked; none without a constitution to judge under.
    pub judges: Judges,
    /// What the user should know before it starts.
    pub warnings: Vec<String>,
}

/// What a run did.
pub struct Outcome {
    /// The report.
    pub report: Report,
    /// What became of the pairs and responses, one entry a judge.
    pub judged: Vec<Judged>,
}

impl Loaded {
    /// Reads an experiment and everything it names; `downloads` listens while the model is fetched.
    ///
    /// # Errors
    /// What the experiment, the data, the constitutions, the model or the judge template refuse.
    pub fn read(path: &Path, downloads: &mut dyn Downloads) -> Result<Self> {
        Self::of(Experiment::read(path)?, downloads)
    }

    /// Reads everything that an experiment names; `downloads` listens while the model is fetched.
    ///
    /// # Errors
    /// What the data, the constitutions, the model or the judge template refuse.
    pub fn of(experiment: Experiment, downloads: &mut dyn Downloads) -> Result<Self> {
        let options = capture_options(&experiment)?;
        let items = read_items(&options.data, &options.read)?;
        let halved =
            experiment.fit.layer.is_none() && !matches!(&options.layers, Some(one) if one.len() == 1);
        // Before the model, which takes longer to load than all of this to check.
        let held = preflight::held(&items, &cluster(&items), &|_, _| true);
        preflight::check(&experiment.fit, &held, &items.notes, halved)?;
        let prepared = Prepared::with_items(items, &options, downloads)?;
        let blocks = prepared.model.decoder.config().num_blocks();
        if let Some(layer) = experiment.fit.layer.filter(|layer| layer.0 > blocks) {
            return Err(Refusal::new(
                Kind::Invalid,
                format!("`fit.layer` is {layer}, which the model does not have"),
            )
            .expected(format!("0 (the embeddings' output) to {blocks}"))
            .into());
        }
        let job = prepared.job()?;
        // Again without what the model cannot read.
        let reads: BTreeSet<(usize, usize)> = job.rows.iter().map(|row| (row.item, row.response)).collect();
        let held = preflight::held(&prepared.items, &prepared.clusters, &|i, r| reads.contains(&(i, r)));
        let warnings = preflight::check(&experiment.fit, &held, &prepared.items.notes, halved)?;
        let judges = match &experiment.judge {
            Some(settings) if !prepared.judged().is_empty() => {
                let choice = settings.template.as_ref().map(JudgeTemplateName::name);
                Judges::new(
                    &settings.modes,
                    choice.as_deref(),
                    settings.max_pairs_per_prompt,
                    &settings.layers,
                    &prepared,
                )?
            }
            _ => Judges::default(),
        };
        Ok(Self { experiment, prepared, job, judges, warnings })
    }

    /// Folder of what is computed and not yet put together.
    pub fn shards(&self) -> PathBuf {
        self.experiment.out.join("shards")
    }

    /// Everything that decides a number of this run: what was read, asked and estimated, by content and not by
    /// the names of files.
    pub fn manifest(&self) -> Value {
        let files: Vec<&String> = self.prepared.items.files.iter().map(|(_, sha256)| sha256).collect();
        let constitutions = self.prepared.judged();
        // A file's template is known by its hash wherever the file lies.
        let template = &self.prepared.template_name;
        let template = template.rsplit_once(" sha256:").map_or(template.as_str(), |(_, sha256)| sha256);
        json!({
            "format": "vstar-run/2",
            "recipe": self.prepared.decisive(),
            "template": template,
            "data": files,
            "read": self.experiment.data.read,
            CONSTITUTIONS: constitutions.iter().map(|c| json!({"name": c.name, "sha256": c.sha256})).collect::<Vec<_>>(),
            "logprob": self.experiment.capture.logprob.as_str(),
            "judge": self.judges.describe(),
            FIT: FitRecipe { settings: &self.experiment.fit, seed: self.experiment.seed },
        })
    }

    /// Captures, judges, fits and writes the report into the experiment's folder, with the experiment itself.
    /// What an earlier run of the same capture and judge finished is used, constitution by constitution; the fit is
    /// always made anew, with the settings of now.
    ///
    /// # Errors
    /// [`Kind::RunConflict`] if the folder belongs to another experiment, naming what differs, or is in
    /// use; what the steps refuse. Every finished shard is kept.
    pub fn run(&self, progress: &mut dyn Progress) -> Result<Outcome> {
        let out = &self.experiment.out;
        let store = Store::open(&self.shards())?;
        // The lock on the shards is the run's.
        artifact::clear_cut_off(out)?;
        let manifest = self.manifest();
        agree(&out.join(MANIFEST), &manifest)?;
        artifact::write_bytes(&out.join(OWN), self.experiment.to_toml()?.as_bytes())?;
        capture_into(&self.prepared, &self.job, &store, out, progress)?;
        let judged = self.judges.ask_into(&self.prepared, &store, out, progress)?;
        let fit = FitOptions {
            observations: out.join(super::capture::OBSERVATIONS),
            layer: self.experiment.fit.layer.map_or(LayerChoice::Auto, LayerChoice::Fixed),
            values: self.experiment.fit.values.clone(),
            reference: Some(self.experiment.fit.reference.clone()),
            placebo: Vec::new(),
            ensemble: self.experiment.fit.ensemble.clone(),
            weights: self.experiment.fit.weights.clone(),
            seed: self.experiment.seed,
            out: out.clone(),
            constitutions: self.prepared.judged().into_iter().cloned().collect(),
            skipped: self.prepared.items.skipped.iter().chain(&self.job.skipped).cloned().collect(),
            skipped_pairs: judged.iter().flat_map(|j| j.skipped.clone()).collect(),
            manifest: Some(manifest),
        };
        progress.begin_timed("fit", Some(fit_seconds(self)?));
        let report = fit_into(&fit);
        progress.end();
        let report = report?;
        Ok(Outcome { report, judged })
    }
}

/// Key of the manifest under which the fit's settings stand: they decide no shard, so a run folder takes others.
const FIT: &str = "fit";

/// Key of the constitutions. Shards are of one constitution each and known by what was read, so a folder takes more
/// constitutions, or fewer, and keeps what is there of the others.
const CONSTITUTIONS: &str = "constitutions";

/// What decides the figures of a fit, beside its observations.
#[derive(Serialize)]
struct FitRecipe<'a> {
    #[serde(flatten)]
    settings: &'a FitSettings,
    seed: u64,
}

/// Writes the manifest, after a comparison with the one that is there.
fn agree(path: &Path, manifest: &Value) -> Result<()> {
    let text = match std::fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(Error::io("read", path, e)),
        Ok(text) => text,
    };
    if !text.is_empty() {
        let there: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let mut there = if there.is_object() { there } else { json!({}) };
        for free in [FIT, CONSTITUTIONS] {
            there[free] = manifest[free].clone();
        }
        let mut differ = Vec::new();
        differences("", &there, manifest, &mut differ);
        if !differ.is_empty() {
            return Err(Refusal::new(Kind::RunConflict, "the folder holds a run of another experiment")
                .at(Place::file(path))
                .expected("the same model, data, templates and settings of the capture and the judge")
                .found(format!("other values of {}", differ.join(", ")))
                .remedy("give this experiment another --out (`out` in its file), or remove the folder")
                .into());
        }
    }
    let new = serde_json::to_string_pretty(manifest).unwrap_or_default();
    if new == text { Ok(()) } else { artifact::write_bytes(path, new.as_bytes()) }
}

/// Paths of the keys at which two JSON values differ.
fn differences(at: &str, a: &Value, b: &Value, out: &mut Vec<String>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                differences(
                    &path,
                    a.get(key).unwrap_or(&Value::Null),
                    b.get(key).unwrap_or(&Value::Null),
                    out,
                );
            }
        }
        _ if a != b => out.push(at.to_owned()),
        _ => {}
    }
}

fn capture_options(experiment: &Experiment) -> Result<CaptureOptions> {
    let (settings, capture) = (&experiment.model, &experiment.capture);
    let model = ModelOptions {
        name: settings.name.clone(),
        source: settings.source.clone(),
        tokenizer: settings.tokenizer.clone(),
        dtype: settings.dtype.as_str().to_owned(),
        device: settings.device.map(|d| d.to_string()),
        stream: settings.stream,
        quantize: settings.quantize,
        template: capture.template.as_ref().map(TemplateName::name),
    };
    Ok(CaptureOptions {
        model,
        data: experiment.data.files.clone(),
        read: experiment.data.read.clone(),
        constitutions: experiment.constitutions()?,
        bare: true,
        layers: capture.layers.numbers(),
        pool: match capture.pool {
            Pool::Mean => crate::forest::Pool::Mean,
            Pool::Last => crate::forest::Pool::Last,
        },
        memory: capture.memory.map(|m| m.0),
        under: capture.under.clone(),
        logprob: capture.logprob,
    })
}
