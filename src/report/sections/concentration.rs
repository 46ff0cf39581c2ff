//! Whether values sit in the leading components, more than anything read at random does; d_eff by layer.

use serde_json::Value as Json;

use super::Section;
use crate::hypothesis::{Control, Estimate, Quantity};
use crate::report::figures::Figure;
use crate::report::format::{NOTHING, headline, number, quotable};
use crate::report::grid::{Cell, grid};
use crate::report::plot::{Chart, Series};
use crate::report::rows::Index;
use crate::report::{LAYER_DIMENSIONS, Report};

/// What a share and the range of random directions say.
fn words(share: &Estimate, null: Option<&Estimate>) -> Option<(&'static str, &'static str)> {
    let (lo, hi) = share.lo.zip(share.hi).filter(|_| quotable(share))?;
    let most = if lo > 0.5 {
        "most of it"
    } else if hi < 0.5 {
        "less than half of it"
    } else {
        "perhaps half of it or more, perhaps less"
    };
    let (least, largest) = null.and_then(|n| n.lo.zip(n.hi))?;
    let beside = if lo > largest {
        "more than of random directions"
    } else if hi < least {
        "less than of random directions"
    } else {
        "which cannot be told from what lies there of random directions"
    };
    Some((most, beside))
}

/// Definition 8, Conjecture 9.
pub(super) fn section(report: &Report, index: &Index<'_>) -> Option<Section> {
    let find = |quantity: Quantity, value: &str| {
        report.estimates.iter().find(|e| {
            e.quantity == quantity && e.value.as_deref() == Some(value) && e.control == Control::None
        })
    };
    let mut table = grid(&[
        "value",
        ">k = d_eff",
        ">share of v* [95 %]",
        ">random directions [2.5, 97.5 %]",
        "in the leading k",
        "beside chance",
    ]);
    let mut said = Vec::new();
    for &value in &index.values {
        let Some(share) = find(Quantity::ValueShare, value) else { continue };
        let null = find(Quantity::ValueShareNull, value).filter(|e| quotable(e));
        let verdict = words(share, null);
        said.push(match verdict {
            Some((most, beside)) => format!("of “{value}” {most}, {beside}"),
            None => format!("of “{value}” it is not identifiable"),
        });
        table.rows.push(vec![
            Cell::name(value),
            Cell::number(share.k.map_or_else(|| NOTHING.to_owned(), |k| k.to_string())),
            Cell::number(headline(Some(share))),
            Cell::number(headline(null)),
            Cell::plain(verdict.map_or("not identifiable", |v| v.0)),
            Cell::plain(verdict.map_or(NOTHING, |v| v.1)),
        ]);
    }
    if table.rows.is_empty() {
        return None;
    }
    Some(Section {
        title: "Concentration",
        source: "Definition 8, Conjecture 9",
        verdict: format!("In the leading d_eff components lies, {}.", said.join("; ")),
        notes: vec![
            "Share of v*'Σ_w v* in the leading k = d_eff principal components. Most: the interval lies above one half. Random \
             directions, isotropic in the residual stream's coordinates, have there about the share of the variance that these \
             components carry: a share no higher than theirs says that the residual stream is concentrated, not the value. The curve \
             over k stands with each value."
                .into(),
        ],
        grids: vec![("Share of each value in the leading components".into(), table)],
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

#[cfg(test)]
mod tests {
    use super::*;

    fn share(lo: f64, hi: f64) -> Estimate {
        Estimate::figure(Quantity::ValueShare, "m", (lo + hi) / 2.0, (hi - lo) / 4.0, (lo, hi))
    }

    #[test]
    fn a_share_is_judged_against_one_half_and_against_chance() {
        let null = share(0.55, 0.7);
        assert_eq!(
            words(&share(0.8, 0.9), Some(&null)),
            Some(("most of it", "more than of random directions"))
        );
        assert_eq!(
            words(&share(0.6, 0.9), Some(&null)),
            Some(("most of it", "which cannot be told from what lies there of random directions"))
        );
        assert_eq!(
            words(&share(0.4, 0.58), Some(&null)),
            Some((
                "perhaps half of it or more, perhaps less",
                "which cannot be told from what lies there of random directions"
            ))
        );
        assert_eq!(
            words(&share(0.1, 0.2), Some(&null)),
            Some(("less than half of it", "less than of random directions"))
        );
        assert_eq!(words(&share(0.1, 0.2).withheld("why"), Some(&null)), None);
        // Without a null nothing is said of chance, and so nothing at all.
        assert_eq!(words(&share(0.8, 0.9), None), None);
    }
}
