//! Scores of responses under each constitution, added to the observations of a folder: pointwise questions,
//! and what a constitution changes in the likelihood of a response.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::config::JudgeMode;
use crate::error::{Kind, Place, Refusal, Result};
use crate::forest;
use crate::judge::JudgeTemplate;
use crate::judge::pointwise::{Answer, questions, scores};
use crate::observations::{BARE, Observations, RowRecord, append_judgments, read_rows};
use crate::observations::{OBSERVATIONS, ROWS};
use crate::run::capture::Prepared;
use crate::run::judged::Judged;
use crate::run::progress::Progress;
use crate::run::verdicts::{self, Asked};
use crate::store::Store;
use crate::units::Layer;

/// The rows of a folder, by what was read under what.
struct Rows {
    path: PathBuf,
    records: Vec<RowRecord>,
}

impl Rows {
    fn read(out: &Path) -> Result<Self> {
        let path = out.join(ROWS);
        Ok(Self { records: read_rows(&path)?, path })
    }

    /// The constitution whose rows carry the scores: the bare context, or else the first.
    fn reference(&self) -> Result<&str> {
        let bare = self.records.iter().find(|r| r.constitution == BARE);
        match bare.or(self.records.first()) {
            Some(record) => Ok(&record.constitution),
            None => Err(Refusal::new(Kind::Missing, "no rows").at(Place::file(&self.path)).into()),
        }
    }

    /// Row of each response (id, number) under a constitution.
    fn under(&self, constitution: &str) -> HashMap<(&str, usize), usize> {
        let own = self.records.iter().enumerate().filter(|(_, r)| r.constitution == constitution);
        own.map(|(row, r)| ((r.id.as_str(), r.response), row)).collect()
    }
}

/// Asks of every response of the reference's rows whether it agrees with each constitution, and adds
/// `score.CONSTITUTION` = log-odds of yes against no (nats) to the observations in `out`; the states at the answers, at
/// `layers`, go into a file beside them.
///
/// # Errors
/// `Missing` without observations in `out` or constitutions to judge under; what the template or the
/// forward refuses. The store keeps every finished shard.
pub fn pointwise_into(
    prepared: &Prepared,
    template: &JudgeTemplate,
    layers: &[Layer],
    store: &Store,
    out: &Path,
    progress: &mut dyn Progress,
) -> Result<Judged> {
    let constitutions = prepared.judged();
    if constitutions.is_empty() {
        return Err(Refusal::new(Kind::Missing, "no constitution to judge under")
            .expected("at least one --constitution FILE")
            .into());
    }
    let rows = Rows::read(out)?;
    let row_of = rows.under(rows.reference()?);
    let items = &prepared.items.items;
    let responses =
        |item: usize| (0..items[item].responses.len()).map(move |response| Answer { item, response });
    let there = |a: &Answer| row_of.contains_key(&(items[a.item].id.as_str(), a.response));
    let answers: Vec<Answer> = (0..items.len()).flat_map(responses).filter(there).collect();
    if answers.is_empty() {
        return Err(Refusal::new(Kind::RunConflict, "the observations are of other items")
            .at(Place::file(&rows.path))
            .expected("a capture of the same --data")
            .remedy("choose another --out, or run `vstar capture` first")
            .into());
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
        let mut refusal = Refusal::new(Kind::NotEstimable, "no response can be judged")
            .expected("responses that fit the model's context with the judge's question")
            .remedy("use a shorter judge template, shorter items, or a model with a longer context");
        if let Some(first) = asked.skipped.first() {
            refusal = refusal.found(format!("{} refused, the first: {first}", asked.skipped.len()));
        }
        return Err(refusal.into());
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
    let of = Asked { mode: JudgeMode::Pointwise, template, units, lens };
    verdicts::write(prepared, &of, &constitutions, &cells, store, out)?;
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
    append(out, &columns.collect(), "pointwise", extra)?;
    Ok(Judged { mode: JudgeMode::Pointwise, judged: asked.answers.len(), skipped: asked.skipped })
}

/// Adds `score.CONSTITUTION` = log P(response | constitution, prompt) − log P(response | prompt), in nats, to
/// the observations in `out`, from the likelihoods that stand there; nothing is run. A response that was not
/// read under both has no score. Returns the number of scores under each constitution.
///
/// # Errors
/// `Missing` without observations, log-probabilities, rows of the bare context, or rows of a constitution.
pub fn implicit_into(constitutions: &[&str], out: &Path) -> Result<usize> {
    let rows = Rows::read(out)?;
    let path = out.join(OBSERVATIONS);
    let missing = |what: String, expected: &str| {
        Refusal::new(Kind::Missing, what)
            .at(Place::file(&path))
            .expected(expected)
            .remedy("capture again with `--constitution none` and the constitutions")
    };
    let observations = Observations::open(&path)?;
    let Some(logprob) = &observations.columns().logprob else {
        return Err(missing("no log-probabilities".into(), "the tensor `logprob`").into());
    };
    if logprob.len() != rows.records.len() {
        return Err(Refusal::new(Kind::RunConflict, "the list of rows is of other observations")
            .at(Place::file(&rows.path))
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
    append(out, &columns, "implicit", [])?;
    Ok(if constitutions.is_empty() { 0 } else { fewest })
}

fn append<const N: usize>(
    out: &Path,
    columns: &BTreeMap<String, Vec<f64>>,
    kind: &str,
    extra: [(String, String); N],
) -> Result<()> {
    let kinds = columns.keys().map(|name| (format!("score.{name}"), kind.to_owned()));
    append_judgments(&out.join(OBSERVATIONS), &BTreeMap::new(), columns, &kinds.chain(extra).collect())
}
