//! The paper's full loop on the known-answer model: it judges its own replies under a rule, is trained on these
//! judgments, and the oracle measures the change in the values, compared with the prediction of Theorem 3.

use serde::{Deserialize, Serialize};

use super::ask::{self, Query, context};
use super::folder;
use super::metrics::{held_out_situations, situations};
use super::preference::{self, Pair};
use super::reply::Situation;
use super::sample::{Options, Sample, sample, sample_whole};
use super::values::{VALUES, score};
use crate::error::{Diagnostic, Kind, Result};
use crate::model::Model;
use crate::theory::base::mean::mean_by_block;

/// Settings of the loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The rule to judge by, in the world's words.
    pub rule: String,
    /// λ in units of 1/sd(r), where r is the judge's reward within prompts.
    pub lambda_sd: f64,
    /// Number of pairs of replies to judge and train on.
    pub pairs: usize,
    /// Number of training steps of 32 pairs.
    pub steps: usize,
    /// Number of held-out prompts on which gain and prediction are measured.
    pub prompts: usize,
    /// Number of replies per prompt.
    pub replies: usize,
    /// Seed for samples and order.
    pub seed: u64,
}

/// A mean and its standard error over groups of prompts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// The mean.
    pub mean: f64,
    /// Its standard error.
    pub se: f64,
}

/// Predicted and measured change of a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Name of the value.
    pub value: String,
    /// λ · Cov(S, r), the first-order gain at the λ of the training (Theorem 13).
    pub predicted: Mean,
    /// √(2 KL)/sd(r) · Cov(S, r): the first-order gain at the divergence reached by training.
    pub predicted_at_kl: Mean,
    /// Mean S of the trained model's replies minus that of the original model's.
    pub measured: Mean,
}

/// Results of the loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Settings used.
    pub settings: Settings,
    /// λ per nat of log-odds.
    pub lambda: f64,
    /// sd of the reward within prompts, in nats of log-odds.
    pub reward_sd: f64,
    /// Σ(βΔ − ℓ)²/Σℓ² over the last tenth of the steps: 0 at the optimum of Proposition 2.
    pub miss: f64,
    /// Divergence of the trained model from the original one, in nats per reply.
    pub kl: Mean,
    /// Changes of the values.
    pub changes: Vec<Change>,
}

/// The trained model with the measured results.
pub struct Trained {
    /// Measured results.
    pub outcome: Outcome,
    /// Sizes of the network.
    pub shape: super::net::Shape,
    /// Parameters after training.
    pub parameters: Vec<f32>,
}

/// Number of pairs per training step.
const PAIRS_PER_STEP: usize = 32;
/// Learning rate: a tenth of the pretraining's.
const RATE: f64 = 3e-4;

/// Runs the loop. `load` builds a model from parameters; `advance` receives the number of finished prompts and steps,
/// and may stop with an error.
///
/// # Errors
/// `Invalid` for settings without pairs, steps, prompts or a positive λ, or a judge that rates every pair alike; errors
/// of the model and of `advance`.
pub fn rlaif(
    base: &Model,
    settings: &Settings,
    load: &dyn Fn(&super::net::Shape, &[f32]) -> Result<Model>,
    advance: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Trained> {
    if settings.pairs == 0
        || settings.steps == 0
        || settings.prompts < 2
        || settings.replies < 2
        || settings.lambda_sd.is_nan()
        || settings.lambda_sd <= 0.0
    {
        return Err(Diagnostic::new(Kind::Invalid, "the settings of a preference training")
            .expected("pairs, steps, at least two prompts and replies, and a lambda above 0")
            .into());
    }
    let (shape, reference) = folder::read(base.files())?;
    let pairs = judged_pairs(base, settings, advance)?;
    let reward_sd = (pairs.iter().map(|p| p.odds * p.odds / 2.0).sum::<f64>() / pairs.len() as f64).sqrt();
    if reward_sd.is_nan() || reward_sd <= 0.0 {
        return Err(Diagnostic::new(Kind::Invalid, "the judge says the same of every pair")
            .found(format!("rule `{}`", settings.rule))
            .into());
    }
    let lambda = settings.lambda_sd / reward_sd;
    let how = preference::Settings {
        lambda,
        steps: settings.steps,
        pairs: PAIRS_PER_STEP,
        rate: RATE,
        seed: settings.seed,
    };
    let mut misses = Vec::with_capacity(settings.steps);
    let parameters = preference::optimise(&shape, &reference, &pairs, how, &mut |miss| {
        misses.push(miss);
        advance(1)
    })?;
    let tail = &misses[misses.len() - misses.len().div_ceil(10)..];
    let miss = tail.iter().sum::<f64>() / tail.len() as f64;
    let tuned = load(&shape, &parameters)?;
    let (kl, changes) = measure(base, &tuned, settings, lambda, advance)?;
    let settings = settings.clone();
    Ok(Trained { outcome: Outcome { settings, lambda, reward_sd, miss, kl, changes }, shape, parameters })
}

/// Pairs of the model's own replies to training prompts, with its own judgments of them.
fn judged_pairs(
    model: &Model,
    settings: &Settings,
    advance: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Pair>> {
    let situations = situations(false, settings.seed, settings.pairs);
    let contexts: Vec<String> = situations.iter().map(context).collect();
    let options = Options { replies: 2, temperature: 1.0, longest: 40, seed: settings.seed };
    let replies = sample_whole(model, &contexts, options, advance)?;
    let asked: Vec<(Situation, [&str; 2])> = situations
        .iter()
        .zip(&replies)
        .map(|(s, r)| (*s, [r[0].text.as_str(), r[1].text.as_str()]))
        .collect();
    let odds = judge(model, &settings.rule, &asked, advance)?;
    Ok(contexts
        .into_iter()
        .zip(replies)
        .zip(odds)
        .filter_map(|((context, replies), odds)| {
            let replies: [Sample; 2] = replies.try_into().ok()?;
            let said = replies.iter().all(|r| !r.text.is_empty());
            said.then(|| Pair { context, replies: replies.each_ref().map(Sample::whole), odds })
        })
        .collect())
}

/// Debiased log-odds that the first reply of each pair is better under the rule.
fn judge(
    model: &Model,
    rule: &str,
    pairs: &[(Situation, [&str; 2])],
    advance: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<f64>> {
    let asked: Vec<Query<'_>> =
        pairs.iter().map(|(situation, replies)| Query { situation, replies: *replies, rule }).collect();
    Ok(ask::odds(model, &asked, advance)?.into_iter().map(|[ab, ba]| (ab - ba) / 2.0).collect())
}

/// Gain and divergence on held-out prompts, and the predictions from the original model.
fn measure(
    base: &Model,
    tuned: &Model,
    settings: &Settings,
    lambda: f64,
    advance: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<(Mean, Vec<Change>)> {
    let situations: Vec<Situation> = held_out_situations(settings.prompts);
    let contexts: Vec<String> = situations.iter().map(context).collect();
    let options =
        Options { replies: settings.replies, temperature: 1.0, longest: 40, seed: settings.seed ^ 0x5eed };
    let before = sample(base, &contexts, options, advance)?;
    let said = sample_whole(tuned, &contexts, options, advance)?;
    let whole: Vec<Vec<String>> = said.iter().map(|r| r.iter().map(Sample::whole).collect()).collect();
    let after: Vec<Vec<String>> = said.into_iter().map(|r| r.into_iter().map(|r| r.text).collect()).collect();
    let groups: Vec<String> = situations.iter().map(Situation::group).collect();

    // Pairs of neighbours: E[(S₁ − S₂)·ℓ]/2 is the covariance of S and r within prompts.
    let couples: Vec<(usize, usize)> = (0..before.len())
        .flat_map(|p| (0..before[p].len() / 2).map(move |i| (p, 2 * i)))
        .filter(|&(p, i)| !before[p][i].is_empty() && !before[p][i + 1].is_empty())
        .collect();
    let asked: Vec<(Situation, [&str; 2])> = couples
        .iter()
        .map(|&(p, i)| (situations[p], [before[p][i].as_str(), before[p][i + 1].as_str()]))
        .collect();
    let odds = judge(base, &settings.rule, &asked, advance)?;
    let variance = odds.iter().map(|o| o * o / 2.0).sum::<f64>() / odds.len().max(1) as f64;

    let gained = ask::log_probs(tuned, &contexts, &whole, advance)?;
    let had = ask::log_probs(base, &contexts, &whole, advance)?;
    let ratio: Vec<Vec<f64>> =
        gained.iter().zip(&had).map(|(a, b)| a.iter().zip(b).map(|(a, b)| a - b).collect()).collect();
    let kl =
        mean_by_group(&groups, ratio.iter().enumerate().flat_map(|(p, r)| r.iter().map(move |&x| (p, x))));

    let mut changes = Vec::new();
    for (v, name) in VALUES.iter().enumerate() {
        let of = |p: usize, reply: &str| score(&situations[p], reply).values[v];
        let products = couples
            .iter()
            .zip(&odds)
            .map(|(&(p, i), odds)| (p, (of(p, &before[p][i]) - of(p, &before[p][i + 1])) * odds / 2.0));
        let slope = mean_by_group(&groups, products);
        let difference = (0..situations.len()).filter_map(|p| {
            let mean = |replies: &[String]| {
                let said: Vec<f64> = replies.iter().filter(|r| !r.is_empty()).map(|r| of(p, r)).collect();
                (!said.is_empty()).then(|| said.iter().sum::<f64>() / said.len() as f64)
            };
            Some((p, mean(&after[p])? - mean(&before[p])?))
        });
        let at_kl = (2.0 * kl.mean.max(0.0) / variance).sqrt();
        let scaled = |by: f64| Mean { mean: by * slope.mean, se: by * slope.se };
        changes.push(Change {
            value: (*name).to_owned(),
            predicted: scaled(lambda),
            predicted_at_kl: scaled(at_kl),
            measured: mean_by_group(&groups, difference),
        });
    }
    Ok((kl, changes))
}

/// Mean over all cells, with its standard error over groups of prompts; NaN without any.
fn mean_by_group(groups: &[String], cells: impl Iterator<Item = (usize, f64)>) -> Mean {
    let cells = cells.map(|(prompt, x)| (&groups[prompt], x));
    mean_by_block(cells)
        .map_or(Mean { mean: f64::NAN, se: f64::NAN }, |found| Mean { mean: found.mean, se: found.se })
}
