//! Cosines in raw coordinates beside those in the metric of the covariance, for those who want both.

use crate::document::Statement;
use crate::document::table::{Cell, Table};
use crate::hypothesis::raw::TABLE;
use crate::hypothesis::{Control, Quantity};
use crate::report::Report;
use crate::report::format::{headline, number, quotable};
use crate::report::rows::Index;

/// Appendix D.
pub(super) fn section(report: &Report, index: &Index<'_>) -> Option<Statement> {
    let rows = report.tables.get(TABLE)?.as_array()?;
    let mut table = Table::titled(&[
        "value",
        "direction",
        ">in the metric of Σ_w [95 %]",
        ">raw, of the exported vectors",
    ]);
    let mut apart: Option<f64> = None;
    for row in rows {
        let value = index.values.iter().copied().find(|v| row["value"] == **v);
        let Some((value, raw)) = value.zip(row["cos"].as_f64()) else { continue };
        let name = row["constitution"].as_str();
        let estimate = match name {
            None => index.get(Quantity::GenerationAlignment, Some(value), None, Control::None),
            Some(name) => index
                .constitutions
                .iter()
                .find(|c| c.name == name)
                .and_then(|c| index.cell(Quantity::Alignment, value, c.name, Control::None)),
        };
        if let Some(cos) = estimate.filter(|e| quotable(e)).and_then(|e| e.estimate) {
            apart = Some(apart.unwrap_or_default().max((cos - raw).abs()));
        }
        table.rows.push(vec![
            Cell::name(value),
            name.map_or_else(|| Cell::plain("w"), Cell::name),
            Cell::number(headline(estimate)),
            Cell::number(number(raw, Some(0.01))),
        ]);
    }
    if table.rows.is_empty() {
        return None;
    }
    Some(Statement {
        title: "Raw coordinates",
        source: "Appendix D",
        verdict: match apart {
            Some(apart) => format!(
                "The exported vectors' raw cosines differ from the angles by up to {}.",
                number(apart, Some(0.01))
            ),
            None => "No angle is identifiable, so no raw cosine can be set beside one.".to_owned(),
        },
        notes: vec![
            "The paper's angles are those in the metric of Σ_w (first figure). The raw cosine is a property of two ridge vectors: they are \
             shrunk where the residual stream varies little, and noise that two labels share enters both. It is shown for those who \
             handle the vectors themselves, and is not an estimate of the first. w is exported with length controlled."
                .into(),
        ],
        tables: vec![("Cosines in both metrics".into(), table)],
        figures: vec![],
    })
}
