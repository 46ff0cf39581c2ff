//! Effects of constitutions on the state, on simulated data: where methods hold, where they fail, and the false
//! positive rate of placebo texts.

use std::collections::BTreeSet;

use vstar::report::Report;
use vstar::report::words::five_lines;
use vstar::simulate::{CONSTITUTION, Design, Line, Regime, Simulated, Table, Texts, simulate};
use vstar::theory::state::{Agreement, Finding, Missing, Outcome, TABLE};
use vstar::theory::{Analysis, Control, Options, analyse};
use vstar::{coverage::table, fit::pose};

const SEEDS: u64 = 100;

/// Small enough for a hundred seeds.
fn small(regime: Regime) -> Design {
    Design { hidden_size: 24, prompts: 90, ..regime.design() }
}

fn analysis(simulated: &Simulated) -> Analysis {
    let names = &simulated.observations.meta().constitutions;
    let placebos: BTreeSet<String> = names.iter().filter(|n| n.starts_with("placebo-")).cloned().collect();
    let posed = pose(&simulated.observations, None, &placebos).expect("posed");
    analyse(&posed.problem, &posed.source, &Options::default()).expect("analysed")
}

fn finding(analysis: &Analysis, control: Control) -> Finding {
    let table = analysis.tables.get(TABLE).expect("the table").clone();
    let all: Vec<Finding> = serde_json::from_value(table).expect("findings");
    all.into_iter().find(|f| f.control == control).expect("the control")
}

fn line<'a>(table: &'a Table, name: &str) -> &'a Line {
    table.line(name).unwrap_or_else(|| panic!("no {name}"))
}

/// Asserts that quantities are unbiased within their error and a small allowance, and that intervals cover.
fn holds(regime: Regime, quantities: &[(&str, f64)]) -> Table {
    let table = table::over_seeds(&small(regime), 1..1 + SEEDS).expect("a table");
    for (quantity, allowance) in quantities {
        for control in ["uncontrolled ", ""] {
            let line = line(&table, &format!("{control}{quantity} S|J:{CONSTITUTION}"));
            let (bias, se) = (line.bias.expect("known"), line.bias_se.expect("known"));
            let at = format!("{}: {line:?}", regime.name());
            assert!(line.given as u64 > SEEDS / 2, "{at}");
            assert!(bias.abs() < 4.0 * se + allowance, "{at}");
            assert!(line.coverage.expect("intervals") >= 0.86, "{at}");
        }
    }
    table
}

const ALL: [(&str, f64); 4] = [
    ("activation_alignment", 0.02),
    ("activation_gain", 0.03),
    ("retrieval_gain", 0.01),
    ("value_turn", 0.01),
];

#[test]
fn a_text_that_does_what_placebos_do_lies_outside_their_band_at_the_nominal_rate() {
    let conditioned = ("conditioned_gap", 0.01);
    let table = holds(Regime::StateNothing, &[ALL[0], ALL[1], ALL[2], ALL[3], conditioned]);
    for (quantity, _) in ALL.into_iter().chain([conditioned]) {
        let line = line(&table, &format!("placebo_outside {quantity}"));
        // Six texts per seed, each compared with the five others: six hundred tests, dependent in groups of six.
        assert!((0.01..=0.095).contains(&line.mean), "{line:?}");
    }
}

#[test]
fn a_gain_along_the_value_is_found_with_what_it_does_to_reading_and_generation() {
    holds(Regime::StateGain, &[ALL[1], ALL[2], ALL[3], ("conditioned_gap", 0.01)]);
}

#[test]
fn a_gain_along_another_direction_is_none_along_the_value() {
    holds(Regime::StateGainElsewhere, &ALL);
}

#[test]
fn a_turned_value_is_found_and_is_no_gain() {
    let table = holds(Regime::StateRotation, &ALL);
    let turn = line(&table, &format!("value_turn S|J:{CONSTITUTION}"));
    assert!(turn.truth.is_some_and(|t| (0.5..0.75).contains(&t)), "{turn:?}");
}

#[test]
fn a_shift_along_the_value_is_found_and_is_no_gain() {
    let table = holds(Regime::StateShift, &ALL);
    let cos = line(&table, &format!("activation_alignment S|J:{CONSTITUTION}"));
    assert!(cos.truth.is_some_and(|t| t > 0.7), "{cos:?}");
}

/// Outcomes of the constitution over seeds, by regime: alignment, gain, retrieval, turn.
fn outcomes(regime: Regime) -> Vec<[Outcome; 4]> {
    (1..=20)
        .map(|seed| {
            let found = finding(&analysis(&simulate(&regime.design(), seed).expect("drawn")), Control::None);
            let cell = found.cells.iter().find(|c| !c.placebo).expect("a cell").clone();
            [cell.alignment.outcome, cell.gain.outcome, cell.retrieval.outcome, cell.turn.outcome]
        })
        .collect()
}

#[test]
fn verdicts_name_what_was_planted_and_little_else() {
    let count = |all: &[[Outcome; 4]], at: usize, what: Outcome| all.iter().filter(|o| o[at] == what).count();
    let nothing = outcomes(Regime::StateNothing);
    for at in 0..4 {
        let like = count(&nothing, at, Outcome::LikePlacebos);
        assert!(like >= 16, "figure {at}: {nothing:?}");
    }
    let gain = outcomes(Regime::StateGain);
    assert!(count(&gain, 1, Outcome::Higher) >= 12, "{gain:?}");
    assert_eq!(count(&gain, 1, Outcome::Lower), 0);
    let elsewhere = outcomes(Regime::StateGainElsewhere);
    assert!(count(&elsewhere, 1, Outcome::Higher) <= 2, "{elsewhere:?}");
    let rotation = outcomes(Regime::StateRotation);
    assert!(count(&rotation, 3, Outcome::Lower) >= 14, "{rotation:?}");
}

fn one(regime: Regime, seed: u64) -> (Simulated, Analysis) {
    let simulated = simulate(&regime.design(), seed).expect("drawn");
    let analysis = analysis(&simulated);
    (simulated, analysis)
}

/// A section of the page, by title.
pub fn section_of(analysis: &Analysis, title: &str) -> String {
    let text = crate::by_hand::evidence(&Report::new(Default::default(), analysis, Vec::new()));
    let title = format!("### {title}");
    let at = text.find(&title).unwrap_or_else(|| panic!("no section: {text}"));
    let rest = &text[at + title.len()..];
    rest[..rest.find("\n### ").unwrap_or(rest.len())].to_owned()
}

fn section(analysis: &Analysis) -> String {
    section_of(analysis, "What constitutions do to the state")
}

#[test]
fn the_page_says_nothing_is_found_only_where_nothing_is() {
    let nothing = "no constitution is seen to do anything of this";
    let found = |finding: &Finding| {
        finding.cells.iter().filter(|c| !c.placebo).any(|c| {
            [&c.alignment, &c.gain, &c.retrieval, &c.turn, &c.conditioned]
                .map(|reading| reading.outcome)
                .iter()
                .any(|o| matches!(o, Outcome::Higher | Outcome::Lower))
        })
    };
    let (mut with, mut without) = (0, 0);
    for regime in [Regime::StateNothing, Regime::StateGain] {
        for seed in 1..=4 {
            let (_, analysis) = &one(regime, seed);
            let both = found(&finding(analysis, Control::None)) && found(&finding(analysis, Control::Length));
            let text = section(analysis);
            let says = text.contains(nothing);
            if !found(&finding(analysis, Control::None)) {
                assert!(says, "{text}");
                without += 1;
            }
            let lines = five_lines(&Report::new(Default::default(), analysis, Vec::new()));
            assert_eq!(
                lines[2].contains("shows nothing that texts without content"),
                says,
                "{lines:?}\n{text}"
            );
            assert_eq!(lines[2].contains("that state answers to"), !says, "{lines:?}");
            if both && !says {
                assert!(text.contains("Beyond placebo texts"), "{text}");
                with += 1;
            }
        }
    }
    assert!(with > 0 && without > 0, "{with} {without}");
}

#[test]
fn without_rows_under_constitutions_the_rest_stays_and_what_is_missing_is_said() {
    let (_, plain) = &one(Regime::Tall, 1);
    let missing = finding(plain, Control::None).missing;
    assert_eq!(missing, [Missing::Rows]);
    assert!(section(plain).contains("Not measured: the observations hold no rows read under constitutions"));
    // Without judge and rows no constitutions are involved, and the report has no such section.
    let design = Design { judges: Vec::new(), ..small(Regime::Standard) };
    let alone = analysis(&simulate(&design, 1).expect("drawn"));
    assert!(!alone.tables.contains_key(TABLE));
}

#[test]
fn few_placebos_give_figures_and_no_verdict() {
    let few = Texts { placebos: 3, ..small(Regime::StateGain).texts.expect("texts") };
    let analysis =
        analysis(&simulate(&Design { texts: Some(few), ..small(Regime::StateGain) }, 1).expect("drawn"));
    let found = finding(&analysis, Control::None);
    assert_eq!(found.missing, [Missing::FewPlacebos { texts: 3 }]);
    let cell = found.cells.iter().find(|c| !c.placebo).expect("a cell");
    assert!(cell.gain.figure.is_some() && cell.gain.outcome == Outcome::TooFewPlacebos);
    assert!(found.stories.iter().all(|s| s.agreement == Agreement::Unknown));
    assert!(section(&analysis).contains("No verdict: 3 placebo texts"));
}

#[test]
fn bare_figures_are_what_they_are_without_the_other_rows() {
    let (with, analysis_with) = &one(Regime::StateGain, 1);
    let design = Design { texts: None, ..Regime::StateGain.design() };
    let without = analysis(&simulate(&design, 1).expect("drawn"));
    let bare = with.observations.select_constitution("none").expect("bare rows");
    assert_eq!(bare.len() * 8, with.observations.rows());
    for e in &without.estimates {
        let same = analysis_with.estimates.iter().find(|o| {
            (o.quantity, &o.value, &o.constitution, o.control, o.k)
                == (e.quantity, &e.value, &e.constitution, e.control, e.k)
        });
        assert_eq!(same, Some(e));
    }
}
