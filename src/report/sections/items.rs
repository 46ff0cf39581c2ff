//! The responses that v* reads as best and worst, with the tokens that were pooled.

use serde_json::Value as Json;

use crate::document::Statement;
use crate::document::table::{Cell, Table};
use crate::hypothesis::items::TABLE;
use crate::report::Report;
use crate::report::format::{NOTHING, optional};
use crate::report::rows::Index;
use crate::report::text;

/// Between the pieces of a pooled text: where one token ends.
const BETWEEN: &str = "·";

/// Responses at both ends of each value's direction.
pub(super) fn section(report: &Report, index: &Index<'_>) -> Option<Statement> {
    let rows = report.tables.get(TABLE)?.as_array()?;
    let mut tables = Vec::new();
    for value in &index.values {
        let of: Vec<&Json> = rows.iter().filter(|r| r["value"] == **value).collect();
        if !of.is_empty() {
            tables.push((format!("Responses and “{}”", text::shortened(value, 60)), table(&of)));
        }
    }
    (!tables.is_empty()).then(|| Statement {
        title: "What v* reads in single responses",
        source: "Assumption 1",
        verdict: "The responses with the highest and lowest scores, and those whose labels the score misses most.".into(),
        notes: vec![format!(
            "Score: ⟨h, v*⟩ by a fit without the response’s block; label and score are relative to the mean of \
             the prompt’s responses, in units of the value (for a preference: the better response is listed, the label is 1 and \
             the score that of the difference over √2). Text: the tokens that were pooled, with {BETWEEN} between them, \
             the middle of long ones left out."
        )],
        tables,
        figures: vec![],
    })
}

fn table(rows: &[&Json]) -> Table {
    let mut out = Table::titled(&["why", "item", "response", ">score", ">label", "pooled tokens"]);
    for row in rows {
        let why = match row["end"].as_str() {
            Some("highest") => "highest",
            Some("lowest") => "lowest",
            _ => "most wrong",
        };
        let figure = |key: &str| optional(row[key].as_f64(), Some(0.1));
        let at = &row["row"];
        let item = match at["item"].as_str() {
            Some(id) => text::shortened(id, 40),
            None => format!("row {}", at.get("row").unwrap_or(at)),
        };
        let mut pooled = pieces(at);
        if let Some(worse) = row.get("against") {
            pooled = format!("{pooled} — preferred to — {}", pieces(worse));
        }
        out.rows.push(vec![
            Cell::plain(why),
            Cell::plain(item),
            Cell::plain(at["response"].as_u64().map_or_else(|| NOTHING.to_owned(), |r| r.to_string())),
            Cell::number(figure("score")),
            Cell::number(figure("label")),
            Cell::plain(pooled),
        ]);
    }
    out
}

fn pieces(row: &Json) -> String {
    let Some(pieces) = row["pooled"].as_array() else { return NOTHING.to_owned() };
    let shown: Vec<String> = pieces
        .iter()
        .filter_map(Json::as_str)
        // Line breaks would be lost, and a token of blanks with them.
        .map(|p| text::clean(&p.replace('\n', "⏎").replace(' ', "\u{a0}")))
        .collect();
    text::shortened(&shown.join(BETWEEN), 600)
}
