//! Judgment against generation: the gap of each constitution, and the share of value-relevant text that it would imply.

use crate::document::Statement;
use crate::document::table::{Cell, Table};
use crate::hypothesis::{Control, Estimate, Quantity};
use crate::report::Report;
use crate::report::format::{counted, headline, p, quotable};
use crate::report::rows::Index;
use crate::report::verdict::LEVEL;

/// Proposition 5.
pub(super) fn section(_: &Report, index: &Index<'_>) -> Option<Statement> {
    let mut table = Table::titled(&[
        "value",
        "constitution",
        ">⟨v_c, v*⟩ [95 %]",
        ">⟨w, v*⟩ [95 %]",
        ">gap [95 %]",
        ">p adj.",
        ">implied η [95 %]",
    ]);
    let (mut known, mut positive, mut negative, mut by_length) = (0, 0, 0, 0);
    let (mut placebos, mut alike) = (0, 0);
    for &value in &index.values {
        let w = index.get(Quantity::GenerationAlignment, Some(value), None, Control::None);
        for c in &index.constitutions {
            let cell = |quantity| index.cell(quantity, value, c.name, Control::None);
            let Some(gap) = cell(Quantity::Gap).filter(|e| e.estimate.is_some()) else { continue };
            if quotable(gap) && c.is_placebo() {
                placebos += 1;
                alike += u64::from(side(gap) > 0);
            }
            if quotable(gap) && !c.is_placebo() {
                known += 1;
                let sides = [Some(gap), index.cell(Quantity::Gap, value, c.name, Control::Length)];
                // Length is the first thing that w picks up: what it takes away is not judgment's.
                let of = |e: Option<&Estimate>| e.map_or(0, side);
                match (of(sides[0]), of(sides[1])) {
                    (plain, held) if plain != 0 && index.length && held != plain => by_length += 1,
                    (plain, _) => {
                        positive += u64::from(plain > 0);
                        negative += u64::from(plain < 0);
                    }
                }
            }
            let show = |e: Option<&Estimate>| Cell::number(headline(e));
            table.rows.push(vec![
                Cell::name(value),
                Cell::name(c.name),
                show(cell(Quantity::Alignment)),
                show(w),
                show(Some(gap)),
                Cell::number(p(gap.p_adjusted)),
                show(cell(Quantity::ImpliedEta)),
            ]);
        }
    }
    if table.rows.is_empty() {
        return None;
    }
    let length = match by_length {
        0 => String::new(),
        n => format!(" In {n} more the difference is not clear any more when length is controlled."),
    };
    // What the judge does under any text is no constitution's.
    let placebos = match (placebos, alike) {
        (0, _) | (_, 0) => String::new(),
        (all, n) => format!(
            " It is closer in {n} of {} too: so far this is what the judge does under any text.",
            counted(all, "gap") + " of placebo texts"
        ),
    };
    let verdict = match known {
        0 => "Whether judgment is closer to a value than generation is not identifiable.".to_owned(),
        _ => format!(
            "Of {} outside the placebo arm, judgment is clearly closer to the value than generation in {positive}, clearly farther in {negative}.{length}{placebos}",
            counted(known, "gap")
        ),
    };
    Some(Statement {
        title: "Judgment and generation",
        source: "Proposition 5",
        verdict,
        notes: vec![
            "Gap: ⟨v_c, v*⟩ − ⟨w, v*⟩. Implied η: 1 − gap, the share of value-relevant text that Proposition 5 would read off it; not \
             identifiable where the constitution does not query the value directly (⟨v_c, v*⟩ clearly below .9), since what is missing to \
             1 is then the constitution's. It is a reading of the gap, not a measurement of the corpus."
                .into(),
        ],
        tables: vec![("Gaps".into(), table)],
        figures: vec![],
    })
}

/// 1 for a gap clearly above 0, −1 for one clearly below, 0 else.
fn side(gap: &Estimate) -> i8 {
    match gap.estimate.filter(|_| quotable(gap) && gap.p_adjusted.is_some_and(|p| p < LEVEL)) {
        Some(g) if g > 0.0 => 1,
        Some(g) if g < 0.0 => -1,
        _ => 0,
    }
}
