//! Sentences about the judge: its confidence, its validity, its own tendency.

use serde_json::json;
use vstar::report::Report;
use vstar::report::words::five_lines;
use vstar::theory::{Control, Estimate, Quantity};

use crate::by_hand::{at, change, contrast, figure, holds, report, says, set, whole_judge};

#[test]
fn the_judge_is_surer_than_right_where_the_interval_of_every_case_together_is_above_0() {
    const TITLE: &str = "How sure the judge is, and how right";
    let r = |cases: &[(&str, f64)]| {
        let mut r = report();
        r.tables.insert("judge_calibration".into(), json!([]));
        // Interval ± .196.
        r.estimates.extend(
            cases.iter().map(|(name, lo)| figure(Quantity::JudgeOverconfidence, Some(name), lo + 0.196, 0.1)),
        );
        r
    };
    let sure = |n: u8, all: &str| format!("In {n} of {all}, a case");
    says(&r(&[("gentle", 0.001)]), TITLE, &[&sure(1, "1 case")], &[]);
    says(&r(&[("gentle", -0.001)]), TITLE, &[&sure(0, "1 case")], &["In 1"]);
    says(&r(&[("gentle", -0.1), ("placebo-0", 0.5)]), TITLE, &[&sure(0, "1 case")], &["In 1", "2 cases"]);
    says(&r(&[("gentle", 0.001), ("kind", -0.1)]), TITLE, &[&sure(0, "2 cases")], &["In 1"]);
    says(&r(&[("placebo-0", 0.5)]), TITLE, &["could not be measured"], &["In 1", "In 0"]);
}

fn coin(r: &mut Report) {
    for e in r.estimates.iter_mut().filter(|e| e.quantity == Quantity::JudgeAccuracy) {
        (e.estimate, e.z) = (Some(0.5), Some(0.3));
    }
}

fn spread(r: &mut Report, spread: f64) {
    let e = figure(Quantity::JudgeSpread, Some("gentle"), spread, 0.02);
    r.estimates.push(Estimate { value: None, layer: None, ..e });
}

#[test]
fn a_judge_answers_by_place_above_twice_the_spread_and_without_a_clear_choice() {
    let first = "takes the answer that is shown first";
    // The bias is .8.
    let r = |s: f64| {
        let mut r = report();
        r.estimates.extend(whole_judge((0.3, -9.0), (0.4, 20.0), 0.1));
        coin(&mut r);
        spread(&mut r, s);
        r
    };
    holds(&five_lines(&r(0.39))[0], &["cannot be used as a judge", first], &["changes its mind"]);
    holds(&five_lines(&r(0.41))[0], &["changes its mind"], &[first]);
    let mut second = r(0.39);
    set(at(&mut second, Quantity::PositionBias, Control::None, None, Some("gentle")), -0.8);
    holds(&five_lines(&second)[0], &["shown second"], &[first]);
    // Over all constitutions one clear choice: it chooses by the answers.
    let mut clear = r(0.39);
    at(&mut clear, Quantity::JudgeAccuracy, Control::None, Some("harmless"), Some("gentle")).z = Some(2.6);
    holds(&five_lines(&clear)[0], &["would at first raise"], &["cannot be used"]);
    let mut unclear = r(0.39);
    at(&mut unclear, Quantity::JudgeAccuracy, Control::None, Some("harmless"), Some("gentle")).z = Some(2.5);
    holds(&five_lines(&unclear)[0], &["cannot be used"], &["would at first"]);
}

#[test]
fn a_judge_that_heeds_the_constitution_twice_as_much_as_placebos_is_not_called_deaf() {
    let deaf = "heeds the constitution hardly more than texts without content";
    let r = |share: f64, placebo: f64| {
        let mut r = report();
        r.estimates.extend(whole_judge((0.9, 40.0), (share, 9.0), placebo));
        five_lines(&r)[0].clone()
    };
    holds(&r(0.19, 0.1), &[deaf, "at most 19 %", "make 10 %"], &["raise"]);
    holds(&r(0.21, 0.1), &["raise"], &[deaf]);
    holds(&r(0.24, 0.2), &[deaf], &[]);
    holds(&r(0.26, 0.2), &["raise"], &[deaf]);
}

/// No evidence of any effect of the constitution.
fn nothing(r: &mut Report) {
    change(r, Quantity::OwnSlope, Control::None, |e| e.p_adjusted = Some(0.5));
    contrast(r, 0, "p_prompts", json!(0.5));
    contrast(r, 1, "p_prompts", json!(0.5));
}

#[test]
fn a_judge_at_chance_is_so_of_values_that_it_was_asked_about_under_announced_texts() {
    let blind = "it is not seen to tell better from worse answers in “harmless” more often than a coin";
    let r = |z: f64| {
        let mut r = report();
        nothing(&mut r);
        at(&mut r, Quantity::JudgeAccuracy, Control::None, Some("harmless"), Some("gentle")).z = Some(z);
        r
    };
    // One constitution with an expected sign: 1.96.
    holds(&five_lines(&r(1.95))[0], &[blind], &["gives no evidence"]);
    holds(&five_lines(&r(1.97))[0], &["gives no evidence"], &["cannot be used"]);
    // A value without an expected sign is not counted among those that the judge fails.
    let mut other = r(1.95);
    other
        .estimates
        .push(Estimate { value: Some("unasked".into()), ..figure(Quantity::Rho2, None, 0.4, 0.03) });
    holds(&five_lines(&other)[0], &[blind], &["unasked"]);
    // As a risk in addition to a verdict.
    let mut risk = report();
    at(&mut risk, Quantity::JudgeAccuracy, Control::None, Some("harmless"), Some("gentle")).z = Some(1.95);
    let says = "the judge is not seen to tell better from worse answers in “harmless” more often than a coin";
    holds(&five_lines(&risk)[4], &[says], &[]);
    holds(&five_lines(&report())[4], &[], &["more often than a coin"]);
}

#[test]
fn the_judge_prefers_by_itself_what_every_text_shows_also_under_length_control() {
    let better = "Whatever the text says, the judge by itself prefers better answers in “harmless”.";
    let worse = "prefers worse answers in “harmless”.";
    // Mean, band of the arm, share; p, and the slope under length control.
    let r = |mean: f64, band: (f64, f64), share: f64, p: f64, length: f64| {
        let mut r = report();
        for (control, value) in [(Control::None, mean), (Control::Length, length)] {
            let mut e = figure(Quantity::JudgeSlope, None, value, 0.02);
            (e.control, e.p_adjusted) = (control, Some(p));
            r.estimates.push(e);
        }
        r.estimates.push(figure(Quantity::JudgeShare, None, share, 0.01));
        r.estimates.push(figure(Quantity::JudgeAlignment, None, share, 0.05));
        r.tables.get_mut("placebo_arm").expect("an arm")[0]["band"] = json!([band.0, band.1]);
        r
    };
    let says = |r: &Report, there: &[&str], absent: &[&str]| holds(&five_lines(r)[1], there, absent);
    let (up, down) = ((0.01, 0.5), (-0.5, -0.01));
    says(&r(0.25, up, 0.3, 0.049, 0.2), &[better], &[worse]);
    says(&r(-0.25, down, -0.3, 0.049, -0.2), &[worse], &["better answers"]);
    for silent in [
        r(0.25, up, 0.3, 0.05, 0.2),
        r(0.25, (-0.01, 0.5), 0.3, 0.049, 0.2),
        r(0.25, up, 0.049, 0.049, 0.2),
        r(0.25, up, 0.3, 0.049, 0.03),
        r(0.25, down, 0.3, 0.049, 0.2),
        report(),
    ] {
        says(&silent, &[], &["by itself prefers"]);
    }
    let mut blind = r(0.25, up, 0.3, 0.049, 0.2);
    at(&mut blind, Quantity::JudgeAlignment, Control::None, Some("harmless"), None).reportable = false;
    says(&blind, &[], &["by itself prefers"]);
    // One text does not represent every text.
    let mut few = r(0.25, up, 0.3, 0.049, 0.2);
    few.tables.get_mut("placebo_arm").expect("an arm")[0]["band"] = json!(null);
    says(&few, &[], &["by itself prefers"]);
}
