//! `vstar verify`: what is compared, what is sampled only once, and what is refused.

use std::fs;

use serde_json::{Value as Json, json};

use crate::cli::Place;

fn told(place: &Place, args: &[&str]) -> Json {
    let (ok, out, err) = place.vstar(&[&["verify"], args, &["--json"]].concat());
    assert!(ok, "{args:?}\n{out}\n{err}");
    serde_json::from_str(&out).expect("JSON")
}

fn row<'a>(found: &'a Json, value: &str, kind: &str) -> &'a Json {
    let all = found["changes"].as_array().expect("a list");
    all.iter()
        .find(|r| r["value"] == value && r["scored"]["kind"] == kind)
        .unwrap_or_else(|| panic!("{found}"))
}

const DATA: [&str; 8] =
    ["--data", "embedded:hearth", "--limit", "40", "--max-new-tokens", "40", "--out", "v"];
const XS: &str = "embedded:hearth-xs";

/// Replies with labels: three to each of twenty prompts, moved by `shift` of prompt i.
fn labelled(place: &Place, name: &str, shift: impl Fn(usize) -> f64, more: &Json) {
    let row = |i: usize| {
        let response = |r: usize| {
            let score = (7 * i + 3 * r) as f64 % 5.0 + shift(i);
            json!({"text": format!("reply {r} of {name}"), "values": {"kind": score}})
        };
        let prompt = format!("number {i} of words {} and {}", i * i, 3 * i);
        let mut row = json!({"id": format!("p{i}"), "prompt": prompt, "responses": [response(0), response(1), response(2)]});
        for (key, value) in more.as_object().into_iter().flatten() {
            row[key] = value.clone();
        }
        row.to_string()
    };
    place.write(name, &(0..20).map(row).collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_policy_does_not_diverge_from_itself_and_its_samples_are_drawn_once() {
    let place = Place::new();
    let found = told(&place, &[&[XS, XS], &DATA[..]].concat());
    assert!(found["kl"]["estimate"].as_f64().expect("nats").abs() < 1e-3, "{found}");
    assert_eq!(row(&found, "length", "length")["verdict"], "no_evidence");
    assert!(found["warnings"].to_string().contains("no value is scored"), "{found}");
    let drawn = fs::metadata(place.path("v/after.jsonl")).and_then(|m| m.modified()).expect("samples");
    let again = told(&place, &[&[XS, XS], &DATA[..]].concat());
    assert_eq!(again, found);
    let still = fs::metadata(place.path("v/after.jsonl")).and_then(|m| m.modified()).expect("samples");
    assert_eq!(drawn, still);
    let other = place.refused(&[&["verify", XS, XS], &DATA[..], &["--seed", "7"]].concat());
    assert!(other.contains("samples of another job"), "{other}");
    // Not the same draws on both sides.
    assert_ne!(
        fs::read(place.path("v/before.jsonl")).expect("b"),
        fs::read(place.path("v/after.jsonl")).expect("a")
    );
}

#[test]
fn another_policy_diverges_and_a_labeller_scores_both_sides() {
    let place = Place::new();
    place.write("c/helpful.toml", "name = \"helpful\"\nfamily = \"prosocial\"\ntext = \"be helpful\"\n");
    let labeller = ["--labeller", "embedded:hearth", "--constitution", "c/helpful.toml"];
    let found = told(&place, &[&[XS, "embedded:hearth-s"], &DATA[..], &labeller].concat());
    let kl = &found["kl"];
    assert!(kl["lo"].as_f64().expect("an end") > 0.05, "{kl}");
    let change = row(&found, "helpful-judged", "judgments");
    assert_eq!(change["scored"]["model"], "embedded:hearth");
    let share = change["of_largest"].as_f64().expect("a share");
    let own = change["change"]["estimate"].as_f64().expect("a change")
        / (change["sd"].as_f64().expect("sd") * (2.0 * kl["estimate"].as_f64().expect("nats")).sqrt());
    assert!((share - own).abs() < 1e-9);
    let page = fs::read_to_string(place.path("v/verify.md")).expect("the page");
    assert!(page.contains("judgments of embedded:hearth") && page.contains("nats a reply"), "{page}");
}

#[test]
fn labels_of_both_sides_are_compared_prompt_by_prompt() {
    let place = Place::new();
    labelled(&place, "b.jsonl", |_| 0.0, &json!({}));
    labelled(&place, "a.jsonl", |i| 0.5 + 0.1 * (i % 3) as f64, &json!({}));
    let found = told(&place, &["b.jsonl", "a.jsonl", "--out", "v"]);
    let kind = row(&found, "kind", "labels");
    let expected = 0.5 + 0.1 * (0..20).map(|i| (i % 3) as f64).sum::<f64>() / 20.0;
    assert!((kind["change"]["estimate"].as_f64().expect("a change") - expected).abs() < 1e-9, "{kind}");
    assert_eq!(kind["verdict"], "rises");
    assert!(found["kl"].is_null() && found["warnings"].to_string().contains("no divergence"), "{found}");
    let back = told(&place, &["a.jsonl", "b.jsonl", "--out", "w"]);
    assert_eq!(row(&back, "kind", "labels")["verdict"], "falls");
}

#[test]
fn labels_that_only_compare_within_a_prompt_say_nothing_of_a_change() {
    let place = Place::new();
    let pairwise = json!({"labelled": {"value": "kind", "model": "m", "mode": "pairwise"}});
    labelled(&place, "b.jsonl", |_| 0.0, &json!({}));
    labelled(&place, "a.jsonl", |_| 1.0, &pairwise);
    let found = told(&place, &["b.jsonl", "a.jsonl", "--out", "v"]);
    assert!(found["changes"].as_array().expect("a list").iter().all(|r| r["value"] != "kind"), "{found}");
    assert!(found["warnings"].to_string().contains("--mode pointwise"), "{found}");
}

#[test]
fn sides_of_other_prompts_and_probes_without_their_model_are_refused() {
    let place = Place::new();
    labelled(&place, "b.jsonl", |_| 0.0, &json!({}));
    let text = fs::read_to_string(place.path("b.jsonl")).expect("text");
    place.write("ids.jsonl", &text.replace("\"id\":\"p", "\"id\":\"q"));
    place.write("prompts.jsonl", &text.replace("number 3 of", "number three of"));
    let refused = |args: &[&str]| place.refused(&[&["verify"], args].concat());
    assert!(refused(&["b.jsonl", "ids.jsonl"]).contains("share no prompt"));
    let other = refused(&["b.jsonl", "prompts.jsonl"]);
    assert!(other.contains("another prompt on each side") && other.contains("prompts.jsonl:4"), "{other}");
    assert!(refused(&[XS, XS]).contains("--data"));
    assert!(refused(&["b.jsonl", "missing.jsonl"]).contains("missing.jsonl"));
    let probe = refused(&["b.jsonl", "b.jsonl", "--probe", "nowhere:v_star.kind"]);
    assert!(probe.contains("nowhere"), "{probe}");
    assert!(!place.path("verify").exists());
}
