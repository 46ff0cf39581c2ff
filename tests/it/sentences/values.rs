//! Sentences about values: angles, concentration, dominance, curvature, one direction, the ceiling, shares.

use serde_json::json;
use vstar::probe::influence::fisher_interval_for_all;
use vstar::report::Report;
use vstar::theory::{Control, Estimate, Quantity};

use crate::by_hand::{at, figure, report, said, says};

fn with(estimates: impl IntoIterator<Item = Estimate>) -> Report {
    let mut r = report();
    r.estimates.extend(estimates);
    r
}

/// An estimate whose interval is from `lo` to `hi`.
fn between(quantity: Quantity, constitution: Option<&str>, lo: f64, hi: f64) -> Estimate {
    let mut e = figure(quantity, constitution, (lo + hi) / 2.0, (hi - lo) / 3.92);
    (e.lo, e.hi) = (Some(lo), Some(hi));
    e
}

#[test]
fn values_agree_or_conflict_where_every_interval_together_excludes_a_right_angle() {
    const TITLE: &str = "Angles between values";
    let pair = |other: &str, lo: f64, hi: f64| Estimate {
        value2: Some(other.into()),
        ..between(Quantity::ValueCos, None, lo, hi)
    };
    let (agree, conflict) = ("1 clearly agree", "1 clearly conflict");
    says(
        &with([pair("honest", 0.01, 0.4)]),
        TITLE,
        &["Of 1 pair of values", agree, "0 clearly conflict"],
        &[],
    );
    says(&with([pair("honest", -0.01, 0.4)]), TITLE, &["1 cannot be told apart"], &[agree, conflict]);
    says(&with([pair("honest", -0.4, -0.01)]), TITLE, &[conflict, "0 clearly agree"], &[]);
    // One of twenty at the edge of its own interval is expected by chance.
    let others = (0..19).map(|i| pair(&format!("v{i}"), -0.2, 0.2));
    let r = with(others.chain([pair("honest", 0.01, 0.4)]));
    says(&r, TITLE, &["Of 20 pairs", "0 clearly agree", "20 cannot be told apart"], &[agree]);
    let blind = with([pair("honest", 0.01, 0.4).withheld("not encoded")]);
    says(&blind, TITLE, &["No angle between two values is identifiable"], &["agree", "conflict"]);
}

#[test]
fn the_share_in_the_leading_components_is_described_and_not_decided() {
    const TITLE: &str = "Concentration";
    let r = |share: f64| {
        with([
            Estimate { value: Some("harmless".into()), ..Estimate::bare(Quantity::ValueShare, "m", share) },
            between(Quantity::ValueShareNull, None, 0.55, 0.7),
        ])
    };
    let decided = ["most of it", "less than", "more than", "clearly"];
    says(
        &r(0.8),
        TITLE,
        &["carry 80 % of “harmless” (55 % to 70 % of a random direction)", "no interval"],
        &decided,
    );
    says(&r(0.1), TITLE, &["carry 10 % of “harmless”"], &decided);
    let mut blind = r(0.8);
    at(&mut blind, Quantity::ValueShare, Control::None, Some("harmless"), None).reportable = false;
    says(&blind, TITLE, &["not identifiable"], &["80 %"]);
    assert_eq!(said(&report(), TITLE), None);
}

#[test]
fn a_coordinate_carries_what_it_carries_and_nothing_is_said_where_none_dominates() {
    const TITLE: &str = "What one coordinate or one prompt carries";
    let r = |quantity: &str, share: f64, dominates: bool| {
        let mut r = report();
        let row = json!([{"quantity": quantity, "what": "coordinate", "index": 7, "share": share,
                          "dominates": dominates, "estimate": 3.0}]);
        r.tables.insert("dominance".into(), row);
        r
    };
    says(
        &r("d_eff", 0.3, true),
        TITLE,
        &["Coordinate 7 carries 30 % of the variance within prompts"],
        &["most"],
    );
    let null = r("geometry_null", 0.3, true);
    says(&null, TITLE, &["Coordinate 7 carries 30 % of what random directions read"], &["carries most"]);
    assert_eq!(said(&r("d_eff", 0.24, false), TITLE), None);
}

fn curved(r: &mut Report, constitution: Option<&str>, lo: f64, hi: f64) {
    let value = if constitution.is_some() { None } else { Some("harmless".to_owned()) };
    r.estimates.push(Estimate { value, ..between(Quantity::NonlinearGain, constitution, lo, hi) });
}

#[test]
fn curvature_is_told_where_it_is_clear_and_is_next_to_nothing_only_where_that_is_known() {
    const TITLE: &str = "Linear or curved";
    let clear = "tells clearly more than the linear one";
    let r = |lo, hi| {
        let mut r = report();
        curved(&mut r, None, lo, hi);
        r
    };
    says(
        &r(0.001, 0.1),
        TITLE,
        &["A curved reading", clear, "1 of 1 label: value “harmless”"],
        &["next to nothing"],
    );
    says(&r(-0.001, 0.1), TITLE, &["No curved reading is seen", "up to 10 %"], &[clear, "next to nothing"]);
    // Significant but tiny.
    says(&r(0.001, 0.03), TITLE, &["next to nothing", "at most 3 %"], &[clear]);
    says(&r(-0.02, 0.051), TITLE, &["No curved reading is seen"], &[clear, "next to nothing"]);
    says(&r(-0.02, 0.049), TITLE, &["next to nothing"], &[clear, "No curved"]);
    // A placebo's rewards are shown but not counted; ten labels widen every interval.
    let mut placebo = r(-0.02, 0.04);
    curved(&mut placebo, Some("placebo-0"), 0.2, 0.4);
    says(&placebo, TITLE, &["any of 1 label"], &[clear, "2 labels"]);
    let mut many = r(0.001, 0.1);
    (0..9).for_each(|_| curved(&mut many, None, -0.01, 0.01));
    says(&many, TITLE, &["No curved reading is seen", "10 labels"], &[clear]);
    let mut blind = r(0.01, 0.1);
    blind.estimates.last_mut().expect("a gain").reportable = false;
    says(&blind, TITLE, &["could not be looked for"], &[clear, "next to nothing"]);
}

#[test]
fn a_direction_depends_on_the_place_only_where_the_interval_ends_below_nine_tenths() {
    const TITLE: &str = "One direction for all responses";
    let (depends, none) =
        ("direction depends on where the response lies", "No value’s direction is seen to depend");
    let r = |lo, hi| with([between(Quantity::GradientCos, None, lo, hi)]);
    says(&r(0.5, 0.89), TITLE, &[depends, "1 of 1 comparison"], &[none]);
    says(&r(0.5, 0.91), TITLE, &[none, "1 comparison"], &["A value"]);
    let placebo = with([
        between(Quantity::GradientCos, None, 0.92, 0.99),
        between(Quantity::HalvesTransfer, Some("placebo-1"), -0.5, 0.1),
    ]);
    says(&placebo, TITLE, &[none, "in 1 comparison"], &["A value"]);
    let cell = |r: &Report, word: &str| {
        let page = crate::by_hand::page(r);
        page.lines().any(|l| l.starts_with('|') && l.contains("average gradient") && l.contains(word))
    };
    assert!(
        cell(&r(0.91, 0.99), "| yes")
            && cell(&r(0.5, 0.95), "| cannot be told")
            && cell(&r(0.5, 0.8), "| no ")
    );
    let blind = with([between(Quantity::GradientCos, None, 0.5, 0.8).withheld("not encoded")]);
    says(&blind, TITLE, &["is not identifiable"], &[depends, none]);
}

/// A report whose constitution loses `counted` ± .01 where the bound is .206 ± .015.
fn counted(loses: f64) -> Report {
    with([figure(Quantity::MeasuredRegret, Some("gentle"), loses, 0.01)])
}

#[test]
fn the_bound_is_broken_only_by_more_than_both_errors_and_only_by_constitutions() {
    const TITLE: &str = "The ceiling";
    let (broken, held) = ("The bound is broken", "No constitution clearly loses less");
    // 1.96 · √(.01² + .015²) = .0353.
    says(&counted(0.206 - 0.036), TITLE, &[broken, "1 of 1 comparison: “gentle” on “harmless”"], &[held]);
    says(&counted(0.206 - 0.035), TITLE, &[held, "in 1 comparison"], &[broken]);
    let mut placebo = counted(0.2);
    placebo.estimates.push(figure(Quantity::MeasuredRegret, Some("placebo-0"), 0.0, 0.01));
    says(&placebo, TITLE, &[held, "in 1 comparison"], &[broken, "2 comparison"]);
    // A measured regret that is not reportable contradicts nothing, which is not due to the bound.
    let mut few = counted(0.0);
    few.estimates.last_mut().expect("a count").reportable = false;
    says(&few, TITLE, &["could be counted against the bound"], &[broken, held, "not identifiable"]);
    let mut blind = counted(0.0);
    at(&mut blind, Quantity::CeilingRegret, Control::None, Some("harmless"), None).reportable = false;
    says(&blind, TITLE, &["The bound is not identifiable."], &[broken, held]);
    let e = at(&mut blind, Quantity::CeilingRegret, Control::None, Some("harmless"), None);
    e.warnings.push("ρ is a lower estimate here".into());
    says(
        &blind,
        TITLE,
        &["The bound is not identifiable: ρ is a lower estimate here."],
        &["encoded clearly"],
    );
    blind.estimates.retain(|e| e.quantity != Quantity::CeilingRegret);
    says(&blind, TITLE, &["The bound was not measured."], &["not identifiable:"]);
    let mut latent = counted(0.0);
    latent.estimates.push(figure(Quantity::Rho2Latent, None, 0.6, 0.05));
    says(&latent, TITLE, &["scale of the latent score"], &[broken, held]);
    // Of many comparisons one reaches 1.96 errors by chance.
    let mut many = counted(0.206 - 0.036);
    for i in 0..9 {
        let name = format!("other-{i}");
        many.estimates.push(figure(Quantity::MeasuredRegret, Some(&name), 0.3, 0.01));
    }
    says(&many, TITLE, &[held, "10 comparisons"], &[broken]);
}

#[test]
fn shares_that_nothing_tells_are_of_constitutions_and_where_they_may_be_quoted() {
    const TITLE: &str = "What only people can add, at most";
    let of = |name: &str, neither: f64| {
        [
            figure(Quantity::ExplainedByJudge, Some(name), 0.3, 0.02),
            figure(Quantity::Unexplained, Some(name), neither, 0.02),
        ]
    };
    let mut r = with(of("gentle", 0.4));
    let about = "tells about 40 % of the labels’ variance, errors of the labels included";
    says(&r, TITLE, &[about, "in 1 pair of"], &["% to "]);
    r.estimates.extend(of("placebo-0", 0.9));
    says(&r, TITLE, &["about 40 %", "in 1 pair"], &["90 %"]);
    at(&mut r, Quantity::Unexplained, Control::None, Some("harmless"), Some("gentle")).reportable = false;
    says(&r, TITLE, &["could not be measured"], &["40 %"]);
}

#[test]
fn raw_cosines_differ_from_angles_that_there_are() {
    const TITLE: &str = "Raw coordinates";
    let mut r = report();
    let row = json!([{"value": "harmless", "constitution": "gentle", "cos": 0.5},
                     {"value": "of another report", "constitution": "gentle", "cos": -1.0}]);
    r.tables.insert("raw_cosines".into(), row);
    says(&r, TITLE, &["differ from the angles by up to 0.11"], &["No angle"]);
    at(&mut r, Quantity::Alignment, Control::None, Some("harmless"), Some("gentle")).reportable = false;
    says(&r, TITLE, &["No angle is identifiable"], &["differ"]);
}

#[test]
fn the_bottleneck_is_named_where_intervals_part() {
    const TITLE: &str = "What limits training on judgments";
    // The interval of the best constitution tried, here the only one; the figure chosen on other prompts has none,
    // and decides nothing.
    let r = |rho: (f64, f64), (cos, se): (f64, f64)| {
        let elsewhere = Estimate { lo: None, hi: None, ..figure(Quantity::BestAlignment, None, 0.1, 0.01) };
        let mut r = with([elsewhere]);
        let e = at(&mut r, Quantity::Alignment, Control::None, Some("harmless"), Some("gentle"));
        (e.estimate, e.se) = (Some(cos), Some(se));
        let e = at(&mut r, Quantity::Rho, Control::None, Some("harmless"), None);
        (e.lo, e.hi) = (Some(rho.0), Some(rho.1));
        r
    };
    let (best, close) = ((0.7, 0.05), (0.98, 0.005));
    let (lo, hi) = fisher_interval_for_all(best.0, best.1, 1);
    let names = ["ρ-limited", "prompt-limited", "neither", "cannot be told"];
    for (rho, best, said) in [
        ((0.4, lo - 0.001), best, 0),
        ((0.4, lo + 0.001), best, 3),
        ((hi + 0.001, 0.9), best, 1),
        ((hi - 0.001, 0.9), best, 3),
        ((0.95, 0.99), close, 2),
        ((0.949, 0.99), close, 3),
    ] {
        let absent: Vec<&str> = names.iter().copied().filter(|n| *n != names[said]).collect();
        says(&r(rho, best), TITLE, &[&format!("“harmless”: {}.", names[said])], &absent);
    }
    let mut lower = r((0.4, lo - 0.001), best);
    at(&mut lower, Quantity::Rho, Control::None, Some("harmless"), None).hi = None;
    says(&lower, TITLE, &["cannot be told"], &["ρ-limited"]);
    let mut blind = r((0.4, lo - 0.001), best);
    at(&mut blind, Quantity::Rho, Control::None, Some("harmless"), None).reportable = false;
    says(&blind, TITLE, &["“harmless”: not identifiable"], &["limited"]);
    // Placebos do not count as constitutions tried.
    let mut none = r((0.4, lo - 0.001), best);
    none.constitutions[0].family = Some(vstar::input::Family::Placebo);
    assert_eq!(said(&none, TITLE), None);
}
