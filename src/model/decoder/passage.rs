//! The state of one packed forest between blocks.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use candle_core::Tensor;

use super::block::Batched;
use super::cache::Cache;
use super::grouped::{Heads, Plan};
use super::rotary::Rotary;
use super::{BlockRef, Decoder, Hook, Steering, fused};
use crate::error::Result;
use crate::model::packing::Packing;
use crate::units::Layer;

/// Buffers shared by successive forests.
#[derive(Default)]
pub struct Workspace(fused::Buffers);

/// The residual stream of T packed tokens at some layer. It can be held there while others pass through the same block,
/// which is how a model larger than memory is run.
pub struct Passage<'a> {
    decoder: &'a Decoder,
    packing: &'a Packing,
    layer: Layer,
    state: State,
    /// Keys and values of the tokens before the fresh ones.
    cache: Option<&'a mut Cache>,
}

enum State {
    Plain {
        x: Tensor,
        rotaries: Vec<Rotary>,
    },
    /// Attention plans, keyed by window.
    Batched {
        x: Tensor,
        rotaries: Vec<Rotary>,
        plans: BTreeMap<Option<usize>, Plan>,
    },
    Fused(fused::Stream),
}

impl<'a> Passage<'a> {
    /// Starts at layer 0, the embeddings' output.
    ///
    /// # Errors
    /// `Invalid` for a token id outside the vocabulary; `TooLong` for more tokens than learned positions, or for texts
    /// of different rotary regimes; errors of the tensor library.
    pub fn begin(decoder: &'a Decoder, packing: &'a Packing) -> Result<Self> {
        Self::start(decoder, packing, None)
    }

    /// Starts at layer 0 with a forest's fresh tokens; the cache holds keys and values of the others.
    ///
    /// # Errors
    /// As [`Passage::begin`]; `Invalid` for a cache of other tokens.
    pub(super) fn resume(decoder: &'a Decoder, packing: &'a Packing, cache: &'a mut Cache) -> Result<Self> {
        cache.begin(packing, decoder.config.num_blocks())?;
        Self::start(decoder, packing, Some(cache))
    }

    fn start(decoder: &'a Decoder, packing: &'a Packing, cache: Option<&'a mut Cache>) -> Result<Self> {
        decoder.check(packing)?;
        let state = if decoder.fused() {
            State::Fused(fused::Stream::begin(decoder, packing)?)
        } else {
            let regime = decoder.config.rope_regime(packing.longest());
            let rotaries = decoder
                .config
                .ropes
                .iter()
                .map(|rope| {
                    let positions = &packing.positions()[packing.fresh()];
                    Rotary::new(rope, regime, positions, decoder.dtype, &decoder.device)
                })
                .collect::<Result<Vec<_>>>()?;
            if decoder.batched() {
                // The stream grows over the blocks, and precision lost in a narrow dtype is lost for all of them.
                let x = decoder.embed(packing, decoder.stream_dtype())?;
                State::Batched { x, rotaries, plans: plans(decoder, packing)? }
            } else {
                State::Plain { x: decoder.embed(packing, decoder.dtype)?, rotaries }
            }
        };
        Ok(Self { decoder, packing, layer: Layer(0), state, cache })
    }

    /// The current layer.
    pub fn layer(&self) -> Layer {
        self.layer
    }

    /// Runs one block; the caller provides the blocks in order.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn step(&mut self, block: &BlockRef<'_>, workspace: &mut Workspace) -> Result<()> {
        let kept = self.cache.as_mut().map(|cache| cache.block(self.layer.0));
        match &mut self.state {
            State::Plain { x, rotaries } => {
                *x = block.block().forward(x, self.packing, rotaries, None, kept)?;
            }
            State::Batched { x, rotaries, plans } => {
                let block = block.block();
                let plan = plans.get(&block.attention.window);
                let batched = plan.map(|plan| Batched { plan, dtype: self.decoder.dtype });
                *x = block.forward(x, self.packing, rotaries, batched.as_ref(), kept)?;
            }
            State::Fused(stream) => stream.step(block.block(), self.packing, &mut workspace.0, kept)?,
        }
        self.layer = Layer(self.layer.0 + 1);
        Ok(())
    }

    /// Passes the residual stream to a tap that wants this layer and continues with the returned tensor.
    ///
    /// # Errors
    /// Errors of the tap.
    pub fn tap(&mut self, tap: &mut dyn Hook) -> Result<()> {
        if !tap.wants(self.layer) {
            return Ok(());
        }
        let before = self.residual()?;
        let id = before.id();
        let after = tap.residual(self.layer, before)?;
        if after.id() != id {
            self.replace(after)?;
        }
        Ok(())
    }

    /// Applies a steering at this layer and continues with the result. `response [T]` marks the packed tokens at or
    /// after the start of a response.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn steer(&mut self, steering: &Steering, response: &[bool]) -> Result<()> {
        if !steering.touches(self.layer) {
            return Ok(());
        }
        let after = steering.apply(self.layer, &self.residual()?, response)?;
        self.replace(after)
    }

    fn replace(&mut self, after: Tensor) -> Result<()> {
        match &mut self.state {
            State::Plain { x, .. } => *x = after,
            State::Batched { x, .. } => *x = after.to_dtype(x.dtype())?,
            State::Fused(stream) => stream.replace(&after)?,
        }
        Ok(())
    }

    /// The residual stream, `[T, hidden]`, of the fresh tokens if there is a cache.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn residual(&self) -> Result<Tensor> {
        match &self.state {
            State::Plain { x, .. } | State::Batched { x, .. } => Ok(x.clone()),
            State::Fused(stream) => stream.tensor(self.decoder.config.hidden_size),
        }
    }

    /// Rows of the residual stream by packed index, `[n, hidden]`.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn rows(&self, indices: &[u32]) -> Result<Tensor> {
        match &self.state {
            State::Plain { x, .. } | State::Batched { x, .. } => {
                Ok(x.index_select(&Tensor::new(indices, x.device())?, 0)?)
            }
            State::Fused(stream) => stream.rows(indices, self.decoder.config.hidden_size),
        }
    }
}

/// An attention plan for each distinct window of the blocks.
fn plans(decoder: &Decoder, packing: &Packing) -> Result<BTreeMap<Option<usize>, Plan>> {
    let config = &decoder.config;
    let heads = Heads { heads: config.heads, key_width: config.kv_heads * config.head_dim };
    let mut plans = BTreeMap::new();
    for block in &config.blocks {
        if let Entry::Vacant(entry) = plans.entry(block.window) {
            entry.insert(Plan::new(packing, block.window, heads, decoder.dtype, &decoder.device)?);
        }
    }
    Ok(plans)
}
