//! How much of a value lies in the leading components, beside what anything read at random has there; d_eff by layer.

use serde_json::Value as Json;

use crate::document::Statement;
use crate::document::plot::Figure;
use crate::document::plot::{Chart, Series};
use crate::document::table::{Cell, Table};
use crate::hypothesis::{Control, Quantity};
use crate::report::format::{NOTHING, headline, number, percent, quotable};
use crate::report::rows::Index;
use crate::report::{LAYER_DIMENSIONS, Report};

/// Definition 8, Conjecture 9.
pub(super) fn section(report: &Report, index: &Index<'_>) -> Option<Statement> {
    let find = |quantity: Quantity, value: &str| {
        report.estimates.iter().find(|e| {
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
    Some(Statement {
        title: "Concentration",
        source: "Definition 8, Conjecture 9",
        verdict: format!("The leading d_eff components carry {}; the shares have no interval.", said.join("; ")),
        notes: vec![
            "Share of v*'Σ_w v* in the leading k = d_eff principal components. The error of the components cannot be counted well \
             enough for an interval, so that this section describes and does not decide. Random directions, isotropic in the \
             residual stream's coordinates, have there about the share of the variance that these components carry: a share no \
             higher than theirs says that the residual stream is concentrated, not the value. The curve over k stands with each value."
                .into(),
        ],
        tables: vec![("Share of each value in the leading components".into(), table)],
        figures: layers(report).into_iter().collect(),
    })
}

fn layers(report: &Report) -> Option<Figure> {
    let rows = report.tables.get(LAYER_DIMENSIONS)?.as_array()?;
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
