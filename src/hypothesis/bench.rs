//! One set of contrasts at one layer under one control, with its factorisation: what labels are probed on.

use std::cell::{OnceCell, RefCell};

use faer::Mat;
use ndarray::ArrayView2;

use super::dimension::Dimension;
use super::estimate::Control;
use crate::error::Result;
use crate::probe::length::LengthControl;
use crate::probe::twicing::{components, twicing};
use crate::probe::{Contrasts, Probed, Spectrum};

/// Contrasts X `[N, d]` and what every label shares.
pub struct Bench {
    /// The contrasts.
    pub contrasts: Contrasts,
    /// What was projected out.
    pub control: Control,
    /// X, after projection.
    pub x: Mat<f64>,
    /// Its factorisation.
    pub spectrum: Spectrum,
    /// The default penalty.
    pub lambda: f64,
    length: Option<LengthControl>,
    /// Effective dimension, once it was asked for.
    pub(super) dimension: OnceCell<Option<Dimension>>,
    /// Labels that were predicted before: one is asked for under several names.
    known: RefCell<Vec<(Method, Label)>>,
}

/// How a label is predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Method {
    /// Twicing ridge of this penalty.
    Ridge(f64),
    /// Least squares on so many principal components.
    Components(usize),
}

/// A label on a bench: contrasts and leave-block-out predictions.
#[derive(Debug, Clone)]
pub struct Label {
    /// Contrasts, `[N]`.
    pub y: Vec<f64>,
    /// Predictions, `[N]`.
    pub yhat: Vec<f64>,
}

impl Label {
    /// Both together.
    pub fn probed(&self) -> Probed<'_> {
        Probed { y: &self.y, yhat: &self.yhat }
    }

    /// Divided by a unit; `None` if that is not positive.
    pub fn over(self, unit: f64) -> Option<Self> {
        let scaled = |v: Vec<f64>| v.into_iter().map(|x| x / unit).collect();
        (unit > 0.0).then(|| Self { y: scaled(self.y), yhat: scaled(self.yhat) })
    }

    /// Mean square of the contrasts: the within-prompt variance.
    pub fn variance(&self) -> f64 {
        self.y.iter().map(|y| y * y).sum::<f64>() / self.y.len() as f64
    }
}

impl Bench {
    /// Factorises the contrasts of `h [rows, d]`. `length` must be there for [`Control::Length`].
    ///
    /// # Errors
    /// If X has no variance, or the factorisation does not converge.
    pub fn new(contrasts: Contrasts, h: ArrayView2<'_, f32>, length: Option<LengthControl>) -> Result<Self> {
        let mut x = contrasts.matrix(h);
        if let Some(length) = &length {
            length.clean_matrix(&mut x);
        }
        let spectrum = Spectrum::new(&x)?;
        let lambda = spectrum.penalty(spectrum.default_df());
        let control = if length.is_some() { Control::Length } else { Control::None };
        Ok(Self {
            contrasts,
            control,
            x,
            spectrum,
            lambda,
            length,
            dimension: OnceCell::new(),
            known: RefCell::default(),
        })
    }

    /// Contrasts of a value or a reward, under this bench's control.
    pub fn column(&self, values: &[f64]) -> Vec<f64> {
        self.controlled(self.contrasts.column(values))
    }

    /// Contrasts of log P, under this bench's control.
    pub fn logprob(&self, values: &[f64]) -> Vec<f64> {
        let y = self.contrasts.column(values);
        self.length.as_ref().map_or_else(|| y.clone(), |l| l.clean_logprob(&y))
    }

    /// Contrasts that are already taken, under this bench's control.
    pub fn controlled(&self, y: Vec<f64>) -> Vec<f64> {
        match &self.length {
            Some(length) => length.clean(&y),
            None => y,
        }
    }

    /// Probes labels under the default penalty; one pass for all.
    pub fn probe(&self, labels: Vec<Vec<f64>>) -> Vec<Label> {
        self.probe_at(self.lambda, labels)
    }

    /// Probes labels under another penalty.
    pub fn probe_at(&self, lambda: f64, labels: Vec<Vec<f64>>) -> Vec<Label> {
        self.predicted(Method::Ridge(lambda), labels)
    }

    /// Probes labels on the leading `k` principal components.
    pub fn probe_components(&self, k: usize, labels: Vec<Vec<f64>>) -> Vec<Label> {
        self.predicted(Method::Components(k), labels)
    }

    /// The labels with their predictions; those that are not known yet in one pass.
    fn predicted(&self, method: Method, labels: Vec<Vec<f64>>) -> Vec<Label> {
        let find = |y: &Vec<f64>| {
            let known = self.known.borrow();
            known.iter().find(|(m, label)| *m == method && label.y == *y).map(|(_, label)| label.clone())
        };
        let new: Vec<&[f64]> = labels.iter().filter(|y| find(y).is_none()).map(Vec::as_slice).collect();
        if !new.is_empty() {
            let blocks = self.contrasts.blocks();
            let predictions = match method {
                Method::Ridge(lambda) => twicing(&self.spectrum, blocks, lambda, &new),
                Method::Components(k) => components(&self.spectrum, blocks, k, &new),
            };
            let found = new.iter().zip(predictions).map(|(y, yhat)| (method, Label { y: y.to_vec(), yhat }));
            self.known.borrow_mut().extend(found.collect::<Vec<_>>());
        }
        // A label that holds a NaN equals nothing, itself included: it is as NaN as its prediction.
        labels
            .into_iter()
            .map(|y| find(&y).unwrap_or_else(|| Label { yhat: vec![f64::NAN; y.len()], y }))
            .collect()
    }

    /// N.
    pub fn n(&self) -> usize {
        self.contrasts.len()
    }

    /// G.
    pub fn blocks(&self) -> usize {
        self.contrasts.blocks().len()
    }
}
