//! How much the wording of a constitution matters: alignments of paraphrases.

use serde_json::Value as Json;

use crate::document::Statement;
use crate::document::table::{Cell, Table};
use crate::hypothesis::wording::TABLE;
use crate::hypothesis::{Control, Quantity};
use crate::report::Report;
use crate::report::format::{NOTHING, counted, number, optional, p, quotable};
use crate::report::rows::Index;

/// Statement 9.2.
pub(super) fn section(report: &Report, index: &Index<'_>) -> Option<Statement> {
    let groups = report.tables.get(TABLE)?.as_array()?;
    let placebo = |name: &str| index.constitutions.iter().any(|c| c.is_placebo() && c.name == name);
    let mut table = Table::titled(&[
        "constitution",
        "value",
        ">wordings",
        ">lowest ⟨v_c, v*⟩",
        ">highest ⟨v_c, v*⟩",
        ">spread, sd",
        ">p adj.",
        ">least ⟨v_i, v_j⟩",
    ]);
    let (mut differ, mut tested, mut widest) = (0u64, 0u64, None::<f64>);
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
        let adjusted = spread.filter(|e| quotable(e)).and_then(|e| e.p_adjusted);
        // How placebo texts spread is the business of their arm.
        if let Some(p) = adjusted.filter(|_| !placebo(name)) {
            tested += 1;
            differ += u64::from(p < 0.05);
            let range = highest.map(|w| by(&w)).zip(lowest.map(|w| by(&w))).map(|(hi, lo)| hi - lo);
            widest = widest.into_iter().chain(range.filter(|r| r.is_finite())).reduce(f64::max);
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
    let all = counted(tested, "comparison") + " of a constitution’s wordings on a value";
    let range = widest.map_or_else(String::new, |w| {
        format!("; the widest range of alignments is {}, sampling error included", number(w, Some(0.01)))
    });
    Some(Statement {
        title: "Wording",
        source: "Statement 9.2",
        verdict: match tested {
            0 => "Whether the wording matters could not be tested.".to_owned(),
            _ => format!("The wording clearly matters in {differ} of {all}{range}."),
        },
        notes: vec![
            "Paraphrases are the constitutions whose files say so (`paraphrase_of`). Spread: standard deviation of the alignments over \
             wordings less their sampling error; p: that any two differ, adjusted for the number of pairs, and for the false discovery rate over groups and values (this section explores). Only wordings whose alignment is \
             identifiable count."
                .into(),
        ],
        tables: vec![("Alignments over wordings".into(), table)],
        figures: vec![],
    })
}
