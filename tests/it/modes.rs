//! Three judge modes: forced choices, questions about one response, likelihoods.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device};
use serde_json::{Value as Json, json};
use vstar::fit::pose;
use vstar::input::{Prompt, ReadOptions, read_items};
use vstar::judge::{JudgeTemplate, Question};
use vstar::model::decoder::NoHook;
use vstar::model::{LoadOptions, Model, ModelSource, Packing};
use vstar::observations::{Observations, read_rows};
use vstar::report::{Report, to_markdown};
use vstar::theory::{Choices, Estimate, Mode, Options, Quantity, analyse};
use vstar::units::Layer;

use crate::cli::{Place, model, ready, report};
use crate::stories::fixture;

pub const POINT: &str = "mode = \"pointwise\"\nkind = \"chat\"\nanswers = [\"A\", \"B\"]\n\
                     user = \"\"\"{{ prompt }}\n{{ response }}\n{{ constitution }}\"\"\"\n";

fn with_judge(place: &Place, name: &str, out: &str, judge: &str) {
    let text = fs::read_to_string(place.path("run.toml")).expect("an experiment");
    let text = text.replace("out = \"out\"", &format!("out = \"{out}\""));
    place.write(name, &text.replace("template = \"judge.toml\"", judge));
}

fn observations(path: &Path) -> Observations {
    Observations::open(&path.join("observations.safetensors")).expect("observations")
}

#[test]
fn implicit_scores_stand_beside_forced_choices_and_change_none_of_their_figures() {
    let place = ready();
    with_judge(&place, "both.toml", "both", "template = \"judge.toml\"\nmode = [\"pairwise\", \"implicit\"]");
    for name in ["run.toml", "both.toml"] {
        let (ok, out, err) = place.vstar(&["run", name]);
        assert!(ok, "{out}\n{err}");
    }
    let estimates = |folder: &str| -> Vec<Json> {
        let report = report(&place.path(folder).join("report.json"));
        report["estimates"].as_array().expect("estimates").clone()
    };
    let (plain, both) = (estimates("out"), estimates("both"));
    let (beside, own): (Vec<Json>, Vec<Json>) = both.into_iter().partition(|e| e.get("judge").is_some());
    assert_eq!(own, plain, "forced choices as if nothing stood beside them");
    assert!(beside.iter().all(|e| e["judge"] == "implicit"));
    for quantity in ["alignment", "encoded_slope", "total_slope", "judge_rho2", "judge_accuracy", "gap"] {
        for constitution in ["kind", "blue"] {
            let found =
                beside.iter().find(|e| e["quantity"] == quantity && e["constitution"] == constitution);
            let found = found.unwrap_or_else(|| panic!("no {quantity} of {constitution}"));
            assert!(found["method"].as_str().expect("a method").ends_with("implicit rewards"), "{found}");
        }
    }
    let text = fs::read_to_string(place.path("both/report.md")).expect("a report");
    assert!(text.contains("asked in other ways") && text.contains("| implicit"), "{text}");

    // The scores are the differences of the log-likelihoods of each response.
    let seen = observations(&place.path("both"));
    assert_eq!(seen.meta().extra["score.kind"], "implicit");
    let rows = read_rows(&place.path("both/observations.jsonl")).expect("rows");
    let logprob = seen.columns().logprob.as_ref().expect("log P");
    let mut checked = 0;
    for (row, record) in rows.iter().enumerate() {
        let score = seen.columns().scores["kind"][row];
        if record.constitution != "none" {
            assert!(score.is_nan(), "scores stand with the bare context's rows");
            continue;
        }
        let same = |r: &vstar::observations::RowRecord| {
            r.constitution == "kind" && r.id == record.id && r.response == record.response
        };
        let under = rows.iter().position(same).expect("its row under the constitution");
        // Stored as f32.
        assert!((score - (logprob[under] - logprob[row])).abs() < 1e-5);
        checked += usize::from(score.abs() > 1e-3);
    }
    assert!(checked > 100, "a constitution changes likelihoods: {checked}");
}

#[test]
fn a_pointwise_score_is_the_log_odds_of_yes_at_the_end_of_the_question() {
    let place = ready();
    place.write("point.toml", POINT);
    let folder = model();
    let common = ["judge", "--model", &folder, "--data", "items.jsonl", "--constitution", "c", "--out", "o"];
    // The mode comes from the template.
    let (ok, out, err) = place.vstar(&[&common[..], &["--judge", "point.toml"]].concat());
    assert!(ok && out.contains("210 responses one by one"), "{out}\n{err}");
    let seen = observations(&place.path("o"));
    assert_eq!(seen.meta().extra["score.kind"], "pointwise");
    assert!(seen.columns().judgments.is_empty());
    let options =
        LoadOptions { dtype: DType::F32, device: Device::Cpu, stream: false, quantize: None, adapter: None };
    let loaded = Model::load(&ModelSource::Folder(folder.clone().into()), "m", &options).expect("the model");
    let (chat, _) = loaded.template(None).expect("its template");
    let judge = JudgeTemplate::parse(POINT, Path::new("point.toml")).expect("the judge");
    let items = read_items(&[place.path("items.jsonl")], &ReadOptions::default()).expect("items").items;
    let rows = read_rows(&place.path("o/observations.jsonl")).expect("rows");
    let answer = |text: &str| loaded.encoder.encode(text).expect("tokens");
    for (item, response) in [(0, 0), (13, 2), (69, 1)] {
        let prompt: &Prompt = &items[item].prompt;
        let question = Question {
            constitution: "Choose the kinder answer.",
            prompt,
            first: &items[item].responses[response].text,
            second: "",
        };
        let text = judge.render(&question, &chat).expect("a question");
        let tokens = answer(&text);
        let last = |with: &str| *answer(&format!("{text}{with}")).last().expect("a token") as usize;
        let packing = Packing::single(&tokens);
        let blocks = Layer(loaded.decoder.config().num_blocks());
        let x = loaded.decoder.residual_stream(&packing, blocks, &mut NoHook).expect("forward");
        let end = x.narrow(0, tokens.len() - 1, 1).expect("the last row");
        let logits = loaded.decoder.logits(&end).expect("logits").to_vec2::<f32>().expect("numbers");
        let odds = f64::from(logits[0][last("A")]) - f64::from(logits[0][last("B")]);
        let row = rows
            .iter()
            .position(|r| r.constitution == "none" && r.id == items[item].id && r.response == response)
            .expect("its row");
        let score = seen.columns().scores["kind"][row];
        assert!((score - odds).abs() < 1e-4, "item {item}: {score}, alone {odds}");
    }
    // Without forced choices, such rewards serve as r_c, labelled with their mode.
    let (ok, out, err) = place.vstar(&["fit", "--observations", "o/observations.safetensors", "--out", "o"]);
    assert!(ok, "{out}\n{err}");
    let all = report(&place.path("o/report.json"));
    let slope = all["estimates"]
        .as_array()
        .expect("estimates")
        .iter()
        .find(|e| e["quantity"] == "encoded_slope" && e["constitution"] == "kind")
        .expect("a slope")
        .clone();
    assert!(slope["estimate"].is_number() && slope.get("judge").is_none(), "{slope}");
    assert!(slope["method"].as_str().expect("a method").ends_with("pointwise rewards"), "{slope}");
    assert!(all["verdicts"].as_array().expect("verdicts").iter().any(|v| v["constitution"] == "kind"));
    let warned = all["warnings"].as_array().expect("warnings").iter();
    assert!(warned.clone().any(|w| w.as_str().is_some_and(|w| w.contains("pointwise scores"))), "{all}");
}

#[test]
fn a_dry_run_counts_what_the_run_will_ask_and_writes_nothing() {
    let place = ready();
    with_judge(&place, "both.toml", "both", "template = \"judge.toml\"\nmode = [\"pairwise\", \"implicit\"]");
    let (ok, out, err) = place.vstar(&["run", "both.toml", "--dry-run"]);
    assert!(ok, "{out}\n{err}");
    // 70 prompts, 3 responses, bare and under 2 constitutions; a ring of 3 pairs in both orders under these.
    let line =
        |name: &str| out.lines().find(|l| l.starts_with(name)).unwrap_or_else(|| panic!("{name}: {out}"));
    let total = out.lines().find(|l| l.contains(" in all, ")).unwrap_or_else(|| panic!("{out}"));
    assert!(line("capture, bare").contains(" 210 "), "{out}");
    assert!(
        line("capture, under 2 texts").contains(" 420 ") && line("judge, pairs").contains(" 840 "),
        "{out}"
    );
    assert!(total.contains("B of disk") && out.contains("w under a text; v_c by likelihood"), "{out}");
    assert!(line("fit").contains(" s") && line("memory").contains("MiB") && total.contains(" s in all"));
    assert!(!place.path("both").exists());
}

#[test]
fn what_cannot_be_asked_together_is_refused_before_anything_runs() {
    let place = ready();
    place.write("point.toml", POINT);
    let folder = model();
    let common = ["judge", "--model", &folder, "--data", "items.jsonl", "--constitution", "c", "--out", "o"];
    let err = place.refused(&[&common[..], &["--mode", "pairwise", "--judge", "point.toml"]].concat());
    assert!(err.contains("mode that is not asked") && err.contains("point.toml"), "{err}");
    let err = place.refused(&[&common[..], &["--mode", "pointwise", "implicit"]].concat());
    assert!(err.contains("two kinds of scores"), "{err}");
    assert!(!place.path("o/observations.safetensors").exists());
    // Rows of the bare context alone do not give likelihoods under a constitution.
    let (ok, out, err) =
        place.vstar(&["capture", "--model", &folder, "--data", "items.jsonl", "--out", "bare"]);
    assert!(ok, "{out}\n{err}");
    let bare = ["judge", "--model", &folder, "--data", "items.jsonl", "--constitution", "c", "--out", "bare"];
    let err = place.refused(&[&bare[..], &["--mode", "implicit"]].concat());
    assert!(err.contains("no rows were read under `blue`") && err.contains("capture again"), "{err}");
    for bad in ["mode = [\"pointwise\", \"implicit\"]", "mode = \"paired\"", "mode = []"] {
        with_judge(&place, "bad.toml", "b", bad);
        let err = place.refused(&["run", "bad.toml"]);
        assert!(err.contains("mode") && err.contains("bad.toml:"), "{bad}: {err}");
    }
}

#[test]
fn the_same_rewards_give_the_same_figures_whatever_they_are_called() {
    let seen = Observations::open(&fixture("known/A_tall.observations.safetensors")).expect("observations");
    let mut posed = pose(&seen, None, &BTreeSet::from(["neutral".to_owned()])).expect("a problem");
    let copies: Vec<_> = posed
        .problem
        .judged
        .iter()
        .map(|judged| {
            let mut copy = judged.clone();
            (copy.mode, copy.beside, copy.fit) = (Mode::Implicit, true, None);
            copy.choices = Choices::Scores(copy.reward.clone());
            copy
        })
        .collect();
    posed.problem.judged.extend(copies);
    let analysis = analyse(&posed.problem, &posed.source, &Options::default()).expect("an analysis");
    let of = |quantity, judge: Option<Mode>| -> Vec<&Estimate> {
        let is = |e: &&Estimate| e.quantity == quantity && e.judge == judge && e.constitution.is_some();
        analysis.estimates.iter().filter(is).collect()
    };
    for quantity in [Quantity::Alignment, Quantity::EncodedSlope, Quantity::Gap, Quantity::TiltGain] {
        let (pairwise, implicit) = (of(quantity, None), of(quantity, Some(Mode::Implicit)));
        assert_eq!((pairwise.len(), pairwise.is_empty()), (implicit.len(), false), "{quantity:?}");
        for (a, b) in pairwise.iter().zip(implicit) {
            assert_eq!(
                (&a.constitution, a.estimate, a.lo, a.hi, a.p_adjusted),
                (&b.constitution, b.estimate, b.lo, b.hi, b.p_adjusted),
                "{quantity:?}"
            );
        }
    }
    // A judge that is nearly always consistent agrees with the labels as often either way.
    let accuracy = |judge| of(Quantity::JudgeAccuracy, judge)[0].estimate.expect("an accuracy");
    assert!((accuracy(None) - accuracy(Some(Mode::Implicit))).abs() < 0.02);
    assert_eq!(analysis.directions["v_c.good"], analysis.directions["v_c.good.implicit"]);
    let report = Report::new(json!({}).as_object().expect("an object").clone(), &analysis, Vec::new());
    assert_eq!(report.verdicts().iter().filter(|v| v.value == "S" && v.constitution == "good").count(), 1);
    assert!(to_markdown(&report).contains("asked in other ways"));
}
