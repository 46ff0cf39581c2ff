//! Measures at one layer under one control: first what involves no value, then each statement for each value.

use std::rc::Rc;

use crate::error::Result;
use crate::theory::base::analysis::Analysis;
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::estimate::{Estimate, Mode, Quantity};
use crate::theory::base::multiplicity::{Statistic, Test, Tests};
use crate::theory::base::problem::{Judged, Value};
use crate::theory::base::rows::{self, Rows};
use crate::theory::base::stage::Stage;
use crate::theory::base::{angle, moved};
use crate::theory::statement::{Cells, Measure, OfPair, OfValue};
use crate::theory::statements::measures;

/// Measures everything that involves no value.
pub(crate) fn shared(stage: &mut Stage<'_>, out: &mut Analysis) -> Result<()> {
    let bench = stage.bench(rows::all(stage.problem, stage.keep))?;
    for (gives, of) in measures().filter_map(|m| match m {
        Measure::Shared { gives, of } => Some((gives, of)),
        _ => None,
    }) {
        match &bench {
            Some(bench) => of(stage, bench, out)?,
            None => missing(stage, out, gives, "no prompt has two responses that differ", |e| e),
        }
    }
    Ok(())
}

/// Estimates without a figure, with the reason.
fn missing(
    stage: &Stage<'_>,
    out: &mut Analysis,
    quantities: &[Quantity],
    why: &str,
    mark: impl Fn(Estimate) -> Estimate,
) {
    for quantity in quantities {
        stage.push(out, None, None, mark(Estimate::missing(*quantity, why)));
    }
}

/// S and log P on a bench.
fn labels(stage: &Stage<'_>, value: &Value, bench: &Bench) -> (Label, Option<Label>) {
    let mut labels = vec![rows::label(bench, value)];
    labels.extend(stage.problem.logprob.as_ref().map(|l| bench.logprob(l)));
    let mut labels = bench.probe(labels).into_iter();
    (labels.next().expect("S was probed"), labels.next())
}

/// A value under a constitution, on the rows that have both.
struct Under<'a> {
    judged: &'a Judged,
    bench: Rc<Bench>,
    s: Label,
    r: Label,
    logprob: Option<Label>,
}

/// Measures everything about one value.
pub(crate) fn value(stage: &mut Stage<'_>, v: usize, tests: &mut Tests, out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    let value = &problem.values[v];
    let of_value = |e: Estimate| Estimate { value: Some(value.name.clone()), ..e };
    let wanted = rows::of_value(problem, value, stage.keep);
    let own = || {
        measures().filter_map(|m| match m {
            Measure::Value { gives, of } => Some((gives, of)),
            _ => None,
        })
    };
    let Some(bench) = stage.bench(wanted.clone())? else {
        let why = "no prompt has two labelled responses whose residual streams differ";
        own().for_each(|(gives, _)| missing(stage, out, gives, why, of_value));
        return Ok(());
    };
    let (s, logprob) = labels(stage, value, &bench);
    let view = OfValue { stage, value, bench: &bench, s: &s, logprob: logprob.as_ref() };
    let estimates: Vec<Estimate> = own().flat_map(|(_, of)| of(&view)).collect();
    estimates.into_iter().for_each(|e| stage.push(out, Some(&bench), Some(&value.name), e));
    // All rewards on these rows at once: the cost is in the pass over the factors, not in the labels.
    let complete = |j: &&Judged| wanted.filtered(|r| j.reward[r].is_finite()) == wanted;
    let rewards = problem.judged.iter().filter(complete).map(|j| bench.column(&j.reward));
    let together: Vec<Vec<f64>> = std::iter::once(s.y.clone()).chain(rewards).collect();
    if together.len() > 1 {
        angle::prepare(&bench, &together);
    }
    let mut under = Vec::new();
    for judged in &problem.judged {
        let rows = wanted.filtered(|r| judged.reward[r].is_finite());
        match on_rows(stage, value, judged, &wanted, rows, (&bench, &s, &logprob))? {
            Some(found) => under.push(found),
            None => {
                let why = "no prompt has two responses that are both labelled and judged";
                pairs().for_each(|(gives, _)| missing(stage, out, gives, why, |e| judged.mark(of_value(e))));
            }
        }
    }
    // Rewards of different modes have different units and are compared within their mode.
    for mode in [Mode::Pairwise, Mode::Pointwise, Mode::Implicit, Mode::Scores] {
        let (own, rest): (Vec<_>, Vec<_>) = under.into_iter().partition(|u| u.judged.mode == mode);
        under = rest;
        own.iter().for_each(|u| constitution(stage, value, u, tests, out));
        let judged: Vec<&Judged> = own.iter().map(|u| u.judged).collect();
        for of in measures().filter_map(|m| match m {
            Measure::Arm(of) => Some(of),
            _ => None,
        }) {
            of(stage, value, &wanted, &judged, tests, out)?;
        }
    }
    Ok(())
}

fn pairs() -> impl Iterator<Item = (&'static &'static [Quantity], &'static fn(&OfPair<'_>) -> Cells)> {
    measures().filter_map(|m| match m {
        Measure::Pair { gives, of } => Some((gives, of)),
        _ => None,
    })
}

/// A value and a constitution's reward on the rows that have both; `None` where these have no contrasts.
fn on_rows<'a>(
    stage: &mut Stage<'_>,
    value: &Value,
    judged: &'a Judged,
    wanted: &Rows,
    rows: Rows,
    (bench, s, logprob): (&Rc<Bench>, &Label, &Option<Label>),
) -> Result<Option<Under<'a>>> {
    let (bench, s, logprob) = if rows == *wanted {
        (bench.clone(), s.clone(), logprob.clone())
    } else {
        let Some(bench) = stage.bench(rows)? else { return Ok(None) };
        let (s, logprob) = labels(stage, value, &bench);
        (bench, s, logprob)
    };
    let r = bench.probe(vec![bench.column(&judged.reward)]).remove(0);
    Ok(Some(Under { judged, bench, s, r, logprob }))
}

/// Estimates of a value under a constitution. Their p is adjusted once all values are measured.
fn constitution(stage: &Stage<'_>, value: &Value, u: &Under<'_>, tests: &mut Tests, out: &mut Analysis) {
    let view = OfPair::new((stage, value, u.judged), &u.bench, (&u.s, &u.r, u.logprob.as_ref()));
    for (_, of) in pairs() {
        let Cells { estimates, tested } = of(&view);
        let first = out.estimates.len();
        for estimate in estimates {
            stage.push(out, Some(&u.bench), Some(&value.name), u.judged.mark(estimate));
        }
        for test in tested {
            let moved = moved(&u.bench, &test.influence);
            let statistic = Statistic { z: moved.value / test.se, influence: moved.by_block };
            let own = first..out.estimates.len();
            let estimates = own.filter(|&e| test.takes.contains(&out.estimates[e].quantity)).collect();
            let judge = u.judged.beside.then_some(u.judged.mode);
            tests.push(test.takes[0], judge, Test { statistic, estimates, contrast: None });
        }
    }
}
