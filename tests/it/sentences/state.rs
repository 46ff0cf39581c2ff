//! Sentences about the effects of constitutions on the state, from hand-made findings.

use Outcome::{Higher, LikePlacebos as Like, Lower, NotIdentifiable as Blind, TooFewPlacebos as Few};
use vstar::report::Report;
use vstar::report::words::five_lines;
use vstar::theory::Control;
use vstar::theory::state::placebo::Band;
use vstar::theory::state::{Cell, Figure, Finding, Missing, Outcome, Reading, TABLE};
use vstar::units::Layer;

use crate::by_hand::{holds, report, says};

const TITLE: &str = "What constitutions do to the state";

fn reading(outcome: Outcome) -> Reading {
    let band = Some(Band { lo: -0.1, hi: 0.1, texts: 6, p: 0.01 });
    Reading { figure: Figure::new(0.3, 0.05), band, p: Some(0.01), p_adjusted: Some(0.03), outcome }
}

fn cell(constitution: &str, outcomes: [Outcome; 3]) -> Cell {
    Cell {
        value: "harmless".into(),
        constitution: constitution.into(),
        placebo: constitution.starts_with("placebo"),
        alignment: reading(outcomes[0]),
        alignment_raw: None,
        reliability: None,
        gain: reading(outcomes[1]),
        ratio: None,
        random: None,
        rho2: None,
        retrieval: reading(outcomes[2]),
        turn: Reading::NONE,
        transfer: Reading::NONE,
        conditioned: Reading::NONE,
    }
}

fn finding(control: Control, cells: &[Cell]) -> Finding {
    Finding {
        control,
        layer: Layer(9),
        rows: 100,
        blocks: 50,
        placebos: 6,
        missing: Vec::new(),
        shifts: Vec::new(),
        cells: cells.to_vec(),
        layers: Vec::new(),
        stories: Vec::new(),
    }
}

fn with(findings: &[Finding]) -> Report {
    let mut r = report();
    r.tables.insert(TABLE.into(), serde_json::to_value(findings).expect("JSON"));
    r
}

const NOTHING: &str = "no constitution is seen to do anything of this beyond what placebo texts do";
const BEYOND: &str = "Beyond placebo texts, of the cases";

#[test]
fn a_constitution_is_named_where_its_reading_is_clear_in_both_controls() {
    let plain = |outcome| finding(Control::None, &[cell("gentle", [outcome, Like, Like])]);
    let length = |outcome| finding(Control::Length, &[cell("gentle", [outcome, Like, Like])]);
    let named =
        |sign: &str| format!("1 of 1 add a direction along or against v* (gentle on harmless {sign})");
    let first = |r: &Report, there: &[&str], absent: &[&str]| holds(&five_lines(r)[2], there, absent);
    let (answers, quiet) =
        ("that state answers to 1 beyond", "shows nothing that texts without content do not do");
    for (outcome, sign) in [(Higher, "+"), (Lower, "−")] {
        for r in [with(&[plain(outcome)]), with(&[plain(outcome), length(outcome)])] {
            says(&r, TITLE, &[BEYOND, &named(sign), "0 of 1 amplify or damp it"], &[NOTHING]);
            first(&r, &["Read under 1 constitution,", answers, "(“gentle”)"], &[quiet]);
        }
        for lost in [Like, Few, Blind, if outcome == Higher { Lower } else { Higher }] {
            let r = with(&[plain(outcome), length(lost)]);
            says(&r, TITLE, &["In 1 case (a value and a constitution)", NOTHING], &[BEYOND, "gentle on"]);
            first(&r, &[quiet, "as far as these data tell"], &[answers]);
        }
    }
    let r = with(&[plain(Like), length(Higher)]);
    says(&r, TITLE, &[NOTHING], &[BEYOND]);
    first(&r, &[quiet], &[answers]);
}

#[test]
fn placebos_are_neither_named_nor_counted() {
    let placebo = cell("placebo-0", [Higher, Higher, Higher]);
    let r = with(&[finding(Control::None, &[placebo.clone(), cell("gentle", [Like, Like, Blind])])]);
    says(&r, TITLE, &["In 1 case", NOTHING], &[BEYOND, "placebo-0"]);
    let only = with(&[finding(Control::None, &[placebo])]);
    let none = "no constitution outside the placebo arm was read";
    says(&only, TITLE, &[none], &[BEYOND, NOTHING, "identifiable"]);
    assert!(!five_lines(&only)[2].contains("Read under"));
}

#[test]
fn without_a_verdict_the_reason_is_the_one_there_is() {
    let few = Finding { placebos: 3, ..finding(Control::None, &[cell("gentle", [Few, Few, Few])]) };
    says(&with(&[few]), TITLE, &["No verdict: 3 placebo texts under which"], &[NOTHING, "identifiable"]);
    let blind = finding(Control::None, &[cell("gentle", [Blind, Blind, Blind])]);
    says(
        &with(&[blind]),
        TITLE,
        &["No verdict: no value is identifiable in the state"],
        &[NOTHING, "placebo texts under"],
    );
    for (missing, there) in [
        (Missing::Rows, "Not measured: the observations hold no rows read under constitutions"),
        (Missing::Prompts, "Not measured: which rows answer the same prompt is not known"),
    ] {
        let found = Finding { missing: vec![missing], ..finding(Control::None, &[]) };
        says(&with(&[found]), TITLE, &[there], &[NOTHING, "No verdict"]);
    }
    // One conclusive reading suffices for a sentence, which mentions only that reading.
    let one = finding(Control::None, &[cell("gentle", [Blind, Higher, Blind])]);
    says(
        &with(&[one]),
        TITLE,
        &["1 of 1 amplify or damp it (gentle on harmless +)"],
        &[NOTHING, "0 of 0", "add a direction", "make the value"],
    );
}

#[test]
fn a_turn_of_the_value_or_of_generation_is_something_too() {
    let turned = Cell { turn: reading(Lower), ..cell("gentle", [Like, Like, Like]) };
    let r = with(&[finding(Control::None, &[turned])]);
    says(&r, TITLE, &["1 of 1 turn v* more or less than such texts do (gentle on harmless −)"], &[NOTHING]);
    holds(
        &five_lines(&r)[2],
        &["that state answers to 1 beyond"],
        &["shows nothing that texts without content"],
    );
    let spoken = Cell { conditioned: reading(Higher), ..cell("gentle", [Like, Like, Like]) };
    let r = with(&[finding(Control::None, &[spoken])]);
    says(
        &r,
        TITLE,
        &["1 of 1 turn generation along or against v* (gentle on harmless +)"],
        &[NOTHING, "turn v*"],
    );
}

#[test]
fn a_band_that_leaves_no_room_outside_tells_nothing() {
    let full =
        |outcome| Reading { band: Some(Band { lo: -1.0, hi: 1.0, texts: 6, p: 0.5 }), ..reading(outcome) };
    let blank = Cell { alignment: full(Like), ..cell("kind", [Like, Blind, Blind]) };
    let alone = with(&[finding(Control::None, std::slice::from_ref(&blank))]);
    says(&alone, TITLE, &["No verdict: no value is identifiable"], &[NOTHING]);
    assert!(!five_lines(&alone)[2].contains("Read under"));
    let both = with(&[finding(Control::None, &[blank, cell("gentle", [Like, Like, Like])])]);
    says(&both, TITLE, &["In 1 case", NOTHING, "In 1 more it cannot be told."], &["In 2 cases"]);
    holds(&five_lines(&both)[2], &["Read under 1 constitution,"], &["2 constitutions"]);
}
