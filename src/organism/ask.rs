//! Queries to a model of this world: log P of replies, and forced choices between two of them.

use super::corpus::question;
use super::reply::Situation;
use crate::error::{Place, Result};
use crate::forest::{self, Pool, Request, Settings};
use crate::model::Model;
use crate::units::TokenSpan;

/// The text before a reply.
pub fn context(situation: &Situation) -> String {
    format!("user : {} bot :", situation.text())
}

/// Settings of a forward pass that reads only answers and log-probabilities.
fn settings() -> Settings {
    Settings {
        layers: Vec::new(),
        pool: Pool::Mean,
        chunk_tokens: 4096,
        memory: None,
        steering: Default::default(),
    }
}

/// log P of each text given its context, in nats; texts grouped by context.
///
/// # Errors
/// Errors of the encoder, the forward pass and `advance`.
pub(super) fn log_probs(
    model: &Model,
    contexts: &[String],
    replies: &[Vec<String>],
    advance: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Vec<f64>>> {
    let mut requests = Vec::new();
    for (context, replies) in contexts.iter().zip(replies) {
        let start = model.encoder.encode(context)?.len();
        for reply in replies {
            let tokens = model.encoder.encode(&format!("{context} {reply}"))?;
            let response = Some(TokenSpan { start, end: tokens.len() });
            requests.push(Request { tokens, response, logprob: true, answers: None });
        }
    }
    let readings = forest::run(&model.decoder, &requests, &settings(), &|_| Place::default(), advance)?;
    let mut readings = readings.iter();
    Ok(replies.iter().map(|r| readings.by_ref().take(r.len()).map(|r| r.logprob).collect()).collect())
}

/// A choice between two replies to a situation under a rule.
pub(super) struct Query<'a> {
    pub(super) situation: &'a Situation,
    pub(super) replies: [&'a str; 2],
    pub(super) rule: &'a str,
}

/// Log-odds of the answer A against B for each choice: as given, and with the replies swapped.
///
/// # Errors
/// Errors of the encoder, the forward pass and `advance`.
pub(super) fn odds(
    model: &Model,
    asked: &[Query<'_>],
    advance: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<[f64; 2]>> {
    let answers = [model.encoder.encode("A")?[0], model.encoder.encode("B")?[0]];
    let mut requests = Vec::with_capacity(2 * asked.len());
    for Query { situation, replies: [a, b], rule } in asked {
        for (x, y) in [(a, b), (b, a)] {
            let text = format!("user : {} A : {x} B : {y} {}", situation.text(), question(rule, true));
            let tokens = model.encoder.encode(&text)?;
            requests.push(Request { tokens, response: None, logprob: false, answers: Some(answers) });
        }
    }
    let place = |i: usize| Place::default().id(asked[i / 2].situation.text());
    let readings = forest::run(&model.decoder, &requests, &settings(), &place, advance)?;
    let odds = |r: &forest::Output| r.answers[0] - r.answers[1];
    Ok(readings.chunks_exact(2).map(|r| [odds(&r[0]), odds(&r[1])]).collect())
}
