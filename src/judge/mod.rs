//! Forced choices under a constitution, in both orders, and [`pointwise`] questions.
//!
//! J_c(y1 ≻ y2 | x): the model reads constitution, prompt and both responses and chooses; the log-odds of the two
//! answer tokens in both orders give ℓ = (ab − ba)/2, free of any preference for a position, and the position bias (ab
//! + ba)/2.

mod cells;
pub mod pointwise;
mod states;
mod template;

use rayon::prelude::*;

pub use cells::{Answers, Cells, CellsState};
pub use states::States;
pub use template::{Form, JudgeTemplate, Mode, Question};

use crate::capture::job::{check_length, placed};
use crate::error::{Diagnostic, Error, Kind, Result};
use crate::forest::{Request, Settings};
use crate::input::{Constitution, Item};
use crate::model::Model;
use crate::model::chat::Template;
use crate::store::Store;
use crate::units::Layer;

/// Two responses of one item, by their indices in the item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Index of the item.
    pub item: usize,
    /// Index of the response shown first in `ab`.
    pub a: usize,
    /// Index of the response shown first in `ba`.
    pub b: usize,
}

/// The pairs to judge among the given responses of an item: the single pair of two responses, or for K > 2 the K pairs
/// of a ring, which is connected and has one cycle, so that inconsistency can be measured.
pub fn ring(item: usize, responses: &[usize]) -> Vec<Pair> {
    match *responses {
        [] | [_] => Vec::new(),
        [a, b] => vec![Pair { item, a, b }],
        _ => (0..responses.len())
            .map(|i| Pair { item, a: responses[i], b: responses[(i + 1) % responses.len()] })
            .collect(),
    }
}

/// All questions: for each pair and constitution, two orders.
#[derive(Debug, Clone, Default)]
pub struct JudgeBatch {
    /// The pairs that can be judged.
    pub pairs: Vec<Pair>,
    /// Number of constitutions.
    pub constitutions: usize,
    /// `[pairs, constitutions, 2]` requests: `ab`, then `ba`.
    pub requests: Vec<Request>,
    /// Skipped pairs, with the reason.
    pub skipped: Vec<Diagnostic>,
}

/// Log-odds of the answer shown first, under one constitution, in both orders.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Judgement {
    /// With the pair's first response shown first, `[pairs]`.
    pub ab: Vec<f32>,
    /// With the pair's second response shown first, `[pairs]`.
    pub ba: Vec<f32>,
    /// Logit lens readings at each kept layer, debiased like (ab − ba)/2, `[pairs, layers]`.
    pub lens: Vec<f32>,
}

/// Renders and encodes all questions. A pair that is too long under one constitution is skipped under all, so that
/// constitutions are compared on the same pairs.
///
/// # Errors
/// [`Kind::AnswerTokens`]; without `skip_bad`, the first pair that is too long.
pub fn judge_batch(
    model: &Model,
    judge: &JudgeTemplate,
    chat: &Template,
    items: &[Item],
    constitutions: &[&Constitution],
    pairs: &[Pair],
    skip_bad: bool,
) -> Result<JudgeBatch> {
    if judge.mode != Mode::Pairwise {
        return Err(Diagnostic::new(Kind::Unsupported, "a pointwise judge template for pairwise judging")
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
    let mut judge_batch = JudgeBatch { constitutions: constitutions.len(), ..JudgeBatch::default() };
    for (pair, result) in pairs.iter().zip(asked) {
        match result {
            Ok(requests) => {
                judge_batch.pairs.push(*pair);
                judge_batch.requests.extend(requests);
            }
            Err(Error::Diagnostic(diagnostic)) if skip_bad && diagnostic.kind == Kind::TooLong => {
                judge_batch.skipped.push(*diagnostic);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(judge_batch)
}

/// Renders and encodes a question; its tokens end at the answer's position.
///
/// # Errors
/// Errors of the template, [`Kind::AnswerTokens`], and [`Kind::TooLong`] beyond the model's context.
pub fn ask(
    model: &Model,
    judge: &JudgeTemplate,
    chat: &Template,
    question: &Question<'_>,
) -> Result<Request> {
    let text = judge.render(question, chat)?;
    let (tokens, answers) = judge.encode(model, &text)?;
    check_length(model, tokens.len() + 1)?;
    Ok(Request { tokens, response: None, logprob: false, answers: Some(answers) })
}

/// Computes the choices missing from the store and returns all of them, one judgement per constitution; the residual
/// streams at the answers are also kept at `layers` ([`Cells::states`]). `job` and `progress` are as in
/// [`crate::capture::fill`].
///
/// # Errors
/// Errors of the forward pass, of `progress` and of the file system.
pub fn judge(
    model: &Model,
    judge_batch: &JudgeBatch,
    cells: &Cells<'_>,
    settings: &Settings,
    store: &Store,
    items: &[Item],
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Judgement>> {
    let place = |i: usize| {
        let pair = i / (2 * judge_batch.constitutions.max(1));
        items[judge_batch.pairs[pair].item].place.clone()
    };
    let answers = cells.answers(&model.decoder, settings, store, &place, progress)?;
    let order = |odds: &[f32], order: usize| odds.iter().copied().skip(order).step_by(2).collect();
    let width = cells.layers.len();
    let lens = |both: &[f32]| {
        let halves = both.chunks_exact(2 * width.max(1)).flat_map(|pair| {
            let (ab, ba) = pair.split_at(width);
            ab.iter().zip(ba).map(|(ab, ba)| (ab - ba) / 2.0)
        });
        halves.collect()
    };
    Ok(answers
        .iter()
        .map(|a| Judgement { ab: order(&a.odds, 0), ba: order(&a.odds, 1), lens: lens(&a.lens) })
        .collect())
}

impl JudgeBatch {
    /// The questions as cells, with the states at `layers`.
    pub fn cells<'a>(&'a self, job: &'a str, layers: &'a [Layer]) -> Cells<'a> {
        let (requests, constitutions) = (&self.requests[..], self.constitutions);
        Cells { name: "judge", requests, constitutions, orders: 2, job, layers }
    }
}
