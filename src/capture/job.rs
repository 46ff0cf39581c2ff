//! Inputs of a capture: every (constitution, response), rendered, encoded and checked.

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::artifact;
use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::forest::Request;
use crate::input::{Constitution, Item};
use crate::model::Model;
use crate::model::chat::{Rendered, Template};
use crate::model::text::Encoded;

/// One row of the observations.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Index of the item.
    pub item: usize,
    /// Index of the response in the item.
    pub response: usize,
    /// Index of the constitution.
    pub constitution: usize,
    /// The tokens to read, with the span of the response.
    pub request: Request,
}

/// All rows of a capture, in the order of the observations: constitutions as given, then items, then responses.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// Rows of the capture.
    pub rows: Vec<Row>,
    /// Skipped rows, with the reason.
    pub skipped: Vec<Diagnostic>,
    /// Number of rows whose constitution was put at the start of the user message, because the template takes no system
    /// message.
    pub folded: usize,
}

/// Renders and encodes every response of every item under every constitution (`None`: the bare context). With
/// `skip_bad`, unreadable rows are skipped and listed; without it, the first one is an error.
///
/// # Errors
/// The first row's error: empty response, response not found or merged away, sequence longer than the model's context;
/// with the item's file, line and id.
pub fn encode(
    model: &Model,
    template: &Template,
    items: &[Item],
    constitutions: &[Option<Constitution>],
    skip_bad: bool,
) -> Result<Job> {
    let mut wanted = Vec::new();
    for constitution in 0..constitutions.len() {
        for (item, it) in items.iter().enumerate() {
            wanted.extend((0..it.responses.len()).map(|response| (constitution, item, response)));
        }
    }
    let rendered: Vec<Result<(Row, bool)>> = wanted
        .into_par_iter()
        .map(|(constitution, item, response)| {
            let it = &items[item];
            let under = constitutions[constitution].as_ref();
            let (encoded, rendered) =
                encode_one(model, template, it, response, under.map(|c| c.text.as_str()))
                    .map_err(|e| placed(e, it, response, under.map_or("none", |c| c.name.as_str())))?;
            let request = Request {
                tokens: encoded.ids,
                response: Some(encoded.response),
                logprob: true,
                answers: None,
            };
            Ok((Row { item, response, constitution, request }, rendered.folded))
        })
        .collect();
    let mut job = Job::default();
    for result in rendered {
        match result {
            Ok((row, folded)) => {
                job.rows.push(row);
                job.folded += usize::from(folded);
            }
            Err(Error::Diagnostic(diagnostic)) if skip_bad && skippable(diagnostic.kind) => {
                job.skipped.push(*diagnostic)
            }
            Err(e) => return Err(e),
        }
    }
    if job.rows.is_empty() {
        let mut diagnostic = Diagnostic::new(Kind::NotEstimable, "no response can be read by this model")
            .expected("at least one response that fits the model's context")
            .remedy("look at one of them with `vstar preview`");
        if let Some(first) = job.skipped.first() {
            diagnostic = diagnostic.found(format!("{} refused, the first: {first}", job.skipped.len()));
        }
        return Err(diagnostic.into());
    }
    Ok(job)
}

/// Renders and encodes one response.
///
/// # Errors
/// As [`encode`], without the item's place.
pub fn encode_one(
    model: &Model,
    template: &Template,
    item: &Item,
    response: usize,
    constitution: Option<&str>,
) -> Result<(Encoded, Rendered)> {
    let rendered = template.render(constitution, &item.prompt, &item.responses[response].text)?;
    let encoded = model.encoder.encode_response(&rendered.text, rendered.response.clone())?;
    check_length(model, encoded.ids.len())?;
    Ok((encoded, rendered))
}

/// Refuses a sequence longer than the model's context.
///
/// # Errors
/// [`Kind::TooLong`].
pub fn check_length(model: &Model, tokens: usize) -> Result<()> {
    let context = model.decoder.config().context;
    if tokens <= context {
        return Ok(());
    }
    Err(Diagnostic::new(Kind::TooLong, "the sequence is longer than the model's context")
        .expected(format!("at most {context} tokens"))
        .found(format!("{tokens} tokens"))
        .remedy("shorten the item, use a model with a longer context, or run with --skip-bad")
        .into())
}

/// Adds the item's file, line and id (with response and constitution) to an error.
pub fn placed(error: Error, item: &Item, response: usize, constitution: &str) -> Error {
    match error {
        Error::Diagnostic(mut diagnostic) => {
            let inner = diagnostic.place.file.take();
            diagnostic.place = item.place.clone();
            diagnostic.place.id =
                Some(format!("{}, response {response}, constitution {constitution}", item.id));
            if let Some(template) = inner {
                diagnostic.what = format!("{} (template {})", diagnostic.what, template.display());
            }
            Error::Diagnostic(diagnostic)
        }
        other => other,
    }
}

/// Error kinds that concern a single row rather than the whole job.
fn skippable(kind: Kind) -> bool {
    matches!(kind, Kind::EmptyResponse | Kind::ResponseNotFound | Kind::ResponseMerged | Kind::TooLong)
}

/// Hash of everything that determines the results of these requests, given the job's own description.
pub fn fingerprint<'a>(job: &str, requests: impl IntoIterator<Item = &'a Request>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(job.as_bytes());
    for request in requests {
        hasher.update((request.tokens.len() as u64).to_le_bytes());
        for token in &request.tokens {
            hasher.update(token.to_le_bytes());
        }
        hasher.update(format!("{:?}{:?}", request.response, request.answers));
        if request.response.is_some() && !request.logprob {
            hasher.update("without log P");
        }
    }
    artifact::hex(&hasher.finalize())
}

/// Location of a row in the user's files, for errors.
pub fn place_of(row: &Row, items: &[Item], constitutions: &[Option<Constitution>]) -> Place {
    let item = &items[row.item];
    let name = constitutions[row.constitution].as_ref().map_or("none", |c| c.name.as_str());
    item.place.clone().id(format!("{}, response {}, constitution {name}", item.id, row.response))
}
