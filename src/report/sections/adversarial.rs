//! Constitutions that turn against a value, and those among them that do not look it.

use super::Section;
use crate::hypothesis::{Control, Quantity};
use crate::input::Family;
use crate::report::Report;
use crate::report::format::{NOTHING, detail, p};
use crate::report::grid::{Cell, grid};
use crate::report::rows::Index;
use crate::report::verdict::{Outcome, Verdict, verdicts_of};

/// Theorem 10 and Remark 2.
pub(super) fn section(report: &Report, index: &Index<'_>) -> Option<Section> {
    let verdicts = verdicts_of(report, index);
    let real: Vec<&Verdict> = verdicts.iter().filter(|v| !v.placebo).collect();
    if real.is_empty() {
        return None;
    }
    let against: Vec<&&Verdict> = real.iter().filter(|v| v.verdict == Outcome::Degrades).collect();
    let family = |v: &Verdict| {
        index
            .constitutions
            .iter()
            .find(|c| c.name == v.constitution)
            .and_then(|c| c.card)
            .and_then(|c| c.family)
    };
    let meant = |v: &Verdict| {
        let card = index.constitutions.iter().find(|c| c.name == v.constitution).and_then(|c| c.card);
        card.is_some_and(|c| c.expected(&v.value) == Some(crate::input::Sign::Minus))
    };
    let hidden = |v: &Verdict| family(v) != Some(Family::Adversarial) && !meant(v);
    let subtle: Vec<&&&Verdict> = against.iter().filter(|v| hidden(v)).collect();
    let told = |v: &&&Verdict| v.is_signed() || v.verdict == Outcome::NoEvidence;
    let told = real.iter().filter(told).count();
    let verdict = if told == 0 {
        "Whether any constitution turns against a value cannot be told from these data.".to_owned()
    } else if against.is_empty() {
        match told {
            1 => "The one constitution is not seen to turn against the value; one that was not tried may."
                .into(),
            n => format!(
                "None of {n} pairs of a value and a constitution is seen to turn against the value; one that was not tried \
                 may."
            ),
        }
    } else {
        let names: Vec<String> =
            subtle.iter().map(|v| format!("“{}” against “{}”", v.constitution, v.value)).collect();
        let more = if names.is_empty() {
            "none of them unannounced".to_owned()
        } else {
            format!(
                "{} of them by a text whose author did not announce it: {}",
                names.len(),
                names.join(", ")
            )
        };
        format!(
            "Adversarial constitutions exist for this model: {} turn against a value, {more}.",
            against.len()
        )
    };
    let mut table = grid(&[
        "constitution",
        "value",
        "family",
        "author's guess",
        ">encoded slope [95 %]",
        ">p adj.",
        "announced",
    ]);
    for v in &against {
        let value = index.values.iter().copied().find(|name| *name == v.value);
        let named = index.constitutions.iter().find(|c| c.name == v.constitution);
        let estimate = value
            .zip(named)
            .and_then(|(value, c)| index.cell(Quantity::EncodedSlope, value, c.name, Control::None));
        let guess = named.and_then(|c| c.card).and_then(|c| c.expected(&v.value));
        table.rows.push(vec![
            Cell::name(&v.constitution),
            Cell::name(&v.value),
            Cell::plain(family(v).map_or(NOTHING, |f| f.as_str())),
            Cell::plain(guess.map_or_else(|| NOTHING.to_owned(), |g| g.to_string())),
            Cell::number(estimate.map_or_else(|| NOTHING.to_owned(), detail)),
            Cell::number(p(estimate.and_then(|e| e.p_adjusted))),
            Cell::plain(if hidden(v) { "no" } else { "yes" }),
        ]);
    }
    Some(Section {
        title: "Adversarial constitutions",
        source: "Theorem 10, Remark 2",
        verdict,
        notes: vec![
            "Those whose verdict is “degrades”: a negative slope after adjustment for all constitutions and values, \
             beyond the placebo arm, that length does not explain. Announced: the family is adversarial, or the author guessed \
             a fall of this value. That none is found proves nothing about texts that were not tried."
                .into(),
        ],
        grids: vec![("Constitutions against a value".into(), table)],
        figures: vec![],
    })
}
