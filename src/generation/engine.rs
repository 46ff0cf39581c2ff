//! The loop: a batch's prompts as one forest, then a token of each living reply at a time.

use candle_core::{DType, Device, Tensor};
use candle_transformers::generation::LogitsProcessor;
use rayon::prelude::*;

use super::batches::{Size, batches};
use super::choice::Choice;
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::forest::Forest;
use crate::model::Decoder;
use crate::model::decoder::Cache;
use crate::model::packing::{Packing, Segment};

/// A prompt to continue.
#[derive(Debug, Clone)]
pub struct Context {
    /// Tokens of the prompt, at least one.
    pub tokens: Vec<u32>,
    /// Seed of each reply.
    pub seeds: Vec<u64>,
    /// Location of the prompt, for errors.
    pub place: Place,
}

/// Whether a reply with these tokens is finished.
type Finished<'a> = dyn Fn(&[u32]) -> bool + Sync + 'a;

/// Settings of a job.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// How tokens are chosen.
    pub choice: Choice,
    /// Replies to each prompt, their greatest length, and memory.
    pub size: Size,
    /// Tokens that end a reply.
    pub ends: &'a [u32],
    /// Whether a reply with these tokens is finished, if something other than a token can end it.
    pub finished: Option<&'a Finished<'a>>,
}

/// What ended a reply.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    /// A token that ends a text, with its log P; it is not among the reply's tokens.
    Token {
        /// The token.
        id: u32,
        /// log P of it.
        log_prob: f64,
    },
    /// [`Options::finished`].
    Finished,
    /// The maximum length.
    Length,
}

/// A generated reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// Tokens, without the one that ended it.
    pub tokens: Vec<u32>,
    /// log P(token | all before it) of each token, natural log, under the model's own distribution: T = 1 and all tokens,
    /// however the token was chosen.
    pub log_probs: Vec<f64>,
    /// What ended it.
    pub end: End,
}

/// A reply while it grows.
struct Branch {
    processor: LogitsProcessor,
    tokens: Vec<u32>,
    log_probs: Vec<f64>,
    end: Option<End>,
    /// Segment of its last token, or of the prompt's.
    segment: usize,
}

/// Continues each context, `size.replies` times. `done` receives the replies of each context as they are finished, in
/// order; `advance` receives the number of computed tokens. Either may stop the job with an error. Under the fused
/// engine a reply is the same to the bit whatever it is sampled with; elsewhere to rounding.
///
/// # Errors
/// [`Kind::Invalid`] for settings out of range or an empty context; [`Kind::TooLong`] for a context that leaves no room
/// for the longest reply, or whose reply would pass into other rotary frequencies (`longrope`); [`Kind::NotFinite`] for
/// logits that are not; errors of `done`, `advance` and the tensor library.
pub fn generate(
    decoder: &Decoder,
    contexts: &[Context],
    options: Options<'_>,
    done: &mut dyn FnMut(usize, Vec<Reply>) -> Result<()>,
    advance: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<()> {
    check(decoder, contexts, options)?;
    let replies = options.size.replies;
    let (mut finished, mut next) = (Vec::new(), 0);
    for batch in batches(decoder, contexts, options.size) {
        let own = batch.start / replies..batch.end.div_ceil(replies);
        let units: Vec<(usize, usize)> =
            batch.map(|unit| (unit / replies - own.start, unit % replies)).collect();
        for reply in run(decoder, &contexts[own], &units, options, advance)? {
            finished.push(reply);
            if finished.len() == replies {
                done(next, std::mem::take(&mut finished))?;
                next += 1;
            }
        }
    }
    Ok(())
}

/// Refuses what cannot be computed, before anything is.
///
/// # Errors
/// As [`generate`], less what only shows in the computation.
pub fn check(decoder: &Decoder, contexts: &[Context], options: Options<'_>) -> Result<()> {
    options.choice.check()?;
    let size = options.size;
    if size.replies == 0 || size.longest == 0 {
        return Err(Diagnostic::new(Kind::Invalid, "no reply is asked for")
            .expected("at least one reply of at least one token")
            .into());
    }
    let config = decoder.config();
    for context in contexts {
        let (prompt, place) = (context.tokens.len(), || context.place.clone());
        if prompt == 0 {
            return Err(Diagnostic::new(Kind::Invalid, "the prompt has no token").at(place()).into());
        }
        let longest = prompt + size.longest;
        if longest > config.context {
            return Err(Diagnostic::new(Kind::TooLong, "the prompt leaves no room for the longest reply")
                .at(place())
                .expected(format!("at most {} tokens with the reply", config.context))
                .found(format!("{prompt} tokens, and a reply of up to {}", size.longest))
                .remedy("ask for fewer tokens (--max-new-tokens), or leave the prompt out")
                .into());
        }
        if config.rope_regime(prompt) != config.rope_regime(longest) {
            return Err(Diagnostic::new(
                Kind::TooLong,
                "the reply would pass the length at which the model changes its rotary frequencies",
            )
            .at(place())
            .expected("a prompt that stays on one side of it with its reply")
            .found(format!("{prompt} tokens, and a reply of up to {}", size.longest))
            .remedy("ask for fewer tokens (--max-new-tokens), or leave the prompt out")
            .into());
        }
    }
    Ok(())
}

/// Samples one batch: `units` are pairs of a context and the number of a reply to it.
fn run(
    decoder: &Decoder,
    contexts: &[Context],
    units: &[(usize, usize)],
    options: Options<'_>,
    advance: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Reply>> {
    let prompts: Vec<&[u32]> = contexts.iter().map(|c| c.tokens.as_slice()).collect();
    let forest = Forest::build(&prompts)?;
    let mut packing = forest.packing().clone();
    let mut cache = Cache::default();
    let x = decoder.advance(&packing, &mut cache)?;
    advance(packing.len())?;
    let mut branches: Vec<Branch> = units
        .iter()
        .map(|&(c, r)| Branch {
            processor: options.choice.processor(contexts[c].seeds[r]),
            tokens: Vec::new(),
            log_probs: Vec::new(),
            end: None,
            segment: forest.last_segment(c).unwrap_or_default(),
        })
        .collect();
    // Row of the residual stream that predicts each branch's first token.
    let mut rows: Vec<u32> = units
        .iter()
        .filter_map(|&(c, _)| forest.indices(c, prompts[c].len() - 1, prompts[c].len()).next())
        .map(|row| row as u32)
        .collect();
    let mut x = x;
    loop {
        let mut living: Vec<&mut Branch> = branches.iter_mut().filter(|b| b.end.is_none()).collect();
        if living.is_empty() {
            break;
        }
        choose(decoder, &x, &rows, &mut living, options, contexts)?;
        let mut living: Vec<&mut Branch> = branches.iter_mut().filter(|b| b.end.is_none()).collect();
        if living.is_empty() {
            break;
        }
        grow(&mut packing, &mut living)?;
        x = decoder.advance(&packing, &mut cache)?;
        rows = (0..living.len() as u32).collect();
        advance(living.len())?;
    }
    Ok(branches
        .into_iter()
        .map(|b| Reply { tokens: b.tokens, log_probs: b.log_probs, end: b.end.unwrap_or(End::Length) })
        .collect())
}

/// Adds the last token of each branch to the forest.
fn grow(packing: &mut Packing, living: &mut [&mut Branch]) -> Result<()> {
    let (start, first) = (packing.len(), packing.segments().len());
    let mut tokens = Vec::with_capacity(living.len());
    let mut segments = Vec::with_capacity(living.len());
    for (i, branch) in living.iter_mut().enumerate() {
        tokens.extend(branch.tokens.last());
        segments.push(Segment { start: start + i, len: 1, parent: Some(branch.segment) });
        branch.segment = first + i;
    }
    packing.extend(tokens, segments)
}

/// Chooses the next token of each living branch; row i of `rows` belongs to branch i.
fn choose(
    decoder: &Decoder,
    x: &Tensor,
    rows: &[u32],
    living: &mut [&mut Branch],
    options: Options<'_>,
    contexts: &[Context],
) -> Result<()> {
    // Replies that begin at the same prompt share its logits.
    let mut distinct: Vec<u32> = Vec::with_capacity(rows.len());
    let index: Vec<usize> = rows
        .iter()
        .map(|&row| {
            if distinct.last() != Some(&row) {
                distinct.push(row);
            }
            distinct.len() - 1
        })
        .collect();
    let picked = x.index_select(&Tensor::new(distinct.as_slice(), x.device())?, 0)?;
    let logits = decoder.logits(&picked)?.to_dtype(DType::F32)?;
    let vocab = logits.dim(1)?;
    let logits: Vec<f32> = logits.flatten_all()?.to_vec1()?;
    let normalisers: Vec<Option<f64>> = logits.par_chunks_exact(vocab).map(log_sum_exp).collect();
    if normalisers.iter().any(Option::is_none) {
        let place = contexts.first().map(|c| c.place.clone()).unwrap_or_default();
        return Err(Diagnostic::new(Kind::NotFinite, "NaN or infinity among the logits")
            .at(place)
            .expected("finite logits, in the batch of prompts that begins here")
            .remedy("try --dtype f32, and `vstar check` on the model")
            .into());
    }
    living.par_iter_mut().zip(index).try_for_each(|(branch, i)| -> Result<()> {
        let own = &logits[i * vocab..(i + 1) * vocab];
        let token = branch.processor.sample(&Tensor::from_slice(own, vocab, &Device::Cpu)?)?;
        let log_prob = f64::from(own[token as usize]) - normalisers[i].unwrap_or(f64::NAN);
        if options.ends.contains(&token) {
            branch.end = Some(End::Token { id: token, log_prob });
            return Ok(());
        }
        branch.tokens.push(token);
        branch.log_probs.push(log_prob);
        if options.finished.is_some_and(|finished| finished(&branch.tokens)) {
            branch.end = Some(End::Finished);
        } else if branch.tokens.len() >= options.size.longest {
            branch.end = Some(End::Length);
        }
        Ok(())
    })
}

/// ln Σ exp(logit), in f64; `None` if a logit is NaN or +∞.
fn log_sum_exp(logits: &[f32]) -> Option<f64> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&l| f64::from(l - top).exp()).sum();
    let sum = f64::from(top) + sum.ln();
    sum.is_finite().then_some(sum)
}
