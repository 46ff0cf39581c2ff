//! `vstar compare`: compares finished runs, with the angles between their constitutions' directions.

use super::terminal::out::result;
use crate::artifact;
use crate::error::Result;
use crate::fit::folder::{DIRECTIONS, PLOTS, read_directions, read_report, write_images};
use crate::fit::problem::pose;
use crate::observations::OBSERVATIONS;
use crate::observations::Observations;
use crate::report::Report;
use crate::report::compare::{
    Comparison, Run, compare as set_side_by_side, to_html, to_json, to_markdown, to_svgs, to_terminal,
};
use crate::theory::between::constitution_cosines;
use crate::theory::state::map::shift_map;
use crate::theory::{Control, Estimate, Options, Quantity};
use crate::units::Layer;
use clap::Args;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Folders of finished runs or fits
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<PathBuf>,
    /// Share of value-relevant text in each run's training data, in the order of the runs, to compare the gaps with 1
    /// − η
    #[arg(long, value_delimiter = ',', value_name = "ETA,…")]
    pub eta: Option<Vec<f64>>,
    /// Folder for compare.json, compare.md and compare.html [default: the run's for one, ./compare for more]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Also write every plot as an SVG file, into `plots` in that folder
    #[arg(long)]
    pub svg: bool,
}

/// Compares runs, writes the comparison and prints a summary.
pub fn compare(args: &CompareArgs) -> Result<()> {
    let out = match (&args.out, &args.runs[..]) {
        (Some(out), _) => out.clone(),
        (None, [run]) => run.clone(),
        (None, _) => PathBuf::from("compare"),
    };
    let comparison = compare_into(&args.runs, args.eta.clone(), &out, args.svg)?;
    // Its own writer made it.
    result(|| serde_json::from_str(&to_json(&comparison).unwrap_or_default()).unwrap_or_default());
    println!("{}", to_terminal(&comparison));
    println!("comparison in {}", out.join("compare.html").display());
    Ok(())
}

/// Compares the runs in these folders and writes `compare.json`, `compare.md` and `compare.html` into `out`; with
/// `images`, also every plot as an SVG file into `out/plots`. `eta` is the share of value-relevant text in each run's
/// training data, where known.
///
/// # Errors
/// `Missing` for a folder without a report; errors of the comparison and of the file system.
pub fn compare_into(
    folders: &[PathBuf],
    eta: Option<Vec<f64>>,
    out: &Path,
    images: bool,
) -> Result<Comparison> {
    let runs = folders.iter().map(|folder| read(folder)).collect::<Result<Vec<_>>>()?;
    let comparison = set_side_by_side(runs, eta)?;
    artifact::write_bytes(&out.join("compare.json"), to_json(&comparison)?.as_bytes())?;
    artifact::write_bytes(&out.join("compare.md"), to_markdown(&comparison).as_bytes())?;
    artifact::write_bytes(&out.join("compare.html"), to_html(&comparison).as_bytes())?;
    if images {
        write_images(&to_svgs(&comparison), &out.join(PLOTS))?;
    }
    Ok(comparison)
}

fn read(folder: &Path) -> Result<Run> {
    let report = read_report(folder)?;
    let mut run = Run { name: folder.display().to_string(), report, ..Run::default() };
    let layer = layer(&run.report);
    match (observations(folder, &run.report)?, layer) {
        (Ok(path), Some(layer)) => {
            let observations = Observations::open(&path)?;
            let reference = run.report.provenance.get("reference").and_then(|r| r.as_str());
            let placebos = run.report.constitutions.iter().filter(|c| c.is_placebo()).map(|c| c.name.clone());
            let placebos: BTreeSet<String> = placebos.collect();
            let posed = pose(&observations, reference, &placebos)?;
            run.cosines = constitution_cosines(&posed.problem, &posed.source, layer)?;
            run.shifts = shift_map(&posed.problem, &posed.source, &Options::default(), layer)?;
        }
        (Err(why), Some(layer)) if folder.join(DIRECTIONS).is_file() => {
            run.cosines = raw_cosines(folder, layer)?;
            run.warnings.push(format!(
                "{why}: angles between constitutions are raw cosines of the exported directions, which shared \
                 noise moves in either direction and which have no interval"
            ));
        }
        (Err(why), _) => {
            run.warnings.push(format!("{why}, and no directions: no angles between constitutions"))
        }
        (Ok(_), None) => {
            run.warnings.push("the report names no layer: no angles between constitutions".into())
        }
    }
    Ok(run)
}

/// The reported layer.
fn layer(report: &Report) -> Option<Layer> {
    report.estimates.iter().find_map(|e| e.layer)
}

/// The observations of a report, or the reason why they are not available.
fn observations(folder: &Path, report: &Report) -> Result<std::result::Result<PathBuf, String>> {
    let path = folder.join(OBSERVATIONS);
    let known = report.provenance.get("observations").and_then(|p| p.as_str()).map(PathBuf::from);
    let Some(path) = [Some(path), known].into_iter().flatten().find(|p| p.is_file()) else {
        return Ok(Err(format!("no {OBSERVATIONS}")));
    };
    let expected = report.provenance.get("observations_sha256").and_then(|h| h.as_str());
    if expected.is_some_and(|hash| artifact::sha256_file(&path).map_or(true, |own| own != hash)) {
        return Ok(Err(format!("{} is not what the report was made from", path.display())));
    }
    Ok(Ok(path))
}

/// Euclidean cosines of the exported v_c's at a layer.
fn raw_cosines(folder: &Path, layer: Layer) -> Result<Vec<Estimate>> {
    let directions = read_directions(folder)?;
    let at: Vec<(&str, &[f32])> = directions
        .arrays
        .iter()
        .filter_map(|(name, array)| Some((name.strip_prefix("v_c.")?, directions.at(array, layer)?)))
        .collect();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let mut out = Vec::new();
    for (i, (a, v)) in at.iter().enumerate() {
        for (b, u) in &at[i + 1..] {
            let cos = dot(v, u) / (dot(v, v) * dot(u, u)).sqrt();
            let method = "Euclidean cosine of exported directions, no interval";
            let mut e = Estimate::bare(Quantity::ConstitutionCos, method, cos).under(a);
            e.constitution2 = Some((*b).to_owned());
            (e.layer, e.control) = (Some(layer), Control::None);
            out.push(e);
        }
    }
    Ok(out)
}
