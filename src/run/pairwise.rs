//! Forced choices under each constitution, added to the observations of a folder.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use crate::config::JudgeMode;
use crate::error::{Kind, Place, Refusal, Result};
use crate::forest;
use crate::input::constitution::paraphrases;
use crate::judge::{self, JudgeTemplate, Pair};
use crate::observations::{BARE, Judgments, append_judgments, read_rows};
use crate::observations::{OBSERVATIONS, ROWS};
use crate::run::capture::Prepared;
use crate::run::judged::Judged;
use crate::run::progress::Progress;
use crate::run::verdicts::{self, Asked};
use crate::store::Store;
use crate::units::{Layer, OneOf};

/// What decides the numbers of a judge beside the tokens.
pub(super) fn recipe(prepared: &Prepared, template: &JudgeTemplate) -> String {
    serde_json::json!({"capture": prepared.decisive(), "judge": template.sha256}).to_string()
}

/// Judges the pairs of the reference's rows (the bare context's, or else the first constitution's) under
/// every constitution, both orders, and adds `judge.*` to the observations in `out`; the states at the answers, at
/// `layers`, go into a file beside them.
///
/// # Errors
/// `Missing` without observations in `out` or constitutions to judge under; what the judge or the
/// forward refuses. The store keeps every finished shard.
pub fn judge_into(
    prepared: &Prepared,
    template: &JudgeTemplate,
    most_pairs: Option<usize>,
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
    let rows_path = out.join(ROWS);
    let records = read_rows(&rows_path)?;
    let reference = match records.iter().find(|r| r.constitution == BARE).or(records.first()) {
        Some(record) => record.constitution.clone(),
        None => return Err(Refusal::new(Kind::Missing, "no rows").at(Place::file(rows_path)).into()),
    };
    // Rows are matched by id, so that a judge may run on a capture made earlier.
    let row_of: HashMap<(&str, usize), usize> = records
        .iter()
        .enumerate()
        .filter(|(_, r)| r.constitution == reference)
        .map(|(row, r)| ((r.id.as_str(), r.response), row))
        .collect();
    let items = &prepared.items.items;
    let mut pairs: Vec<Pair> = Vec::new();
    let known: BTreeSet<&str> = records.iter().map(|r| r.id.as_str()).collect();
    if !items.iter().any(|i| known.contains(i.id.as_str())) {
        return Err(Refusal::new(Kind::RunConflict, "the observations are of other items")
            .at(Place::file(&rows_path))
            .expected("a capture of the same --data")
            .remedy("choose another --out, or run `vstar capture` first")
            .into());
    }
    for (i, item) in items.iter().enumerate() {
        let there: Vec<usize> =
            (0..item.responses.len()).filter(|&r| row_of.contains_key(&(item.id.as_str(), r))).collect();
        let ring = judge::ring(i, &there);
        let most = most_pairs.unwrap_or(ring.len());
        pairs.extend(ring.into_iter().take(most));
    }
    let docket = judge::docket(
        &prepared.model,
        template,
        &prepared.template,
        items,
        &constitutions,
        &pairs,
        prepared.skips_bad(),
    )?;
    if docket.pairs.is_empty() {
        let mut refusal = Refusal::new(Kind::NotEstimable, "no pair of responses can be judged")
            .expected("prompts with two responses that fit the model's context together")
            .remedy("use a shorter judge template, shorter items, or a model with a longer context");
        if let Some(first) = docket.skipped.first() {
            refusal = refusal.found(format!("{} pairs refused, the first: {first}", docket.skipped.len()));
        }
        return Err(refusal.into());
    }
    let recipe = recipe(prepared, template);
    let plan =
        forest::plan_requests(&prepared.model.decoder, &docket.requests, prepared.settings.chunk_tokens);
    progress.begin("judge", plan.packed_tokens);
    let cells = docket.cells(&recipe, layers);
    let judgements =
        judge::judge(&prepared.model, &docket, &cells, &prepared.settings, store, items, &mut |tokens| {
            progress.advance(tokens)
        })?;
    progress.end();
    let units = docket.pairs.iter().map(|p| (p.item, vec![p.a, p.b])).collect();
    let lens: Vec<&[f32]> = judgements.iter().map(|j| &j.lens[..]).collect();
    let asked = Asked { mode: JudgeMode::Pairwise, template, units, lens };
    verdicts::write(prepared, &asked, &constitutions, &cells, store, out)?;
    let rows: Vec<[usize; 2]> = docket
        .pairs
        .iter()
        .map(|p| [p.a, p.b].map(|response| row_of[&(items[p.item].id.as_str(), response)]))
        .collect();
    let wide = |v: Vec<f32>| v.into_iter().map(f64::from).collect::<Vec<_>>();
    let judgments: BTreeMap<String, Judgments> = constitutions
        .iter()
        .zip(judgements)
        .map(|(c, j)| {
            (c.name.clone(), Judgments { pairs: rows.clone(), ab: wide(j.ab), ba: Some(wide(j.ba)) })
        })
        .collect();
    let families: BTreeMap<&str, &str> =
        constitutions.iter().map(|c| (c.name.as_str(), c.family.as_str())).collect();
    let extra = [
        ("judge_template".to_owned(), format!("{} sha256:{}", template.path.display(), template.sha256)),
        ("judge_skipped".to_owned(), docket.skipped.len().to_string()),
        ("families".to_owned(), serde_json::json!(families).to_string()),
        ("paraphrases".to_owned(), serde_json::json!(paraphrases(constitutions)).to_string()),
    ];
    append_judgments(&out.join(OBSERVATIONS), &judgments, &BTreeMap::new(), &extra.into_iter().collect())?;
    Ok(Judged { mode: JudgeMode::Pairwise, judged: docket.pairs.len(), skipped: docket.skipped })
}
