//! Interventions on the residual stream: adds a vector, or projects out a direction, at given layers.
//!
//! At the output of block l (layer 0: the embeddings' output), for every selected token t:
//!
//! - add: h_t ← h_t + α v;
//! - ablate: h_t ← h_t − v̂ ⟨v̂, h_t⟩, v̂ = v/‖v‖.
//!
//! Several interventions at one layer act in the order given. All of it is computed in f64 and rounded once to the
//! stream's dtype, so that adding zero changes no bit. Both engines share one implementation: the plain one stays
//! differentiable, the fused one passes its buffer in and takes it back.

use candle_core::{DType, Tensor};

use crate::error::{Diagnostic, Kind, Result};
use crate::model::config::Config;
use crate::units::Layer;

/// The tokens that an intervention affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum At {
    /// Every token.
    #[default]
    Everywhere,
    /// The response's first token and all tokens after it. This includes what a template adds after the response, which
    /// no measurement of a response depends on.
    Response,
}

/// The operation applied to h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Add,
    Ablate,
}

/// One intervention.
#[derive(Debug, Clone, PartialEq)]
pub struct Intervention {
    layer: Layer,
    action: Action,
    at: At,
    /// α v, or v̂.
    vector: Vec<f64>,
}

impl Intervention {
    /// h ← h + α v at a layer.
    ///
    /// # Errors
    /// [`Kind::NotFinite`] for NaN or infinity in α v.
    pub fn add(layer: Layer, v: &[f64], alpha: f64, at: At) -> Result<Self> {
        let vector: Vec<f64> = v.iter().map(|v| alpha * v).collect();
        finite(&vector)?;
        Ok(Self { layer, action: Action::Add, at, vector })
    }

    /// h ← h − v̂⟨v̂, h⟩ at a layer.
    ///
    /// # Errors
    /// [`Kind::NotFinite`] for NaN or infinity in v; [`Kind::Invalid`] for v = 0, which has no direction.
    pub fn ablate(layer: Layer, v: &[f64], at: At) -> Result<Self> {
        finite(v)?;
        let norm = v.iter().map(|v| v * v).sum::<f64>().sqrt();
        if norm == 0.0 {
            return Err(Diagnostic::new(Kind::Invalid, "a direction of length 0 cannot be projected out")
                .expected("a vector that is not zero")
                .into());
        }
        Ok(Self { layer, action: Action::Ablate, at, vector: v.iter().map(|v| v / norm).collect() })
    }
}

fn finite(v: &[f64]) -> Result<()> {
    match v.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(i) => Err(Diagnostic::new(Kind::NotFinite, format!("entry {i} of a direction is {}", v[i]))
            .expected("finite numbers")
            .into()),
    }
}

/// Any number of interventions; the default does nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Steering(Vec<Intervention>);

impl Steering {
    /// Interventions, applied at each layer in this order.
    pub fn new(interventions: Vec<Intervention>) -> Self {
        Self(interventions)
    }

    /// Whether there are no interventions.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any intervention depends on where the response starts.
    pub fn response_only(&self) -> bool {
        self.0.iter().any(|i| i.at == At::Response)
    }

    /// Whether any intervention acts at this layer.
    pub fn touches(&self, layer: Layer) -> bool {
        self.0.iter().any(|i| i.layer == layer)
    }

    /// Checks that all interventions fit a model.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a layer that the model does not have, or a vector of another width.
    pub fn check(&self, config: &Config) -> Result<()> {
        let (blocks, width) = (config.num_blocks(), config.hidden_size);
        for i in &self.0 {
            if i.layer.0 > blocks {
                return Err(Diagnostic::new(Kind::Invalid, format!("the model has no layer {}", i.layer))
                    .expected(format!("0 (the embeddings' output) to {blocks}"))
                    .into());
            }
            if i.vector.len() != width {
                return Err(Diagnostic::new(Kind::Invalid, "a direction of another width than the model's")
                    .expected(format!("{width} numbers"))
                    .found(i.vector.len().to_string())
                    .remedy("take the direction from a run of this model")
                    .into());
            }
        }
        Ok(())
    }

    /// The residual stream `x [T, hidden]` of a layer after its interventions. `response [T]` marks the tokens at or
    /// after the start of a response; it is read only if an intervention needs it.
    ///
    /// # Errors
    /// If the tensor library fails.
    pub fn apply(&self, layer: Layer, x: &Tensor, response: &[bool]) -> Result<Tensor> {
        let mut h = x.to_dtype(DType::F64)?;
        for i in self.0.iter().filter(|i| i.layer == layer) {
            let v = Tensor::from_slice(&i.vector, (1, i.vector.len()), x.device())?;
            let step = match i.action {
                Action::Add => v.broadcast_as(h.shape())?.contiguous()?,
                Action::Ablate => h.broadcast_mul(&v)?.sum_keepdim(1)?.broadcast_mul(&v)?.neg()?,
            };
            let step = match i.at {
                At::Everywhere => step,
                At::Response => {
                    let mask: Vec<f64> = response.iter().map(|&r| f64::from(u8::from(r))).collect();
                    step.broadcast_mul(&Tensor::from_vec(mask, (response.len(), 1), x.device())?)?
                }
            };
            h = (h + step)?;
        }
        Ok(h.to_dtype(x.dtype())?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn stream() -> Tensor {
        let values: Vec<f32> = (0..20).map(|i| ((i * i) as f32 * 0.37).sin() * 3.0).collect();
        Tensor::from_vec(values, (4, 5), &Device::Cpu).expect("a tensor")
    }

    fn rows(x: &Tensor) -> Vec<Vec<f32>> {
        x.to_vec2().expect("a matrix")
    }

    #[test]
    fn only_the_tokens_asked_for_move_and_by_what_was_asked() {
        let v = [1.0, 0.0, -2.0, 0.5, 0.0];
        let add = Intervention::add(Layer(2), &v, 0.5, At::Response).expect("an intervention");
        let steering = Steering::new(vec![add]);
        let after = steering.apply(Layer(2), &stream(), &[false, true, false, true]).expect("a tensor");
        for (t, (a, b)) in rows(&after).iter().zip(rows(&stream())).enumerate() {
            for j in 0..5 {
                let moved = if t % 2 == 1 { 0.5 * v[j] } else { 0.0 };
                assert!((f64::from(a[j]) - f64::from(b[j]) - moved).abs() < 1e-6);
            }
        }
        assert!(!steering.touches(Layer(1)) && steering.touches(Layer(2)) && steering.response_only());
    }

    #[test]
    fn what_is_ablated_is_gone_and_the_rest_is_kept() {
        let v = [1.0, 2.0, -2.0, 0.5, 3.0];
        let gone = Intervention::ablate(Layer(0), &v, At::Everywhere).expect("an intervention");
        let after = Steering::new(vec![gone]).apply(Layer(0), &stream(), &[]).expect("a tensor");
        let along = |row: &[f32]| row.iter().zip(v).map(|(x, v)| f64::from(*x) * v).sum::<f64>();
        let square = v.iter().map(|v| v * v).sum::<f64>();
        for (a, b) in rows(&after).iter().zip(rows(&stream())) {
            assert!(along(a).abs() / square.sqrt() < 1e-6);
            // The difference is along v alone.
            for j in 0..5 {
                let moved = along(&b) * v[j] / square;
                assert!((f64::from(b[j]) - f64::from(a[j]) - moved).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn no_direction_is_no_ablation() {
        let refused = Intervention::ablate(Layer(0), &[0.0; 3], At::Everywhere).expect_err("refused");
        assert_eq!(refused.kind(), Some(Kind::Invalid));
        let refused = Intervention::add(Layer(0), &[1.0], f64::NAN, At::Everywhere).expect_err("refused");
        assert_eq!(refused.kind(), Some(Kind::NotFinite));
    }
}
