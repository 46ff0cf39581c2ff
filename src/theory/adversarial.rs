//! Constitutions that turn against a value, and those among them that do not say so.

use crate::document::Evidence;
use crate::document::table::{Cell, Table};
use crate::input::{Family, Sign};
use crate::theory::base::estimate::Control;
use crate::theory::reading::index::Index;
use crate::theory::reading::outcome::{Outcome, Qualifier};
use crate::theory::reading::quote::{NOTHING, counted, detail, p};
use crate::theory::reading::verdict::{Verdict, verdicts};
use crate::theory::statement::{Rests, Statement};
use crate::units::OneOf;

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "adversarial",
    title: "Adversarial constitutions",
    source: "Theorem 10, Remark 2",
    quantities: &[],
    tables: &[],
    rests: Rests::Otherwise,
    measures: &[],
    section: Some(section),
};

/// Theorem 10 and Remark 2.
fn section(index: &Index<'_>) -> Option<Evidence> {
    let verdicts = verdicts(index);
    let real: Vec<&Verdict> = verdicts.iter().filter(|v| !v.placebo).collect();
    if real.is_empty() {
        return None;
    }
    let against: Vec<&Verdict> = real.iter().copied().filter(|v| v.verdict == Outcome::Degrades).collect();
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
        card.is_some_and(|c| c.expected(&v.value) == Some(Sign::Minus))
    };
    let hidden = |v: &Verdict| family(v) != Some(Family::Adversarial) && !meant(v);
    let subtle: Vec<&Verdict> = against.iter().copied().filter(|v| hidden(v)).collect();
    let told = |v: &&&Verdict| v.is_signed() || v.verdict == Outcome::NoEvidence;
    let told = real.iter().filter(told).count();
    let pairs = |n: usize| counted(n as u64, "pair") + " of a value and a constitution";
    let below =
        real.iter().filter(|v| v.verdict == Outcome::DiffersFromZero && v.sign == Some(Sign::Minus)).count();
    let mut verdict = if against.is_empty() && told == 0 {
        "Whether any constitution turns against a value cannot be told from these data.".to_owned()
    } else if against.is_empty() {
        format!(
            "Of {} that could be tested, none is seen to turn against the value; a text that was not tried may.",
            pairs(told)
        )
    } else {
        exist(&against, &subtle, &pairs)
    };
    if below > 0 {
        verdict += &format!(
            " In {} the slope lies below 0, and too few placebo texts were run to call that the constitution’s.",
            pairs(below)
        );
    }
    let mut table = Table::titled(&[
        "constitution",
        "value",
        "family",
        "author's guess",
        ">gain beyond the placebos [95 %]",
        ">p adj.",
        "announced",
    ]);
    for v in &against {
        let value = index.values.iter().copied().find(|name| *name == v.value);
        let named = index.constitutions.iter().find(|c| c.name == v.constitution);
        let estimate =
            value.zip(named).and_then(|(value, c)| index.cell(v.slope, value, c.name, Control::None));
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
    Some(Evidence {
                verdict,
        notes: vec![
            "Those whose verdict is “degrades”: a negative slope after adjustment for all constitutions and values, \
             beyond the placebo arm, that length does not explain away. Announced: the family is adversarial, or the author guessed \
             a fall of this value. That none is found proves nothing about texts that were not tried."
                .into(),
        ],
        tables: vec![("Constitutions against a value".into(), table)],
        figures: vec![],
    })
}

/// Sentence: which pairs turn against a value, which of them without saying so, and what remains after length
/// control.
fn exist(against: &[&Verdict], subtle: &[&Verdict], pairs: &dyn Fn(usize) -> String) -> String {
    let names: Vec<String> =
        subtle.iter().map(|v| format!("“{}” against “{}”", v.constitution, v.value)).collect();
    let announced = match names.len() {
        0 => "none of them unannounced".to_owned(),
        n => format!("{n} of them by a text whose author did not announce it: {}", names.join(", ")),
    };
    let with = |qualifier| against.iter().filter(|v| v.qualifier == Some(qualifier)).count();
    let (confounded, unknown) = (with(Qualifier::LengthConfounded), with(Qualifier::LengthNotControlled));
    let length = match (confounded, unknown) {
        (0, 0) => String::new(),
        (n, 0) => format!("; {n} of them perhaps only by the answers’ length"),
        _ => "; the answers’ length is not known and may be the reason".to_owned(),
    };
    let sure = confounded + unknown < against.len();
    format!(
        "Adversarial constitutions {} for this model: {} turn{} against the value, {announced}{length}.",
        if sure { "exist" } else { "may exist" },
        pairs(against.len()),
        if against.len() == 1 { "s" } else { "" }
    )
}
