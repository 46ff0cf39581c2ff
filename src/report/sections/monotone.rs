//! Whether a value turns round along a direction: two slopes, below and above the median reading.

use super::Section;
use crate::hypothesis::monotone::TABLE;
use crate::report::Report;
use crate::report::format::{NOTHING, number};
use crate::report::grid::{Cell, grid};
use crate::report::rows::Index;

/// Proposition 15.
pub(super) fn section(report: &Report, _: &Index<'_>) -> Option<Section> {
    let rows = report.tables.get(TABLE)?.as_array()?;
    let mut table =
        grid(&["value", "along", ">slope below the median", ">± SE", ">slope above", ">± SE", "shape"]);
    let mut turned = 0;
    for row in rows {
        let text = |key: &str| row[key].as_str();
        let figure = |key: &str, se: &str| match (row[key].as_f64(), row[se].as_f64()) {
            (Some(v), Some(se)) => Cell::number(number(v, Some(se))),
            _ => Cell::number(NOTHING.to_owned()),
        };
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
    let (n, noun) = (rows.len(), if rows.len() == 1 { "direction" } else { "directions" });
    Some(Section {
        title: "Values with an optimum",
        source: "Proposition 15",
        verdict: match turned {
            0 => format!("No value is seen to turn round along {n} {noun}; an optimum beyond most responses would not show."),
            _ => format!("A value turns round along {turned} of {n} {noun}: there, more is not always better."),
        },
        notes: vec![
            "Slopes of the value on ⟨h, v̂⟩ (directions fitted without the response’s fold, five folds of whole blocks), \
             one line below the median reading and one above, prompt effects removed, errors robust to blocks. Turns round: both \
             |z| > 1.96 with opposite signs, not adjusted for the number of directions. Cannot tell: a slope is not clear. An optimum \
             well away from the median is not seen."
                .into(),
        ],
        grids: vec![("Two lines".into(), table)],
        figures: vec![],
    })
}
