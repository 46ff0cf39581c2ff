//! Forward pass over a job: chunk by chunk, layer by layer, keeping only the requested results.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};

use super::chunk::{Plan, plan};
use super::trie::Forest;
use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::model::Decoder;
use crate::model::decoder::{Passage, Steering, Target, Workspace};
use crate::units::{Layer, OneOf, TokenSpan};

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

impl OneOf for Pool {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        ("mean", Self::Mean, "Mean over the response's tokens"),
        ("last", Self::Last, "The response's last token"),
    ];
}

/// What to compute for one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Token ids of the sequence.
    pub tokens: Vec<u32>,
    /// Tokens over which the residual stream is pooled.
    pub response: Option<TokenSpan>,
    /// Whether log P is summed over these tokens as well.
    pub logprob: bool,
    /// Two tokens whose log P after the last token is computed.
    pub answers: Option<[u32; 2]>,
}

impl AsRef<[u32]> for Request {
    fn as_ref(&self) -> &[u32] {
        &self.tokens
    }
}

/// Results for one sequence.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Output {
    /// Pooled residual stream, `[len(layers), hidden]` row-major; empty if no response was requested.
    pub resid: Vec<f32>,
    /// Σ log P(token | all before it) over the response, natural log; 0 if not requested.
    pub logprob: f64,
    /// log P of the two answers.
    pub answers: [f64; 2],
}

/// Which results to keep, and how much to compute at a time.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Layers whose residual stream is pooled, in increasing order.
    pub layers: Vec<Layer>,
    /// Pooling over the response's tokens.
    pub pool: Pool,
    /// Maximum number of packed tokens in a chunk.
    pub chunk_tokens: usize,
    /// If weights are read on use: maximum bytes of residual streams held while the weights are read; `None`: no limit.
    pub memory: Option<usize>,
    /// Interventions on the residual stream; none by default.
    pub steering: Steering,
}

impl Settings {
    /// The last layer needed for these requests.
    fn last_layer(&self, requests: &[&Request], blocks: usize) -> Layer {
        let needs_head = requests.iter().any(|r| r.answers.is_some() || (r.logprob && r.response.is_some()));
        if needs_head { Layer(blocks) } else { self.layers.last().copied().unwrap_or(Layer(0)) }
    }
}

/// The plan for these requests: chunks, tokens computed alone and in the forest.
pub fn plan_requests<S: AsRef<[u32]>>(decoder: &Decoder, requests: &[S], chunk_tokens: usize) -> Plan {
    plan(requests, chunk_tokens, |len| decoder.config().rope_regime(len))
}

/// Computes all requests; `place` names a request in errors, `progress` receives the number of packed tokens of each
/// finished chunk and may stop the job with an error. The results are in the order of the requests and do not depend on
/// the chunks.
///
/// # Errors
/// [`Kind::NotFinite`] for NaN or infinity in a residual stream, naming layer and request; errors of `progress` and of
/// the tensor library.
pub fn run(
    decoder: &Decoder,
    requests: &[Request],
    settings: &Settings,
    place: &dyn Fn(usize) -> Place,
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Output>> {
    run_parts(decoder, requests, &[requests.len()], settings, place, progress)
}

/// As [`run`] for parts of a job, given by the end of each. No forest spans two parts: each part gives bit-identical
/// results to a run on its own, and if weights are read on use, all parts share one reading.
///
/// # Errors
/// As [`run`]; a steering that does not fit the model's layers and width, or that acts on response tokens if a request
/// has no response.
pub fn run_parts(
    decoder: &Decoder,
    requests: &[Request],
    ends: &[usize],
    settings: &Settings,
    place: &dyn Fn(usize) -> Place,
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<Vec<Output>> {
    let mut chunks: Vec<Vec<usize>> = Vec::new();
    let mut start = 0;
    settings.steering.check(decoder.config())?;
    for &end in ends {
        for group in alike(requests, start..end, settings).map_err(|e| e.locate(place))? {
            let members: Vec<&Request> = group.iter().map(|&i| &requests[i]).collect();
            let plan = plan(&members, settings.chunk_tokens, |len| decoder.config().rope_regime(len));
            chunks.extend(plan.chunks.into_iter().map(|chunk| chunk.into_iter().map(|i| group[i]).collect()));
        }
        start = end;
    }
    let mut readings = vec![Output::default(); requests.len()];
    let mut workspace = Workspace::default();
    // Weights in memory are used chunk by chunk; weights read on use are applied to all chunks at once.
    let together = if decoder.streams() { chunks.len().max(1) } else { 1 };
    for chunks in chunks.chunks(together) {
        run_together(decoder, requests, chunks, settings, &mut workspace, &mut readings, progress)
            .map_err(|e| e.locate(place))?;
    }
    Ok(readings)
}

/// Groups requests that may share a forest. If only response tokens are steered, two requests can share a prefix only
/// if their responses start at the same position; otherwise all may share.
fn alike(
    requests: &[Request],
    range: std::ops::Range<usize>,
    settings: &Settings,
) -> Result<Vec<Vec<usize>>, RunError> {
    if !settings.steering.response_only() {
        return Ok(vec![range.collect()]);
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for i in range {
        match requests[i].response {
            Some(span) => groups.entry(span.start).or_default().push(i),
            None => return Err(RunError::NoResponse(i)),
        }
    }
    Ok(groups.into_values().collect())
}

/// A request with a non-finite residual stream, by its index in the job.
#[derive(Debug)]
struct NotFinite {
    request: usize,
    layer: Layer,
}

enum RunError {
    NotFinite(NotFinite),
    /// A request without a response to steer, by its index in the job.
    NoResponse(usize),
    Other(Error),
}

impl From<NotFinite> for RunError {
    fn from(e: NotFinite) -> Self {
        Self::NotFinite(e)
    }
}

impl From<Error> for RunError {
    fn from(e: Error) -> Self {
        Self::Other(e)
    }
}

impl RunError {
    fn locate(self, place: impl Fn(usize) -> Place) -> Error {
        match self {
            Self::Other(e) => e,
            Self::NoResponse(request) => Diagnostic::new(
                Kind::Invalid,
                "the response's tokens of a text without a response cannot be steered",
            )
            .at(place(request))
            .expected("a text with a response, or steering at all tokens")
            .into(),
            Self::NotFinite(NotFinite { request, layer }) => Diagnostic::new(
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

/// A chunk between blocks.
struct Chunk<'a> {
    forest: &'a Forest,
    /// Indices of its requests in the job.
    members: &'a [usize],
    passage: Passage<'a>,
    /// Packed tokens to pool, and each member's range of them.
    pooled: Vec<u32>,
    spans: Vec<std::ops::Range<usize>>,
    /// Packed tokens at or after the start of a response, if the steering needs them.
    response: Vec<bool>,
    /// Summation on a GPU; `None` on the CPU.
    sums: Option<Sums>,
}

/// Number of members summed in one product.
const SUMMED: usize = 64;

/// Sums the rows of each pooled member by products with matrices of ones, so that on a GPU only sums leave the device.
struct Sums(Vec<Tensor>);

impl Sums {
    /// For non-empty spans that tile the pooled rows in order.
    fn new(spans: &[std::ops::Range<usize>], device: &Device) -> Result<Self> {
        let ones = |spans: &[std::ops::Range<usize>]| -> Result<Tensor> {
            let (start, end) = (spans[0].start, spans[spans.len() - 1].end);
            let mut cells = vec![0f32; spans.len() * (end - start)];
            for (row, span) in cells.chunks_exact_mut(end - start).zip(spans) {
                row[span.start - start..span.end - start].fill(1.0);
            }
            Ok(Tensor::from_vec(cells, (spans.len(), end - start), device)?)
        };
        Ok(Self(spans.chunks(SUMMED).map(ones).collect::<Result<_>>()?))
    }

    /// Maps `rows [n, hidden]` to the sums `[spans · hidden]` on the host.
    fn of(&self, rows: &Tensor) -> candle_core::Result<Vec<f32>> {
        let mut start = 0;
        let mut sums = Vec::with_capacity(self.0.len());
        for ones in &self.0 {
            let len = ones.dim(1)?;
            sums.push(ones.matmul(&rows.narrow(0, start, len)?)?);
            start += len;
        }
        Tensor::cat(&sums, 0)?.flatten_all()?.to_vec1()
    }
}

impl<'a> Chunk<'a> {
    fn new(
        decoder: &'a Decoder,
        forest: &'a Forest,
        members: &'a [usize],
        requests: &[Request],
        settings: &Settings,
    ) -> Result<Self> {
        let pool = settings.pool;
        let mut pooled = Vec::new();
        let mut spans = Vec::with_capacity(members.len());
        for (i, &request) in members.iter().enumerate() {
            let begin = pooled.len();
            if let Some(span) = requests[request].response {
                let start = if pool == Pool::Last { span.end - 1 } else { span.start };
                pooled.extend(forest.indices(i, start, span.end).map(|t| t as u32));
            }
            spans.push(begin..pooled.len());
        }
        let mut response = Vec::new();
        if settings.steering.response_only() {
            response = vec![false; forest.packing().len()];
            for (i, &number) in members.iter().enumerate() {
                let request = &requests[number];
                let start = request.response.map_or(request.tokens.len(), |span| span.start);
                forest.indices(i, start, request.tokens.len()).for_each(|t| response[t] = true);
            }
        }
        let mut passage = Passage::begin(decoder, forest.packing())?;
        passage.steer(&settings.steering, &response)?;
        let sums = if decoder.device().is_cpu() {
            None
        } else {
            let filled: Vec<_> = spans.iter().filter(|s| !s.is_empty()).cloned().collect();
            Some(Sums::new(&filled, decoder.device())?)
        };
        Ok(Self { forest, members, passage, pooled, spans, response, sums })
    }

    /// Pools the residual stream of every response, if this layer is requested.
    fn pool(&self, settings: &Settings, readings: &mut [Output]) -> Result<(), RunError> {
        let layer = self.passage.layer();
        let Ok(slot) = settings.layers.binary_search(&layer) else { return Ok(()) };
        if self.pooled.is_empty() {
            return Ok(());
        }
        // Only pooled rows, or their sums, leave the device.
        let rows = self.passage.rows(&self.pooled)?;
        let width = rows.dim(1).map_err(Error::from)?;
        let rows = rows.to_dtype(DType::F32).map_err(Error::from)?;
        let filled = || self.members.iter().zip(&self.spans).filter(|(_, s)| !s.is_empty());
        if let Some(sums) = &self.sums {
            let sums = sums.of(&rows).map_err(Error::from)?;
            // A non-finite value spreads to all sums of a product: the rows below identify its member.
            if sums.iter().all(|s| s.is_finite()) {
                for ((&request, span), sum) in filled().zip(sums.chunks_exact(width)) {
                    let mean = sum.iter().map(|s| s / span.len() as f32);
                    keep(&mut readings[request], (slot, settings.layers.len()), width, mean);
                }
                return Ok(());
            }
        }
        let rows = rows.flatten_all().and_then(|r| r.to_vec1::<f32>()).map_err(Error::from)?;
        let mut sum = vec![0f64; width];
        for (&request, span) in filled() {
            sum.fill(0.0);
            for row in rows[span.start * width..span.end * width].chunks_exact(width) {
                for (s, &v) in sum.iter_mut().zip(row) {
                    *s += f64::from(v);
                }
            }
            if sum.iter().any(|s| !s.is_finite()) {
                return Err(NotFinite { request, layer }.into());
            }
            let mean = sum.iter().map(|s| (s / span.len() as f64) as f32);
            keep(&mut readings[request], (slot, settings.layers.len()), width, mean);
        }
        Ok(())
    }

    /// The tokens whose log P is computed, with the packed tokens before them, and their owners.
    fn targets(&self, requests: &[Request]) -> Vec<(Target, Owner)> {
        let mut targets = Vec::new();
        for (i, &number) in self.members.iter().enumerate() {
            let request = &requests[number];
            if let Some(span) = request.response.filter(|_| request.logprob) {
                // The first token of a text has no predecessor, hence no probability.
                let from = span.start.max(1);
                let previous = self.forest.indices(i, from - 1, span.end.saturating_sub(1));
                for (previous, position) in previous.zip(from..span.end) {
                    let target = Target { previous, token: request.tokens[position] };
                    targets.push((target, Owner { request: number, answer: None }));
                }
            }
            let end = request.tokens.len();
            for previous in self.forest.indices(i, end - 1, end).filter(|_| request.answers.is_some()) {
                for (slot, token) in request.answers.into_iter().flatten().enumerate() {
                    targets.push((Target { previous, token }, Owner { request: number, answer: Some(slot) }));
                }
            }
        }
        targets
    }
}

/// Stores pooled values at index `slot` of `layers` layers.
fn keep(reading: &mut Output, (slot, layers): (usize, usize), width: usize, mean: impl Iterator<Item = f32>) {
    reading.resid.resize(layers * width, 0.0);
    reading.resid[slot * width..(slot + 1) * width].iter_mut().zip(mean).for_each(|(cell, m)| *cell = m);
}

/// Owner of a log-probability: a request's response, or one of its answers.
#[derive(Debug, Clone, Copy)]
struct Owner {
    request: usize,
    answer: Option<usize>,
}

/// Runs several chunks through the blocks, reading each block once.
fn run_together(
    decoder: &Decoder,
    requests: &[Request],
    chunks: &[Vec<usize>],
    settings: &Settings,
    workspace: &mut Workspace,
    readings: &mut [Output],
    progress: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<(), RunError> {
    let forests = chunks
        .iter()
        .map(|chunk| Forest::build(&chunk.iter().map(|&i| &requests[i]).collect::<Vec<_>>()))
        .collect::<Result<Vec<_>>>()?;
    let mut chunks = forests
        .iter()
        .zip(chunks)
        .map(|(forest, members)| Chunk::new(decoder, forest, members, requests, settings))
        .collect::<Result<Vec<_>>>()?;
    let members: Vec<&Request> = chunks.iter().flat_map(|c| c.members).map(|&i| &requests[i]).collect();
    let last = settings.last_layer(&members, decoder.config().num_blocks());
    let mut told = TokenProgress { steps: (last.0 + 1) * chunks.len(), ..TokenProgress::default() };
    told.tokens = forests.iter().map(|f| f.packing().len()).sum();
    for chunk in &chunks {
        chunk.pool(settings, readings)?;
    }
    for i in 0..last.0 {
        let block = decoder.block(i)?;
        for chunk in &mut chunks {
            chunk.passage.step(&block, workspace)?;
            chunk.passage.steer(&settings.steering, &chunk.response)?;
            chunk.pool(settings, readings)?;
            if decoder.streams() {
                told.step(progress)?;
            }
        }
    }
    // Rows that no target needs are dropped.
    let (mut rows, mut targets, mut owners) = (Vec::new(), Vec::new(), Vec::new());
    let mut count = 0;
    for chunk in chunks {
        let wanted = chunk.targets(requests);
        let mut previous: Vec<u32> = wanted.iter().map(|(t, _)| t.previous as u32).collect();
        previous.sort_unstable();
        previous.dedup();
        if previous.is_empty() {
            continue;
        }
        rows.push(chunk.passage.rows(&previous)?);
        for (target, owner) in wanted {
            let at = count + previous.partition_point(|&p| (p as usize) < target.previous);
            targets.push(Target { previous: at, token: target.token });
            owners.push(owner);
        }
        count += previous.len();
    }
    if !rows.is_empty() {
        let rows = Tensor::cat(&rows, 0).map_err(Error::from)?;
        for (owner, value) in owners.into_iter().zip(decoder.log_probs(&rows, &targets)?) {
            if !value.is_finite() {
                return Err(NotFinite { request: owner.request, layer: last }.into());
            }
            match owner.answer {
                None => readings[owner.request].logprob += value,
                Some(slot) => readings[owner.request].answers[slot] = value,
            }
        }
    }
    Ok(told.finish(progress)?)
}

/// Reports progress in packed tokens, in steps that sum to the total.
#[derive(Default)]
struct TokenProgress {
    tokens: usize,
    steps: usize,
    done: usize,
    told: usize,
}

impl TokenProgress {
    fn step(&mut self, progress: &mut dyn FnMut(usize) -> Result<()>) -> Result<()> {
        self.done += 1;
        let now = (self.tokens as u128 * self.done as u128 / self.steps.max(1) as u128) as usize;
        let more = now.saturating_sub(self.told);
        self.told += more;
        progress(more)
    }

    fn finish(&mut self, progress: &mut dyn FnMut(usize) -> Result<()>) -> Result<()> {
        progress(self.tokens - self.told)
    }
}
