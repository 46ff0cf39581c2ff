//! The companion file `observations.jsonl`: the origin of each row of the observations.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::artifact;
use crate::error::{Diagnostic, Error, Kind, Place, Result};

/// Origin of one row; line r of the file corresponds to row r of the tensors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowRecord {
    /// The item's id.
    pub id: String,
    /// Index of the response in its item, counted from 0.
    pub response: usize,
    /// Name of the constitution under which the response was read.
    pub constitution: String,
    /// Token range `[start, end)` of the response in the rendered sequence.
    pub span: [usize; 2],
    /// These tokens as pieces of text, with the middle of long responses omitted; only for rows of the first
    /// constitution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooled: Option<Vec<String>>,
    /// Ids of all of these tokens; only for rows of the first constitution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Vec<u32>>,
    /// SHA-256 of the token ids of the whole sequence (u32, little endian), prompt included; only for rows of the first
    /// constitution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence_sha256: Option<String>,
}

/// Writes the file atomically.
///
/// # Errors
/// Errors of the file system.
pub fn write_rows<'a>(path: &Path, rows: impl IntoIterator<Item = &'a RowRecord>) -> Result<()> {
    artifact::write_with(path, |w| {
        for row in rows {
            let line = serde_json::to_string(row).map_err(|e| Error::io("write", path, e.into()))?;
            writeln!(w, "{line}").map_err(|e| Error::io("write", path, e))?;
        }
        Ok(())
    })
}

/// Reads the file.
///
/// # Errors
/// [`Kind::Malformed`] with the line for a record that does not parse or has an empty span; errors of the file system.
pub fn read_rows(path: &Path) -> Result<Vec<RowRecord>> {
    let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
    let mut rows = Vec::new();
    for (at, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|e| Error::io("read", path, e))?;
        let bad = |what: String| {
            Diagnostic::new(Kind::Malformed, what)
                .at(Place::file(path).line(at + 1))
                .expected(r#"{"id": …, "response": 0, "constitution": …, "span": [start, end]}"#)
                .found(line.clone())
        };
        let row: RowRecord = serde_json::from_str(&line)
            .map_err(|e| bad(format!("a row record that does not parse ({e})")))?;
        if row.span[0] >= row.span[1] {
            return Err(bad("a response without tokens".to_owned()).into());
        }
        rows.push(row);
    }
    Ok(rows)
}
