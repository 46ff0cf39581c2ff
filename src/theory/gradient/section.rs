//! Section: whether one direction represents the value everywhere: the average gradient, and v* on either side of the
//! median.

use crate::document::Evidence;
use crate::document::table::{Cell, Table};
use crate::theory::base::estimate::{Control, Estimate, Quantity};
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::{NOTHING, counted, headline, quotable};
use crate::theory::reading::together::interval_for_all;

/// A cosine whose estimate and interval lie below this is reported as a departure.
const ONE_DIRECTION: f64 = 0.9;

/// Theorem 14.
pub(crate) fn section<'a>(index: &Index<'a>) -> Option<Evidence> {
    let mut rows: Vec<Compared<'a>> = Vec::new();
    for &value in &index.values {
        let own = |quantity| index.get(quantity, Some(value), None, Control::None);
        let mut add = |what: String, e: Option<&'a Estimate>, placebo: bool| {
            rows.extend(e.map(|e| Compared { value, what, e, placebo }));
        };
        add("average gradient against v*".to_owned(), own(Quantity::GradientCos), false);
        add("below against above the median of ⟨h, v*⟩".to_owned(), own(Quantity::HalvesTransfer), false);
        for c in &index.constitutions {
            let halves = index.cell(Quantity::HalvesTransfer, value, c.name, Control::None);
            add(format!("below against above, along “{}”", c.name), halves, c.is_placebo());
        }
    }
    if rows.is_empty() {
        return None;
    }
    let known = rows.iter().filter(|r| !r.placebo && quotable(r.e)).count();
    let departs = |r: &&Compared<'_>| interval_for_all(r.e, known).is_some_and(|(_, hi)| hi < ONE_DIRECTION);
    let mut table = Table::titled(&["value", "what", ">figure [95 %]", "one direction"]);
    for r in &rows {
        table.rows.push(vec![
            Cell::name(r.value),
            Cell::plain(&r.what),
            Cell::number(headline(Some(r.e))),
            Cell::plain(match (quotable(r.e), r.e.lo) {
                (true, _) if departs(&r) => "no",
                (true, Some(lo)) if lo >= ONE_DIRECTION => "yes",
                (true, _) => "cannot be told",
                _ => NOTHING,
            }),
        ]);
    }
    let apart: Vec<String> = rows
        .iter()
        .filter(|r| !r.placebo && departs(r))
        .map(|r| format!("“{}”, {}", r.value, r.what))
        .collect();
    let compared = counted(known as u64, "comparison");
    let verdict = match (known, apart.len()) {
        (0, _) => "Whether one direction stands for a value everywhere is not identifiable.".to_owned(),
        (_, 0) => {
            format!("No value’s direction is seen to depend on where the response lies, in {compared}.")
        }
        (_, n) => {
            let few = apart.iter().take(3).cloned().collect::<Vec<_>>().join("; ");
            let more = if n > 3 { ", and others" } else { "" };
            format!(
                "A value’s direction depends on where the response lies in {n} of {compared}: {few}{more}."
            )
        }
    };
    Some(Evidence {
        verdict,
        notes: vec![format!(
            "The average gradient of a nonlinear fit is v* for linear values and for normal residual streams; below 1, the linear v* is a poor \
             summary. Below against above: what v* fitted on the prompts below the median reading tells of those above and the reverse, over what each \
             tells of itself; 1 for linear values, −1 for a value that turns round at the median. “No”: the interval ends below {ONE_DIRECTION}, drawn \
             out so that all rows hold together in 95 of 100 cases (Bonferroni); “yes”: the 95 % interval begins above it."
        )],
        tables: vec![("Directions of the same value".into(), table)],
        figures: vec![],
    })
}

/// A figure that equals 1 where one direction represents the value.
struct Compared<'a> {
    value: &'a str,
    what: String,
    e: &'a Estimate,
    /// Whether it is along a placebo's direction; those are shown but not counted.
    placebo: bool,
}
