//! A loaded and validated experiment.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};

use crate::capture::Job;
use crate::config::{Experiment, FitSettings};
use crate::error::{Diagnostic, Kind, Result};
use crate::input::{cluster, read_items};
use crate::model::hub::Downloads;
use crate::model::hub::local_data;
use crate::run::capture::{CaptureOptions, Prepared};
use crate::run::judges::Judges;
use crate::run::preflight;
use crate::units::{LayerList, OneOf};

/// A loaded and validated experiment with its requests; nothing has been computed yet.
pub struct Loaded {
    /// Settings of the experiment.
    pub experiment: Experiment,
    /// Model, items and constitutions.
    pub prepared: Prepared,
    /// Rows of the capture.
    pub job: Job,
    /// Judges of the run; none without a constitution to judge under.
    pub judges: Judges,
    /// Warnings to show before the run starts.
    pub warnings: Vec<String>,
}

impl Loaded {
    /// Reads an experiment and everything that it refers to; `downloads` receives the progress of fetching the model.
    ///
    /// # Errors
    /// Errors of the experiment, the data, the constitutions, the model or the judge template.
    pub fn read(path: &Path, downloads: &mut dyn Downloads) -> Result<Self> {
        Self::of(Experiment::read(path)?, downloads)
    }

    /// Reads everything that an experiment refers to; `downloads` receives the progress of fetching the model.
    ///
    /// # Errors
    /// Errors of the data, the constitutions, the model or the judge template.
    pub fn of(experiment: Experiment, downloads: &mut dyn Downloads) -> Result<Self> {
        let options = CaptureOptions {
            model: experiment.model.clone(),
            data: experiment.data.clone(),
            capture: experiment.capture.clone(),
            constitutions: experiment.constitutions()?,
            bare: true,
        };
        let files = local_data(&options.data.files, downloads)?;
        let items = read_items(&files, &options.data.read)?;
        let halved = experiment.fit.layer.is_none()
            && !matches!(&options.capture.layers, LayerList::These(one) if one.len() == 1);
        // Before the model, which takes longer to load than all of these checks.
        let held = preflight::held(&items, &cluster(&items), &|_, _| true);
        preflight::check(&experiment.fit, &held, &items.notes, halved)?;
        let prepared = Prepared::with_items(items, &options, downloads)?;
        let blocks = prepared.model.decoder.config().num_blocks();
        if let Some(layer) = experiment.fit.layer.filter(|layer| layer.0 > blocks) {
            return Err(Diagnostic::new(
                Kind::Invalid,
                format!("`fit.layer` is {layer}, which the model does not have"),
            )
            .expected(format!("0 (the embeddings' output) to {blocks}"))
            .into());
        }
        let job = prepared.job()?;
        // Repeated without the rows that the model cannot read.
        let reads: BTreeSet<(usize, usize)> = job.rows.iter().map(|row| (row.item, row.response)).collect();
        let held = preflight::held(&prepared.items, &prepared.clusters, &|i, r| reads.contains(&(i, r)));
        let warnings = preflight::check(&experiment.fit, &held, &prepared.items.notes, halved)?;
        let judges = match &experiment.judge {
            Some(settings) if !prepared.judged().is_empty() => Judges::new(settings, &prepared)?,
            _ => Judges::default(),
        };
        Ok(Self { experiment, prepared, job, judges, warnings })
    }

    /// Folder of shards: computed results that are not yet assembled.
    pub fn shards(&self) -> PathBuf {
        self.experiment.out.join("shards")
    }

    /// Everything that determines the results of this run: inputs, questions and estimates, by content rather than file
    /// name.
    pub fn manifest(&self) -> Value {
        let files: Vec<&String> = self.prepared.items.files.iter().map(|(_, sha256)| sha256).collect();
        let constitutions = self.prepared.judged();
        // A template file is identified by its hash, wherever it is.
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
}

/// Manifest key of the fit's settings: they do not affect shards, so a run folder accepts different ones.
pub(crate) const FIT: &str = "fit";

/// Manifest key of the constitutions. Each shard belongs to one constitution and is identified by its inputs, so a
/// folder accepts more or fewer constitutions and keeps existing shards.
pub(crate) const CONSTITUTIONS: &str = "constitutions";

/// Everything besides the observations that determines the results of a fit.
#[derive(Serialize)]
struct FitRecipe<'a> {
    #[serde(flatten)]
    settings: &'a FitSettings,
    seed: u64,
}
