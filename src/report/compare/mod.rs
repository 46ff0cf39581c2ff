//! Compares runs: which constitutions activate the same direction, which align best, and what changes with model
//! size. Reads reports, produces `compare.json` and texts.

mod grids;
mod ladder;
mod maps;
mod page;
mod plots;
mod rungs;

use serde::Serialize;
use serde_json::{Value as Json, json};

use super::{Report, short_name};
use crate::error::{Diagnostic, Kind, Result};
use crate::theory::reading::index::Index;
use crate::theory::reading::verdict::Verdict;
use crate::theory::scaling::{Line, line};
use crate::theory::state::map::{MapAgreement, ShiftMap};
use crate::theory::{Control, Estimate, Quantity};

pub use ladder::{Along, Change, Fate, Finding, Ladder, Rung};
pub use page::{brief, page, to_html, to_markdown, to_svgs, to_terminal};

/// The format's name.
pub const FORMAT: &str = "vstar-compare/1";

/// One run, and the angles between its constitutions.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Folder, as given by the user.
    pub name: String,
    /// Its report.
    pub report: Report,
    /// `constitution_cos` of every pair.
    pub cosines: Vec<Estimate>,
    /// Map of the constitutions by their effect on the state, if the rows read under them are available.
    pub shifts: Option<ShiftMap>,
    /// Agreement of that map with `cosines`; filled in by [`compare`].
    pub maps: Option<MapAgreement>,
    /// Warnings for the reader.
    pub warnings: Vec<String>,
}

impl Run {
    /// Number of parameters of the model, if the report has it.
    pub fn parameters(&self) -> Option<u64> {
        let recipe = |json: &Json| json["model"]["parameters"].as_u64();
        let provenance = &self.report.provenance;
        provenance
            .get("recipe")
            .and_then(recipe)
            .or_else(|| provenance.get("manifest").and_then(|m| recipe(&m["recipe"])))
    }

    /// Hashes of the data, if the report has them; manifests before `vstar-run/2` include file names.
    fn data(&self) -> Option<Vec<&str>> {
        let files = self.report.provenance.get("manifest")?["data"].as_array()?;
        files.iter().map(|f| f.as_str().or_else(|| f["sha256"].as_str())).collect()
    }
}

/// Rank of a constitution among those of its run by effect of training: by the slope that decides its verdict, then
/// by the lower end of its interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranked {
    /// The run.
    pub run: String,
    /// The value.
    pub value: String,
    /// 1 for the largest slope; absent for placebos and where the slope or its alignment is not reportable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// Whether it belongs to the placebo arm.
    pub placebo: bool,
    /// Verdict.
    pub verdict: Verdict,
    /// The slope that decides the verdict: the constitution's own where there is a placebo arm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slope: Option<Estimate>,
    /// cos(v_c, v*); the constitution's own where there is a placebo arm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alignment: Option<Estimate>,
    /// The same slope with length projected out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length_controlled: Option<Estimate>,
}

/// A quantity across runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Series {
    /// The quantity.
    pub quantity: Quantity,
    /// The value, if the quantity concerns one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The constitution, if the quantity concerns one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constitution: Option<String>,
    /// What was projected out.
    pub control: Control,
    /// One estimate per run, in order; absent where the run has none.
    pub estimates: Vec<Option<Estimate>>,
    /// Line through the reportable figures by log₁₀(parameters); absent for fewer than three models of known and
    /// different size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<Line>,
}

/// A comparison of runs.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// The runs.
    pub runs: Vec<Run>,
    /// Values that all runs have.
    pub values: Vec<String>,
    /// Constitutions by effect of training, for each run and value.
    pub ranking: Vec<Ranked>,
    /// Quantities across runs; empty for one run.
    pub series: Vec<Series>,
    /// Models present at several precisions.
    pub ladders: Vec<Ladder>,
    /// Share of value-relevant text in each run's training data, if given.
    pub eta: Option<Vec<f64>>,
    /// Warnings for the reader.
    pub warnings: Vec<String>,
}

/// Compares runs. `eta` is the known share of value-relevant text in the training data of each run's model, in order.
///
/// # Errors
/// `Missing` without a run; [`Kind::RunConflict`] if no value is in all runs; `Invalid` if the shares do not match
/// the number of runs, or are not in [0, 1].
pub fn compare(mut runs: Vec<Run>, eta: Option<Vec<f64>>) -> Result<Comparison> {
    if let Some(eta) = &eta
        && (eta.len() != runs.len() || eta.iter().any(|e| !(0.0..=1.0).contains(e)))
    {
        return Err(Diagnostic::new(Kind::Invalid, "shares of value-relevant text that do not fit the runs")
            .expected(format!("{} numbers from 0 to 1, one a run in their order", runs.len()))
            .found(format!("{eta:?}"))
            .into());
    }
    for run in &mut runs {
        run.maps = maps::maps(run);
    }
    let indices: Vec<Index<'_>> = runs.iter().map(|r| r.report.index()).collect();
    let Some((first, rest)) = indices.split_first() else {
        return Err(Diagnostic::new(Kind::Missing, "no run to compare").into());
    };
    let shared = |v: &&&str| rest.iter().all(|i| i.values.contains(*v));
    let values: Vec<String> = first.values.iter().filter(shared).map(|v| (*v).to_owned()).collect();
    let mut warnings: Vec<String> = Vec::new();
    let each: Vec<String> =
        runs.iter().zip(&indices).map(|(r, i)| format!("{}: {}", r.name, list(&i.values))).collect();
    if values.is_empty() {
        return Err(Diagnostic::new(Kind::RunConflict, "the runs share no value")
            .expected("runs with labels of at least one common value")
            .found(each.join("; "))
            .remedy("compare runs on the same kind of labels, or name the values alike")
            .into());
    }
    if indices.iter().any(|i| i.values.len() > values.len()) {
        warnings.push(format!("only values that all runs have are compared ({})", each.join("; ")));
    }
    if runs.windows(2).any(|w| w[0].data().is_some() && w[1].data().is_some() && w[0].data() != w[1].data()) {
        warnings.push(
            "the runs are of different data: what differs between them is not the model alone".to_owned(),
        );
    }
    let mut ranking = Vec::new();
    for (run, index) in runs.iter().zip(&indices) {
        let verdicts = run.report.verdicts();
        for value in &values {
            ranking.extend(ranked(&run.name, index, &verdicts, value));
        }
        warnings.extend(run.warnings.iter().map(|w| format!("{}: {w}", run.name)));
    }
    let series = if runs.len() > 1 { series(&runs, &indices, &values) } else { Vec::new() };
    let ladders = ladder::ladders(&runs, &indices, &values);
    if runs.len() > 1 && ladders.is_empty() && series.iter().all(|s| s.line.is_none()) {
        warnings.push("no line against size: that takes three models of known and different size".to_owned());
    }
    drop(indices);
    Ok(Comparison { runs, values, ranking, series, ladders, eta, warnings })
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "no value".to_owned() } else { names.join(", ") }
}

/// Constitutions of a value, largest slope first; unidentifiable ones follow, then placebos.
fn ranked(run: &str, index: &Index<'_>, verdicts: &[Verdict], value: &str) -> Vec<Ranked> {
    let Some(&value) = index.values.iter().find(|v| **v == value) else { return Vec::new() };
    let mut out: Vec<Ranked> = verdicts
        .iter()
        .filter(|v| v.value == value)
        .map(|verdict| {
            let name = index.constitutions.iter().find(|c| c.name == verdict.constitution);
            let cosine = match verdict.slope {
                Quantity::OwnSlope => Quantity::OwnAlignment,
                _ => Quantity::Alignment,
            };
            let of = |control| index.cell(cosine, value, name?.name, control).cloned();
            let slope = name.and_then(|n| index.cell(verdict.slope, value, n.name, Control::None).cloned());
            Ranked {
                run: run.to_owned(),
                value: value.to_owned(),
                rank: None,
                placebo: verdict.placebo,
                slope,
                alignment: of(Control::None),
                length_controlled: of(Control::Length),
                verdict: verdict.clone(),
            }
        })
        .collect();
    let figure = |r: &Ranked| {
        let seen = r.alignment.as_ref().is_some_and(|e| e.reportable);
        let slope = r.slope.as_ref().filter(|e| e.reportable && seen)?;
        Some((slope.estimate?, slope.lo.unwrap_or(f64::NEG_INFINITY)))
    };
    out.sort_by(|a, b| {
        let key = |r| figure(r).unwrap_or((f64::NEG_INFINITY, f64::NEG_INFINITY));
        let (x, y) = (key(a), key(b));
        let falling = y.0.total_cmp(&x.0).then(y.1.total_cmp(&x.1));
        let name = || a.verdict.constitution.cmp(&b.verdict.constitution);
        a.placebo.cmp(&b.placebo).then(falling).then_with(name)
    });
    for (i, r) in out.iter_mut().enumerate() {
        r.rank = figure(r).filter(|_| !r.placebo).map(|_| i + 1);
    }
    out
}

fn series(runs: &[Run], indices: &[Index<'_>], values: &[String]) -> Vec<Series> {
    let mut out = Vec::new();
    let mut add = |quantity, value: Option<&str>, constitution: Option<&str>, control| {
        let find = |index: &Index<'_>| {
            let value = match value {
                Some(value) => Some(*index.values.iter().find(|v| **v == value)?),
                None => None,
            };
            let constitution = match constitution {
                Some(name) => Some(index.constitutions.iter().find(|c| c.name == name)?.name),
                None => None,
            };
            index.get(quantity, value, constitution, control).cloned()
        };
        let estimates: Vec<Option<Estimate>> = indices.iter().map(find).collect();
        if estimates.iter().flatten().count() < 2 {
            return;
        }
        let points: Vec<(f64, f64)> = runs
            .iter()
            .zip(&estimates)
            .filter_map(|(r, e)| {
                let e = e.as_ref().filter(|e| e.reportable)?;
                Some((r.parameters()? as f64, e.estimate?))
            })
            .collect();
        let (x, y): (Vec<f64>, Vec<f64>) = points.into_iter().unzip();
        out.push(Series {
            quantity,
            value: value.map(str::to_owned),
            constitution: constitution.map(str::to_owned),
            control,
            line: line(&x, &y),
            estimates,
        });
    };
    let mut constitutions: Vec<&str> = Vec::new();
    for named in indices.iter().flat_map(|i| &i.constitutions) {
        if !constitutions.contains(&named.name) {
            constitutions.push(named.name);
        }
    }
    for control in [Control::None, Control::Length] {
        add(Quantity::DEff, None, None, control);
        for value in values {
            for quantity in [
                Quantity::Rho,
                Quantity::GenerationAlignment,
                Quantity::CeilingRegret,
                Quantity::JudgeAlignment,
            ] {
                add(quantity, Some(value), None, control);
            }
            for &constitution in &constitutions {
                for quantity in [
                    Quantity::OwnAlignment,
                    Quantity::OwnShare,
                    Quantity::Alignment,
                    Quantity::JudgeAccuracy,
                    Quantity::Gap,
                    Quantity::ImpliedEta,
                ] {
                    add(quantity, Some(value), Some(constitution), control);
                }
            }
        }
    }
    out
}

/// Text of `compare.json`.
///
/// # Errors
/// If serialising fails, which requires a non-finite number.
pub fn to_json(comparison: &Comparison) -> Result<String> {
    let runs: Vec<Json> = comparison
        .runs
        .iter()
        .map(|run| {
            json!({
                "run": run.name,
                "model": run.report.provenance.get("model"),
                "parameters": run.parameters(),
                "provenance": run.report.provenance,
                "constitution_cos": run.cosines,
                "shift_cos": run.shifts,
                "maps": run.maps,
            })
        })
        .collect();
    let all = json!({
        "format": FORMAT,
        "values": comparison.values,
        "runs": runs,
        "ranking": comparison.ranking,
        "models": comparison.series,
        "ladders": comparison.ladders,
        "eta": comparison.eta,
        "warnings": comparison.warnings,
    });
    match serde_json::to_string_pretty(&all) {
        Ok(text) => Ok(text + "\n"),
        Err(e) => Err(Diagnostic::new(Kind::NotFinite, "the comparison cannot be written as JSON")
            .found(e.to_string())
            .into()),
    }
}

/// A run's name in a table: the name of its folder, and the model if that adds information.
fn label(run: &Run) -> String {
    let folder = short_name(run.name.trim_start_matches("./"));
    let folder = folder.rsplit('/').next().unwrap_or(folder);
    let model = run.report.model();
    if model.contains(folder) { model } else { format!("{folder} ({model})") }
}
