//! Captures a model's activations for data and constitutions in an observations file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use ndarray::{Array3, Ix3, s};
use serde::{Deserialize, Serialize};

use super::hashes;
use crate::capture::{self, Job, Row};
use crate::config::scope::{LogprobOf, Under};
use crate::config::{CaptureSettings, DataSettings, ModelSettings};
use crate::error::{Diagnostic, Kind, Result};
use crate::forest::{self, Memory, Plan, Pool, Request, Settings};
use crate::input::constitution::paraphrases;
use crate::input::{Clusters, Constitution, Items, cluster, read_items};
use crate::model::chat::Template;
use crate::model::hub::local_data;
use crate::model::hub::{Downloads, Unwatched};
use crate::model::{Identity, Model, Opened};
use crate::observations::{BARE, Columns, Meta, OBSERVATIONS, ROWS, RowRecord, write_rows, write_streaming};
use crate::run::progress::Progress;
use crate::store::Store;
use crate::units::{Layer, OneOf};

/// Maximum number of token pieces of a response in the list of rows.
const POOLED_PIECES: usize = 48;

/// Inputs and settings of a capture.
#[derive(Debug, Clone)]
pub struct CaptureOptions {
    /// Model settings.
    pub model: ModelSettings,
    /// Data settings.
    pub data: DataSettings,
    /// Capture settings.
    pub capture: CaptureSettings,
    /// Validated constitutions.
    pub constitutions: Vec<Constitution>,
    /// Whether responses are also read in the bare context.
    pub bare: bool,
}

impl CaptureOptions {
    /// Captures these items under the bare context and these constitutions, with the defaults of an experiment.
    pub fn new(
        model: ModelSettings,
        items: impl IntoIterator<Item = impl Into<PathBuf>>,
        constitutions: Vec<Constitution>,
    ) -> Self {
        let files = items.into_iter().map(Into::into).collect();
        let data = DataSettings { files, ..DataSettings::default() };
        Self { model, data, capture: CaptureSettings::default(), constitutions, bare: true }
    }
}

/// A loaded and validated capture; nothing has been computed yet.
pub struct Prepared {
    /// The loaded model.
    pub model: Model,
    /// Items to capture.
    pub items: Items,
    /// Clusters of near-copies among the items.
    pub clusters: Clusters,
    /// The constitutions in row order, `None` for the bare context.
    pub constitutions: Vec<Option<Constitution>>,
    /// Template used to render the items.
    pub template: Template,
    /// The template's name for the record.
    pub template_name: String,
    /// What the forward pass keeps.
    pub settings: Settings,
    /// dtype, for the record.
    pub dtype: String,
    skip_bad: bool,
    under: Under,
    logprob: LogprobOf,
}

/// Everything that determines the results of a capture besides the tokens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Identity of the model.
    pub model: Identity,
    /// dtype of the computation.
    pub dtype: String,
    /// `cpu` or `cuda`: they round differently.
    pub device: String,
    /// Captured layers.
    pub layers: Vec<Layer>,
    /// Pooling over a response's tokens.
    pub pool: Pool,
    /// Version of this program.
    pub version: String,
}

impl Prepared {
    /// Loads and validates: first items and constitutions, which is fast, then the model.
    ///
    /// # Errors
    /// Errors of reading items, constitutions and the model; `Invalid` for layers that the model does not have.
    pub fn new(options: &CaptureOptions) -> Result<Self> {
        Self::fetched(options, &mut Unwatched)
    }

    /// As [`Prepared::new`]; `downloads` receives the progress of fetching the model.
    ///
    /// # Errors
    /// As [`Prepared::new`].
    pub fn fetched(options: &CaptureOptions, downloads: &mut dyn Downloads) -> Result<Self> {
        let files = local_data(&options.data.files, downloads)?;
        Self::with_items(read_items(&files, &options.data.read)?, options, downloads)
    }

    /// As [`Prepared::fetched`], with items already read.
    ///
    /// # Errors
    /// As [`Prepared::new`].
    pub fn with_items(items: Items, options: &CaptureOptions, downloads: &mut dyn Downloads) -> Result<Self> {
        let capture = &options.capture;
        capture.under.check(options.constitutions.iter().map(|c| c.name.as_str()))?;
        let mut constitutions: Vec<Option<Constitution>> = options.bare.then_some(None).into_iter().collect();
        constitutions.extend(options.constitutions.iter().cloned().map(Some));
        let opened = options.model.open(capture.template.as_ref(), downloads)?;
        let layers = opened.layers(capture.layers.numbers().as_deref())?;
        let Opened { model, template, template_name } = opened;
        let memory = capture.memory.map(|bytes| bytes.0 as usize);
        let settings = Settings {
            layers,
            pool: capture.pool,
            chunk_tokens: forest::chunk_tokens(&model.decoder, memory),
            memory,
            steering: Default::default(),
        };
        let clusters = cluster(&items);
        let dtype = options.model.dtype.as_str().to_owned();
        let skip_bad = options.data.read.skip_bad;
        let (under, logprob) = (capture.under.clone(), capture.logprob);
        Ok(Self {
            model,
            items,
            clusters,
            constitutions,
            template,
            template_name,
            settings,
            dtype,
            skip_bad,
            under,
            logprob,
        })
    }

    /// Renders and encodes every row.
    ///
    /// # Errors
    /// As [`capture::encode`].
    pub fn job(&self) -> Result<Job> {
        let (captured, skip_bad) = (self.captured(), self.skip_bad);
        let constitutions: Vec<_> = captured.iter().map(|&c| self.constitutions[c].clone()).collect();
        let mut job =
            capture::encode(&self.model, &self.template, &self.items.items, &constitutions, skip_bad)?;
        for row in &mut job.rows {
            row.constitution = captured[row.constitution];
            let bare = self.constitutions[row.constitution].is_none();
            row.request.logprob = bare || self.logprob == LogprobOf::All;
        }
        Ok(job)
    }

    /// Indices of the contexts under which responses are read: the bare one, and the constitutions selected for it.
    fn captured(&self) -> Vec<usize> {
        let holds = |c: &Option<Constitution>| c.as_ref().is_none_or(|c| self.under.holds(&c.name));
        (0..self.constitutions.len()).filter(|&c| holds(&self.constitutions[c])).collect()
    }

    /// Refuses a likelihood judge if log P is not computed under every constitution.
    ///
    /// # Errors
    /// [`Kind::Invalid`] with the setting to change.
    pub fn supports_likelihoods(&self) -> Result<()> {
        let unread = self.judged().into_iter().find(|c| !self.under.holds(&c.name));
        if unread.is_none() && self.logprob == LogprobOf::All {
            return Ok(());
        }
        Err(Diagnostic::new(Kind::Invalid, "the judge by likelihoods needs log P under every constitution")
            .expected("`capture.under = \"all\"` and `capture.logprob = \"all\"`")
            .found(match unread {
                Some(c) => format!("responses are not read under `{}`", c.name),
                None => "`capture.logprob = \"bare\"`".to_owned(),
            })
            .remedy("capture all of it, or choose `judge.mode = \"pairwise\"`")
            .into())
    }

    /// Whether unreadable rows are skipped.
    pub fn skips_bad(&self) -> bool {
        self.skip_bad
    }

    /// Chunks and token counts of the given rows.
    pub fn plan(&self, rows: &[Row]) -> Plan {
        self.plan_of(rows, &capture::shards(rows))
    }

    /// Chunks and token counts of some shards of the given rows.
    pub fn plan_of(&self, rows: &[Row], shards: &[Range<usize>]) -> Plan {
        let mut total = Plan { chunks: Vec::new(), naive_tokens: 0, packed_tokens: 0 };
        for range in shards.iter().cloned() {
            let requests: Vec<&Request> = rows[range].iter().map(|r| &r.request).collect();
            let plan = forest::plan_requests(&self.model.decoder, &requests, self.settings.chunk_tokens);
            total.naive_tokens += plan.naive_tokens;
            total.packed_tokens += plan.packed_tokens;
            total.chunks.extend(plan.chunks);
        }
        total
    }

    /// Estimated memory use of capturing the given rows.
    pub fn memory(&self, plan: &Plan, rows: usize) -> Memory {
        forest::memory(&self.model.decoder, &self.settings, plan.packed_tokens, rows)
    }

    /// Everything that determines the results besides the tokens, and the model's name, which does not.
    pub fn recipe(&self) -> Recipe {
        Recipe {
            model: self.model.identity.clone(),
            dtype: self.dtype.clone(),
            device: if self.model.decoder.device().is_cpu() { "cpu" } else { "cuda" }.into(),
            layers: self.settings.layers.clone(),
            pool: self.settings.pool,
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// Everything that determines the results besides the tokens; the model is identified by its content, not its path.
    pub fn decisive(&self) -> Recipe {
        let mut recipe = self.recipe();
        recipe.model.name.clear();
        recipe
    }

    /// Rows missing from a folder of shards.
    pub fn outstanding<'a>(&self, job: &'a Job, folder: &Path) -> Vec<&'a Row> {
        capture::outstanding(&job.rows, &self.shard_recipe(), folder)
    }

    /// Everything that determines the shards of a capture besides the tokens.
    pub fn shard_recipe(&self) -> String {
        json(&self.decisive())
    }

    /// Name of a constitution.
    pub fn name(&self, constitution: usize) -> &str {
        self.constitutions[constitution].as_ref().map_or(BARE, |c| c.name.as_str())
    }

    /// The constitutions that have a text.
    pub fn judged(&self) -> Vec<&Constitution> {
        self.constitutions.iter().flatten().collect()
    }

    /// As [`Prepared::judged`], for a judge that asks questions.
    ///
    /// # Errors
    /// [`Kind::Missing`] if there are none.
    pub fn to_judge_under(&self) -> Result<Vec<&Constitution>> {
        let all = self.judged();
        if all.is_empty() {
            return Err(Diagnostic::new(Kind::Missing, "no constitution to judge under")
                .expected("at least one --constitution FILE")
                .into());
        }
        Ok(all)
    }
}

/// Computes what is missing from the store and writes the observations and their list of rows to `out`.
///
/// # Errors
/// Errors of the forward pass, of `progress` and of the file system. The store keeps every finished shard, and no
/// partially written file is left in `out`.
pub fn capture_into(
    prepared: &Prepared,
    job: &Job,
    store: &Store,
    out: &Path,
    progress: &mut dyn Progress,
) -> Result<()> {
    fill(prepared, job, store, &|_| true, progress)?;
    assemble(prepared, job, store, out)
}

/// Writes the observations and their list of rows to `out` from a store that has every shard.
///
/// # Errors
/// [`Kind::RunConflict`] if a shard is missing; the file system's error.
pub fn assemble(prepared: &Prepared, job: &Job, store: &Store, out: &Path) -> Result<()> {
    write(prepared, job, &prepared.shard_recipe(), store, out)
}

/// Computes all rows and assembles the observations in memory, with their list of rows.
///
/// # Errors
/// Errors of the forward pass and of `progress`.
pub fn captured(
    prepared: &Prepared,
    job: &Job,
    progress: &mut dyn Progress,
) -> Result<(Meta, Columns, Array3<f32>, Vec<RowRecord>)> {
    let (recipe, store) = (prepared.shard_recipe(), Store::in_memory());
    fill(prepared, job, &store, &|_| true, progress)?;
    let (meta, columns) = (meta(prepared, job), columns(prepared, job, logprob(job, &recipe, &store)?));
    let hidden = prepared.model.decoder.config().hidden_size;
    let mut resid = Array3::zeros((job.rows.len(), prepared.settings.layers.len(), hidden));
    for range in capture::shards(&job.rows) {
        resid.slice_mut(s![range.clone(), .., ..]).assign(&residuals(job, &recipe, &store, &range)?);
    }
    Ok((meta, columns, resid, records(prepared, job)))
}

/// Computes what is missing from the store, of the shards whose index `mine` accepts.
///
/// # Errors
/// As [`capture_into`].
pub fn fill(
    prepared: &Prepared,
    job: &Job,
    store: &Store,
    mine: &dyn Fn(usize) -> bool,
    progress: &mut dyn Progress,
) -> Result<()> {
    let (items, recipe) = (&prepared.items.items, prepared.shard_recipe());
    let shards = capture::shards(&job.rows);
    let own: Vec<_> = shards.into_iter().enumerate().filter(|(i, _)| mine(*i)).map(|(_, r)| r).collect();
    progress.begin("capture", prepared.plan_of(&job.rows, &own).packed_tokens);
    let place = |row: &Row| capture::job::place_of(row, items, &prepared.constitutions);
    let (model, settings) = (&prepared.model, &prepared.settings);
    let mut advance = |tokens| progress.advance(tokens);
    capture::fill(model, &job.rows, &recipe, settings, store, &place, mine, &mut advance)?;
    progress.end();
    Ok(())
}

fn missing(range: &Range<usize>) -> Diagnostic {
    let what = format!("rows {} to {} vanished while the capture ran", range.start, range.end);
    Diagnostic::new(Kind::RunConflict, what).remedy("run the same command again")
}

/// log P by row; NaN if not requested.
fn logprob(job: &Job, recipe: &str, store: &Store) -> Result<Vec<f64>> {
    let mut logprob = Vec::with_capacity(job.rows.len());
    for range in capture::shards(&job.rows) {
        let shard = capture::shard(store, &job.rows, recipe, &range).ok_or_else(|| missing(&range))?;
        logprob.extend(shard["logprob"].iter().map(|&v| f64::from(v)));
    }
    for (row, logprob) in job.rows.iter().zip(&mut logprob) {
        if !row.request.logprob {
            *logprob = f64::NAN;
        }
    }
    Ok(logprob)
}

/// Residual streams of a shard.
fn residuals(job: &Job, recipe: &str, store: &Store, range: &Range<usize>) -> Result<Array3<f32>> {
    let mut shard = capture::shard(store, &job.rows, recipe, range).ok_or_else(|| missing(range))?;
    let resid = shard.remove("resid").and_then(|r| r.into_dimensionality::<Ix3>().ok());
    Ok(resid.ok_or_else(|| missing(range))?)
}

fn write(prepared: &Prepared, job: &Job, recipe: &str, store: &Store, out: &Path) -> Result<()> {
    let (meta, columns) = (meta(prepared, job), columns(prepared, job, logprob(job, recipe, store)?));
    let hidden = prepared.model.decoder.config().hidden_size;
    write_streaming(&out.join(OBSERVATIONS), &meta, &columns, job.rows.len(), hidden, |sink| {
        for range in capture::shards(&job.rows) {
            sink.push(residuals(job, recipe, store, &range)?.view())?;
        }
        Ok(())
    })?;
    write_rows(&out.join(ROWS), &records(prepared, job))
}

/// Records of all rows.
pub fn records(prepared: &Prepared, job: &Job) -> Vec<RowRecord> {
    let record = |row: &Row| {
        // Only once per response: under other constitutions its tokens are the same.
        let once = row.request.response.filter(|_| row.constitution == 0);
        let tokens = once.map(|span| &row.request.tokens[span.start..span.end]);
        RowRecord {
            id: prepared.items.items[row.item].id.clone(),
            response: row.response,
            constitution: prepared.name(row.constitution).to_owned(),
            span: row.request.response.map_or([0, 0], |s| [s.start, s.end]),
            pooled: tokens.map(|tokens| prepared.model.encoder.pieces(tokens, POOLED_PIECES)),
            tokens: tokens.map(<[u32]>::to_vec),
            sequence_sha256: once.map(|_| hashes::sequence(&row.request.tokens)),
        }
    };
    job.rows.iter().map(record).collect()
}

fn meta(prepared: &Prepared, job: &Job) -> Meta {
    let mut meta = Meta::new(prepared.settings.layers.clone());
    meta.model = prepared.model.identity.name.clone();
    meta.revision = prepared.model.identity.revision.clone();
    meta.pool = prepared.settings.pool.as_str().into();
    meta.template = prepared.template_name.clone();
    meta.constitutions = prepared.captured().into_iter().map(|c| prepared.name(c).to_owned()).collect();
    let families: BTreeMap<&str, &str> =
        prepared.judged().iter().map(|c| (c.name.as_str(), c.family.as_str())).collect();
    meta.extra.insert("families".into(), json(&families));
    meta.extra.insert("paraphrases".into(), json(&paraphrases(prepared.judged())));
    meta.extra.insert("recipe".into(), json(&prepared.recipe()));
    meta.extra.insert(hashes::CONSTITUTIONS.into(), json(&hashes::texts(&prepared.judged())));
    let identity = &prepared.model.identity;
    if !identity.quantize.is_empty() {
        meta.extra.insert("quantize".into(), identity.quantize.clone());
    }
    if let Some(bits) = identity.bits_per_weight {
        meta.extra.insert("bits_per_weight".into(), bits.to_string());
    }
    let skipped = job.skipped.len() + prepared.items.skipped.len();
    meta.extra.insert("skipped".into(), skipped.to_string());
    meta.extra.insert("constitution_folded".into(), job.folded.to_string());
    let clusters = &prepared.clusters;
    if clusters.joined_groups > 0 {
        meta.extra.insert("clustered_prompts".into(), clusters.joined_groups.to_string());
    }
    meta
}

/// Serialises plain data to JSON.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("maps with string keys and structs serialise")
}

fn columns(prepared: &Prepared, job: &Job, logprob: Vec<f64>) -> Columns {
    let items = &prepared.items;
    let prompt = items.prompt_numbers();
    // Responses are numbered over all items, the same under every constitution.
    let first = items.first_responses();
    let of = |f: &dyn Fn(&Row) -> i32| -> Vec<i32> { job.rows.iter().map(f).collect() };
    let captured = prepared.captured();
    let mut columns = Columns {
        prompt: Some(of(&|r| prompt[r.item])),
        cluster: Some(of(&|r| prepared.clusters.of_item[r.item])),
        response: Some(of(&|r| (first[r.item] + r.response) as i32)),
        // Index in the list of captured constitutions.
        constitution: Some(
            job.rows.iter().map(|r| captured.partition_point(|c| *c < r.constitution)).collect(),
        ),
        logprob: Some(logprob),
        logq: None,
        ntok: Some(job.rows.iter().map(|r| r.request.response.map_or(0, |s| s.len()) as u32).collect()),
        ..Columns::default()
    };
    for name in items.value_names() {
        let labels: Vec<f64> = job
            .rows
            .iter()
            .map(|r| items.items[r.item].responses[r.response].values.get(name).copied().unwrap_or(f64::NAN))
            .collect();
        if labels.iter().any(|l| !l.is_nan()) {
            columns.values.insert(name.to_owned(), labels);
        }
        let pairs = preferences(prepared, job, name);
        if !pairs.is_empty() {
            columns.preferences.insert(name.to_owned(), pairs);
        }
    }
    columns
}

/// Preferences of a value among the rows of each constitution, in row order; preferences with a skipped response are
/// omitted.
fn preferences(prepared: &Prepared, job: &Job, value: &str) -> Vec<[usize; 2]> {
    let place: BTreeMap<(usize, usize, usize), usize> =
        job.rows.iter().enumerate().map(|(i, r)| ((r.constitution, r.item, r.response), i)).collect();
    let mut pairs = Vec::new();
    for constitution in 0..prepared.constitutions.len() {
        for (i, item) in prepared.items.items.iter().enumerate() {
            for preference in item.preferences.iter().filter(|p| p.value == value) {
                let row = |response: usize| place.get(&(constitution, i, response)).copied();
                if let (Some(better), Some(worse)) = (row(preference.better), row(preference.worse)) {
                    pairs.push([better, worse]);
                }
            }
        }
    }
    pairs
}
