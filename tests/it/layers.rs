//! Choice of the reported layer: never the embeddings, never a layer without a fit, each half of the blocks by the
//! other's choice.

use std::collections::BTreeSet;

use ndarray::Array2;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use vstar::error::Result;
use vstar::fit::pose;
use vstar::simulate::{Design, Regime, Simulated, simulate};
use vstar::theory::base::layers::selects;
use vstar::theory::{
    Analysis, Choices, Control, Estimate, Labels, LayerSource, Mode, Options, Parts, Problem, Quantity,
    RawChoices, Value, analyse,
};
use vstar::units::Layer;

/// Residual streams in memory.
struct Held {
    layers: Vec<Layer>,
    h: Vec<Array2<f32>>,
    words: Option<Array2<f32>>,
}

impl LayerSource for Held {
    fn layers(&self) -> &[Layer] {
        &self.layers
    }

    fn resid(&self, layer: Layer) -> Result<Array2<f32>> {
        let at = self.layers.iter().position(|l| *l == layer).expect("a layer that is held");
        Ok(self.h[at].clone())
    }

    fn words(&self) -> Result<Option<Array2<f32>>> {
        Ok(self.words.clone())
    }
}

/// Analyses a data set after applying `change` to the residual stream of each layer.
fn analysed(data: &Simulated, change: impl Fn(Layer, &mut Array2<f32>)) -> Analysis {
    let posed = pose(&data.observations, None, &BTreeSet::new()).expect("a problem");
    let layers = posed.source.layers().to_vec();
    let read = |layer: &Layer| {
        let mut h = posed.source.resid(*layer).expect("a layer");
        change(*layer, &mut h);
        h
    };
    let held = Held { h: layers.iter().map(read).collect(), layers, words: None };
    analyse(&posed.problem, &held, &Options::default()).expect("an analysis")
}

fn one(analysis: &Analysis, quantity: Quantity) -> &Estimate {
    let mut found =
        analysis.estimates.iter().filter(|e| e.quantity == quantity && e.control == Control::None);
    let first = found.next().unwrap_or_else(|| panic!("no {quantity:?}"));
    assert!(found.next().is_none(), "two {quantity:?}");
    first
}

#[test]
fn a_layer_where_nothing_can_be_fitted_is_not_preferred_to_layers_of_negative_rho2() {
    // S is noise: on left-out blocks ρ² scatters around 0. One layer is constant over responses, as the embeddings
    // are under `--pool last`.
    for constant in [Layer(0), Layer(2)] {
        for seed in 0..6 {
            let design =
                Design { hidden_size: 24, prompts: 40, layers: vec![1.0; 4], ..Regime::Unencoded.design() };
            let data = simulate(&design, seed).expect("a data set");
            let analysis = analysed(&data, |layer, h| {
                if layer == constant {
                    h.fill(0.5);
                }
            });
            assert_ne!(analysis.layer, constant, "seed {seed}");
            assert!(analysis.choice.iter().all(|c| c.layer != constant), "{:?}", analysis.choice);
            // The judgments under constitutions exist, and the report shows them.
            assert!(one(&analysis, Quantity::EncodedSlope).estimate.is_some(), "seed {seed}");
        }
    }
}

#[test]
fn the_embeddings_are_a_baseline_and_never_chosen() {
    let design = Design {
        hidden_size: 24,
        prompts: 300,
        layers: vec![1.0, 0.5, 0.8, 0.6],
        ..Regime::Standard.design()
    };
    let data = simulate(&design, 4).expect("a data set");
    let analysis = analysed(&data, |_, _| {});
    assert_eq!(analysis.layer, Layer(2));
    let (rho2, baseline) = (one(&analysis, Quantity::Rho2), one(&analysis, Quantity::Rho2Embeddings));
    assert_eq!((rho2.layer, baseline.layer), (Some(Layer(2)), Some(Layer(0))));
    // Planted: .4 at layer 0, .64 · .4 at the chosen one.
    for (e, planted) in [(rho2, 0.64 * 0.4), (baseline, 0.4)] {
        let (got, se) = (e.estimate.expect("a figure"), e.se.expect("an error"));
        assert!((got - planted).abs() < 3.5 * se, "{:?}: {got} ± {se}, planted {planted}", e.quantity);
    }
    // A requested layer also has the baseline beside it; the embeddings themselves have none.
    let posed = pose(&data.observations, None, &BTreeSet::new()).expect("a problem");
    let at = |layer| {
        let options =
            Options { layer: vstar::theory::LayerChoice::Fixed(Layer(layer)), ..Options::default() };
        analyse(&posed.problem, &posed.source, &options).expect("an analysis")
    };
    assert!(one(&at(1), Quantity::Rho2Embeddings).estimate.is_some());
    assert!(at(0).estimates.iter().all(|e| e.quantity != Quantity::Rho2Embeddings));
}

#[test]
fn counts_of_words_are_a_baseline_of_what_the_text_alone_tells() {
    let (prompts, responses, kinds) = (250, 4, 12);
    let rows = prompts * responses;
    let mut rng = ChaCha8Rng::seed_from_u64(12);
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let h = Array2::from_shape_fn((rows, 16), |_| normal() as f32);
    // Unit variance within prompts, so that the planted shares are simple.
    let words = Array2::from_shape_fn((rows, kinds), |_| normal() as f32);
    let told = |by_words: f64, by_state: f64, noise: f64, normal: &mut dyn FnMut() -> f64| -> Vec<f64> {
        let one = |r: usize| f64::from(words[[r, 3]]) * by_words + f64::from(h[[r, 5]]) * by_state;
        (0..rows).map(|r| one(r) + noise * normal()).collect()
    };
    let by_words = told(1.0, 0.0, 1.0, &mut normal);
    let by_state = told(0.0, 1.0, 1.0, &mut normal);
    let value = |name: &str, s: Vec<f64>| Value { name: name.into(), labels: Labels::Scores(s) };
    let parts = Parts {
        prompt: (0..rows).map(|r| (r / responses) as i32).collect(),
        tokens: Some((0..rows).map(|_| 20.0 + normal().round()).collect()),
        values: vec![value("words", by_words), value("state", by_state)],
        ..Parts::default()
    };
    let problem = Problem::new(parts).expect("a problem");
    let analyse_with = |words: Option<Array2<f32>>| {
        let held = Held { layers: vec![Layer(1)], h: vec![h.clone()], words };
        analyse(&problem, &held, &Options::default()).expect("an analysis")
    };
    let analysis = analyse_with(Some(words.clone()));
    for control in [Control::None, Control::Length] {
        let of = |quantity: Quantity, value: &str| {
            let own = |e: &&Estimate| {
                e.quantity == quantity && e.control == control && e.value.as_deref() == Some(value)
            };
            let e = analysis.estimates.iter().find(own).expect("an estimate");
            (e.estimate.expect("a figure"), e.se.expect("an error"), e.reportable, e.layer)
        };
        for (value, by_words, by_state) in [("words", 0.5, 0.0), ("state", 0.0, 0.5)] {
            for (quantity, planted) in [(Quantity::Rho2Words, by_words), (Quantity::Rho2, by_state)] {
                let (got, se, reportable, _) = of(quantity, value);
                assert!((got - planted).abs() < 3.5 * se, "{quantity:?} of {value}: {got} ± {se}");
                assert_eq!(reportable, planted > 0.0, "{quantity:?} of {value}: {got} ± {se}");
            }
        }
        assert_eq!(of(Quantity::Rho2Words, "words").3, None, "a layer of what has none");
    }
    assert!(analyse_with(None).estimates.iter().all(|e| e.quantity != Quantity::Rho2Words));
}

#[test]
fn both_halves_choose_and_all_blocks_are_reported() {
    let design = Design { hidden_size: 24, prompts: 200, ..Regime::Layers.design() };
    let data = simulate(&design, 21).expect("a data set");
    let analysis = analysed(&data, |_, _| {});
    let [first, second] = analysis.choice.as_slice() else { panic!("{:?}", analysis.choice) };
    assert_eq!(first.blocks + second.blocks, 200);
    for quantity in [Quantity::Rho2, Quantity::EncodedSlope, Quantity::Alignment, Quantity::TotalSlope] {
        assert_eq!(one(&analysis, quantity).blocks, Some(200), "{quantity:?}");
    }
    assert!([first.layer, second.layer].contains(&analysis.layer));
}

#[test]
fn where_the_halves_differ_each_is_scored_at_the_layer_of_the_other() {
    // Equal layers: with some seed the halves choose differently.
    let design = Design { hidden_size: 24, prompts: 60, layers: vec![0.8; 8], ..Regime::Standard.design() };
    let mut parted = 0;
    for seed in 0..8 {
        let data = simulate(&design, seed).expect("a data set");
        let analysis = analysed(&data, |_, _| {});
        let [first, second] = analysis.choice.as_slice() else { panic!("{:?}", analysis.choice) };
        if first.layer == second.layer {
            continue;
        }
        parted += 1;
        // By hand: ŷ of each block from a fit to all other blocks, at the layer that the other half chose.
        let posed = pose(&data.observations, None, &BTreeSet::new()).expect("a problem");
        let problem = &posed.problem;
        let contrasts = vstar::probe::Contrasts::helmert(&problem.prompt, &problem.block, |_| true);
        let Labels::Scores(s) = &problem.values[0].labels else { panic!("scores") };
        let at = |layer| {
            let h = posed.source.resid(layer).expect("a layer");
            let bench =
                vstar::theory::base::bench::Bench::new(contrasts.clone(), h.view(), None).expect("a bench");
            bench.probe(vec![bench.column(s)]).remove(0)
        };
        let (by_first, by_second) = (at(first.layer), at(second.layer));
        let (mut product, mut square) = (0.0, 0.0);
        for (block, &name) in contrasts.blocks().iter().zip(contrasts.block_names()) {
            let label = if selects(name) { &by_second } else { &by_first };
            product += block.clone().map(|i| label.y[i] * label.yhat[i]).sum::<f64>();
            square += block.clone().map(|i| label.y[i].powi(2)).sum::<f64>();
        }
        let got = one(&analysis, Quantity::Rho2).estimate.expect("ρ²");
        assert!((got - product / square).abs() < 1e-12, "{got} where {} is right", product / square);
        let note = &analysis.layer_note;
        for layer in [first.layer, second.layer] {
            assert!(note.contains(&format!("chose layer {layer}")), "{note}");
        }
        // The result of a half at the other's layer is the mean over its own blocks of its own fit.
        assert!(first.rho2_of_other.is_some() && second.rho2_of_other.is_some());
    }
    assert!(parted >= 3, "{parted} of 8 seeds");
}

#[test]
fn w_is_read_where_log_p_is_read_best_and_the_gap_at_one_layer() {
    // Layer 1 holds x and some of z, layer 2 z and some of x. S reads x, log P reads z and half of x: without noise,
    // cos(w, v*) = .45 at either layer.
    let (rows, d) = (1200, 6);
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let x = Array2::from_shape_fn((rows, 2 * d), |_| normal());
    let part = |weights: [f64; 2]| {
        Array2::from_shape_fn((rows, 2 * d), |(r, j)| {
            let weight = weights[usize::from(j >= d)];
            (weight * x[(r, j)]) as f32
        })
    };
    let mut noisy = part([1.0, 0.05]);
    noisy.slice_mut(ndarray::s![.., d..]).mapv_inplace(|v| v + normal() as f32);
    let mut other = part([0.6, 1.0]);
    other.slice_mut(ndarray::s![.., ..d]).mapv_inplace(|v| v + normal() as f32);
    let s: Vec<f64> = (0..rows).map(|r| x[(r, 0)] + 0.5 * normal()).collect();
    let logprob: Vec<f64> = (0..rows).map(|r| 2.0 * x[(r, d)] + x[(r, 0)] + 0.5 * normal()).collect();
    let reward: Vec<f64> = (0..rows).map(|r| x[(r, 0)] + 0.3 * x[(r, 1)] + 0.5 * normal()).collect();
    let parts = Parts {
        prompt: (0..rows as i32).map(|r| r / 4).collect(),
        logprob: Some(logprob),
        values: vec![Value { name: "S".into(), labels: Labels::Scores(s) }],
        judged: vec![RawChoices {
            name: "good".into(),
            placebo: false,
            mode: Mode::Scores,
            choices: Choices::Scores(reward),
        }],
        ..Parts::default()
    };
    let problem = Problem::new(parts).expect("a problem");
    let held = Held { layers: vec![Layer(1), Layer(2)], h: vec![noisy, other], words: None };
    let analysis = analyse(&problem, &held, &Options::default()).expect("an analysis");
    assert_eq!(analysis.layer, Layer(1));
    let generation = one(&analysis, Quantity::GenerationAlignment);
    assert_eq!(generation.layer, Some(Layer(2)));
    assert!(generation.method.contains("reads log P best"), "{}", generation.method);
    let gap = one(&analysis, Quantity::Gap);
    assert_eq!(gap.layer, Some(Layer(1)));
    assert!(gap.method.contains("here ⟨w, v*⟩ is"), "{}", gap.method);
}
