//! Samples replies from a model, a batch at a time.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::lexicon::LEXICON;
use crate::error::{Diagnostic, Kind, Result};
use crate::model::decoder::NoHook;
use crate::model::packing::{Packing, Segment};
use crate::model::{Decoder, Model};
use crate::units::Layer;

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

/// Number of contexts sampled together.
const TOGETHER: usize = 32;

/// Samples replies to each context, a text that ends where the reply starts; a reply ends at `<eos>` or at a reader's
/// mark, which is not part of it. `advance` receives the number of finished contexts and may stop with an error.
///
/// # Errors
/// `Invalid` for an empty context or a negative temperature; errors of the tensor library and of `advance`.
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
    if !(options.temperature >= 0.0 && options.temperature.is_finite()) {
        return Err(Diagnostic::new(Kind::Invalid, "the temperature")
            .expected("a number that is not negative")
            .found(options.temperature.to_string())
            .into());
    }
    let ends = LEXICON.ends();
    let mut out = Vec::with_capacity(contexts.len());
    for (chunk, contexts) in contexts.chunks(TOGETHER).enumerate() {
        let prompts = contexts.iter().map(|c| model.encoder.encode(c)).collect::<Result<Vec<_>>>()?;
        if prompts.iter().any(Vec::is_empty) {
            return Err(Diagnostic::new(Kind::Invalid, "an empty context").expected("a text").into());
        }
        let mut rngs: Vec<ChaCha8Rng> = (0..prompts.len())
            .map(|i| {
                let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
                rng.set_stream((chunk * TOGETHER + i) as u64);
                rng
            })
            .collect();
        let mut replies = vec![(Vec::new(), None); prompts.len() * options.replies];
        for _ in 0..options.longest {
            if replies.iter().all(|(_, end)| end.is_some()) {
                break;
            }
            step(&model.decoder, &prompts, &mut replies, &mut rngs, options, &ends)?;
        }
        for replies in replies.chunks(options.replies) {
            let said = |(ids, end): &(Vec<u32>, Option<u32>)| Sample {
                text: decode(model, ids),
                end: end.and_then(|id| model.encoder.token(id)),
            };
            out.push(replies.iter().map(said).collect());
        }
        advance(contexts.len())?;
    }
    Ok(out)
}

/// Word by word: a tokenizer without a decoder does not define how to join them.
fn decode(model: &Model, ids: &[u32]) -> String {
    let words: Vec<String> = ids.iter().filter_map(|&id| model.encoder.token(id)).collect();
    words.join(" ")
}

/// Adds one word to each reply that has not ended.
fn step(
    decoder: &Decoder,
    prompts: &[Vec<u32>],
    replies: &mut [(Vec<u32>, Option<u32>)],
    rngs: &mut [ChaCha8Rng],
    options: Options,
    ends: &[u32],
) -> Result<()> {
    let (mut tokens, mut segments) = (Vec::new(), Vec::new());
    let (mut rows, mut owners) = (Vec::new(), Vec::new());
    for (p, prompt) in prompts.iter().enumerate() {
        let root = segments.len();
        segments.push(Segment { start: tokens.len(), len: prompt.len(), parent: None });
        tokens.extend_from_slice(prompt);
        let last_of_prompt = tokens.len() - 1;
        let own = replies.iter().enumerate().skip(p * options.replies).take(options.replies);
        for (r, (ids, end)) in own {
            if end.is_some() {
                continue;
            }
            if ids.is_empty() {
                rows.push(last_of_prompt as u32);
            } else {
                segments.push(Segment { start: tokens.len(), len: ids.len(), parent: Some(root) });
                tokens.extend_from_slice(ids);
                rows.push(tokens.len() as u32 - 1);
            }
            owners.push(r);
        }
    }
    let packing = Packing::new(tokens, segments)?;
    let last = Layer(decoder.config().num_blocks());
    let x = decoder.residual_stream(&packing, last, &mut NoHook)?;
    let rows = candle_core::Tensor::new(rows, decoder.device())?;
    let logits = decoder.logits(&x.index_select(&rows, 0)?)?.to_dtype(candle_core::DType::F32)?;
    let logits = logits.to_vec2::<f32>()?;
    for (&r, row) in owners.iter().zip(&logits) {
        let word = choose(row, options.temperature, &mut rngs[r / options.replies]);
        let (ids, end) = &mut replies[r];
        if ends.contains(&word) {
            *end = Some(word);
        } else {
            ids.push(word);
        }
    }
    Ok(())
}

fn choose(logits: &[f32], temperature: f64, rng: &mut impl Rng) -> u32 {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    if temperature == 0.0 {
        return logits.iter().position(|&l| l == top).unwrap_or(0) as u32;
    }
    let weight = |&l: &f32| (f64::from(l - top) / temperature).exp();
    super::draw::weighted(rng, logits.iter().map(weight)) as u32
}
