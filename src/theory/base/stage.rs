//! Estimation at one layer under one control.

use std::rc::Rc;

use ndarray::Array2;

use crate::error::{Kind, Result};
use crate::probe::Contrasts;
use crate::probe::length::LengthControl;
use crate::theory::base::analysis::{Analysis, Options};
use crate::theory::base::bench::Bench;
use crate::theory::base::estimate::{Control, Estimate, Flag};
use crate::theory::base::layers::selects;
use crate::theory::base::problem::{LayerSource, Problem};
use crate::theory::base::rows::Rows;
use crate::units::Layer;

/// Estimates at one layer under one control.
pub(crate) struct Stage<'a> {
    pub(crate) problem: &'a Problem,
    pub(crate) options: &'a Options,
    pub(crate) h: &'a Array2<f32>,
    /// Layer for blocks on one side of [`selects`](crate::theory::base::layers::selects), if it differs.
    pub(crate) twin: Option<(&'a Array2<f32>, bool)>,
    /// Layer at which w is read, if it differs.
    pub(crate) generation: Option<Layer>,
    pub(crate) length: bool,
    pub(crate) keep: &'a dyn Fn(usize) -> bool,
    pub(crate) benches: Vec<(Rows, Option<Rc<Bench>>)>,
    pub(crate) layer: Layer,
    /// Source of activations at other layers for the same responses.
    pub(crate) source: &'a dyn LayerSource,
}

impl<'a> Stage<'a> {
    /// All rows at one layer.
    pub(crate) fn new(
        (problem, source): (&'a Problem, &'a dyn LayerSource),
        options: &'a Options,
        (layer, h): (Layer, &'a Array2<f32>),
        length: bool,
    ) -> Self {
        let (keep, benches) = (&|_: usize| true, Vec::new());
        Self { problem, options, h, twin: None, generation: None, length, keep, benches, layer, source }
    }

    /// Same stage at another layer, or on other activations of the same responses, entirely at that layer.
    pub(crate) fn elsewhere<'b>(&self, layer: Layer, h: &'b Array2<f32>) -> Stage<'b>
    where
        'a: 'b,
    {
        let stage = Stage::new((self.problem, self.source), self.options, (layer, h), self.length);
        Stage { keep: self.keep, ..stage }
    }
}

impl Stage<'_> {
    pub(crate) fn control(&self) -> Control {
        if self.length { Control::Length } else { Control::None }
    }

    /// Bench of the given rows, built once; `None` if they have no contrasts or these do not vary.
    pub(crate) fn bench(&mut self, rows: Rows) -> Result<Option<Rc<Bench>>> {
        if let Some((_, bench)) = self.benches.iter().find(|(r, _)| *r == rows) {
            return Ok(bench.clone());
        }
        let contrasts = rows.contrasts(self.problem);
        let bench = if contrasts.is_empty() { None } else { self.built(contrasts)?.map(Rc::new) };
        self.benches.push((rows, bench.clone()));
        Ok(bench)
    }

    /// Bench of the given contrasts together with its twin; `None` if they do not vary.
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

    /// Fills in the fields that all estimates of a bench share.
    pub(crate) fn push(
        &self,
        out: &mut Analysis,
        bench: Option<&Bench>,
        value: Option<&str>,
        mut estimate: Estimate,
    ) {
        estimate.control = self.control();
        estimate.value = estimate.value.or_else(|| value.map(str::to_owned));
        if !estimate.quantity.needs_no_layer() {
            estimate.layer = Some(self.layer);
        }
        if let Some(bench) = bench {
            estimate.n = estimate.n.or(Some(bench.n()));
            estimate.blocks = estimate.blocks.or(Some(bench.blocks()));
            if estimate.quantity.is_of_the_resolved_part()
                && estimate.estimate.is_some()
                && !bench.spectrum.resolves()
            {
                estimate = estimate.flag(Flag::ResolvedPart).warn(format!(
                    "fewer than 1.5 contrasts a dimension: figure and interval are of the part of the residual stream that \
                     these resolve, {:.0} % of its variance",
                    100.0 * bench.resolved_share()
                ));
                // The slope of a resolved part undershoots the whole by an unknown amount: it can be tested against 0
                // but not quoted as a size.
                if estimate.quantity.is_slope() {
                    (estimate.lo, estimate.hi) = (None, None);
                }
            }
        }
        out.estimates.push(estimate);
    }
}
