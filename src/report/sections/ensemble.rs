//! Constitutions averaged into one judge: how well the average does, and which member harms it.

use super::{Statement, judge_by_itself};
use crate::document::table::{Cell, Table};
use crate::hypothesis::{Control, Estimate, Quantity};
use crate::report::Report;
use crate::report::format::{headline, p, quotable, with_interval};
use crate::report::rows::Index;

/// Statement 9.2.
pub(super) fn section(_: &Report, index: &Index<'_>) -> Option<Statement> {
    let mut table = Table::titled(&[
        "value",
        "member",
        ">alone, ⟨v_c, v*⟩ [95 %]",
        ">ensemble without it [95 %]",
        ">what it adds [95 %]",
        ">p adj.",
        "effect",
    ]);
    let mut said = Vec::new();
    for &value in &index.values {
        let Some(all) = index.get(Quantity::EnsembleAlignment, Some(value), None, Control::None) else {
            continue;
        };
        let (mut harms, mut members, mut tested) = (Vec::new(), 0, 0);
        for c in &index.constitutions {
            let cell = |quantity| index.cell(quantity, value, c.name, Control::None);
            let Some(effect) = cell(Quantity::EnsembleEffect) else { continue };
            let show = |e: Option<&Estimate>| Cell::number(headline(e));
            let tests = quotable(effect) && effect.p_adjusted.is_some();
            tested += usize::from(tests);
            let clear = tests && effect.p_adjusted.is_some_and(|p| p < 0.05);
            let word = match effect.estimate {
                Some(e) if clear && e < 0.0 => "harms",
                Some(e) if clear && e > 0.0 => "helps",
                _ => "no clear effect",
            };
            members += 1;
            if word == "harms" {
                harms.push(format!("“{}”", c.name));
            }
            table.rows.push(vec![
                Cell::name(value),
                Cell::name(c.name),
                show(cell(Quantity::Alignment)),
                show(cell(Quantity::EnsembleAlignment)),
                show(Some(effect)),
                Cell::number(p(effect.p_adjusted)),
                Cell::plain(word),
            ]);
        }
        let figure = match all.estimate.filter(|_| quotable(all)) {
            Some(_) => format!("has alignment {} with “{value}”", with_interval(all)),
            None => format!("has no identifiable alignment with “{value}”"),
        };
        let harm = match (tested, harms.is_empty()) {
            (0, _) => "whether one of them harms cannot be told".to_owned(),
            (_, true) => "none clearly harms".to_owned(),
            (_, false) => format!("harmed by {}", harms.join(", ")),
        };
        let itself = judge_by_itself(index, value);
        said.push(format!("the average of {members} constitutions {figure} ({harm}{itself})"));
    }
    if table.rows.is_empty() {
        return None;
    }
    let mut verdict = format!("{}.", said.join("; "));
    verdict.replace_range(..1, &verdict[..1].to_uppercase());
    Some(Statement {
        title: "Ensembles",
        source: "Statement 9.2",
        verdict,
        notes: vec![
            "Rewards of each member over their within-prompt standard deviation, averaged. What a member adds: the alignment of the \
             ensemble less that without it; p adjusted for the false discovery rate over all members and values (this section explores). Members are all constitutions outside the placebo arm \
             unless `--ensemble` names them."
                .into(),
        ],
        tables: vec![("What each member does to the average".into(), table)],
        figures: vec![],
    })
}
