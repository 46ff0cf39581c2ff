//! Comparison of constitutions, and of runs.

use std::collections::BTreeSet;
use std::fs;

use safetensors::SafeTensors;
use serde_json::{Value as Json, json};
use vstar::error::Kind;
use vstar::fit::pose;
use vstar::observations::Observations;
use vstar::probe::Contrasts;
use vstar::report::Report;
use vstar::report::compare::{Run, compare, to_html, to_json, to_markdown, to_terminal};
use vstar::theory::between::constitution_cosines;
use vstar::theory::{Choices, Control, Estimate, LayerSource, Quantity};

use crate::cli::ready;
use crate::stories::fixture;

fn pair<'a>(all: &'a [Estimate], control: Control, a: &str, b: &str) -> &'a Estimate {
    let is = |e: &Estimate, x: &str, y: &str| {
        e.constitution.as_deref() == Some(x) && e.constitution2.as_deref() == Some(y)
    };
    let found = all.iter().find(|e| e.control == control && (is(e, a, b) || is(e, b, a)));
    found.unwrap_or_else(|| panic!("no {a}, {b}"))
}

#[test]
fn planted_angles_between_constitutions_are_found() {
    let observations =
        Observations::open(&fixture("known/A_tall.observations.safetensors")).expect("observations");
    let posed = pose(&observations, None, &BTreeSet::new()).expect("a problem");
    let layer = posed.source.layers()[0];
    let found = constitution_cosines(&posed.problem, &posed.source, layer).expect("angles");
    let truth = fs::read(fixture("known/A_tall.truth.safetensors")).expect("truth");
    let truth = SafeTensors::deserialize(&truth).expect("truth");
    // Scores along the planted directions on 1500 contrasts give Σ to within 1 %.
    let h = posed.source.resid(layer).expect("h");
    let contrasts = Contrasts::helmert(&posed.problem.prompt, &posed.problem.block, |_| true);
    let scores = |name: &str| -> Vec<f64> {
        let v = truth.tensor(&format!("v_{name}")).expect("a direction");
        let v: Vec<f64> = v
            .data()
            .chunks_exact(4)
            .map(|b| f64::from(f32::from_le_bytes(b.try_into().expect("4 bytes"))))
            .collect();
        let at: Vec<f64> =
            h.rows().into_iter().map(|r| r.iter().zip(&v).map(|(a, b)| f64::from(*a) * b).sum()).collect();
        contrasts.column(&at)
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for (a, b) in [("good", "neutral"), ("good", "adversarial"), ("neutral", "adversarial")] {
        let (u, v) = (scores(a), scores(b));
        let planted = dot(&u, &v) / (dot(&u, &u) * dot(&v, &v)).sqrt();
        let e = pair(&found, Control::None, a, b);
        let (cos, se) = (e.estimate.expect("a figure"), e.se.expect("an error"));
        assert!(
            e.reportable && (cos - planted).abs() < 3.5 * se && se < 0.1,
            "{a} {b}: {cos} ± {se}, {planted}"
        );
        assert_eq!((e.n, e.blocks), (Some(1500), Some(500)));
    }
}

#[test]
fn a_constitution_is_parallel_to_its_copy_and_opposed_to_its_negative() {
    let observations =
        Observations::open(&fixture("known/A_tall.observations.safetensors")).expect("observations");
    let mut posed = pose(&observations, None, &BTreeSet::new()).expect("a problem");
    let mut copy = posed.problem.judged.iter().find(|j| j.name == "good").expect("good").clone();
    (copy.choices, copy.fit) = (Choices::Scores(copy.reward.clone()), None);
    let mut negative = copy.clone();
    (copy.name, negative.name) = ("copy".into(), "negative".into());
    negative.reward.iter_mut().for_each(|r| *r = -*r);
    // Judged on fewer rows: the pair is compared on the common rows.
    let mut fewer = copy.clone();
    fewer.name = "fewer".into();
    fewer.reward.iter_mut().skip(1000).for_each(|r| *r = f64::NAN);
    posed.problem.judged.extend([copy, negative, fewer]);
    let layer = posed.source.layers()[0];
    let found = constitution_cosines(&posed.problem, &posed.source, layer).expect("angles");
    for (other, planted) in [("copy", 1.0), ("negative", -1.0), ("fewer", 1.0)] {
        let e = pair(&found, Control::None, "good", other);
        assert!((e.estimate.expect("a figure") - planted).abs() < 1e-12, "{other}: {e:?}");
    }
    assert!(pair(&found, Control::None, "good", "fewer").n < Some(1000));
}

/// A report of a model of a size, with ρ and one alignment.
fn run(name: &str, parameters: u64, rho: f64, value: &str) -> Run {
    let figure = |quantity, estimate: f64| {
        let mut e = Estimate::figure(quantity, "test", estimate, 0.05, (estimate - 0.1, estimate + 0.1));
        e.value = Some(value.to_owned());
        e
    };
    let estimates = vec![
        figure(Quantity::Rho, rho),
        figure(Quantity::Alignment, rho / 2.0).under("kind"),
        figure(Quantity::Alignment, rho).under("kinder"),
        figure(Quantity::Alignment, 0.9).under("unseen").withheld("not identifiable"),
        figure(Quantity::EncodedSlope, 0.1).under("kind"),
        figure(Quantity::EncodedSlope, 0.3).under("kinder"),
        figure(Quantity::EncodedSlope, 0.9).under("unseen"),
    ];
    let mut report = Report { estimates, ..Report::default() };
    report.provenance.insert("model".into(), json!(name));
    report.provenance.insert("recipe".into(), json!({"model": {"parameters": parameters}}));
    Run { name: format!("runs/{name}"), report, ..Run::default() }
}

#[test]
fn models_stand_side_by_side_with_a_line_against_their_size() {
    let runs = vec![
        run("small", 1_000_000, 0.2, "harmless"),
        run("middle", 10_000_000, 0.4, "harmless"),
        run("large", 1_000_000_000, 0.8, "harmless"),
    ];
    let two = compare(runs[..2].to_vec(), None).expect("two can be compared");
    assert!(
        two.series.iter().all(|s| s.line.is_none())
            && two.warnings.iter().any(|w| w.contains("three models"))
    );
    let comparison = compare(runs, None).expect("a comparison");
    let json: Json = serde_json::from_str(&to_json(&comparison).expect("JSON")).expect("JSON");
    assert_eq!(json["format"], "vstar-compare/1");
    let series = |quantity: &str, constitution: Json| -> &Json {
        let all = json["models"].as_array().expect("models");
        let is = |s: &&Json| s["quantity"] == quantity && s["constitution"] == constitution;
        all.iter().find(is).expect("a series")
    };
    assert!((series("rho", Json::Null)["line"]["slope"].as_f64().expect("a slope") - 0.2).abs() < 1e-12);
    assert!(
        (series("alignment", json!("kind"))["line"]["slope"].as_f64().expect("a slope") - 0.1).abs() < 1e-12
    );
    assert!(series("alignment", json!("unseen"))["line"].is_null(), "what may not be quoted makes no line");
    for text in [to_markdown(&comparison), to_terminal(&comparison)] {
        assert!(text.contains("1.00 B") && text.contains("per 10 × parameters"), "{text}");
        let place = |name: &str| text.find(name).unwrap_or_else(|| panic!("{name}: {text}"));
        assert!(place("kinder") < place("unseen"), "not identifiable stands last: {text}");
    }
    let page = to_html(&comparison);
    // ρ with its line, and the reportable alignments; the withheld one is absent.
    assert_eq!(page.matches("<figure>").count(), 2, "{page}");
    assert!(
        page.contains("Encoding quality and size")
            && !page.contains("<script")
            && page.ends_with("</html>\n")
    );
    let ranks: Vec<&Json> = json["ranking"].as_array().expect("ranking").iter().take(3).collect();
    assert_eq!(ranks.iter().map(|r| r["rank"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(2), None]);
    assert_eq!(ranks[0]["verdict"]["constitution"], "kinder");
}

#[test]
fn runs_of_different_data_are_said_to_be() {
    let of = |name: &str, data: Json| {
        let mut run = run(name, 1_000_000, 0.2, "harmless");
        run.report.provenance.insert("manifest".into(), json!({"data": data}));
        run
    };
    let warned = |a: Json, b: Json| {
        let comparison = compare(vec![of("a", a), of("b", b)], None).expect("a comparison");
        comparison.warnings.iter().any(|w| w.contains("different data"))
    };
    assert!(warned(json!(["1f"]), json!(["2e"])));
    assert!(!warned(json!(["1f"]), json!(["1f"])));
    // As in manifests of the first format.
    assert!(!warned(json!(["1f"]), json!([{"file": "a.jsonl", "sha256": "1f"}])));
    assert!(warned(json!(["1f"]), json!([{"file": "a.jsonl", "sha256": "2e"}])));
}

/// A run of one model at a given number of bits per weight.
struct Rung {
    bits: f64,
    quantize: &'static str,
    rho2: f64,
    accuracy: f64,
    weights: &'static str,
}

impl Rung {
    fn run(&self) -> Run {
        let figure = |quantity, estimate: f64, se: f64| {
            let ends = (estimate - 1.96 * se, estimate + 1.96 * se);
            let mut e = Estimate::figure(quantity, "test", estimate, se, ends);
            e.value = Some("harmless".to_owned());
            e
        };
        let mut bias = figure(Quantity::PositionBias, 0.4, 0.05).under("kind");
        bias.value = None;
        let mut d_eff = figure(Quantity::DEff, 20.0, 2.0);
        d_eff.value = None;
        let estimates = vec![
            figure(Quantity::Rho2, self.rho2, 0.02),
            figure(Quantity::Alignment, 0.5, 0.05).under("kind"),
            figure(Quantity::JudgeAccuracy, self.accuracy, 0.02).under("kind"),
            bias,
            d_eff,
        ];
        let mut report = Report { estimates, ..Report::default() };
        report.provenance.insert("model".into(), json!("owner/small"));
        let model = json!({
            "parameters": 1000, "family": "llama", "config_sha256": "c", "quantize": self.quantize,
            "bits_per_weight": self.bits, "weights_sha256": {"model.safetensors": self.weights},
        });
        report.provenance.insert("recipe".into(), json!({ "model": model }));
        Run { name: format!("runs/{}-{}", self.quantize, self.bits), report, ..Run::default() }
    }
}

fn ladder(rungs: &[(f64, &'static str, f64, f64)]) -> Vec<Run> {
    let of = |&(bits, quantize, rho2, accuracy): &(f64, &'static str, f64, f64)| {
        Rung { bits, quantize, rho2, accuracy, weights: "w" }.run()
    };
    rungs.iter().map(of).collect()
}

#[test]
fn a_model_at_several_precisions_stands_on_a_ladder() {
    // Given out of order.
    let runs = ladder(&[(4.5, "Q4_0", 0.58, 0.55), (16.0, "", 0.60, 0.90), (8.5, "Q8_0", 0.60, 0.89)]);
    let comparison = compare(runs, None).expect("a comparison");
    let [found] = &comparison.ladders[..] else { panic!("one ladder") };
    assert_eq!(found.rungs.iter().map(|r| r.bits).collect::<Vec<_>>(), [16.0, 8.5, 4.5]);
    assert_eq!(found.rungs[2].quantize.as_deref(), Some("Q4_0"));
    assert!(!comparison.warnings.iter().any(|w| w.contains("size")), "{:?}", comparison.warnings);
    let json: Json = serde_json::from_str(&to_json(&comparison).expect("JSON")).expect("JSON");
    let along = json["ladders"][0]["along"].as_array().expect("quantities");
    let accuracy = along.iter().find(|a| a["quantity"] == "judge_accuracy").expect("accuracy");
    let change = &accuracy["changes"][2];
    assert!((change["value"].as_f64().expect("a change") + 0.35).abs() < 1e-12);
    assert!((change["se"].as_f64().expect("an error") - 0.02 * 2f64.sqrt()).abs() < 1e-12);
    let kinds: Vec<&str> = along.iter().filter_map(|a| a["quantity"].as_str()).collect();
    assert_eq!(kinds, ["d_eff", "rho2", "alignment", "judge_accuracy", "position_bias"]);
    assert_eq!(json["ladders"][0]["findings"][0]["fate"], "kept");
    assert_eq!(json["ladders"][0]["findings"][1]["fate"], "lost");
    for text in [to_markdown(&comparison), to_terminal(&comparison)] {
        let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
        assert!(place("16.00 bits (as stored)") < place("8.50 bits (Q8_0)"));
        assert!(
            text.contains("keeps at least three quarters of its ρ²")
                && text.contains("agrees less with the labels")
        );
        assert!(text.contains("stays readable"), "{text}");
    }
    let page = to_html(&comparison);
    for title in ["Encoding quality", "Alignment", "The judge", "Position bias", "Effective dimension"] {
        assert!(page.contains(&format!("<b>{title} and precision")), "{title}");
    }
}

#[test]
fn a_ladder_says_no_more_than_its_intervals_do() {
    let words = |rungs: &[(f64, &'static str, f64, f64)]| {
        let comparison = compare(ladder(rungs), None).expect("a comparison");
        assert_eq!(comparison.ladders.len(), 1);
        to_markdown(&comparison)
    };
    let (kept, lost) = ("keeps at least three quarters", "loses ρ²");
    // Both are lost.
    let text = words(&[(16.0, "", 0.60, 0.90), (4.5, "Q4_0", 0.20, 0.55)]);
    assert!(text.contains(lost) && text.contains("agrees less") && !text.contains(kept), "{text}");
    assert!(!text.contains("stays readable"));
    // The judge's accuracy falls by less than its error.
    let text = words(&[(16.0, "", 0.60, 0.90), (4.5, "Q4_0", 0.60, 0.87)]);
    assert!(
        text.contains(kept) && !text.contains("agrees less") && !text.contains("stays readable"),
        "{text}"
    );
    // The judge was at chance from the start.
    let text = words(&[(16.0, "", 0.60, 0.52), (4.5, "Q4_0", 0.60, 0.40)]);
    assert!(!text.contains("agrees less"), "{text}");
    // The change in ρ² is inconclusive, and may be a loss of more than a quarter.
    let text = words(&[(16.0, "", 0.15, 0.90), (4.5, "Q4_0", 0.13, 0.90)]);
    assert!(!text.contains(kept) && !text.contains(lost), "{text}");
}

#[test]
fn other_models_and_one_precision_make_no_ladder() {
    let rung = |bits, weights| Rung { bits, quantize: "", rho2: 0.6, accuracy: 0.9, weights };
    let none = |runs: Vec<Run>| assert!(compare(runs, None).expect("a comparison").ladders.is_empty());
    none(vec![rung(16.0, "w").run(), rung(16.0, "w").run()]);
    // A fine-tuned model has the config of its base, but another name and weights.
    let mut tuned = rung(4.5, "v").run();
    tuned.report.provenance.insert("model".into(), json!("owner/small-tuned"));
    none(vec![rung(16.0, "w").run(), tuned]);
    let mut unknown = rung(4.5, "w").run();
    unknown.report.provenance.remove("recipe");
    none(vec![rung(16.0, "w").run(), unknown]);
    // GGUF files of one model differ in their weights and in the end of their names.
    let named = |bits, name: &str, weights| {
        let mut run = rung(bits, weights).run();
        run.report.provenance.insert("model".into(), json!(name));
        run
    };
    let runs = vec![named(8.5, "small-q8_0.gguf", "a"), named(4.9, "small-Q4_K_M.gguf", "b")];
    assert_eq!(compare(runs, None).expect("a comparison").ladders.len(), 1);
}

#[test]
fn gaps_stand_against_the_shares_that_the_models_were_trained_on() {
    let runs: Vec<Run> = [(0.1, "scarce"), (0.6, "<plenty>")]
        .into_iter()
        .map(|(eta, name)| {
            let mut run = run(name, 1_000_000, 0.8, "harmless");
            let gap = 1.0 - eta;
            let mut e =
                Estimate::figure(Quantity::Gap, "test", gap, 0.05, (gap - 0.1, gap + 0.1)).under("kind");
            e.value = Some("harmless".into());
            run.report.estimates.push(e);
            run
        })
        .collect();
    let comparison = compare(runs.clone(), Some(vec![0.1, 0.6])).expect("a comparison");
    let page = to_html(&comparison);
    assert!(page.contains("The gap and η") && page.contains("1 − η"), "{page}");
    assert!(!page.contains("and size"), "models of one size say nothing about size: {page}");
    assert!(page.contains("&lt;plenty&gt;") && !page.contains("<plenty>"));
    assert!(to_markdown(&comparison).contains("η, as told"));
    for wrong in [vec![0.1], vec![0.1, 1.2], vec![0.1, f64::NAN]] {
        let refused = compare(runs.clone(), Some(wrong)).expect_err("refused");
        assert_eq!(refused.kind(), Some(Kind::Invalid));
    }
}

#[test]
fn runs_without_a_common_value_are_refused_with_what_each_has() {
    let runs = vec![run("a", 1, 0.2, "harmless"), run("b", 1, 0.2, "honest")];
    let error = compare(runs, None).expect_err("nothing in common");
    assert_eq!(error.kind(), Some(Kind::RunConflict));
    let text = error.to_string();
    assert!(text.contains("runs/a: harmless") && text.contains("runs/b: honest"), "{text}");
}

#[test]
fn a_finished_run_is_compared_from_its_observations_or_says_that_it_was_not() {
    let place = ready();
    let (ok, out, err) = place.vstar(&["run", "run.toml"]);
    assert!(ok, "{out}\n{err}");
    let (ok, out, err) = place.vstar(&["compare", "out"]);
    assert!(ok, "{out}\n{err}");
    assert!(
        out.contains("constitutions by what training would do") && out.contains("against each other"),
        "{out}"
    );
    let read = || -> Json {
        serde_json::from_str(&fs::read_to_string(place.path("out/compare.json")).expect("JSON"))
            .expect("JSON")
    };
    let cosines = read()["runs"][0]["constitution_cos"].clone();
    assert_eq!(cosines.as_array().map(Vec::len), Some(2), "one pair, with and without length: {cosines}");
    assert_eq!(
        cosines[0]["blocks"].as_u64(),
        Some(70),
        "both halves of the blocks are reported on: {cosines}"
    );
    assert!(place.path("out/compare.md").is_file());
    fs::remove_file(place.path("out/observations.safetensors")).expect("removed");
    let (ok, out, err) = place.vstar(&["compare", "out", "--out", "there"]);
    assert!(ok && out.contains("raw cosines"), "{out}\n{err}");
    let err = place.refused(&["compare", "c"]);
    assert!(err.contains("report.json"), "{err}");
}
