//! The part of rewards specific to a constitution: its rewards minus those of the placebo arm, on the same rows.
//!
//! A judge contributes a direction of its own under any text, and every constitution's v_c contains it.
//! With r̄ the mean reward of the independent placebo texts:
//!
//! - `own_slope`: θ̂_{S, r_c − r̄}, the first-order gain that the constitution adds to the judge's own;
//! - `own_alignment`: cos(v_{r_c − r̄}, v*);
//! - `own_share`, `slope_share`: own and whole slope over the best slope possible for a reward with the largest
//!   variance in this run, √(θ̂_SS · max_c θ̂_cc): a size that does not depend on the variance of the constitution's
//!   own reward;
//! - `judge_slope`, `judge_alignment`, `judge_share`: θ̂_{S, r̄}, its cosine and its size, the part that all
//!   constitutions have in common.

use std::rc::Rc;

use crate::error::Result;
use crate::probe::influence::{Influence, cosine, mean_product, theta};
use crate::theory::base::analysis::{Analysis, PLACEBO, PlaceboContrast};
use crate::theory::base::angle::{self, Angle, GATE};
use crate::theory::base::arm::{self, Arm, DRAWS_NEEDED};
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::estimate::{Estimate, Mode, Quantity};
use crate::theory::base::moved;
use crate::theory::base::multiplicity::{Statistic, Test, Tests};
use crate::theory::base::problem::{Judged, Value};
use crate::theory::base::rows::{self, Rows};
use crate::theory::base::stage::Stage;
use crate::theory::statement::{Measure, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "own",
    title: "Beyond the placebo arm",
    source: "Theorem 3",
    quantities: &[
        Quantity::OwnSlope,
        Quantity::OwnAlignment,
        Quantity::OwnShare,
        Quantity::JudgeSlope,
        Quantity::JudgeAlignment,
        Quantity::JudgeShare,
        Quantity::SlopeShare,
    ],
    tables: &[PLACEBO, arm::TABLE],
    rests: Rests::OnTheJudge,
    measures: &[Measure::Arm(measure)],
    section: None,
};

/// S and the rewards of some constitutions on the rows that all of them have.
struct JointLabels {
    bench: Rc<Bench>,
    s: Label,
    /// One per constitution, in order; `None` where a reward is missing on a row.
    rewards: Vec<Option<Label>>,
}

impl JointLabels {
    fn new(stage: &mut Stage<'_>, value: &Value, rows: &Rows, judged: &[&Judged]) -> Result<Option<Self>> {
        let Some(bench) = stage.bench(rows.clone())? else { return Ok(None) };
        let complete = |j: &Judged| rows.filtered(|r| j.reward[r].is_finite()) == *rows;
        let there: Vec<bool> = judged.iter().map(|j| complete(j)).collect();
        let mut labels = vec![rows::label(&bench, value)];
        labels.extend(judged.iter().zip(&there).filter(|(_, t)| **t).map(|(j, _)| bench.column(&j.reward)));
        let mut labels = bench.probe(labels).into_iter();
        let Some(s) = labels.next() else { return Ok(None) };
        let rewards = there.iter().map(|t| if *t { labels.next() } else { None }).collect();
        Ok(Some(Self { bench, s, rewards }))
    }

    fn theta(&self, a: &Label, b: &Label) -> Influence {
        theta(a.probed(), b.probed(), self.bench.contrasts.blocks())
    }

    /// Mean reward of each text; `None` if one is missing.
    fn texts(&self, draws: &[Vec<usize>]) -> Option<Vec<Label>> {
        let mean = |places: &Vec<usize>| {
            let members: Option<Vec<Label>> = places.iter().map(|&p| self.rewards[p].clone()).collect();
            members.map(|m| Label::mean(&m, &vec![1.0; m.len()]))
        };
        draws.iter().map(mean).collect()
    }

    /// `slope` over the best slope possible for a reward with the largest variance.
    fn share(&self, quantity: Quantity, slope: &Influence) -> Estimate {
        let method = "slope over √(θ̂_SS θ̂_cc) of the constitution with the largest θ̂_cc, Fisher z";
        let blocks = self.bench.contrasts.blocks();
        let loudest = self
            .rewards
            .iter()
            .flatten()
            .map(|r| self.theta(r, r))
            .max_by(|a, b| a.value.total_cmp(&b.value));
        let own = self.theta(&self.s, &self.s);
        let seen = |t: &Influence| t.value > GATE * t.se(blocks);
        let Some(loudest) = loudest.filter(|l| seen(l) && seen(&own)) else {
            return Estimate::new(quantity, method)
                .warn("not identifiable: the value, or every constitution's reward, is not encoded");
        };
        match cosine(slope, &own, &loudest) {
            Some(share) => {
                let interval = share.cosine_interval(blocks);
                Estimate::figure(quantity, method, share.value, share.se(blocks), interval)
            }
            None => Estimate::new(quantity, method).warn("not identifiable: nothing is encoded"),
        }
    }
}

/// Shares of every constitution and, where there is a placebo arm, the part specific to the constitution. All of
/// `judged` have one mode.
pub(crate) fn measure(
    stage: &mut Stage<'_>,
    value: &Value,
    wanted: &Rows,
    judged: &[&Judged],
    tests: &mut Tests,
    out: &mut Analysis,
) -> Result<()> {
    let name = Some(value.name.as_str());
    for (c, j) in judged.iter().enumerate() {
        let rows = wanted.filtered(|r| j.reward[r].is_finite());
        let Some(all) = JointLabels::new(stage, value, &rows, judged)? else { continue };
        let Some(reward) = &all.rewards[c] else { continue };
        let share = all.share(Quantity::SlopeShare, &all.theta(&all.s, reward));
        stage.push(out, Some(&all.bench), name, j.mark(share));
    }
    let draws = arm::draws(judged, &stage.options.wordings);
    let Some(first) = draws.iter().flatten().next().map(|&p| judged[p]) else { return Ok(()) };
    let with_arm = wanted.filtered(|r| draws.iter().flatten().all(|&p| judged[p].reward[r].is_finite()));
    let Some(all) = JointLabels::new(stage, value, &with_arm, judged)? else { return Ok(()) };
    let Some(texts) = all.texts(&draws) else { return Ok(()) };
    let judge = first.beside.then_some(first.mode);
    common(stage, value, &all, &texts, judge, tests, out);
    let compared = judged.iter().filter(|j| !j.placebo).count();
    for (c, j) in judged.iter().enumerate().filter(|(_, j)| !j.placebo) {
        let rows = with_arm.filtered(|r| j.reward[r].is_finite());
        let Some(all) = JointLabels::new(stage, value, &rows, judged)? else { continue };
        let (Some(reward), Some(texts)) = (&all.rewards[c], all.texts(&draws)) else { continue };
        one(stage, value, &all, j, (reward, &texts), compared, tests, out);
    }
    Ok(())
}

/// Measures the arm itself: the part that every constitution has in common with it.
fn common(
    stage: &Stage<'_>,
    value: &Value,
    all: &JointLabels,
    texts: &[Label],
    judge: Option<Mode>,
    tests: &mut Tests,
    out: &mut Analysis,
) {
    let bench = &all.bench;
    let mean = Label::mean(texts, &vec![1.0; texts.len()]);
    let angle = Angle::new(bench, &all.s, &mean);
    let mut slope = angle::encoded_slope(bench, &angle, &all.s, &mean);
    slope.quantity = Quantity::JudgeSlope;
    let names = (value.name.as_str(), "the mean of the placebo constitutions");
    let mut alignment = angle.estimate(bench, Quantity::JudgeAlignment, names);
    let mut share = all.share(Quantity::JudgeShare, &angle.slope);
    (slope.judge, alignment.judge, share.judge) = (judge, judge, judge);
    let place = out.estimates.len();
    stage.push(out, Some(bench), Some(&value.name), slope);
    stage.push(out, Some(bench), Some(&value.name), alignment);
    stage.push(out, Some(bench), Some(&value.name), share);
    if angle.slope_se > 0.0 && angle.slope_se.is_finite() {
        let by_block = moved(bench, &angle.slope).by_block;
        let statistic = Statistic { z: angle.slope.value / angle.slope_se, influence: by_block };
        let test = Test { statistic, estimates: vec![place, place + 1], contrast: None };
        tests.push(Quantity::EncodedSlope, judge, test);
    }
    for (quantity, slopes) in slopes(all, texts) {
        let (mean, sd) = arm::moments(&slopes);
        out.arms.push(Arm {
            value: value.name.clone(),
            judge,
            control: stage.control(),
            quantity,
            draws: texts.len(),
            mean,
            sd,
            band: arm::band(&slopes),
        });
    }
}

/// Encoded and total slope of each text.
fn slopes(all: &JointLabels, texts: &[Label]) -> [(Quantity, Vec<f64>); 2] {
    let blocks = all.bench.contrasts.blocks();
    let encoded = texts.iter().map(|t| all.theta(&all.s, t).value).collect();
    let total = texts.iter().map(|t| mean_product(&all.s.y, &t.y, blocks).value).collect();
    [(Quantity::EncodedSlope, encoded), (Quantity::TotalSlope, total)]
}

/// Measures a constitution relative to the arm.
#[allow(clippy::too_many_arguments)]
fn one(
    stage: &Stage<'_>,
    value: &Value,
    all: &JointLabels,
    judged: &Judged,
    (reward, texts): (&Label, &[Label]),
    compared: usize,
    tests: &mut Tests,
    out: &mut Analysis,
) {
    let (bench, draws) = (&all.bench, texts.len());
    let blocks = bench.contrasts.blocks();
    let own = reward.minus(&Label::mean(texts, &vec![1.0; draws]));
    let angle = Angle::new(bench, &all.s, &own);
    let mut slope = angle::encoded_slope(bench, &angle, &all.s, &own);
    slope.quantity = Quantity::OwnSlope;
    let names = (value.name.as_str(), format!("{} less the placebo arm", judged.name));
    let alignment = angle.estimate(bench, Quantity::OwnAlignment, (names.0, &names.1));
    let share = all.share(Quantity::OwnShare, &angle.slope);
    let place = out.estimates.len();
    for mut estimate in [slope, alignment, share] {
        // The error of the arm's mean depends on the number of its texts: p accounts for their choice, the interval
        // does not.
        estimate.method += "; interval over prompts for these placebo texts";
        if draws < DRAWS_NEEDED {
            let are = if draws == 1 { "text is" } else { "texts are" };
            estimate = estimate.warn(format!(
                "{draws} independent placebo {are} too few ({DRAWS_NEEDED} needed) to know what texts without content do"
            ));
        }
        stage.push(out, Some(bench), Some(&value.name), judged.mark(estimate));
    }
    let total = mean_product(&all.s.y, &own.y, blocks);
    let differences = [(angle.slope.clone(), vec![place, place + 1]), (total, Vec::new())];
    for ((difference, estimates), (quantity, slopes)) in differences.into_iter().zip(slopes(all, texts)) {
        let se = difference.se(blocks);
        if !(se > 0.0 && se.is_finite()) {
            continue;
        }
        let z = difference.value / se;
        let p_texts = arm::moments(&slopes)
            .1
            .filter(|_| draws >= DRAWS_NEEDED)
            .map(|sd| arm::text_p(difference.value, sd, draws, compared));
        out.placebo.push(PlaceboContrast {
            value: value.name.clone(),
            constitution: judged.name.clone(),
            judge: judged.beside.then_some(judged.mode),
            control: stage.control(),
            quantity,
            difference: difference.value,
            se,
            z,
            draws,
            p_prompts: 1.0,
            p_texts,
        });
        let statistic = Statistic { z, influence: moved(bench, &difference).by_block };
        let judge = judged.beside.then_some(judged.mode);
        tests.push(quantity, judge, Test { statistic, estimates, contrast: Some(out.placebo.len() - 1) });
    }
}

/// Placebo arms by mode: for each independent text, the rewards of its placebos.
pub(crate) struct Arms<'a>(Vec<(Mode, Vec<Vec<&'a Judged>>)>);

impl<'a> Arms<'a> {
    pub(crate) fn new(stage: &Stage<'a>) -> Self {
        let of = |mode: Mode| {
            let alike: Vec<&Judged> =
                stage.problem.judged.iter().filter(|j| !j.beside && j.mode == mode).collect();
            let texts = arm::draws(&alike, &stage.options.wordings);
            (mode, texts.iter().map(|t| t.iter().map(|&i| alike[i]).collect()).collect())
        };
        Self([Mode::Pairwise, Mode::Pointwise, Mode::Scores].map(of).into())
    }

    /// Mean reward of the arm on a bench; `None` with fewer than four texts, or where one lacks a reward on a row.
    pub(crate) fn mean(&self, bench: &Bench, mode: Mode) -> Option<Label> {
        let (_, texts) = self.0.iter().find(|(m, texts)| *m == mode && texts.len() >= DRAWS_NEEDED)?;
        let mean = |text: &Vec<&Judged>| {
            let labels = bench.probe(text.iter().map(|j| bench.column(&j.reward)).collect());
            Label::mean(&labels, &vec![1.0; labels.len()])
        };
        let mean = Label::mean(&texts.iter().map(mean).collect::<Vec<_>>(), &vec![1.0; texts.len()]);
        mean.y.iter().chain(&mean.yhat).all(|v| v.is_finite()).then_some(mean)
    }
}
