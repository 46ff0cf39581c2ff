//! Fits observations and writes directions and the report.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::artifact;
use crate::config::FitSettings;
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::fit::folder::{DIRECTIONS, ESTIMATES, HTML, MARKDOWN, REPORT};
use crate::fit::problem::{Posed, pose};
use crate::fit::roster::{cards, roster};
use crate::input::{Constitution, Roster};
use crate::model::Identity;
use crate::observations::ROWS;
use crate::observations::{Observations, read_rows};
use crate::report::export::{Directions, to_estimates_csv, to_safetensors};
use crate::report::{Provenance, Report, SKIPPED, page, to_json};
use crate::theory::{self, Analysis, LayerChoice, Options, analyse};
use crate::units::Layer;

/// Options of a fit.
#[derive(Debug, Clone)]
pub struct FitOptions {
    /// The observations.
    pub observations: PathBuf,
    /// Settings of the estimation.
    pub settings: FitSettings,
    /// Constitutions of the placebo arm, in addition to those marked as placebo in the file or in `constitutions`.
    pub placebo: Vec<String>,
    /// Seed of the random directions and draws.
    pub seed: u64,
    /// Folder for the report.
    pub out: PathBuf,
    /// The constitutions, if available.
    pub constitutions: Vec<Constitution>,
    /// Items and rows skipped by the capture.
    pub skipped: Vec<Diagnostic>,
    /// Pairs skipped by the judge.
    pub skipped_pairs: Vec<Diagnostic>,
    /// The manifest of the run, if this is part of one.
    pub manifest: Option<Value>,
}

/// Peak memory estimate of a fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FitMemory {
    /// Number of rows of the reference.
    pub rows: usize,
    /// Width of the residual stream, d.
    pub width: usize,
    /// Bytes of one layer's rows and of one factorisation of all their contrasts: h in f32; X `[N, d]`, U `[N, r]`
    /// and two matrices `[r, r]` in f64, r = min(N, d). Values that label different rows need one factorisation each.
    pub bytes: usize,
}

/// Estimates the memory of a fit of these observations, from their columns alone.
///
/// # Errors
/// Errors of the observations.
pub fn fit_memory(observations: &Path, reference: Option<&str>) -> Result<FitMemory> {
    let observations = Observations::open(observations)?;
    let posed = pose(&observations, reference, &BTreeSet::new())?;
    let (rows, width) = (posed.problem.rows(), observations.hidden_size());
    let prompts: BTreeSet<i32> = posed.problem.prompt.iter().copied().collect();
    let contrasts = if posed.problem.grouped { rows.saturating_sub(prompts.len()) } else { rows };
    Ok(FitMemory { rows, width, bytes: factorisation(rows, contrasts, width) })
}

/// Bytes of a layer's rows and of one factorisation of their contrasts, as in [`FitMemory`].
pub fn factorisation(rows: usize, contrasts: usize, width: usize) -> usize {
    let rank = contrasts.min(width);
    4 * rows * width + 8 * (contrasts * (width + rank) + 2 * rank * rank)
}

/// Results of a fit, not yet written.
pub struct Fitted {
    /// The report.
    pub report: Report,
    /// The directions at every layer.
    pub directions: Directions,
    /// The layer of the report.
    pub layer: Layer,
}

impl Fitted {
    /// Writes `report.json`, `estimates.csv`, `report.md`, `report.html` and `directions.safetensors` into a folder.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, out: &Path) -> Result<()> {
        let page = page(&self.report);
        let texts = [
            (ESTIMATES, to_estimates_csv(&self.report.estimates)),
            (MARKDOWN, page.to_markdown()),
            (HTML, page.to_html()),
            (REPORT, to_json(&self.report)?),
        ];
        let directions = to_safetensors(&self.directions);
        let mut files: Vec<(&str, &[u8])> = vec![(DIRECTIONS, &directions)];
        files.extend(texts.iter().map(|(name, text)| (*name, text.as_bytes())));
        artifact::write_together(out, &files)
    }
}

/// Analyses the observations and writes `report.json`, `estimates.csv`, `report.md`, `report.html` and
/// `directions.safetensors` into the folder.
///
/// # Errors
/// Errors of the observations, of the analysis, and of the file system.
pub fn fit_into(options: &FitOptions) -> Result<Report> {
    let fitted = fit(options)?;
    fitted.write(&options.out)?;
    Ok(fitted.report)
}

/// Analyses the observations without writing anything.
///
/// # Errors
/// Errors of the observations and of the analysis.
pub fn fit(options: &FitOptions) -> Result<Fitted> {
    let observations = Observations::open(&options.observations)?;
    let roster = roster(&observations, &options.constitutions, &options.placebo)?;
    let columns = observations.columns();
    let read = &observations.meta().constitutions;
    let known =
        |p: &String| columns.judgments.contains_key(p) || columns.scores.contains_key(p) || read.contains(p);
    if let Some(unknown) = options.placebo.iter().find(|p| !known(p)) {
        return Err(Diagnostic::new(Kind::Missing, format!("neither judgments nor rows under `{unknown}`"))
            .at(Place::file(&options.observations))
            .expected("the name of a constitution of the observations after --placebo")
            .into());
    }
    let (analysis, posed) = analysed(&observations, &roster, &options.settings, options.seed)?;
    let directions = directions(&observations, &analysis);
    let provenance = provenance(options, &observations, posed.source.selection.name())?;
    let cards = cards(&observations, &roster, &options.constitutions);
    let mut report = Report::new(provenance, &analysis, cards);
    add_skipped(&mut report, options, &observations);
    name_items(&mut report, &options.observations, posed.source.selection.rows());
    Ok(Fitted { report, directions, layer: analysis.layer })
}

/// Computes every estimate of some observations without writing anything. Placebos and paraphrases are taken from the
/// metadata of the observations.
///
/// # Errors
/// Errors of the observations and of the analysis.
///
/// # Examples
///
/// Activations captured elsewhere, here two prompts with two responses each: too few for an estimate, and reported as
/// such.
///
/// ```
/// use ndarray::Array3;
/// use vstar::prelude::*;
///
/// let resid = Array3::from_shape_fn((4, 1, 3), |(row, _, j)| (row * 3 + j) as f32);
/// let columns = Columns {
///     prompt: Some(vec![0, 0, 1, 1]),
///     values: [("harmless".to_owned(), vec![1.0, 0.0, 0.5, 0.0])].into(),
///     ..Columns::default()
/// };
/// let observations = Observations::new(Meta::new(vec![Layer(12)]), columns, resid)?;
/// let analysis = vstar::fit::estimates(&observations, &FitSettings::default(), 0)?;
/// let rho2 = analysis.get(Quantity::Rho2, Some("harmless"), None).expect("it is listed");
/// assert!(!rho2.reportable);
/// # Ok::<(), vstar::error::Error>(())
/// ```
pub fn estimates(observations: &Observations, settings: &FitSettings, seed: u64) -> Result<Analysis> {
    let roster = roster(observations, &[], &[])?;
    Ok(analysed(observations, &roster, settings, seed)?.0)
}

fn analysed<'a>(
    observations: &'a Observations,
    roster: &Roster,
    settings: &FitSettings,
    seed: u64,
) -> Result<(Analysis, Posed<'a>)> {
    let mut posed = pose(observations, settings.reference.as_deref(), &roster.placebos())?;
    let asked = Options {
        layer: settings.layer.map_or(LayerChoice::Auto, LayerChoice::Fixed),
        values: (!settings.values.is_empty()).then(|| settings.values.clone()),
        weights: settings.weights.clone(),
        ensemble: (!settings.ensemble.is_empty()).then(|| settings.ensemble.clone()),
        wordings: roster.paraphrases(),
        core_only: false,
        seed,
    };
    let mut analysis = analyse(&posed.problem, &posed.source, &asked)?;
    let warnings = std::mem::take(&mut posed.warnings);
    analysis.warnings.splice(0..0, warnings.into_iter().chain(roster.warnings.iter().cloned()));
    Ok((analysis, posed))
}

/// Adds ids and texts to the listed responses, from the list of rows next to the observations; without a matching
/// list, they keep their row numbers.
fn name_items(report: &mut Report, observations: &Path, selected: &[usize]) {
    let Some(Value::Array(listed)) = report.tables.get_mut(theory::items::TABLE) else { return };
    let rows = observations.with_file_name(ROWS);
    let records = if rows.is_file() { read_rows(&rows).unwrap_or_default() } else { Vec::new() };
    // The same response under another constitution has the same tokens.
    let pieces: BTreeMap<(&str, usize), &Vec<String>> =
        records.iter().filter_map(|r| Some(((r.id.as_str(), r.response), r.pooled.as_ref()?))).collect();
    let name = |row: &Value| -> Option<Value> {
        let row = *selected.get(usize::try_from(row.as_u64()?).ok()?)?;
        Some(match records.get(row) {
            Some(r) => json!({
                "row": row,
                "item": r.id,
                "response": r.response,
                "pooled": pieces.get(&(r.id.as_str(), r.response)),
            }),
            None => json!({"row": row}),
        })
    };
    for entry in listed {
        for key in ["row", "against"] {
            if let Some(named) = entry.get(key).and_then(&name) {
                entry[key] = named;
            }
        }
    }
}

/// Records what was skipped: the list if available, otherwise the counts stored in the file.
fn add_skipped(report: &mut Report, options: &FitOptions, observations: &Observations) {
    let list = |diagnostics: &[Diagnostic], what: &str| -> Vec<Value> {
        diagnostics
            .iter()
            .map(|r| json!({"what": what, "place": r.place.to_string(), "reason": r.what}))
            .collect()
    };
    // A few examples show the reasons; thousands of lines would hide them.
    const EXAMPLES: usize = 50;
    let extra = &observations.meta().extra;
    let number = |key: &str| extra.get(key).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    let total = number("skipped") + number("judge_skipped") + number("pointwise_skipped");
    if total > 0 {
        report.tables.insert(SKIPPED.to_owned(), total.into());
        let mut rows = list(&options.skipped[..options.skipped.len().min(EXAMPLES)], "response");
        rows.extend(list(&options.skipped_pairs[..options.skipped_pairs.len().min(EXAMPLES)], "pair"));
        if !rows.is_empty() {
            report.tables.insert("skipped_examples".to_owned(), rows.into());
        }
    }
    if number("clustered_prompts") > 0 {
        report.warnings.push(format!(
            "{} prompts are copies or near-copies of others; they share their block",
            number("clustered_prompts")
        ));
    }
    if number("constitution_folded") > 0 {
        report.warnings.push(
            "the chat template takes no system message: constitutions stand at the head of the user's message".into(),
        );
    }
}

fn provenance(options: &FitOptions, observations: &Observations, reference: &str) -> Result<Provenance> {
    let meta = observations.meta();
    let mut out = Provenance::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() && value != "" {
            out.insert(key.to_owned(), value);
        }
    };
    put("model", json!(meta.model));
    put("revision", json!(meta.revision));
    put("template", json!(meta.template));
    put("pool", json!(meta.pool));
    put("reference", json!(reference));
    put("observations", json!(options.observations));
    put("observations_sha256", json!(artifact::sha256_file(&options.observations)?));
    for (key, value) in &meta.extra {
        if key != "families" && key != "paraphrases" {
            put(key, serde_json::from_str(value).unwrap_or_else(|_| json!(value)));
        }
    }
    put("manifest", options.manifest.clone().unwrap_or(Value::Null));
    put("vstar", json!(env!("CARGO_PKG_VERSION")));
    let seconds =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    put("time_unix", json!(seconds));
    Ok(out)
}

/// `v_star.VALUE`, `v_c.CONSTITUTION`, `w`: f32 `[len(layers), d]`.
fn directions(observations: &Observations, analysis: &Analysis) -> Directions {
    let recipe = observations.meta().extra.get("recipe").and_then(|text| serde_json::from_str(text).ok());
    let model_sha256 = recipe
        .as_ref()
        .and_then(|r: &Value| serde_json::from_value::<Identity>(r["model"].clone()).ok())
        .map(|identity| identity.fingerprint());
    let family = recipe.as_ref().and_then(|r: &Value| r["model"]["family"].as_str());
    let flat = |layers: &Vec<Vec<f64>>| layers.iter().flatten().map(|&v| v as f32).collect();
    Directions {
        model: observations.meta().model.clone(),
        model_type: family.unwrap_or_default().to_owned(),
        model_sha256: model_sha256.unwrap_or_default(),
        layers: observations.layers().to_vec(),
        width: observations.hidden_size(),
        arrays: analysis.directions.iter().map(|(name, layers)| (name.clone(), flat(layers))).collect(),
    }
}
