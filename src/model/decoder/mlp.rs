//! The MLP of a block: gated or plain.

use candle_core::{D, Tensor};

use super::dense::Dense;
use crate::error::Result;
use crate::model::config::{Activation, Config, Mlp as Kind};
use crate::model::weights::{BlockNames, TensorSource};

/// down(act(gate x) ⊙ up x), or down(act(up x)).
///
/// The gate and up projections are one matrix `[2·intermediate, hidden]`, gate first, so that both take a single
/// product.
#[derive(Debug, Clone)]
pub struct Mlp {
    pub(super) up: Dense,
    pub(super) down: Dense,
    pub(super) kind: Kind,
    pub(super) intermediate: usize,
}

impl Mlp {
    /// Reads the projections.
    ///
    /// # Errors
    /// If the checkpoint lacks them or has other shapes.
    pub fn load(source: &dyn TensorSource, names: &BlockNames, config: &Config) -> Result<Self> {
        let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
        let rows = match config.mlp {
            Kind::Gated(_) => 2 * intermediate,
            Kind::Plain(_) => intermediate,
        };
        Ok(Self {
            up: Dense::load(source, &names.up, rows, hidden, config.biases.mlp)?,
            down: Dense::load(source, &names.down, hidden, intermediate, config.biases.mlp)?,
            kind: config.mlp,
            intermediate,
        })
    }

    /// `x [T, hidden] → [T, hidden]`.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let up = self.up.forward(x)?;
        let inner = match self.kind {
            Kind::Plain(act) => activate(act, &up)?,
            Kind::Gated(act) => {
                let gate = up.narrow(D::Minus1, 0, self.intermediate)?;
                (activate(act, &gate)? * up.narrow(D::Minus1, self.intermediate, self.intermediate)?)?
            }
        };
        self.down.forward(&inner)
    }
}

fn activate(act: Activation, x: &Tensor) -> Result<Tensor> {
    Ok(match act {
        Activation::Silu => x.silu()?,
        Activation::Gelu => x.gelu_erf()?,
        Activation::GeluTanh => x.gelu()?,
        Activation::Relu => x.relu()?,
    })
}
