//! Measures a trained model on held-out prompts against the program that defines the true values.

use std::collections::{BTreeMap, BTreeSet};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::ask::{self, Query, context};
use super::composition::{self, Learned};
use super::curriculum::CLEAR;
use super::principles::{HeldOut, PAIRS, PRINCIPLES, Rule, pair_wordings, preference, wordings};
use super::reply::Situation;
use super::sample::{Options, sample};
use super::values::{FEATURES, Score, VALUES, features, score};
use super::{oracle, policy};
use crate::error::Result;
use crate::input::Family;
use crate::model::Model;

/// Size of the measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Number of held-out prompts.
    pub prompts: usize,
    /// Number of replies per prompt, sampled from the model at temperature 1; neighbours are compared in pairs.
    pub replies: usize,
    /// Seed for sampling.
    pub seed: u64,
}

/// Results of forced choices under one wording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Text of the rule.
    pub rule: String,
    /// Number of pairs with |c·Δf| > 0.3; the shares refer to these.
    pub clear: usize,
    /// Share that agree with sign(c·Δf), in the first of both orders.
    pub first: f64,
    /// The same in the second order.
    pub second: f64,
    /// The same for the debiased log-odds (ab − ba)/2.
    pub debiased: f64,
    /// Mean |(ab + ba)/2| over all pairs: the preference for a position.
    pub position_bias: f64,
    /// Root mean square of the debiased log-odds, over all pairs.
    pub strength: f64,
}

/// Change in a speaker's log-probability of a reply per standard deviation of a value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lean {
    /// Slope of log π_η − log π₀ on f_v, in nats, for the η of the training: the world's own speaker.
    pub expected: f64,
    /// Slope of the model's log P − log π₀ on f_v over the same replies, in nats.
    pub measured: f64,
    /// Standard error of the difference between `measured` and `expected`, over prompts.
    pub se: f64,
    /// Correlation of log π_η with f_v.
    pub expected_correlation: f64,
    /// Correlation of the model's log P with f_v.
    pub correlation: f64,
}

/// All measurements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// Size of the measurement.
    pub scope: Scope,
    /// Share of samples that follow the grammar.
    pub valid: f64,
    /// Share of samples that differ from all other samples for their prompt.
    pub distinct: f64,
    /// Mean number of words of a sample.
    pub words: f64,
    /// By value: how far the speaker leans towards it, compared with what the share η of tilted replies implies.
    pub generation: BTreeMap<String, Lean>,
    /// By rule of composition: results on pairs of replies that differ in one sign.
    pub composition: BTreeMap<String, Learned>,
    /// By principle name: results for one wording in the corpus.
    pub principles: BTreeMap<String, Choice>,
    /// By name: results for rules that name no value.
    pub placebos: BTreeMap<String, Choice>,
    /// Results for wordings absent from the corpus, by what is new about them.
    pub held_out: BTreeMap<String, Vec<Choice>>,
    /// Mean debiased share over all held-out wordings.
    pub held_out_mean: f64,
    /// Mean position bias over principles.
    pub position_bias: f64,
}

/// The first held-out situations of a sequence that depends only on the world, all distinct.
pub fn held_out_situations(count: usize) -> Vec<Situation> {
    situations(true, 0, count)
}

/// Situations that are held out, or not, drawn with a seed, all distinct.
pub fn situations(held_out: bool, seed: u64, count: usize) -> Vec<Situation> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut seen = BTreeSet::new();
    let mut out = Vec::with_capacity(count);
    while out.len() < count {
        let drawn = Situation::draw_held_out(held_out, &mut rng);
        if seen.insert(drawn) {
            out.push(drawn);
        }
    }
    out
}

/// The measured rules: one per principle, and one or two for each kind of novelty.
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

/// Name of the novel part of a wording.
fn novelty(held_out: HeldOut) -> &'static str {
    match held_out {
        HeldOut::Nothing => "nothing",
        HeldOut::Template => "template",
        HeldOut::Adjective => "adjective",
        HeldOut::Meeting => "template and adjective together",
        HeldOut::Pair => "pair of principles",
    }
}

/// Measures a model that was trained on a share η of tilted replies; `advance` may stop with an error.
///
/// # Errors
/// Errors of sampling, of the forward pass and of `advance`.
pub fn measure(
    model: &Model,
    scope: Scope,
    eta: f64,
    advance: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Metrics> {
    let situations: Vec<Situation> = held_out_situations(scope.prompts);
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
        generation: generation(model, &situations, &replies, eta, advance)?,
        composition: composition::measure(model, scope.seed, advance)?,
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
        let asked: Vec<Query<'_>> = pairs
            .iter()
            .flat_map(|&(a, b)| {
                let replies = [replies[a].as_str(), replies[b].as_str()];
                rules.iter().map(move |(_, rule)| Query { situation, replies, rule: &rule.text })
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

/// Running counts for one rule.
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

/// Log-probabilities of one reply of the grammar, and its features.
struct ScoredReply {
    prompt: usize,
    features: [f64; FEATURES],
    /// log P of the model, log π_η, log π₀.
    logs: [f64; 3],
}

/// How far the model leans towards each value, over its own replies that follow the grammar.
fn generation(
    model: &Model,
    situations: &[Situation],
    replies: &[Vec<String>],
    eta: f64,
    advance: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<BTreeMap<String, Lean>> {
    let contexts: Vec<String> = situations.iter().map(context).collect();
    // P(<eos>) at the end of a reply is one half whatever the reply's values, so it changes no slope.
    let whole: Vec<Vec<String>> =
        replies.iter().map(|r| r.iter().map(|text| format!("{text} <eos>")).collect()).collect();
    let logprob = ask::log_probs(model, &contexts, &whole, advance)?;
    let mut said = Vec::new();
    for (prompt, (situation, (replies, logs))) in
        situations.iter().zip(replies.iter().zip(&logprob)).enumerate()
    {
        for (text, log) in replies.iter().zip(logs) {
            let reading = oracle::read(text);
            if reading.valid() && policy::can_say(&reading.reply, situation) {
                said.push(ScoredReply {
                    prompt,
                    features: features(&reading.attributes(situation)),
                    logs: [
                        *log,
                        policy::log_prob_mixed(&reading.reply, situation, eta),
                        policy::log_prob(&reading.reply, situation),
                    ],
                });
            }
        }
    }
    Ok(VALUES.iter().enumerate().map(|(v, name)| ((*name).to_owned(), lean(&said, v))).collect())
}

fn lean(said: &[ScoredReply], value: usize) -> Lean {
    let n = said.len().max(1) as f64;
    let mean = |of: &dyn Fn(&ScoredReply) -> f64| said.iter().map(of).sum::<f64>() / n;
    let centre = mean(&|s| s.features[value]);
    let x = |s: &ScoredReply| s.features[value] - centre;
    let square = said.iter().map(|s| x(s).powi(2)).sum::<f64>();
    let slope = |of: &dyn Fn(&ScoredReply) -> f64| said.iter().map(|s| x(s) * of(s)).sum::<f64>() / square;
    let correlation = |log: usize| {
        let centre = mean(&|s| s.logs[log]);
        let spread = said.iter().map(|s| (s.logs[log] - centre).powi(2)).sum::<f64>();
        slope(&|s| s.logs[log]) * (square / spread).sqrt()
    };
    // The model's own errors: its log P minus that of the world's speaker, around their mean and slope.
    let missed = |s: &ScoredReply| s.logs[0] - s.logs[1];
    let (off, tilt) = (mean(&missed), slope(&missed));
    let mut by_prompt: BTreeMap<usize, f64> = BTreeMap::new();
    for s in said {
        *by_prompt.entry(s.prompt).or_default() += x(s) * (missed(s) - off - tilt * x(s));
    }
    Lean {
        expected: slope(&|s| s.logs[1] - s.logs[2]),
        measured: slope(&|s| s.logs[0] - s.logs[2]),
        se: by_prompt.values().map(|e| e * e).sum::<f64>().sqrt() / square,
        expected_correlation: correlation(1),
        correlation: correlation(0),
    }
}
