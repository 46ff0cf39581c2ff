//! The paper's toy example (section 4.4) through the estimators: two coordinates, unit variance, v* = (1, 0), w =
//! (.1, .995), a constitution with v_c = (.95, .31) and an adversarial one with (−.8, .6).

use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use vstar::error::Result;
use vstar::theory::{
    Choices, Control, Labels, LayerSource, Mode, Options, Parts, Problem, Quantity, RawChoices, Value,
    analyse,
};
use vstar::units::Layer;

struct Plane(Array2<f32>);

impl LayerSource for Plane {
    fn layers(&self) -> &[Layer] {
        &[Layer(1)]
    }

    fn resid(&self, _: Layer) -> Result<Array2<f32>> {
        Ok(self.0.clone())
    }
}

#[test]
fn the_toy_example_comes_out_of_the_estimators() {
    let (prompts, responses) = (600, 4);
    let rows = prompts * responses;
    let mut rng = ChaCha8Rng::seed_from_u64(44);
    let mut normal = || rng.sample::<f64, _>(StandardNormal);
    let h = Array2::from_shape_fn((rows, 2), |_| normal() as f32);
    let mut read = |v: [f64; 2], noise: f64| -> Vec<f64> {
        h.rows()
            .into_iter()
            .map(|r| f64::from(r[0]) * v[0] + f64::from(r[1]) * v[1] + noise * normal())
            .collect()
    };
    let (v_star, w) = ([1.0, 0.0], [0.1, 0.995]);
    let judges = [("constitution", [0.95, 0.31]), ("adversarial", [-0.8, 0.6])];
    let parts = Parts {
        prompt: (0..rows).map(|r| (r / responses) as i32).collect(),
        logprob: Some(read(w, 0.3)),
        values: vec![Value { name: "S".into(), labels: Labels::Scores(read(v_star, 0.3)) }],
        judged: judges
            .map(|(name, v)| RawChoices {
                name: name.into(),
                placebo: false,
                mode: Mode::Scores,
                choices: Choices::Scores(read(v, 0.3)),
            })
            .to_vec(),
        ..Parts::default()
    };
    let problem = Problem::new(parts).expect("a problem");
    let analysis = analyse(&problem, &Plane(h), &Options::default()).expect("an analysis");
    let holds = |quantity: Quantity, constitution: Option<&str>, planted: f64| {
        let own = |e: &&vstar::theory::Estimate| {
            e.quantity == quantity && e.control == Control::None && e.constitution.as_deref() == constitution
        };
        let e = analysis.estimates.iter().find(own).expect("an estimate");
        let (value, se) = (e.estimate.expect("a value"), e.se.expect("an error"));
        assert!(
            (value - planted).abs() < 3.5 * se && se < 0.05,
            "{quantity:?} {constitution:?}: {value} ± {se}, {planted}"
        );
    };
    // ρ² = 1/(1 + .09); unit vectors, so that cosines are products; the gain per unit of λ is ⟨Σ v_c, v*⟩ with Σ = 1.
    holds(Quantity::Rho2, None, 1.0 / 1.09);
    holds(Quantity::GenerationAlignment, None, 0.1);
    holds(Quantity::Alignment, Some("constitution"), 0.95 / (0.95f64.powi(2) + 0.31f64.powi(2)).sqrt());
    holds(Quantity::EncodedSlope, Some("constitution"), 0.95);
    holds(Quantity::Alignment, Some("adversarial"), -0.8);
    holds(Quantity::EncodedSlope, Some("adversarial"), -0.8);
    // After training at λ = 1 generation lies along w + v_c: cosines of .63 and −.40 with v*.
    let direction = |name: &str| -> Vec<f64> { analysis.directions[name][0].clone() };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let (v, w) = (direction("v_star.S"), direction("w"));
    for (name, told) in [("constitution", 0.63), ("adversarial", -0.40)] {
        let sum: Vec<f64> = w.iter().zip(direction(&format!("v_c.{name}"))).map(|(a, b)| a + b).collect();
        let cos = dot(&sum, &v) / (dot(&sum, &sum) * dot(&v, &v)).sqrt();
        assert!((cos - told).abs() < 0.03, "{name}: {cos}");
    }
}
