//! Directions for export: v* of each value, v_c of each constitution and w, at every layer, on all rows.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::probe::direction::directions;
use crate::theory::base::analysis::{Analysis, Options};
use crate::theory::base::bench::Bench;
use crate::theory::base::dominant::Largest;
use crate::theory::base::layers::LayerDimension;
use crate::theory::base::problem::{LayerSource, Problem, Value};
use crate::theory::base::rows::{self, Rows};
use crate::theory::base::stage::Stage;
use crate::theory::dimension::effective::dimension;
use crate::units::Layer;

/// Directions by layer and name.
pub(crate) type Fitted = BTreeMap<(Layer, String), Vec<f64>>;

fn dimension_at(layer: Layer, bench: &Bench) -> Option<LayerDimension> {
    let found = dimension(bench)?;
    Some(LayerDimension {
        layer,
        d_eff: found.d_eff,
        interval: found.interval,
        coordinate: Largest::column(&bench.x),
    })
}

/// Directions at every layer, on all rows: v* of each value, v_c of each constitution, and w with length controlled
/// where token counts are known. `done` holds those of layers that were fitted together with the estimates.
pub(crate) fn fit_directions(
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
                let mut stage = Stage::new((problem, source), &options, (layer, &h), length);
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

/// Directions at a stage's layer that belong under its control. Reuses factorisations cached in the stage but adds
/// none, so that memory does not grow with the number of layers. Records d_eff of the first rows without control,
/// once per layer.
pub(crate) fn at_layer(
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
                    dimensions.extend(dimension_at(stage.layer, &bench));
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
