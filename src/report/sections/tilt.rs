//! The tilted policy: its exact gain beside the first-order prediction, and its divergence.

use crate::document::Statement;
use crate::document::plot::Figure;
use crate::document::plot::{Chart, Point, Series};
use crate::document::table::{Cell, Table};
use crate::document::text::shortened;
use crate::hypothesis::{Control, Estimate, Quantity};
use crate::report::Report;
use crate::report::format::{NOTHING, counted, detail, optional, quotable};
use crate::report::rows::Index;
use crate::report::together::z_for_all;

/// Constitutions of a plot: each has two curves.
const SHOWN: usize = 3;
/// Departure from the prediction up to which first order is called good.
const CLOSE: f64 = 0.1;

/// Proposition 2, Lemma 12, Theorem 13.
pub(super) fn section(report: &Report, index: &Index<'_>) -> Option<Statement> {
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
    let mut table = Table::titled(&[
        "value",
        "constitution",
        ">λ·sd(r_c)",
        ">predicted [95 %]",
        ">exact [95 %]",
        ">KL, nats",
    ]);
    let mut tried: Vec<Tilt<'_>> = Vec::new();
    for &value in &index.values {
        for c in &index.constitutions {
            let of = |quantity| curve(quantity, value, c.name);
            let (told, divergence) = (of(Quantity::TiltPredicted), of(Quantity::TiltKl));
            let at = |of: &[&'_ Estimate], e: &Estimate| {
                of.iter().copied().find(|o| o.lambda_sd.is_some() && o.lambda_sd == e.lambda_sd).cloned()
            };
            let mut steps = Vec::new();
            for e in of(Quantity::TiltGain) {
                let Some(t) = at(&told, e) else { continue };
                let d = at(&divergence, e);
                table.rows.push(vec![
                    Cell::name(value),
                    Cell::name(c.name),
                    Cell::number(e.lambda_sd.map_or_else(String::new, |l| l.to_string())),
                    Cell::number(detail(&t)),
                    Cell::number(detail(e)),
                    Cell::number(d.map_or_else(|| NOTHING.to_owned(), |d| optional(d.estimate, d.se))),
                ]);
                steps.push((e.clone(), t));
            }
            if !c.is_placebo() && !steps.is_empty() {
                tried.push(Tilt { value, name: c.name, steps });
            }
        }
    }
    let limit = z_for_all(tried.len());
    let mut clear: Vec<&Tilt<'_>> = tried.iter().filter(|t| t.z() > limit).collect();
    clear.sort_by(|a, b| b.z().total_cmp(&a.z()));
    let reach: Vec<f64> = clear.iter().map(|t| t.reach()).collect();
    let drawn = |value: &&str| {
        let of: Vec<&Tilt<'_>> = clear.iter().copied().filter(|t| t.value == *value).take(SHOWN).collect();
        figure(value, &of)
    };
    let figures = index.values.iter().filter_map(drawn).collect();
    if table.rows.is_empty() {
        return None;
    }
    let mut weighted = Table::titled(&[
        "value",
        "constitution",
        ">candidates as given [95 %]",
        ">weighted to the policy [95 %]",
    ]);
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
            "The exact gain is within a tenth of its first-order prediction up to λ·sd(r_c) = {range}, in {} where the gain is clear.",
            counted(reach.len() as u64, "case")
        )
    };
    Some(Statement {
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
        tables: [("Predicted and exact gain", table), ("Total slope under the policy", weighted)]
            .into_iter()
            .filter(|(_, grid)| !grid.rows.is_empty())
            .map(|(title, grid)| (title.to_owned(), grid))
            .collect(),
        figures,
    })
}

/// The tilted policy of a constitution outside the placebo arm: exact gain and prediction at rising λ.
struct Tilt<'a> {
    value: &'a str,
    name: &'a str,
    steps: Vec<(Estimate, Estimate)>,
}

impl Tilt<'_> {
    /// |z| of the exact gain at the smallest λ.
    fn z(&self) -> f64 {
        self.steps.first().and_then(|(e, _)| e.z).map_or(0.0, f64::abs)
    }

    /// The largest λ up to which every exact gain is close to its prediction; 0 if the first is not.
    fn reach(&self) -> f64 {
        let close = |(e, t): &&(Estimate, Estimate)| {
            let (e, t) = (e.estimate.unwrap_or(0.0), t.estimate.unwrap_or(0.0));
            (e - t).abs() <= CLOSE * t.abs()
        };
        self.steps.iter().take_while(close).last().and_then(|(e, _)| e.lambda_sd).unwrap_or(0.0)
    }
}

fn figure(value: &str, curves: &[&Tilt<'_>]) -> Option<Figure> {
    fn points<'e>(of: impl Iterator<Item = &'e Estimate>, band: bool) -> Vec<Point> {
        let mut points: Vec<Point> = of
            .filter_map(|e| Some((e.lambda_sd?, e.estimate?, if band { e.lo.zip(e.hi) } else { None })))
            .collect();
        points.insert(0, (0.0, 0.0, None));
        points
    }
    let series: Vec<Series> = curves
        .iter()
        .flat_map(|t| {
            let up = t.steps.first().and_then(|(e, _)| e.estimate).unwrap_or(0.0) > 0.0;
            [
                Series {
                    name: t.name.to_owned(),
                    class: if up { "up" } else { "down" },
                    points: points(t.steps.iter().map(|s| &s.0), true),
                },
                Series {
                    name: "predicted".into(),
                    class: "none",
                    points: points(t.steps.iter().map(|s| &s.1), false),
                },
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
