//! One packed forest on its way through the blocks.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use candle_core::Tensor;

use super::block::Batched;
use super::grouped::{Heads, Plan};
use super::rotary::Rotary;
use super::{BlockRef, Decoder, Hook, Steering, fused};
use crate::error::Result;
use crate::model::packing::Packing;
use crate::units::Layer;

/// Buffers that forests use one after the other.
#[derive(Default)]
pub struct Workspace(fused::Buffers);

/// The residual stream of T packed tokens at some layer. It can wait there while others go through the
/// same block, which is how a model larger than memory is run.
pub struct Passage<'a> {
    decoder: &'a Decoder,
    packing: &'a Packing,
    layer: Layer,
    state: State,
}

enum State {
    Plain {
        x: Tensor,
        rotaries: Vec<Rotary>,
    },
    /// Plans by the windows of the blocks.
    Batched {
        x: Tensor,
        rotaries: Vec<Rotary>,
        plans: BTreeMap<Option<usize>, Plan>,
    },
    Fused(fused::Stream),
}

impl<'a> Passage<'a> {
    /// At layer 0: the embeddings' output.
    ///
    /// # Errors
    /// `Invalid` for a token id outside the vocabulary, `TooLong` past the model's learned positions or
    /// rotary regime mixture; tensor trouble.
    pub fn begin(decoder: &'a Decoder, packing: &'a Packing) -> Result<Self> {
        decoder.check(packing)?;
        let state = if decoder.fused() {
            State::Fused(fused::Stream::begin(decoder, packing)?)
        } else {
            let regime = decoder.config.rope_regime(packing.longest());
            let rotaries = decoder
                .config
                .ropes
                .iter()
                .map(|rope| Rotary::new(rope, regime, packing.positions(), decoder.dtype, &decoder.device))
                .collect::<Result<Vec<_>>>()?;
            if decoder.batched() {
                // The stream grows over the blocks, and what it loses in a narrow dtype is lost for all of them.
                let x = decoder.embed(packing, decoder.stream_dtype())?;
                State::Batched { x, rotaries, plans: plans(decoder, packing)? }
            } else {
                State::Plain { x: decoder.embed(packing, decoder.dtype)?, rotaries }
            }
        };
        Ok(Self { decoder, packing, layer: Layer(0), state })
    }

    /// The layer it is at.
    pub fn layer(&self) -> Layer {
        self.layer
    }

    /// Goes through one block; the caller gives them in order.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn step(&mut self, block: &BlockRef<'_>, workspace: &mut Workspace) -> Result<()> {
        match &mut self.state {
            State::Plain { x, rotaries } => *x = block.block().forward(x, self.packing, rotaries, None)?,
            State::Batched { x, rotaries, plans } => {
                let block = block.block();
                let plan = plans.get(&block.attention.window);
                let batched = plan.map(|plan| Batched { plan, dtype: self.decoder.dtype });
                *x = block.forward(x, self.packing, rotaries, batched.as_ref())?;
            }
            State::Fused(stream) => stream.step(block.block(), self.packing, &mut workspace.0)?,
        }
        self.layer = Layer(self.layer.0 + 1);
        Ok(())
    }

    /// Shows the residual stream to a tap that wants it; what the tap returns goes on from here.
    ///
    /// # Errors
    /// What the tap returns.
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

    /// Does what a steering says for this layer; what comes of it goes on from here. `response [T]` says which
    /// packed tokens are at or after the beginning of a response.
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

    /// The residual stream, `[T, hidden]`.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn residual(&self) -> Result<Tensor> {
        match &self.state {
            State::Plain { x, .. } | State::Batched { x, .. } => Ok(x.clone()),
            State::Fused(stream) => stream.tensor(self.decoder.config.hidden_size),
        }
    }

    /// Some rows of it, `[n, hidden]`, by packed index.
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

/// A plan for each window that blocks have.
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
