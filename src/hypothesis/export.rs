//! Directions for export: v* of each value, v_c of each constitution and w, at every layer, on all rows.

use std::collections::BTreeMap;

use super::analysis::{Analysis, Options};
use super::bench::Bench;
use super::dimension::dimension;
use super::dominance::Largest;
use super::problem::{LayerSource, Problem, Value};
use super::rows::{self, Rows};
use super::stage::Stage;
use crate::error::Result;
use crate::probe::direction::directions;
use crate::units::Layer;

/// Directions by layer and name.
pub(super) type Fitted = BTreeMap<(Layer, String), Vec<f64>>;

/// d_eff at a layer, on all rows.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct LayerDimension {
    /// The layer.
    pub layer: Layer,
    /// Effective dimension, cross-block.
    pub d_eff: f64,
    /// Ends of its 95 % interval.
    pub interval: (f64, f64),
    /// The coordinate with the largest share of the trace of Σ_w.
    pub coordinate: Option<Largest>,
}

impl LayerDimension {
    fn new(layer: Layer, bench: &Bench) -> Option<Self> {
        let found = dimension(bench)?;
        Some(Self {
            layer,
            d_eff: found.d_eff,
            interval: found.interval,
            coordinate: Largest::column(&bench.x),
        })
    }
}

/// Directions at every layer, on all rows: v* of each value, v_c of each constitution, and w with length
/// controlled where token counts are known. `done` holds those of layers that were fitted along with the
/// estimates.
pub(super) fn fit_directions(
    problem: &Problem,
    source: &dyn LayerSource,
    values: &[usize],
    mut done: Fitted,
    out: &mut Analysis,
) -> Result<()> {
    for &layer in source.layers() {
        if done.range((layer, String::new())..).next().is_none_or(|((l, _), _)| *l != layer) {
            let (h, options) = (source.resid(layer)?, Options::default());
            for length in [false, true] {
                let mut stage = Stage {
                    problem,
                    options: &options,
                    h: &h,
                    twin: None,
                    generation: None,
                    length,
                    keep: &|_| true,
                    benches: Vec::new(),
                    layer,
                    source,
                };
                done.extend(at_layer(&mut stage, values, &mut out.dimensions)?);
            }
        }
    }
    for &layer in source.layers() {
        let own = done.iter().filter(|((l, _), _)| *l == layer);
        for ((_, name), v) in own {
            out.directions.entry(name.clone()).or_default().push(v.clone());
        }
    }
    Ok(())
}

/// Directions at a stage's layer that belong under its control. A stage that has factorised these rows
/// before lends its factors; one that has not keeps none, so that layers do not add up in memory.
/// d_eff of the first rows without control is noted once a layer.
pub(super) fn at_layer(
    stage: &mut Stage<'_>,
    values: &[usize],
    dimensions: &mut Vec<LayerDimension>,
) -> Result<Fitted> {
    let (problem, all) = (stage.problem, |_: usize| true);
    let fresh = stage.benches.is_empty();
    // (name, rows, label), grouped by rows so that each factorisation serves all of its labels.
    let mut wanted: Vec<(Rows, Vec<(String, Target<'_>)>)> = Vec::new();
    let mut want = |rows: Rows, name: String, target| match wanted.iter_mut().find(|(r, _)| *r == rows) {
        Some((_, list)) => list.push((name, target)),
        None => wanted.push((rows, vec![(name, target)])),
    };
    if stage.length == problem.tokens.is_some()
        && let Some(logprob) = &problem.logprob
    {
        want(rows::all(problem, &all), "w".into(), Target::Logprob(logprob));
    }
    if !stage.length {
        for &v in values {
            let value = &problem.values[v];
            let name = format!("v_star.{}", value.name);
            want(rows::of_value(problem, value, &all), name, Target::Value(value));
        }
        for judged in &problem.judged {
            let rows = rows::of_judged(problem, judged, &all);
            want(rows, judged.direction_name(), Target::Reward(&judged.reward));
        }
    }
    let mut out = Fitted::new();
    for (rows, targets) in wanted {
        let fitted = match stage.bench(rows)? {
            None => vec![vec![0.0; stage.h.ncols()]; targets.len()],
            Some(bench) => {
                if !stage.length && dimensions.iter().all(|d| d.layer != stage.layer) {
                    dimensions.extend(LayerDimension::new(stage.layer, &bench));
                }
                let labels: Vec<Vec<f64>> = targets
                    .iter()
                    .map(|(_, t)| match t {
                        Target::Value(value) => rows::label(&bench, value),
                        Target::Reward(r) => bench.column(r),
                        Target::Logprob(l) => bench.logprob(l),
                    })
                    .collect();
                let views: Vec<&[f64]> = labels.iter().map(Vec::as_slice).collect();
                let fitted = directions(&bench.x, &bench.spectrum, bench.contrasts.blocks(), &views);
                fitted.into_iter().map(|d| d.v).collect()
            }
        };
        if fresh {
            stage.benches.clear();
        }
        out.extend(targets.into_iter().map(|(name, _)| (stage.layer, name)).zip(fitted));
    }
    Ok(out)
}

#[derive(Clone, Copy)]
enum Target<'a> {
    Value(&'a Value),
    Reward(&'a [f64]),
    Logprob(&'a [f64]),
}
