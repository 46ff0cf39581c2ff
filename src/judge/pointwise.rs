//! Judges one response at a time: whether it agrees with the constitution, yes or no.
//!
//! The score of a response is the log-odds of yes against no, in nats. There is no order to average over; a bias
//! towards "yes" is the same for all responses to a prompt and cancels in every contrast.

use rayon::prelude::*;

use super::template::{JudgeTemplate, Mode, Question};
use super::{Answers, Cells, ask};
use crate::capture::job::placed;
use crate::error::{Diagnostic, Error, Kind, Result};
use crate::forest::{Request, Settings};
use crate::input::{Constitution, Item};
use crate::model::Model;
use crate::model::chat::Template;
use crate::store::Store;
use crate::units::Layer;

/// A response of an item, by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Index of the item.
    pub item: usize,
    /// Index of the response in the item.
    pub response: usize,
}

/// All questions: each response under each constitution.
#[derive(Debug, Clone, Default)]
pub struct Questions {
    /// The responses that can be judged.
    pub answers: Vec<Answer>,
    /// Number of constitutions.
    pub constitutions: usize,
    /// `[answers, constitutions]` requests.
    pub requests: Vec<Request>,
    /// Skipped responses, with the reason.
    pub skipped: Vec<Diagnostic>,
}

/// Renders and encodes all questions. A response that is too long under one constitution is skipped under all, so that
/// constitutions are compared on the same responses.
///
/// # Errors
/// [`Kind::AnswerTokens`]; without `skip_bad`, the first question that is too long; `Unsupported` for a
/// pairwise template.
pub fn questions(
    model: &Model,
    judge: &JudgeTemplate,
    chat: &Template,
    items: &[Item],
    constitutions: &[&Constitution],
    answers: &[Answer],
    skip_bad: bool,
) -> Result<Questions> {
    if judge.mode != Mode::Pointwise {
        return Err(Diagnostic::new(Kind::Unsupported, "a pairwise judge template for pointwise judging")
            .expected("mode = \"pointwise\"")
            .into());
    }
    let asked: Vec<Result<Vec<Request>>> = answers
        .par_iter()
        .map(|answer| {
            let item = &items[answer.item];
            let one = |constitution: &&Constitution| {
                let question = Question {
                    constitution: &constitution.text,
                    prompt: &item.prompt,
                    first: &item.responses[answer.response].text,
                    second: "",
                };
                ask(model, judge, chat, &question)
                    .map_err(|e| placed(e, item, answer.response, &constitution.name))
            };
            constitutions.iter().map(one).collect()
        })
        .collect();
    let mut out = Questions { constitutions: constitutions.len(), ..Questions::default() };
    for (answer, result) in answers.iter().zip(asked) {
        match result {
            Ok(requests) => {
                out.answers.push(*answer);
                out.requests.extend(requests);
            }
            Err(Error::Diagnostic(diagnostic)) if skip_bad && diagnostic.kind == Kind::TooLong => {
                out.skipped.push(*diagnostic);
            }
            Err(e) => return Err(e),
        }
    }
    Ok(out)
}

/// Computes the scores missing from the store and returns all of them, one entry per constitution. `progress` is as in
/// [`crate::capture::fill`].
///
/// # Errors
/// Errors of the forward pass, of `progress` and of the file system.
pub fn scores(
    model: &Model,
    questions: &Questions,
    cells: &Cells<'_>,
    settings: &Settings,
    store: &Store,
    items: &[Item],
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Answers>> {
    let place = |i: usize| {
        let answer = i / questions.constitutions.max(1);
        items[questions.answers[answer].item].place.clone()
    };
    cells.answers(&model.decoder, settings, store, &place, progress)
}

impl Questions {
    /// The questions as cells, with the states at `layers`.
    pub fn cells<'a>(&'a self, job: &'a str, layers: &'a [Layer]) -> Cells<'a> {
        let (requests, constitutions) = (&self.requests[..], self.constitutions);
        Cells { name: "point", requests, constitutions, orders: 1, job, layers }
    }
}
