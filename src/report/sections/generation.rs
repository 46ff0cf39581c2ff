//! Judgment against generation: the gap of each constitution, and the share of value-relevant text that it would imply.

use super::Section;
use crate::hypothesis::{Control, Quantity};
use crate::report::Report;
use crate::report::format::{counted, headline, p, quotable};
use crate::report::grid::{Cell, grid};
use crate::report::rows::Index;

/// Proposition 5.
pub(super) fn section(_: &Report, index: &Index<'_>) -> Option<Section> {
    let mut table = grid(&[
        "value",
        "constitution",
        ">⟨v_c, v*⟩ [95 %]",
        ">⟨w, v*⟩ [95 %]",
        ">gap [95 %]",
        ">p adj.",
        ">implied η [95 %]",
    ]);
    let (mut known, mut positive, mut negative) = (0, 0, 0);
    for &value in &index.values {
        let w = index.get(Quantity::GenerationAlignment, Some(value), None, Control::None);
        for c in &index.constitutions {
            let cell = |quantity| index.cell(quantity, value, c.name, Control::None);
            let Some(gap) = cell(Quantity::Gap).filter(|e| e.estimate.is_some()) else { continue };
            if quotable(gap) && !c.is_placebo() {
                known += 1;
                let clear = gap.p_adjusted.is_some_and(|p| p < 0.05);
                positive += u64::from(clear && gap.estimate.is_some_and(|g| g > 0.0));
                negative += u64::from(clear && gap.estimate.is_some_and(|g| g < 0.0));
            }
            let show = |e: Option<&crate::hypothesis::Estimate>| Cell::number(headline(e));
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
    let verdict = match known {
        0 => "Whether judgment is closer to a value than generation is not identifiable.".to_owned(),
        _ => format!(
            "Of {} outside the placebo arm, judgment is clearly closer to the value than generation in {positive}, clearly farther in {negative}.",
            counted(known, "gap")
        ),
    };
    Some(Section {
        title: "Judgment and generation",
        source: "Proposition 5",
        verdict,
        notes: vec![
            "Gap: ⟨v_c, v*⟩ − ⟨w, v*⟩. Implied η: 1 − gap, the share of value-relevant text that Proposition 5 would read off it; not \
             identifiable where the constitution does not query the value directly (⟨v_c, v*⟩ clearly below .9), since what is missing to \
             1 is then the constitution's. It is a reading of the gap, not a measurement of the corpus."
                .into(),
        ],
        grids: vec![("Gaps".into(), table)],
        figures: vec![],
    })
}
