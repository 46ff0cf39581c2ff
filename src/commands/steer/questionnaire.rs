//! Inputs to a steered model and its outputs: responses in their contexts, and a judge's questions.

use std::collections::{BTreeMap, HashMap};

use ndarray::Array2;

use super::SteerOptions;
use crate::capture::job::place_of;
use crate::capture::{self, Job};
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::forest::{self, Output, Request};
use crate::input::Items;
use crate::judge::{JudgeBatch, JudgeTemplate, Pair, judge_batch};
use crate::model::decoder::Steering;
use crate::run::capture::Prepared;
use crate::run::progress::Progress;
use crate::steer::effect::{Comparison, comparisons};
use crate::theory::Labels;
use crate::theory::base::mean::{BlockMean, mean_by_block};
use crate::units::Layer;

/// Everything the model computes with and without interventions.
pub(super) struct Questionnaire {
    /// The responses.
    pub(super) job: Job,
    /// The judge's questions.
    pub(super) judge_batch: JudgeBatch,
    /// Index of (item, response, response) among the docket's pairs.
    judged: HashMap<(usize, usize, usize), usize>,
    /// Comparisons by value.
    pub(super) comparisons: BTreeMap<String, Vec<Comparison>>,
    /// Number of each row's prompt.
    pub(super) prompt: Vec<i32>,
    block: Vec<i32>,
}

/// Outputs of the model.
pub(super) struct Answers {
    responses: Vec<Output>,
    questions: Vec<Output>,
}

impl Answers {
    /// log P(better) − log P(worse).
    pub(super) fn logprob(&self, c: &Comparison) -> f64 {
        self.responses[c.better].logprob - self.responses[c.worse].logprob
    }

    /// h `[rows, d]` at each layer.
    pub(super) fn layers(&self, layers: usize) -> Vec<Array2<f32>> {
        let width = self.responses.first().map_or(0, |r| r.resid.len() / layers);
        let at = |l: usize| {
            Array2::from_shape_fn((self.responses.len(), width), |(r, j)| {
                self.responses[r].resid[l * width + j]
            })
        };
        (0..layers).map(at).collect()
    }
}

impl Questionnaire {
    /// Renders and encodes everything.
    pub(super) fn new(options: &SteerOptions, prepared: &Prepared) -> Result<Self> {
        let items = &prepared.items;
        let skip = prepared.skips_bad();
        let job = capture::encode(&prepared.model, &prepared.template, &items.items, &[None], skip)?;
        let numbers = items.prompt_numbers();
        let prompt: Vec<i32> = job.rows.iter().map(|r| numbers[r.item]).collect();
        let block: Vec<i32> = job.rows.iter().map(|r| prepared.clusters.of_item[r.item]).collect();
        let comparisons: BTreeMap<String, Vec<Comparison>> = labels(items, &job)
            .into_iter()
            .map(|(name, labels)| (name, comparisons(&labels, &prompt, &block)))
            .filter(|(_, list)| !list.is_empty())
            .collect();
        if comparisons.is_empty() {
            return Err(Diagnostic::new(
                Kind::NotEstimable,
                "no prompt has two responses of which one is better",
            )
            .expected("items with `values` that differ between responses, or `preferences`")
            .into());
        }
        let judge_batch = Self::judge_batch(options, prepared, &job, &comparisons)?;
        let judged = judge_batch.pairs.iter().enumerate().map(|(i, p)| ((p.item, p.a, p.b), i)).collect();
        Ok(Self { job, judge_batch, judged, comparisons, prompt, block })
    }

    /// Every comparison of any value, asked in both orders, up to the maximum number per prompt.
    fn judge_batch(
        options: &SteerOptions,
        prepared: &Prepared,
        job: &Job,
        comparisons: &BTreeMap<String, Vec<Comparison>>,
    ) -> Result<JudgeBatch> {
        let constitutions = prepared.judged();
        if constitutions.is_empty() {
            return Ok(JudgeBatch::default());
        }
        let template = JudgeTemplate::find(options.judge.as_deref(), &prepared.model)?;
        let mut by_item: BTreeMap<usize, Vec<Pair>> = BTreeMap::new();
        for c in comparisons.values().flatten() {
            let (x, y) = (&job.rows[c.better], &job.rows[c.worse]);
            let (a, b) = (x.response.min(y.response), x.response.max(y.response));
            let own = by_item.entry(x.item).or_default();
            let pair = Pair { item: x.item, a, b };
            // No question can name responses of two items, even if their prompts are equal.
            if x.item == y.item && !own.contains(&pair) {
                own.push(pair);
            }
        }
        let most = options.most_pairs.unwrap_or(usize::MAX);
        let pairs: Vec<Pair> = by_item.into_values().flat_map(|own| own.into_iter().take(most)).collect();
        let items = &prepared.items.items;
        let skip = prepared.skips_bad();
        judge_batch(&prepared.model, &template, &prepared.template, items, &constitutions, &pairs, skip)
    }

    /// All inputs to the model.
    pub(super) fn requests(&self) -> impl Iterator<Item = &Request> {
        self.job.rows.iter().map(|r| &r.request).chain(&self.judge_batch.requests)
    }

    /// Runs everything once, responses and questions with their own interventions.
    pub(super) fn ask(
        &self,
        prepared: &Prepared,
        responses: &Steering,
        questions: &Steering,
        progress: &mut dyn Progress,
    ) -> Result<Answers> {
        let items = &prepared.items.items;
        let run = |requests: &[Request],
                   steering: &Steering,
                   layers: Vec<Layer>,
                   place: &dyn Fn(usize) -> Place,
                   progress: &mut dyn Progress| {
            let mut settings = prepared.settings.clone();
            (settings.layers, settings.steering) = (layers, steering.clone());
            // Progress counts whole texts; shared prefixes make it run ahead.
            forest::run(&prepared.model.decoder, requests, &settings, place, &mut |n| progress.advance(n))
        };
        let rows: Vec<Request> = self.job.rows.iter().map(|r| r.request.clone()).collect();
        let place = |i: usize| place_of(&self.job.rows[i], items, &[None]);
        let responses = run(&rows, responses, prepared.settings.layers.clone(), &place, progress)?;
        let per_pair = (2 * self.judge_batch.constitutions).max(1);
        let place = |i: usize| items[self.judge_batch.pairs[i / per_pair].item].place.clone();
        let questions = if self.judge_batch.requests.is_empty() {
            Vec::new()
        } else {
            run(&self.judge_batch.requests, questions, Vec::new(), &place, progress)?
        };
        Ok(Answers { responses, questions })
    }

    /// Debiased log-odds for the better response under a constitution; `None` for a pair that was not judged.
    pub(super) fn odds(&self, answers: &Answers, constitution: usize, c: &Comparison) -> Option<f64> {
        let (x, y) = (&self.job.rows[c.better], &self.job.rows[c.worse]);
        let (a, b) = (x.response.min(y.response), x.response.max(y.response));
        let pair = *self.judged.get(&(x.item, a, b)).filter(|_| x.item == y.item)?;
        let first = (pair * self.judge_batch.constitutions + constitution) * 2;
        let odds = |i: usize| answers.questions[i].answers[0] - answers.questions[i].answers[1];
        let for_a = (odds(first) - odds(first + 1)) / 2.0;
        Some(if x.response == a { for_a } else { -for_a })
    }

    /// Mean change of log P per token over all responses.
    pub(super) fn per_token(&self, base: &Answers, after: &Answers) -> Option<BlockMean> {
        let cells = self.job.rows.iter().enumerate().map(|(r, row)| {
            let tokens = row.request.response.map_or(1, |s| s.len().max(1)) as f64;
            (self.block[r], (after.responses[r].logprob - base.responses[r].logprob) / tokens)
        });
        mean_by_block(cells)
    }
}

/// Labels of each value over the rows; preferences where a value has no labels.
fn labels(items: &Items, job: &Job) -> BTreeMap<String, Labels> {
    let row: HashMap<(usize, usize), usize> =
        job.rows.iter().enumerate().map(|(i, r)| ((r.item, r.response), i)).collect();
    let mut out = BTreeMap::new();
    for name in items.value_names() {
        let scores: Vec<f64> = job
            .rows
            .iter()
            .map(|r| items.items[r.item].responses[r.response].values.get(name).copied().unwrap_or(f64::NAN))
            .collect();
        let labels = if scores.iter().any(|s| s.is_finite()) {
            Labels::Scores(scores)
        } else {
            let mut pairs = Vec::new();
            for (i, item) in items.items.iter().enumerate() {
                for p in item.preferences.iter().filter(|p| p.value == name) {
                    if let (Some(&b), Some(&w)) = (row.get(&(i, p.better)), row.get(&(i, p.worse))) {
                        pairs.push((b, w));
                    }
                }
            }
            Labels::Preferences(pairs)
        };
        out.insert(name.to_owned(), labels);
    }
    out
}
