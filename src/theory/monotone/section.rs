//! Section: whether a value reverses along a direction, from two slopes below and above the median reading.

use serde_json::Value as Json;

use crate::document::Evidence;
use crate::document::plot::{Chart, Figure, Series};
use crate::document::table::{Cell, Table};
use crate::document::text::shortened;
use crate::theory::monotone::TABLE;
use crate::theory::reading::index::Index;
use crate::theory::reading::outcome::Z95;
use crate::theory::reading::quote::{NOTHING, counted, number};

/// Maximum number of plots of directions along which a value reverses.
const TURNED: usize = 4;

/// Proposition 15.
pub(crate) fn section(index: &Index<'_>) -> Option<Evidence> {
    let rows = index.rows(TABLE)?;
    let placebo =
        |row: &Json| index.constitutions.iter().any(|c| c.is_placebo() && row["constitution"] == *c.name);
    let mut table = Table::titled(&[
        "value",
        "along",
        ">slope below the median",
        ">± SE",
        ">slope above",
        ">± SE",
        "shape",
    ]);
    let (mut turned, mut tried) = (0, 0);
    for row in rows {
        let text = |key: &str| row[key].as_str();
        let figure = |key: &str, se: &str| match (row[key].as_f64(), row[se].as_f64()) {
            (Some(v), Some(se)) => Cell::number(number(v, Some(se))),
            _ => Cell::number(NOTHING.to_owned()),
        };
        if placebo(row) {
            continue;
        }
        tried += 1;
        turned += usize::from(text("shape") == Some("turns_round"));
        table.rows.push(vec![
            Cell::name(text("value").unwrap_or(NOTHING)),
            text("constitution").map_or_else(|| Cell::plain("⟨h, v*⟩"), Cell::name),
            figure("below", "below_se"),
            figure("below_se", "below_se"),
            figure("above", "above_se"),
            figure("above_se", "above_se"),
            Cell::plain(match text("shape") {
                Some("turns_round") => "turns round",
                Some("monotone") => "monotone",
                _ => "cannot tell",
            }),
        ]);
    }
    if tried == 0 {
        return None;
    }
    let directions = counted(tried, "direction");
    Some(Evidence {
                verdict: match turned {
            0 => format!("No value is seen to turn round along {directions}; an optimum beyond most responses would not show."),
            _ => format!("A value turns round along {turned} of {directions}: there, more is not always better."),
        },
        notes: vec![
            "Slopes of the value on ⟨h, v̂⟩ (directions fitted without the response’s fold, five folds of whole blocks), \
             one line below the median reading and one above, prompt effects removed, errors robust to blocks. Turns round: both \
             |z| > 1.96 with opposite signs, and p below .05 when it is adjusted for the false discovery rate over all directions and \
             values (this section explores). Cannot tell: a slope is not clear. An optimum \
             well away from the median is not seen. Directions of placebo texts are left out."
                .into(),
        ],
        tables: vec![("Two lines".into(), table)],
        figures: figures(rows),
    })
}

/// Plots along v* of each value, and along directions where it reverses.
fn figures(rows: &[Json]) -> Vec<Figure> {
    let own = rows.iter().filter(|r| r["constitution"].is_null());
    let turned = rows.iter().filter(|r| !r["constitution"].is_null() && r["shape"] == "turns_round");
    own.chain(turned.take(TURNED)).filter_map(figure).collect()
}

fn figure(row: &Json) -> Option<Figure> {
    let number = |key: &str| row[key].as_f64();
    let (median, below, above, jump) =
        (number("median")?, number("below")?, number("above")?, number("jump")?);
    let points: Vec<_> = row["bins"]
        .as_array()?
        .iter()
        .filter_map(|bin| {
            let (x, y) = (bin["reading"].as_f64()? - median, bin["residual"].as_f64()?);
            Some((x, y, bin["se"].as_f64().map(|se| (y - Z95 * se, y + Z95 * se))))
        })
        .collect();
    let (least, most) = (points.first()?.0, points.last()?.0);
    let line = |from: (f64, f64), to: (f64, f64)| Series {
        name: String::new(),
        class: "none",
        points: vec![(from.0, from.1, None), (to.0, to.1, None)],
    };
    let value = shortened(row["value"].as_str()?, 40);
    let along =
        row["constitution"].as_str().map_or_else(|| "v*".to_owned(), |c| format!("“{}”", shortened(c, 40)));
    let label = format!("Two lines of {value} along {along}");
    let chart = Chart {
        label: &label,
        axes: ("reading less its median", "value, prompt effects removed"),
        series: vec![
            Series { name: String::new(), class: "up", points: points.clone() },
            line((least, below * least), (0.0, 0.0)),
            line((0.0, jump), (most, jump + above * most)),
        ],
        ..Chart::default()
    };
    Some(Figure {
        title: format!("“{value}” along {along}"),
        caption: "Means of ten bins of equally many responses with 95 % intervals, and the two lines (grey)."
            .into(),
        keys: vec![],
        svg: chart.draw()?,
    })
}
