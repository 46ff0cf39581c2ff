//! The probe behind all estimates, as a linfa estimator: twice-iterated ridge regression of a score on rows.
//!
//! ŷ(h) = ȳ + ⟨h − h̄, v⟩, v = XᵀU diag(a(2 − a)/(Nμ)) Uᵀ(y − ȳ) with X the centred rows, X = U D Vᵀ, μ = D²/N and a =
//! μ/(μ + λ): ridge, followed by ridge on its residuals (Tukey's twicing). λ is given by the degrees of freedom Σ a.
//!
//! The estimates of a report use predictions of left-out blocks ([`super::twicing`]), never a probe's own training
//! rows; this estimator is for new rows.
//!
//! ```
//! use linfa::Dataset;
//! use linfa::traits::{Fit, Predict};
//! use ndarray::{Array1, Array2};
//! use vstar::probe::RidgeProbe;
//!
//! let h = Array2::from_shape_fn((40, 3), |(i, j)| ((i * (j + 2)) as f64 * 0.83).sin());
//! let scores: Array1<f64> = h.column(0).mapv(|x| 2.0 + 3.0 * x);
//! let probe = RidgeProbe::default().degrees_of_freedom(2.99).fit(&Dataset::new(h.clone(), scores.clone()))?;
//! let told = probe.predict(&h);
//! assert!(told.iter().zip(&scores).all(|(a, b)| (a - b).abs() < 0.05));
//! # Ok::<(), linfa::Error>(())
//! ```

use faer::Mat;
use linfa::dataset::{AsSingleTargets, DatasetBase};
use linfa::traits::{Fit, PredictInplace};
use ndarray::{Array1, ArrayBase, Axis, Data, Ix2};

use super::spectrum::Spectrum;
use super::twicing::directions;

/// Parameters of a ridge probe.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct RidgeProbe {
    df: Option<f64>,
}

impl RidgeProbe {
    /// Degrees of freedom Σ μ/(μ + λ) of one ridge, in (0, rank); default: [`Spectrum::default_df`].
    #[must_use]
    pub fn degrees_of_freedom(mut self, df: f64) -> Self {
        self.df = Some(df);
        self
    }
}

/// A fitted ridge probe of width `d`.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedRidge {
    direction: Array1<f64>,
    mean: Array1<f64>,
    offset: f64,
    lambda: f64,
}

impl FittedRidge {
    /// Direction v, `[d]`: the change of a score per unit of each coordinate.
    pub fn direction(&self) -> &Array1<f64> {
        &self.direction
    }

    /// The penalty λ, in units of a coordinate's variance.
    pub fn penalty(&self) -> f64 {
        self.lambda
    }
}

impl<D, T> Fit<ArrayBase<D, Ix2>, T, linfa::Error> for RidgeProbe
where
    D: Data<Elem = f64>,
    T: AsSingleTargets<Elem = f64>,
{
    type Object = FittedRidge;

    /// # Errors
    /// `MismatchedShapes` for different numbers of rows and scores, `NotEnoughSamples` below two rows, `Parameters` for
    /// degrees of freedom outside (0, rank), or rows that do not vary or are not finite.
    fn fit(&self, dataset: &DatasetBase<ArrayBase<D, Ix2>, T>) -> Result<FittedRidge, linfa::Error> {
        let (rows, scores) = (dataset.records(), dataset.as_single_targets());
        if rows.nrows() != scores.len() {
            return Err(linfa::Error::MismatchedShapes(rows.nrows(), scores.len()));
        }
        if rows.nrows() < 2 {
            return Err(linfa::Error::NotEnoughSamples);
        }
        if rows.iter().chain(scores.iter()).any(|v| !v.is_finite()) {
            return Err(linfa::Error::Parameters("rows and scores have to be finite".into()));
        }
        let mean = rows.sum_axis(Axis(0)) / rows.nrows() as f64;
        let offset = scores.sum() / scores.len() as f64;
        let x = Mat::from_fn(rows.nrows(), rows.ncols(), |i, j| rows[[i, j]] - mean[j]);
        let y: Vec<f64> = scores.iter().map(|s| s - offset).collect();
        let spectrum = Spectrum::new(&x).map_err(|e| linfa::Error::Parameters(e.to_string()))?;
        let df = self.df.unwrap_or_else(|| spectrum.default_df());
        if !(df > 0.0 && df < spectrum.rank() as f64) {
            return Err(linfa::Error::Parameters(format!(
                "{df} degrees of freedom, expected more than 0 and less than the rank, {}",
                spectrum.rank()
            )));
        }
        let lambda = spectrum.penalty(df);
        let v = directions(&spectrum, &x, lambda, &[&y]);
        Ok(FittedRidge { direction: (0..x.ncols()).map(|j| v[(j, 0)]).collect(), mean, offset, lambda })
    }
}

impl<D: Data<Elem = f64>> PredictInplace<ArrayBase<D, Ix2>, Array1<f64>> for FittedRidge {
    fn predict_inplace<'a>(&'a self, x: &'a ArrayBase<D, Ix2>, y: &mut Array1<f64>) {
        assert_eq!(x.ncols(), self.direction.len(), "rows of the width that was fitted");
        y.assign(&(x.dot(&self.direction) + (self.offset - self.mean.dot(&self.direction))));
    }

    fn default_target(&self, x: &ArrayBase<D, Ix2>) -> Array1<f64> {
        Array1::zeros(x.nrows())
    }
}

#[cfg(test)]
mod tests {
    use linfa::Dataset;
    use linfa::traits::Predict;
    use ndarray::Array2;

    use super::*;

    fn rows() -> (Array2<f64>, Array1<f64>) {
        let h = Array2::from_shape_fn((24, 4), |(i, j)| {
            ((i * (j + 2)) as f64 * 0.83).sin() * (1.0 + j as f64) + 3.0
        });
        let y =
            h.rows().into_iter().enumerate().map(|(i, r)| 5.0 + r[0] - 0.5 * r[2] + 0.1 * (i as f64).cos());
        let y = y.collect();
        (h, y)
    }

    #[test]
    fn it_is_ridge_and_ridge_on_the_residuals_in_closed_form() {
        let (h, y) = rows();
        let probe = RidgeProbe::default()
            .degrees_of_freedom(2.5)
            .fit(&Dataset::new(h.clone(), y.clone()))
            .expect("a fit");
        let n = h.nrows() as f64;
        let centred = &h - &(h.sum_axis(Axis(0)) / n);
        let target = &y - y.sum() / n;
        // (XᵀX/N + λI) β = Xᵀt/N by elimination.
        let ridge = |t: &Array1<f64>| -> Array1<f64> {
            let d = h.ncols();
            let gram = centred.t().dot(&centred) / n;
            let right = centred.t().dot(t) / n;
            let a = Mat::from_fn(d, d, |i, j| gram[[i, j]] + if i == j { probe.penalty() } else { 0.0 });
            crate::linalg::solve(a.as_ref(), &right.to_vec()).into_iter().collect()
        };
        let first = ridge(&target);
        let second = ridge(&(&target - &centred.dot(&first)));
        for (got, want) in probe.direction().iter().zip(&(first + second)) {
            assert!((got - want).abs() < 1e-9, "{got} {want}");
        }
        // The score of the mean row is the mean score; scores of two rows differ by ⟨difference, v⟩.
        let told = probe.predict(&h);
        assert!((told.sum() / n - y.sum() / n).abs() < 1e-9);
        let gap = (&h.row(3) - &h.row(5)).dot(probe.direction());
        assert!((told[3] - told[5] - gap).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let (h, y) = rows();
        let fit = |df: f64, h: &Array2<f64>, y: &Array1<f64>| {
            RidgeProbe::default().degrees_of_freedom(df).fit(&Dataset::new(h.clone(), y.clone()))
        };
        for df in [0.0, 4.0, f64::NAN] {
            assert!(matches!(fit(df, &h, &y), Err(linfa::Error::Parameters(_))), "{df}");
        }
        let constant = Array2::from_elem((24, 4), 2.0);
        assert!(matches!(fit(1.0, &constant, &y), Err(linfa::Error::Parameters(_))));
        let mut holed = y.clone();
        holed[2] = f64::NAN;
        assert!(matches!(fit(1.0, &h, &holed), Err(linfa::Error::Parameters(_))));
    }
}
