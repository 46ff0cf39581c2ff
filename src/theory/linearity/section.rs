//! Section: whether S, log P and the judge's rewards are linear in the residual stream, as far as the test can see.

use serde_json::Value as Json;

use crate::document::Evidence;
use crate::document::plot::{Chart, Figure, Series};
use crate::document::table::{Cell, Table};
use crate::document::text::shortened;
use crate::theory::base::estimate::{Control, Estimate, Quantity};
use crate::theory::linearity::TABLE;
use crate::theory::reading::index::Index;
use crate::theory::reading::outcome::Z95;
use crate::theory::reading::quote::{NOTHING, counted, detail, percent, quotable, size};
use crate::theory::reading::together::interval_for_all;

/// Nonlinear gain above which curvature is reported as substantial.
const TRACE: f64 = 0.02;
/// If all intervals end below this nonlinear gain, curvature is reported as negligible.
const LITTLE: f64 = 0.05;
/// Number of constitutions in the residual plots.
const JUDGED: usize = 3;

/// Assumptions 1 to 3.
pub(crate) fn section(index: &Index<'_>) -> Option<Evidence> {
    let gains: Vec<&Estimate> = index
        .estimates
        .iter()
        .filter(|e| e.quantity == Quantity::NonlinearGain && e.control == Control::None && e.judge.is_none())
        .collect();
    if gains.is_empty() {
        return None;
    }
    let mut table = Table::titled(&["label", ">linear, ρ² [95 %]", ">further by curvature [95 %]"]);
    let placebo = |e: &Estimate| {
        index.constitutions.iter().any(|c| c.is_placebo() && Some(c.name) == e.constitution.as_deref())
    };
    let known: Vec<&Estimate> = gains.iter().copied().filter(|e| quotable(e) && !placebo(e)).collect();
    let (mut bent, mut most) = (Vec::new(), f64::NEG_INFINITY);
    for e in &gains {
        let value = index.values.iter().copied().find(|v| Some(*v) == e.value.as_deref());
        let constitution = index.constitutions.iter().find(|c| Some(c.name) == e.constitution.as_deref());
        let (name, linear) = match (value, constitution) {
            (Some(v), _) => (format!("value “{v}”"), index.get(Quantity::Rho2, Some(v), None, Control::None)),
            (_, Some(c)) => {
                let of = index.get(Quantity::JudgeRho2, None, Some(c.name), Control::None);
                (format!("rewards under “{}”", c.name), of)
            }
            _ => ("log P".to_owned(), index.get(Quantity::LogprobRho2, None, None, Control::None)),
        };
        if let Some((lo, hi)) = interval_for_all(e, known.len()).filter(|_| !placebo(e)) {
            most = most.max(hi);
            if lo > 0.0 && e.estimate.is_some_and(|g| g > TRACE) {
                bent.push(name.clone());
            }
        }
        table.rows.push(vec![
            Cell::plain(name),
            Cell::number(linear.map_or_else(|| NOTHING.to_owned(), detail)),
            Cell::number(detail(e)),
        ]);
    }
    let labels = counted(known.len() as u64, "label");
    let verdict = match (known.len(), bent.as_slice()) {
        (0, _) => "Curvature could not be looked for.".to_owned(),
        (_, []) if most <= LITTLE => format!(
            "Curved readings add next to nothing to the linear ones, for any of {labels}: at most {}.",
            size(most.max(0.0))
        ),
        (_, []) => {
            let most = match most.is_finite() {
                true => format!(", which may be up to {}", percent(most)),
                false => String::new(),
            };
            format!("No curved reading is seen to tell more than the linear one, of any of {labels}{most}.")
        }
        (_, some) => format!(
            "A curved reading tells clearly more than the linear one of {} of {labels}: {}.",
            some.len(),
            some.join(", ")
        ),
    };
    Some(Evidence {
        verdict,
        notes: vec![format!(
            "Further share of the variance that squares and products of the five leading principal scores, and square and cube of the \
             linear reading, explain on left-out blocks. It sees curvature along these directions only. Named are labels whose interval, drawn out so \
             that all hold together (Bonferroni), lies above 0 and whose gain exceeds {TRACE}; next to nothing: all such intervals \
             end below {LITTLE}. Rewards under placebo texts are shown and not counted."
        )],
        tables: vec![("Linear reading, and what curvature adds".into(), table)],
        figures: residuals(index),
    })
}

/// Plots of residuals by reading: for each value, log P, and the first constitutions.
fn residuals(index: &Index<'_>) -> Vec<Figure> {
    let rows = index.rows(TABLE).unwrap_or_default();
    let (own, judged): (Vec<&Json>, Vec<&Json>) = rows.iter().partition(|r| r["constitution"].is_null());
    let draw = |row: &Json| -> Option<Figure> {
        let name = match (row["value"].as_str(), row["constitution"].as_str()) {
            (Some(value), _) => format!("value “{}”", shortened(value, 40)),
            (_, Some(constitution)) => format!("rewards under “{}”", shortened(constitution, 40)),
            _ => "log P".to_owned(),
        };
        let points = row["bins"].as_array()?.iter().filter_map(|bin| {
            let (x, y) = (bin["reading"].as_f64()?, bin["residual"].as_f64()?);
            Some((x, y, bin["se"].as_f64().map(|se| (y - Z95 * se, y + Z95 * se))))
        });
        let label = format!("What the linear reading leaves of {name}, against the reading");
        let chart = Chart {
            label: &label,
            axes: ("⟨h, v⟩, left out, within prompts", "residual"),
            series: vec![Series { name: String::new(), class: "up", points: points.collect() }],
            ..Chart::default()
        };
        Some(Figure {
            title: format!("Residuals: {name}"),
            caption: "Means of ten bins of equally many responses, with 95 % intervals; a linear label leaves a straight line that falls \
                      a little by the reading's own error, curvature a bend."
                .into(),
            keys: vec![],
            svg: chart.draw()?,
        })
    };
    own.into_iter().chain(judged.into_iter().take(JUDGED)).filter_map(draw).collect()
}
