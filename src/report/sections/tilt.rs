//! The tilted policy: its exact gain beside the first-order prediction, and its divergence.

use super::Section;
use crate::hypothesis::{Control, Estimate, Quantity};
use crate::report::Report;
use crate::report::figures::Figure;
use crate::report::format::{counted, detail, number, quotable};
use crate::report::grid::{Cell, grid};
use crate::report::plot::{Chart, Series};
use crate::report::rows::Index;
use crate::report::text::shortened;

/// Constitutions of a plot: each has two curves.
const SHOWN: usize = 3;
/// Departure from the prediction up to which first order is called good.
const CLOSE: f64 = 0.1;

/// Proposition 2, Lemma 12, Theorem 13.
pub(super) fn section(report: &Report, index: &Index<'_>) -> Option<Section> {
    let curve = |quantity: Quantity, value: &str, constitution: &str| -> Vec<&Estimate> {
        let own = report.estimates.iter().filter(|e| {
            e.quantity == quantity
                && e.control == Control::None
                && e.judge.is_none()
                && e.value.as_deref() == Some(value)
                && e.constitution.as_deref() == Some(constitution)
                && quotable(e)
        });
        own.collect()
    };
    let mut table =
        grid(&["value", "constitution", ">λ·sd(r_c)", ">predicted [95 %]", ">exact [95 %]", ">KL, nats"]);
    let (mut reach, mut figures) = (Vec::new(), Vec::new());
    for &value in &index.values {
        let mut clear: Vec<(f64, &str, Vec<&Estimate>, Vec<&Estimate>)> = Vec::new();
        for c in &index.constitutions {
            let (exact, told) =
                (curve(Quantity::TiltGain, value, c.name), curve(Quantity::TiltPredicted, value, c.name));
            let divergence = curve(Quantity::TiltKl, value, c.name);
            for ((e, t), d) in exact.iter().zip(&told).zip(&divergence) {
                table.rows.push(vec![
                    Cell::name(value),
                    Cell::name(c.name),
                    Cell::number(e.lambda_sd.map_or_else(String::new, |l| l.to_string())),
                    Cell::number(detail(t)),
                    Cell::number(detail(e)),
                    Cell::number(number(d.estimate.unwrap_or(f64::NAN), d.se)),
                ]);
            }
            let z = exact.first().and_then(|e| e.z).map_or(0.0, f64::abs);
            if !c.is_placebo() && z > 1.96 && exact.len() == told.len() {
                let far = exact.iter().zip(&told).take_while(|(e, t)| {
                    let (e, t) = (e.estimate.unwrap_or(0.0), t.estimate.unwrap_or(0.0));
                    (e - t).abs() <= CLOSE * t.abs()
                });
                reach.push(far.last().and_then(|(e, _)| e.lambda_sd).unwrap_or(0.0));
                clear.push((z, c.name, exact, told));
            }
        }
        clear.sort_by(|a, b| b.0.total_cmp(&a.0));
        clear.truncate(SHOWN);
        figures.extend(figure(value, &clear));
    }
    if table.rows.is_empty() {
        return None;
    }
    let mut weighted =
        grid(&["value", "constitution", ">candidates as given [95 %]", ">weighted to the policy [95 %]"]);
    for &value in &index.values {
        for c in &index.constitutions {
            let of = |quantity| index.cell(quantity, value, c.name, Control::None);
            if let Some(e) = of(Quantity::PolicySlope) {
                let given = of(Quantity::TotalSlope).map_or_else(String::new, detail);
                weighted.rows.push(vec![
                    Cell::name(value),
                    Cell::name(c.name),
                    Cell::number(given),
                    Cell::number(detail(e)),
                ]);
            }
        }
    }
    let base = if weighted.rows.is_empty() {
        "Nothing says what policy the candidates were drawn from (no `logq`): slopes and gains are those of the candidates given."
    } else {
        "Theorem 3’s covariance is under the base policy: the second slope weighs the candidates by P/q."
    };
    let verdict = if reach.is_empty() {
        "No constitution tilts the candidates clearly enough to compare prediction and gain.".to_owned()
    } else {
        let least = reach.iter().copied().fold(f64::INFINITY, f64::min);
        let most = reach.iter().copied().fold(0.0, f64::max);
        let range = if least == most { least.to_string() } else { format!("{least} to {most}") };
        format!(
            "First order is within a tenth of the exact gain up to λ·sd(r_c) = {range}, in {} where the gain is clear.",
            counted(reach.len() as u64, "case")
        )
    };
    Some(Section {
        title: "How far first order reaches",
        source: "Theorem 3, Proposition 2, Lemma 12, Theorem 13",
        verdict,
        notes: vec![
            "The policy tilted by exp(λ r_c) over the candidates at hand, each of equal weight: exact gain, the prediction \
             λ·Cov(S, r_c), and the divergence from the base. K candidates reach at most the best of K, so that the exact gain \
             bends; that of a policy with more to choose from bends later. The grid is 0.1, 0.25, 0.5, 1, 2."
                .into(),
            base.into(),
        ],
        grids: [("Predicted and exact gain", table), ("Total slope under the policy", weighted)]
            .into_iter()
            .filter(|(_, grid)| !grid.rows.is_empty())
            .map(|(title, grid)| (title.to_owned(), grid))
            .collect(),
        figures,
    })
}

fn figure(value: &str, curves: &[(f64, &str, Vec<&Estimate>, Vec<&Estimate>)]) -> Option<Figure> {
    let points = |of: &[&Estimate], band: bool| {
        let mut points: Vec<crate::report::plot::Point> = of
            .iter()
            .filter_map(|e| Some((e.lambda_sd?, e.estimate?, if band { e.lo.zip(e.hi) } else { None })))
            .collect();
        points.insert(0, (0.0, 0.0, None));
        points
    };
    let series: Vec<Series> = curves
        .iter()
        .flat_map(|(_, name, exact, told)| {
            let up = exact.first().and_then(|e| e.estimate).unwrap_or(0.0) > 0.0;
            [
                Series {
                    name: (*name).to_owned(),
                    class: if up { "up" } else { "down" },
                    points: points(exact, true),
                },
                Series { name: "predicted".into(), class: "none", points: points(told, false) },
            ]
        })
        .collect();
    let label = format!("Exact gain in {value} of the tilted policy and its first-order prediction");
    let chart =
        Chart {
            label: &label, axes: ("λ·sd(r_c)", "gain, units of the value"), series, ..Chart::default()
        };
    Some(Figure {
        title: format!("Tilt and “{}”", shortened(value, 60)),
        caption: "Exact gain (coloured) and first-order prediction (grey), of the constitutions with the clearest gains.".into(),
        keys: vec![],
        svg: chart.draw()?,
    })
}
