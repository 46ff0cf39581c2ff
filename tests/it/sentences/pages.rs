//! Pages of `vstar shift`, `direction`, `steer`, `drift` and of maps of constitutions, from hand-made figures.

use vstar::steer::drift::{Change, Drift, Step, Track};
use vstar::steer::effect::{Null, Outcome, Steered};
use vstar::steer::means::{Against, DirectionReport, LayerMeans};
use vstar::steer::random::Law;
use vstar::steer::shift::{LayerShift, Ranks, Share, Shift};
use vstar::theory::{Estimate, Quantity};
use vstar::units::Layer;

use crate::by_hand::holds;

/// A figure whose interval is from `lo` to `hi`.
fn between(quantity: Quantity, lo: f64, hi: f64) -> Estimate {
    Estimate::figure(quantity, "by hand", (lo + hi) / 2.0, (hi - lo) / 3.92, (lo, hi))
}

fn shifted(shares: &[(&str, f64, f64)], moved: bool) -> String {
    let ranks = || Ranks {
        singular_values: Vec::new(),
        rank: if moved {
            between(Quantity::ShiftRank, 3.0, 5.0)
        } else {
            Estimate::missing(Quantity::ShiftRank, "the checkpoints do not differ here")
        },
        naive: None,
        entropy: None,
        k90: None,
    };
    let share = |&(name, lo, hi): &(&str, f64, f64)| Share {
        direction: name.into(),
        share: between(Quantity::ShiftShare, lo, hi),
        share_centred: between(Quantity::ShiftShare, lo, hi),
        isotropic: 0.01,
        covariance: Some(0.02),
    };
    let layer = LayerShift {
        layer: Layer(4),
        length: 1.0,
        relative: Some(0.1),
        mean_share: 0.1,
        whole: ranks(),
        centred: ranks(),
        shares: shares.iter().map(share).collect(),
        turned: Vec::new(),
    };
    let shift = Shift {
        format: "vstar-shift/1",
        runs: ["a".into(), "b".into()],
        models: ["a".into(), "b".into()],
        rows: 100,
        blocks: 50,
        width: 64,
        layers: vec![layer],
        warnings: Vec::new(),
    };
    shift.page().lead[0].clone()
}

#[test]
fn a_shift_goes_along_a_value_where_the_best_of_all_is_more_than_expected() {
    let (more, not) = (": more than chance", "not demonstrably more than chance");
    holds(&shifted(&[("v_star.kind", 0.021, 0.2)], true), &["Along v_star.kind", more], &[not]);
    holds(&shifted(&[("v_star.kind", 0.019, 0.2)], true), &[not], &[more]);
    // The largest of twenty is larger by chance.
    let many: Vec<(&str, f64, f64)> =
        (0..19).map(|_| ("v_star.other", 0.0, 0.04)).chain([("v_star.kind", 0.021, 0.2)]).collect();
    holds(&shifted(&many, true), &["Along v_star.kind", not], &[more]);
    holds(&shifted(&[("v_c.gentle", 0.1, 0.2)], true), &["effective rank"], &["Along"]);
    holds(&shifted(&[], false), &["do not differ, or too little"], &["effective rank"]);
}

fn direction(auc: &[(f64, f64)], against: Option<(f64, f64, Option<f64>)>) -> String {
    let layer = |(i, &(lo, hi)): (usize, &(f64, f64))| LayerMeans {
        layer: Layer(i),
        norm: 1.0,
        square: Some(1.0),
        spread: 1.0,
        auc: between(Quantity::DirectionAuc, lo, hi),
        logistic: None,
        coordinate: None,
        without_coordinate: None,
        pivot: None,
        pivot_id: None,
        against: against
            .into_iter()
            .map(|(lo, hi, random_sd)| Against {
                direction: "v_star.kind".into(),
                estimate: between(Quantity::DirectionCos, lo, hi),
                random_sd,
                raw: None,
                without_coordinate: None,
            })
            .collect(),
    };
    let found = DirectionReport {
        format: "vstar-direction/1",
        model: "tiny".into(),
        name: "refusal".into(),
        position: "last".into(),
        prompts: [40, 40],
        against: None,
        layers: auc.iter().enumerate().map(layer).collect(),
        warnings: Vec::new(),
    };
    found.page().lead[0].clone()
}

#[test]
fn a_direction_tells_sets_apart_where_the_best_layer_of_all_excludes_a_coin() {
    let (tells, not) =
        ("tells the two sets apart on prompts it was not made from", "does not demonstrably tell");
    holds(&direction(&[(0.501, 0.8)], None), &[tells, "the best of 1 layers"], &[not]);
    holds(&direction(&[(0.499, 0.8)], None), &[not], &[tells]);
    let many: Vec<(f64, f64)> = (0..11).map(|_| (0.4, 0.6)).chain([(0.501, 0.8)]).collect();
    holds(&direction(&many, None), &[not, "at layer 11"], &[tells]);
    holds(&direction(&[], None), &["are too few to tell"], &[tells, not]);
}

#[test]
fn a_cosine_with_a_value_is_set_beside_unrelated_directions_that_were_drawn() {
    let words = [
        "cannot be told from 0",
        "ordinary for unrelated",
        "more than unrelated directions have",
        "is not known",
    ];
    for (lo, hi, sd, said) in [
        (-0.001, 0.5, Some(0.01), 0),
        (0.1, 0.3, Some(0.11), 1),
        (0.1, 0.3, Some(0.1), 2),
        (0.1, 0.3, None, 3),
        (-0.3, -0.1, Some(0.1), 2),
    ] {
        let absent: Vec<&str> = words.iter().copied().filter(|w| *w != words[said]).collect();
        holds(&direction(&[(0.6, 0.8)], Some((lo, hi, sd))), &[words[said]], &absent);
    }
}

/// One outcome with an effect of .5 and these random effects; the interval starts at `lo`.
fn steered(lo: f64, random: Option<Vec<f64>>) -> String {
    let mut estimate = between(Quantity::SteerLogprob, lo, 1.0 - lo);
    (estimate.estimate, estimate.value) = (Some(0.5), Some("harmless".into()));
    let random = random.into_iter().filter_map(|r| Null::new(Law::Isotropic, 0.5, r)).collect();
    let outcome = Outcome { estimate, before: None, random, without_coordinate: None };
    let steered = Steered {
        format: "vstar-steer/1",
        model: "tiny".into(),
        direction: "v_star.harmless".into(),
        action: "add",
        alpha: Some(1.0),
        scale: Some("rms"),
        tokens: "all",
        layers: Vec::new(),
        random: 0,
        seed: 0,
        outcomes: vec![outcome],
        disturbance: None,
        warnings: Vec::new(),
    };
    steered.page().lead[0].clone()
}

#[test]
fn an_effect_is_more_than_random_directions_do_by_their_rank() {
    let words = [
        "cannot be told from no change",
        "random directions were not tried",
        "more than any of 99 random directions",
        "more than all but a few random directions",
        "no more than random directions of equal length may do",
    ];
    // `reached` of 99 random effects reach the effect's size: p = (1 + reached)/100.
    let random =
        |reached: usize| Some((0..99).map(|i| if i < reached { -0.5 } else { 0.1 }).collect::<Vec<f64>>());
    for (lo, random, said) in [
        (-0.001, random(0), 0),
        (0.001, None, 1),
        (0.001, random(0), 2),
        (0.001, random(3), 3),
        (0.001, random(4), 4),
    ] {
        let absent: Vec<&str> = words.iter().copied().filter(|w| *w != words[said]).collect();
        holds(&steered(lo, random), &[words[said]], &absent);
    }
}

fn drifted(of: (f64, f64), reportable: bool) -> String {
    let estimate = Estimate { reportable, ..between(Quantity::FunctionCos, of.0, of.1) };
    let change = Change::of(&estimate);
    let step = || Step { from: 0, to: 1, estimate: estimate.clone(), raw: None, change };
    let track =
        Track { direction: "v_star.kind".into(), consecutive: vec![step()], from_first: vec![step()] };
    let drift = Drift {
        format: "vstar-drift/1",
        rows: 10,
        margin: 0.1,
        runs: Vec::new(),
        directions: vec![track],
        warnings: Vec::new(),
    };
    drift.page().lead[0].clone()
}

#[test]
fn a_direction_is_steady_drifting_or_reversed_by_its_whole_interval() {
    let words = [
        "Steady from the first",
        "Drifting: v_star.kind",
        "Reversed somewhere",
        "No direction can be called",
    ];
    for (interval, reportable, said) in [
        ((0.9, 1.0), true, 0),
        ((0.899, 1.0), true, 3),
        ((0.5, 0.899), true, 1),
        ((0.5, 0.901), true, 3),
        ((-0.5, -0.001), true, 2),
        ((-0.5, 0.001), true, 1),
        ((0.95, 1.0), false, 3),
    ] {
        let absent: Vec<&str> = words.iter().copied().filter(|w| *w != words[said]).collect();
        holds(&drifted(interval, reportable), &[words[said]], &absent);
    }
}
