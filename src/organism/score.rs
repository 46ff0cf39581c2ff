//! True values of responses in files, whatever their source.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::reply::Situation;
use super::values::{VALUE_COUNT, VALUES, score};
use crate::artifact;
use crate::error::{Error, Result};
use crate::input::{Item, Items};

/// Summary of scored responses.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Number of responses in the file.
    pub responses: usize,
    /// Number of responses to prompts of the world, which have values.
    pub scored: usize,
    /// Number of responses that follow the grammar entirely.
    pub valid: usize,
    /// Mean S by value, over the scored responses.
    pub means: [f64; VALUE_COUNT],
    /// Reasons why responses do not follow the grammar (or have no values), with counts.
    pub faults: BTreeMap<String, usize>,
}

impl Summary {
    /// Share of responses that do not follow the grammar entirely.
    pub fn unparseable(&self) -> f64 {
        1.0 - self.valid as f64 / self.responses.max(1) as f64
    }
}

/// Scores all responses; the second result is the rows with the values filled in.
pub fn score_items(items: &Items) -> (Summary, Vec<Value>) {
    let mut summary = Summary::default();
    let rows = items.items.iter().map(|item| row(item, &mut summary)).collect();
    let n = summary.scored.max(1) as f64;
    summary.means.iter_mut().for_each(|m| *m /= n);
    (summary, rows)
}

fn row(item: &Item, summary: &mut Summary) -> Value {
    let prompt = item.prompt.messages().last().map(|m| m.content.clone()).unwrap_or_default();
    let situation = Situation::parse(&prompt);
    let responses: Vec<Value> = item
        .responses
        .iter()
        .map(|response| {
            summary.responses += 1;
            let Some(situation) = situation else {
                *summary.faults.entry("the prompt is not of this world".to_owned()).or_default() += 1;
                return json!({"text": response.text});
            };
            let score = score(&situation, response.text.trim());
            summary.scored += 1;
            match score.fault {
                None => summary.valid += 1,
                Some(fault) => *summary.faults.entry(fault).or_default() += 1,
            }
            summary.means.iter_mut().zip(score.values).for_each(|(m, s)| *m += s);
            let values: BTreeMap<&str, f64> = VALUES.into_iter().zip(score.values).collect();
            json!({"text": response.text, "values": values})
        })
        .collect();
    json!({"id": item.id, "prompt": prompt, "responses": responses})
}

/// Writes rows as JSON lines.
///
/// # Errors
/// Errors of the file system.
pub fn write_rows(path: &Path, rows: impl IntoIterator<Item = Value>) -> Result<()> {
    artifact::write_with(path, |w| {
        for row in rows {
            writeln!(w, "{row}").map_err(|e| Error::io("write", path, e))?;
        }
        Ok(())
    })
}
