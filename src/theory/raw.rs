//! Appendix D: cosines of the exported directions in raw coordinates.
//!
//! v̂'û / (‖v̂‖ ‖û‖) of the ridge directions in `directions.safetensors`, at the reported layer. It describes these
//! two vectors and does not estimate any of the paper's angles: a ridge shrinks directions of low variance, noise
//! shared by two labels enters both vectors, and the raw cosine of the true directions is not identified where h
//! hardly varies. All other figures are in the metric of Σ_w.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::document::Evidence;
use crate::document::table::{Cell, Table};
use crate::linalg::dot;
use crate::theory::base::analysis::Analysis;
use crate::theory::base::estimate::{Control, Quantity};
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::{headline, number, quotable};
use crate::theory::statement::{Measure, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "raw",
    title: "Raw coordinates",
    source: "Appendix D",
    quantities: &[],
    tables: &[TABLE],
    rests: Rests::Otherwise,
    measures: &[Measure::Directions(measure)],
    section: Some(section),
};

/// Adds the table for the reported layer, which has index `at` among the exported ones.
fn measure(out: &mut Analysis, at: usize) {
    let cosines = cosines(&out.directions, at);
    if let (false, Ok(table)) = (cosines.is_empty(), serde_json::to_value(cosines)) {
        out.tables.insert(TABLE.to_owned(), table);
    }
}

/// Name of the table in the report.
pub const TABLE: &str = "raw_cosines";

/// A raw cosine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Raw {
    /// The value whose v* it is.
    pub value: String,
    /// The constitution of v_c; absent for w.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constitution: Option<String>,
    /// v̂'û / (‖v̂‖ ‖û‖).
    pub cos: f64,
}

/// Cosines of every value with w and with every constitution, at index `at` of the exported layers.
pub fn cosines(directions: &BTreeMap<String, Vec<Vec<f64>>>, at: usize) -> Vec<Raw> {
    let layer = |name: &str| directions.get(name).and_then(|layers| layers.get(at));
    let mut out = Vec::new();
    for (name, v) in directions.keys().filter_map(|name| Some((name.strip_prefix("v_star.")?, layer(name)?)))
    {
        let others = directions.keys().filter(|other| *other == "w" || other.starts_with("v_c."));
        for other in others {
            let Some(u) = layer(other) else { continue };
            let cos = dot(v, u) / (dot(v, v) * dot(u, u)).sqrt();
            if cos.is_finite() {
                let constitution = other.strip_prefix("v_c.").map(str::to_owned);
                out.push(Raw { value: name.to_owned(), constitution, cos });
            }
        }
    }
    out
}

/// Appendix D.
fn section(index: &Index<'_>) -> Option<Evidence> {
    let rows = index.rows(TABLE)?;
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
        if index.constitutions.iter().any(|c| c.is_placebo() && Some(c.name) == name) {
            continue;
        }
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
    Some(Evidence {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_meets_each_other_direction_once() {
        let directions = BTreeMap::from([
            ("v_star.kind".to_owned(), vec![vec![0.0, 0.0], vec![1.0, 0.0]]),
            ("v_c.law".to_owned(), vec![vec![1.0, 0.0], vec![3.0, 4.0]]),
            ("w".to_owned(), vec![vec![1.0, 0.0], vec![0.0, -2.0]]),
        ]);
        let found = cosines(&directions, 1);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].constitution.as_deref(), Some("law"));
        assert!((found[0].cos - 0.6).abs() < 1e-15 && found[1].cos == 0.0);
        // A direction of length 0 has no angle.
        assert!(cosines(&directions, 0).is_empty());
    }
}
