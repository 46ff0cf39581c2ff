//! Reads the listed responses again, token by token: the score of each direction of the report along the text.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::ArrayView1;
use serde_json::Value as Json;

use crate::capture::Row;
use crate::error::{Place, Result};
use crate::fit::Fitted;
use crate::forest::{self, Pool, Request, Settings};
use crate::input::Role;
use crate::observations::{Judgments, OBSERVATIONS, Observations};
use crate::run::loaded::Loaded;
use crate::run::progress::Progress;
use crate::theory::items::TABLE as LISTED;
use crate::theory::items::readings::{Choice, Readings, Response, TABLE};
use crate::theory::{Control, Quantity};
use crate::units::TokenSpan;

/// Maximum number of tokens read per response.
const MOST: usize = 160;
/// Number of constitutions whose v_c is shown with a value: those with the clearest slopes.
const CONSTITUTIONS: usize = 3;

/// Reads the listed responses again and adds the table to the report; does nothing if no response is listed.
///
/// # Errors
/// Errors of the forward pass, the observations and `progress`.
pub fn read(run: &Loaded, fitted: &mut Fitted, progress: &mut dyn Progress) -> Result<()> {
    let listed = listed(&fitted.report.tables);
    let rows: Vec<usize> = listed.keys().copied().filter(|&row| row < run.job.rows.len()).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let observations = Observations::open(&run.experiment.out.join(OBSERVATIONS))?;
    let states = states(run, &rows, fitted, progress)?;
    // Once for each value: many responses are listed for it.
    let values: BTreeSet<&String> = listed.values().flatten().collect();
    let clearest: BTreeMap<&str, Vec<String>> =
        values.into_iter().map(|value| (value.as_str(), clearest(fitted, value))).collect();
    let mut responses = Vec::with_capacity(rows.len());
    for (&row, states) in rows.iter().zip(&states) {
        let own = &run.job.rows[row];
        let Some(span) = own.request.response else { continue };
        let item = &run.prepared.items.items[own.item];
        let shown = &own.request.tokens[window(run, span)];
        let messages = item.prompt.messages();
        let prompt = messages.iter().rev().find(|m| m.role == Role::User).or(messages.last());
        let siblings: Vec<usize> =
            run.job.rows.iter().enumerate().filter(|(_, r)| same_prompt(r, own)).map(|(i, _)| i).collect();
        let pooled = observations.layer_rows(fitted.layer, &siblings)?;
        let constitutions = distinct(listed[&row].iter().flat_map(|value| &clearest[value.as_str()]));
        let mut scores = BTreeMap::new();
        for name in names(&listed[&row], &constitutions) {
            let array = fitted.directions.arrays.get(&name);
            let Some(v) = array.and_then(|array| fitted.directions.at(array, fitted.layer)) else { continue };
            let project = |h: ArrayView1<'_, f32>| -> f64 {
                h.iter().zip(v).map(|(h, v)| f64::from(*h) * f64::from(*v)).sum()
            };
            let mean = pooled.rows().into_iter().map(project).sum::<f64>() / siblings.len() as f64;
            let score = |h: &Vec<f32>| short(project(ArrayView1::from(h)) - mean);
            scores.insert(name, states.iter().map(score).collect());
        }
        responses.push(Response {
            item: item.id.clone(),
            response: own.response,
            prompt: prompt.map(|m| m.content.clone()).unwrap_or_default(),
            pieces: run.prepared.model.encoder.pieces(shown, MOST),
            left_out: span.len() - states.len(),
            scores,
            choices: choices(&observations.columns().judgments, row, &run.job.rows, &constitutions),
        });
    }
    let readings = Readings { layer: fitted.layer, responses };
    if let Ok(table) = serde_json::to_value(readings) {
        fitted.report.tables.insert(TABLE.to_owned(), table);
    }
    Ok(())
}

/// Rows of the listed responses, with the values that each is listed for.
fn listed(tables: &BTreeMap<String, Json>) -> BTreeMap<usize, BTreeSet<String>> {
    let mut out: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    for entry in tables.get(LISTED).and_then(Json::as_array).into_iter().flatten() {
        let Some(value) = entry["value"].as_str() else { continue };
        for row in ["row", "against"].iter().filter_map(|key| entry[key]["row"].as_u64()) {
            out.entry(row as usize).or_default().insert(value.to_owned());
        }
    }
    out
}

/// The tokens of a response that are read: the first ones, or the last where the last one is what is pooled.
fn window(run: &Loaded, span: TokenSpan) -> std::ops::Range<usize> {
    match run.prepared.settings.pool {
        Pool::Mean => span.start..span.end.min(span.start + MOST),
        Pool::Last => span.start.max(span.end.saturating_sub(MOST))..span.end,
    }
}

fn same_prompt(a: &Row, b: &Row) -> bool {
    (a.item, a.constitution) == (b.item, b.constitution)
}

/// Rounds to three digits: sufficient for a colour and for readers.
fn short(v: f64) -> f64 {
    format!("{v:.2e}").parse().unwrap_or(v)
}

/// The residual stream of the first tokens of each response, `[T][d]` per row: each token is requested as a sequence of
/// its own, of which the forest computes only one.
fn states(
    run: &Loaded,
    rows: &[usize],
    fitted: &Fitted,
    progress: &mut dyn Progress,
) -> Result<Vec<Vec<Vec<f32>>>> {
    let (mut requests, mut owners) = (Vec::new(), Vec::new());
    for (n, &row) in rows.iter().enumerate() {
        let request = &run.job.rows[row].request;
        let Some(span) = request.response else { continue };
        for start in window(run, span) {
            let response = Some(TokenSpan { start, end: start + 1 });
            requests.push(Request { response, logprob: false, ..request.clone() });
            owners.push(n);
        }
    }
    let prepared = &run.prepared;
    let settings = Settings { layers: vec![fitted.layer], pool: Pool::Mean, ..prepared.settings.clone() };
    let decoder = &prepared.model.decoder;
    let plan = forest::plan_requests(decoder, &requests, settings.chunk_tokens);
    progress.begin("read tokens", plan.packed_tokens);
    let place = |i: usize| {
        let row = &run.job.rows[rows[owners[i]]];
        Place::default().id(&prepared.items.items[row.item].id)
    };
    let outputs = forest::run(decoder, &requests, &settings, &place, &mut |n| progress.advance(n));
    progress.end();
    let mut out = vec![Vec::new(); rows.len()];
    for (output, owner) in outputs?.into_iter().zip(owners) {
        out[owner].push(output.resid);
    }
    Ok(out)
}

/// Directions to read for a response listed for these values: their v*, w, and v_c of these constitutions.
fn names(values: &BTreeSet<String>, constitutions: &[&String]) -> Vec<String> {
    let of_values = values.iter().map(|value| format!("v_star.{value}"));
    of_values.chain(["w".to_owned()]).chain(constitutions.iter().map(|name| format!("v_c.{name}"))).collect()
}

/// Each name once, in the order of first appearance.
fn distinct<'n>(names: impl Iterator<Item = &'n String>) -> Vec<&'n String> {
    let mut out = Vec::new();
    for name in names {
        if !out.contains(&name) {
            out.push(name);
        }
    }
    out
}

/// The constitutions outside the placebo arm with the largest |z| of their effect on a value.
fn clearest(fitted: &Fitted, value: &str) -> Vec<String> {
    let report = &fitted.report;
    let placebo = |name: &str| report.constitutions.iter().any(|c| c.is_placebo() && c.name == name);
    let mut of: Vec<(f64, &String)> = report
        .estimates
        .iter()
        .filter(|e| {
            matches!(e.quantity, Quantity::OwnSlope | Quantity::EncodedSlope)
                && e.control == Control::None
                && e.judge.is_none()
                && e.value.as_deref() == Some(value)
        })
        .filter_map(|e| Some((e.z?.abs(), e.constitution.as_ref()?)))
        .filter(|(z, name)| z.is_finite() && !placebo(name))
        .collect();
    of.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    distinct(of.into_iter().map(|(_, name)| name)).into_iter().take(CONSTITUTIONS).cloned().collect()
}

/// Choices that involve a row, under these constitutions.
fn choices(
    judgments: &BTreeMap<String, Judgments>,
    row: usize,
    rows: &[Row],
    constitutions: &[&String],
) -> Vec<Choice> {
    let mut out = Vec::new();
    for constitution in constitutions {
        let Some(given) = judgments.get(*constitution) else { continue };
        for (i, pair) in given.pairs.iter().enumerate() {
            // Pairs are of the bare rows, whatever rows are read.
            let same = |p: &usize| {
                let other = rows.get(*p);
                other.is_some_and(|o| (o.item, o.response) == (rows[row].item, rows[row].response))
            };
            let Some(place) = pair.iter().position(same) else { continue };
            // `ab` has the pair's first row shown first, `ba` its second row.
            let (ab, ba) = (given.ab[i], given.ba.as_ref().map(|ba| ba[i]));
            let (first, second) = match place {
                0 => (Some(ab), ba.map(|ba| -ba)),
                _ => (ba, Some(-ab)),
            };
            let choice = Choice {
                constitution: (*constitution).clone(),
                against: rows[pair[1 - place]].response,
                first: first.map(short),
                second: second.map(short),
            };
            out.push(choice);
        }
    }
    out
}
