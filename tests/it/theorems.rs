//! Statements of the paper on simulated data: where they hold, and where they fail.

use std::collections::BTreeSet;

use vstar::fit::pose;
use vstar::simulate::{Design, Judge, Loading, Objective, Regime, simulate};
use vstar::theory::several::{Profile, TABLE};
use vstar::theory::{Analysis, Control, Estimate, Options, Quantity, analyse};

fn analysed(design: &Design, seed: u64) -> Analysis {
    let simulated = simulate(design, seed).expect("a data set");
    let posed = pose(&simulated.observations, None, &BTreeSet::new()).expect("a problem");
    analyse(&posed.problem, &posed.source, &Options::default()).expect("an analysis")
}

/// A second value with this cosine to the first, and judges with these cosines to the first.
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
    // Twelve judges orthogonal to the first value; their angles with the second differ from 90° only by chance.
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

/// With fewer contrasts than dimensions a label that is linear in h is never reported as curved.
#[test]
fn no_curvature_is_told_where_the_linear_part_is_not_resolved() {
    let design = Design { hidden_size: 400, prompts: 90, responses: [4, 4], ..Regime::Wide.design() };
    let analysis = analysed(&design, 1);
    let gains: Vec<_> = analysis.estimates.iter().filter(|e| e.quantity == Quantity::NonlinearGain).collect();
    assert!(!gains.is_empty() && gains.iter().all(|e| e.estimate.is_none()), "{gains:?}");
    assert!(gains[0].warnings.iter().any(|w| w.contains("1.5 contrasts")), "{:?}", gains[0]);
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

fn analysed_with(design: &Design, seed: u64, options: &Options) -> Analysis {
    let simulated = simulate(design, seed).expect("a data set");
    let posed = pose(&simulated.observations, None, &BTreeSet::new()).expect("a problem");
    analyse(&posed.problem, &posed.source, options).expect("an analysis")
}

fn judges(cosines: &[f64]) -> Vec<Judge> {
    cosines.iter().enumerate().map(|(i, c)| Judge::new(&format!("c{i}"), *c)).collect()
}

fn narrow(judges: Vec<Judge>) -> Design {
    Design { hidden_size: 24, prompts: 300, judges, ..Regime::Standard.design() }
}

fn under<'a>(analysis: &'a Analysis, quantity: Quantity, constitution: &str) -> &'a Estimate {
    let own = |e: &&Estimate| {
        e.quantity == quantity
            && e.control == Control::None
            && e.constitution.as_deref() == Some(constitution)
    };
    analysis.estimates.iter().find(own).expect("an estimate")
}

#[test]
fn a_value_in_the_top_is_more_concentrated_than_chance_and_one_in_the_tail_less() {
    for (loading, above) in [(Loading::Top, true), (Loading::Tail, false)] {
        let design = Design { hidden_size: 64, prompts: 400, loading, ..Regime::Standard.design() };
        let analysis = analysed(&design, 11);
        let (share, null) =
            (find(&analysis, Quantity::ValueShare), find(&analysis, Quantity::ValueShareNull));
        assert!(share.lo.is_none() && share.hi.is_none() && share.se.is_none(), "{share:?}");
        let share = share.estimate.expect("a share");
        if above {
            assert!(share > null.hi.expect("hi"), "{share} {null:?}");
        } else {
            assert!(share < null.lo.expect("lo"), "{share} {null:?}");
        }
    }
}

#[test]
fn a_value_drawn_like_any_direction_is_as_concentrated_as_chance() {
    let inside = (0..20u64)
        .filter(|seed| {
            let design = Design { hidden_size: 64, prompts: 400, ..Regime::Standard.design() };
            let analysis = analysed(&design, 30 + seed);
            let (share, null) =
                (find(&analysis, Quantity::ValueShare), find(&analysis, Quantity::ValueShareNull));
            // The value is itself one draw of the null.
            share.estimate >= null.lo && share.estimate <= null.hi
        })
        .count();
    assert!(inside >= 18, "{inside} of 20");
}

#[test]
fn too_few_contrasts_for_the_whole_leave_its_share_unsaid() {
    let design = Design { hidden_size: 256, prompts: 60, ..Regime::Standard.design() };
    let share = find(&analysed(&design, 2), Quantity::ValueShare).clone();
    assert!(share.estimate.is_none() && !share.warnings.is_empty(), "{share:?}");
}

#[test]
fn the_member_that_points_the_other_way_harms_the_ensemble_and_equals_do_not() {
    for seed in 0..3 {
        let mixed = analysed(&narrow(judges(&[0.8, 0.8, 0.8, -0.9])), seed);
        let effect = under(&mixed, Quantity::EnsembleEffect, "c3");
        assert!(effect.estimate.expect("a figure") < 0.0, "{effect:?}");
        assert!(effect.p_adjusted.expect("p") < 0.01, "{effect:?}");
        let whole = find(&mixed, Quantity::EnsembleAlignment).estimate.expect("a figure");
        let without = under(&mixed, Quantity::EnsembleAlignment, "c3").estimate.expect("a figure");
        assert!((whole - without - effect.estimate.expect("a figure")).abs() < 1e-12);
    }
    let mut harmed = 0;
    for seed in 0..10 {
        let equal = analysed(&narrow(judges(&[0.7, 0.7, 0.7, 0.7])), 40 + seed);
        harmed += (0..4)
            .filter(|i| {
                let e = under(&equal, Quantity::EnsembleEffect, &format!("c{i}"));
                e.p_adjusted.expect("p") < 0.05 && e.estimate.expect("a figure") < 0.0
            })
            .count();
    }
    // Independent errors average out, so that each member helps.
    assert!(harmed <= 1, "{harmed} of 40");
}

#[test]
fn an_ensemble_of_named_members_leaves_the_others_out() {
    let design = narrow(judges(&[0.8, 0.8, 0.8, -0.9]));
    let options =
        Options { ensemble: Some(["c0", "c1", "c2"].map(str::to_owned).to_vec()), ..Options::default() };
    let analysis = analysed_with(&design, 0, &options);
    assert!(
        analysis
            .estimates
            .iter()
            .all(|e| { e.quantity != Quantity::EnsembleEffect || e.constitution.as_deref() != Some("c3") })
    );
    let unknown = Options { ensemble: Some(vec!["c9".into()]), ..Options::default() };
    let simulated = simulate(&design, 0).expect("a data set");
    let posed = pose(&simulated.observations, None, &BTreeSet::new()).expect("a problem");
    let refused = analyse(&posed.problem, &posed.source, &unknown).expect_err("refused").to_string();
    assert!(refused.contains("c9") && refused.contains("c0, c1, c2, c3"), "{refused}");
}

/// `wording_sd` of three wordings with these cosines.
fn spread(cosines: [f64; 3], seed: u64) -> (f64, f64) {
    let wordings = [("c1", "c0"), ("c2", "c0")].map(|(a, b)| (a.to_owned(), b.to_owned())).into();
    let options = Options { wordings, ..Options::default() };
    let analysis = analysed_with(&narrow(judges(&cosines)), seed, &options);
    let e = under(&analysis, Quantity::WordingSd, "c0");
    (e.estimate.expect("a figure"), e.p_adjusted.expect("p"))
}

#[test]
fn wordings_that_differ_are_told_from_wordings_that_do_not() {
    let seeds = 10;
    let (mut same, mut false_alarms, mut apart) = (0.0, 0, 0.0);
    for seed in 0..seeds {
        let (sd, p) = spread([0.6; 3], 60 + seed);
        same += sd / seeds as f64;
        false_alarms += usize::from(p < 0.05);
        let (sd, p) = spread([0.9, 0.6, 0.2], 60 + seed);
        apart += sd / seeds as f64;
        assert!(p < 0.01, "seed {seed}: p = {p}");
    }
    // Sample standard deviation of (.9, .6, .2).
    let planted = (0.37f64 / 3.0).sqrt();
    assert!((apart - planted).abs() < 0.05, "{apart}, planted {planted}");
    assert!(same < 0.05 && false_alarms <= 2, "{same}, {false_alarms}");
}

#[test]
fn the_best_of_many_equals_is_not_better_than_they_are() {
    let (mut best, mut largest) = (0.0, 0.0);
    let seeds = 20;
    for seed in 0..seeds {
        let design = Design { prompts: 150, ..narrow(judges(&[0.5; 12])) };
        let analysis = analysed(&design, 80 + seed);
        let e = find(&analysis, Quantity::BestAlignment);
        best += e.estimate.expect("a figure") / seeds as f64;
        assert_eq!((e.lo, e.hi), (None, None), "an interval of two halves");
        let all = analysis
            .estimates
            .iter()
            .filter(|e| e.quantity == Quantity::Alignment && e.control == Control::None);
        largest += all.filter_map(|e| e.estimate).fold(f64::NEG_INFINITY, f64::max) / seeds as f64;
    }
    assert!((best - 0.5).abs() < 0.03, "{best}");
    assert!(largest > best + 0.03, "the largest, {largest}, is no better than {best}: nothing was corrected");
}

#[test]
fn the_error_of_the_best_constitution_is_that_of_its_figures_over_data_sets() {
    // Few prompts and weakly encoded rewards: a half may fail its gate, or choose another constitution.
    let weak = |cos| Judge { rho2: 0.4, ..Judge::new(&format!("c{cos}"), cos) };
    let design =
        Design { prompts: 90, rho2: 0.4, judges: [0.6, 0.5, 0.1].map(weak).to_vec(), ..narrow(Vec::new()) };
    let (mut figures, mut errors) = (Vec::new(), Vec::new());
    for seed in 0..60 {
        let analysis = analysed(&design, 900 + seed);
        let e = find(&analysis, Quantity::BestAlignment);
        if let (Some(cos), Some(se), true) = (e.estimate, e.se, e.reportable) {
            figures.push(cos);
            errors.push(se);
        }
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let centre = mean(&figures);
    let sd = (figures.iter().map(|f| (f - centre).powi(2)).sum::<f64>() / (figures.len() - 1) as f64).sqrt();
    assert!(figures.len() >= 20, "{} of 60 pass their gates", figures.len());
    assert!(sd < 1.25 * mean(&errors), "sd {sd}, mean error {}, {} figures", mean(&errors), figures.len());
}

#[test]
fn constraints_leave_the_sine_of_an_obtuse_angle() {
    for (cos, told) in [(-0.6f64, 0.8), (0.5, 1.0)] {
        let share = find(&analysed(&two_values(cos, &[0.6]), 21), Quantity::ConstrainedShare).clone();
        let figure = share.estimate.expect("a figure");
        assert!(
            (figure - told).abs() < 4.0 * share.se.expect("an error") + 1e-9,
            "{share:?}, planted {told}"
        );
    }
}

#[test]
fn weights_move_the_weighted_slope_towards_their_value() {
    let design = two_values(0.0, &[0.9]);
    let of = |weight: f64| {
        let weights = [("S".to_owned(), weight)].into();
        let analysis = analysed_with(&design, 4, &Options { weights, ..Options::default() });
        find(&analysis, Quantity::WeightedSlope).estimate.expect("a figure")
    };
    let parts = |analysis: &Analysis| -> Vec<f64> {
        let row = &analysis.tables[TABLE].as_array().expect("rows")[0];
        row["parts"]
            .as_array()
            .expect("parts")
            .iter()
            .map(|p| p["slope"].as_f64().expect("a slope"))
            .collect()
    };
    let slopes = parts(&analysed(&design, 4));
    for weight in [1.0, 3.0] {
        let told = (weight * slopes[0] + slopes[1]) / (weight + 1.0);
        assert!((of(weight) - told).abs() < 1e-9, "weight {weight}");
    }
}

#[test]
fn the_gap_of_a_direct_constitution_gives_back_the_planted_dilution() {
    let design = narrow(vec![Judge { rho2: 0.9, ..Judge::new("direct", 0.99) }, Judge::new("vague", 0.5)]);
    let analysis = analysed(&design, 6);
    // cos(w, v*) = .1: gap .89, η = .11.
    let eta = under(&analysis, Quantity::ImpliedEta, "direct");
    assert!((eta.estimate.expect("a figure") - 0.11).abs() < 4.0 * eta.se.expect("an error"), "{eta:?}");
    assert!(eta.reportable, "{eta:?}");
    // A vague constitution gives no information on the corpus.
    let vague = under(&analysis, Quantity::ImpliedEta, "vague");
    assert!(!vague.reportable && vague.estimate.is_some(), "{vague:?}");
}
