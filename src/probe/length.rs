//! Length control: projects out everything that varies linearly with a response's length within a prompt.
//!
//! The contrasts of log(tokens) are projected out of X and out of every label; from log P, whose scale is tokens, those
//! of the number of tokens are projected out as well. Least squares over all contrasts, without an intercept, since
//! contrasts have none.

use faer::Mat;
use rayon::prelude::*;

use super::contrasts::Contrasts;
use crate::linalg::{dot, orthonormal};

/// Orthonormal bases of the projected-out contrasts.
#[derive(Debug, Clone)]
pub struct LengthControl {
    /// For X, S and rewards: log(tokens).
    general: Vec<Vec<f64>>,
    /// For log P: log(tokens) and tokens.
    logprob: Vec<Vec<f64>>,
}

impl LengthControl {
    /// Builds the control from the number of tokens of each row; `None` if length does not vary within prompts.
    pub fn new(contrasts: &Contrasts, tokens: &[f64]) -> Option<Self> {
        let logs: Vec<f64> = tokens.iter().map(|t| t.max(1.0).ln()).collect();
        let (logs, tokens) = (contrasts.column(&logs), contrasts.column(tokens));
        let general = orthonormal(std::slice::from_ref(&logs));
        let logprob = orthonormal(&[logs, tokens]);
        (!general.is_empty()).then_some(Self { general, logprob })
    }

    /// A control that removes nothing, for contrasts in which length does not vary: the controlled estimates then equal
    /// the plain ones.
    pub fn nothing() -> Self {
        Self { general: Vec::new(), logprob: Vec::new() }
    }

    /// Projects length out of X in place.
    pub fn clean_matrix(&self, x: &mut Mat<f64>) {
        let columns = x.ncols();
        let basis = &self.general;
        x.as_mut().par_col_partition_mut(rayon::current_num_threads().clamp(1, columns.max(1))).for_each(
            |mut part| {
                for j in 0..part.ncols() {
                    for q in basis {
                        let along: f64 = (0..part.nrows()).map(|i| part[(i, j)] * q[i]).sum();
                        for i in 0..part.nrows() {
                            part[(i, j)] -= along * q[i];
                        }
                    }
                }
            },
        );
    }

    /// A label without the part explained by length.
    pub fn clean(&self, y: &[f64]) -> Vec<f64> {
        without(y, &self.general)
    }

    /// log P without the part explained by length.
    pub fn clean_logprob(&self, y: &[f64]) -> Vec<f64> {
        without(y, &self.logprob)
    }
}

fn without(y: &[f64], basis: &[Vec<f64>]) -> Vec<f64> {
    let mut y = y.to_vec();
    for q in basis {
        let along = dot(q, &y);
        y.iter_mut().zip(q).for_each(|(y, q)| *y -= along * q);
    }
    y
}
