//! An experiment, loaded and checked.

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
        // Before the model, which takes longer to load than all of this to check.
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
        // Again without what the model cannot read.
        let reads: BTreeSet<(usize, usize)> = job.rows.iter().map(|row| (row.item, row.response)).collect();
        let held = preflight::held(&prepared.items, &prepared.clusters, &|i, r| reads.contains(&(i, r)));
        let warnings = preflight::check(&experiment.fit, &held, &prepared.items.notes, halved)?;
        let judges = match &experiment.judge {
            Some(settings) if !prepared.judged().is_empty() => Judges::new(settings, &prepared)?,
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
}

/// Key of the manifest under which the fit's settings stand: they decide no shard, so a run folder takes others.
pub(crate) const FIT: &str = "fit";

/// Key of the constitutions. Shards are of one constitution each and known by what was read, so a folder takes more
/// constitutions, or fewer, and keeps what is there of the others.
pub(crate) const CONSTITUTIONS: &str = "constitutions";

/// What decides the figures of a fit, beside its observations.
#[derive(Serialize)]
struct FitRecipe<'a> {
    #[serde(flatten)]
    settings: &'a FitSettings,
    seed: u64,
}
