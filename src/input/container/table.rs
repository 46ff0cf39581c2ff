//! Rows of a text table: CSV and TSV, with column names in the first line.

use std::io::Read;
use std::path::Path;

use serde_json::{Map, Number, Value};

use super::super::formats;
use super::{MAX_ROW, Row, Sink};
use crate::error::{Diagnostic, Error, Excerpt, Kind, Place, Result};
use crate::json;

/// Columns that some format reads as numbers; other columns known by name stay text, even if they look like numbers.
const NUMBERS: [&str; 6] = [
    "labels",
    "overall_preference",
    "is_response_0_safe",
    "is_response_1_safe",
    "safer_response_id",
    "better_response_id",
];

/// The cell delimiter, by file name; `None` for other files.
pub(super) fn delimiter(path: &Path) -> Option<u8> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    match name {
        _ if name.ends_with(".csv") => Some(b','),
        _ if name.ends_with(".tsv") => Some(b'\t'),
        _ => None,
    }
}

/// Reads the rows; empty cells are absent.
pub(super) fn rows(reader: impl Read, delimiter: u8, path: &Path, sink: Sink) -> Result<()> {
    let mut table = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(reader);
    let names: Vec<String> =
        table.headers().map_err(|e| failed(path, &e))?.iter().map(|n| n.trim().to_owned()).collect();
    if let Some(at) = (0..names.len()).find(|&i| names[..i].contains(&names[i]) && !names[i].is_empty()) {
        return Err(Diagnostic::new(Kind::Malformed, "a column's name stands twice")
            .at(Place::file(path).line(1))
            .found(format!("`{}`", names[at]))
            .remedy("rename one of the two")
            .into());
    }
    let mut record = csv::StringRecord::new();
    for number in 1.. {
        let line = usize::try_from(table.position().line()).unwrap_or(usize::MAX);
        let more = match table.read_record(&mut record) {
            Ok(more) => more,
            Err(error) => match error.kind() {
                csv::ErrorKind::Utf8 { err, .. } => {
                    let fault = Diagnostic::new(Kind::Malformed, "the row is not UTF-8")
                        .at(Place { line: Some(line), ..Place::default() })
                        .found(err.to_string())
                        .remedy("save the file as UTF-8");
                    if sink(Row { line, number, content: Err(fault) })?.is_break() {
                        return Ok(());
                    }
                    continue;
                }
                _ => return Err(failed(path, &error)),
            },
        };
        if !more {
            return Ok(());
        }
        let line = record.position().map_or(line, |p| usize::try_from(p.line()).unwrap_or(line));
        if sink(Row { line, number, content: row(&names, &record, line) })?.is_break() {
            return Ok(());
        }
    }
    Ok(())
}

fn row(names: &[String], record: &csv::StringRecord, line: usize) -> Result<Map<String, Value>, Diagnostic> {
    let wrong = |what: &str| {
        Diagnostic::new(Kind::Malformed, what).at(Place { line: Some(line), ..Place::default() })
    };
    if record.len() != names.len() {
        return Err(wrong("the row has another number of cells than the first line")
            .expected(format!("{} cells: {}", names.len(), Excerpt(&names.join(", "))))
            .found(format!("{} cells", record.len()))
            .remedy("put cells with the separator or a line break in them in quotation marks"));
    }
    if record.as_slice().len() > MAX_ROW {
        return Err(wrong("the row is too long to be read").expected(format!("at most {MAX_ROW} bytes")));
    }
    let cells = names.iter().zip(record).filter(|(name, cell)| !name.is_empty() && !cell.is_empty());
    Ok(cells.map(|(name, cell)| (name.clone(), value(name, cell))).collect())
}

/// Converts a cell: lists and objects in any column are JSON; numbers and booleans are recognised by their form unless
/// the column is a text column.
fn value(name: &str, cell: &str) -> Value {
    let trimmed = cell.trim();
    let is_nested = trimmed.starts_with("[{")
        || trimmed.starts_with("{\"")
        || matches!(name, "responses" | "preferences");
    if let Some(value) = is_nested.then(|| json::parse(trimmed).ok()).flatten() {
        return value;
    }
    if formats::is_read(name) && !NUMBERS.contains(&name) {
        return cell.into();
    }
    match trimmed {
        "true" | "True" | "TRUE" => true.into(),
        "false" | "False" | "FALSE" => false.into(),
        _ => match trimmed.parse::<i64>() {
            Ok(whole) => whole.into(),
            Err(_) if trimmed.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => {
                trimmed.parse().ok().and_then(Number::from_f64).map_or_else(|| cell.into(), Value::Number)
            }
            Err(_) => cell.into(),
        },
    }
}

fn failed(path: &Path, error: &csv::Error) -> Error {
    match error.kind() {
        csv::ErrorKind::Io(e) => super::failed(path, 1, std::io::Error::new(e.kind(), e.to_string())),
        _ => Diagnostic::new(Kind::Malformed, "the table cannot be read")
            .at(Place::file(path))
            .found(error.to_string())
            .remedy("save it as CSV in UTF-8, with the names of the columns in the first line")
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use serde_json::json;

    use super::*;

    fn read(name: &str, text: &str) -> Result<Vec<(usize, Result<Value, String>)>> {
        let path = Path::new(name);
        let mut out = Vec::new();
        rows(text.as_bytes(), delimiter(path).expect("a table"), path, &mut |row| {
            out.push((row.line, row.content.map(Value::Object).map_err(|e| e.what)));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(out)
    }

    #[test]
    fn cells_are_texts_numbers_and_lists_by_their_column_and_looks() {
        let text = "prompt,response,score,safe,chosen\n\"4, or\n5?\",42,-1.5,True,\"[{\"\"role\"\": \"\"user\"\"}]\"\nq,n/a,,3 of 4,[x\n";
        let rows = read("a.csv", text).expect("read");
        assert_eq!(
            rows[0],
            (
                2,
                Ok(
                    json!({"prompt": "4, or\n5?", "response": "42", "score": -1.5, "safe": true, "chosen": [{"role": "user"}]})
                )
            )
        );
        assert_eq!(
            rows[1],
            (4, Ok(json!({"prompt": "q", "response": "n/a", "safe": "3 of 4", "chosen": "[x"})))
        );
        let tabs = read("a.TSV", "prompt\tscore\na, b\t1e3\n").expect("read");
        assert_eq!(tabs[0].1, Ok(json!({"prompt": "a, b", "score": 1000.0})));
    }

    #[test]
    fn rows_of_another_length_and_columns_of_one_name_are_refused() {
        let rows = read("a.csv", "a,b\n1\n1,2\n").expect("read");
        assert!(
            rows[0].1.as_ref().is_err_and(|e| e.contains("another number of cells")) && rows[1].1.is_ok()
        );
        assert!(read("a.csv", "a,a\n1,2\n").expect_err("refused").to_string().contains("stands twice"));
        assert!(delimiter(Path::new("x.jsonl")).is_none() && delimiter(Path::new("x.csv.gz")) == Some(b','));
    }
}
