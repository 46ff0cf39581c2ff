//! Every reference figure of a simulated data set, from an implementation of the same estimators in another language,
//! and the planted truth.

use std::collections::BTreeSet;

use serde_json::Value;
use vstar::fit::pose;
use vstar::observations::Observations;
use vstar::probe::influence::theta;
use vstar::probe::{Contrasts, reml};
use vstar::theory::base::angle::Angle;
use vstar::theory::base::bench::{Bench, Label};
use vstar::theory::{
    Analysis, Control, Estimate, Labels, LayerSource, Options, Quantity, analyse, dimension, tilt,
};

use crate::stories::fixture;

fn truth() -> Value {
    let text = std::fs::read_to_string(fixture("known/A_tall.truth.json")).expect("truth");
    let all: Value = serde_json::from_str(&text).expect("JSON");
    all["datasets"]["A_tall"].clone()
}

fn observations() -> Observations {
    Observations::open(&fixture("known/A_tall.observations.safetensors")).expect("observations")
}

fn close(what: &str, got: f64, want: &Value) {
    let want = want.as_f64().unwrap_or_else(|| panic!("{what}: no reference"));
    assert!((got - want).abs() <= 1e-5 * want.abs().max(1e-3), "{what}: {got} where {want} was expected");
}

fn one<'a>(
    analysis: &'a Analysis,
    quantity: Quantity,
    value: Option<&str>,
    constitution: Option<&str>,
) -> &'a Estimate {
    let mut found = analysis.estimates.iter().filter(|e| {
        e.quantity == quantity
            && e.control == Control::None
            && e.value.as_deref() == value
            && e.constitution.as_deref() == constitution
    });
    let first = found.next().unwrap_or_else(|| panic!("no {quantity:?} of {value:?} under {constitution:?}"));
    assert!(found.next().is_none(), "two {quantity:?} of {value:?} under {constitution:?}");
    first
}

#[test]
fn every_reference_figure_is_met() {
    let observations = observations();
    let posed = pose(&observations, None, &BTreeSet::new()).expect("a problem");
    let analysis = analyse(&posed.problem, &posed.source, &Options::default()).expect("an analysis");
    let truth = truth();
    let reference = &truth["reference_estimates"];
    let mut met = 0;
    for (key, want) in reference["cos"].as_object().expect("cosines") {
        let (value, other) = key.split_once('|').expect("two labels");
        let (cos, encoded) = match other.strip_prefix("J:") {
            Some(c) => (
                one(&analysis, Quantity::Alignment, Some(value), Some(c)),
                Some(one(&analysis, Quantity::EncodedSlope, Some(value), Some(c))),
            ),
            None => (one(&analysis, Quantity::GenerationAlignment, Some(value), None), None),
        };
        close(key, cos.estimate.expect("a cosine"), &want["cos"]);
        close(key, cos.se.expect("an error"), &want["se"]);
        close(key, cos.lo.expect("an interval"), &want["ci"][0]);
        close(key, cos.hi.expect("an interval"), &want["ci"][1]);
        assert_eq!(Value::from(cos.reportable), want["reportable"], "{key}");
        if let Some(encoded) = encoded {
            close(key, encoded.estimate.expect("a slope"), &want["theta12"]);
            close(key, encoded.se.expect("an error"), &want["slope_se"]);
        }
        met += 1;
    }
    for (key, want) in reference["rho2"].as_object().expect("rho2") {
        let got = match key.strip_prefix("J:") {
            Some(c) => one(&analysis, Quantity::JudgeRho2, None, Some(c)),
            None if key == "logp" => one(&analysis, Quantity::LogprobRho2, None, None),
            None => one(&analysis, Quantity::Rho2, Some(key), None),
        };
        close(key, got.estimate.expect("rho2"), &want["rho2"]);
        close(key, got.se.expect("an error"), &want["se"]);
        met += 1;
    }
    for (key, want) in reference["total_slope"].as_object().expect("slopes") {
        // The slope of log P is checked below: it belongs to no constitution.
        if let Some((value, c)) = key.split_once("|J:") {
            let got = one(&analysis, Quantity::TotalSlope, Some(value), Some(c));
            close(key, got.estimate.expect("a slope"), &want["slope"]);
            close(key, got.se.expect("an error"), &want["se"]);
            met += 1;
        }
    }
    // More contrasts than dimensions: no model is fitted.
    assert!(analysis.estimates.iter().all(|e| e.quantity != Quantity::Rho2Model));
    for (value, want) in reference["pcr"].as_object().expect("components") {
        for (k, want) in want.as_object().expect("by k") {
            let got = analysis.estimates.iter().find(|e| {
                e.quantity == Quantity::ValueConcentration
                    && e.control == Control::None
                    && e.value.as_deref() == Some(value)
                    && e.k == k.parse().ok()
            });
            close(k, got.and_then(|e| e.estimate).expect("concentration"), want);
            met += 1;
        }
    }
    for (c, want) in reference["judge_inconsistency_share"].as_object().expect("shares") {
        close(c, one(&analysis, Quantity::JudgeInconsistency, None, Some(c)).estimate.expect("share"), want);
        met += 1;
    }
    assert_eq!(met, 8 + 6 + 6 + 6 + 3, "figures that were looked at");
}

#[test]
fn what_the_report_does_not_show_is_met_too() {
    let observations = observations();
    let posed = pose(&observations, None, &BTreeSet::new()).expect("a problem");
    let problem = &posed.problem;
    let truth = truth();
    let reference = &truth["reference_estimates"];
    let h = posed.source.resid(observations.layers()[0]).expect("resid");
    let contrasts = Contrasts::helmert(&problem.prompt, &problem.block, |_| true);
    let bench = Bench::new(contrasts, h.view(), None).expect("a bench");
    assert_eq!(Value::from(bench.n()), reference["n_contrasts"]);
    assert_eq!(Value::from(bench.blocks()), reference["n_clusters"]);
    assert_eq!(Value::from(bench.spectrum.rank()), reference["rank"]);
    close("df", bench.spectrum.default_df(), &reference["df_target"]);
    close("ridge", bench.lambda, &reference["ridge"]);
    let d = dimension::effective::dimension(&bench).expect("a dimension");
    let want = &reference["d_eff_within"];
    close("d_eff", d.d_eff, &want["d_eff"]);
    close("log se", d.log_se, &want["log_se"]);
    close("naive", d.naive, &want["naive"]);
    close("trace", d.trace, &want["tr_sigma"]);
    close("trace of square", d.trace_of_square, &want["tr_sigma2"]);

    let column = |name: &str| -> Vec<f64> {
        match (name.strip_prefix("J:"), name) {
            (Some(c), _) => problem.judged.iter().find(|j| j.name == c).expect("a judge").reward.clone(),
            (None, "logp") => problem.logprob.clone().expect("log P"),
            _ => match &problem.values.iter().find(|v| v.name == name).expect("a value").labels {
                Labels::Scores(s) => s.clone(),
                Labels::Preferences(_) => panic!("scores were expected"),
            },
        }
    };
    let label = |name: &str| -> Label { bench.probe(vec![bench.column(&column(name))]).remove(0) };
    let models = reference["reml0_rho2"].as_object().expect("model");
    assert_eq!(models.len(), 2);
    for (value, want) in models {
        close(value, reml::rho2(&bench.spectrum, &label(value).y).expect("rho2"), want);
    }
    for (key, want) in reference["cos"].as_object().expect("cosines") {
        let (a, b) = key.split_once('|').expect("two labels");
        let (a, b) = (label(a), label(b));
        let angle = Angle::new(&bench, &a, &b);
        let blocks = bench.contrasts.blocks();
        close(key, angle.slope.value, &want["theta12"]);
        close(key, theta(a.probed(), a.probed(), blocks).value, &want["theta11"]);
        close(key, theta(b.probed(), b.probed(), blocks).value, &want["theta22"]);
        close(key, angle.slope_se, &want["slope_se"]);
        close(key, angle.gates.0, &want["z11"]);
        close(key, angle.gates.1, &want["z22"]);
    }
    for (key, want) in reference["total_slope"].as_object().expect("slopes") {
        let (a, b) = key.split_once('|').expect("two labels");
        let (estimate, _) = vstar::theory::base::angle::total_slope(&bench, &label(a), &label(b));
        close(key, estimate.estimate.expect("a slope"), &want["slope"]);
        close(key, estimate.se.expect("an error"), &want["se"]);
    }
    for (c, want) in reference["tilt"].as_object().expect("tilt") {
        let reward = column(&format!("J:{c}"));
        close(c, tilt::reward_sd(&bench.contrasts, &reward), &want["sd_reward"]);
        for (l, g) in want["lambda_times_sd"]
            .as_array()
            .expect("grid")
            .iter()
            .zip(want["gain"].as_array().expect("gains"))
        {
            let l = l.as_f64().expect("a number");
            let tilted =
                tilt::tilted(&bench.contrasts, &problem.block, &column("S"), &reward, l).expect("a gain");
            close(&format!("{c} at {l}"), tilted.gain.mean, g);
        }
    }
}

#[test]
fn the_planted_truth_lies_within_3_5_standard_errors() {
    let observations = observations();
    let posed = pose(&observations, None, &BTreeSet::new()).expect("a problem");
    let analysis = analyse(&posed.problem, &posed.source, &Options::default()).expect("an analysis");
    let truth = truth();
    let within = |what: &str, e: &Estimate, want: f64| {
        let (got, se) = (e.estimate.expect("a figure"), e.se.expect("an error"));
        assert!((got - want).abs() < 3.5 * se, "{what}: {got} ± {se} where {want} was planted");
    };
    for (key, want) in truth["population"]["cos"].as_object().expect("cosines") {
        let want = want.as_f64().expect("a number");
        match key.strip_prefix("S|J:") {
            Some(c) => within(key, one(&analysis, Quantity::Alignment, Some("S"), Some(c)), want),
            None => within(key, one(&analysis, Quantity::GenerationAlignment, Some("S"), None), want),
        }
    }
    within("rho2", one(&analysis, Quantity::Rho2, Some("S"), None), 0.4);
    within("latent", one(&analysis, Quantity::Rho2Latent, Some("S_bin"), None), 0.4);
    let d_eff = truth["population"]["d_eff_within"].as_f64().expect("a number");
    within("d_eff", one(&analysis, Quantity::DEff, None, None), d_eff);
    let floor = truth["population"]["ceiling_regret_best_of_2"].as_f64().expect("a number");
    within("ceiling", one(&analysis, Quantity::CeilingRegret, Some("S"), None), floor);
}

#[test]
fn a_file_without_prompts_is_read_with_a_warning_and_still_finds_the_value() {
    use ndarray::Array3;
    use rand::{Rng, SeedableRng};
    use vstar::observations::{Columns, Meta};
    use vstar::units::Layer;
    // Rows with unknown prompts: v* = e_0, noise of the same size.
    let (n, d) = (400, 8);
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
    let mut noise = || rng.random_range(-1.0f64..1.0);
    let resid = Array3::from_shape_fn((n, 1, d), |_| noise() as f32);
    let s: Vec<f64> = (0..n).map(|i| 3.0 + f64::from(resid[[i, 0, 0]]) + noise()).collect();
    let columns = Columns { values: [("S".to_owned(), s)].into_iter().collect(), ..Columns::default() };
    let observations = Observations::new(Meta::new(vec![Layer(0)]), columns, resid).expect("observations");
    let posed = pose(&observations, None, &BTreeSet::new()).expect("a problem");
    assert!(posed.warnings.iter().any(|w| w.contains("no prompts")), "{:?}", posed.warnings);
    let analysis = analyse(&posed.problem, &posed.source, &Options::default()).expect("an analysis");
    let rho2 = one(&analysis, Quantity::Rho2, Some("S"), None);
    let (got, se) = (rho2.estimate.expect("rho2"), rho2.se.expect("an error"));
    assert!(rho2.reportable && (got - 0.5).abs() < 4.0 * se, "{got} ± {se}");
    let logprob = one(&analysis, Quantity::LogprobRho2, None, None);
    assert!(logprob.estimate.is_none() && !logprob.warnings.is_empty());
}
