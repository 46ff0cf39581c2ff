//! A logistic probe: maximises the penalised likelihood on standardised coordinates, using linfa.
//!
//! p(first class | h) = σ(b + ⟨β, (h − m)/s⟩), with m and s the means and standard deviations of the fitted rows'
//! coordinates; β minimises −log likelihood + ‖β‖²/2, scikit-learn's default. A coordinate without variance is omitted.

use linfa::Dataset;
use linfa::traits::{Fit, Predict};
use linfa_logistic::{FittedLogisticRegression, LogisticRegression};
use ndarray::{Array1, Array2, ArrayView2, Axis};

/// Weight of ‖β‖²/2 relative to the log-likelihood of all rows.
const PENALTY: f64 = 1.0;
/// Maximum number of iterations.
const STEPS: u64 = 500;

/// A fitted probe of width `d`.
#[derive(Debug, Clone)]
pub struct LogisticProbe {
    /// Means m, `[d]`.
    mean: Array1<f64>,
    /// Standard deviations s, `[d]`; infinite for a coordinate without variance.
    sd: Array1<f64>,
    fitted: FittedLogisticRegression<f64, bool>,
}

impl LogisticProbe {
    /// Fits rows `[n, d]` to their classes; `None` unless both classes are present and the optimisation converges.
    pub fn fit(h: ArrayView2<'_, f32>, first: &[bool]) -> Option<Self> {
        let wide = h.mapv(f64::from);
        let mean = wide.mean_axis(Axis(0))?;
        let sd = wide.std_axis(Axis(0), 0.0).mapv(|s| if s > 0.0 { s } else { f64::INFINITY });
        let rows = (&wide - &mean) / &sd;
        let search = LogisticRegression::default().alpha(PENALTY).max_iterations(STEPS);
        let fitted = search.fit(&Dataset::new(rows, Array1::from(first.to_vec()))).ok()?;
        let finite = fitted.params().iter().all(|b| b.is_finite()) && fitted.intercept().is_finite();
        finite.then_some(Self { mean, sd, fitted })
    }

    /// The direction of log-odds of the first class in raw coordinates, β/s, `[d]`; 0 for a coordinate without variance.
    pub fn direction(&self) -> Array1<f64> {
        // The class that linfa treats as positive depends on the data.
        let sign = if self.fitted.labels().pos.class { 1.0 } else { -1.0 };
        sign * self.fitted.params() / &self.sd
    }

    /// Whether each row `[n, d]` is classified as the first class.
    pub fn predict(&self, h: ArrayView2<'_, f32>) -> Vec<bool> {
        let rows: Array2<f64> = (h.mapv(f64::from) - &self.mean) / &self.sd;
        self.fitted.predict(&rows).to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twelve rows of three coordinates, the last of them constant.
    fn rows() -> (Array2<f32>, Vec<bool>) {
        let h = Array2::from_shape_fn((12, 3), |(i, j)| match j {
            0 => (i as f32 * 1.7).sin() + if i % 2 == 0 { 0.8 } else { 0.0 },
            1 => 300.0 * (i as f32 * 0.9).cos(),
            _ => 5.0,
        });
        (h, (0..12).map(|i| i % 2 == 0).collect())
    }

    #[test]
    fn weights_are_scikit_learns() {
        let (h, first) = rows();
        let probe = LogisticProbe::fit(h.view(), &first).expect("a fit");
        // LogisticRegression(C=1, tol=1e-10).fit(StandardScaler().fit_transform(h[:, :2]), first)
        let told = [0.662_168_9, 0.031_684_8, -0.003_003_1];
        let sign = if probe.fitted.labels().pos.class { 1.0 } else { -1.0 };
        for (found, told) in probe.fitted.params().iter().zip([told[0], told[1], 0.0]) {
            assert!((sign * found - told).abs() < 1e-3, "{found} {told}");
        }
        for (j, v) in probe.direction().iter().enumerate() {
            let told = [told[0], told[1], 0.0][j] / if j < 2 { probe.sd[j] } else { 1.0 };
            assert!((v - told).abs() < 1e-3 / probe.sd[j].min(1.0), "{j}: {v} {told}");
        }
        assert!((sign * probe.fitted.intercept() - told[2]).abs() < 1e-3, "{}", probe.fitted.intercept());
        let right = probe.predict(h.view()).iter().zip(&first).filter(|(a, b)| a == b).count();
        assert_eq!(right, 8);
    }

    #[test]
    fn one_class_has_no_probe_and_constant_rows_are_guessed_alike() {
        let (h, _) = rows();
        assert!(LogisticProbe::fit(h.view(), &[true; 12]).is_none());
        let constant = Array2::from_elem((12, 3), 2.0f32);
        let first: Vec<bool> = (0..12).map(|i| i < 6).collect();
        let probe = LogisticProbe::fit(constant.view(), &first).expect("a fit");
        let told = probe.predict(constant.view());
        assert!(told.iter().all(|t| *t == told[0]));
    }
}
