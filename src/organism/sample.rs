//! Samples replies in the world's words from a model.

use super::lexicon::LEXICON;
use crate::error::{Place, Result};
use crate::generation::batches::Size;
use crate::generation::{self, Choice, Context, End, Reply, generate, seed_of};
use crate::model::Model;

/// Sampling settings.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Number of replies per prompt.
    pub replies: usize,
    /// Temperature; 0 selects the likeliest word.
    pub temperature: f64,
    /// Maximum number of words in a reply.
    pub longest: usize,
    /// Random seed.
    pub seed: u64,
}

/// A sampled reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Words of the reply.
    pub text: String,
    /// The word that ended it; `None` for a reply truncated at the maximum length.
    pub end: Option<String>,
}

impl Sample {
    /// The words including the ending: everything that the model generated.
    pub fn whole(&self) -> String {
        self.end.as_ref().map_or_else(|| self.text.clone(), |end| format!("{} {end}", self.text))
    }
}

/// Samples replies to each context, a text that ends where the reply starts; a reply ends at `<eos>` or at a reader's
/// mark, which is not part of it. `advance` receives the number of finished contexts and may stop with an error.
///
/// # Errors
/// As [`generate`]; errors of `advance`.
pub fn sample(
    model: &Model,
    contexts: &[String],
    options: Options,
    advance: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Vec<String>>> {
    let said = sample_whole(model, contexts, options, advance)?;
    Ok(said.into_iter().map(|replies| replies.into_iter().map(|r| r.text).collect()).collect())
}

/// As [`sample`], with the word that ended each reply.
///
/// # Errors
/// As [`sample`].
pub fn sample_whole(
    model: &Model,
    contexts: &[String],
    options: Options,
    advance: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Vec<Sample>>> {
    let ends = LEXICON.ends();
    let contexts = contexts
        .iter()
        .enumerate()
        .map(|(i, context)| {
            let seeds = (0..options.replies).map(|r| seed_of(options.seed, &i.to_string(), r)).collect();
            Ok(Context { tokens: model.encoder.encode(context)?, seeds, place: Place::default() })
        })
        .collect::<Result<Vec<_>>>()?;
    let settings = generation::Options {
        choice: Choice { temperature: options.temperature, ..Choice::OWN },
        size: Size { replies: options.replies, longest: options.longest, memory: None },
        ends: &ends,
        finished: None,
    };
    let mut out = Vec::with_capacity(contexts.len());
    let mut done = |_: usize, replies: Vec<Reply>| {
        out.push(replies.iter().map(|reply| said(model, reply)).collect());
        advance(1)
    };
    generate(&model.decoder, &contexts, settings, &mut done, &mut |_| Ok(()))?;
    Ok(out)
}

fn said(model: &Model, reply: &Reply) -> Sample {
    let end = match reply.end {
        End::Token { id, .. } => model.encoder.token(id),
        End::Finished | End::Length => None,
    };
    Sample { text: decode(model, &reply.tokens), end }
}

/// Word by word: a tokenizer without a decoder does not define how to join them.
fn decode(model: &Model, ids: &[u32]) -> String {
    let words: Vec<String> = ids.iter().filter_map(|&id| model.encoder.token(id)).collect();
    words.join(" ")
}
