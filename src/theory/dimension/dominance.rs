//! Whether a single coordinate of the residual stream, or a single prompt, dominates a figure.
//!
//! Trained models have a few coordinates whose values exceed the others' by orders of magnitude, most strongly on a
//! few texts. The trace of a covariance, the length of a difference of means and the geometry of random directions
//! may then describe a single coordinate. Each figure is therefore reported with its largest share and, where that
//! share exceeds a threshold, also recomputed without it.

use crate::theory::dimension::effective;
use faer::Mat;

use crate::error::{Kind, Result};
use crate::probe::Spectrum;
use crate::theory::base::analysis::Analysis;
use crate::theory::base::bench::Bench;
use crate::theory::base::dominant::{Dominance, Largest, What, without_column, words};
use crate::theory::base::effective::{Dimension, dimension_of};
use crate::theory::base::estimate::{Estimate, Flag, Quantity};
use crate::theory::base::rows;
use crate::theory::base::stage::Stage;
use crate::theory::geometry;

/// Name of the table in the report.
pub const TABLE: &str = "dominance";

/// Rows and their factorisation, from which an effective dimension is computed.
pub(crate) struct Cloud<'a> {
    /// The rows `[N, d]`, ordered by block.
    pub(crate) x: &'a Mat<f64>,
    /// The rows of each block.
    pub(crate) blocks: &'a [std::ops::Range<usize>],
    /// The number of each block in the data.
    pub(crate) names: &'a [i32],
}

/// The largest coordinate and the largest prompt in an effective dimension.
///
/// # Errors
/// If a factorisation does not converge.
pub(crate) fn of_dimension(
    quantity: Quantity,
    cloud: &Cloud<'_>,
    found: Option<&Dimension>,
) -> Result<Vec<Dominance>> {
    let mut out = Vec::new();
    let entry = |what, index, share, dominates| Dominance {
        quantity,
        value: None,
        what,
        index,
        share,
        dominates,
        estimate: found.map(|d| d.d_eff),
        without: None,
        without_interval: None,
    };
    if let Some(largest) = Largest::column(cloud.x) {
        let dominates = largest.dominates();
        let mut coordinate = entry(What::Coordinate, largest.index, largest.share, dominates);
        if dominates {
            let rest = match Spectrum::new(&without_column(cloud.x, largest.index)) {
                Ok(spectrum) => dimension_of(&spectrum, cloud.blocks),
                // No other coordinate varies.
                Err(e) if e.kind() == Some(Kind::NotEstimable) => None,
                Err(e) => return Err(e),
            };
            coordinate.without = rest.map(|d| d.d_eff);
            coordinate.without_interval = rest.map(|d| d.interval);
        }
        out.push(coordinate);
    }
    if let Some((block, share, without)) = found.map(|d| d.largest_block) {
        let largest = Largest { index: block, share, of: cloud.blocks.len() };
        let name = usize::try_from(cloud.names[block]).unwrap_or(block);
        let mut prompt = entry(What::Prompt, name, share, largest.prompt_dominates());
        prompt.without = prompt.dominates.then_some(without);
        out.push(prompt);
    }
    Ok(out)
}

/// Adds warnings and flags for dominating entries to an estimate of an effective dimension.
pub(crate) fn mark(mut estimate: Estimate, found: &[Dominance]) -> Estimate {
    let quantity = estimate.quantity;
    for d in found.iter().filter(|d| d.dominates && d.quantity == quantity) {
        estimate = estimate.flag(match d.what {
            What::Coordinate => Flag::DominantCoordinate,
            What::Prompt => Flag::DominantPrompt,
        });
        estimate = estimate.warn(words(d));
    }
    estimate
}

/// `d_eff_uncentred`, `d_eff_between`, and dominance in the null of each value.
pub(crate) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    let mut kept: Vec<usize> = (0..problem.rows()).filter(|&r| (stage.keep)(r)).collect();
    // Stable sort: rows of a block keep their order.
    kept.sort_by_key(|&r| (problem.block[r], problem.prompt[r]));
    let rows = Mat::from_fn(kept.len(), stage.h.ncols(), |i, j| f64::from(stage.h[[kept[i], j]]));
    cloud(stage, Quantity::DEffUncentred, &rows, kept.iter().map(|&r| problem.block[r]), out)?;
    if problem.grouped {
        let (means, names) = prompt_means(&rows, &kept, stage);
        cloud(stage, Quantity::DEffBetween, &means, names.into_iter(), out)?;
    } else {
        let why = "which rows answer the same prompt is not known";
        stage.push(out, None, None, Estimate::missing(Quantity::DEffBetween, why));
    }
    for &v in values {
        let value = &problem.values[v];
        let wanted = rows::of_value(problem, value, stage.keep);
        let Some(bench) = stage.bench(wanted)? else { continue };
        let s = bench.probe(vec![rows::label(&bench, value)]).remove(0);
        if let Some(mut found) = geometry::dominance(&bench, &s, stage.options.seed) {
            found.value = Some(value.name.clone());
            out.dominance.push(found);
        }
    }
    Ok(())
}

/// Prompt means of the responses minus the mean of all prompts, and the block of each prompt.
fn prompt_means(rows: &Mat<f64>, kept: &[usize], stage: &Stage<'_>) -> (Mat<f64>, Vec<i32>) {
    let problem = stage.problem;
    let mut groups: Vec<(i32, std::ops::Range<usize>)> = Vec::new();
    for (i, &r) in kept.iter().enumerate() {
        match groups.last_mut() {
            Some((_, range)) if problem.prompt[kept[range.start]] == problem.prompt[r] => range.end = i + 1,
            _ => groups.push((problem.block[r], i..i + 1)),
        }
    }
    let mut means = Mat::zeros(groups.len(), rows.ncols());
    for j in 0..rows.ncols() {
        let mut sum = 0.0;
        for (g, (_, range)) in groups.iter().enumerate() {
            let mean = range.clone().map(|i| rows[(i, j)]).sum::<f64>() / range.len() as f64;
            means[(g, j)] = mean;
            sum += mean;
        }
        let all = sum / groups.len() as f64;
        means.col_mut(j).iter_mut().for_each(|v| *v -= all);
    }
    (means, groups.into_iter().map(|(block, _)| block).collect())
}

/// Effective dimension of rows ordered by block, with its dominating entries.
fn cloud(
    stage: &Stage<'_>,
    quantity: Quantity,
    x: &Mat<f64>,
    block: impl Iterator<Item = i32>,
    out: &mut Analysis,
) -> Result<()> {
    let (mut blocks, mut names): (Vec<std::ops::Range<usize>>, Vec<i32>) = (Vec::new(), Vec::new());
    for (i, name) in block.enumerate() {
        if names.last() != Some(&name) {
            names.push(name);
            blocks.push(i..i);
        }
        if let Some(last) = blocks.last_mut() {
            last.end = i + 1;
        }
    }
    let found = match Spectrum::new(x) {
        Ok(spectrum) => dimension_of(&spectrum, &blocks),
        Err(e) if e.kind() == Some(Kind::NotEstimable) => None,
        Err(e) => return Err(e),
    };
    let cloud = Cloud { x, blocks: &blocks, names: &names };
    let dominant = of_dimension(quantity, &cloud, found.as_ref())?;
    let mut estimate = match &found {
        Some(found) => mark(effective::estimate(quantity, found), &dominant),
        None => Estimate::missing(quantity, "too few blocks, or nothing varies"),
    };
    (estimate.n, estimate.blocks) = (Some(x.nrows()), Some(blocks.len()));
    stage.push(out, None, None, estimate);
    out.dominance.extend(dominant);
    Ok(())
}

/// Dominance in the within-prompt covariance of a bench.
///
/// # Errors
/// If a factorisation does not converge.
pub(crate) fn within(bench: &Bench) -> Result<Vec<Dominance>> {
    let found = effective::dimension(bench);
    let cloud = Cloud { x: &bench.x, blocks: bench.contrasts.blocks(), names: bench.contrasts.block_names() };
    of_dimension(Quantity::DEff, &cloud, found.as_ref())
}
