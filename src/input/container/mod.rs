//! Data files: JSON lines, a JSON array or parquet, detected by their first bytes, and tables (CSV, TSV), detected by
//! their names; all but parquet may be gzipped.

mod gzip;
mod lines;
#[cfg(feature = "parquet")]
mod parquet;
mod scan;
mod table;
#[cfg(not(feature = "parquet"))]
mod parquet {
    //! Replacement for the parquet reader in a build without it.

    use std::fs::File;
    use std::path::Path;

    use super::Sink;
    use crate::error::{Diagnostic, Kind, Place, Result};

    pub(super) fn rows(_: File, path: &Path, _: Sink) -> Result<()> {
        Err(Diagnostic::new(Kind::Unsupported, "this program was built without parquet")
            .at(Place::file(path))
            .expected("JSON lines, or a JSON array")
            .remedy("build it with the feature `parquet`, or convert the file")
            .into())
    }
}

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::ops::ControlFlow;
use std::path::Path;

use serde_json::{Map, Value};

use super::embedded::prompts_text;
use crate::error::{Diagnostic, Error, Excerpt, Kind, Place, Result};
use crate::json;

/// Extensions of data files, without `.gz`.
pub(crate) const ENDINGS: [&str; 6] = [".jsonl", ".ndjson", ".json", ".parquet", ".csv", ".tsv"];

/// Maximum length of a row, in bytes; a longer one is refused without being held in memory.
pub const MAX_ROW: usize = 64 << 20;

/// A row, or the reason why it cannot be read.
pub(super) struct Row {
    /// The line on which the row starts, or the row number in a parquet file, counted from 1.
    pub line: usize,
    /// Number used in generated ids: the line if each row has its own, otherwise the row number.
    pub number: usize,
    /// Keys and values.
    pub content: Result<Map<String, Value>, Diagnostic>,
}

/// Callback for each row; `Break` stops reading.
pub(super) type Sink<'a> = &'a mut dyn FnMut(Row) -> Result<ControlFlow<()>>;

/// First bytes of files that look like data but cannot be read.
const FOREIGN: [(&[u8], &str, &str); 6] = [
    (b"\xff\xfe", "text in UTF-16", "save it as UTF-8"),
    (b"\xfe\xff", "text in UTF-16", "save it as UTF-8"),
    (b"\x28\xb5\x2f\xfd", "a file compressed by zstd", "decompress it, or compress it by gzip"),
    (b"PK\x03\x04", "a zip archive", "unpack it"),
    (b"BZh", "a file compressed by bzip2", "decompress it, or compress it by gzip"),
    (b"\xfd7zXZ", "a file compressed by xz", "decompress it, or compress it by gzip"),
];

/// Reads the rows of a file.
///
/// # Errors
/// Errors of the sink; errors that make the rest of the file unreadable: a missing file, a damaged compressed stream,
/// an unclosed array.
pub(super) fn for_each_row(path: &Path, sink: Sink) -> Result<()> {
    if let Some(embedded) = prompts_text(path) {
        return text(Cursor::new(embedded?), path, sink);
    }
    if path.is_dir() {
        return Err(Diagnostic::new(Kind::Invalid, "a folder stands where a file of items is needed")
            .at(Place::file(path))
            .remedy("name the files in it")
            .into());
    }
    let mut file = File::open(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Diagnostic::new(Kind::Missing, "no such file")
            .at(Place::file(path))
            .remedy("check the path")
            .into(),
        _ => Error::io("read", path, e),
    })?;
    let head = peek(&mut file, 8).map_err(|e| Error::io("read", path, e))?;
    if head.starts_with(b"PAR1") {
        return parquet::rows(file, path, sink);
    }
    let raw = Cursor::new(head.clone()).chain(file);
    if head.starts_with(b"\x1f\x8b") {
        text(BufReader::with_capacity(1 << 16, gzip::Members::new(BufReader::new(raw))), path, sink)
    } else {
        text(BufReader::with_capacity(1 << 16, raw), path, sink)
    }
}

fn text(mut reader: impl BufRead, path: &Path, sink: Sink) -> Result<()> {
    let head = peek(&mut reader, 8).map_err(|e| failed(path, 1, e))?;
    if let Some((_, what, remedy)) = FOREIGN.iter().find(|(magic, ..)| head.starts_with(magic)) {
        return Err(Diagnostic::new(Kind::Unsupported, format!("cannot read {what}"))
            .at(Place::file(path))
            .expected("JSON lines, a JSON array, CSV or TSV, any of them compressed by gzip, or parquet")
            .remedy(*remedy)
            .into());
    }
    let head = head.strip_prefix(b"\xef\xbb\xbf".as_slice()).unwrap_or(&head).to_vec();
    let mut reader = Cursor::new(head).chain(reader);
    match table::delimiter(path) {
        Some(delimiter) => table::rows(reader, delimiter, path, sink),
        None => lines::rows(&mut reader, path, sink),
    }
}

/// The first bytes, up to `most` of them.
fn peek(reader: &mut impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.take(most).read_to_end(&mut head)?;
    Ok(head)
}

/// A read error that ends a file, from the file system or the compressed stream.
fn failed(path: &Path, line: usize, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            Diagnostic::new(Kind::Malformed, "the compressed stream ends early or is damaged")
                .at(Place::file(path).line(line))
                .found(error.to_string())
                .remedy("fetch or compress the file again; what comes after this line cannot be read")
                .into()
        }
        _ => Error::io("read", path, error),
    }
}

/// Parses one row of JSON that starts at a line of the file. The place contains only the line.
fn parse(bytes: &[u8], line: usize) -> Result<Map<String, Value>, Diagnostic> {
    let at = |line: usize| Place { line: Some(line), ..Place::default() };
    let text = std::str::from_utf8(bytes).map_err(|e| {
        Diagnostic::new(Kind::Malformed, "the row is not UTF-8")
            .at(at(line))
            .found(format!("byte {:#04x} at byte {} of the row", bytes[e.valid_up_to()], e.valid_up_to() + 1))
            .remedy("save the file as UTF-8")
    })?;
    // Without the line break: otherwise a truncated row would be reported on the next line.
    match json::parse(text.trim_ascii_end()) {
        Ok(Value::Object(row)) => Ok(row),
        Ok(other) => Err(Diagnostic::new(Kind::Malformed, "the row is not a JSON object")
            .at(at(line))
            .expected("an object: {\"prompt\": …, \"responses\": […]}")
            .found(Excerpt(&other.to_string()).to_string())),
        Err(fault) => Err(Diagnostic::new(Kind::Malformed, "the row is not JSON")
            .at(at(line + fault.line.saturating_sub(1)))
            .expected("one JSON object a line, or one array of objects")
            .found(format!("{}, at column {}", fault.what, fault.column))),
    }
}
