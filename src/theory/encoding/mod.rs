//! Definition 1: encoding quality, ρ² = Var⟨h, v*⟩ / Var S, and the same for rewards and log P.

pub mod discrimination;
pub mod latent;

use std::ops::Range;
use std::rc::Rc;

use crate::error::Result;
use crate::probe::influence::{Influence, mean_product, theta};
use crate::probe::reml;
use crate::theory::base::analysis::Analysis;
use crate::theory::base::angle::GATE;
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::dominant::percent;
use crate::theory::base::estimate::{Estimate, Flag, Quantity};
use crate::theory::base::problem::Labels;
use crate::theory::base::rows::{self, Rows};
use crate::theory::base::stage::Stage;
use crate::theory::encoding::latent::{Latent, Scale};
use crate::theory::statement::{Measure, NO_LOGPROB, OfValue, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "encoding",
    title: "Encoding quality",
    source: "Definition 1, Assumptions 2 and 3",
    quantities: &[
        Quantity::Rho2,
        Quantity::Rho,
        Quantity::Rho2Latent,
        Quantity::Rho2Model,
        Quantity::Auc,
        Quantity::PairAccuracy,
        Quantity::Rho2Embeddings,
        Quantity::Rho2Words,
        Quantity::LogprobRho2,
        Quantity::JudgeRho2,
    ],
    tables: &[],
    rests: Rests::Otherwise,
    measures: &[
        Measure::Shared { gives: &[Quantity::LogprobRho2], of: shared },
        Measure::Value { gives: &[Quantity::Rho2, Quantity::Rho], of: value },
    ],
    section: None,
};

/// `logprob_rho2` (Assumption 2) and `judge_rho2` (Assumption 3).
fn shared(stage: &mut Stage<'_>, bench: &Rc<Bench>, out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    let estimate = match &problem.logprob {
        Some(logprob) => {
            let label = bench.probe(vec![bench.logprob(logprob)]).remove(0);
            rho2_estimate(bench, Quantity::LogprobRho2, &label)
        }
        None => Estimate::missing(Quantity::LogprobRho2, NO_LOGPROB),
    };
    stage.push(out, Some(bench), None, estimate);
    let each: Vec<Rows> =
        problem.judged.iter().map(|judged| rows::of_judged(problem, judged, stage.keep)).collect();
    for (judged, rows) in problem.judged.iter().zip(&each) {
        let estimate = match stage.bench(rows.clone())? {
            Some(bench) => {
                // Probe all judgments on the same rows in one pass.
                let alike = problem.judged.iter().zip(&each).filter(|(_, own)| *own == rows);
                bench.probe(alike.map(|(other, _)| bench.column(&other.reward)).collect());
                let label = bench.probe(vec![bench.column(&judged.reward)]).remove(0);
                let estimate = rho2_estimate(&bench, Quantity::JudgeRho2, &label);
                stage.push(out, Some(&bench), None, judged.mark(estimate));
                continue;
            }
            None => Estimate::missing(Quantity::JudgeRho2, "no prompt has two judged responses"),
        };
        stage.push(out, None, None, judged.mark(estimate));
    }
    Ok(())
}

/// ρ² on the labels' scale and on the latent one, ρ, and held-out discrimination.
fn value(v: &OfValue<'_>) -> Vec<Estimate> {
    let (bench, s, labels) = (v.bench, v.s, &v.value.labels);
    let mut out = Vec::new();
    let rho2 = rho2_estimate(bench, Quantity::Rho2, s);
    let scale = Scale::of(labels);
    // ρ and the ceiling refer to the latent score where labels only show its levels.
    match (&Latent::of(bench, labels), scale.is_latent()) {
        (Some(latent), _) => {
            let latent = rho2_latent(bench, s, latent, scale);
            out.push(rho(&latent));
            out.push(latent);
        }
        (None, true) => {
            let why = "no normal score gives labels like these: they do not vary within prompts, or vary in opposite ways";
            out.extend([Quantity::Rho2Latent, Quantity::Rho].map(|q| Estimate::missing(q, why)));
        }
        (None, false) => out.push(rho(&rho2)),
    }
    match labels {
        Labels::Scores(labels) => {
            if scale.is_binary() {
                out.push(discrimination::auc(bench, s, labels));
            }
            out.push(discrimination::pair_accuracy(bench, s, labels));
        }
        Labels::Preferences(_) => out.push(discrimination::preference_accuracy(bench, s)),
    }
    out.push(rho2);
    out.extend(rho2_model(bench, s));
    out
}

/// ρ² of a label with its influence: θ̂_yy / (Σ y²/N). `None` for a label that does not vary.
pub fn rho2(bench: &Bench, label: &Label) -> Option<Influence> {
    rho2_on(bench.contrasts.blocks(), label)
}

/// ρ² of a label on contrasts in these blocks, with its influence.
pub fn rho2_on(blocks: &[Range<usize>], label: &Label) -> Option<Influence> {
    let variance = label.variance();
    if variance <= 0.0 {
        return None;
    }
    let own = theta(label.probed(), label.probed(), blocks);
    let squares = mean_product(&label.y, &label.y, blocks);
    let value = own.value / variance;
    Some(Influence::combine(value, &[(1.0 / variance, &own), (-value / variance, &squares)]))
}

/// ρ² as an estimate of the given quantity.
pub fn rho2_estimate(bench: &Bench, quantity: Quantity, label: &Label) -> Estimate {
    let method = "leave-block-out twicing ridge";
    let Some(own) = rho2(bench, label) else {
        return Estimate::new(quantity, method).warn("the label does not vary within prompts");
    };
    let finer = rho2(bench, &bench.finer(label));
    finished(bench, quantity, method, &own, finer.as_ref().unwrap_or(&own), &own)
}

/// `rho2_latent`: ρ² on the scale of the Gaussian score behind labels with few levels; the interval includes the
/// error of the factor.
pub fn rho2_latent(bench: &Bench, label: &Label, latent: &Latent, scale: Scale) -> Estimate {
    let method = format!("{}; leave-block-out twicing ridge", scale.words());
    let Some(own) = rho2(bench, label) else {
        return Estimate::new(Quantity::Rho2Latent, method).warn("the label does not vary within prompts");
    };
    let factor = &latent.factor;
    let scaled = |rho2: &Influence| {
        let parts = [(factor.value, rho2), (rho2.value, factor)];
        Influence::combine(rho2.value * factor.value, &parts)
    };
    let finer = rho2(bench, &bench.finer(label));
    let finer = scaled(finer.as_ref().unwrap_or(&own));
    let estimate = finished(bench, Quantity::Rho2Latent, &method, &scaled(&own), &finer, &own)
        .warn("assumes a Gaussian latent score behind the labels");
    if refuted(&estimate) { estimate.withheld(NOT_GAUSSIAN) } else { estimate }
}

/// Whether a `rho2_latent` is significantly and substantially above 1, so that the labels have no Gaussian score
/// behind them. A value that is encoded entirely has an estimate scattered around 1, and scores that are not quite
/// Gaussian lie slightly above.
fn refuted(rho2_latent: &Estimate) -> bool {
    rho2_latent.lo.is_some_and(|lo| lo > NOT_A_LITTLE)
}

/// `rho2_latent` above which labels are considered not to come from a Gaussian score.
const NOT_A_LITTLE: f64 = 1.1;

/// Reason given when the labels are predicted better than a Gaussian score behind them allows.
const NOT_GAUSSIAN: &str = "the residual stream tells the labels better than a Gaussian score behind them allows, so there is none: it \
     separates their levels like two kinds of text, and the share of the labels' own variance is the figure to read";

/// The latent scale on which Theorem 6 applies to a value; `None` for labels on a scale of their own.
///
/// # Errors
/// The reason why there is no scale on which the value can be treated as normal.
pub fn normal_scale(bench: &Bench, label: &Label, labels: &Labels) -> Result<Option<Latent>, &'static str> {
    let scale = Scale::of(labels);
    match Latent::of(bench, labels) {
        None if scale.is_latent() => {
            Err("labels of few levels without a latent scale: Theorem 6 is about normal values")
        }
        Some(latent) if refuted(&rho2_latent(bench, label, &latent, scale)) => Err(NOT_GAUSSIAN),
        latent => Ok(latent),
    }
}

/// An estimate of ρ² on either scale, with the interval of the `finer` fit; `own` is ρ² of the label itself, which
/// decides whether the estimate is reportable.
fn finished(
    bench: &Bench,
    quantity: Quantity,
    method: &str,
    rho2: &Influence,
    finer: &Influence,
    own: &Influence,
) -> Estimate {
    let blocks = bench.contrasts.blocks();
    let se = rho2.se(blocks);
    let interval = interval_about(rho2.value, finer, blocks);
    let estimate = Estimate::figure(quantity, method, rho2.value, se, interval);
    let estimate = if bench.spectrum.resolves() {
        estimate
    } else {
        // One-sided, because the part that the ridge does not resolve can only add.
        estimate.at_least(rho2.value - GATE * se)
    };
    let estimate = if own.value / own.se(blocks) > GATE {
        estimate
    } else {
        estimate.withheld(
            "not distinguishable from 0: the residual stream does not predict it on left-out prompts",
        )
    };
    if bench.spectrum.resolves() {
        return estimate;
    }
    let share = 100.0 * bench.resolved_share();
    estimate
        .flag(Flag::LowerEstimate)
        .warn("fewer than 1.5 contrasts a dimension: a lower estimate")
        .warn(format!("a v* spread evenly over the residual stream shows {share:.0} % of its ρ² here"))
}

/// The 95 % interval of a finer fit, extended to include the default fit's figure.
pub fn interval_about(value: f64, finer: &Influence, blocks: &[Range<usize>]) -> (f64, f64) {
    let (lo, hi) = finer.symmetric_interval(blocks);
    (lo.min(value), hi.max(value))
}

/// ρ = √max(0, ρ²), with the square root of the interval of ρ² (of `rho2_latent` where labels have few levels).
pub fn rho(rho2: &Estimate) -> Estimate {
    let root = |v: f64| v.max(0.0).sqrt();
    let mut rho = Estimate { quantity: Quantity::Rho, ..rho2.clone() };
    rho.method = format!("square root; {}", rho2.method);
    rho.estimate = rho2.estimate.map(root);
    rho.lo = rho2.lo.map(root);
    rho.hi = rho2.hi.map(root);
    // By the delta method; the derivative does not exist at ρ = 0.
    rho.se = match (rho.estimate, rho2.se) {
        (Some(r), Some(se)) if r > 0.0 => Some(se / (2.0 * r)),
        _ => None,
    };
    rho
}

/// Largest share of the trace in one component for which v may be assumed to be spread over all equally.
const LEADING: f64 = 0.1;

/// `rho2_model`: one variance component, maximum likelihood; `None` for more contrasts than dimensions, where
/// the ridge needs no model.
pub fn rho2_model(bench: &Bench, label: &Label) -> Option<Estimate> {
    if bench.n() > bench.spectrum.d {
        return None;
    }
    let method = "one-component maximum likelihood, v ~ N(0, τ² I)";
    let Some(value) = reml::rho2(&bench.spectrum, &label.y) else {
        return Some(
            Estimate::new(Quantity::Rho2Model, method).warn("the label does not vary within prompts"),
        );
    };
    let estimate = Estimate::bare(Quantity::Rho2Model, method, value)
        .warn("model-based: right if v* is spread over the residual stream's coordinates, no interval");
    let leading = bench.spectrum.mu[0] / bench.spectrum.mu.iter().sum::<f64>();
    Some(if leading <= LEADING {
        estimate
    } else {
        estimate.flag(Flag::LeadingComponent).withheld(format!(
            "one component carries {} of the variance: the model takes v* to be read through all alike, and says \
             up to 1 whatever the truth",
            percent(leading)
        ))
    })
}
