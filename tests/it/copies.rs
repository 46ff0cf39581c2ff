//! Duplicates in the data: of a placebo text, of a constitution's state, of prompts; and judges without a preference.

use std::collections::BTreeSet;

use ndarray::Array2;
use vstar::error::Result;
use vstar::fit::problem::pose;
use vstar::report::words::five_lines;
use vstar::report::{Outcome, Report};
use vstar::simulate::{Design, Regime, Simulated, simulate};
use vstar::theory::{
    Analysis, Choices, Control, Estimate, LayerSource, Options, Problem, Quantity, StateText, analyse,
};
use vstar::units::Layer;

/// The problem of a data set with its placebo texts marked, and its residual stream.
fn posed(simulated: &Simulated) -> (Problem, Array2<f32>) {
    let posed = pose(&simulated.observations, None, &BTreeSet::new()).expect("a problem");
    let layer = posed.source.layers()[0];
    let mut problem = posed.problem.clone();
    for judged in &mut problem.judged {
        judged.placebo = judged.name.starts_with("placebo-");
    }
    (problem, posed.source.resid(layer).expect("rows"))
}

/// A source with one layer, and the same responses under some texts.
struct Held {
    h: Array2<f32>,
    texts: Vec<StateText>,
    states: Vec<Array2<f32>>,
}

impl Held {
    fn bare(h: Array2<f32>) -> Self {
        Self { h, texts: Vec::new(), states: Vec::new() }
    }
}

impl LayerSource for Held {
    fn layers(&self) -> &[Layer] {
        &[Layer(1)]
    }

    fn resid(&self, _: Layer) -> Result<Array2<f32>> {
        Ok(self.h.clone())
    }

    fn texts(&self) -> &[StateText] {
        &self.texts
    }

    fn text_resid(&self, arm: usize, _: Layer) -> Result<Array2<f32>> {
        Ok(self.states[arm].clone())
    }
}

fn fitted(problem: &Problem, source: &Held) -> Analysis {
    analyse(problem, source, &Options { core_only: true, ..Options::default() }).expect("an analysis")
}

fn report(analysis: &Analysis) -> Report {
    Report::new(Default::default(), analysis, Vec::new())
}

fn find<'a>(analysis: &'a Analysis, quantity: Quantity, constitution: Option<&str>) -> &'a Estimate {
    let own = |e: &&Estimate| {
        e.quantity == quantity && e.control == Control::None && e.constitution.as_deref() == constitution
    };
    analysis.estimates.iter().find(own).expect("an estimate")
}

/// Replaces rewards by given scores, a function of row and old reward.
fn scored(problem: &mut Problem, which: impl Fn(&str) -> bool, of: impl Fn(usize, f64) -> f64) {
    for judged in problem.judged.iter_mut().filter(|j| which(&j.name)) {
        let reward: Vec<f64> = judged.reward.iter().enumerate().map(|(r, &v)| of(r, v)).collect();
        judged.reward.clone_from(&reward);
        (judged.choices, judged.fit, judged.mode) =
            (Choices::Scores(reward), None, vstar::theory::Mode::Scores);
    }
}

#[test]
fn copies_of_one_placebo_text_are_one_draw_of_the_arm() {
    let (mut problem, h) = posed(&simulate(&Regime::Improver.design(), 401).expect("a data set"));
    scored(&mut problem, |_| true, |_, v| v);
    let source = Held::bare(h);
    let draws = |problem: &Problem| {
        let analysis = fitted(problem, &source);
        let arms: BTreeSet<usize> = analysis.arms.iter().map(|a| a.draws).collect();
        let signed = report(&analysis).verdicts().iter().filter(|v| v.is_signed()).count();
        (arms, signed, analysis.warnings.join("\n"))
    };
    let (arms, signed, warnings) = draws(&problem);
    assert_eq!(arms, BTreeSet::from([4]));
    assert!(signed > 0 && !warnings.contains("count as one text"), "{signed} {warnings}");
    let first = problem.judged.iter().find(|j| j.name == "placebo-1").expect("a placebo").reward.clone();
    // Offsets that vary between texts and rows.
    for (off, copies) in [(0.0, true), (0.01, true), (0.5, false)] {
        let mut copied = problem.clone();
        for i in 2..=4usize {
            let noise = |r: usize| ((r * (7 + 4 * i)) as f64 * 0.61).sin();
            scored(&mut copied, |name| name == format!("placebo-{i}"), |r, _| first[r] + off * noise(r));
        }
        let (arms, signed, warnings) = draws(&copied);
        assert_eq!(arms, BTreeSet::from([if copies { 1 } else { 4 }]), "{off}");
        assert_eq!(warnings.contains("placebo-2 those of placebo-1"), copies, "{off}: {warnings}");
        assert!(!copies || signed == 0, "{off}: {signed} verdicts from one text");
    }
    // A judge that is nearly silent without a constitution: small, independent rewards.
    let mut quiet = problem.clone();
    for i in 1..=4usize {
        let noise = move |r: usize| ((r * (7 + 4 * i)) as f64 * 0.61).sin();
        scored(&mut quiet, |name| name == format!("placebo-{i}"), |r, _| 0.002 * noise(r));
    }
    let (arms, _, warnings) = draws(&quiet);
    assert_eq!(arms, BTreeSet::from([4]), "{warnings}");
    // A judge that ignores texts: large, nearly equal rewards.
    let mut deaf = problem.clone();
    for i in 0..deaf.judged.len() {
        let name = deaf.judged[i].name.clone();
        let noise = move |r: usize| ((r * (7 + 4 * i)) as f64 * 0.61).sin();
        scored(&mut deaf, |n| n == name, |r, _| first[r] + 0.01 * noise(r));
    }
    let (arms, _, warnings) = draws(&deaf);
    assert_eq!(arms, BTreeSet::from([4]), "{warnings}");
}

#[test]
fn texts_under_which_the_state_is_the_same_are_one_text() {
    let design = Design { prompts: 80, ..Regime::Standard.design() };
    let (problem, h) = posed(&simulate(&design, 3).expect("a data set"));
    let moved = |seed: usize, off: f32| {
        Array2::from_shape_fn(h.dim(), |(r, j)| {
            let shift = ((j * (3 + seed)) as f32 * 0.37).sin();
            h[[r, j]] + shift + off * ((r * 13 + j * 7 + seed) as f32 * 0.77).sin()
        })
    };
    let source = |states: Vec<Array2<f32>>| Held {
        h: h.clone(),
        texts: (0..states.len())
            .map(|i| StateText {
                name: format!("placebo-{i}"),
                placebo: true,
                present: vec![true; h.nrows()],
                logprob: None,
            })
            .collect(),
        states,
    };
    let said = |states| fitted(&problem, &source(states)).warnings.join("\n");
    let same = "the placebo texts placebo-1 and placebo-0 are the same";
    assert!(said(vec![moved(1, 0.0), moved(1, 0.0)]).contains(same));
    assert!(said(vec![moved(1, 0.0), moved(1, 0.01)]).contains(same));
    assert!(!said(vec![moved(1, 0.0), moved(1, 0.5)]).contains("are the same"));
    assert!(!said(vec![moved(1, 0.0), moved(2, 0.0)]).contains("are the same"));
}

#[test]
fn prompts_that_stand_twice_make_no_figure_surer() {
    let design = Design { prompts: 120, ..Regime::Standard.design() };
    let (problem, h) = posed(&simulate(&design, 5).expect("a data set"));
    let rows = problem.rows();
    let once = fitted(&problem, &Held::bare(h.clone()));
    let twice = |column: &[f64]| [column, column].concat();
    let mut doubled = problem.clone();
    let offset = problem.prompt.iter().max().expect("prompts") + 1;
    doubled.prompt.extend(problem.prompt.iter().map(|p| p + offset));
    doubled.block = doubled.prompt.clone();
    doubled.tokens = problem.tokens.as_deref().map(twice);
    doubled.logprob = problem.logprob.as_deref().map(twice);
    for value in &mut doubled.values {
        if let vstar::theory::Labels::Scores(s) = &mut value.labels {
            *s = twice(s);
        }
    }
    for judged in &mut doubled.judged {
        judged.reward = twice(&judged.reward);
    }
    scored(&mut doubled, |_| true, |_, v| v);
    let resid = ndarray::concatenate(ndarray::Axis(0), &[h.view(), h.view()]).expect("rows");
    let undeclared = fitted(&doubled, &Held::bare(resid.clone()));
    let warned = format!("{} prompts have the same responses as an earlier one", 120);
    assert!(undeclared.warnings.iter().any(|w| w.starts_with(&warned)), "{:?}", undeclared.warnings);
    assert!(once.warnings.iter().all(|w| !w.contains("the same responses")));
    let one = find(&once, Quantity::TotalSlope, Some("good"));
    let same = find(&undeclared, Quantity::TotalSlope, Some("good"));
    let (se, doubled_se) = (one.se.expect("se"), same.se.expect("se"));
    assert_eq!(same.blocks, one.blocks);
    assert!((doubled_se / se - 1.0).abs() < 1e-6, "{doubled_se} {se}");
    // Responses that are only similar belong to separate prompts.
    let mut near = resid;
    near.slice_mut(ndarray::s![rows.., ..]).mapv_inplace(|v| v * 1.0001);
    let near = fitted(&doubled, &Held::bare(near));
    assert!(near.warnings.iter().all(|w| !w.contains("the same responses")), "{:?}", near.warnings);
    assert!(find(&near, Quantity::TotalSlope, Some("good")).se.expect("se") < 0.8 * se);
}

#[test]
fn a_judge_without_a_preference_is_not_valid_and_nothing_of_it_is_significant() {
    let design = Design { prompts: 80, ..Regime::Improver.design() };
    let (mut problem, h) = posed(&simulate(&design, 9).expect("a data set"));
    scored(&mut problem, |_| true, |_, v| v);
    let source = Held::bare(h);
    let all_same = "gives all answers to a prompt the same reward";
    let sound = report(&fitted(&problem, &source));
    assert!(!five_lines(&sound)[0].contains(all_same));
    scored(&mut problem, |name| name == "improver", |_, _| 3.0);
    let one = fitted(&problem, &source);
    let total = find(&one, Quantity::TotalSlope, Some("improver"));
    assert_eq!((total.estimate, total.se), (Some(0.0), Some(0.0)));
    assert!(total.p_adjusted.is_none_or(|p| p == 1.0), "{:?}", total.p_adjusted);
    let of_it = report(&one).verdicts();
    let of = |name: &str| of_it.iter().find(|v| v.constitution == name).expect("a verdict");
    assert_eq!(of("improver").verdict, Outcome::JudgeInvalid);
    assert_ne!(of("text-1").verdict, Outcome::JudgeInvalid);
    assert!(!five_lines(&report(&one))[0].contains(all_same));
    scored(&mut problem, |_| true, |_, _| 3.0);
    let none = fitted(&problem, &source);
    let line = &five_lines(&report(&none))[0];
    assert!(line.contains("cannot be used as a judge") && line.contains(all_same), "{line}");
    assert!(none.estimates.iter().all(|e| e.p_adjusted.is_none_or(|p| p > 0.05)));
    assert!(none.placebo.is_empty() && none.arms.iter().all(|a| a.draws == 1), "{:?}", none.arms);
}
