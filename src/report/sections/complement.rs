//! What the model's judgments, its residual stream beyond them, and only people can tell of a value.

use crate::document::Statement;
use crate::document::table::{Cell, Table};
use crate::hypothesis::{Control, Quantity};
use crate::report::Report;
use crate::report::format::{counted, headline, percent, quotable};
use crate::report::rows::Index;

/// Statement 9.3.
pub(super) fn section(_: &Report, index: &Index<'_>) -> Option<Statement> {
    let mut table = Table::titled(&[
        "value",
        "constitution",
        ">the judge [95 %]",
        ">h beyond it [95 %]",
        ">neither [95 %]",
        ">both at once [95 %]",
    ]);
    let mut neither: Vec<f64> = Vec::new();
    for &value in &index.values {
        for c in index.constitutions.iter().filter(|c| !c.is_placebo()) {
            let of = |quantity| index.cell(quantity, value, c.name, Control::None);
            if of(Quantity::ExplainedByJudge).is_none() {
                continue;
            }
            let show = |quantity| Cell::number(headline(of(quantity)));
            neither.extend(of(Quantity::Unexplained).filter(|e| quotable(e)).and_then(|e| e.estimate));
            table.rows.push(vec![
                Cell::name(value),
                Cell::name(c.name),
                show(Quantity::ExplainedByJudge),
                show(Quantity::ExplainedBeyondJudge),
                show(Quantity::Unexplained),
                show(Quantity::ExplainedByBoth),
            ]);
        }
    }
    if table.rows.is_empty() {
        return None;
    }
    let verdict = if neither.is_empty() {
        "What neither the judge nor the residual stream tells could not be measured.".to_owned()
    } else {
        let (least, most) = neither.iter().fold((1.0f64, 0.0f64), |(lo, hi), &n| (lo.min(n), hi.max(n)));
        let (least, most) = (percent(least.clamp(0.0, 1.0)), percent(most.clamp(0.0, 1.0)));
        let range = if least == most { format!("about {least}") } else { format!("{least} to {most}") };
        format!(
            "Neither the judge nor the residual stream tells {range} of the labels’ variance, errors of the labels included, in {}.",
            counted(neither.len() as u64, "pair") + " of a value and a constitution"
        )
    };
    Some(Statement {
        title: "What only people can add, at most",
        source: "Statement 9.3",
        verdict,
        notes: vec![
            "Shares of the value’s within-prompt variance, in units of the labels: explained by the rewards alone; by the \
             residual stream beyond the rewards, which another constitution could elicit; by neither, which includes errors of \
             the labels. They add up to 1. Both at once: what the residual stream tells too of what the judge tells; near 0 \
             the two are additive, as Statement 9.3 takes judgments and human feedback to be."
                .into(),
        ],
        tables: vec![("Shares of the value".into(), table)],
        figures: vec![],
    })
}
