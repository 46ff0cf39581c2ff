//! Steering as a measurement: the same responses with and without an intervention, and with random ones.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use ndarray::Array2;

use super::capture::{CaptureOptions, Prepared};
use super::named::Named;
use super::progress::Progress;
use crate::artifact;
use crate::capture::{self, Job, job::place_of};
use crate::error::{Kind, Place, Refusal, Result};
use crate::forest::{self, Reading, Request};
use crate::hypothesis::judging::mean_by_block;
use crate::hypothesis::{Labels, Quantity};
use crate::input::Items;
use crate::judge::{Docket, JudgeTemplate, Pair, docket};
use crate::model::decoder::{At, Intervention, Steering};
use crate::model::hub::Downloads;
use crate::probe::influence::normal_interval;
use crate::steer::effect::{
    Comparison, Disturbance, Layered, Null, Outcome, Steered, comparisons, estimate, mean,
};
use crate::steer::random::{Law, isotropic, with_covariance};
use crate::units::Layer;

/// What is done along the direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Act {
    /// Adds α times the unit that the scale says.
    Add(f64),
    /// Projects it out.
    Ablate,
}

/// What α is a multiple of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// A vector along the direction of length √(mean ‖h‖²) of the responses at the layer.
    Rms,
    /// The direction as it is stored.
    Norm,
}

/// What a steering is asked for.
#[derive(Debug, Clone)]
pub struct SteerOptions {
    /// Model, data and constitutions to judge under; `layers` is not read.
    pub capture: CaptureOptions,
    /// `FILE:NAME[@LAYER]`.
    pub direction: String,
    /// Layers; `None`: the direction's pinned or reported one.
    pub layers: Option<LayerList>,
    /// What is done.
    pub act: Act,
    /// What α is a multiple of.
    pub scale: Scale,
    /// Which tokens of a response's text are touched.
    pub at: At,
    /// Random directions of each law.
    pub random: usize,
    /// Their seed.
    pub seed: u64,
    /// Judge template.
    pub judge: Option<String>,
    /// Most pairs of a prompt that are judged.
    pub most_pairs: Option<usize>,
    /// Folder for steer.json and steer.md.
    pub out: PathBuf,
}

/// Which layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayerList {
    /// Every one.
    All,
    /// These.
    These(Vec<usize>),
}

/// Runs it and writes `steer.json` and `steer.md`.
///
/// # Errors
/// What reading direction, data and model refuses; `Missing` if nothing says which layer; what the forward refuses.
pub fn steer_into(
    options: &SteerOptions,
    downloads: &mut dyn Downloads,
    progress: &mut dyn Progress,
) -> Result<Steered> {
    let direction = Named::read(&options.direction)?;
    let mut capture = options.capture.clone();
    (capture.layers, capture.bare) = (Some(vec![0]), true);
    let mut prepared = Prepared::fetched(&capture, downloads)?;
    let blocks = prepared.model.decoder.config().num_blocks();
    let mut layers: Vec<Layer> = match (&options.layers, direction.pinned.or(direction.reported)) {
        (Some(LayerList::All), _) => (0..=blocks).map(Layer).collect(),
        (Some(LayerList::These(list)), _) => list.iter().copied().map(Layer).collect(),
        (None, Some(layer)) => vec![layer],
        (None, None) => {
            return Err(Refusal::new(Kind::Missing, "nothing says at which layer to intervene")
                .expected("--layer, FILE:NAME@LAYER, or a report.json beside the directions")
                .into());
        }
    };
    layers.sort_unstable();
    layers.dedup();
    prepared.settings.layers = layers.clone();
    let vectors = layers.iter().map(|&l| direction.at(l)).collect::<Result<Vec<_>>>()?;
    // Refused here rather than after the first forward.
    acts(&layers, &vectors, &vec![1.0; layers.len()], Act::Ablate, At::Everywhere)?
        .check(prepared.model.decoder.config())?;
    let asked = Asked::new(options, &prepared)?;
    let variants = 2 + 2 * options.random;
    let tokens: usize = asked.requests(&prepared).map(|r| r.tokens.len()).sum();
    progress.begin("steer", tokens * variants);
    let base = asked.ask(&prepared, &Steering::default(), &Steering::default(), progress)?;
    let h = base.layers(layers.len());
    let rms: Vec<f64> = h.iter().map(rms).collect();
    let lengths: Vec<f64> = vectors
        .iter()
        .zip(&rms)
        .map(|(v, rms)| match (options.act, options.scale) {
            (Act::Ablate, _) => 1.0,
            (Act::Add(alpha), Scale::Rms) => alpha * rms,
            (Act::Add(alpha), Scale::Norm) => alpha * norm(v),
        })
        .collect();
    let mut ask = |vectors: &[Vec<f64>]| -> Result<Answers> {
        let responses = acts(&layers, vectors, &lengths, options.act, options.at)?;
        let questions = acts(&layers, vectors, &lengths, options.act, At::Everywhere)?;
        asked.ask(&prepared, &responses, &questions, progress)
    };
    let steered = ask(&vectors)?;
    let mut random: BTreeMap<usize, Vec<Answers>> = BTreeMap::new();
    let laws = [Law::Isotropic, Law::Covariance];
    for (which, law) in laws.iter().enumerate() {
        for i in 0..options.random {
            let draw = |h: &Array2<f32>| match law {
                Law::Isotropic => isotropic(options.seed, i, h.ncols()),
                Law::Covariance => with_covariance(options.seed, i, h.view(), &asked.prompt),
            };
            let drawn: Vec<Vec<f64>> = h.iter().map(draw).collect();
            if drawn.iter().any(|u| norm(u) == 0.0) {
                continue;
            }
            random.entry(which).or_default().push(ask(&drawn)?);
        }
    }
    progress.end();
    let nulls = |effect: Option<f64>, of: &dyn Fn(&Answers) -> Option<f64>| -> Vec<Null> {
        let Some(effect) = effect else { return Vec::new() };
        let each = random.iter().filter_map(|(&w, all)| {
            Null::new(laws[w], effect, all.iter().filter_map(of).collect::<Vec<_>>())
        });
        each.collect()
    };
    let mut outcomes = Vec::new();
    for (value, list) in &asked.comparisons {
        let change = |after: &Answers| mean(list, |c| Some(after.logprob(c) - base.logprob(c)));
        let what = "mean over prompts of the change of log P(better) − log P(worse)";
        let mut e = estimate(Quantity::SteerLogprob, what, change(&steered));
        (e.value, e.layer) = (Some(value.clone()), Some(layers[0]));
        let random = nulls(e.estimate, &|a| change(a).map(|m| m.value));
        let before = mean(list, |c| Some(base.logprob(c))).map(|m| m.value);
        outcomes.push(Outcome { estimate: e, before, random });
        for (c, constitution) in prepared.judged().iter().enumerate() {
            let odds = |answers: &Answers, pair: &Comparison| asked.odds(answers, c, pair);
            let change = |after: &Answers| mean(list, |pair| Some(odds(after, pair)? - odds(&base, pair)?));
            let what = "mean over prompts of the change of (ab − ba)/2 for the better response";
            let mut e = estimate(Quantity::SteerJudge, what, change(&steered)).under(&constitution.name);
            (e.value, e.layer) = (Some(value.clone()), Some(layers[0]));
            let random = nulls(e.estimate, &|a| change(a).map(|m| m.value));
            let before = mean(list, |pair| odds(&base, pair)).map(|m| m.value);
            outcomes.push(Outcome { estimate: e, before, random });
        }
    }
    let mut warnings: Vec<String> = prepared.items.notes.clone();
    for (what, skipped) in [("responses", &asked.job.skipped), ("judged pairs", &asked.docket.skipped)] {
        if let Some(first) = skipped.first() {
            warnings.push(format!("left out: {} {what}, the first: {}", skipped.len(), first.what));
        }
    }
    if options.at == At::Response && !prepared.judged().is_empty() {
        warnings.push("a judge's question has no response of its own: it is steered at all tokens".into());
    }
    let per_token = |after: &Answers| asked.per_token(&base, after);
    let disturbance = per_token(&steered).map(|(mean, se)| {
        let (lo, hi) = normal_interval(mean, se);
        let all: Vec<f64> = random.values().flatten().filter_map(|a| Some(per_token(a)?.0)).collect();
        let square = all.iter().map(|v| v * v).sum::<f64>() / all.len() as f64;
        Disturbance { mean, lo, hi, random_rms: (!all.is_empty()).then(|| square.sqrt()) }
    });
    let adds = matches!(options.act, Act::Add(_));
    let report = Steered {
        format: "vstar-steer/1",
        model: prepared.model.identity.name.clone(),
        direction: options.direction.clone(),
        action: if adds { "add" } else { "ablate" },
        alpha: if let Act::Add(alpha) = options.act { Some(alpha) } else { None },
        scale: adds.then_some(if options.scale == Scale::Rms { "rms" } else { "norm" }),
        tokens: if options.at == At::Response { "response" } else { "all" },
        layers: (0..layers.len())
            .map(|i| Layered { layer: layers[i], length: adds.then(|| lengths[i].abs()), rms: rms[i] })
            .collect(),
        random: options.random,
        seed: options.seed,
        outcomes,
        disturbance,
        warnings,
    };
    let json = serde_json::to_string_pretty(&report.to_json()).expect("plain data serialises") + "\n";
    artifact::write_bytes(&options.out.join("steer.json"), json.as_bytes())?;
    artifact::write_bytes(&options.out.join("steer.md"), report.page().to_markdown().as_bytes())?;
    Ok(report)
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// √(mean over rows of ‖h‖²).
fn rms(h: &Array2<f32>) -> f64 {
    (h.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / h.nrows().max(1) as f64).sqrt()
}

/// The interventions: a vector of the given length along each layer's direction, or each direction projected out.
fn acts(layers: &[Layer], vectors: &[Vec<f64>], lengths: &[f64], act: Act, at: At) -> Result<Steering> {
    let each = layers.iter().zip(vectors).zip(lengths).map(|((&layer, v), length)| match act {
        Act::Ablate => Intervention::ablate(layer, v, at),
        Act::Add(_) => Intervention::add(layer, v, length / norm(v), at),
    });
    Ok(Steering::new(each.collect::<Result<Vec<_>>>()?))
}

/// What the model is asked, with and without interventions.
struct Asked {
    job: Job,
    docket: Docket,
    /// Place of (item, response, response) among the docket's pairs.
    judged: HashMap<(usize, usize, usize), usize>,
    /// Comparisons by value.
    comparisons: BTreeMap<String, Vec<Comparison>>,
    prompt: Vec<i32>,
    block: Vec<i32>,
}

/// What it answered.
struct Answers {
    responses: Vec<Reading>,
    questions: Vec<Reading>,
}

impl Answers {
    fn logprob(&self, c: &Comparison) -> f64 {
        self.responses[c.better].logprob - self.responses[c.worse].logprob
    }

    /// h `[rows, d]` at each layer.
    fn layers(&self, layers: usize) -> Vec<Array2<f32>> {
        let width = self.responses.first().map_or(0, |r| r.resid.len() / layers);
        let at = |l: usize| {
            Array2::from_shape_fn((self.responses.len(), width), |(r, j)| {
                self.responses[r].resid[l * width + j]
            })
        };
        (0..layers).map(at).collect()
    }
}

impl Asked {
    fn new(options: &SteerOptions, prepared: &Prepared) -> Result<Self> {
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
            return Err(Refusal::new(
                Kind::NotEstimable,
                "no prompt has two responses of which one is better",
            )
            .expected("items with `values` that differ between responses, or `preferences`")
            .into());
        }
        let docket = Self::docket(options, prepared, &job, &comparisons)?;
        let judged = docket.pairs.iter().enumerate().map(|(i, p)| ((p.item, p.a, p.b), i)).collect();
        Ok(Self { job, docket, judged, comparisons, prompt, block })
    }

    /// Every comparison of any value, asked in both orders, at most so many a prompt.
    fn docket(
        options: &SteerOptions,
        prepared: &Prepared,
        job: &Job,
        comparisons: &BTreeMap<String, Vec<Comparison>>,
    ) -> Result<Docket> {
        let constitutions = prepared.judged();
        if constitutions.is_empty() {
            return Ok(Docket::default());
        }
        let template = JudgeTemplate::find(options.judge.as_deref(), &prepared.model)?;
        let mut by_item: BTreeMap<usize, Vec<Pair>> = BTreeMap::new();
        for c in comparisons.values().flatten() {
            let (x, y) = (&job.rows[c.better], &job.rows[c.worse]);
            let (a, b) = (x.response.min(y.response), x.response.max(y.response));
            let own = by_item.entry(x.item).or_default();
            let pair = Pair { item: x.item, a, b };
            // Responses of two items with one prompt have no question that names both.
            if x.item == y.item && !own.contains(&pair) {
                own.push(pair);
            }
        }
        let most = options.most_pairs.unwrap_or(usize::MAX);
        let pairs: Vec<Pair> = by_item.into_values().flat_map(|own| own.into_iter().take(most)).collect();
        let items = &prepared.items.items;
        let skip = prepared.skips_bad();
        docket(&prepared.model, &template, &prepared.template, items, &constitutions, &pairs, skip)
    }

    fn requests<'a>(&'a self, _: &'a Prepared) -> impl Iterator<Item = &'a Request> {
        self.job.rows.iter().map(|r| &r.request).chain(&self.docket.requests)
    }

    fn ask(
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
        let per_pair = (2 * self.docket.constitutions).max(1);
        let place = |i: usize| items[self.docket.pairs[i / per_pair].item].place.clone();
        let questions = if self.docket.requests.is_empty() {
            Vec::new()
        } else {
            run(&self.docket.requests, questions, Vec::new(), &place, progress)?
        };
        Ok(Answers { responses, questions })
    }

    /// Debiased log-odds for the better response under a constitution; `None` for a pair that was not asked.
    fn odds(&self, answers: &Answers, constitution: usize, c: &Comparison) -> Option<f64> {
        let (x, y) = (&self.job.rows[c.better], &self.job.rows[c.worse]);
        let (a, b) = (x.response.min(y.response), x.response.max(y.response));
        let pair = *self.judged.get(&(x.item, a, b)).filter(|_| x.item == y.item)?;
        let first = (pair * self.docket.constitutions + constitution) * 2;
        let odds = |i: usize| answers.questions[i].answers[0] - answers.questions[i].answers[1];
        let for_a = (odds(first) - odds(first + 1)) / 2.0;
        Some(if x.response == a { for_a } else { -for_a })
    }

    /// Mean change of log P a token over all responses, and its error.
    fn per_token(&self, base: &Answers, after: &Answers) -> Option<(f64, f64)> {
        let cells = self.job.rows.iter().enumerate().map(|(r, row)| {
            let tokens = row.request.response.map_or(1, |s| s.len().max(1)) as f64;
            (self.block[r], (after.responses[r].logprob - base.responses[r].logprob) / tokens)
        });
        mean_by_block(cells).map(|(mean, se, ..)| (mean, se))
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
