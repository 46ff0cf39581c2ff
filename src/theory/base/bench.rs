//! A set of contrasts at one layer under one control, with its factorisation, on which labels are probed.

use std::cell::{OnceCell, RefCell};

use faer::Mat;
use ndarray::ArrayView2;

use crate::error::Result;
use crate::linalg::dot;
use crate::probe::length::LengthControl;
use crate::probe::twicing::{components, twicing};
use crate::probe::{Contrasts, Probed, Spectrum};
use crate::theory::base::effective::Dimension;
use crate::theory::base::estimate::Control;
use crate::theory::base::mean::BlockMean;
use crate::theory::base::random::random_readings;

/// Contrasts X `[N, d]` and everything that all labels share.
pub struct Bench {
    /// The contrasts.
    pub contrasts: Contrasts,
    /// What was projected out.
    pub control: Control,
    /// X after projection.
    pub x: Mat<f64>,
    /// Factorisation of X.
    pub spectrum: Spectrum,
    /// Default penalty.
    pub lambda: f64,
    length: Option<LengthControl>,
    /// Another layer at which some of the contrasts are predicted.
    twin: Option<Twin>,
    /// Effective dimension, computed on first use.
    pub(crate) dimension: OnceCell<Option<Dimension>>,
    /// Resolved share of the residual stream's variance, computed on first use.
    resolved: OnceCell<f64>,
    /// Cache of predicted labels; the same label is requested under several names.
    known: RefCell<Vec<(Method, Label)>>,
}

/// The same contrasts at another layer, at which some of them are predicted.
struct Twin {
    bench: Box<Bench>,
    /// Whether each contrast is predicted at the other layer.
    there: Vec<bool>,
}

/// Method of prediction.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Method {
    /// Twicing ridge with this penalty.
    Ridge(f64),
    /// The same, with all contrasts at the bench's own layer.
    RidgeAlone(f64),
    /// Least squares on this many principal components.
    Components(usize),
}

/// Number of random directions drawn for the resolved share, and their seed.
const SHARE_DRAWS: usize = 32;
const SHARE_SEED: u64 = 0x7368_6172_655f_6466;

/// A label on a bench: contrasts and leave-block-out predictions.
#[derive(Debug, Clone)]
pub struct Label {
    /// Contrasts, `[N]`.
    pub y: Vec<f64>,
    /// Predictions, `[N]`.
    pub yhat: Vec<f64>,
}

impl Label {
    /// Pairs contrasts with predictions.
    pub fn probed(&self) -> Probed<'_> {
        Probed { y: &self.y, yhat: &self.yhat }
    }

    /// Divides by a unit; `None` if the unit is not positive.
    pub fn over(self, unit: f64) -> Option<Self> {
        let scaled = |v: Vec<f64>| v.into_iter().map(|x| x / unit).collect();
        (unit > 0.0).then(|| Self { y: scaled(self.y), yhat: scaled(self.yhat) })
    }

    /// Subtracts another label.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let less = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect();
        Self { y: less(&self.y, &other.y), yhat: less(&self.yhat, &other.yhat) }
    }

    /// Weighted mean of labels; weights need not sum to 1.
    pub fn mean(labels: &[Self], weights: &[f64]) -> Self {
        let total: f64 = weights.iter().sum();
        let mean = |of: fn(&Self) -> &Vec<f64>| -> Vec<f64> {
            let at = |i: usize| labels.iter().zip(weights).map(|(l, w)| w * of(l)[i]).sum::<f64>() / total;
            (0..of(&labels[0]).len()).map(at).collect()
        };
        Self { y: mean(|l| &l.y), yhat: mean(|l| &l.yhat) }
    }

    /// Mean square of the contrasts: the within-prompt variance.
    pub fn variance(&self) -> f64 {
        self.y.iter().map(|y| y * y).sum::<f64>() / self.y.len() as f64
    }
}

impl Bench {
    /// Factorises the contrasts of `h [rows, d]`. [`Control::Length`] requires `length`.
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
            twin: None,
            dimension: OnceCell::new(),
            resolved: OnceCell::new(),
            known: RefCell::default(),
        })
    }

    /// Predicts the contrasts of the blocks for which `there` holds (given the block's number in the data) at the
    /// layer of `other`, which must have the same contrasts and control. X, the spectrum and d_eff stay those of this
    /// bench.
    ///
    /// Every prediction still comes from a fit to all other blocks, so θ̂ is the mean over blocks, each at its own
    /// layer, and its influence is that of [`theta`](crate::probe::influence::theta).
    #[must_use]
    pub fn with_twin(mut self, other: Self, there: impl Fn(i32) -> bool) -> Self {
        let mut mask = vec![false; self.n()];
        for (block, &name) in self.contrasts.blocks().iter().zip(self.contrasts.block_names()) {
            mask[block.clone()].fill(there(name));
        }
        if self.contrasts == other.contrasts && mask.iter().any(|m| *m) {
            self.twin = Some(Twin { bench: Box::new(other), there: mask });
        }
        self
    }

    /// Whether some contrasts are predicted at another layer.
    pub fn has_twin(&self) -> bool {
        self.twin.is_some()
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

    /// Applies this bench's control to contrasts already taken.
    pub fn controlled(&self, y: Vec<f64>) -> Vec<f64> {
        match &self.length {
            Some(length) => length.clean(&y),
            None => y,
        }
    }

    /// Widens the error of a mean score of left-out predictions by the degrees of freedom of the fit.
    pub fn of_the_fit(&self, mean: BlockMean) -> BlockMean {
        mean.of_a_fit(self.spectrum.df(self.lambda), self.n())
    }

    /// Probes labels under the default penalty, in one pass.
    pub fn probe(&self, labels: Vec<Vec<f64>>) -> Vec<Label> {
        self.probe_at(self.lambda, labels)
    }

    /// Probes labels computed from this bench's own X, with all contrasts at its own layer.
    pub fn probe_alone(&self, labels: Vec<Vec<f64>>) -> Vec<Label> {
        self.predicted(
            if self.has_twin() { Method::RidgeAlone(self.lambda) } else { Method::Ridge(self.lambda) },
            labels,
        )
    }

    /// The label under the penalty used for the printed interval ([`Spectrum::interval_df`]); returned unchanged
    /// where that is the default penalty or the contrasts do not resolve v*.
    pub fn finer(&self, label: &Label) -> Label {
        match self.finer_penalty() {
            Some(lambda) => self.probe_at(lambda, vec![label.y.clone()]).remove(0),
            None => label.clone(),
        }
    }

    /// Predicts in one pass the labels that [`Bench::finer`] will need.
    pub fn prepare_finer(&self, labels: &[Vec<f64>]) {
        if let Some(lambda) = self.finer_penalty() {
            self.probe_at(lambda, labels.to_vec());
        }
    }

    fn finer_penalty(&self) -> Option<f64> {
        let (df, default) = (self.spectrum.interval_df(), self.spectrum.default_df());
        (self.spectrum.resolves() && df > 1.000_001 * default).then(|| self.spectrum.penalty(df))
    }

    /// Share of its variance that a direction spread evenly over the coordinates of the residual stream keeps in θ̂:
    /// the mean over 32 Gaussian directions u of θ̂_uu / Var⟨h, u⟩, on left-out blocks. Equals the share of the trace
    /// of Σ that the contrasts resolve.
    pub fn resolved_share(&self) -> f64 {
        *self.resolved.get_or_init(|| {
            let readings = random_readings(&self.x, SHARE_SEED, SHARE_DRAWS);
            let columns = |j: usize| (0..readings.nrows()).map(|i| readings[(i, j)]).collect::<Vec<f64>>();
            let labels: Vec<Vec<f64>> = (0..readings.ncols()).map(columns).collect();
            let views: Vec<&[f64]> = labels.iter().map(Vec::as_slice).collect();
            let predicted = twicing(&self.spectrum, self.contrasts.blocks(), self.lambda, &views);
            let (mut told, mut all) = (0.0, 0.0);
            for (y, yhat) in labels.iter().zip(&predicted) {
                told += dot(y, yhat);
                all += dot(y, y);
            }
            if all > 0.0 { (told / all).clamp(0.0, 1.0) } else { 0.0 }
        })
    }

    /// Probes labels under another penalty.
    pub fn probe_at(&self, lambda: f64, labels: Vec<Vec<f64>>) -> Vec<Label> {
        self.predicted(Method::Ridge(lambda), labels)
    }

    /// Probes labels on the leading `k` principal components.
    pub fn probe_components(&self, k: usize, labels: Vec<Vec<f64>>) -> Vec<Label> {
        self.predicted(Method::Components(k), labels)
    }

    /// Labels with their predictions; computes those not in the cache in one pass.
    fn predicted(&self, method: Method, labels: Vec<Vec<f64>>) -> Vec<Label> {
        let find = |y: &Vec<f64>| {
            let known = self.known.borrow();
            known.iter().find(|(m, label)| *m == method && label.y == *y).map(|(_, label)| label.clone())
        };
        let new: Vec<&[f64]> = labels.iter().filter(|y| find(y).is_none()).map(Vec::as_slice).collect();
        if !new.is_empty() {
            let predictions = self.predictions(method, &new);
            let found = new.iter().zip(predictions).map(|(y, yhat)| (method, Label { y: y.to_vec(), yhat }));
            self.known.borrow_mut().extend(found.collect::<Vec<_>>());
        }
        // A label that contains NaN never equals a cached one; its prediction is NaN as well.
        labels
            .into_iter()
            .map(|y| find(&y).unwrap_or_else(|| Label { yhat: vec![f64::NAN; y.len()], y }))
            .collect()
    }

    /// Leave-block-out predictions of each label.
    fn predictions(&self, method: Method, labels: &[&[f64]]) -> Vec<Vec<f64>> {
        let blocks = self.contrasts.blocks();
        let mut own = match method {
            Method::Ridge(lambda) | Method::RidgeAlone(lambda) => {
                twicing(&self.spectrum, blocks, lambda, labels)
            }
            Method::Components(k) => components(&self.spectrum, blocks, k, labels),
        };
        if let (Some(twin), false) = (&self.twin, matches!(method, Method::RidgeAlone(_))) {
            // Match the degrees of freedom of this layer.
            let method = match method {
                Method::Ridge(lambda) if lambda == self.lambda => Method::Ridge(twin.bench.lambda),
                Method::Ridge(lambda) => {
                    let most = 0.999 * twin.bench.spectrum.rank() as f64;
                    Method::Ridge(twin.bench.spectrum.penalty(self.spectrum.df(lambda).min(most)))
                }
                other => other,
            };
            for (own, theirs) in own.iter_mut().zip(twin.bench.predictions(method, labels)) {
                let places = own.iter_mut().zip(theirs).zip(&twin.there);
                places.filter(|(_, there)| **there).for_each(|((own, theirs), _)| *own = theirs);
            }
        }
        own
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
