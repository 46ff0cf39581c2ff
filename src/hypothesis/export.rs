//! Directions for export: v* of each value, v_c of each constitution and w, at every layer, on all rows.

use super::analysis::Analysis;
use super::problem::{LayerSource, Problem, Value};
use super::rows::{self, Rows};
use super::stage::Stage;
use crate::error::Result;
use crate::probe::direction::directions;

/// Directions for export, at every layer, on all rows: v* of each value, v_c of each constitution, and w
/// with length controlled where token counts are known.
pub(super) fn fit_directions(
    problem: &Problem,
    source: &dyn LayerSource,
    values: &[usize],
    out: &mut Analysis,
) -> Result<()> {
    let all = |_: usize| true;
    for &layer in source.layers() {
        let h = source.resid(layer)?;
        let zero = vec![0.0; h.ncols()];
        for length in [false, true] {
            let mut stage = Stage { problem, h: &h, length, keep: &all, benches: Vec::new(), layer };
            // (name, rows, label), grouped by rows so that each factorisation serves all of its labels.
            let mut wanted: Vec<(Rows, Vec<(String, Target<'_>)>)> = Vec::new();
            let mut want =
                |rows: Rows, name: String, target| match wanted.iter_mut().find(|(r, _)| *r == rows) {
                    Some((_, list)) => list.push((name, target)),
                    None => wanted.push((rows, vec![(name, target)])),
                };
            if length == problem.tokens.is_some()
                && let Some(logprob) = &problem.logprob
            {
                want(rows::all(problem, &all), "w".into(), Target::Logprob(logprob));
            }
            if !length {
                for &v in values {
                    let value = &problem.values[v];
                    want(
                        rows::of_value(problem, value, &all),
                        format!("v_star.{}", value.name),
                        Target::Value(value),
                    );
                }
                for judged in &problem.judged {
                    let rows = rows::of_judged(problem, judged, &all);
                    want(rows, judged.direction_name(), Target::Reward(&judged.reward));
                }
            }
            for (rows, targets) in wanted {
                let fitted = match stage.bench(rows)? {
                    None => vec![zero.clone(); targets.len()],
                    Some(bench) => {
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
                stage.benches.clear();
                for ((name, _), v) in targets.into_iter().zip(fitted) {
                    out.directions.entry(name).or_default().push(v);
                }
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum Target<'a> {
    Value(&'a Value),
    Reward(&'a [f64]),
    Logprob(&'a [f64]),
}
