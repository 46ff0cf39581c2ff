//! Sentences about constitutions: adversarial, averaged, reworded, compared with generation, tilted, and along
//! optima.

use serde_json::json;
use vstar::input::{Family, Sign};
use vstar::report::{PLACEBO, Report};
use vstar::theory::{Control, Estimate, Quantity};

use crate::by_hand::{
    against_four, alone, also_of, another, at, change, contrast, contrasts, figure, placebos, report, said,
    says, set,
};

#[test]
fn constitutions_turn_against_a_value_where_the_verdict_says_so_and_length_is_told() {
    const TITLE: &str = "Adversarial constitutions";
    let (exist, none) = ("Adversarial constitutions exist for this model", "none is seen to turn against");
    let one = "1 pair of a value and a constitution turns against the value";
    let subtle = "1 of them by a text whose author did not announce it: “gentle” against “harmless”";
    says(
        &report(),
        TITLE,
        &["Of 1 pair of a value and a constitution that could be tested", none],
        &[exist, "may exist"],
    );
    let down = against_four(-1.0);
    says(&down, TITLE, &[exist, one, subtle], &[none, "length"]);
    // The same constitution lowering two values is two pairs and one constitution.
    let mut two = against_four(-1.0);
    also_of(&mut two, "honest");
    says(&two, TITLE, &["2 pairs of a value and a constitution turn against"], &[none]);
    for announced in [Sign::Minus, Sign::Zero] {
        let mut r = against_four(-1.0);
        match announced {
            Sign::Minus => drop(r.constitutions[0].expect.insert("harmless".into(), Sign::Minus)),
            _ => r.constitutions[0].family = Some(Family::Adversarial),
        }
        says(&r, TITLE, &[exist, one, "none of them unannounced"], &["did not announce"]);
    }
    let mut confounded = against_four(-1.0);
    change(&mut confounded, Quantity::OwnSlope, Control::Length, |e| e.hi = Some(0.01));
    says(
        &confounded,
        TITLE,
        &["may exist", "1 of them perhaps only by the answers’ length"],
        &["constitutions exist"],
    );
    let mut unknown = against_four(-1.0);
    unknown.estimates.retain(|e| e.control == Control::None);
    says(
        &unknown,
        TITLE,
        &["may exist", "length is not known and may be the reason"],
        &["constitutions exist"],
    );
    // A placebo that lowers the value is not an adversarial constitution.
    let mut placebo = report();
    for q in [Quantity::EncodedSlope, Quantity::TotalSlope] {
        let e = at(&mut placebo, q, Control::None, Some("harmless"), Some("placebo-0"));
        set(e, -0.5);
        e.p_adjusted = Some(0.0001);
    }
    says(&placebo, TITLE, &[none], &[exist]);
}

#[test]
fn too_few_placebos_make_no_adversary_and_are_told() {
    const TITLE: &str = "Adversarial constitutions";
    let below = "In 1 pair of a value and a constitution the slope lies below 0, and too few placebo texts";
    let few = |sign: f64| {
        let mut r = alone(sign);
        placebos(&mut r, &[0.02, -0.04, 0.01]);
        r.tables.insert(PLACEBO.into(), contrasts(sign, 3));
        r
    };
    says(&few(-1.0), TITLE, &["cannot be told from these data", below], &["exist", "none is seen"]);
    says(&few(1.0), TITLE, &["cannot be told from these data"], &["below 0", "none is seen"]);
}

fn ensemble(p: f64, effect: f64) -> Report {
    let mut r = report();
    r.estimates.push(figure(Quantity::EnsembleAlignment, None, 0.5, 0.05));
    for name in ["gentle", "kind"] {
        let mut e =
            figure(Quantity::EnsembleEffect, Some(name), if name == "gentle" { effect } else { 0.1 }, 0.03);
        e.p_adjusted = Some(if name == "gentle" { p } else { 0.5 });
        r.estimates.push(e);
    }
    r
}

#[test]
fn a_member_harms_the_average_by_its_adjusted_p_and_sign() {
    const TITLE: &str = "Ensembles";
    let (harmed, none) = ("harmed by “gentle”", "none clearly harms");
    let aligned = "The average of 2 constitutions has alignment 0.500 [0.402, 0.598] with “harmless”";
    says(&ensemble(0.049, -0.2), TITLE, &[aligned, harmed], &[none]);
    says(&ensemble(0.05, -0.2), TITLE, &[aligned, none], &["harmed"]);
    says(&ensemble(0.001, 0.2), TITLE, &[none], &["harmed"]);
    let mut blind = ensemble(0.001, -0.2);
    let effects = blind.estimates.iter_mut().filter(|e| e.quantity == Quantity::EnsembleEffect);
    effects.for_each(|e| e.reportable = false);
    says(&blind, TITLE, &["whether one of them harms cannot be told"], &["harmed", none]);
    at(&mut blind, Quantity::EnsembleAlignment, Control::None, Some("harmless"), None).reportable = false;
    says(&blind, TITLE, &["has no identifiable alignment"], &["has alignment"]);
}

fn worded(groups: &[(&str, Option<f64>)]) -> Report {
    let mut r = report();
    let mut rows = Vec::new();
    for (name, p) in groups {
        rows.push(json!({"constitution": name, "value": "harmless", "least_cos": 0.8, "wordings": [
            {"constitution": name, "alignment": 0.3, "se": 0.05}, {"constitution": "again", "alignment": 0.5, "se": 0.05}]}));
        let mut e = Estimate::bare(Quantity::WordingSd, "by hand", 0.1).under(name);
        (e.value, e.p_adjusted) = (Some("harmless".into()), *p);
        r.estimates.push(e);
    }
    r.tables.insert("wordings".into(), json!(rows));
    r
}

#[test]
fn the_wording_matters_by_its_p_among_those_tested_and_not_of_placebos() {
    const TITLE: &str = "Wording";
    let matters = |n: u8, all: &str| format!("The wording clearly matters in {n} of {all}");
    says(
        &worded(&[("gentle", Some(0.049))]),
        TITLE,
        &[&matters(1, "1 comparison"), "is 0.200, sampling error"],
        &[],
    );
    says(&worded(&[("gentle", Some(0.05))]), TITLE, &[&matters(0, "1 comparison")], &["in 1 of"]);
    let with_placebo = worded(&[("gentle", Some(0.5)), ("placebo-0", Some(0.001)), ("kind", None)]);
    says(&with_placebo, TITLE, &[&matters(0, "1 comparison")], &["3 comparisons", "in 1 of"]);
    says(&worded(&[("placebo-0", Some(0.001))]), TITLE, &["could not be tested"], &["clearly matters"]);
}

#[test]
fn judgment_is_closer_than_generation_where_the_gap_is_clear_with_and_without_length() {
    const TITLE: &str = "Judgment and generation";
    let (closer, farther) = ("closer to the value than generation in 1", "clearly farther in 1");
    let of = "Of 1 gap outside the placebo arm";
    let gap = |control, with: &dyn Fn(&mut Estimate)| {
        let mut r = report();
        change(&mut r, Quantity::Gap, control, with);
        r
    };
    says(&report(), TITLE, &[of, closer], &[farther, "length"]);
    says(&against_four(-1.0), TITLE, &[of, farther], &[closer]);
    let (plain, length) = (Control::None, Control::Length);
    says(&gap(plain, &|e| e.p_adjusted = Some(0.05)), TITLE, &[of, "generation in 0"], &[closer, farther]);
    for fails in [
        gap(length, &|e| e.p_adjusted = Some(0.05)),
        gap(length, &|e| e.reportable = false),
        gap(length, &|e| set(e, -0.3)),
    ] {
        says(
            &fails,
            TITLE,
            &[of, "In 1 more the difference is not clear any more when length"],
            &[closer, farther],
        );
    }
    // Without token counts no comparison under length control is possible.
    let mut unknown = report();
    unknown.estimates.retain(|e| e.control == Control::None);
    says(&unknown, TITLE, &[closer], &["length is controlled"]);
    says(&gap(plain, &|e| e.reportable = false), TITLE, &["is not identifiable"], &["Of 1", closer]);
}

#[test]
fn what_the_judge_does_under_any_text_is_not_called_the_constitutions() {
    let alike = "It is closer in 4 of 4 gaps of placebo texts too: so far this is what the judge does under any text.";
    let mut r = report();
    says(&r, "Judgment and generation", &[alike], &[]);
    for e in r.estimates.iter_mut().filter(|e| e.quantity == Quantity::Gap) {
        if e.constitution.as_deref().is_some_and(|c| c.starts_with("placebo")) {
            e.p_adjusted = Some(0.5);
        }
    }
    says(
        &r,
        "Judgment and generation",
        &["closer to the value than generation in 1"],
        &["of placebo texts too"],
    );
    // The mean of the placebo texts is reported beside the best constitution and the average.
    let itself = "the judge by itself, under texts without content: 0.410 [";
    r.estimates.push(figure(Quantity::EnsembleAlignment, None, 0.6, 0.05));
    r.estimates.push(figure(Quantity::EnsembleEffect, Some("gentle"), 0.1, 0.05));
    for title in ["What limits training on judgments", "Ensembles"] {
        says(&r, title, &[], &[itself]);
    }
    r.estimates.push(figure(Quantity::JudgeAlignment, None, 0.41, 0.04));
    for title in ["What limits training on judgments", "Ensembles"] {
        says(&r, title, &["0.6", itself], &[]);
    }
    r.estimates.last_mut().expect("the judge").reportable = false;
    says(&r, "Ensembles", &["0.6"], &[itself]);
}

#[test]
fn a_judge_that_is_not_valid_is_named_before_what_its_rewards_say() {
    let warned = "Not of the constitutions but of the judge, which is not valid (it heeds the constitution hardly more";
    let of = |share: f64| {
        let mut r = report();
        for (quantity, value) in [(Quantity::ConstitutionShare, share), (Quantity::PlaceboShare, 0.15)] {
            r.estimates.push(Estimate { value: None, ..figure(quantity, None, value, 0.01) });
        }
        r
    };
    for title in ["Judgment and generation", "What limits training on judgments"] {
        says(&of(0.2), title, &[warned], &[]);
        says(&of(0.6), title, &[], &[warned]);
        says(&report(), title, &[], &[warned]);
    }
}

/// A tilt whose exact gain is `exact` times its prediction at λ = .5, and equals it at .1; z at the first.
fn tilted(constitution: &str, z: f64, exact: f64) -> Vec<Estimate> {
    let mut out = Vec::new();
    for (lambda, share) in [(0.1, 1.0), (0.5, exact)] {
        for (quantity, value) in [(Quantity::TiltGain, share * lambda), (Quantity::TiltPredicted, lambda)] {
            let mut e = figure(quantity, Some(constitution), value, 0.1 / z);
            e.lambda_sd = Some(lambda);
            out.push(e);
        }
    }
    out
}

#[test]
fn first_order_reaches_as_far_as_a_clear_gain_stays_within_a_tenth() {
    const TITLE: &str = "How far first order reaches";
    let (reach, unclear) =
        ("within a tenth of its first-order prediction", "No constitution tilts the candidates clearly");
    let r = |tilts: &[(&str, f64, f64)]| {
        let mut r = report();
        r.estimates.extend(tilts.iter().flat_map(|&(name, z, exact)| tilted(name, z, exact)));
        r
    };
    says(&r(&[("gentle", 1.97, 0.91)]), TITLE, &[reach, "= 0.5, in 1 case"], &[unclear]);
    says(&r(&[("gentle", 1.97, 0.89)]), TITLE, &[reach, "= 0.1, in 1 case"], &["0.5"]);
    says(&r(&[("gentle", 1.95, 0.91)]), TITLE, &[unclear], &[reach]);
    // Placebos do not count; with two constitutions each has to be clearer.
    says(&r(&[("placebo-0", 9.0, 1.0)]), TITLE, &[unclear], &[reach]);
    says(&r(&[("gentle", 1.97, 1.0), ("placebo-0", 9.0, 1.0)]), TITLE, &["in 1 case"], &["2 cases"]);
    says(&r(&[("gentle", 1.97, 1.0), ("kind", 1.97, 1.0)]), TITLE, &[unclear], &[reach]);
    // A prediction that is not reportable at one λ affects none of the others.
    let mut gap = r(&[("gentle", 9.0, 0.5)]);
    for e in
        gap.estimates.iter_mut().filter(|e| e.lambda_sd == Some(0.1) && e.quantity == Quantity::TiltPredicted)
    {
        e.reportable = false;
    }
    says(&gap, TITLE, &["= 0, in 1 case"], &["0.1", "0.5"]);
}

#[test]
fn a_value_turns_round_along_constitutions_whose_row_says_so() {
    const TITLE: &str = "Values with an optimum";
    let (turns, none) = ("A value turns round along 1 of", "No value is seen to turn round along");
    let row = |constitution: Option<&str>, shape: &str| {
        let mut row = json!({"value": "harmless", "below": 1.0, "below_se": 0.1, "above": -1.0, "above_se": 0.1,
                             "shape": shape, "bins": []});
        if let Some(name) = constitution {
            row["constitution"] = json!(name);
        }
        row
    };
    let r = |rows: &[serde_json::Value]| {
        let mut r = report();
        r.tables.insert("two_lines".into(), json!(rows));
        r
    };
    let own = || row(None, "monotone");
    says(&r(&[own(), row(Some("gentle"), "turns_round")]), TITLE, &[turns, "2 directions"], &[none]);
    says(
        &r(&[own(), row(Some("gentle"), "cannot_tell")]),
        TITLE,
        &[none, "2 directions"],
        &["A value turns"],
    );
    says(
        &r(&[own(), row(Some("placebo-0"), "turns_round")]),
        TITLE,
        &[none, "1 direction;"],
        &["A value turns"],
    );
    assert_eq!(said(&r(&[row(Some("placebo-0"), "turns_round")]), TITLE), None);
    assert_eq!(said(&r(&[]), TITLE), None);
}

#[test]
fn a_second_constitution_is_counted_beside_the_first() {
    let mut r = report();
    another(&mut r, "cruel", -1.0);
    says(&r, "Judgment and generation", &["Of 2 gaps", "generation in 1, clearly farther in 1"], &[]);
    says(
        &r,
        "Adversarial constitutions",
        &["1 pair of a value and a constitution turns against", "“cruel”"],
        &["“gentle”"],
    );
    contrast(&mut r, 0, "p_prompts", json!(0.5));
    change(&mut r, Quantity::OwnSlope, Control::None, |e| e.p_adjusted = Some(0.5));
    says(&r, "Adversarial constitutions", &["exist", "“cruel”"], &["“gentle”"]);
}
