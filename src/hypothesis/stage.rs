//! Every estimate at one layer under one control: what concerns no value, then value by value.

use std::rc::Rc;

use ndarray::Array2;

use super::analysis::{Analysis, Options};
use super::bench::{Bench, Label};
use super::estimate::{Control, Estimate, Flag, Mode, Quantity};
use super::improvement::{self, Angle};
use super::latent::{Latent, Scale};
use super::layers::selects;
use super::moved::moved;
use super::multiplicity::{Statistic, Test, Tests};
use super::own;
use super::problem::{Judged, Labels, LayerSource, Problem, Value};
use super::rows::{self, Rows};
use super::{ceiling, dimension, discrimination, dominance, encoding, gap, geometry, judging, tilt};
use crate::error::{Kind, Result};
use crate::probe::Contrasts;
use crate::probe::length::LengthControl;
use crate::units::Layer;

/// Estimates at one layer under one control.
pub(super) struct Stage<'a> {
    pub(super) problem: &'a Problem,
    pub(super) options: &'a Options,
    pub(super) h: &'a Array2<f32>,
    /// The layer at which the blocks on one side of [`selects`](super::layers::selects) are scored, where it is another.
    pub(super) twin: Option<(&'a Array2<f32>, bool)>,
    /// The layer at which w is read, where it is another.
    pub(super) generation: Option<Layer>,
    pub(super) length: bool,
    pub(super) keep: &'a dyn Fn(usize) -> bool,
    pub(super) benches: Vec<(Rows, Option<Rc<Bench>>)>,
    pub(super) layer: Layer,
    /// Where other rows of the same responses come from.
    pub(super) source: &'a dyn LayerSource,
}

impl<'a> Stage<'a> {
    /// The same stage at another layer or on other activations of the same responses, all of it at that layer.
    pub(super) fn elsewhere<'b>(&self, layer: Layer, h: &'b Array2<f32>) -> Stage<'b>
    where
        'a: 'b,
    {
        Stage {
            problem: self.problem,
            options: self.options,
            h,
            twin: None,
            generation: None,
            length: self.length,
            keep: self.keep,
            benches: Vec::new(),
            layer,
            source: self.source,
        }
    }
}

impl Stage<'_> {
    pub(super) fn control(&self) -> Control {
        if self.length { Control::Length } else { Control::None }
    }

    /// The bench of some rows, built once; `None` if they have no contrasts or these do not vary.
    pub(super) fn bench(&mut self, rows: Rows) -> Result<Option<Rc<Bench>>> {
        if let Some((_, bench)) = self.benches.iter().find(|(r, _)| *r == rows) {
            return Ok(bench.clone());
        }
        let contrasts = rows.contrasts(self.problem);
        let bench = if contrasts.is_empty() { None } else { self.built(contrasts)?.map(Rc::new) };
        self.benches.push((rows, bench.clone()));
        Ok(bench)
    }

    /// A bench of these contrasts, its twin beside it; `None` if they do not vary.
    fn built(&self, contrasts: Contrasts) -> Result<Option<Bench>> {
        let length = match (&self.problem.tokens, self.length) {
            (Some(tokens), true) => {
                Some(LengthControl::new(&contrasts, tokens).unwrap_or_else(LengthControl::nothing))
            }
            _ => None,
        };
        let at = |h: &Array2<f32>| match Bench::new(contrasts.clone(), h.view(), length.clone()) {
            Ok(bench) => Ok(Some(bench)),
            Err(e) if e.kind() == Some(Kind::NotEstimable) => Ok(None),
            Err(e) => Err(e),
        };
        let Some(own) = at(self.h)? else { return Ok(None) };
        let Some((h, side)) = self.twin else { return Ok(Some(own)) };
        Ok(Some(match at(h)? {
            Some(other) => own.with_twin(other, |block| selects(block) == side),
            None => own,
        }))
    }

    /// Fills in what every estimate of a bench shares.
    pub(super) fn push(
        &self,
        out: &mut Analysis,
        bench: Option<&Bench>,
        value: Option<&str>,
        mut estimate: Estimate,
    ) {
        estimate.control = self.control();
        estimate.value = estimate.value.or_else(|| value.map(str::to_owned));
        if !needs_no_layer(estimate.quantity) {
            estimate.layer = Some(self.layer);
        }
        if let Some(bench) = bench {
            estimate.n = estimate.n.or(Some(bench.n()));
            estimate.blocks = estimate.blocks.or(Some(bench.blocks()));
            if of_the_resolved_part(estimate.quantity)
                && estimate.estimate.is_some()
                && !bench.spectrum.resolves()
            {
                estimate = estimate.flag(Flag::ResolvedPart).warn(format!(
                    "fewer than 1.5 contrasts a dimension: figure and interval are of the part of the residual stream that \
                     these resolve, {:.0} % of its variance",
                    100.0 * bench.resolved_share()
                ));
                // A slope of a part is no estimate of the whole, which it undershoots by as much as is not seen; whether it
                // is 0 can be told, how large it is cannot.
                if is_slope(estimate.quantity) {
                    (estimate.lo, estimate.hi) = (None, None);
                }
            }
        }
        out.estimates.push(estimate);
    }

    /// What concerns no value: d_eff, and how linear log P and the rewards are.
    pub(super) fn shared(&mut self, out: &mut Analysis) -> Result<()> {
        let problem = self.problem;
        let Some(bench) = self.bench(rows::all(problem, self.keep))? else {
            for quantity in [Quantity::DEff, Quantity::LogprobRho2] {
                self.push(
                    out,
                    None,
                    None,
                    Estimate::missing(quantity, "no prompt has two responses that differ"),
                );
            }
            return Ok(());
        };
        let dominant = dominance::within(&bench)?;
        for estimate in dimension::estimates(&bench) {
            self.push(out, Some(&bench), None, dominance::mark(estimate, &dominant));
        }
        if !self.length {
            out.dominance.extend(dominant);
        }
        let estimate = match &problem.logprob {
            Some(logprob) => {
                let label = bench.probe(vec![bench.logprob(logprob)]).remove(0);
                encoding::rho2_estimate(&bench, Quantity::LogprobRho2, &label)
            }
            None => Estimate::missing(Quantity::LogprobRho2, "the observations hold no log-probabilities"),
        };
        self.push(out, Some(&bench), None, estimate);
        let each: Vec<Rows> =
            problem.judged.iter().map(|judged| rows::of_judged(problem, judged, self.keep)).collect();
        for (judged, rows) in problem.judged.iter().zip(&each) {
            let estimate = match self.bench(rows.clone())? {
                Some(bench) => {
                    // Those on the same rows in one pass.
                    let alike = problem.judged.iter().zip(&each).filter(|(_, own)| *own == rows);
                    bench.probe(alike.map(|(other, _)| bench.column(&other.reward)).collect());
                    let label = bench.probe(vec![bench.column(&judged.reward)]).remove(0);
                    let estimate = encoding::rho2_estimate(&bench, Quantity::JudgeRho2, &label);
                    self.push(out, Some(&bench), None, judged.mark(estimate));
                    continue;
                }
                None => Estimate::missing(Quantity::JudgeRho2, "no prompt has two judged responses"),
            };
            self.push(out, None, None, judged.mark(estimate));
        }
        Ok(())
    }

    /// Everything about one value.
    pub(super) fn value(&mut self, v: usize, tests: &mut Tests, out: &mut Analysis) -> Result<()> {
        let problem = self.problem;
        let value = &problem.values[v];
        let name = value.name.as_str();
        let wanted = rows::of_value(problem, value, self.keep);
        let Some(bench) = self.bench(wanted.clone())? else {
            for quantity in [Quantity::Rho2, Quantity::Rho, Quantity::GenerationAlignment] {
                let why = "no prompt has two labelled responses whose residual streams differ";
                self.push(out, None, Some(name), Estimate::missing(quantity, why));
            }
            return Ok(());
        };
        let mut labels = vec![rows::label(&bench, value)];
        labels.extend(problem.logprob.as_ref().map(|l| bench.logprob(l)));
        let mut labels = bench.probe(labels).into_iter();
        let (s, logprob) = (labels.next().expect("S was probed"), labels.next());
        for estimate in self.own(value, &bench, &s, logprob.as_ref()) {
            self.push(out, Some(&bench), Some(name), estimate);
        }
        // All rewards on these rows at once: what costs is the pass over the factors, not the label.
        let complete = |j: &&Judged| wanted.filtered(|r| j.reward[r].is_finite()) == wanted;
        let rewards = problem.judged.iter().filter(complete).map(|j| bench.column(&j.reward));
        let together: Vec<Vec<f64>> = std::iter::once(s.y.clone()).chain(rewards).collect();
        if together.len() > 1 {
            improvement::prepare(&bench, &together);
        }
        let mut under = Vec::new();
        for judged in &problem.judged {
            let rows = wanted.filtered(|r| judged.reward[r].is_finite());
            let (bench, s, logprob) = if rows == wanted {
                (bench.clone(), s.clone(), logprob.clone())
            } else {
                match self.bench(rows)? {
                    None => {
                        for quantity in PER_CONSTITUTION {
                            let missing = Estimate::missing(
                                *quantity,
                                "no prompt has two responses that are both labelled and judged",
                            );
                            self.push(out, None, Some(name), judged.mark(missing));
                        }
                        continue;
                    }
                    Some(bench) => {
                        let mut labels = vec![rows::label(&bench, value)];
                        labels.extend(problem.logprob.as_ref().map(|l| bench.logprob(l)));
                        let mut labels = bench.probe(labels).into_iter();
                        let s = labels.next().expect("S was probed");
                        (bench.clone(), s, labels.next())
                    }
                }
            };
            let r = bench.probe(vec![bench.column(&judged.reward)]).remove(0);
            under.push(Under { judged, bench, s, r, logprob });
        }
        // Rewards of different modes have different units: each is compared with its own kind.
        for mode in [Mode::Pairwise, Mode::Pointwise, Mode::Implicit, Mode::Scores] {
            let (own, rest): (Vec<_>, Vec<_>) = under.into_iter().partition(|u| u.judged.mode == mode);
            under = rest;
            let judged: Vec<&Judged> = own.iter().map(|u| u.judged).collect();
            self.constitutions(value, own, tests, out);
            own::measure(self, value, &wanted, &judged, tests, out)?;
        }
        Ok(())
    }

    /// Estimates of a value that need no constitution.
    fn own(&self, value: &Value, bench: &Bench, s: &Label, logprob: Option<&Label>) -> Vec<Estimate> {
        let mut out = Vec::new();
        let rho2 = encoding::rho2_estimate(bench, Quantity::Rho2, s);
        let scale = Scale::of(&value.labels);
        let latent = Latent::of(bench, &value.labels);
        // ρ and the ceiling are those of the latent score where labels only show its levels.
        match (&latent, scale.is_latent()) {
            (Some(latent), _) => {
                let latent = encoding::rho2_latent(bench, s, latent, scale);
                out.push(encoding::rho(&latent));
                out.push(latent);
            }
            (None, true) => {
                let why = "no normal score gives labels like these: they do not vary within prompts, or vary in opposite ways";
                out.extend([Quantity::Rho2Latent, Quantity::Rho].map(|q| Estimate::missing(q, why)));
            }
            (None, false) => out.push(encoding::rho(&rho2)),
        }
        match &value.labels {
            Labels::Scores(labels) => {
                if scale.is_binary() {
                    out.push(discrimination::auc(bench, s, labels));
                }
                out.push(discrimination::pair_accuracy(bench, s, labels));
            }
            Labels::Preferences(_) => out.push(discrimination::preference_accuracy(bench, s)),
        }
        out.push(rho2);
        out.extend(encoding::rho2_model(bench, s));
        out.push(match encoding::normal_scale(bench, s, &value.labels) {
            Err(why) => Estimate::missing(Quantity::CeilingRegret, why),
            Ok(latent) => ceiling::ceiling(bench, s, latent.as_ref()),
        });
        out.push(geometry::null(bench, s, self.options.seed));
        out.extend(match (logprob, self.generation) {
            // Read at the layer that reads log P best.
            (Some(_), Some(_)) => None,
            (Some(logprob), None) => {
                Some(gap::generation(bench, &value.name, &Angle::new(bench, s, logprob)))
            }
            (None, _) => Some(Estimate::missing(
                Quantity::GenerationAlignment,
                "the observations hold no log-probabilities",
            )),
        });
        let d_eff = dimension::dimension(bench).map(|d| d.d_eff);
        out.extend(dimension::concentration(bench, s, &dimension::ks(bench, d_eff)));
        out
    }

    /// Estimates of a value under each constitution. Their p is adjusted when all values are measured.
    fn constitutions(&self, value: &Value, under: Vec<Under<'_>>, tests: &mut Tests, out: &mut Analysis) {
        for u in &under {
            let angle = Angle::new(&u.bench, &u.s, &u.r);
            let alignment = improvement::alignment(&u.bench, &value.name, &u.s, &u.judged.name, &u.r);
            let (total, total_influence) = improvement::total_slope(&u.bench, &u.s, &u.r);
            let mut tested = vec![(Quantity::EncodedSlope, moved(&u.bench, &angle.slope), angle.slope_se)];
            if let Some(se) = total.se {
                tested.push((Quantity::TotalSlope, moved(&u.bench, &total_influence), se));
            }
            let mut cells = vec![
                improvement::encoded_slope(&u.bench, &angle, &u.s, &u.r),
                total,
                match encoding::normal_scale(&u.bench, &u.s, &value.labels) {
                    Err(why) => Estimate::missing(Quantity::AttainedRegret, why),
                    Ok(latent) => ceiling::attained(&u.bench, &u.s, &u.r, latent.as_ref()),
                },
            ];
            match &u.logprob {
                Some(logprob) => {
                    let generation = Angle::new(&u.bench, &u.s, logprob);
                    let (mut gap, influence) = gap::gap(&u.bench, &angle, &generation);
                    if let (Some(_), Some(cos)) = (self.generation, &generation.cos) {
                        gap.method = format!("{}; here ⟨w, v*⟩ is {:.3}", gap.method, cos.value);
                    }
                    if let (Some(influence), Some(se)) = (influence, gap.se) {
                        tested.push((Quantity::Gap, moved(&u.bench, &influence), se));
                    }
                    cells.push(gap::implied_eta(&gap, &alignment));
                    cells.push(gap);
                }
                None => cells.extend(
                    [Quantity::Gap, Quantity::ImpliedEta]
                        .map(|q| Estimate::missing(q, "the observations hold no log-probabilities")),
                ),
            }
            cells.push(alignment);
            if let Labels::Preferences(_) = &value.labels {
                let why = "preferences label pairs: a tilted policy needs the value of every candidate";
                cells.extend(TILTED.map(|q| Estimate::missing(q, why)));
            } else {
                // On the controlled scale where there is a control.
                let rows = self.problem.rows();
                let spread = |y: &[f64]| u.bench.contrasts.spread(y, rows);
                let (s, r) = (spread(&u.s.y), spread(&u.r.y));
                cells.extend(tilt::estimates(&u.bench.contrasts, &self.problem.block, &s, &r));
            }
            if !self.length {
                cells.push(judging::accuracy(self.problem, value, u.judged, self.keep));
            }
            let first = out.estimates.len();
            for estimate in cells {
                self.push(out, Some(&u.bench), Some(&value.name), u.judged.mark(estimate));
            }
            for (quantity, moved, se) in tested {
                // Whether the cosine is 0 is whether the slope is.
                let takes = |q: Quantity| {
                    q == quantity || (quantity == Quantity::EncodedSlope && q == Quantity::Alignment)
                };
                let estimates =
                    (first..out.estimates.len()).filter(|&e| takes(out.estimates[e].quantity)).collect();
                let statistic = Statistic { z: moved.value / se, influence: moved.by_block };
                let judge = u.judged.beside.then_some(u.judged.mode);
                tests.push(quantity, judge, Test { statistic, estimates, contrast: None });
            }
        }
    }
}

/// Whether a ridge that sees part of v* only gives the figure of that part: angles and slopes in the metric of Σ.
fn of_the_resolved_part(quantity: Quantity) -> bool {
    matches!(
        quantity,
        Quantity::Alignment
            | Quantity::GenerationAlignment
            | Quantity::Gap
            | Quantity::EncodedSlope
            | Quantity::OwnSlope
            | Quantity::OwnAlignment
            | Quantity::JudgeSlope
            | Quantity::JudgeAlignment
            | Quantity::WeightedSlope
            | Quantity::WeightedAlignment
            | Quantity::EnsembleAlignment
            | Quantity::EnsembleEffect
            | Quantity::MeanAlignment
            | Quantity::BestAlignment
            | Quantity::ValueCos
            | Quantity::ValueCone
            | Quantity::ConstrainedShare
            | Quantity::VerdictAlignment
    )
}

/// Slopes that run through the residual stream: sizes, of which a part says less than the whole.
fn is_slope(quantity: Quantity) -> bool {
    matches!(
        quantity,
        Quantity::EncodedSlope | Quantity::OwnSlope | Quantity::JudgeSlope | Quantity::WeightedSlope
    )
}

/// Quantities of the tilted policy.
const TILTED: [Quantity; 3] = [Quantity::TiltGain, Quantity::TiltPredicted, Quantity::TiltKl];

/// Quantities that exist for each constitution.
const PER_CONSTITUTION: &[Quantity] = &[
    Quantity::Alignment,
    Quantity::EncodedSlope,
    Quantity::TotalSlope,
    Quantity::Gap,
    Quantity::ImpliedEta,
    Quantity::AttainedRegret,
    Quantity::TiltGain,
    Quantity::TiltPredicted,
    Quantity::TiltKl,
];

/// A value under a constitution, on the rows that have both.
struct Under<'a> {
    judged: &'a Judged,
    bench: Rc<Bench>,
    s: Label,
    r: Label,
    logprob: Option<Label>,
}

fn needs_no_layer(quantity: Quantity) -> bool {
    matches!(
        quantity,
        Quantity::TotalSlope
            | Quantity::Rho2Words
            | Quantity::TiltGain
            | Quantity::TiltPredicted
            | Quantity::TiltKl
            | Quantity::AttainedRegret
            | Quantity::PolicySlope
            | Quantity::BestOfRegret
            | Quantity::OracleShare
            | Quantity::EssRatio
            | Quantity::JudgeAccuracy
            | Quantity::JudgeOverconfidence
            | Quantity::JudgeInconsistency
            | Quantity::OrderAgreement
            | Quantity::JudgeSpread
            | Quantity::ConstitutionShare
            | Quantity::PlaceboShare
            | Quantity::PositionBias
            | Quantity::PositionBiasSd
    )
}
