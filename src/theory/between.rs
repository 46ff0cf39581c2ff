//! The angle between the directions that two constitutions activate.
//!
//! `constitution_cos`: cos(v_a, v_b) = θ̂_{r_a,r_b}/√(θ̂_{r_a,r_a} θ̂_{r_b,r_b}), in the metric of the within-prompt
//! covariance, on the rows judged under both; gate and interval as for `alignment`. Noise that the two judges share
//! on a prompt cancels, because no prediction is fitted on its own prompt.

use std::collections::HashMap;
use std::rc::Rc;

use crate::error::Result;
use crate::theory::base::analysis::Options;
use crate::theory::base::angle::Angle;
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::estimate::{Control, Estimate, Quantity};
use crate::theory::base::problem::{LayerSource, Problem};
use crate::theory::base::rows::{self, Rows};
use crate::theory::base::stage::Stage;
use crate::units::Layer;

/// `constitution_cos` of every pair of constitutions at a layer, without and (where token counts are known)
/// with length projected out, on all blocks.
///
/// # Errors
/// If the layer cannot be read, or a factorisation does not converge.
pub fn constitution_cosines(
    problem: &Problem,
    source: &dyn LayerSource,
    layer: Layer,
) -> Result<Vec<Estimate>> {
    let (h, options) = (source.resid(layer)?, Options::default());
    let mut out = Vec::new();
    for length in [false, true] {
        if length && problem.tokens.is_none() {
            break;
        }
        let stage = Stage::new((problem, source), &options, (layer, &h), length);
        let mut probed = Probes { stage, labels: HashMap::new() };
        let own: Vec<Rows> = problem.judged.iter().map(|j| rows::of_judged(problem, j, &|_| true)).collect();
        for (a, first) in problem.judged.iter().enumerate() {
            for (b, second) in problem.judged.iter().enumerate().skip(a + 1) {
                let rows = if own[a] == own[b] {
                    own[a].clone()
                } else {
                    own[a].filtered(|row| second.reward[row].is_finite())
                };
                let mut estimate = match probed.pair(&rows, a, b)? {
                    Some((bench, r_a, r_b)) => {
                        let angle = Angle::new(&bench, &r_a, &r_b);
                        let names = (first.label(), second.label());
                        let mut estimate =
                            angle.estimate(&bench, Quantity::ConstitutionCos, (&names.0, &names.1));
                        (estimate.n, estimate.blocks) = (Some(bench.n()), Some(bench.blocks()));
                        estimate
                    }
                    None => Estimate::missing(
                        Quantity::ConstitutionCos,
                        "no prompt has two responses that both constitutions judged",
                    ),
                }
                .under(&first.label());
                estimate.constitution2 = Some(second.label());
                estimate.layer = Some(layer);
                estimate.control = if length { Control::Length } else { Control::None };
                out.push(estimate);
            }
        }
    }
    Ok(out)
}

/// Cache of probed rewards, keyed by the rows they were probed on.
struct Probes<'a> {
    stage: Stage<'a>,
    labels: HashMap<Rows, HashMap<usize, Label>>,
}

impl Probes<'_> {
    fn pair(&mut self, rows: &Rows, a: usize, b: usize) -> Result<Option<(Rc<Bench>, Label, Label)>> {
        let Some(bench) = self.stage.bench(rows.clone())? else { return Ok(None) };
        let problem = self.stage.problem;
        let known = self.labels.entry(rows.clone()).or_default();
        let mut label = |c: usize| -> Label {
            let make = || bench.probe(vec![bench.column(&problem.judged[c].reward)]).remove(0);
            known.entry(c).or_insert_with(make).clone()
        };
        let (first, second) = (label(a), label(b));
        Ok(Some((bench, first, second)))
    }
}
