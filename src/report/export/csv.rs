//! Comma-separated values: directions, one number per line, and the table of estimates.

use std::fmt::Write;

use super::Directions;
use crate::theory::Estimate;

/// `direction,layer,index,value`, one line per number. Numbers are the shortest that round-trip as f32.
pub fn to_csv(directions: &Directions) -> String {
    let mut out = String::from("direction,layer,index,value\n");
    for (name, array) in &directions.arrays {
        let name = quoted(name);
        for (layer, v) in directions.rows(array) {
            for (i, value) in v.iter().enumerate() {
                let _ = writeln!(out, "{name},{layer},{i},{value:e}");
            }
        }
    }
    out
}

/// One line per estimate, with the keys of `report.json` as columns; inapplicable fields are empty, warnings are
/// joined by `; `.
pub fn to_estimates_csv(estimates: &[Estimate]) -> String {
    let mut out = String::from(
        "quantity,value,value2,constitution,constitution2,judge,layer,control,k,lambda_sd,estimate,lo,hi,se,z,p_adjusted,n,blocks,\
         reportable,method,warnings\n",
    );
    for e in estimates {
        // Quantities and controls are named as in JSON.
        let spelt = |v: serde_json::Result<serde_json::Value>| {
            v.ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
        };
        let text = |t: &Option<String>| t.as_deref().map(quoted).unwrap_or_default();
        let real = |v: Option<f64>| v.map(|v| v.to_string()).unwrap_or_default();
        let whole = |v: Option<usize>| v.map(|v| v.to_string()).unwrap_or_default();
        let cells = [
            spelt(serde_json::to_value(e.quantity)),
            text(&e.value),
            text(&e.value2),
            text(&e.constitution),
            text(&e.constitution2),
            e.judge.map(|m| m.as_str().to_owned()).unwrap_or_default(),
            whole(e.layer.map(|l| l.0)),
            spelt(serde_json::to_value(e.control)),
            whole(e.k),
            real(e.lambda_sd),
            real(e.estimate),
            real(e.lo),
            real(e.hi),
            real(e.se),
            real(e.z),
            real(e.p_adjusted),
            whole(e.n),
            whole(e.blocks),
            e.reportable.to_string(),
            quoted(&e.method),
            quoted(&e.warnings.join("; ")),
        ];
        out.push_str(&cells.join(","));
        out.push('\n');
    }
    out
}

/// Quotes a field as in RFC 4180 if it contains a comma, a quote or a line end.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a, \"b\""), "\"a, \"\"b\"\"\"");
    }
}
