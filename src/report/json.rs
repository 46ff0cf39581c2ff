//! `report.json`, format `vstar-report/1`: written for other programs, and read back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::overall::{ValueSummary, summaries};
use super::{ConstitutionCard, Provenance, Report};
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::theory::reading::validity::JudgeValidity;
use crate::theory::reading::verdict::{Verdict, verdicts};
use crate::theory::{Estimate, Flag};

/// The format's name.
pub const FORMAT: &str = "vstar-report/1";

#[derive(Serialize)]
struct Written<'a> {
    format: &'a str,
    provenance: &'a Provenance,
    summary: Vec<ValueSummary>,
    judge: JudgeValidity,
    verdicts: Vec<Verdict>,
    estimates: Vec<Estimate>,
    tables: &'a BTreeMap<String, Json>,
    warnings: &'a [String],
    constitutions: &'a [ConstitutionCard],
}

#[derive(Deserialize)]
struct Read {
    #[serde(default)]
    provenance: Provenance,
    #[serde(default)]
    estimates: Vec<Json>,
    #[serde(default)]
    tables: BTreeMap<String, Json>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    constitutions: Vec<ConstitutionCard>,
}

/// The JSON text, with one line end at the end. Non-finite numbers are never written: such an estimate is `null` with
/// a warning, such a bound is absent. In addition to the keys of the format it contains `summary`, `judge` and
/// `verdicts` (computed from the estimates, ignored when reading), `warnings` and `constitutions`.
///
/// # Errors
/// If serialising fails, which requires a table that is not valid JSON.
pub fn to_json(report: &Report) -> Result<String> {
    let clean = Report { estimates: report.estimates.iter().map(finite).collect(), ..report.clone() };
    let index = clean.index();
    let written = Written {
        format: FORMAT,
        provenance: &clean.provenance,
        summary: summaries(&index),
        judge: JudgeValidity::new(&index),
        verdicts: verdicts(&index),
        estimates: clean.estimates.clone(),
        tables: &clean.tables,
        warnings: &clean.warnings,
        constitutions: &clean.constitutions,
    };
    match serde_json::to_string_pretty(&written) {
        Ok(text) => Ok(text + "\n"),
        Err(e) => Err(Diagnostic::new(Kind::NotFinite, "the report cannot be written as JSON")
            .found(e.to_string())
            .into()),
    }
}

/// An estimate without numbers that JSON cannot hold.
fn finite(estimate: &Estimate) -> Estimate {
    let mut e = estimate.clone();
    let bad = |v: &Option<f64>| v.is_some_and(|v| !v.is_finite());
    if bad(&e.estimate) {
        e.estimate = None;
        e.reportable = false;
        e.warnings.push("the figure is not a finite number".into());
    }
    if e.estimate.is_none() {
        (e.lo, e.hi, e.se, e.z, e.p_adjusted) = (None, None, None, None, None);
        e.reportable = false;
        if e.warnings.is_empty() {
            e.warnings.push("not computed".into());
        }
    }
    if [&e.lo, &e.hi, &e.se].into_iter().any(bad) {
        (e.lo, e.hi, e.se, e.z) = (None, None, None, None);
        e.reportable = false;
        e.warnings.push("its standard error is not a finite number".into());
    }
    for rest in [&mut e.z, &mut e.p_adjusted, &mut e.lambda_sd] {
        *rest = rest.filter(|v| v.is_finite());
    }
    e
}

/// Reads a report. `place` names the file in errors. An estimate of a quantity unknown to this version is skipped
/// with a warning.
///
/// # Errors
/// `Malformed` for text that is not a JSON object or lacks the format's structure, `Unsupported` for another format,
/// `Invalid` for an inconsistent estimate.
pub fn from_json(text: &str, place: &Place) -> Result<Report> {
    let malformed = |e: serde_json::Error| {
        let place = Place { line: Some(e.line()).filter(|&l| l > 0), ..place.clone() };
        Diagnostic::new(Kind::Malformed, "not a report").at(place).expected(FORMAT).found(e.to_string())
    };
    let json: Json = serde_json::from_str(text).map_err(malformed)?;
    match json.get("format").and_then(Json::as_str) {
        Some(FORMAT) => {}
        other => {
            return Err(Diagnostic::new(Kind::Unsupported, "not a report of this format")
                .at(place.clone())
                .expected(format!("\"format\": \"{FORMAT}\""))
                .found(other.map_or_else(|| "no `format`".to_owned(), |f| format!("\"{f}\"")))
                .into());
        }
    }
    let read: Read = serde_json::from_value(json).map_err(malformed)?;
    let mut warnings = read.warnings;
    let mut estimates = Vec::with_capacity(read.estimates.len());
    let mut unknown: Vec<String> = Vec::new();
    for (i, json) in read.estimates.into_iter().enumerate() {
        let at = || place.clone().id(format!("estimates[{i}]"));
        let quantity = json.get("quantity").cloned().unwrap_or(Json::Null);
        if let Some(name) = quantity.as_str()
            && serde_json::from_value::<crate::theory::Quantity>(quantity.clone()).is_err()
        {
            if !unknown.iter().any(|u| u == name) {
                unknown.push(name.to_owned());
            }
            continue;
        }
        let estimate: Estimate = serde_json::from_value(json)
            .map_err(|e| Diagnostic::new(Kind::Malformed, "not an estimate").at(at()).found(e.to_string()))?;
        check(&estimate).map_err(|what| Diagnostic::new(Kind::Invalid, what).at(at()))?;
        estimates.push(flagged(estimate));
    }
    if !unknown.is_empty() {
        warnings.push(format!(
            "estimates of quantities that this version does not know were left out: {}",
            unknown.join(", ")
        ));
    }
    Ok(Report {
        provenance: read.provenance,
        estimates,
        tables: read.tables,
        warnings,
        constitutions: read.constitutions,
    })
}

/// Adds flags to estimates from older reports, which have them only in words.
fn flagged(mut e: Estimate) -> Estimate {
    for (words, flag) in [
        ("fewer than 1.5 contrasts a dimension: a lower estimate", Flag::LowerEstimate),
        ("fewer than 1.5 contrasts a dimension: figure and interval are of the part", Flag::ResolvedPart),
    ] {
        if !e.has(flag) && e.warnings.iter().any(|w| w.starts_with(words)) {
            e.flags.push(flag);
        }
    }
    e
}

fn check(e: &Estimate) -> Result<(), String> {
    if e.estimate.is_none() && e.reportable {
        return Err("`reportable` without a figure".into());
    }
    if let (Some(lo), Some(hi)) = (e.lo, e.hi)
        && lo > hi
    {
        return Err(format!("an interval from {lo} to {hi}"));
    }
    if e.se.is_some_and(|se| se < 0.0) {
        return Err("a negative standard error".into());
    }
    if e.p_adjusted.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
        return Err("a p outside 0 to 1".into());
    }
    Ok(())
}
