//! Exports the judge's forced choices under a constitution as a data set for preference training.
//!
//! A row has `prompt`, `chosen` and `rejected` as lists of messages (TRL's explicit conversational preferences), the
//! margin in nats, and the source of the row. Direct preference optimisation with β on these rows targets the policy
//! of Theorem 3 with λ = 1/β, for a reward whose difference is the margin; hard labels keep only the sign of the
//! margin.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::config::{DataSettings, Experiment, MANIFEST, OWN};
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::input::write::messages;
use crate::input::{Item, Items, read_items};
use crate::model::hub::{Unwatched, local_data};
use crate::observations::{Judgments, OBSERVATIONS, Observations, ROWS, RowRecord, read_rows};

/// Preferences, one line per pair.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preferences {
    /// JSON lines.
    pub lines: String,
    /// Number of pairs included.
    pub kept: usize,
    /// Number of pairs left out because the answer changes with the order.
    pub disagree: usize,
    /// Number of pairs left out because neither response is preferred, or both texts are the same.
    pub ties: usize,
}

/// The preferences of a finished run or judged capture under a constitution. `data` gives its items if the folder
/// holds no experiment; with `either`, pairs whose two orders disagree are kept by the sign of their mean.
///
/// # Errors
/// [`Kind::Missing`] for a constitution without forced choices, and if no items are given; [`Kind::RunConflict`] for
/// data that have changed since the run; errors of reading.
pub fn preferences(run: &Path, constitution: &str, data: &[PathBuf], either: bool) -> Result<Preferences> {
    let path = run.join(OBSERVATIONS);
    let observations = Observations::open(&path)?;
    let judgments = &observations.columns().judgments;
    let Some(given) = judgments.get(constitution) else {
        let known: Vec<&str> = judgments.keys().map(String::as_str).collect();
        let scored = observations.columns().scores.contains_key(constitution);
        let what = if scored { "scores, and no forced choices, under" } else { "no forced choices under" };
        return Err(Diagnostic::new(Kind::Missing, format!("{what} `{constitution}`"))
            .at(Place::file(&path))
            .expected(format!(
                "one of {}",
                if known.is_empty() { "none that were judged".into() } else { known.join(", ") }
            ))
            .remedy("judge with --mode pairwise, under this constitution")
            .into());
    };
    let records = read_rows(&run.join(ROWS))?;
    let items = items(run, data)?;
    build(&items, &records, constitution, given, either)
}

/// The items of a folder: those of its experiment, which must not have changed, or the given ones.
fn items(run: &Path, data: &[PathBuf]) -> Result<Items> {
    let own = run.join(OWN);
    if !own.is_file() && data.is_empty() {
        return Err(Diagnostic::new(Kind::Missing, "the folder does not say where its items are")
            .at(Place::file(run))
            .expected("the folder of a `vstar run`, or the items after --data")
            .remedy("add --data FILE, the items that were judged")
            .into());
    }
    let settings = match own.is_file() {
        true => Experiment::read(&own)?.data,
        false => DataSettings::default(),
    };
    let files = if data.is_empty() { &settings.files[..] } else { data };
    let items = read_items(&local_data(files, &mut Unwatched)?, &settings.read)?;
    let manifest = std::fs::read_to_string(run.join(MANIFEST)).unwrap_or_default();
    let manifest: Value = serde_json::from_str(&manifest).unwrap_or_default();
    let now: Vec<&String> = items.files.iter().map(|(_, sha256)| sha256).collect();
    if manifest["data"].is_array() && manifest["data"] != json!(now) {
        return Err(Diagnostic::new(Kind::RunConflict, "the data are not those of the run")
            .at(Place::file(&own))
            .expected("files of the hashes in manifest.json")
            .remedy("restore them, or name an exact copy with --data")
            .into());
    }
    Ok(items)
}

/// Whether a text matches the tokens quoted by the row, ignoring white space; true for a row without a quotation.
fn is_read(text: &str, record: &RowRecord) -> bool {
    let Some(pieces) = &record.pooled else { return true };
    let bare = |s: &str| s.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let text = bare(text);
    // The middle of a long response is not quoted.
    let gap = pieces.iter().position(|p| p == "…").unwrap_or(pieces.len());
    let (head, tail) = (bare(&pieces[..gap].concat()), bare(&pieces[(gap + 1).min(pieces.len())..].concat()));
    text.starts_with(&head) && text.ends_with(&tail)
}

fn build(
    items: &Items,
    records: &[RowRecord],
    constitution: &str,
    given: &Judgments,
    either: bool,
) -> Result<Preferences> {
    let mut out = Preferences::default();
    let by_id: BTreeMap<&str, &Item> = items.items.iter().map(|item| (item.id.as_str(), item)).collect();
    let find = |row: usize| -> Result<(&Item, usize)> {
        let record = records.get(row);
        let item = record.and_then(|r| by_id.get(r.id.as_str()).copied());
        match (record, item) {
            (Some(r), Some(item))
                if item.responses.get(r.response).is_some_and(|of| is_read(&of.text, r)) =>
            {
                Ok((item, r.response))
            }
            _ => {
                let id = record.map_or_else(|| format!("row {row}"), |r| r.id.clone());
                Err(Diagnostic::new(
                    Kind::RunConflict,
                    format!("no response as it was judged, {id}, among the items"),
                )
                .expected("the items that were judged")
                .remedy("name them with --data")
                .into())
            }
        }
    };
    let debiased = given.debiased();
    let margins = debiased.as_ref().unwrap_or(&given.ab);
    for (i, (pair, &margin)) in given.pairs.iter().zip(margins).enumerate() {
        let ((item, a), (_, b)) = (find(pair[0])?, find(pair[1])?);
        let same = item.responses[a].text == item.responses[b].text;
        if same || margin == 0.0 || !margin.is_finite() {
            out.ties += 1;
            continue;
        }
        // A single order cannot be distinguished from position bias.
        let agree = given.ba.as_ref().is_some_and(|ba| given.ab[i] * -ba[i] > 0.0);
        if !agree && !either {
            out.disagree += 1;
            continue;
        }
        let (chosen, rejected) = if margin > 0.0 { (a, b) } else { (b, a) };
        let prompt = messages(&item.prompt.messages());
        let answer = |r: usize| json!([{"role": "assistant", "content": item.responses[r].text}]);
        let row = json!({
            "prompt": prompt,
            "chosen": answer(chosen),
            "rejected": answer(rejected),
            "margin": margin.abs(),
            "constitution": constitution,
            "item": item.id,
            "chosen_response": chosen,
            "rejected_response": rejected,
        });
        out.lines += &format!("{row}\n");
        out.kept += 1;
    }
    if out.kept == 0 {
        return Err(Diagnostic::new(Kind::NotEstimable, format!("no preference under `{constitution}` is left"))
            .expected("a pair on which both orders agree")
            .found(format!("{} that disagree, {} ties", out.disagree, out.ties))
            .remedy("--either-order keeps pairs that disagree; a judge that takes a place is not valid, see the report")
            .into());
    }
    Ok(out)
}
