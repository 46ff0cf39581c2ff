//! Rows of JSON text: one per line, or the elements of one array, which may be a member of an object (`{"data": […]}`);
//! only one row is in memory at a time.

use std::io::{self, BufRead, Cursor, Read};
use std::path::Path;

use super::scan::{filled, pass_over};
use super::{MAX_ROW, Row, Sink, failed, parse};
use crate::error::{Diagnostic, Kind, Place, Result};

/// Reads the rows of a text; its first non-space byte tells which of the two forms it has.
pub(super) fn rows(reader: &mut impl BufRead, path: &Path, sink: Sink) -> Result<()> {
    let mut line = 1;
    match skip_space(reader, &mut line).map_err(|e| failed(path, line, e))? {
        Some(b'[') => array(reader, path, line, false, sink),
        Some(b'{') => {
            let (is_wrapped, head) = wrapped(reader).map_err(|e| failed(path, line, e))?;
            if is_wrapped {
                line += head.iter().filter(|byte| **byte == b'\n').count();
                return array(reader, path, line, true, sink);
            }
            json_lines(&mut Cursor::new(head).chain(reader), path, line, sink)
        }
        Some(_) => json_lines(reader, path, line, sink),
        None => Ok(()),
    }
}

/// Names of the member with the rows, if a file is a single object.
const WRAPPERS: [&[u8]; 7] = [b"data", b"rows", b"items", b"examples", b"instances", b"train", b"test"];

/// Maximum number of bytes of an object's head searched for the member with the rows.
const MAX_HEAD: usize = 1 << 16;

/// Whether the text is an object that has an array of rows among its first members, after scalar ones; also returns the
/// bytes read, up to the array if there is one.
fn wrapped(reader: &mut impl BufRead) -> io::Result<(bool, Vec<u8>)> {
    let mut head = Head { reader, read: Vec::new() };
    let found = head.finds_rows()?;
    Ok((found, head.read))
}

struct Head<'r, R> {
    reader: &'r mut R,
    read: Vec<u8>,
}

impl<R: BufRead> Head<'_, R> {
    fn peek(&mut self) -> io::Result<Option<u8>> {
        if self.read.len() >= MAX_HEAD {
            return Ok(None);
        }
        Ok(filled(self.reader)?.first().copied())
    }

    fn next(&mut self) -> io::Result<Option<u8>> {
        let next = self.peek()?;
        if let Some(byte) = next {
            self.reader.consume(1);
            self.read.push(byte);
        }
        Ok(next)
    }

    /// Peeks at the next non-space byte.
    fn after_space(&mut self) -> io::Result<Option<u8>> {
        while self.peek()?.is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.next()?;
        }
        self.peek()
    }

    /// Reads a quoted string; returns the bytes between the quotes.
    fn string(&mut self) -> io::Result<Option<Vec<u8>>> {
        let start = self.read.len() + 1;
        if self.next()? != Some(b'"') {
            return Ok(None);
        }
        loop {
            match self.next()? {
                Some(b'"') => return Ok(Some(self.read[start..self.read.len() - 1].to_vec())),
                Some(b'\\') => drop(self.next()?),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    fn finds_rows(&mut self) -> io::Result<bool> {
        self.next()?;
        loop {
            if self.after_space()? != Some(b'"') {
                return Ok(false);
            }
            let Some(key) = self.string()? else { return Ok(false) };
            if self.after_space()? != Some(b':') {
                return Ok(false);
            }
            self.next()?;
            match self.after_space()? {
                Some(b'[') => return Ok(WRAPPERS.contains(&key.as_slice())),
                Some(b'"') => drop(self.string()?),
                Some(b'{') | None => return Ok(false),
                Some(_) => {
                    while self
                        .peek()?
                        .is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
                    {
                        self.next()?;
                    }
                }
            }
            if self.after_space()? != Some(b',') {
                return Ok(false);
            }
            self.next()?;
        }
    }
}

fn json_lines(reader: &mut impl BufRead, path: &Path, mut line: usize, sink: Sink) -> Result<()> {
    let mut row = Vec::new();
    loop {
        row.clear();
        let read = read_line(reader, &mut row).map_err(|e| failed(path, line, e))?;
        if read == 0 {
            return Ok(());
        }
        if !row.trim_ascii().is_empty() || read > MAX_ROW {
            let content =
                if read > MAX_ROW { Err(too_long(read, line)) } else { parse(row.trim_ascii_end(), line) };
            if sink(Row { line, number: line, content })?.is_break() {
                return Ok(());
            }
        }
        line += 1;
    }
}

/// Reads to the end of the line; returns its length in bytes, of which at most [`MAX_ROW`] are kept.
fn read_line(reader: &mut impl BufRead, row: &mut Vec<u8>) -> io::Result<usize> {
    let mut read = 0usize;
    loop {
        let buffer = filled(reader)?;
        if buffer.is_empty() {
            return Ok(read);
        }
        let end = buffer.iter().position(|b| *b == b'\n');
        let taken = end.map_or(buffer.len(), |at| at + 1);
        read += taken;
        if read <= MAX_ROW {
            row.extend_from_slice(&buffer[..taken]);
        } else {
            row.clear();
        }
        reader.consume(taken);
        if end.is_some() {
            return Ok(read);
        }
    }
}

fn too_long(read: usize, line: usize) -> Diagnostic {
    Diagnostic::new(Kind::TooLong, "the row is too long to be read")
        .at(Place { line: Some(line), ..Place::default() })
        .expected(format!("at most {MAX_ROW} bytes"))
        .found(format!("{read} bytes"))
        .remedy("check that rows are separated by line breaks, or by commas inside one array")
}

/// Skips white space; returns the next byte without consuming it, or `None` at the end.
fn skip_space(reader: &mut impl BufRead, line: &mut usize) -> io::Result<Option<u8>> {
    let count = |passed: &[u8]| *line += passed.iter().filter(|b| **b == b'\n').count();
    pass_over(reader, |byte| byte.is_ascii_whitespace(), count)
}

/// State of an array scan: enough to find the commas between its elements.
#[derive(Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// Consumes one byte; true if it ends an element: a comma, or the array's own closing bracket.
    fn ends(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b',' | b']' if self.depth == 0 => return true,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        false
    }
}

/// Reads the elements of an array that starts with the next byte; `inside` an object, whose further members are
/// skipped.
fn array(reader: &mut impl BufRead, path: &Path, mut line: usize, inside: bool, sink: Sink) -> Result<()> {
    let broken = |what: &str, line: usize| {
        Diagnostic::new(Kind::Malformed, what)
            .at(Place::file(path).line(line))
            .expected("one array of objects and nothing else: [{…}, {…}]")
            .remedy("check that the file is complete")
    };
    reader.consume(1);
    for number in 1.. {
        if skip_space(reader, &mut line).map_err(|e| failed(path, line, e))?.is_none() {
            return Err(broken("the file ends inside its array", line).into());
        }
        let (start, mut row, mut read, mut scan) = (line, Vec::new(), 0, Scan::default());
        let ended_by = loop {
            let buffer = filled(reader).map_err(|e| failed(path, line, e))?;
            if buffer.is_empty() {
                return Err(broken("the file ends inside its array", line)
                    .found(format!("an element that begins on line {start}"))
                    .into());
            }
            let end = buffer.iter().position(|b| scan.ends(*b));
            let taken = end.unwrap_or(buffer.len());
            line += buffer[..taken].iter().filter(|b| **b == b'\n').count();
            read += taken;
            if read <= MAX_ROW {
                row.extend_from_slice(&buffer[..taken]);
            } else {
                row.clear();
            }
            let last = end.map(|at| buffer[at]);
            reader.consume(taken + usize::from(end.is_some()));
            if let Some(byte) = last {
                break byte;
            }
        };
        let closes = ended_by == b']';
        // `[]` has no element; `[{…},]` has a missing one.
        if !(number == 1 && closes && row.is_empty()) {
            let content = if read > MAX_ROW { Err(too_long(read, start)) } else { parse(&row, start) };
            if sink(Row { line: start, number, content })?.is_break() {
                return Ok(());
            }
        }
        if closes && inside {
            let mut rest = Vec::new();
            reader.take(MAX_ROW as u64).read_to_end(&mut rest).map_err(|e| failed(path, line, e))?;
            let rest = rest.trim_ascii();
            // Another member, or the end of the object.
            let rest = rest.strip_prefix(b",").filter(|r| !r.trim_ascii().starts_with(b"}")).unwrap_or(rest);
            let object = [b"{", rest].concat();
            return match serde_json::from_slice::<serde::de::IgnoredAny>(&object) {
                Ok(_) => Ok(()),
                Err(_) => Err(broken("the object that holds the rows does not end well", line).into()),
            };
        }
        if closes {
            return match skip_space(reader, &mut line).map_err(|e| failed(path, line, e))? {
                None => Ok(()),
                Some(_) => Err(broken("there is text after the array", line).into()),
            };
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Cursor};
    use std::ops::ControlFlow;

    use super::*;

    fn read(text: &[u8], capacity: usize) -> (Vec<(usize, bool)>, Result<()>) {
        let mut seen = Vec::new();
        let mut reader = BufReader::with_capacity(capacity, Cursor::new(text));
        let end = rows(&mut reader, Path::new("x.json"), &mut |row| {
            seen.push((row.line, row.content.is_ok()));
            Ok(ControlFlow::Continue(()))
        });
        (seen, end)
    }

    #[test]
    fn an_array_is_read_the_same_through_buffers_of_any_size() {
        let text = b" [\n {\"a\": \"],\\\"[\"},\n\n {\"b\": [1, {\"c\": []}]}\n, 7,{}] \n";
        for capacity in 1..40 {
            let (seen, end) = read(text, capacity);
            assert!(end.is_ok(), "{end:?}");
            assert_eq!(seen, [(2, true), (4, true), (5, false), (5, true)]);
        }
    }

    #[test]
    fn an_array_that_is_not_closed_or_is_followed_by_text_is_refused() {
        for text in ["[", "[{}", "[{\"a\": \"", "[{}] {}", "[{}]]", "[{},"] {
            assert!(read(text.as_bytes(), 4).1.is_err(), "{text}");
        }
        assert_eq!(read(b"[]", 4).0, []);
        assert_eq!(read(b"[{},]", 4).0, [(1, true), (1, false)]);
    }

    #[test]
    fn rows_may_be_a_member_of_an_object() {
        for (text, rows) in [
            ("{\"data\": [{}, {\"a\": [1]}]}", vec![(1, true), (1, true)]),
            (
                "{\n \"version\": \"1]\\\"\", \"n\": -2.5e3,\n \"rows\": [\n{},\n7], \"x\": {\"y\": [1]}}\n",
                vec![(4, true), (5, false)],
            ),
            // Rows that are objects themselves, one per line.
            ("{\"a\": 1, \"data\": 2}\n{\"b\": [1]}", vec![(1, true), (2, true)]),
            ("{\"responses\": [1]}\n{}\n", vec![(1, true), (2, true)]),
            ("{}", vec![(1, true)]),
            ("{\"a\"", vec![(1, false)]),
        ] {
            for capacity in [1, 3, 64] {
                let (seen, end) = read(text.as_bytes(), capacity);
                assert!(end.is_ok(), "{text}: {end:?}");
                assert_eq!(seen, rows, "{text}");
            }
        }
        for text in ["{\"data\": [{}", "{\"data\": [{}]", "{\"data\": [{}]} {}", "{\"data\": [{}], }"] {
            assert!(read(text.as_bytes(), 8).1.is_err(), "{text}");
        }
    }

    #[test]
    fn lines_are_counted_over_blank_ones_and_carriage_returns() {
        let (seen, end) = read(b"\r\n{}\r\n \r\n{}\n\nnull\n{}", 3);
        assert!(end.is_ok());
        assert_eq!(seen, [(2, true), (4, true), (6, false), (7, true)]);
    }

    #[test]
    fn a_row_longer_than_the_limit_is_refused_and_the_next_one_is_read() {
        let mut text = vec![b'x'; MAX_ROW + 10];
        text.extend_from_slice(b"\n{}");
        let (seen, end) = read(&text, 1 << 16);
        assert!(end.is_ok());
        assert_eq!(seen, [(1, false), (2, true)]);
    }
}
