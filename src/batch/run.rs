//! An experiment from start to report, resumed where it was cut off.

use std::path::Path;

use serde_json::{Value, json};

use super::capture::{CaptureOptions, Prepared, capture_into};
use super::experiment::{DeviceName, Dtype, Experiment, JudgeTemplateName, ModelName, Pool, TemplateName};
use super::fit::{FitOptions, fit_into};
use super::judges::{Judged, Judges};
use super::model::ModelOptions;
use super::progress::Progress;
use crate::artifact;
use crate::capture::Job;
use crate::error::{Error, Kind, Place, Refusal, Result};
use crate::hypothesis::LayerChoice;
use crate::model::ModelSource;
use crate::model::hub::Downloads;
use crate::report::Report;
use crate::store::Store;

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
        let experiment = Experiment::read(path)?;
        let prepared = Prepared::fetched(&capture_options(&experiment)?, downloads)?;
        let job = prepared.job()?;
        let judges = match &experiment.judge {
            Some(settings) if !prepared.judged().is_empty() => {
                let choice = settings.template.as_ref().map(|t| match t {
                    JudgeTemplateName::Shipped(name) => name.clone(),
                    JudgeTemplateName::File(path) => path.to_string_lossy().into_owned(),
                });
                Judges::new(
                    &settings.modes,
                    choice.as_deref(),
                    settings.max_pairs_per_prompt,
                    &prepared.model,
                )?
            }
            _ => Judges::default(),
        };
        Ok(Self { experiment, prepared, job, judges })
    }

    /// Everything that decides a number of this run.
    pub fn manifest(&self) -> Value {
        let files = |paths: &[std::path::PathBuf]| -> Value {
            paths.iter().map(|p| json!({"file": p, "sha256": artifact::sha256_file(p).ok()})).collect()
        };
        json!({
            "format": "vstar-run/1",
            "recipe": self.prepared.recipe(),
            "template": self.prepared.template_name,
            "data": files(&self.experiment.data.files),
            "limit": self.experiment.data.read.limit,
            "value_name": self.experiment.data.read.value_name,
            "skip_bad": self.experiment.data.read.skip_bad,
            "constitutions": self.prepared.judged().iter().map(|c| json!({"name": c.name, "sha256": c.sha256})).collect::<Vec<_>>(),
            "judge": self.judges.describe(),
            "fit": {
                "layer": self.experiment.fit.layer,
                "values": self.experiment.fit.values,
                "reference": self.experiment.fit.reference,
            },
            "seed": self.experiment.seed,
        })
    }

    /// Captures, judges, fits and writes the report into the experiment's folder. What an earlier run of
    /// the same experiment finished is used.
    ///
    /// # Errors
    /// [`Kind::RunConflict`] if the folder belongs to another experiment, naming what differs, or is in
    /// use; what the steps refuse. Every finished shard is kept.
    pub fn run(&self, progress: &mut dyn Progress) -> Result<Outcome> {
        let out = &self.experiment.out;
        let store = Store::open(&out.join("shards"))?;
        // The lock on the shards is the run's.
        artifact::clear_cut_off(out)?;
        let manifest = self.manifest();
        agree(&out.join("manifest.json"), &manifest)?;
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
            out: out.clone(),
            constitutions: self.prepared.judged().into_iter().cloned().collect(),
            skipped: self.prepared.items.skipped.iter().chain(&self.job.skipped).cloned().collect(),
            skipped_pairs: judged.iter().flat_map(|j| j.skipped.clone()).collect(),
            manifest: Some(manifest),
        };
        let report = fit_into(&fit)?;
        Ok(Outcome { report, judged })
    }
}

/// Writes the manifest, or compares it with the one that is there.
fn agree(path: &Path, manifest: &Value) -> Result<()> {
    match std::fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            let text = serde_json::to_string_pretty(manifest).unwrap_or_default();
            artifact::write_bytes(path, text.as_bytes())
        }
        Err(e) => Err(Error::io("read", path, e)),
        Ok(text) => {
            let there: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
            let mut differ = Vec::new();
            differences("", &there, manifest, &mut differ);
            if differ.is_empty() {
                return Ok(());
            }
            Err(Refusal::new(Kind::RunConflict, "the folder holds a run of another experiment")
                .at(Place::file(path))
                .expected("the same model, data, constitutions, templates and settings")
                .found(format!("other values of {}", differ.join(", ")))
                .remedy("give this experiment another `out`, or remove the folder")
                .into())
        }
    }
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
    let (name, source) = match experiment.model.source.clone() {
        ModelName::Folder(path) => (path.to_string_lossy().into_owned(), ModelSource::Folder(path)),
        ModelName::Hub { id, revision } => (id.clone(), ModelSource::Hub { id, revision }),
        ModelName::Embedded(name) => (format!("embedded:{name}"), ModelSource::Embedded(name)),
    };
    let model = ModelOptions {
        name,
        source,
        dtype: match experiment.model.dtype {
            Dtype::F32 => "f32",
            Dtype::Bf16 => "bf16",
            Dtype::F16 => "f16",
        }
        .to_owned(),
        device: experiment.model.device.map(|d| match d {
            DeviceName::Cpu => "cpu".to_owned(),
            DeviceName::Cuda(n) => format!("cuda:{n}"),
        }),
        stream: experiment.model.stream,
        quantize: experiment.model.quantize,
        template: experiment.capture.template.as_ref().map(|t| match t {
            TemplateName::Plain => "none".to_owned(),
            TemplateName::Chat => "chat".to_owned(),
            TemplateName::File(path) => path.to_string_lossy().into_owned(),
        }),
    };
    Ok(CaptureOptions {
        model,
        data: experiment.data.files.clone(),
        read: experiment.data.read.clone(),
        constitutions: experiment.constitutions()?,
        bare: true,
        layers: experiment.capture.layers.as_ref().map(|l| l.iter().map(|l| l.0).collect()),
        pool: match experiment.capture.pool {
            Pool::Mean => crate::forest::Pool::Mean,
            Pool::Last => crate::forest::Pool::Last,
        },
        memory: experiment.capture.memory,
    })
}
