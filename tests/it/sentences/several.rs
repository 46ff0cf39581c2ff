//! Sentences about several values at once.

use serde_json::{Value as Json, json};
use vstar::report::Report;
use vstar::theory::{Estimate, Quantity};

use crate::by_hand::{figure, holds, report, said, says};

const TITLE: &str = "Several values at once";

fn row(constitution: &str, control: &str, profile: &str, own: bool) -> Json {
    let part = |value: &str, slope: f64| json!({"value": value, "slope": slope, "se": 0.05, "q": 0.001});
    json!({"constitution": constitution, "placebo": constitution.starts_with("placebo"), "own": own, "control": control,
           "profile": profile, "worst": [0.1, 0.05], "parts": [part("harmless", 0.3), part("honest", 0.3)]})
}

fn with(rows: &[Json]) -> Report {
    let mut r = report();
    r.tables.insert("trade_offs".into(), json!(rows));
    r
}

#[test]
fn a_constitution_counts_for_its_profile_where_length_leaves_it_and_placebos_count_for_nothing() {
    let plain = |profile| row("gentle", "none", profile, true);
    for (profile, there) in [
        (
            "improves_all",
            "every value rises under 1 (gentle), every value falls under 0, and one rises while another falls under 0;",
        ),
        (
            "lowers_all",
            "every value rises under 0, every value falls under 1 (gentle), and one rises while another falls under 0;",
        ),
        (
            "trade_off",
            "every value rises under 0, every value falls under 0, and one rises while another falls under 1 (gentle);",
        ),
    ] {
        let placebo = row("placebo-0", "none", profile, false);
        let r = with(&[plain(profile), placebo.clone()]);
        says(&r, TITLE, &["Of 1 constitution,", there], &["placebo"]);
        let r = with(&[plain(profile), row("gentle", "length", profile, true)]);
        says(&r, TITLE, &[there], &[]);
        let r = with(&[plain(profile), row("gentle", "length", "undecided", true)]);
        says(
            &r,
            TITLE,
            &["under 0, every value falls under 0, and one rises while another falls under 0"],
            &["(gentle)"],
        );
        assert_eq!(said(&with(&[placebo]), TITLE), None);
    }
    says(&with(&[plain("undecided")]), TITLE, &["rises under 0,"], &["(gentle)"]);
}

#[test]
fn slopes_that_hold_what_the_judge_does_by_itself_say_so() {
    let itself = "For want of four placebo texts, what the judge does by itself is in these slopes";
    says(&with(&[row("gentle", "none", "improves_all", false)]), TITLE, &[itself], &[]);
    says(&with(&[row("gentle", "none", "improves_all", true)]), TITLE, &[], &[itself]);
}

#[test]
fn some_direction_raises_every_value_where_the_cone_lies_above_0() {
    let cone = |lo: f64, reportable: bool| {
        let mut r = with(&[row("gentle", "none", "undecided", true)]);
        let e = figure(Quantity::ValueCone, None, 0.2, 0.05);
        r.estimates.push(Estimate { value: None, lo: Some(lo), reportable, ..e });
        said(&r, TITLE).expect("the section")
    };
    let (some, told) =
        ("; some direction raises every value", "that any direction raises every value cannot be told");
    holds(&cone(0.001, true), &[some], &[told]);
    holds(&cone(0.0, true), &[told], &[some]);
    holds(
        &cone(0.1, false),
        &["whether any direction raises every value is not identifiable"],
        &[some, told],
    );
}

#[test]
fn the_best_that_lowers_no_other_rises_itself_and_is_no_placebo() {
    let best = |z_other: f64, q: f64, name: &str| {
        let mut of = row(name, "none", "undecided", true);
        (of["parts"][0]["q"], of["parts"][1]["slope"]) = (json!(q), json!(0.05 * z_other));
        let mut rest = row("other", "none", "undecided", true);
        rest["parts"][0]["q"] = json!(0.9);
        let page = crate::by_hand::page(&with(&[rest, of]));
        let table = page.split("One value, if no other may fall").nth(1).expect("the table").to_owned();
        let line = table.lines().find(|l| l.starts_with("| harmless")).expect("a row").to_owned();
        line.contains(name)
    };
    assert!(best(-1.6, 0.049, "gentle"));
    assert!(!best(-1.7, 0.049, "gentle") && !best(-1.6, 0.05, "gentle") && !best(-1.6, 0.049, "placebo-0"));
}
