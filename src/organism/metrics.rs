//! What a trained model can do, measured on held-out prompts against the program that is the truth.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::ask::{self, Asked, context};
use super::curriculum::CLEAR;
use super::draw::hash;
use super::principles::{HeldOut, PAIRS, PRINCIPLES, Rule, pair_wordings, preference, wordings};
use super::reply::Situation;
use super::sample::{Options, sample};
use super::values::{FEATURES, Score, VALUES, score};
use crate::error::Result;
use crate::input::Family;
use crate::model::Model;

/// What is measured, and on how much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Held-out prompts.
    pub prompts: usize,
    /// Replies to each, sampled from the model at temperature 1; neighbours are compared in pairs.
    pub replies: usize,
    /// Seed of the samples.
    pub seed: u64,
}

/// Forced choices under one wording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The rule.
    pub rule: String,
    /// Pairs with |c·Δf| > 0.3; the shares are of these.
    pub clear: usize,
    /// Share that agree with sign(c·Δf), each reply first in turn.
    pub first: f64,
    /// The same, the other order.
    pub second: f64,
    /// The same for the debiased log-odds (ab − ba)/2.
    pub debiased: f64,
    /// Mean |(ab + ba)/2| over all pairs: the preference for a place.
    pub position_bias: f64,
    /// Root mean square of the debiased log-odds over all pairs.
    pub strength: f64,
}

/// Everything measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// On how much.
    pub scope: Scope,
    /// Share of samples of the grammar.
    pub valid: f64,
    /// Share of samples that no other sample to their prompt repeats.
    pub distinct: f64,
    /// Mean number of words of a sample.
    pub words: f64,
    /// Correlation, within prompts, of log P(reply) with each value's visible part.
    pub generation: BTreeMap<String, f64>,
    /// One wording of each principle that the corpus has, by the principle's name.
    pub principles: BTreeMap<String, Choice>,
    /// Rules that name no value.
    pub placebos: BTreeMap<String, Choice>,
    /// Wordings that the corpus does not have, by what is new about them.
    pub held_out: BTreeMap<String, Vec<Choice>>,
    /// Mean debiased share over all held-out wordings.
    pub held_out_mean: f64,
    /// Mean position bias over principles.
    pub position_bias: f64,
}

/// Held-out situations in an order that depends on nothing but the world.
pub fn held_out_situations() -> Vec<Situation> {
    let mut all: Vec<Situation> = Situation::all().filter(Situation::held_out).collect();
    all.sort_by_key(|s| hash(&["order", &s.text()]));
    all
}

/// The rules that are measured: one a principle, and for each kind of novelty one or two.
fn rules() -> Vec<(Option<usize>, Rule)> {
    let mut out = Vec::new();
    for (principle, p) in PRINCIPLES.iter().enumerate() {
        let all = wordings(principle);
        let placebo = p.family == Family::Placebo;
        for novelty in [HeldOut::Nothing, HeldOut::Template, HeldOut::Adjective, HeldOut::Meeting] {
            if placebo && novelty != HeldOut::Nothing {
                continue;
            }
            out.extend(all.iter().find(|r| r.held_out == novelty).map(|r| (Some(principle), r.clone())));
        }
    }
    for pair in (0..PAIRS.len()).filter(|p| !PAIRS[*p].2) {
        out.extend(pair_wordings(pair).into_iter().take(2).map(|r| (None, r)));
    }
    out
}

/// Name of what is new about a wording.
fn novelty(held_out: HeldOut) -> &'static str {
    match held_out {
        HeldOut::Nothing => "nothing",
        HeldOut::Template => "template",
        HeldOut::Adjective => "adjective",
        HeldOut::Meeting => "template and adjective together",
        HeldOut::Pair => "pair of principles",
    }
}

/// Measures a model; `advance` may stop.
///
/// # Errors
/// What sampling and the forward refuse; what `advance` returns.
pub fn measure(model: &Model, scope: Scope, advance: &mut dyn FnMut(usize) -> Result<()>) -> Result<Metrics> {
    let situations: Vec<Situation> = held_out_situations().into_iter().take(scope.prompts).collect();
    let contexts: Vec<String> = situations.iter().map(context).collect();
    let options = Options { replies: scope.replies, temperature: 1.0, longest: 40, seed: scope.seed };
    let replies = sample(model, &contexts, options, advance)?;
    let scores: Vec<Vec<Score>> = situations
        .iter()
        .zip(&replies)
        .map(|(s, replies)| replies.iter().map(|r| score(s, r)).collect())
        .collect();
    let total = (scope.prompts * scope.replies) as f64;
    let count = |f: &dyn Fn(usize, usize) -> bool| {
        let inside = |p: usize| (0..replies[p].len()).filter(|&r| f(p, r)).count();
        (0..replies.len()).map(inside).sum::<usize>() as f64 / total
    };
    let rules = rules();
    let choices = judge(model, &situations, &replies, &scores, &rules, advance)?;
    let mut metrics = Metrics {
        scope,
        valid: count(&|p, r| scores[p][r].fault.is_none()),
        distinct: replies.iter().map(|r| r.iter().collect::<BTreeSet<_>>().len()).sum::<usize>() as f64
            / total,
        words: replies.iter().flatten().map(|r| r.split(' ').count()).sum::<usize>() as f64 / total,
        generation: generation(model, &contexts, &replies, &scores, advance)?,
        principles: BTreeMap::new(),
        placebos: BTreeMap::new(),
        held_out: BTreeMap::new(),
        held_out_mean: 0.0,
        position_bias: 0.0,
    };
    for ((principle, rule), choice) in rules.iter().zip(choices) {
        match (principle, rule.held_out) {
            (Some(p), HeldOut::Nothing) => {
                let p = &PRINCIPLES[*p];
                let list =
                    if p.family == Family::Placebo { &mut metrics.placebos } else { &mut metrics.principles };
                list.insert(p.name.to_owned(), choice);
            }
            (_, held_out) => metrics.held_out.entry(novelty(held_out).to_owned()).or_default().push(choice),
        }
    }
    let mean = |list: Vec<f64>| list.iter().sum::<f64>() / list.len().max(1) as f64;
    metrics.held_out_mean = mean(metrics.held_out.values().flatten().map(|c| c.debiased).collect());
    metrics.position_bias = mean(metrics.principles.values().map(|c| c.position_bias).collect());
    Ok(metrics)
}

fn judge(
    model: &Model,
    situations: &[Situation],
    replies: &[Vec<String>],
    scores: &[Vec<Score>],
    rules: &[(Option<usize>, Rule)],
    advance: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Choice>> {
    let mut tallies = vec![Tally::default(); rules.len()];
    for ((situation, replies), scores) in situations.iter().zip(replies).zip(scores) {
        let pairs: Vec<(usize, usize)> = (0..replies.len() / 2).map(|i| (2 * i, 2 * i + 1)).collect();
        let asked: Vec<Asked<'_>> = pairs
            .iter()
            .flat_map(|&(a, b)| {
                let replies = [replies[a].as_str(), replies[b].as_str()];
                rules.iter().map(move |(_, rule)| Asked { situation, replies, rule: &rule.text })
            })
            .collect();
        let odds = ask::odds(model, &asked, advance)?;
        for (&(a, b), odds) in pairs.iter().zip(odds.chunks(rules.len())) {
            let difference: [f64; FEATURES] =
                std::array::from_fn(|f| scores[a].features[f] - scores[b].features[f]);
            for (((_, rule), tally), [ab, ba]) in rules.iter().zip(&mut tallies).zip(odds) {
                tally.add(preference(&rule.prefers, &difference), *ab, *ba);
            }
        }
    }
    Ok(rules.iter().zip(tallies).map(|((_, rule), t)| t.finish(&rule.text)).collect())
}

/// Running counts of one rule.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    pairs: usize,
    clear: usize,
    right: [usize; 3],
    bias: f64,
    square: f64,
}

impl Tally {
    fn add(&mut self, contrast: f64, ab: f64, ba: f64) {
        let debiased = (ab - ba) / 2.0;
        self.pairs += 1;
        self.bias += ((ab + ba) / 2.0).abs();
        self.square += debiased * debiased;
        if contrast.abs() > CLEAR {
            self.clear += 1;
            for (right, odds) in self.right.iter_mut().zip([ab, -ba, debiased]) {
                *right += usize::from((odds > 0.0) == (contrast > 0.0));
            }
        }
    }

    fn finish(self, rule: &str) -> Choice {
        let share = |n: usize| n as f64 / self.clear.max(1) as f64;
        let n = self.pairs.max(1) as f64;
        Choice {
            rule: rule.to_owned(),
            clear: self.clear,
            first: share(self.right[0]),
            second: share(self.right[1]),
            debiased: share(self.right[2]),
            position_bias: self.bias / n,
            strength: (self.square / n).sqrt(),
        }
    }
}

/// Correlation within prompts of log P with the visible part of each value.
fn generation(
    model: &Model,
    contexts: &[String],
    replies: &[Vec<String>],
    scores: &[Vec<Score>],
    advance: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<BTreeMap<String, f64>> {
    let logprob = ask::log_probs(model, contexts, replies, advance)?;
    let mut out = BTreeMap::new();
    for (v, name) in VALUES.iter().enumerate() {
        let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
        for (scores, x) in scores.iter().zip(&logprob) {
            let y: Vec<f64> = scores.iter().map(|s| s.features[v]).collect();
            let n = x.len() as f64;
            let (mx, my) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
            for (x, y) in x.iter().zip(&y) {
                xy += (x - mx) * (y - my);
                xx += (x - mx).powi(2);
                yy += (y - my).powi(2);
            }
        }
        out.insert((*name).to_owned(), xy / (xx * yy).sqrt());
    }
    Ok(out)
}
