//! Forced choices under each constitution.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::config::JudgeMode;
use crate::error::{Diagnostic, Kind, Result};
use crate::forest;
use crate::input::constitution::paraphrases;
use crate::judge::{self, JudgeTemplate, Pair};
use crate::observations::Judgments;
use crate::run::capture::Prepared;
use crate::run::judged::Judged;
use crate::run::progress::Progress;
use crate::run::rows::{Answers, Rows};
use crate::run::verdicts::{self, Questions};
use crate::store::Store;
use crate::units::{Layer, OneOf};

/// Everything besides the tokens that determines a judge's results.
pub(super) fn recipe(prepared: &Prepared, template: &JudgeTemplate) -> String {
    serde_json::json!({"capture": prepared.decisive(), "judge": template.sha256}).to_string()
}

/// Judges the pairs of the reference's rows (the bare context's, otherwise the first constitution's) under every
/// constitution, in both orders. The states at the answers, at `layers`, are written to a file in `out`.
///
/// # Errors
/// `Missing` without rows or constitutions to judge under; errors of the judge or the forward pass. The store keeps
/// every finished shard.
#[allow(clippy::too_many_arguments)]
pub fn pairwise(
    prepared: &Prepared,
    template: &JudgeTemplate,
    most_pairs: Option<usize>,
    layers: &[Layer],
    rows: &Rows,
    store: &Store,
    out: Option<&Path>,
    progress: &mut dyn Progress,
) -> Result<Answers> {
    let constitutions = prepared.to_judge_under()?;
    let row_of = rows.reference()?;
    let items = &prepared.items.items;
    let mut pairs: Vec<Pair> = Vec::new();
    let known: BTreeSet<&str> = rows.records.iter().map(|r| r.id.as_str()).collect();
    if !items.iter().any(|i| known.contains(i.id.as_str())) {
        return Err(rows.of_other_items().into());
    }
    for (i, item) in items.iter().enumerate() {
        let there: Vec<usize> =
            (0..item.responses.len()).filter(|&r| row_of.contains_key(&(item.id.as_str(), r))).collect();
        let ring = judge::ring(i, &there);
        let most = most_pairs.unwrap_or(ring.len());
        pairs.extend(ring.into_iter().take(most));
    }
    let judge_batch = judge::judge_batch(
        &prepared.model,
        template,
        &prepared.template,
        items,
        &constitutions,
        &pairs,
        prepared.skips_bad(),
    )?;
    if judge_batch.pairs.is_empty() {
        let mut diagnostic = Diagnostic::new(Kind::NotEstimable, "no pair of responses can be judged")
            .expected("prompts with two responses that fit the model's context together")
            .remedy("use a shorter judge template, shorter items, or a model with a longer context");
        if let Some(first) = judge_batch.skipped.first() {
            diagnostic =
                diagnostic.found(format!("{} pairs refused, the first: {first}", judge_batch.skipped.len()));
        }
        return Err(diagnostic.into());
    }
    let recipe = recipe(prepared, template);
    let plan =
        forest::plan_requests(&prepared.model.decoder, &judge_batch.requests, prepared.settings.chunk_tokens);
    progress.begin("judge", plan.packed_tokens);
    let cells = judge_batch.cells(&recipe, layers);
    let judgements = judge::judge(
        &prepared.model,
        &judge_batch,
        &cells,
        &prepared.settings,
        store,
        items,
        &mut |tokens| progress.advance(tokens),
    )?;
    progress.end();
    let units = judge_batch.pairs.iter().map(|p| (p.item, vec![p.a, p.b])).collect();
    let lens: Vec<&[f32]> = judgements.iter().map(|j| &j.lens[..]).collect();
    let asked = Questions { mode: JudgeMode::Pairwise, template, units, lens };
    if let Some(out) = out {
        verdicts::write(prepared, &asked, &constitutions, &cells, store, out)?;
    }
    let pairs: Vec<[usize; 2]> = judge_batch
        .pairs
        .iter()
        .map(|p| [p.a, p.b].map(|response| row_of[&(items[p.item].id.as_str(), response)]))
        .collect();
    let wide = |v: Vec<f32>| v.into_iter().map(f64::from).collect::<Vec<_>>();
    let judgments: BTreeMap<String, Judgments> = constitutions
        .iter()
        .zip(judgements)
        .map(|(c, j)| {
            (c.name.clone(), Judgments { pairs: pairs.clone(), ab: wide(j.ab), ba: Some(wide(j.ba)) })
        })
        .collect();
    let families: BTreeMap<&str, &str> =
        constitutions.iter().map(|c| (c.name.as_str(), c.family.as_str())).collect();
    let extra = [
        ("judge_template".to_owned(), format!("{} sha256:{}", template.path.display(), template.sha256)),
        ("judge_skipped".to_owned(), judge_batch.skipped.len().to_string()),
        ("families".to_owned(), serde_json::json!(families).to_string()),
        ("paraphrases".to_owned(), serde_json::json!(paraphrases(constitutions)).to_string()),
    ];
    let judged =
        Judged { mode: JudgeMode::Pairwise, judged: judge_batch.pairs.len(), skipped: judge_batch.skipped };
    Ok(Answers { judgments, scores: BTreeMap::new(), extra: extra.into_iter().collect(), judged })
}
