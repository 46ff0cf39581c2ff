//! Scores of responses under each constitution: pointwise questions, and a constitution's effect on a response's
//! likelihood.

use std::collections::BTreeMap;
use std::path::Path;

use crate::config::JudgeMode;
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::forest;
use crate::judge::JudgeTemplate;
use crate::judge::pointwise::{Answer, questions, scores};
use crate::observations::{BARE, OBSERVATIONS, Observations};
use crate::run::capture::Prepared;
use crate::run::judged::Judged;
use crate::run::progress::Progress;
use crate::run::rows::{Answers, Rows};
use crate::run::verdicts::{self, Questions};
use crate::store::Store;
use crate::units::Layer;

/// Asks for every response of the reference's rows whether it agrees with each constitution: `score.CONSTITUTION` is
/// the log-odds of yes against no, in nats. The states at the answers, at `layers`, are written to a file in `out`.
///
/// # Errors
/// `Missing` without rows or constitutions to judge under; errors of the template or the forward pass. The store keeps
/// every finished shard.
pub fn pointwise(
    prepared: &Prepared,
    template: &JudgeTemplate,
    layers: &[Layer],
    rows: &Rows,
    store: &Store,
    out: Option<&Path>,
    progress: &mut dyn Progress,
) -> Result<Answers> {
    let constitutions = prepared.to_judge_under()?;
    let row_of = rows.reference()?;
    let items = &prepared.items.items;
    let responses =
        |item: usize| (0..items[item].responses.len()).map(move |response| Answer { item, response });
    let there = |a: &Answer| row_of.contains_key(&(items[a.item].id.as_str(), a.response));
    let answers: Vec<Answer> = (0..items.len()).flat_map(responses).filter(there).collect();
    if answers.is_empty() {
        return Err(rows.of_other_items().into());
    }
    let asked = questions(
        &prepared.model,
        template,
        &prepared.template,
        items,
        &constitutions,
        &answers,
        prepared.skips_bad(),
    )?;
    if asked.answers.is_empty() {
        let mut diagnostic = Diagnostic::new(Kind::NotEstimable, "no response can be judged")
            .expected("responses that fit the model's context with the judge's question")
            .remedy("use a shorter judge template, shorter items, or a model with a longer context");
        if let Some(first) = asked.skipped.first() {
            diagnostic = diagnostic.found(format!("{} refused, the first: {first}", asked.skipped.len()));
        }
        return Err(diagnostic.into());
    }
    let recipe = crate::run::pairwise::recipe(prepared, template);
    let plan =
        forest::plan_requests(&prepared.model.decoder, &asked.requests, prepared.settings.chunk_tokens);
    progress.begin("judge", plan.packed_tokens);
    let cells = asked.cells(&recipe, layers);
    let found = scores(&prepared.model, &asked, &cells, &prepared.settings, store, items, &mut |tokens| {
        progress.advance(tokens)
    })?;
    progress.end();
    let units = asked.answers.iter().map(|a| (a.item, vec![a.response])).collect();
    let lens: Vec<&[f32]> = found.iter().map(|f| &f.lens[..]).collect();
    let of = Questions { mode: JudgeMode::Pointwise, template, units, lens };
    if let Some(out) = out {
        verdicts::write(prepared, &of, &constitutions, &cells, store, out)?;
    }
    let columns = constitutions.iter().zip(found).map(|(constitution, scores)| {
        let mut column = vec![f64::NAN; rows.records.len()];
        for (a, score) in asked.answers.iter().zip(scores.odds) {
            column[row_of[&(items[a.item].id.as_str(), a.response)]] = f64::from(score);
        }
        (constitution.name.clone(), column)
    });
    let template = format!("{} sha256:{}", template.path.display(), template.sha256);
    let extra = [
        ("pointwise_template".to_owned(), template),
        ("pointwise_skipped".to_owned(), asked.skipped.len().to_string()),
    ];
    let judged = Judged { mode: JudgeMode::Pointwise, judged: asked.answers.len(), skipped: asked.skipped };
    Ok(of_scores(columns.collect(), "pointwise", extra, judged))
}

/// Scores from the likelihoods in a capture: `score.CONSTITUTION` = log P(response | constitution, prompt) − log
/// P(response | prompt), in nats; no model is run. A response that was not read in both contexts has no score.
/// `logprob` is by row, `place` its location.
///
/// # Errors
/// `Missing` without log-probabilities, rows of the bare context, or rows of a constitution.
pub fn implicit(
    constitutions: &[&str],
    rows: &Rows,
    logprob: Option<&[f64]>,
    place: &Place,
) -> Result<Answers> {
    let missing = |what: String, expected: &str| {
        Diagnostic::new(Kind::Missing, what)
            .at(place.clone())
            .expected(expected)
            .remedy("capture again with `--constitution none` and the constitutions")
    };
    let Some(logprob) = logprob else {
        return Err(missing("no log-probabilities".into(), "the tensor `logprob`").into());
    };
    if logprob.len() != rows.records.len() {
        return Err(Diagnostic::new(Kind::RunConflict, "the list of rows is of other observations")
            .at(rows.place())
            .expected(format!("{} rows", logprob.len()))
            .found(rows.records.len().to_string())
            .remedy("capture again")
            .into());
    }
    let bare = rows.under(BARE);
    if bare.is_empty() {
        return Err(missing("no rows of the bare context".into(), "rows read under `none`").into());
    }
    let mut columns = BTreeMap::new();
    let mut fewest = usize::MAX;
    for &constitution in constitutions {
        let own = rows.under(constitution);
        if own.is_empty() {
            return Err(missing(format!("no rows were read under `{constitution}`"), "its rows").into());
        }
        let mut column = vec![f64::NAN; logprob.len()];
        let mut scored = 0;
        for (response, row) in own {
            if let Some(&plain) = bare.get(&response) {
                column[plain] = logprob[row] - logprob[plain];
                scored += 1;
            }
        }
        fewest = fewest.min(scored);
        columns.insert(constitution.to_owned(), column);
    }
    let judged = if constitutions.is_empty() { 0 } else { fewest };
    let judged = Judged { mode: JudgeMode::Implicit, judged, skipped: Vec::new() };
    Ok(of_scores(columns, "implicit", [], judged))
}

/// As [`implicit`], for the observations in a folder, to which the scores are added.
///
/// # Errors
/// As [`implicit`]; errors of reading and writing.
pub fn implicit_into(constitutions: &[&str], out: &Path) -> Result<Judged> {
    let path = out.join(OBSERVATIONS);
    let (rows, observations) = (Rows::read(out)?, Observations::open(&path)?);
    let logprob = observations.columns().logprob.as_deref();
    implicit(constitutions, &rows, logprob, &Place::file(&path))?.append(out)
}

fn of_scores<const N: usize>(
    scores: BTreeMap<String, Vec<f64>>,
    kind: &str,
    extra: [(String, String); N],
    judged: Judged,
) -> Answers {
    let kinds = scores.keys().map(|name| (format!("score.{name}"), kind.to_owned()));
    let extra = kinds.chain(extra).collect();
    Answers { judgments: BTreeMap::new(), scores, extra, judged }
}
