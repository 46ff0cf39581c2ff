//! Corollary 7: whether a quantity changes with model size. Fits a line through the figures of several models.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2};
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A fitted line.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// Change of the quantity per factor of 10 in parameters.
    pub slope: f64,
    /// Standard error of the slope.
    pub se: f64,
    /// Lower end of the slope's 95 % interval.
    pub lo: f64,
    /// Upper end of the slope's 95 % interval.
    pub hi: f64,
    /// Value of the line at 10⁹ parameters.
    pub at_billion: f64,
    /// Number of models.
    pub n: usize,
}

/// Least squares (linfa's) of y on x = log₁₀(parameters), each model with the same weight. The interval is slope ±
/// t_{n−2} · s/√Σ(x − x̄)², s² = Σ residual²/(n − 2). The scatter about the line includes both the error of each
/// figure and differences between models other than size.
///
/// `None` for fewer than three models, or if all have the same size.
pub fn line(parameters: &[f64], y: &[f64]) -> Option<Line> {
    let n = parameters.len();
    if n < 3 || y.len() != n || parameters.iter().any(|p| *p <= 0.0) {
        return None;
    }
    let x: Vec<f64> = parameters.iter().map(|p| p.log10()).collect();
    let x_mean = x.iter().sum::<f64>() / n as f64;
    let spread: f64 = x.iter().map(|x| (x - x_mean).powi(2)).sum();
    if spread < 1e-12 {
        return None;
    }
    // Centre x, so that the errors of slope and height are independent.
    let centred = Array2::from_shape_fn((n, 1), |(i, _)| x[i] - x_mean);
    let fitted = LinearRegression::new().fit(&Dataset::new(centred, Array1::from(y.to_vec()))).ok()?;
    let (slope, height) = (fitted.params()[0], fitted.intercept());
    let residual: f64 = x.iter().zip(y).map(|(x, y)| (y - height - slope * (x - x_mean)).powi(2)).sum();
    let df = (n - 2) as f64;
    let se = (residual / df / spread).sqrt();
    let t = StudentsT::new(0.0, 1.0, df).ok()?.inverse_cdf(0.975);
    Some(Line {
        slope,
        se,
        lo: slope - t * se,
        hi: slope + t * se,
        at_billion: height + slope * (9.0 - x_mean),
        n,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_and_its_interval_are_those_of_a_textbook() {
        // Σ(x − x̄)² = 5, Σ(x − x̄)(y − ȳ) = .8, residuals .015 : Σ = .0045; t(2) = 4.3027.
        let line = line(&[1e6, 1e7, 1e8, 1e9], &[0.2, 0.35, 0.45, 0.7]).expect("a line");
        assert!((line.slope - 0.16).abs() < 1e-12);
        assert!((line.se - 0.021_213_203_435_596_4).abs() < 1e-9, "{}", line.se);
        assert!((line.hi - line.slope - 4.302_652_729_911_275 * line.se).abs() < 1e-9);
        assert!((line.at_billion - 0.665).abs() < 1e-12);
    }

    #[test]
    fn two_models_or_one_size_make_no_line() {
        assert_eq!(line(&[1e6, 1e7], &[0.1, 0.2]), None);
        assert_eq!(line(&[1e6, 1e6, 1e6], &[0.1, 0.2, 0.3]), None);
    }
}
