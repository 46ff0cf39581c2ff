//! External references: figures from scikit-learn and scipy (`tests/fixtures/estimators/make_references.py`), and
//! linfa as a second implementation in Rust.

use faer::Mat;
use linfa::Dataset;
use linfa::traits::Fit;
use linfa_linear::LinearRegression;
use ndarray::{Array1, Array2};
use serde_json::Value;
use vstar::linalg::solve;
use vstar::probe::logistic::LogisticProbe;
use vstar::probe::twicing::{components, directions, ridge};
use vstar::probe::{Contrasts, Spectrum};
use vstar::theory::base::bench::{Bench, Label};
use vstar::theory::base::multiplicity;
use vstar::theory::encoding::discrimination::auc;
use vstar::theory::encoding::latent;

use crate::stories::fixture;

fn references() -> Value {
    let text = std::fs::read_to_string(fixture("estimators/references.json")).expect("references");
    serde_json::from_str(&text).expect("JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

fn matrix(value: &Value) -> Mat<f64> {
    let rows: Vec<Vec<f64>> = value.as_array().expect("rows").iter().map(numbers).collect();
    Mat::from_fn(rows.len(), rows[0].len(), |i, j| rows[i][j])
}

#[test]
fn eigenvalues_are_numpys() {
    let r = references();
    let spectrum = Spectrum::new(&matrix(&r["x"])).expect("variance");
    for (got, want) in spectrum.mu.iter().zip(numbers(&r["eigenvalues"])) {
        assert!((got - want).abs() < 1e-10 * want.abs().max(1.0), "{got} {want}");
    }
}

#[test]
fn leave_one_out_ridge_is_scikit_learns_ridge_on_the_other_rows() {
    // The identity ŷ_i = x_i·β − (h/(1−h)) e_i ties the left-out prediction to the coefficients of all data.
    let r = references();
    let (x, y, lambda) = (matrix(&r["x"]), numbers(&r["y"]), r["lambda"].as_f64().expect("a number"));
    let beta = numbers(&r["ridge"]);
    let n = y.len();
    let spectrum = Spectrum::new(&x).expect("variance");
    let blocks: Vec<_> = (0..n).map(|i| i..i + 1).collect();
    let left_out = ridge(&spectrum, &blocks, lambda, &[&y], &spectrum.coordinates(&[&y])).remove(0);
    let mut gram = x.transpose() * &x;
    for j in 0..x.ncols() {
        gram[(j, j)] += n as f64 * lambda;
    }
    for i in 0..n {
        let row: Vec<f64> = (0..x.ncols()).map(|j| x[(i, j)]).collect();
        let fitted: f64 = row.iter().zip(&beta).map(|(a, b)| a * b).sum();
        let leverage: f64 = row.iter().zip(solve(gram.as_ref(), &row)).map(|(a, b)| a * b).sum();
        let want = y[i] - (y[i] - fitted) / (1.0 - leverage);
        assert!((left_out[i] - want).abs() < 1e-9, "row {i}");
    }
}

#[test]
fn least_squares_is_linfas_and_scikit_learns() {
    let r = references();
    let (x, y) = (matrix(&r["x"]), numbers(&r["y"]));
    let records = Array2::from_shape_fn((x.nrows(), x.ncols()), |(i, j)| x[(i, j)]);
    let model = LinearRegression::default()
        .with_intercept(false)
        .fit(&Dataset::new(records, Array1::from(y.clone())))
        .expect("a fit");
    for (got, want) in model.params().iter().zip(numbers(&r["ols"])) {
        assert!((got - want).abs() < 1e-9, "{got} {want}");
    }
    // All components, one row per block: the leave-one-out residual of least squares.
    let spectrum = Spectrum::new(&x).expect("variance");
    let blocks: Vec<_> = (0..y.len()).map(|i| i..i + 1).collect();
    let ours = components(&spectrum, &blocks, spectrum.rank(), &[&y]).remove(0);
    let gram = x.transpose() * &x;
    for i in 0..y.len() {
        let row: Vec<f64> = (0..x.ncols()).map(|j| x[(i, j)]).collect();
        let fitted: f64 = row.iter().zip(model.params()).map(|(a, b)| a * b).sum();
        let leverage: f64 = row.iter().zip(solve(gram.as_ref(), &row)).map(|(a, b)| a * b).sum();
        assert!((ours[i] - (y[i] - (y[i] - fitted) / (1.0 - leverage))).abs() < 1e-9, "row {i}");
    }
}

#[test]
fn the_area_under_the_curve_is_scikit_learns_with_ties() {
    let r = references();
    let positive = r["positive"].as_array().expect("classes").iter().map(|v| v.as_bool().expect("a class"));
    let labels: Vec<f64> = positive.map(|p| f64::from(u8::from(p))).collect();
    let scores = numbers(&r["scores"]);
    // All rows belong to one prompt, so that the within-prompt area is the overall area.
    let prompt = vec![0; labels.len()];
    let contrasts = Contrasts::helmert(&prompt, &prompt, |_| true);
    let h = Array2::from_shape_fn((labels.len(), 2), |(i, j)| ((3 * i + j) as f32).sin());
    let bench = Bench::new(contrasts, h.view(), None).expect("a bench");
    let label = Label { y: bench.contrasts.column(&labels), yhat: bench.contrasts.column(&scores) };
    let want = r["auc"].as_f64().expect("a number");
    let got = auc(&bench, &label, &labels).estimate.expect("an area");
    assert!((got - want).abs() < 1e-12, "{got} {want}");
}

#[test]
fn normal_probabilities_are_scipys() {
    let r = references();
    for case in r["bivariate"].as_array().expect("cases").iter().map(numbers) {
        assert!((latent::bivariate(case[0], case[0], case[1]) - case[2]).abs() < 1e-7, "{case:?}");
    }
    for case in r["normal"].as_array().expect("cases").iter().map(numbers) {
        assert!((multiplicity::two_sided(case[0]) / case[1] - 1.0).abs() < 1e-6, "{case:?}");
    }
}

#[test]
fn the_probes_are_scikit_learns_and_point_the_same_way() {
    let r = references();
    let (logistic, ols) = (numbers(&r["logistic"]), numbers(&r["ols"]));
    let x = matrix(&r["x"]);
    let y = numbers(&r["y"]);
    // Almost no penalty: least squares.
    let spectrum = Spectrum::new(&x).expect("variance");
    let own = directions(&spectrum, &x, spectrum.penalty(spectrum.rank() as f64 - 1e-6), &[&y]);
    for (j, want) in ols.iter().enumerate() {
        assert!((own[(j, 0)] - want).abs() < 1e-5, "{j}: {} {want}", own[(j, 0)]);
    }
    let h = Array2::from_shape_fn((x.nrows(), x.ncols()), |(i, j)| x[(i, j)] as f32);
    let mut sorted = y.clone();
    sorted.sort_by(f64::total_cmp);
    let middle = (sorted[(y.len() - 1) / 2] + sorted[y.len() / 2]) / 2.0;
    let first: Vec<bool> = y.iter().map(|y| *y > middle).collect();
    let probe = LogisticProbe::fit(h.view(), &first).expect("a fit").direction();
    let scores = |v: &[f64]| -> Vec<f64> {
        (0..x.nrows()).map(|i| (0..x.ncols()).map(|j| x[(i, j)] * v[j]).sum()).collect()
    };
    let cos = |a: &[f64], b: &[f64]| {
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    // linfa's has no penalty and no intercept.
    let agreed = cos(&scores(&probe.to_vec()), &scores(&logistic));
    assert!(agreed > 0.97, "{agreed}");
    let own: Vec<f64> = (0..x.ncols()).map(|j| own[(j, 0)]).collect();
    let agreed = cos(&scores(&own), &scores(&probe.to_vec()));
    assert!(agreed > 0.9, "{agreed}");
}
