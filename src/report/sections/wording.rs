//! How much the wording of a constitution matters: alignments of paraphrases.

use serde_json::Value as Json;

use super::Section;
use crate::hypothesis::wording::TABLE;
use crate::hypothesis::{Control, Quantity};
use crate::report::Report;
use crate::report::format::{NOTHING, counted, number, optional, p};
use crate::report::grid::{Cell, grid};
use crate::report::rows::Index;

/// Section 9.2.
pub(super) fn section(report: &Report, _: &Index<'_>) -> Option<Section> {
    let groups = report.tables.get(TABLE)?.as_array()?;
    let mut table = grid(&[
        "constitution",
        "value",
        ">wordings",
        ">lowest ⟨v_c, v*⟩",
        ">highest ⟨v_c, v*⟩",
        ">spread, sd",
        ">p adj.",
        ">least ⟨v_i, v_j⟩",
    ]);
    let (mut differ, mut widest) = (0u64, 0.0f64);
    for group in groups {
        let (name, value) = (group["constitution"].as_str()?, group["value"].as_str()?);
        let spread = report.estimates.iter().find(|e| {
            e.quantity == Quantity::WordingSd
                && e.control == Control::None
                && e.value.as_deref() == Some(value)
                && e.constitution.as_deref() == Some(name)
        });
        let list = group["wordings"].as_array()?;
        let by = |w: &&Json| w["alignment"].as_f64().unwrap_or(f64::NAN);
        let lowest = list.iter().min_by(|a, b| by(a).total_cmp(&by(b)));
        let highest = list.iter().max_by(|a, b| by(a).total_cmp(&by(b)));
        let show = |w: Option<&Json>| -> String {
            let figure = w.and_then(|w| Some((w["alignment"].as_f64()?, w["se"].as_f64())));
            figure.map_or_else(|| NOTHING.to_owned(), |(a, se)| number(a, se))
        };
        let adjusted = spread.and_then(|e| e.p_adjusted);
        differ += u64::from(adjusted.is_some_and(|p| p < 0.05));
        if let Some((lo, hi)) = lowest.map(|w| by(&w)).zip(highest.map(|w| by(&w))) {
            widest = widest.max(hi - lo);
        }
        table.rows.push(vec![
            Cell::name(name),
            Cell::name(value),
            Cell::number(list.len().to_string()),
            Cell::number(show(lowest)),
            Cell::number(show(highest)),
            Cell::number(optional(spread.and_then(|e| e.estimate), Some(0.01))),
            Cell::number(p(adjusted)),
            Cell::number(optional(group["least_cos"].as_f64(), Some(0.01))),
        ]);
    }
    if table.rows.is_empty() {
        return None;
    }
    let all = counted(groups.len() as u64, "comparison");
    Some(Section {
        title: "Wording",
        source: "Section 9.2",
        verdict: format!(
            "The wording clearly matters in {differ} of {all} of a constitution's wordings on a value; the widest range of alignments is {}.",
            number(widest, Some(0.01))
        ),
        notes: vec![
            "Paraphrases are the constitutions whose files say so (`paraphrase_of`). Spread: standard deviation of the alignments over \
             wordings less their sampling error; p: that any two differ, adjusted for the number of pairs, and for the false discovery rate over groups and values (this section explores). Only wordings whose alignment is \
             identifiable count."
                .into(),
        ],
        grids: vec![("Alignments over wordings".into(), table)],
        figures: vec![],
    })
}
