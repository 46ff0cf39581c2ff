//! The forward over a job: chunk by chunk, layer by layer, keeping only what was asked for.

use candle_core::{DType, Tensor};

use super::chunk::{Plan, plan};
use super::trie::Forest;
use crate::error::{Error, Kind, Place, Refusal, Result};
use crate::model::Decoder;
use crate::model::decoder::{Tap, Target};
use crate::units::{Layer, TokenSpan};

/// How the residual stream of a response becomes one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pool {
    /// Mean over the response's tokens.
    #[default]
    Mean,
    /// The response's last token.
    Last,
}

/// What is wanted of one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// Pool the residual stream and sum log P over these tokens.
    pub response: Option<TokenSpan>,
    /// log P of each of these tokens as the one after the last.
    pub answers: Option<[u32; 2]>,
}

impl AsRef<[u32]> for Request {
    fn as_ref(&self) -> &[u32] {
        &self.tokens
    }
}

/// What was read from one sequence.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// Pooled residual stream, `[len(layers), hidden]` row-major; empty if no response was asked for.
    pub resid: Vec<f32>,
    /// Σ log P(token | all before it) over the response, natural log.
    pub logprob: f64,
    /// log P of the two answers.
    pub answers: [f64; 2],
}

/// What to keep, and how much to compute at a time.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Layers whose residual stream is pooled, rising.
    pub layers: Vec<Layer>,
    /// How.
    pub pool: Pool,
    /// Whether log P of responses is wanted.
    pub logprob: bool,
    /// Most packed tokens in a chunk.
    pub chunk_tokens: usize,
}

impl Settings {
    /// The last layer that has to be computed for these requests.
    fn last_layer(&self, requests: &[&Request], blocks: usize) -> Layer {
        let needs_head =
            requests.iter().any(|r| r.answers.is_some() || (self.logprob && r.response.is_some()));
        if needs_head { Layer(blocks) } else { self.layers.last().copied().unwrap_or(Layer(0)) }
    }
}

/// Bytes of memory a chunk of T tokens takes at most, beside the weights: residual stream, norm,
/// projections and MLP of one block, the rotary tables, with candle's temporaries.
pub fn chunk_bytes(decoder: &Decoder, tokens: usize) -> usize {
    let c = decoder.config();
    let width = 6 * c.hidden_size + 3 * (c.heads + 2 * c.kv_heads) * c.head_dim + 4 * c.intermediate_size;
    tokens.saturating_mul(width * decoder.dtype().size_in_bytes())
}

/// The plan for some requests: chunks, tokens computed alone and in the forest.
pub fn plan_requests(decoder: &Decoder, requests: &[Request], chunk_tokens: usize) -> Plan {
    plan(requests, chunk_tokens, |len| decoder.config().rope_regime(len))
}

/// Computes all requests; `place` names a request in errors, `progress` is told the packed tokens of each finished chunk and may stop
/// the job with an error. The readings are in the order of the requests and do not depend on chunks.
///
/// # Errors
/// [`Kind::NotFinite`] for NaN or infinity in a residual stream, naming layer and request; what
/// `progress` returns; tensor trouble.
pub fn run(
    decoder: &Decoder,
    requests: &[Request],
    settings: &Settings,
    place: &dyn Fn(usize) -> Place,
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Reading>> {
    let plan = plan_requests(decoder, requests, settings.chunk_tokens);
    let mut readings = vec![Reading::default(); requests.len()];
    for chunk in &plan.chunks {
        let members: Vec<&Request> = chunk.iter().map(|&i| &requests[i]).collect();
        let forest = Forest::build(&members)?;
        let read =
            run_chunk(decoder, &forest, &members, settings).map_err(|e| e.locate(|i| place(chunk[i])))?;
        for (&i, reading) in chunk.iter().zip(read) {
            readings[i] = reading;
        }
        progress(forest.packing().len())?;
    }
    Ok(readings)
}

/// A request whose residual stream is not finite, by its number in the chunk.
#[derive(Debug)]
struct NotFinite {
    request: usize,
    layer: Layer,
}

enum ChunkError {
    NotFinite(NotFinite),
    Other(Error),
}

impl From<Error> for ChunkError {
    fn from(e: Error) -> Self {
        Self::Other(e)
    }
}

impl ChunkError {
    fn locate(self, place: impl Fn(usize) -> Place) -> Error {
        match self {
            Self::Other(e) => e,
            Self::NotFinite(NotFinite { request, layer }) => Refusal::new(
                Kind::NotFinite,
                format!("NaN or infinity in the residual stream at layer {layer}"),
            )
            .at(place(request))
            .expected("finite activations")
            .remedy("try --dtype f32, and `vstar check` on the model")
            .into(),
        }
    }
}

/// Pools the residual stream of every response at the wanted layers.
struct Pooler<'a> {
    forest: &'a Forest,
    requests: &'a [&'a Request],
    settings: &'a Settings,
    readings: Vec<Reading>,
    bad: Option<NotFinite>,
}

impl Tap for Pooler<'_> {
    fn wants(&self, layer: Layer) -> bool {
        self.settings.layers.binary_search(&layer).is_ok()
    }

    fn residual(&mut self, layer: Layer, x: Tensor) -> Result<Tensor> {
        let Ok(slot) = self.settings.layers.binary_search(&layer) else { return Ok(x) };
        let width = x.dim(1)?;
        // Only rows that are pooled leave the device.
        let mut rows = Vec::new();
        let mut spans = Vec::with_capacity(self.requests.len());
        for (i, request) in self.requests.iter().enumerate() {
            let begin = rows.len();
            if let Some(span) = request.response {
                let start = if self.settings.pool == Pool::Last { span.end - 1 } else { span.start };
                rows.extend(self.forest.indices(i, start, span.end).map(|t| t as u32));
            }
            spans.push(begin..rows.len());
        }
        if rows.is_empty() {
            return Ok(x);
        }
        let picked = x.index_select(&Tensor::new(rows, x.device())?, 0)?.to_dtype(DType::F32)?;
        let picked = picked.flatten_all()?.to_vec1::<f32>()?;
        let mut sum = vec![0f64; width];
        for (i, span) in spans.into_iter().enumerate().filter(|(_, s)| !s.is_empty()) {
            sum.fill(0.0);
            let count = span.len() as f64;
            for row in picked[span.start * width..span.end * width].chunks_exact(width) {
                for (s, &v) in sum.iter_mut().zip(row) {
                    *s += f64::from(v);
                }
            }
            let resid = &mut self.readings[i].resid;
            resid.resize(self.settings.layers.len() * width, 0.0);
            for (cell, s) in resid[slot * width..(slot + 1) * width].iter_mut().zip(&sum) {
                *cell = (s / count) as f32;
            }
            if self.bad.is_none() && sum.iter().any(|s| !s.is_finite()) {
                self.bad = Some(NotFinite { request: i, layer });
            }
        }
        Ok(x)
    }
}

fn run_chunk(
    decoder: &Decoder,
    forest: &Forest,
    requests: &[&Request],
    settings: &Settings,
) -> Result<Vec<Reading>, ChunkError> {
    let last = settings.last_layer(requests, decoder.config().num_blocks());
    let mut pooler =
        Pooler { forest, requests, settings, readings: vec![Reading::default(); requests.len()], bad: None };
    let x = decoder.residual_stream(forest.packing(), last, &mut pooler)?;
    if let Some(bad) = pooler.bad {
        return Err(ChunkError::NotFinite(bad));
    }
    let mut readings = pooler.readings;
    let mut targets = Vec::new();
    let mut owners = Vec::new();
    for (i, request) in requests.iter().enumerate() {
        if let Some(span) = request.response.filter(|_| settings.logprob) {
            // The first token of a text has nothing before it, so no probability.
            let from = span.start.max(1);
            let previous = forest.indices(i, from - 1, span.end.saturating_sub(1));
            for (previous, position) in previous.zip(from..span.end) {
                targets.push(Target { previous, token: request.tokens[position] });
                owners.push((i, None));
            }
        }
        if let Some(answers) = request.answers {
            let end = request.tokens.len();
            for previous in forest.indices(i, end - 1, end) {
                for (slot, token) in answers.into_iter().enumerate() {
                    targets.push(Target { previous, token });
                    owners.push((i, Some(slot)));
                }
            }
        }
    }
    for ((i, slot), value) in owners.into_iter().zip(decoder.log_probs(&x, &targets)?) {
        if !value.is_finite() {
            return Err(ChunkError::NotFinite(NotFinite { request: i, layer: last }));
        }
        match slot {
            None => readings[i].logprob += value,
            Some(slot) => readings[i].answers[slot] = value,
        }
    }
    Ok(readings)
}
