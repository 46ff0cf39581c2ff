//! Forced choices under a constitution, both orders; and [`pointwise`] questions.
//!
//! J_c(y1 ≻ y2 | x): the model reads constitution, prompt and both responses and chooses; the log-odds
//! of the two answer tokens in both orders give ℓ = (ab − ba)/2, free of any preference for a place,
//! and the position bias (ab + ba)/2.

pub mod pointwise;
mod template;

use std::ops::Range;

use ndarray::{ArrayD, IxDyn};
use rayon::prelude::*;

pub use template::{Form, JudgeTemplate, Mode, Question};

use crate::capture::Sharded;
use crate::capture::job::{check_length, fingerprint, placed};
use crate::error::{Error, Kind, Refusal, Result};
use crate::forest::{Reading, Request, Settings};
use crate::input::{Constitution, Item};
use crate::model::Model;
use crate::model::chat::Template;
use crate::store::{Shard, Store};

/// Two responses of one item, by their numbers in the item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The item.
    pub item: usize,
    /// The response that is first in `ab`.
    pub a: usize,
    /// The response that is first in `ba`.
    pub b: usize,
}

/// The pairs to judge among some responses of an item: both for two, and for K > 2 the K pairs of a
/// ring, which is connected and has one cycle, so that inconsistency can be seen.
pub fn ring(item: usize, responses: &[usize]) -> Vec<Pair> {
    match *responses {
        [] | [_] => Vec::new(),
        [a, b] => vec![Pair { item, a, b }],
        _ => (0..responses.len())
            .map(|i| Pair { item, a: responses[i], b: responses[(i + 1) % responses.len()] })
            .collect(),
    }
}

/// Everything to be asked: for each pair and constitution, two orders.
#[derive(Debug, Clone, Default)]
pub struct Docket {
    /// The pairs that can be judged.
    pub pairs: Vec<Pair>,
    /// Number of constitutions.
    pub constitutions: usize,
    /// `[pairs, constitutions, 2]` requests: `ab`, then `ba`.
    pub requests: Vec<Request>,
    /// Pairs left out, with the reason.
    pub skipped: Vec<Refusal>,
}

/// Log-odds of the answer shown first, for each constitution, in both orders.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judgement {
    /// `[pairs]`, the pair's first response in first place.
    pub ab: Vec<f32>,
    /// `[pairs]`, the pair's second response in first place.
    pub ba: Vec<f32>,
}

/// Renders and encodes all questions. A pair that is too long under one constitution is left out under
/// all, so that constitutions are compared on the same pairs.
///
/// # Errors
/// [`Kind::AnswerTokens`]; without `skip_bad`, the first pair that is too long.
pub fn docket(
    model: &Model,
    judge: &JudgeTemplate,
    chat: &Template,
    items: &[Item],
    constitutions: &[&Constitution],
    pairs: &[Pair],
    skip_bad: bool,
) -> Result<Docket> {
    if judge.mode != Mode::Pairwise {
        return Err(Refusal::new(Kind::Unsupported, "a pointwise judge template for pairwise judging")
            .expected("mode = \"pairwise\"")
            .into());
    }
    let asked: Vec<Result<Vec<Request>>> = pairs
        .par_iter()
        .map(|pair| {
            let item = &items[pair.item];
            let mut requests = Vec::with_capacity(2 * constitutions.len());
            for constitution in constitutions {
                for (first, second) in [(pair.a, pair.b), (pair.b, pair.a)] {
                    let question = Question {
                        constitution: &constitution.text,
                        prompt: &item.prompt,
                        first: &item.responses[first].text,
                        second: &item.responses[second].text,
                    };
                    let request = ask(model, judge, chat, &question)
                        .map_err(|e| placed(e, item, first, &constitution.name))?;
                    requests.push(request);
                }
            }
            Ok(requests)
        })
        .collect();
    let mut docket = Docket { constitutions: constitutions.len(), ..Docket::default() };
    for (pair, result) in pairs.iter().zip(asked) {
        match result {
            Ok(requests) => {
                docket.pairs.push(*pair);
                docket.requests.extend(requests);
            }
            Err(Error::Refused(refusal)) if skip_bad && refusal.kind == Kind::TooLong => {
                docket.skipped.push(*refusal);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(docket)
}

fn ask(model: &Model, judge: &JudgeTemplate, chat: &Template, question: &Question<'_>) -> Result<Request> {
    let text = judge.render(question, chat)?;
    let (tokens, answers) = judge.encode(model, &text)?;
    check_length(model, tokens.len() + 1)?;
    Ok(Request { tokens, response: None, answers: Some(answers) })
}

/// Requests in a shard.
const REQUESTS: usize = 1024;

/// Pairs in a shard; pairs of neighbouring items stand together, with all constitutions, since these
/// share the pair as their prefix.
fn pairs_per_shard(constitutions: usize) -> usize {
    (REQUESTS / (2 * constitutions.max(1))).max(1)
}

/// Computes the choices that the store does not hold yet and returns all of them, one judgement a
/// constitution. `job` and `progress` are as in [`crate::capture::fill`].
///
/// # Errors
/// What the forward refuses, what `progress` returns, what the file system says.
pub fn judge(
    model: &Model,
    docket: &Docket,
    job: &str,
    settings: &Settings,
    store: &Store,
    items: &[Item],
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Judgement>> {
    let constitutions = docket.constitutions;
    let per_pair = 2 * constitutions;
    let step = pairs_per_shard(constitutions);
    let ranges: Vec<Range<usize>> = (0..docket.pairs.len())
        .step_by(step)
        .map(|start| start * per_pair..(start + step).min(docket.pairs.len()) * per_pair)
        .collect();
    let key = |range: &Range<usize>| format!("judge-{:08}", range.start / per_pair);
    let keep = |range: &Range<usize>, readings: &[Reading]| -> Shard {
        let odds = readings.iter().map(|r| (r.answers[0] - r.answers[1]) as f32).collect();
        let shape = IxDyn(&[range.len() / per_pair, constitutions, 2]);
        let odds = ArrayD::from_shape_vec(shape, odds).expect("one reading a request");
        [("odds".to_owned(), odds)].into_iter().collect()
    };
    let sharded = Sharded {
        ranges: ranges.clone(),
        requests: &|range| docket.requests[range.clone()].to_vec(),
        key: &key,
        keep: &keep,
        place: &|i| items[docket.pairs[i / per_pair].item].place.clone(),
        job,
    };
    sharded.fill(&model.decoder, settings, store, progress)?;
    let mut judgements = vec![Judgement::default(); constitutions];
    for range in &ranges {
        let shard = store.get(&key(range), &fingerprint(job, &docket.requests[range.clone()]));
        let odds = match &shard {
            Some(shard) => &shard["odds"],
            None => {
                return Err(Refusal::new(Kind::RunConflict, "judgments vanished while the judge ran")
                    .found(format!("no shard {}", key(range)))
                    .remedy("run the same command again")
                    .into());
            }
        };
        for pair in 0..range.len() / per_pair {
            for (c, judgement) in judgements.iter_mut().enumerate() {
                judgement.ab.push(odds[[pair, c, 0]]);
                judgement.ba.push(odds[[pair, c, 1]]);
            }
        }
    }
    Ok(judgements)
}
