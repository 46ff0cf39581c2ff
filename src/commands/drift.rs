//! `vstar drift`: compares the reports and directions of a series of checkpoints on the same rows.

use super::terminal::out::result;
use crate::artifact;
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::fit::folder::{read_directions, read_report};
use crate::fit::problem::pose;
use crate::fit::rows::RunRows;
use crate::probe::length::LengthControl;
use crate::report::Report;
use crate::report::export::Directions;
use crate::steer::drift::{Change, Drift, Fitted, MARGIN, Step, Stop, Track, fit, function_cos};
use crate::theory::base::bench::Bench;
use crate::theory::base::rows::{self, Rows};
use crate::theory::{Control, Estimate, LayerSource, Problem, Quantity};
use crate::units::Layer;
use clap::Args;
use ndarray::Array2;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct DriftArgs {
    /// Folders of finished runs on the same data, one per checkpoint, in order
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Layer of every run [default: the layer that each run reported]
    #[arg(long)]
    pub layer: Option<usize>,
    /// Constitution whose rows give h [default: none, or the first with rows]
    #[arg(long)]
    pub reference: Option<String>,
    /// Folder for drift.json and drift.md
    #[arg(long, default_value = "drift")]
    pub out: PathBuf,
}

/// Compares the runs, writes the results and prints them.
pub fn drift(args: &DriftArgs) -> Result<()> {
    let found = drift_into(&args.runs, args.layer, args.reference.as_deref(), &args.out)?;
    result(|| serde_json::to_value(&found).expect("plain data serialises"));
    println!("{}", found.page().to_terminal());
    println!("findings in {}", args.out.join("drift.md").display());
    Ok(())
}

/// A checkpoint's run, loaded.
struct Checkpoint {
    run: String,
    model: String,
    layer: Layer,
    problem: Problem,
    h: Array2<f32>,
    report: Report,
    directions: Option<Directions>,
}

/// The label a direction was fitted to.
enum Target {
    Value(usize),
    Constitution(String),
    Logprob,
}

/// Compares a series and writes `drift.json` and `drift.md` into `out`. `layer` applies to all runs; by default each
/// run's reported one.
///
/// # Errors
/// [`Kind::Missing`] for fewer than two runs, a run without a report or a layer; [`Kind::RunConflict`] for runs of
/// different rows; errors of reading them.
pub fn drift_into(
    runs: &[PathBuf],
    layer: Option<usize>,
    reference: Option<&str>,
    out: &Path,
) -> Result<Drift> {
    if runs.len() < 2 {
        return Err(Diagnostic::new(Kind::Missing, "a series takes at least two runs")
            .found(runs.len().to_string())
            .into());
    }
    let reads = runs.iter().map(|run| RunRows::open(run, reference)).collect::<Result<Vec<_>>>()?;
    reads[1..].iter().try_for_each(|other| reads[0].same_rows(other))?;
    let checkpoints =
        reads.iter().map(|read| checkpoint(read, layer, reference)).collect::<Result<Vec<_>>>()?;
    let first = &checkpoints[0].problem;
    let mut warnings = Vec::new();
    let all = |_: usize| true;
    let mut targets: Vec<(String, Target, Rows)> = Vec::new();
    for (v, value) in first.values.iter().enumerate() {
        let same = |c: &Checkpoint| c.problem.values.iter().any(|own| own == value || equal(own, value));
        if checkpoints.iter().all(same) {
            let name = format!("v_star.{}", value.name);
            targets.push((name, Target::Value(v), rows::of_value(first, value, &all)));
        } else {
            warnings.push(format!("value {}: not labelled alike in all runs, left out", value.name));
        }
    }
    for judged in &first.judged {
        let label = judged.label();
        let rewards: Vec<&Vec<f64>> = checkpoints
            .iter()
            .filter_map(|c| Some(&c.problem.judged.iter().find(|j| j.label() == label)?.reward))
            .collect();
        if rewards.len() < checkpoints.len() {
            warnings.push(format!("constitution {label}: not judged in all runs, left out"));
            continue;
        }
        let common = rows::all(first, &|r| rewards.iter().all(|w| w[r].is_finite()));
        targets.push((format!("v_c.{label}"), Target::Constitution(label), common));
    }
    if checkpoints.iter().all(|c| c.problem.logprob.is_some()) {
        targets.push(("w".to_owned(), Target::Logprob, rows::all(first, &all)));
    }
    let mut tracks: Vec<Option<Track>> = targets.iter().map(|_| None).collect();
    // Directions with the same rows and control share factorisations.
    let mut left: Vec<usize> = (0..targets.len()).collect();
    while let Some(&lead) = left.first() {
        let length = matches!(targets[lead].1, Target::Logprob);
        let alike = |i: &usize| {
            targets[*i].2 == targets[lead].2 && matches!(targets[*i].1, Target::Logprob) == length
        };
        let group: Vec<usize> = left.iter().copied().filter(alike).collect();
        left.retain(|i| !group.contains(i));
        for (i, track) in group.iter().zip(series(&checkpoints, &targets, &group, length)?) {
            tracks[*i] = Some(track);
        }
    }
    let report = Drift {
        format: "vstar-drift/1",
        rows: first.rows(),
        margin: MARGIN,
        runs: checkpoints.iter().map(stop).collect(),
        directions: tracks.into_iter().flatten().collect(),
        warnings,
    };
    let json = serde_json::to_string_pretty(&report).expect("plain data serialises") + "\n";
    artifact::write_bytes(&out.join("drift.json"), json.as_bytes())?;
    artifact::write_bytes(&out.join("drift.md"), report.page().to_markdown().as_bytes())?;
    Ok(report)
}

/// Whether two values have the same labels, with NaN equal to NaN.
fn equal(a: &crate::theory::Value, b: &crate::theory::Value) -> bool {
    use crate::theory::Labels::Scores;
    a.name == b.name
        && match (&a.labels, &b.labels) {
            (Scores(x), Scores(y)) => x.iter().zip(y).all(|(x, y)| x == y || (x.is_nan() && y.is_nan())),
            (x, y) => x == y,
        }
}

fn checkpoint(read: &RunRows, layer: Option<usize>, reference: Option<&str>) -> Result<Checkpoint> {
    let report = read_report(&read.folder)?;
    let reported = || report.estimates.iter().find_map(|e| e.layer);
    let Some(layer) = layer.map(Layer).or_else(reported) else {
        return Err(Diagnostic::new(Kind::Missing, "the report names no layer")
            .at(Place::file(&read.folder))
            .remedy("give one with --layer")
            .into());
    };
    let posed = pose(&read.observations, reference, &BTreeSet::new())?;
    Ok(Checkpoint {
        run: read.folder.display().to_string(),
        model: read.model(),
        layer,
        h: posed.source.resid(layer)?,
        problem: posed.problem,
        report,
        directions: read_directions(&read.folder).ok(),
    })
}

fn stop(c: &Checkpoint) -> Stop {
    let shown = [Quantity::Rho, Quantity::Alignment, Quantity::GenerationAlignment];
    let kept = |e: &&Estimate| shown.contains(&e.quantity) && e.control == Control::None;
    Stop {
        run: c.run.clone(),
        model: c.model.clone(),
        layer: c.layer,
        estimates: c.report.estimates.iter().filter(kept).cloned().collect(),
    }
}

/// Tracks of directions that share the same rows.
fn series(
    checkpoints: &[Checkpoint],
    targets: &[(String, Target, Rows)],
    group: &[usize],
    length: bool,
) -> Result<Vec<Track>> {
    let first = &checkpoints[0].problem;
    // Use the first run's prompts and blocks for all, so that contrasts have the same rows in the same order.
    let contrasts = targets[group[0]].2.contrasts(first);
    let empty =
        |name: &String| Track { direction: name.clone(), consecutive: Vec::new(), from_first: Vec::new() };
    if contrasts.blocks().len() < 4 {
        return Ok(group.iter().map(|&i| empty(&targets[i].0)).collect());
    }
    let mut fitted: Vec<(Bench, Vec<Fitted>)> = Vec::new();
    for c in checkpoints {
        let control = match &first.tokens {
            Some(tokens) if length => {
                Some(LengthControl::new(&contrasts, tokens).unwrap_or_else(LengthControl::nothing))
            }
            _ => None,
        };
        let bench = Bench::new(contrasts.clone(), c.h.view(), control)?;
        let labels: Vec<Vec<f64>> = group.iter().map(|&i| label(&bench, c, first, &targets[i].1)).collect();
        let fits = fit(&bench, &labels)?;
        fitted.push((bench, fits));
    }
    let step = |slot: usize, from: usize, to: usize| -> Step {
        let at = |i: usize| (&fitted[i].0, &fitted[i].1[slot]);
        let mut estimate = function_cos(at(from), at(to));
        estimate.control = if length && first.tokens.is_some() { Control::Length } else { Control::None };
        estimate.layer = Some(checkpoints[to].layer);
        let change = Change::of(&estimate);
        let raw = raw(&checkpoints[from], &checkpoints[to], &targets[group[slot]].0);
        Step { from, to, estimate, raw, change }
    };
    let tracks = group.iter().enumerate().map(|(slot, &i)| Track {
        direction: targets[i].0.clone(),
        consecutive: (1..checkpoints.len()).map(|to| step(slot, to - 1, to)).collect(),
        from_first: (1..checkpoints.len()).map(|to| step(slot, 0, to)).collect(),
    });
    Ok(tracks.collect())
}

fn label(bench: &Bench, c: &Checkpoint, first: &Problem, target: &Target) -> Vec<f64> {
    match target {
        Target::Value(v) => rows::label(bench, &first.values[*v]),
        Target::Constitution(name) => {
            let own = c.problem.judged.iter().find(|j| j.label() == *name);
            bench.column(&own.map_or_else(Vec::new, |j| j.reward.clone()))
        }
        Target::Logprob => bench.logprob(c.problem.logprob.as_deref().unwrap_or_default()),
    }
}

/// Euclidean cosine of two exported directions, each at its run's layer; `None` where one is missing, is 0 or has
/// another width.
fn raw(a: &Checkpoint, b: &Checkpoint, name: &str) -> Option<f64> {
    let vector = |c: &Checkpoint| -> Option<Vec<f64>> {
        let directions = c.directions.as_ref()?;
        let (_, v) = directions.rows(directions.arrays.get(name)?).find(|(l, _)| *l == c.layer)?;
        Some(v.iter().map(|&v| f64::from(v)).collect())
    };
    let (x, y) = (vector(a)?, vector(b)?);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let norm = (dot(&x, &x) * dot(&y, &y)).sqrt();
    (x.len() == y.len() && norm > 0.0).then(|| dot(&x, &y) / norm)
}
