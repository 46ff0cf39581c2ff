//! Statements of the paper on planted truth: where they hold, and where they fail.

use std::collections::BTreeSet;

use vstar::batch::pose;
use vstar::hypothesis::several::{Profile, TABLE};
use vstar::hypothesis::{Analysis, Control, Estimate, Options, Quantity, analyse};
use vstar::simulate::{Design, Judge, Objective, Regime, simulate};

fn analysed(design: &Design, seed: u64) -> Analysis {
    let simulated = simulate(design, seed).expect("a data set");
    let posed = pose(&simulated.observations, None, &BTreeSet::new()).expect("a problem");
    analyse(&posed.problem, &posed.source, &Options::default()).expect("an analysis")
}

/// A second value at this cosine with the first, and judges at these cosines with the first.
fn two_values(cos: f64, judges: &[f64]) -> Design {
    let objective = Objective { name: "T".into(), cos, optimum: None, noise_var: 1.0, noise_corr: 0.0 };
    Design {
        hidden_size: 24,
        prompts: 300,
        objectives: vec![objective],
        judges: judges.iter().enumerate().map(|(i, c)| Judge::new(&format!("c{i}"), *c)).collect(),
        ..Regime::Standard.design()
    }
}

fn find(analysis: &Analysis, quantity: Quantity) -> &Estimate {
    let own = |e: &&Estimate| e.quantity == quantity && e.control == Control::None;
    analysis.estimates.iter().find(own).expect("an estimate")
}

/// The profile of each constitution, without control.
fn profiles(analysis: &Analysis) -> Vec<(String, String)> {
    let rows = analysis.tables[TABLE].as_array().expect("rows");
    let text = |row: &serde_json::Value, key: &str| row[key].as_str().expect("a text").to_owned();
    let plain = rows.iter().filter(|r| r["control"] == "none");
    plain.map(|r| (text(r, "constitution"), text(r, "profile"))).collect()
}

fn spelled(profile: Profile) -> String {
    serde_json::to_value(profile).expect("a name").as_str().expect("a text").to_owned()
}

#[test]
fn agreeing_values_rise_together_and_opposed_ones_are_traded() {
    for seed in 1..4 {
        let agree = analysed(&two_values(0.95, &[0.95, -0.95]), seed);
        let wanted = [
            ("c0".to_owned(), spelled(Profile::ImprovesAll)),
            ("c1".to_owned(), spelled(Profile::LowersAll)),
        ];
        assert_eq!(profiles(&agree), wanted, "seed {seed}");
        assert!(find(&agree, Quantity::ValueCone).lo.expect("an interval") > 0.0, "seed {seed}");

        let opposed = analysed(&two_values(-0.98, &[0.95]), seed);
        assert_eq!(profiles(&opposed), [("c0".to_owned(), spelled(Profile::TradeOff))], "seed {seed}");
    }
}

#[test]
fn the_cone_and_the_best_direction_are_what_was_planted() {
    // Θ = [[ρ_S², c ρ_S ρ_T], [·, ρ_T²]] with ρ_S² = .4 and ρ_T² = 1/(1 + 1); the nearest point of the segment to 0.
    let (cos, rho_s, rho_t) = (0.3f64, 0.4f64.sqrt(), 0.5f64.sqrt());
    let (a, b, c) = (rho_s * rho_s, rho_t * rho_t, cos * rho_s * rho_t);
    let weight = (b - c) / (a + b - 2.0 * c);
    let planted = weight * weight * a + (1.0 - weight).powi(2) * b + 2.0 * weight * (1.0 - weight) * c;
    let mut inside = 0;
    let seeds = 20;
    for seed in 0..seeds {
        let analysis = analysed(&two_values(cos, &[0.6]), 50 + seed);
        let e = find(&analysis, Quantity::ValueCone);
        let (lo, hi) = (e.lo.expect("lo"), e.hi.expect("hi"));
        inside += u64::from((lo..=hi).contains(&planted));
        assert!(
            (e.estimate.expect("a figure") - planted).abs() < 4.0 * e.se.expect("an error"),
            "seed {seed}: {e:?}"
        );
    }
    assert!(inside * 10 >= seeds * 8, "{inside} of {seeds} intervals hold {planted}");
}

#[test]
fn a_constitution_that_follows_no_value_has_no_profile() {
    // Twelve judges at a right angle to the first value; the second is at an angle to all of them by chance only.
    let analysis = analysed(&two_values(0.999, &[0.0; 12]), 7);
    let signed = profiles(&analysis).iter().filter(|(_, p)| *p != spelled(Profile::Undecided)).count();
    assert!(signed <= 2, "{:?}", profiles(&analysis));
}

#[test]
fn no_judge_loses_less_than_the_ceiling_allows_and_the_count_is_the_formula() {
    let analysis = analysed(&Design { hidden_size: 24, prompts: 500, ..Regime::Standard.design() }, 3);
    let floor = find(&analysis, Quantity::CeilingRegret);
    let own = |q: Quantity| {
        let all = analysis.estimates.iter().filter(move |e| e.quantity == q && e.control == Control::None);
        all.filter(|e| e.constitution.is_some())
    };
    let mut compared = 0;
    for counted in own(Quantity::MeasuredRegret) {
        let formula =
            own(Quantity::AttainedRegret).find(|e| e.constitution == counted.constitution).expect("a twin");
        let (c, f) = (counted.estimate.expect("a figure"), formula.estimate.expect("a figure"));
        assert!((c - f).abs() < 4.0 * counted.se.expect("an error"), "{counted:?} {formula:?}");
        assert!(c > floor.estimate.expect("a figure") - 3.0 * counted.se.expect("an error"), "{counted:?}");
        compared += 1;
    }
    assert!(compared >= 1);
}

#[test]
fn first_order_meets_the_exact_tilt_at_small_lambda_and_bends_above() {
    let analysis = analysed(&Design { hidden_size: 24, prompts: 400, ..Regime::Standard.design() }, 5);
    let at = |quantity, lambda: f64| {
        let own = analysis.estimates.iter().filter(|e| e.quantity == quantity && e.control == Control::None);
        own.filter(|e| e.lambda_sd == Some(lambda)).filter_map(|e| e.estimate).next().expect("a figure")
    };
    for (lambda, least, most) in [(0.1, 0.97, 1.03), (0.5, 0.85, 1.05), (2.0, 0.2, 0.75)] {
        let share = at(Quantity::TiltGain, lambda) / at(Quantity::TiltPredicted, lambda);
        assert!((least..=most).contains(&share), "λ·sd = {lambda}: exact/predicted = {share}");
    }
    // (λ sd)²(K − 1)/(2K) with K = 4.
    let kl = at(Quantity::TiltKl, 0.1);
    assert!((kl / (0.01 * 0.75 / 2.0) - 1.0).abs() < 0.1, "{kl}");
}

/// `nonlinear_gain` of a value over seeds: (mean, share of intervals above 0).
fn gains(design: &Design, value: &str, seeds: std::ops::Range<u64>) -> (f64, f64) {
    let n = (seeds.end - seeds.start) as f64;
    let (mut sum, mut above) = (0.0, 0.0);
    for seed in seeds {
        let analysis = analysed(design, seed);
        let own = |e: &&Estimate| e.quantity == Quantity::NonlinearGain && e.value.as_deref() == Some(value);
        let e = analysis.estimates.iter().find(own).expect("an estimate");
        sum += e.estimate.expect("a figure") / n;
        above += f64::from(u8::from(e.lo.expect("an interval") > 0.0)) / n;
    }
    (sum, above)
}

#[test]
fn curvature_is_seen_where_it_is_and_not_where_it_is_not() {
    let bent = |optimum| Objective { name: "T".into(), cos: 0.3, optimum, noise_var: 1.0, noise_corr: 0.0 };
    let design = |optimum| Design {
        hidden_size: 24,
        prompts: 400,
        objectives: vec![bent(optimum)],
        ..Regime::Standard.design()
    };
    // Linear in h plus noise: no gain on average, and intervals that rarely exclude it.
    let (mean, above) = gains(&design(None), "S", 600..640);
    assert!(mean.abs() < 0.01 && above <= 0.1, "linear: mean {mean}, {above} above 0");
    // −(q − 1)²: a good part of its variance is curved.
    let (mean, above) = gains(&design(Some(1.0)), "T", 700..706);
    assert!(mean > 0.05 && above > 0.99, "bent: mean {mean}, {above} above 0");
}
