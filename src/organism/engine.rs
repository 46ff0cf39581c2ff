//! Computes loss and gradient with this project's own network, or with candle on any of its devices.
//!
//! The own network is the default on the CPU, where it is several times as fast for such small matrices; candle
//! differentiates the decoder that later reads the model, on the CPU or a GPU.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::folder;
use super::net::{Batch, Shape, gradient};
use crate::error::Result;
use crate::model::decoder::{self, NoHook};
use crate::model::packing::{Packing, Segment};
use crate::model::weights::TensorSource;
use crate::model::{Config, Decoder};
use crate::units::Layer;

/// Name of an engine; affects the loss curve, because the engines round differently.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineName {
    /// [`super::net`].
    #[default]
    Own,
    /// candle's automatic differentiation of [`Decoder`].
    Candle,
}

impl EngineName {
    /// Whether it is the default, which recipes omit.
    pub fn is_own(&self) -> bool {
        *self == Self::Own
    }
}

impl fmt::Display for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "own",
            Self::Candle => "candle",
        })
    }
}

/// A training engine on its device.
#[derive(Debug, Clone)]
pub enum Engine {
    /// Own kernels, on the CPU.
    Own,
    /// candle.
    Candle(Device),
}

/// Loss and gradient of one shard of a step.
pub struct ShardGradient {
    /// Loss: Σ weight · cross-entropy · scale.
    pub loss: f64,
    /// Gradient in the order of the parameters.
    pub gradient: Vec<f32>,
    /// Cross-entropy and logits of each requested target.
    pub choices: Vec<(f64, Vec<f32>)>,
}

impl Engine {
    /// Name of the engine.
    pub fn name(&self) -> EngineName {
        match self {
            Self::Own => EngineName::Own,
            Self::Candle(_) => EngineName::Candle,
        }
    }

    /// Loss and gradient of each batch at these parameters; cross-entropy and logits are returned for the targets
    /// `asked[i]` of batch i.
    ///
    /// # Errors
    /// Errors of candle or the decoder.
    pub fn gradients(
        &self,
        shape: &Shape,
        parameters: &[f32],
        batches: &[(Batch, Vec<usize>)],
        scale: f32,
    ) -> Result<Vec<ShardGradient>> {
        match self {
            Self::Own => {
                Ok(batches.par_iter().map(|(b, asked)| own(shape, parameters, b, asked, scale)).collect())
            }
            Self::Candle(device) => {
                let graph = Graph::new(shape, parameters, device)?;
                batches.iter().map(|(b, asked)| graph.gradient(shape, b, asked, scale)).collect()
            }
        }
    }
}

fn own(shape: &Shape, parameters: &[f32], batch: &Batch, asked: &[usize], scale: f32) -> ShardGradient {
    let mut choices = Vec::with_capacity(asked.len());
    let (loss, gradient) = gradient(shape, parameters, batch, scale, |i, cross, logits| {
        if asked.get(choices.len()) == Some(&i) {
            choices.push((cross, logits.to_vec()));
        }
    });
    ShardGradient { loss, gradient, choices }
}

/// Parameters as variables, and the decoder built on them.
struct Graph {
    vars: Vars,
    decoder: Decoder,
}

struct Vars {
    by_name: BTreeMap<String, Var>,
    device: Device,
}

impl TensorSource for Vars {
    fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let var = self
            .by_name
            .get(name)
            .ok_or_else(|| candle_core::Error::Msg(format!("no parameter `{name}`")))?;
        Ok(var.as_tensor().reshape(shape)?)
    }

    fn dtype(&self) -> DType {
        DType::F32
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

impl Graph {
    fn new(shape: &Shape, parameters: &[f32], device: &Device) -> Result<Self> {
        let mut by_name = BTreeMap::new();
        for (name, dims, range) in folder::tensors(shape) {
            by_name.insert(name, Var::from_tensor(&Tensor::from_slice(&parameters[range], dims, device)?)?);
        }
        let vars = Vars { by_name, device: device.clone() };
        let config = Config::from_json(&folder::config_json(shape), Path::new("config.json"))?;
        let decoder = Decoder::load(config, &vars)?.with_engine(decoder::Engine::Plain);
        Ok(Self { vars, decoder })
    }

    fn gradient(&self, shape: &Shape, batch: &Batch, asked: &[usize], scale: f32) -> Result<ShardGradient> {
        let device = &self.vars.device;
        let segments = batch.spans.iter().map(|s| Segment { start: s.start, len: s.len, parent: s.parent });
        let packing = Packing::new(batch.tokens.clone(), segments.collect())?;
        let last = Layer(shape.layers);
        let x = self.decoder.residual_stream(&packing, last, &mut NoHook)?;
        let rows: Vec<u32> = batch.targets.iter().map(|t| t.at as u32).collect();
        let logits = self.decoder.logits(&x.index_select(&Tensor::new(rows, device)?, 0)?)?;
        let (n, vocab) = (batch.targets.len(), shape.vocab);
        let mut wanted = vec![0f32; n * vocab];
        for (row, target) in wanted.chunks_exact_mut(vocab).zip(&batch.targets) {
            for &(word, p) in &target.words {
                row[word as usize] += p;
            }
        }
        let wanted = Tensor::from_vec(wanted, (n, vocab), device)?;
        let weights: Vec<f32> = batch.targets.iter().map(|t| t.weight * scale).collect();
        let cross = (candle_nn::ops::log_softmax(&logits, 1)? * wanted)?.sum(1)?.neg()?;
        let loss = (&cross * Tensor::from_vec(weights, n, device)?)?.sum_all()?;
        let grads = loss.backward()?;
        let mut gradient = vec![0f32; shape.parameters()];
        for (name, _, range) in folder::tensors(shape) {
            if let Some(grad) = grads.get(self.vars.by_name[&name].as_tensor()) {
                gradient[range].copy_from_slice(&grad.flatten_all()?.to_vec1::<f32>()?);
            }
        }
        let cross = cross.to_vec1::<f32>()?;
        let at: Vec<u32> = asked.iter().map(|&i| i as u32).collect();
        let said = if at.is_empty() {
            Vec::new()
        } else {
            logits.index_select(&Tensor::new(at, device)?, 0)?.to_vec2::<f32>()?
        };
        let choices = asked.iter().zip(said).map(|(&i, row)| (f64::from(cross[i]), row)).collect();
        Ok(ShardGradient { loss: f64::from(loss.to_scalar::<f32>()?), gradient, choices })
    }
}
