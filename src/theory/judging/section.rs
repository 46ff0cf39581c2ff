//! Section: calibration of the judge.

use serde_json::Value as Json;

use crate::document::Evidence;
use crate::document::plot::{Chart, Figure, Series};
use crate::document::table::{Cell, Table};
use crate::document::text::shortened;
use crate::theory::base::estimate::{Control, Estimate, Quantity};
use crate::theory::judging::calibration::TABLE;
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::{counted, detail, quotable};
use crate::theory::reading::together::interval_for_all;

/// Maximum number of curves in a plot.
const CURVES: usize = 3;

/// Agreement with the labels by confidence, one plot per value.
pub(crate) fn section(index: &Index<'_>) -> Option<Evidence> {
    let curves = index.rows(TABLE)?;
    let figures: Vec<Figure> = index.values.iter().filter_map(|v| figure(curves, index, v)).collect();
    let mut out = Table::titled(&["value", "constitution", ">surer than right by [95 %]"]);
    let of = index.estimates.iter().filter(|e| {
        e.quantity == Quantity::JudgeOverconfidence && e.control == Control::None && e.judge.is_none()
    });
    let all: Vec<&Estimate> = of.collect();
    let placebo = |e: &Estimate| {
        index.constitutions.iter().any(|c| c.is_placebo() && Some(c.name) == e.constitution.as_deref())
    };
    for e in all.iter().filter(|e| !placebo(e)) {
        out.rows.push(vec![
            Cell::name(e.value.as_deref().unwrap_or_default()),
            Cell::name(e.constitution.as_deref().unwrap_or_default()),
            Cell::number(detail(e)),
        ]);
    }
    let known: Vec<&Estimate> = all.into_iter().filter(|e| quotable(e) && !placebo(e)).collect();
    let sure =
        known.iter().filter(|e| interval_for_all(e, known.len()).is_some_and(|(lo, _)| lo > 0.0)).count();
    let verdict = if known.is_empty() {
        "Whether the judge is surer than it is right could not be measured.".to_owned()
    } else {
        format!(
            "In {sure} of {}, a case being a value and a constitution outside the placebo arm, the judge is clearly surer than it is \
             right about the value.",
            counted(known.len() as u64, "case")
        )
    };
    Some(Evidence {
                verdict,
        notes: vec![
            "Each judged pair whose labels differ: confidence σ(|ℓ|) of the debiased log-odds ℓ against the share that \
             agrees with the labels, in bins of equal numbers with 95 % intervals. A judge whose rewards are the value \
             lies on the dashed line; one that is asked for something else lies near ½, one that is asked for \
             the contrary below. Clearly surer: the interval of confidence less agreement lies above 0, drawn out so that all \
             cases hold together (Bonferroni)."
                .into(),
        ],
        tables: vec![("Confidence less agreement".into(), out)],
        figures,
    })
}

fn figure(curves: &[Json], index: &Index<'_>, value: &str) -> Option<Figure> {
    let slope = |c: &Json| {
        let name = index.constitutions.iter().find(|n| c["constitution"] == *n.name)?;
        let value = index.values.iter().copied().find(|v| *v == value)?;
        index.cell(Quantity::EncodedSlope, value, name.name, Control::None)?.z
    };
    let placebo =
        |c: &Json| index.constitutions.iter().any(|n| n.is_placebo() && c["constitution"] == *n.name);
    let mut of: Vec<&Json> = curves.iter().filter(|c| c["value"] == *value && !placebo(c)).collect();
    of.sort_by(|a, b| {
        let size = |c: &Json| slope(c).unwrap_or(0.0).abs();
        size(b).total_cmp(&size(a))
    });
    of.truncate(CURVES);
    let series: Vec<Series> = of
        .iter()
        .map(|c| Series {
            name: c["constitution"].as_str().unwrap_or_default().to_owned(),
            class: match slope(c) {
                Some(z) if z > 0.0 => "up",
                Some(_) => "down",
                None => "none",
            },
            points: points(&c["bins"]),
        })
        .collect();
    let label = format!("Agreement of the judge with the labels of {value}, by the judge's confidence");
    let chart = Chart {
        label: &label,
        axes: ("confidence, σ(|ℓ|)", "share that agrees with the labels"),
        series,
        across: vec![(0.5, String::new())],
        diagonal: true,
        ..Chart::default()
    };
    let named = shortened(value, 60);
    Some(Figure {
        title: format!("Judge and “{named}”"),
        caption: format!(
            "The {} with the clearest slopes; dashed: right as often as sure.",
            counted(of.len() as u64, "constitution")
        ),
        keys: vec![],
        svg: chart.draw()?,
    })
}

fn points(bins: &Json) -> Vec<crate::document::plot::Point> {
    let bins = bins.as_array().map(Vec::as_slice).unwrap_or_default();
    bins.iter()
        .filter_map(|b| {
            let end = |i: usize| b["interval"].get(i).and_then(Json::as_f64);
            Some((b["confidence"].as_f64()?, b["agreement"].as_f64()?, end(0).zip(end(1))))
        })
        .collect()
}
