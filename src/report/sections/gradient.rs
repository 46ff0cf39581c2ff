//! Whether one direction stands for the value everywhere: the average gradient, and v* on either side of the median.

use super::Section;
use crate::hypothesis::{Control, Quantity};
use crate::report::Report;
use crate::report::format::{NOTHING, counted, headline, quotable};
use crate::report::grid::{Cell, grid};
use crate::report::rows::Index;

/// Below this, if the interval ends below it too, a cosine is called a departure.
const ONE_DIRECTION: f64 = 0.9;

/// Theorem 14.
pub(super) fn section(_: &Report, index: &Index<'_>) -> Option<Section> {
    let mut table = grid(&["value", "what", ">figure [95 %]", "one direction"]);
    let (mut known, mut apart) = (0, Vec::new());
    for &value in &index.values {
        let average = index.get(Quantity::GradientCos, Some(value), None, Control::None);
        let own = index.get(Quantity::HalvesTransfer, Some(value), None, Control::None);
        let mut rows = vec![
            ("average gradient against v*".to_owned(), average),
            ("below against above the median of ⟨h, v*⟩".to_owned(), own),
        ];
        rows.extend(index.constitutions.iter().map(|c| {
            let halves = index.cell(Quantity::HalvesTransfer, value, c.name, Control::None);
            (format!("below against above, along “{}”", c.name), halves)
        }));
        for (what, e) in rows {
            let Some(e) = e else { continue };
            let says = match (quotable(e), e.hi) {
                (true, Some(hi)) if hi < ONE_DIRECTION => "no",
                (true, _) => "yes",
                _ => NOTHING,
            };
            known += u64::from(quotable(e));
            if says == "no" {
                apart.push(format!("“{value}”, {what}"));
            }
            table.rows.push(vec![
                Cell::name(value),
                Cell::plain(what),
                Cell::number(headline(Some(e))),
                Cell::plain(says),
            ]);
        }
    }
    if table.rows.is_empty() {
        return None;
    }
    let compared = counted(known, "comparison");
    let verdict = match (known, apart.len()) {
        (0, _) => "Whether one direction stands for a value everywhere is not identifiable.".to_owned(),
        (_, 0) => format!("One direction stands for each value everywhere, as far as {compared} can tell."),
        (_, n) => {
            let few = apart.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
            let more = if n > 3 { ", and others" } else { "" };
            format!(
                "A value's direction depends on where the response lies in {n} of {compared}: {few}{more}."
            )
        }
    };
    Some(Section {
        title: "One direction for all responses",
        source: "Theorem 14, Remark 4",
        verdict,
        notes: vec![format!(
            "The average gradient of a nonlinear fit is v* for linear values and for normal residual streams; below 1, the linear v* is a poor \
             summary. Below against above: what v* fitted on the prompts below the median reading tells of those above and the reverse, over what each \
             tells of itself; 1 for linear values, −1 for a value that turns round at the median. “No”: the 95 % interval ends below {ONE_DIRECTION}; not \
             adjusted for the number of rows."
        )],
        grids: vec![("Directions of the same value".into(), table)],
        figures: vec![],
    })
}
