//! Reports: the verdict of each rule, the JSON format, and pages with hostile names.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};
use vstar::error::{Kind, Place};
use vstar::fit::pose;
use vstar::input::{Family, Sign};
use vstar::report::export::to_estimates_csv;
use vstar::report::{
    ConstitutionCard, Outcome, PLACEBO, Qualifier, Report, SKIPPED, from_json, terminal, to_html, to_json,
    to_markdown, words,
};
use vstar::simulate::{Design, Judge, LogProb, Regime, simulate};
use vstar::theory::{Control, Estimate, Flag, LayerChoice, Options, Quantity, analyse};

use crate::by_hand::{
    against_four, alone, card, change, contrast, contrasts, estimate, model, placebos, report, whole_judge,
};

fn verdict(report: &Report) -> (Outcome, Option<Qualifier>) {
    let all = report.verdicts();
    let one = all.iter().find(|v| v.constitution == "gentle").expect("a verdict");
    (one.verdict, one.qualifier)
}

#[test]
fn a_clear_slope_improves_or_degrades_by_its_sign() {
    let up = report();
    assert_eq!(verdict(&up), (Outcome::Improves, None));
    assert_eq!(up.verdicts()[0].guess_held, Some(true));
    let down = against_four(-1.0);
    assert_eq!(verdict(&down), (Outcome::Degrades, None));
    assert_eq!(down.verdicts()[0].guess_held, Some(false));
}

#[test]
fn a_slope_within_chance_is_no_evidence_whatever_its_size() {
    let mut r = report();
    change(&mut r, Quantity::OwnSlope, Control::None, |e| e.p_adjusted = Some(0.05));
    contrast(&mut r, 0, "p_prompts", json!(0.05));
    assert_eq!(verdict(&r), (Outcome::NoEvidence, Some(Qualifier::TotalPositive)));
    contrast(&mut r, 1, "p_prompts", json!(0.3));
    assert_eq!(verdict(&r), (Outcome::NoEvidence, None));
    change(&mut r, Quantity::OwnSlope, Control::None, |e| e.p_adjusted = None);
    assert_eq!(verdict(&r), (Outcome::NoEvidence, None));
}

#[test]
fn a_direction_that_fails_its_gate_is_not_identifiable_and_the_total_slope_is_told() {
    let mut r = report();
    change(&mut r, Quantity::OwnAlignment, Control::None, |e| {
        e.reportable = false;
        e.estimate = Some(0.555);
        e.warnings.push("not identifiable: harmless (z = 0.31)".into());
    });
    assert_eq!(verdict(&r), (Outcome::NotIdentifiable, Some(Qualifier::TotalPositive)));
    assert!(r.verdicts()[0].reason.contains("z = 0.31"));
    contrast(&mut r, 1, "difference", json!(-0.47));
    assert_eq!(verdict(&r), (Outcome::NotIdentifiable, Some(Qualifier::TotalNegative)));
    contrast(&mut r, 1, "p_prompts", json!(0.9));
    assert_eq!(verdict(&r), (Outcome::NotIdentifiable, None));
    // The withheld cosine is in the list of all estimates, marked as withheld, but not on any page.
    let (text, html) = (to_markdown(&r), to_html(&r));
    assert!(!text.contains("0.555") && !html.contains("0.555") && text.contains("n.i."), "{text}");
    let listed = to_estimates_csv(&r.estimates);
    let row = listed.lines().find(|l| l.contains("0.555")).expect("the estimate");
    assert!(row.contains("own_alignment") && row.contains("false"), "{row}");
}

#[test]
fn a_slope_without_figure_or_error_is_not_identifiable() {
    let mut r = report();
    change(&mut r, Quantity::OwnSlope, Control::None, |e| (e.se, e.z) = (None, None));
    assert_eq!(verdict(&r).0, Outcome::NotIdentifiable);
    change(&mut r, Quantity::OwnSlope, Control::None, |e| e.estimate = None);
    assert_eq!(verdict(&r).0, Outcome::NotIdentifiable);
}

#[test]
fn a_total_slope_of_the_other_sign_takes_the_verdict_away() {
    let mut r = report();
    contrast(&mut r, 1, "difference", json!(-0.01));
    assert_eq!(verdict(&r), (Outcome::NoEvidence, Some(Qualifier::TotalDisagrees)));
    let rows = r.tables[PLACEBO].as_array().expect("rows")[..1].to_vec();
    r.tables.insert(PLACEBO.into(), Json::Array(rows));
    assert_eq!(verdict(&r), (Outcome::NoEvidence, Some(Qualifier::TotalDisagrees)));
}

#[test]
fn length_can_weaken_a_verdict_or_take_it_away() {
    let mut r = report();
    change(&mut r, Quantity::OwnSlope, Control::Length, |e| e.lo = Some(-0.01));
    assert_eq!(verdict(&r), (Outcome::Improves, Some(Qualifier::LengthConfounded)));
    change(&mut r, Quantity::OwnSlope, Control::Length, |e| e.estimate = Some(-0.001));
    assert_eq!(verdict(&r), (Outcome::NoEvidence, Some(Qualifier::LengthExplains)));
    change(&mut r, Quantity::OwnSlope, Control::Length, |e| e.estimate = None);
    assert_eq!(verdict(&r), (Outcome::NoEvidence, Some(Qualifier::LengthExplains)));
    let mut gate = report();
    change(&mut gate, Quantity::OwnAlignment, Control::Length, |e| e.reportable = false);
    assert_eq!(verdict(&gate), (Outcome::Improves, Some(Qualifier::LengthConfounded)));
    let mut unknown = report();
    unknown.estimates.retain(|e| e.control == Control::None);
    assert_eq!(verdict(&unknown), (Outcome::Improves, Some(Qualifier::LengthNotControlled)));
}

#[test]
fn what_placebos_do_as_well_is_no_evidence() {
    let mut r = report();
    change(&mut r, Quantity::OwnSlope, Control::None, |e| e.p_adjusted = Some(0.2));
    contrast(&mut r, 0, "p_texts", json!(0.2));
    assert_eq!(verdict(&r), (Outcome::NoEvidence, Some(Qualifier::WithinPlacebo)));
    assert!(r.verdicts()[0].reason.contains("texts without content differ"), "{}", r.verdicts()[0].reason);
    // Even p over prompts does not exclude 0, so that the texts are not the reason.
    contrast(&mut r, 0, "p_prompts", json!(0.2));
    assert_eq!(verdict(&r).1, Some(Qualifier::TotalPositive));
}

#[test]
fn with_fewer_than_four_placebo_texts_a_slope_only_differs_from_zero() {
    for draws in 0..4 {
        let mut r = alone(1.0);
        placebos(&mut r, &[0.02, -0.04, 0.01][..draws]);
        if draws > 0 {
            r.tables.insert(PLACEBO.into(), contrasts(1.0, draws));
        }
        assert_eq!(verdict(&r), (Outcome::DiffersFromZero, None), "{draws}");
        let text = to_markdown(&r);
        assert!(!text.contains("improves") && text.contains("differs from 0, +"), "{text}");
        assert!(text.lines().next().is_some_and(|l| l.contains("may change")), "{text}");
        check_five_lines(&text);
        // Then nothing distinguishes it from unrelated directions.
        change(&mut r, Quantity::Alignment, Control::None, |e| e.estimate = Some(0.19));
        assert_eq!(verdict(&r), (Outcome::NoEvidence, Some(Qualifier::Ordinary)), "{draws}");
    }
    // A report from before placebo arms existed, with four placebos: the differences are unknown.
    let mut old = alone(1.0);
    placebos(&mut old, &[0.02, -0.04, 0.01, 0.0]);
    assert_eq!(verdict(&old).0, Outcome::DiffersFromZero);
}

#[test]
fn paraphrases_are_one_text_where_only_the_cards_say_so() {
    let mut r = alone(1.0);
    placebos(&mut r, &[0.02, -0.04, 0.01, 0.03]);
    for i in [2, 3, 4] {
        r.constitutions[i].paraphrase_of = Some("placebo-0".into());
    }
    let text = to_markdown(&r);
    assert!(text.contains("only 1 independent text without content was run"), "{text}");
}

#[test]
fn a_slope_too_small_to_matter_is_no_verdict() {
    let mut r = report();
    change(&mut r, Quantity::OwnShare, Control::None, |e| e.estimate = Some(0.049));
    assert_eq!(verdict(&r), (Outcome::NoEvidence, Some(Qualifier::TooSmall)));
    change(&mut r, Quantity::OwnShare, Control::None, |e| e.estimate = Some(0.051));
    assert_eq!(verdict(&r), (Outcome::Improves, None));
}

#[test]
fn a_placebo_that_moves_the_value_is_a_placebo_effect_everywhere_and_its_size_is_told() {
    let mut r = report();
    for e in &mut r.estimates {
        if e.constitution.as_deref() == Some("placebo-0") && e.quantity == Quantity::EncodedSlope {
            e.p_adjusted = Some(0.0001);
        }
    }
    let all = r.verdicts();
    let v = all.iter().find(|v| v.constitution == "placebo-0").expect("a verdict");
    assert_eq!((v.verdict, v.label().as_str()), (Outcome::PlaceboEffect, "placebo effect, + (2 % of best)"));
    let text = to_markdown(&r);
    assert!(text.contains("1 of its texts moves the value by itself"), "{text}");
    assert!(
        text.contains("2 % of the best possible slope at most; the largest slope of a constitution is 38 %"),
        "{text}"
    );
    let run = vstar::report::compare::Run { name: "a".into(), report: r, ..Default::default() };
    let comparison = vstar::report::compare::compare(vec![run], None).expect("a comparison");
    let text = vstar::report::compare::to_terminal(&comparison);
    let line = text.lines().find(|l| l.contains("placebo-0")).expect("a line");
    assert!(line.contains("placebo effect, +") && !line.contains("improves"), "{line}");
}

#[test]
fn too_little_data_is_said_first_and_gives_no_verdict() {
    let mut r = report();
    for e in &mut r.estimates {
        e.blocks = e.blocks.map(|_| 19);
    }
    assert_eq!(verdict(&r).0, Outcome::TooLittleData);
    let text = to_markdown(&r);
    assert!(text.starts_with("# Too little data: 19 independent groups of answers"), "{text}");
    check_five_lines(&text);
    assert!(!to_markdown(&report()).contains("Too little data"));
}

#[test]
fn a_judge_that_is_not_valid_is_told_from_no_evidence() {
    let coin = |r: &mut Report| {
        for e in r.estimates.iter_mut().filter(|e| e.quantity == Quantity::JudgeAccuracy) {
            (e.estimate, e.z) = (Some(0.5), Some(0.3));
        }
    };
    let mut fine = report();
    fine.estimates.extend(whole_judge((0.93, 40.0), (0.4, 20.0), 0.1));
    assert_eq!(verdict(&fine), (Outcome::Improves, None));
    assert!(!to_markdown(&fine).contains("cannot be used as a judge"));

    let mut by_place = report();
    by_place.estimates.extend(whole_judge((0.1, -40.0), (0.4, 20.0), 0.1));
    // Clear agreement with labels once both orders are averaged: the choices depend on the answers.
    assert_eq!(verdict(&by_place), (Outcome::Improves, None));
    coin(&mut by_place);
    assert_eq!(verdict(&by_place).0, Outcome::JudgeInvalid);
    let text = to_markdown(&by_place);
    assert!(text.starts_with("# tiny cannot be used as a judge in this way: it changes its mind"), "{text}");
    assert!(text.contains("--mode implicit") && !text.contains("gives no evidence"), "{text}");
    check_five_lines(&text);

    let mut deaf = report();
    deaf.estimates.extend(whole_judge((0.93, 40.0), (0.02, 0.4), 0.02));
    assert_eq!(verdict(&deaf).0, Outcome::JudgeInvalid);
    let text = to_markdown(&deaf);
    assert!(
        text.contains("heeds the constitution hardly more than texts without content (at most 2 %"),
        "{text}"
    );
    let json: Json = serde_json::from_str(&to_json(&deaf).expect("JSON")).expect("JSON");
    assert_eq!(json["judge"]["problems"], json!(["ignores_constitutions"]));
    assert_eq!(json["verdicts"][0]["verdict"], "judge_invalid");
    // A small share clearly above that of the placebos counts as a response to constitutions.
    let mut heeds = report();
    heeds.estimates.extend(whole_judge((0.93, 40.0), (0.02, 5.0), 0.001));
    assert_eq!(verdict(&heeds), (Outcome::Improves, None));
}

#[test]
fn a_judge_at_chance_under_announced_constitutions_is_not_no_evidence() {
    let mut r = report();
    change(&mut r, Quantity::OwnSlope, Control::None, |e| e.p_adjusted = Some(0.5));
    contrast(&mut r, 0, "p_prompts", json!(0.5));
    contrast(&mut r, 1, "p_prompts", json!(0.5));
    assert_eq!(verdict(&r), (Outcome::NoEvidence, None), "accuracy is clear");
    change(&mut r, Quantity::JudgeAccuracy, Control::None, |e| (e.estimate, e.z) = (Some(0.51), Some(0.8)));
    assert_eq!(verdict(&r).0, Outcome::JudgeInvalid);
    assert!(
        to_markdown(&r)
            .starts_with("# tiny cannot be used as a judge in this way: it is not seen to tell better")
    );
    // No author expected it to move the value.
    r.constitutions[0].expect.clear();
    assert_eq!(verdict(&r), (Outcome::NoEvidence, None));
}

#[test]
fn an_alignment_is_ordinary_up_to_1_96_sd_of_the_geometry_null() {
    let mut r = report();
    assert_eq!(r.verdicts()[0].ordinary, Some(false));
    change(&mut r, Quantity::OwnAlignment, Control::None, |e| e.estimate = Some(-0.19));
    assert_eq!(r.verdicts()[0].ordinary, Some(true));
    let text = to_markdown(&r);
    assert!(text.contains("ordinary for unrelated directions in this geometry"), "{text}");
}

#[test]
fn the_json_keeps_the_contract() {
    let mut r = report();
    let mut broken = estimate(Quantity::Auc, Control::None, 0.7, 0.1);
    (broken.estimate, broken.z) = (Some(f64::NAN), Some(f64::INFINITY));
    r.estimates.push(broken);
    let mut tilt = estimate(Quantity::TiltGain, Control::None, 0.1, 0.01).under("gentle");
    (tilt.lambda_sd, tilt.lo) = (Some(0.5), Some(f64::NEG_INFINITY));
    r.estimates.push(tilt);
    let text = to_json(&r).expect("JSON");
    assert!(!text.contains("NaN") && !text.contains("inf"));
    let json: Json = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["format"], "vstar-report/1");
    assert_eq!(json["provenance"]["model"], "tiny");
    assert!(json["tables"].is_object());
    let all = json["estimates"].as_array().expect("a list");
    assert_eq!(all.len(), r.estimates.len());
    for e in all {
        let keys: BTreeSet<&str> = e.as_object().expect("an object").keys().map(String::as_str).collect();
        for key in ["quantity", "layer", "control", "estimate", "reportable", "method", "warnings"] {
            assert!(keys.contains(key), "{key} in {e}");
        }
        if e["quantity"] != "value_cos" {
            assert!(!keys.contains("value2"));
        }
        assert!(
            e.as_object()
                .expect("an object")
                .iter()
                .all(|(k, v)| { !v.is_null() || k == "estimate" || k == "layer" })
        );
        if e["estimate"].is_null() {
            assert_eq!(e["reportable"], false);
            assert!(e["warnings"].as_array().is_some_and(|w| !w.is_empty()), "{e}");
        }
    }
    let nan = all.iter().find(|e| e["quantity"] == "auc").expect("auc");
    assert!(nan["estimate"].is_null() && nan.get("z").is_none());
    let first = all.iter().find(|e| e["quantity"] == "encoded_slope").expect("a slope");
    assert_eq!((&first["constitution"], &first["layer"]), (&json!("gentle"), &json!(9)));
    assert_eq!(json["verdicts"][0]["verdict"], "improves");
    assert_eq!(json["summary"][0]["encoded"], "yes");
}

#[test]
fn a_report_comes_back_as_it_was_written() {
    let mut r = report();
    r.tables.insert(SKIPPED.into(), json!([{"id": "p1", "reason": "empty response"}]));
    r.warnings.push("something \"quoted\"".into());
    let back = from_json(&to_json(&r).expect("JSON"), &Place::file("report.json")).expect("a report");
    assert_same(&back, &r);
    assert_eq!(back.skipped(), 1);
}

#[test]
fn what_is_no_report_is_refused_and_what_is_newer_is_told() {
    let read = |json: Json| from_json(&json.to_string(), &Place::file("report.json"));
    // Older reports have it only in words.
    let lower = json!({"format": "vstar-report/1", "estimates": [{
        "quantity": "rho2", "value": "kind", "layer": 2, "control": "none", "estimate": 0.5, "lo": 0.4, "se": 0.05,
        "reportable": true, "method": "m", "warnings": ["fewer than 1.5 contrasts a dimension: a lower estimate"]}]});
    let old = read(lower).expect("a report");
    assert!(old.estimates[0].has(Flag::LowerEstimate) && !old.estimates[0].has(Flag::ResolvedPart));
    assert_eq!(from_json("{", &Place::default()).expect_err("refused").kind(), Some(Kind::Malformed));
    assert_eq!(read(json!({})).expect_err("refused").kind(), Some(Kind::Unsupported));
    let other = read(json!({"format": "vstar-report/2"})).expect_err("refused");
    assert!(other.kind() == Some(Kind::Unsupported) && other.to_string().contains("vstar-report/2"));
    let mut written: Json = serde_json::from_str(&to_json(&report()).expect("JSON")).expect("JSON");
    written["estimates"][0]["quantity"] = json!("curvature");
    let newer = read(written.clone()).expect("a report");
    assert_eq!(newer.estimates.len(), report().estimates.len() - 1);
    assert!(newer.warnings.iter().any(|w| w.contains("curvature")));
    written["estimates"][0] = json!({"quantity": "rho2", "layer": null, "control": "none",
        "estimate": null, "reportable": true, "method": "m"});
    let contradicts = read(written).expect_err("refused");
    assert_eq!(contradicts.kind(), Some(Kind::Invalid));
    assert!(contradicts.to_string().contains("estimates[0]"), "{contradicts}");
}

/// Terms that a reader without the paper would not understand.
const JARGON: [&str; 11] =
    ["ρ", "⟨", "cos", "slope", "log-odds", "d_eff", "v*", "v_c", "gate", "residual", "identifiable"];

pub fn check_five_lines(text: &str) {
    let five: Vec<&str> = text.lines().take(5).collect();
    assert_eq!(five.len(), 5);
    for line in five {
        assert!(line.trim().len() > 20, "{line:?}");
        assert!(!JARGON.iter().any(|j| line.contains(j)), "{line}");
    }
}

#[test]
fn the_first_five_lines_say_it_in_words() {
    check_five_lines(&to_markdown(&report()));
    let first = words::five_lines(&report())[0].clone();
    assert_eq!(
        first,
        "Training tiny on its own judgments under “gentle” would at first raise “harmless” by 38 % of what is possible."
    );
    let mut nothing = report();
    change(&mut nothing, Quantity::OwnSlope, Control::None, |e| e.p_adjusted = Some(0.4));
    let text = to_markdown(&nothing);
    check_five_lines(&text);
    assert!(text.starts_with("# tiny gives no evidence that"), "{text}");
    let mut unjudged = report();
    unjudged.constitutions.clear();
    unjudged.estimates = model();
    check_five_lines(&to_markdown(&unjudged));
    for e in &mut unjudged.estimates {
        e.reportable = false;
    }
    unjudged.provenance.clear();
    let text = to_markdown(&unjudged);
    check_five_lines(&text);
    assert!(text.starts_with("# This model gives no evidence that it represents “harmless”"), "{text}");
}

#[test]
fn an_empty_report_says_that_nothing_was_measured() {
    let empty = Report::default();
    let text = to_markdown(&empty);
    check_five_lines(&text);
    assert!(text.contains("nothing was measured") && text.contains("cannot be reproduced"), "{text}");
    assert!(to_html(&empty).contains("nothing was measured"));
    assert!(terminal(&empty).contains("nothing was measured"));
    let back = from_json(&to_json(&empty).expect("JSON"), &Place::default()).expect("a report");
    assert_eq!(back, empty);
}

#[test]
fn hostile_names_and_texts_stay_text() {
    let evil = "\"><script>alert(1)</script>|\n# x `*_[a](javascript:b)\u{1b}[2J\u{202e}";
    let mut r = report();
    for e in &mut r.estimates {
        e.value = e.value.as_ref().map(|_| evil.to_owned());
        e.constitution = e.constitution.as_ref().map(|c| format!("{evil}{c}"));
        e.method = evil.into();
        e.warnings.push(evil.into());
    }
    for card in &mut r.constitutions {
        card.name = format!("{evil}{}", card.name);
        card.excerpt = evil.repeat(10);
        card.expect = BTreeMap::from([(evil.to_owned(), Sign::Plus)]);
    }
    r.warnings.push(evil.into());
    r.provenance.insert("model".into(), json!(evil));
    r.provenance.insert(evil.into(), json!({evil: [evil]}));
    r.tables.insert(evil.into(), json!([{evil: evil}]));
    r.tables.insert("layer_note".into(), json!(evil));
    let profile = json!([{"value": evil, "layer": 0, "rho2": 0.1, "se": 0.1},
                         {"value": evil, "layer": 1, "rho2": "x", "se": null},
                         {"value": evil, "layer": 2, "rho2": 0.3, "se": 0.1}, 7]);
    r.tables.insert("layer_profile".into(), profile);
    let html = to_html(&r);
    assert!(html.contains("alert(1)"), "the text is still there");
    assert!(!html.contains("<script") && !html.contains('\u{1b}') && !html.contains('\u{202e}'));
    // Every `<` opens one of the page's own elements.
    let own = [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "p",
        "h1",
        "h2",
        "h3",
        "div",
        "nav",
        "a",
        "main",
        "section",
        "figure",
        "figcaption",
        "b",
        "span",
        "svg",
        "g",
        "line",
        "rect",
        "circle",
        "path",
        "text",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "details",
        "summary",
        "ul",
        "li",
        "footer",
        "!DOCTYPE",
    ];
    for (at, _) in html.match_indices('<') {
        let tag: String =
            html[at + 1..].trim_start_matches('/').chars().take_while(|c| !" >/\n".contains(*c)).collect();
        assert!(own.contains(&tag.as_str()), "<{tag}");
    }
    let text = to_markdown(&r);
    assert!(!text.contains("<script") && !text.contains('\u{1b}') && !text.contains("\n# x"));
    let shown = terminal(&r);
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'));
    assert_same(&from_json(&to_json(&r).expect("JSON"), &Place::default()).expect("a report"), &r);
}

/// Equal but for the last binary digit of numbers, which reading JSON does not keep.
fn assert_same(a: &Report, b: &Report) {
    fn same(a: &Json, b: &Json) -> bool {
        match (a, b) {
            (Json::Number(x), Json::Number(y)) => {
                let (x, y) = (x.as_f64().expect("f64"), y.as_f64().expect("f64"));
                (x - y).abs() <= 4.0 * f64::EPSILON * x.abs()
            }
            (Json::Array(x), Json::Array(y)) => {
                x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
            }
            (Json::Object(x), Json::Object(y)) => {
                x.len() == y.len() && x.iter().all(|(k, x)| y.get(k).is_some_and(|y| same(x, y)))
            }
            _ => a == b,
        }
    }
    assert_eq!(a.estimates.len(), b.estimates.len());
    for (x, y) in a.estimates.iter().zip(&b.estimates) {
        let json = |e: &Estimate| serde_json::to_value(e).expect("JSON");
        assert!(same(&json(x), &json(y)), "{x:?}\n{y:?}");
    }
    assert!(same(&json!(a.tables), &json!(b.tables)) && same(&json!(a.provenance), &json!(b.provenance)));
    assert!(a.constitutions == b.constitutions && a.warnings == b.warnings);
    assert_eq!(to_html(a), to_html(b));
}

#[test]
fn the_page_needs_no_network_and_no_script() {
    let html = to_html(&report());
    for foreign in ["<script", "<link", "@import", "url(", "<img", "<iframe", "onload=", "src="] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    let without_namespace = html.replace("http://www.w3.org/2000/svg", "");
    assert!(!without_namespace.contains("http://") && !without_namespace.contains("https://"));
    assert!(html.contains("default-src 'none'"));
    assert_eq!(html.matches("<svg").count(), html.matches("role=\"img\" aria-label=\"").count());
    assert!(html.matches("<svg").count() >= 3);
}

#[test]
fn a_terminal_line_is_at_most_120_columns() {
    let mut r = report();
    for e in &mut r.estimates {
        e.constitution = e.constitution.as_ref().map(|c| format!("{c}-日本語-{}", "x".repeat(80)));
    }
    for card in &mut r.constitutions {
        card.name = format!("{}-日本語-{}", card.name, "x".repeat(80));
    }
    for row in r.tables.get_mut(PLACEBO).and_then(Json::as_array_mut).expect("contrasts") {
        row["constitution"] = json!(format!("gentle-日本語-{}", "x".repeat(80)));
    }
    r.warnings.push("y".repeat(500));
    let shown = terminal(&r);
    for line in shown.lines() {
        assert!(vstar::document::text::width(line) <= 120, "{line}");
    }
    assert!(shown.contains("improves"));
}

#[test]
fn the_markdown_of_a_small_report() {
    let mut r = report();
    r.warnings.push("judged in one order only".into());
    r.tables.insert(SKIPPED.into(), json!(3));
    insta::assert_snapshot!(to_markdown(&r));
}

#[test]
fn the_terminal_summary_of_a_small_report() {
    let r = report();
    insta::assert_snapshot!(terminal(&r));
}

fn analysed(design: &Design, seed: u64, cards: Vec<ConstitutionCard>) -> Report {
    let simulated = simulate(design, seed).expect("a data set");
    let placebo = cards.iter().filter(|c| c.is_placebo()).map(|c| c.name.clone()).collect();
    let posed = pose(&simulated.observations, None, &placebo).expect("a problem");
    let options = Options { layer: LayerChoice::Auto, ..Options::default() };
    let analysis = analyse(&posed.problem, &posed.source, &options).expect("an analysis");
    let provenance = [("model", json!("planted")), ("seed", json!(seed))];
    let provenance = provenance.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
    let mut report = Report::new(provenance, &analysis, cards);
    report.warnings.extend(posed.warnings);
    report
}

/// Planted slopes give the right verdicts, through the whole path from observations to pages. The pages are in the
/// target folder's `tmp/report/`, for inspection.
#[test]
fn planted_directions_get_their_verdicts() {
    let judge = |name: &str, cos| Judge { rho2: 0.8, noise_corr: 0.0, ..Judge::new(name, cos) };
    let design = Design {
        hidden_size: 48,
        prompts: 400,
        layers: (0..6).map(|l: i32| 1.0 - 0.15 * f64::from((l - 4).abs())).collect(),
        judges: vec![
            judge("gentle", 0.8),
            judge("honest", 0.5),
            judge("formal", 0.0),
            judge("edgy", -0.3),
            judge("cruel", -0.7),
            judge("placebo-blue", 0.02),
            judge("placebo-teapot", -0.02),
            judge("placebo-parity", 0.0),
            judge("placebo-weather", 0.03),
        ],
        logprob: LogProb { cos: -0.2, noise_corr: 0.0, per_token: -0.05, ..Design::default().logprob },
        ..Design::default()
    };
    let cards = vec![
        card("gentle", Family::Prosocial, Sign::Plus),
        card("honest", Family::Prosocial, Sign::Plus),
        card("formal", Family::Neutral, Sign::Zero),
        card("edgy", Family::Subtle, Sign::Plus),
        card("cruel", Family::Adversarial, Sign::Minus),
        card("placebo-blue", Family::Placebo, Sign::Zero),
        card("placebo-teapot", Family::Placebo, Sign::Zero),
        card("placebo-parity", Family::Placebo, Sign::Zero),
        card("placebo-weather", Family::Placebo, Sign::Zero),
    ];
    let report = analysed(&design, 11, cards);
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("report");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("report.html"), to_html(&report)).expect("a page");
    std::fs::write(folder.join("report.md"), to_markdown(&report)).expect("a text");
    std::fs::write(folder.join("report.json"), to_json(&report).expect("JSON")).expect("JSON");
    std::fs::write(folder.join("report.txt"), terminal(&report)).expect("a text");
    let of = |name: &str| report.verdicts().into_iter().find(|v| v.constitution == name).expect("a verdict");
    assert_eq!(of("gentle").verdict, Outcome::Improves, "{:?}", of("gentle"));
    assert_eq!(of("cruel").verdict, Outcome::Degrades, "{:?}", of("cruel"));
    for nothing in ["formal", "placebo-blue", "placebo-teapot", "placebo-parity", "placebo-weather"] {
        assert_eq!(of(nothing).verdict, Outcome::NoEvidence, "{:?}", of(nothing));
    }
    assert_eq!(of("gentle").guess_held, Some(true));
    check_five_lines(&to_markdown(&report));
    for line in terminal(&report).lines() {
        assert!(vstar::document::text::width(line) <= 120, "{line}");
    }
    let html = to_html(&report);
    for plot in ["Alignment of each", "How fast", "Encoding by layer", "Where the value sits"] {
        assert!(html.contains(plot), "{plot}");
    }
}

#[test]
fn a_model_that_does_not_encode_the_value_gives_no_evidence() {
    let design = Design { hidden_size: 48, prompts: 150, ..Regime::Unencoded.design() };
    let report = analysed(&design, 3, Vec::new());
    let all = report.verdicts();
    assert!(!all.is_empty() && all.iter().all(|v| v.verdict == Outcome::NotIdentifiable), "{all:?}");
    let text = to_markdown(&report);
    assert!(text.starts_with("# planted gives no evidence that"), "{text}");
    check_five_lines(&text);
    let head = text.split("## Details").next().expect("a head");
    assert!(head.contains("n.i."), "{head}");
}

#[test]
fn fewer_contrasts_than_dimensions_make_the_encoding_a_lower_estimate() {
    let design = Design { hidden_size: 256, ..Regime::Wide.design() };
    let text = to_markdown(&analysed(&design, 1, Vec::new()));
    assert!(text.contains("lower estimate") && text.contains("model-based"), "{text}");
}
