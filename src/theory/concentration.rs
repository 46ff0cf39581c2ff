//! Conjecture 9: how much of a value lies in the leading principal components, compared with random directions.
//!
//! In the variance metric of Appendix D the share of v* in the leading k components is ρ²_k / ρ² = v*'P_kΣ_w v* /
//! v*'Σ_w v*. A high share alone means little: h itself lies mostly in its leading components, and a reading of h
//! along a direction u ~ N(0, I) has, in expectation, about the share of variance that they carry. The same estimator
//! is therefore applied to the noise-free readings ⟨h, u⟩ of random directions on the same contrasts.

use serde::Serialize;
use serde_json::Value as Json;

use crate::document::Evidence;
use crate::document::plot::{Chart, Figure, Series};
use crate::document::table::{Cell, Table};
use crate::error::Result;
use crate::probe::Probed;
use crate::probe::influence::theta;
use crate::probe::twicing::components;
use crate::theory::base::analysis::Analysis;
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::estimate::{Control, Estimate, Quantity};
use crate::theory::base::layers::LAYER_DIMENSIONS;
use crate::theory::base::random::{DRAWS, random_readings};
use crate::theory::base::rows::{self, Rows};
use crate::theory::base::stage::Stage;
use crate::theory::dimension::effective::dimension;
use crate::theory::encoding::rho2;
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::{NOTHING, headline, number, percent, quotable};
use crate::theory::statement::{Measure, OfValue, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "concentration",
    title: "Concentration",
    source: "Definition 8, Conjecture 9",
    quantities: &[Quantity::ValueConcentration, Quantity::ValueShare, Quantity::ValueShareNull],
    tables: &[TABLE],
    rests: Rests::Otherwise,
    measures: &[Measure::Value { gives: &[], of: value }, Measure::Uncontrolled(measure)],
    section: Some(section),
};

/// ρ²_k along the curve.
fn value(v: &OfValue<'_>) -> Vec<Estimate> {
    let d_eff = dimension(v.bench).map(|d| d.d_eff);
    curve(v.bench, v.s, &ks(v.bench, d_eff))
}

/// Name of the table in the report.
pub const TABLE: &str = "concentration_null";

/// Largest number of components for the null, as a multiple of d_eff.
const FAR: usize = 4;
/// XORed into the seed of the analysis: the null is the same for every value and run with the same width and seed.
const SEED: u64 = 0x636f_6e63_656e_7472;

/// Numbers of components at which concentration is reported: powers of two, d_eff, and the one of the cross-check.
pub fn ks(bench: &Bench, d_eff: Option<f64>) -> Vec<usize> {
    let most = crate::theory::base::angle::cross_check_components(bench);
    let mut ks: Vec<usize> =
        std::iter::successors(Some(1usize), |k| Some(2 * k)).take_while(|k| *k < most).collect();
    ks.push(most);
    ks.extend(d_eff.map(|d| (d.round() as usize).clamp(1, most)));
    ks.sort_unstable();
    ks.dedup();
    ks
}

/// `value_concentration`: ρ² from the leading k principal components alone, in the variance metric of Appendix D, at
/// each k. Without an interval: the components come from the same rows, and block influences of the labels do not
/// contain their error. An interval from the labels alone covers the ρ²_k of the population's components in as little
/// as .2 of the cases.
pub fn curve(bench: &Bench, s: &Label, ks: &[usize]) -> Vec<Estimate> {
    let method = "leave-block-out least squares on the leading k principal components";
    ks.iter()
        .map(|&k| {
            let yhat = components(&bench.spectrum, bench.contrasts.blocks(), k, &[&s.y]).remove(0);
            let label = Label { y: s.y.clone(), yhat };
            let mut estimate = match rho2(bench, &label) {
                None => {
                    Estimate::new(Quantity::ValueConcentration, method).warn("S does not vary within prompts")
                }
                Some(rho2) => Estimate::bare(Quantity::ValueConcentration, method, rho2.value),
            };
            estimate.k = Some(k);
            estimate
        })
        .collect()
}

/// Share of random directions in the leading k components.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Null {
    /// The value whose rows were used.
    pub value: String,
    /// Number of components.
    pub k: usize,
    /// Mean share over the directions.
    pub mean: f64,
    /// 2.5 % point of the share.
    pub lo: f64,
    /// 97.5 % point of the share.
    pub hi: f64,
}

/// Sorted shares of random directions at each number of components.
type Curve = Vec<(usize, Vec<f64>)>;

/// Noise-free readings X u of random directions, `[200][N]`.
fn readings(bench: &Bench, seed: u64) -> Vec<Vec<f64>> {
    let read = random_readings(&bench.x, SEED ^ seed, DRAWS);
    (0..DRAWS).map(|j| read.col(j).iter().copied().collect()).collect()
}

/// Shares of the readings in the leading k components, ascending.
fn shares(bench: &Bench, readings: &[Vec<f64>], k: usize) -> Vec<f64> {
    let labels: Vec<&[f64]> = readings.iter().map(Vec::as_slice).collect();
    let told = components(&bench.spectrum, bench.contrasts.blocks(), k, &labels);
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut out: Vec<f64> =
        readings.iter().zip(&told).map(|(y, yhat)| product(y, yhat) / product(y, y)).collect();
    out.sort_by(f64::total_cmp);
    out
}

/// (mean, 2.5 % point, 97.5 % point) of sorted shares.
fn summary(sorted: &[f64]) -> (f64, f64, f64) {
    let at = |q: f64| sorted[((q * (sorted.len() - 1) as f64).round()) as usize];
    (sorted.iter().sum::<f64>() / sorted.len() as f64, at(0.025), at(0.975))
}

/// θ̂_SS from the leading k components over θ̂_SS from all; `None` where S is not encoded. Without an interval:
/// influence functions contain the error of the labels but not that of the components, and intervals from them
/// covered the truth in .74 to .93 of the cases.
fn share(bench: &Bench, y: &[f64], k: usize) -> Option<f64> {
    let blocks = bench.contrasts.blocks();
    let whole = bench.probe_alone(vec![y.to_vec()]).remove(0);
    let all = theta(whole.probed(), whole.probed(), blocks);
    if all.value.is_nan() || all.value <= crate::theory::base::angle::GATE * all.se(blocks) {
        return None;
    }
    let leading = components(&bench.spectrum, blocks, k, &[y]).remove(0);
    let leading = Probed { y, yhat: &leading };
    let leading = theta(leading, leading, blocks);
    Some(leading.over(&all).value)
}

/// `value_share` and `value_share_null` of each value at k = d_eff, and the null along the curve.
pub(crate) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    // Values on the same rows share the null.
    let mut known: Vec<(Rows, Curve)> = Vec::new();
    let mut nulls: Vec<Null> = Vec::new();
    for &v in values {
        let value = &problem.values[v];
        let wanted = rows::of_value(problem, value, stage.keep);
        let Some(bench) = stage.bench(wanted.clone())? else { continue };
        let name = value.name.as_str();
        let both = [Quantity::ValueShare, Quantity::ValueShareNull];
        let missing = |out: &mut Analysis, why: &str| {
            for quantity in both {
                stage.push(out, Some(&bench), Some(name), Estimate::missing(quantity, why));
            }
        };
        if !bench.spectrum.resolves() {
            missing(
                out,
                "fewer than 1.5 contrasts a dimension: the whole, of which this is a share, cannot be estimated",
            );
            continue;
        }
        let Some(found) = dimension(&bench) else {
            missing(out, "d_eff could not be computed");
            continue;
        };
        let ks = ks(&bench, Some(found.d_eff));
        let k = (found.d_eff.round() as usize).clamp(1, ks.last().copied().unwrap_or(1));
        if !known.iter().any(|(rows, _)| *rows == wanted) {
            let readings = readings(&bench, stage.options.seed);
            // Far beyond d_eff a random direction lies almost entirely in the leading components.
            let near = ks.iter().filter(|&&at| at <= FAR * k);
            let curve = near.map(|&k| (k, shares(&bench, &readings, k))).collect();
            known.push((wanted.clone(), curve));
        }
        let Some((_, curve)) = known.iter().find(|(rows, _)| *rows == wanted) else { continue };
        for (k, sorted) in curve {
            let (mean, lo, hi) = summary(sorted);
            nulls.push(Null { value: name.to_owned(), k: *k, mean, lo, hi });
        }
        let label = rows::label(&bench, value);
        let method =
            "leave-block-out least squares on the leading components of these rows over twicing ridge on all";
        let mut estimate = match share(&bench, &label, k) {
            None => Estimate::missing(Quantity::ValueShare, "not identifiable: the value is not encoded"),
            Some(share) => Estimate::bare(Quantity::ValueShare, method, share),
        };
        estimate.k = Some(k);
        stage.push(out, Some(&bench), Some(name), estimate);
        if let Some((_, sorted)) = curve.iter().find(|(at, _)| *at == k) {
            let (mean, lo, hi) = summary(sorted);
            let n = sorted.len() as f64;
            let sd = (sorted.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
            let method =
                "200 Gaussian directions in raw coordinates, fixed seed; ends: 2.5 and 97.5 % of them";
            let mut null = Estimate::figure(Quantity::ValueShareNull, method, mean, sd, (lo, hi));
            null.z = None;
            null.k = Some(k);
            stage.push(out, Some(&bench), Some(name), null);
        }
    }
    if let (false, Ok(table)) = (nulls.is_empty(), serde_json::to_value(nulls)) {
        out.tables.insert(TABLE.to_owned(), table);
    }
    Ok(())
}

/// Definition 8, Conjecture 9.
fn section(index: &Index<'_>) -> Option<Evidence> {
    let find = |quantity: Quantity, value: &str| {
        index.estimates.iter().find(|e| {
            e.quantity == quantity && e.value.as_deref() == Some(value) && e.control == Control::None
        })
    };
    let mut table =
        Table::titled(&["value", ">k = d_eff", ">share of v*", ">random directions [2.5, 97.5 %]"]);
    let mut said = Vec::new();
    for &value in &index.values {
        let Some(share) = find(Quantity::ValueShare, value) else { continue };
        let null = find(Quantity::ValueShareNull, value).filter(|e| quotable(e));
        let range = null.and_then(|n| n.lo.zip(n.hi));
        said.push(match share.estimate.filter(|_| quotable(share)).zip(range) {
            Some((share, (lo, hi))) => {
                format!(
                    "{} of “{value}” ({} to {} of a random direction)",
                    percent(share),
                    percent(lo),
                    percent(hi)
                )
            }
            None => format!("of “{value}” what is not identifiable"),
        });
        table.rows.push(vec![
            Cell::name(value),
            Cell::number(share.k.map_or_else(|| NOTHING.to_owned(), |k| k.to_string())),
            Cell::number(headline(Some(share))),
            Cell::number(headline(null)),
        ]);
    }
    if table.rows.is_empty() {
        return None;
    }
    Some(Evidence {
                verdict: format!("The leading d_eff components carry {}; the shares have no interval.", said.join("; ")),
        notes: vec![
            "Share of v*'Σ_w v* in the leading k = d_eff principal components. The error of the components cannot be counted well \
             enough for an interval, so that this section describes and does not decide. Random directions, isotropic in the \
             residual stream's coordinates, have there about the share of the variance that these components carry: a share no \
             higher than theirs says that the residual stream is concentrated, not the value. The curve over k stands with each value."
                .into(),
        ],
        tables: vec![("Share of each value in the leading components".into(), table)],
        figures: layers(index).into_iter().collect(),
    })
}

fn layers(index: &Index<'_>) -> Option<Figure> {
    let rows = index.rows(LAYER_DIMENSIONS)?;
    let points: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let end = |i: usize| row["interval"].get(i).and_then(Json::as_f64);
            Some((row["layer"].as_f64()?, row["d_eff"].as_f64()?, end(0).zip(end(1))))
        })
        .collect();
    let last = points.last().map_or_else(String::new, |p| {
        format!(" At layer {} it is {}.", p.0, number(p.1, p.2.map(|(lo, hi)| (hi - lo) / 4.0)))
    });
    let chart = Chart {
        label: "Effective dimension by layer",
        axes: ("layer", "d_eff"),
        series: vec![Series { name: String::new(), class: "up", points }],
        ..Chart::default()
    };
    Some(Figure {
        title: "Effective dimension by layer".into(),
        caption: format!("Cross-block estimate on all rows, with 95 % intervals.{last}"),
        keys: vec![],
        svg: chart.draw()?,
    })
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::probe::Contrasts;

    #[test]
    fn random_directions_have_the_share_of_the_variance() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (d, rows) = (30, 1200);
        let variance = |j: usize| 1.0 / (j + 1) as f64;
        let h = Array2::from_shape_fn((rows, d), |(_, j)| {
            let z: f64 = StandardNormal.sample(&mut rng);
            (z * variance(j).sqrt()) as f32
        });
        let prompt: Vec<i32> = (0..rows as i32).map(|i| i / 4).collect();
        let bench =
            Bench::new(Contrasts::helmert(&prompt, &prompt, |_| true), h.view(), None).expect("a bench");
        let all: f64 = (0..d).map(variance).sum();
        let readings = readings(&bench, 0);
        for k in [1, 4, 12] {
            let told = (0..k).map(variance).sum::<f64>() / all;
            let (mean, lo, hi) = summary(&shares(&bench, &readings, k));
            // The mean of a ratio lies below the ratio of means, here by a few hundredths.
            assert!(
                (mean - told).abs() < 0.06 && lo < told && told < hi,
                "k = {k}: {mean} {lo} {hi}, {told}"
            );
        }
        // With all components the share is 1.
        assert!((summary(&shares(&bench, &readings, d)).0 - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_value_in_the_first_component_has_its_whole_share_there() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let (d, rows) = (20, 1600);
        let h = Array2::from_shape_fn((rows, d), |(_, j)| (normal() * if j < 2 { 3.0 } else { 1.0 }) as f32);
        let prompt: Vec<i32> = (0..rows as i32).map(|i| i / 4).collect();
        let top: Vec<f64> = (0..rows).map(|r| f64::from(h[(r, 0)]) + normal()).collect();
        let tail: Vec<f64> = (0..rows).map(|r| f64::from(h[(r, 15)]) + 0.5 * normal()).collect();
        let bench =
            Bench::new(Contrasts::helmert(&prompt, &prompt, |_| true), h.view(), None).expect("a bench");
        for (s, told) in [(top, 1.0), (tail, 0.0)] {
            let share = share(&bench, &bench.column(&s), 2).expect("an encoded value");
            assert!((share - told).abs() < 0.08, "{share}, planted {told}");
        }
    }
}
