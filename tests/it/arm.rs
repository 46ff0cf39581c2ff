//! The placebo arm on simulated data: what gets a verdict, what never does, and the part specific to a constitution.

use std::collections::BTreeSet;

use vstar::coverage::rates::{over_seeds, report_of};
use vstar::report::{Outcome, Qualifier, Report, to_markdown};
use vstar::simulate::{Design, Judge, Regime, simulate};
use vstar::theory::reading::outcome::MATTERS;
use vstar::theory::{Control, Quantity};

/// A text without content, like those of [`Regime::ContentFree`].
fn text(name: &str, placebo: bool) -> Judge {
    let mut judge = Regime::ContentFree.design().judges[0].clone();
    (judge.name, judge.placebo) = (name.to_owned(), placebo);
    judge
}

/// Three texts without content and `placebos` placebos, sharing one direction.
fn content_free(placebos: usize) -> Design {
    let mut design = Regime::ContentFree.design();
    design.judges = (1..=3).map(|i| text(&format!("text-{i}"), false)).collect();
    design.judges.extend((1..=placebos).map(|i| text(&format!("placebo-{i}"), true)));
    design
}

#[test]
fn texts_without_content_get_a_verdict_in_at_most_one_data_set_of_twenty() {
    for placebos in [4, 8] {
        let rates = over_seeds(&content_free(placebos), 100..160).expect("rates");
        // The test alone, and all rules combined.
        for times in [rates.any_small_p, rates.any_false] {
            let (share, lo, _) = rates.share(times);
            assert!(lo <= 0.05 && share <= 0.10, "{placebos} placebos: {share} [{lo}, …] of {}", rates.seeds);
        }
    }
}

#[test]
fn fewer_than_four_placebo_texts_never_give_a_verdict() {
    for placebos in [0, 1, 3] {
        let rates = over_seeds(&content_free(placebos), 300..312).expect("rates");
        assert_eq!(rates.any_false, 0, "{placebos} placebos");
        // Two or more placebo texts show that this judge ignores constitutions.
        let word = if placebos < 2 { Outcome::DiffersFromZero } else { Outcome::JudgeInvalid };
        let said: usize = (1..=3).map(|i| rates.of(&format!("text-{i}"), word)).sum();
        assert!(said > 18, "{placebos} placebos: {said} of 36 {word:?}; {:?}", rates.words);
    }
}

#[test]
fn an_improver_is_found_on_top_of_what_all_have_in_common() {
    let rates = over_seeds(&Regime::Improver.design(), 400..440).expect("rates");
    let found = rates.of("improver", Outcome::Improves);
    assert!(found >= 24, "power: {found} of 40");
    assert_eq!(rates.of("improver", Outcome::Degrades), 0);
    assert!(rates.any_false <= 5, "{} of 40 with a false one beside it", rates.any_false);
}

#[test]
fn eight_values_share_one_family_of_tests() {
    let rates = over_seeds(&Regime::NullValues.design(), 500..560).expect("rates");
    for times in [rates.any_small_p, rates.any_false] {
        let (share, lo, _) = rates.share(times);
        assert!(lo <= 0.05, "{share} [{lo}, …] of {}", rates.seeds);
    }
}

fn improver() -> Report {
    let simulated = simulate(&Regime::Improver.design(), 401).expect("a data set");
    report_of(&simulated.observations, &[]).expect("a report")
}

#[test]
fn own_figures_are_those_of_the_difference_and_the_common_part_stands_once() {
    let report = improver();
    let get = |quantity, constitution: Option<&str>| {
        let is = |e: &&vstar::theory::Estimate| {
            e.quantity == quantity
                && e.constitution.as_deref() == constitution
                && e.value.as_deref() == Some("S")
                && e.control == Control::None
        };
        let found: Vec<_> = report.estimates.iter().filter(is).collect();
        assert_eq!(found.len(), 1, "{quantity:?} {constitution:?}");
        found[0].estimate.expect("a figure")
    };
    let placebos = ["placebo-1", "placebo-2", "placebo-3", "placebo-4"];
    let mean = placebos.iter().map(|p| get(Quantity::EncodedSlope, Some(p))).sum::<f64>() / 4.0;
    let common = get(Quantity::JudgeSlope, None);
    assert!((common - mean).abs() < 1e-9, "{common} {mean}");
    for name in ["improver", "text-1"] {
        let (own, whole) = (get(Quantity::OwnSlope, Some(name)), get(Quantity::EncodedSlope, Some(name)));
        assert!((own - (whole - mean)).abs() < 1e-9, "{name}: {own} {whole} {mean}");
    }
    // The planted slopes: 2 × .8 for the improver, 3 × .6 in common.
    assert!((get(Quantity::OwnSlope, Some("improver")) - 1.6).abs() < 1.0);
    assert!((common - 1.8).abs() < 1.0, "{common}");
}

#[test]
fn paraphrases_of_one_placebo_are_one_text() {
    let mut simulated = simulate(&content_free(8), 7).expect("a data set");
    let paraphrases: serde_json::Map<String, serde_json::Value> =
        (2..=6).map(|i| (format!("placebo-{i}"), "placebo-1".into())).collect();
    let meta = serde_json::Value::Object(paraphrases).to_string();
    simulated.observations = with_meta(&simulated.observations, "paraphrases", &meta);
    let report = report_of(&simulated.observations, &[]).expect("a report");
    let arms = report.tables["placebo_arm"].as_array().expect("arms");
    assert!(arms.iter().all(|a| a["draws"] == 3 && a.get("band").is_none()), "{arms:?}");
    assert!(report.verdicts().iter().all(|v| !v.is_signed()));
    let text = to_markdown(&report);
    assert!(text.contains("3 independent texts") && text.contains("differs from 0"), "{text}");
}

/// The observations with one more entry of metadata, through their file.
fn with_meta(
    observations: &vstar::observations::Observations,
    key: &str,
    value: &str,
) -> vstar::observations::Observations {
    let mut meta = observations.meta().clone();
    meta.extra.insert(key.to_owned(), value.to_owned());
    let d = observations.hidden_size();
    let layers = observations.layers();
    let h: Vec<_> = layers.iter().map(|&l| observations.layer(l).expect("a layer")).collect();
    let resid = ndarray::Array3::from_shape_fn((h[0].nrows(), layers.len(), d), |(r, l, j)| h[l][[r, j]]);
    vstar::observations::Observations::new(meta, observations.columns().clone(), resid).expect("observations")
}

#[test]
fn the_flag_and_the_metadata_make_the_same_report() {
    let simulated = simulate(&Regime::Improver.design(), 402).expect("a data set");
    let by_meta = report_of(&simulated.observations, &[]).expect("a report");
    let without = with_meta(&simulated.observations, "families", "{}");
    let names: Vec<String> = (1..=4).map(|i| format!("placebo-{i}")).collect();
    let by_flag = report_of(&without, &names).expect("a report");
    assert_eq!(by_meta.verdicts(), by_flag.verdicts());
    assert_eq!(to_markdown(&by_meta), to_markdown(&by_flag));
    let placebo: BTreeSet<String> =
        by_flag.verdicts().iter().filter(|v| v.placebo).map(|v| v.constitution.clone()).collect();
    assert_eq!(placebo, names.into_iter().collect());
    let none = report_of(&without, &[]).expect("a report");
    assert!(to_markdown(&none).contains("No placebo arm was run"));
    assert!(!to_markdown(&by_flag).contains("No placebo arm was run"));
    assert!(!to_markdown(&by_flag).contains("no placebo constitution was run"));
}

#[test]
fn placebos_never_improve_and_their_size_stands_beside_their_name() {
    for seed in 600..606 {
        let simulated = simulate(&Regime::Improver.design(), seed).expect("a data set");
        let report = report_of(&simulated.observations, &[]).expect("a report");
        for v in report.verdicts().iter().filter(|v| v.placebo) {
            assert!(!v.is_signed(), "{v:?}");
            if v.verdict == Outcome::PlaceboEffect {
                assert!(v.label().contains("of best"), "{}", v.label());
            }
        }
    }
}

#[test]
fn a_clear_effect_of_no_size_is_no_verdict() {
    // A tiny but well aligned own reward: significant by z, negligible in size.
    let mut design = Regime::Improver.design();
    design.judges[0].sd = 0.06;
    design.judges[0].rho2 = 0.999;
    design.judge_noise = 0.0;
    for judge in &mut design.judges[1..] {
        (judge.sd, judge.rho2, judge.cos_sd) = (0.002, 0.999, 0.1);
    }
    let mut small = 0;
    for seed in 0..6 {
        let simulated = simulate(&design, 700 + seed).expect("a data set");
        let report = report_of(&simulated.observations, &[]).expect("a report");
        let all = report.verdicts();
        let v = all.iter().find(|v| v.constitution == "improver").expect("a verdict");
        assert!(!v.is_signed(), "{v:?}");
        assert!(v.share.is_none_or(|s| s.abs() < MATTERS), "{v:?}");
        small += usize::from(v.qualifier == Some(Qualifier::TooSmall));
    }
    assert!(small >= 4, "{small} of 6");
}

#[test]
fn a_judge_that_takes_the_first_answer_is_said_to_and_gives_no_verdict() {
    let quiet = |mut judge: Judge| {
        (judge.sd, judge.rho2, judge.cos, judge.cos_sd) = (0.3, 0.5, 0.0, 0.0);
        judge
    };
    let judges: Vec<Judge> = content_free(4).judges.into_iter().map(quiet).collect();
    let by_place =
        Design { judges, common: None, position_bias: [2.6, 0.3], judge_noise: 0.3, ..content_free(4) };
    let report =
        report_of(&simulate(&by_place, 800).expect("a data set").observations, &[]).expect("a report");
    let all = report.verdicts();
    assert!(all.iter().all(|v| v.verdict == Outcome::JudgeInvalid), "{all:?}");
    let text = to_markdown(&report);
    let first = text.lines().next().unwrap_or_default();
    assert!(first.contains("takes the answer that is shown first"), "{first}");
    assert!(!text.contains("gives no evidence"), "{text}");
    // The same bias in a judge whose preferences, both orders averaged, follow the value.
    let mut follows = by_place;
    for judge in &mut follows.judges {
        judge.cos = 0.8;
    }
    let report =
        report_of(&simulate(&follows, 800).expect("a data set").observations, &[]).expect("a report");
    assert!(!to_markdown(&report).contains("takes the answer that is shown first"));
}

#[test]
fn a_judge_that_hears_no_constitution_is_said_to_and_one_that_hears_is_not() {
    let mut deaf = Regime::Improver.design();
    for judge in &mut deaf.judges {
        judge.sd = 0.05;
    }
    let report = report_of(&simulate(&deaf, 801).expect("a data set").observations, &[]).expect("a report");
    let all = report.verdicts();
    assert!(all.iter().all(|v| v.verdict == Outcome::JudgeInvalid), "{all:?}");
    assert!(to_markdown(&report).contains("heeds the constitution hardly more"));
    let hears = report_of(&simulate(&Regime::Improver.design(), 801).expect("a data set").observations, &[]);
    assert!(!to_markdown(&hears.expect("a report")).contains("heeds the constitution hardly more"));
}

#[test]
fn a_handful_of_groups_is_said_first_and_has_no_interval() {
    let design = Design { prompts: 8, ..Regime::Improver.design() };
    let report = report_of(&simulate(&design, 802).expect("a data set").observations, &[]).expect("a report");
    let text = to_markdown(&report);
    assert!(text.starts_with("# Too little data: 8 independent groups of answers"), "{text}");
    assert!(report.verdicts().iter().all(|v| v.verdict == Outcome::TooLittleData));
    for e in report.estimates.iter().filter(|e| e.blocks.is_some_and(|b| b < 10)) {
        assert!(e.se.is_none() && e.lo.is_none() && !e.reportable, "{e:?}");
    }
    let null = report.estimates.iter().find(|e| e.quantity == Quantity::GeometryNull).expect("a null");
    assert!(!null.reportable || 1.96 * null.estimate.unwrap_or(0.0) < 1.0, "{null:?}");
    assert!(!text.contains("gives no evidence"), "{text}");
    assert!(text.contains("0 value–constitution pairs could be tested"), "{text}");
}
