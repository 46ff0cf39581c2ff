//! Notes under the tables of a value: the geometry null, the placebo arm, expected signs, generation, lower
//! estimates.

use serde_json::json;
use vstar::input::{Family, Sign};
use vstar::report::{PLACEBO, Report};
use vstar::theory::{Control, Estimate, Flag, Quantity};

use crate::by_hand::{
    alone, also_of, another, at, change, contrast, contrasts, holds, page, placebos, report, set,
};

fn note(r: &Report, there: &[&str], absent: &[&str]) {
    holds(&page(r), there, absent);
}

#[test]
fn alignments_are_ordinary_below_the_null_and_placebos_are_not_among_them() {
    let mut r = report();
    note(
        &r,
        &["|cos| ≤ 0.196", "0 of the 1 alignment here are ordinary"],
        &["Geometry null: not identifiable"],
    );
    change(&mut r, Quantity::OwnAlignment, Control::None, |e| e.estimate = Some(-0.195));
    note(&r, &["1 of the 1 alignment here is ordinary"], &["0 of the"]);
    change(&mut r, Quantity::OwnAlignment, Control::None, |e| e.estimate = Some(-0.197));
    note(&r, &["0 of the 1 alignment here are ordinary"], &["1 of the 1"]);
    change(&mut r, Quantity::OwnAlignment, Control::None, |e| e.reportable = false);
    note(&r, &["no alignment here is identifiable"], &["ordinary for unrelated"]);
    at(&mut r, Quantity::GeometryNull, Control::None, Some("harmless"), None).reportable = false;
    note(&r, &["Geometry null: not identifiable"], &["|cos| ≤"]);
}

#[test]
fn guesses_are_those_about_constitutions() {
    let mut r = report();
    let told = |r: &Report, right: u8, wrong: u8, open: u8| {
        let text = format!("guesses about signs: {right} right, {wrong} wrong, {open} undecided");
        note(r, &[&text], &[]);
    };
    told(&r, 1, 0, 0);
    another(&mut r, "cruel", -1.0);
    told(&r, 1, 1, 0);
    change(&mut r, Quantity::OwnSlope, Control::None, |e| e.p_adjusted = Some(0.2));
    told(&r, 0, 1, 1);
    // The expected sign of a placebo is not a prediction about a constitution.
    let placebo = r.constitutions.iter_mut().find(|c| c.family == Some(Family::Placebo)).expect("a placebo");
    placebo.expect.insert("*".into(), Sign::Plus);
    told(&r, 0, 1, 1);
    r.constitutions.iter_mut().for_each(|c| c.expect.clear());
    note(&r, &[], &["guesses about signs"]);
}

#[test]
fn the_placebo_arm_is_told_with_its_band_from_four_texts() {
    let (arm, few) = (
        "Placebo arm (4 independent texts): verdicts are on the difference",
        "With fewer than 4 it is not known",
    );
    let none = "No placebo arm was run";
    note(&report(), &[arm, "3 degrees of freedom"], &[few, none, "moves the value"]);
    note(&alone(1.0), &[none], &[few, "verdicts are on the difference"]);
    let mut three = alone(1.0);
    placebos(&mut three, &[0.02, -0.04, 0.01]);
    three.tables.insert(PLACEBO.into(), contrasts(1.0, 3));
    let row = json!([{"value": "harmless", "control": "none", "quantity": "encoded_slope", "draws": 3,
                      "mean": 0.005, "sd": 0.031}]);
    three.tables.insert("placebo_arm".into(), row);
    note(&three, &["Placebo arm: 3 independent texts.", few], &[arm, none]);
    three.tables.remove("placebo_arm");
    note(&three, &["Placebo arm: 3 texts, on no rows in common"], &[arm, few, none]);
}

#[test]
fn a_placebo_text_moves_the_value_by_its_adjusted_p() {
    let moves = "1 of its texts moves the value by itself (2 % of the best possible slope at most; the largest slope of a \
                 constitution is 38 %)";
    let r = |p: f64| {
        let mut r = report();
        at(&mut r, Quantity::EncodedSlope, Control::None, Some("harmless"), Some("placebo-0")).p_adjusted =
            Some(p);
        r
    };
    note(&r(0.049), &[moves, "placebo effect, + (2 % of best)"], &[]);
    note(&r(0.05), &[], &["moves the value by itself", "placebo effect"]);
}

#[test]
fn generation_favours_a_value_by_the_interval_under_length_control() {
    let sentences = [
        "Generation by itself favours the value (length controlled).",
        "Generation by itself works against the value (length controlled).",
        "Generation by itself neither favours nor opposes the value within the interval (length controlled).",
        "Whether generation by itself favours the value is not identifiable.",
    ];
    let r = |value: f64| {
        let mut r = report();
        set(at(&mut r, Quantity::GenerationAlignment, Control::Length, Some("harmless"), None), value);
        r
    };
    let only = |r: &Report, which: usize| {
        let others: Vec<&str> = (0..4).filter(|i| *i != which).map(|i| sentences[i]).collect();
        note(r, &[sentences[which]], &others);
    };
    // The interval is ± .098; without control it lies below 0.
    for (value, which) in [(0.099, 0), (0.097, 2), (-0.097, 2), (-0.099, 1)] {
        only(&r(value), which);
    }
    let mut blind = r(0.5);
    at(&mut blind, Quantity::GenerationAlignment, Control::Length, Some("harmless"), None).reportable = false;
    only(&blind, 3);
    // With two values each has to be clearer than one alone: ± .112.
    let mut two = r(0.099);
    also_of(&mut two, "honest");
    only(&two, 2);
    let mut clear = r(0.113);
    also_of(&mut clear, "honest");
    only(&clear, 0);
    let mut plain = r(0.5);
    plain.estimates.retain(|e| e.control == Control::None);
    note(&plain, &["works against the value (length not controlled)"], &["favours the value"]);
}

#[test]
fn a_lower_estimate_is_called_one_where_the_estimate_says_so() {
    let lower = "With fewer than 1.5 contrasts a dimension the ridge sees part of the value only";
    let mut r = report();
    note(&r, &["ρ², share of the value encoded"], &[lower, "lower estimate"]);
    let e = at(&mut r, Quantity::Rho2, Control::None, Some("harmless"), None);
    *e = e.clone().at_least(0.35).flag(Flag::LowerEstimate);
    note(&r, &[lower, "ρ², lower estimate (N < 1.5 d)"], &["share of the value encoded"]);
}

#[test]
fn what_an_interval_leaves_out_is_said_where_it_does() {
    let texts = "Beyond the placebos: the interval is over prompts, for the placebo texts that were run";
    let part = "slopes are of the part of the residual stream that these resolve";
    note(&report(), &[texts], &[part]);
    note(&alone(1.0), &[], &[texts, part]);
    let mut r = report();
    let slope = at(&mut r, Quantity::OwnSlope, Control::None, Some("harmless"), Some("gentle"));
    *slope = Estimate { lo: None, hi: None, ..slope.clone().flag(Flag::ResolvedPart) };
    note(&r, &[texts, part], &[]);
}

#[test]
fn reasons_of_verdicts_are_those_of_the_rule_that_decided() {
    let beyond = "clear beyond the placebo arm, with and without length control, and the total slope agrees";
    note(&report(), &[beyond], &["placebo arm is within chance", "the sign turns"]);
    let mut r = report();
    change(&mut r, Quantity::OwnSlope, Control::Length, |e| set(e, -0.001));
    note(&r, &["the sign turns when length is controlled"], &[beyond]);
    change(&mut r, Quantity::OwnSlope, Control::Length, |e| (e.lo, e.hi, e.se) = (None, None, None));
    note(&r, &["no slope is left when length is controlled"], &["the sign turns", beyond]);
    let mut chance = report();
    change(&mut chance, Quantity::OwnSlope, Control::None, |e| e.p_adjusted = Some(0.05));
    contrast(&mut chance, 0, "p_prompts", json!(0.05));
    note(
        &chance,
        &[
            "placebo arm is within chance (adjusted p 0.050); the total slope, which needs no direction, is significant",
        ],
        &[beyond],
    );
    contrast(&mut chance, 1, "p_texts", json!(0.05));
    note(
        &chance,
        &["placebo arm is within chance (adjusted p 0.050)\n"],
        &["within chance (adjusted p 0.050);"],
    );
}
