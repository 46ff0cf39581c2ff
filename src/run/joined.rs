//! Checks that additions to observations refer to the same model, texts and constitutions.

use std::collections::BTreeMap;
use std::path::Path;

use rayon::prelude::*;

use super::capture::{Prepared, Recipe};
use super::hashes;
use super::rows::Rows;
use crate::capture::Job;
use crate::capture::job::encode_one;
use crate::config::MANIFEST;
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::model::Identity;
use crate::observations::{BARE, OBSERVATIONS, Observations, ROWS, RowRecord};

/// Refuses a folder whose observations belong to a run: its manifest and report would no longer match them.
///
/// # Errors
/// [`Kind::RunConflict`].
pub fn not_a_run(out: &Path) -> Result<()> {
    let manifest = out.join(MANIFEST);
    if !manifest.is_file() {
        return Ok(());
    }
    Err(Diagnostic::new(Kind::RunConflict, "the folder is that of a run")
        .at(Place::file(manifest))
        .expected(
            "a folder of its own: the run's manifest and report tell of the observations that are there",
        )
        .remedy("give another --out; `vstar run` itself adds constitutions to a run")
        .into())
}

/// Refuses to write the report of other observations into a run's folder.
///
/// # Errors
/// [`Kind::RunConflict`].
pub fn fits_into(observations: &Path, out: &Path) -> Result<()> {
    let own = out.join(OBSERVATIONS).canonicalize().ok();
    if own.is_some() && own == observations.canonicalize().ok() { Ok(()) } else { not_a_run(out) }
}

/// Refuses a capture that would replace the observations of another capture, or lose judges' answers.
///
/// # Errors
/// [`Kind::RunConflict`] for a folder whose observations are from another capture, or contain judges' answers.
pub fn replaces_nothing(prepared: &Prepared, job: &Job, out: &Path) -> Result<()> {
    let path = out.join(OBSERVATIONS);
    if !path.is_file() {
        return Ok(());
    }
    let conflict = |found: String| -> Result<()> {
        Err(Diagnostic::new(Kind::RunConflict, "the folder holds other observations")
            .at(Place::file(&path))
            .expected("none, or those of the same capture")
            .found(found)
            .remedy("give another --out, or remove the file")
            .into())
    };
    let Ok(there) = Observations::open(&path) else { return Ok(()) };
    let columns = there.columns();
    if !columns.judgments.is_empty() || !columns.scores.is_empty() {
        return conflict("a judge's answers, which a new capture would not keep".to_owned());
    }
    if recipe(&there).is_some_and(|own| differing(&own.model, &prepared.recipe().model).is_some()) {
        return conflict("rows of another model".to_owned());
    }
    let rows = Rows::read(out)?;
    let same = rows.records.len() == job.rows.len()
        && rows.records.iter().zip(&job.rows).all(|(record, row)| {
            record.constitution == prepared.name(row.constitution)
                && record
                    .sequence_sha256
                    .as_ref()
                    .is_none_or(|sha| *sha == hashes::sequence(&row.request.tokens))
        });
    if same {
        Ok(())
    } else {
        conflict(format!("{} rows of other texts or constitutions", rows.records.len()))
    }
}

/// Refuses to add a judge's answers to observations of another model, of different texts under the same ids, or of a
/// different constitution under the same name. Returns the constitutions' hashes, from the observations and from the
/// judge.
///
/// # Errors
/// [`Kind::RunConflict`] with the difference.
pub fn check(prepared: &Prepared, rows: &Rows, out: &Path) -> Result<BTreeMap<String, String>> {
    let path = out.join(OBSERVATIONS);
    let there = Observations::open(&path)?;
    let conflict = |what: &str, expected: &str, found: String| -> Result<_> {
        Err(Diagnostic::new(Kind::RunConflict, what)
            .at(Place::file(&path))
            .expected(expected)
            .found(found)
            .remedy("give another --out")
            .into())
    };
    if let Some(own) = recipe(&there)
        && let Some(part) = differing(&own.model, &prepared.recipe().model)
    {
        let found =
            format!("{part} of `{}`, where the judge is `{}`", own.model.name, prepared.model.identity.name);
        return conflict("the observations are of another model", "the model that was captured", found);
    }
    let (mut known, own) = (hashes::known(there.meta()), hashes::texts(&prepared.judged()));
    if let Some(name) = own.iter().find_map(|(n, sha)| (known.get(n)? != sha).then_some(n)) {
        return conflict(
            "the observations know another constitution of this name",
            "the text that was used before, or another name",
            format!("`{name}` with another text"),
        );
    }
    if let Some(record) = of_other_text(prepared, rows)? {
        return Err(Diagnostic::new(
            Kind::RunConflict,
            "the observations are of another text under the same id",
        )
        .at(Place::file(out.join(ROWS)).id(&record.id))
        .expected("the prompts and responses that were captured, under the same template")
        .found(format!("other tokens in response {}", record.response))
        .remedy("give the --data of the capture, or another --out")
        .into());
    }
    known.extend(own);
    Ok(known)
}

/// The first row of the reference whose text differs from that of the item with its id.
fn of_other_text<'r>(prepared: &Prepared, rows: &'r Rows) -> Result<Option<&'r RowRecord>> {
    let Some(first) = rows.records.first() else { return Ok(None) };
    let under = match first.constitution.as_str() {
        BARE => None,
        name => match prepared.judged().into_iter().find(|c| c.name == name) {
            Some(constitution) => Some(constitution.text.as_str()),
            None => return Ok(None),
        },
    };
    let items: BTreeMap<&str, &crate::input::Item> =
        prepared.items.items.iter().map(|item| (item.id.as_str(), item)).collect();
    let own: Vec<&RowRecord> = rows
        .records
        .iter()
        .filter(|r| r.constitution == first.constitution && r.sequence_sha256.is_some())
        .collect();
    Ok(own.into_par_iter().find_first(|record| {
        let Some(item) = items.get(record.id.as_str()) else { return false };
        if record.response >= item.responses.len() {
            return true;
        }
        let encoded = encode_one(&prepared.model, &prepared.template, item, record.response, under);
        encoded.is_ok_and(|(encoded, _)| record.sequence_sha256 != Some(hashes::sequence(&encoded.ids)))
    }))
}

fn recipe(observations: &Observations) -> Option<Recipe> {
    serde_json::from_str(observations.meta().extra.get("recipe")?).ok()
}

/// Describes which part of two models differs. Names and paths are ignored; fields missing from older files are assumed
/// to be equal.
fn differing(a: &Identity, b: &Identity) -> Option<&'static str> {
    let differ = |x: &str, y: &str| !x.is_empty() && !y.is_empty() && x != y;
    if a.family != b.family || differ(&a.config_sha256, &b.config_sha256) {
        return Some("the config");
    }
    let weights = a.weights_sha256.values().ne(b.weights_sha256.values());
    if weights || a.quantize != b.quantize || a.adapter_sha256 != b.adapter_sha256 {
        return Some("the weights");
    }
    if differ(&a.tokenizer_sha256, &b.tokenizer_sha256) || differ(&a.special_sha256, &b.special_sha256) {
        return Some("the tokenizer");
    }
    if differ(&a.template_sha256, &b.template_sha256) {
        return Some("the chat template");
    }
    None
}
