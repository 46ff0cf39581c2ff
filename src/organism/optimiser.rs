//! AdamW with gradient clipping; its state is public so that training can be resumed exactly.

use super::net::Shape;

/// Decay rates of the mean gradient and the mean squared gradient.
const BETA: (f32, f32) = (0.9, 0.98);
/// Weight decay of matrices.
const DECAY: f32 = 0.02;
/// Maximum norm of a gradient.
const CLIP: f64 = 1.0;

/// State of the optimiser.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamW {
    /// Running mean of gradients.
    pub mean: Vec<f32>,
    /// Running mean of squared gradients.
    pub square: Vec<f32>,
    /// Number of steps taken.
    pub steps: u32,
    decays: Vec<bool>,
}

impl AdamW {
    /// State before the first step.
    pub fn new(shape: &Shape) -> Self {
        let n = shape.parameters();
        let mut decays = vec![true; n];
        for norm in shape.norms() {
            decays[norm].fill(false);
        }
        Self { mean: vec![0.0; n], square: vec![0.0; n], steps: 0, decays }
    }

    /// Takes one step; returns the gradient's norm before clipping.
    pub fn step(&mut self, parameters: &mut [f32], gradient: &[f32], rate: f32) -> f64 {
        let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
        let clip = if norm > CLIP { (CLIP / norm) as f32 } else { 1.0 };
        self.steps += 1;
        let fix = |beta: f32| 1.0 - (f64::from(beta)).powi(self.steps as i32) as f32;
        let (fix1, fix2) = (fix(BETA.0), fix(BETA.1));
        for (i, p) in parameters.iter_mut().enumerate() {
            let g = gradient[i] * clip;
            let m = BETA.0 * self.mean[i] + (1.0 - BETA.0) * g;
            let v = BETA.1 * self.square[i] + (1.0 - BETA.1) * g * g;
            (self.mean[i], self.square[i]) = (m, v);
            if self.decays[i] {
                *p -= rate * DECAY * *p;
            }
            *p -= rate * (m / fix1) / ((v / fix2).sqrt() + 1e-8);
        }
        norm
    }
}
