//! Buffered reading helpers: peeks at bytes and skips them.

use std::io::{self, BufRead, ErrorKind};

/// The buffered bytes, empty at the end; retries calls interrupted by a signal.
pub(super) fn filled(reader: &mut impl BufRead) -> io::Result<&[u8]> {
    while let Err(error) = reader.fill_buf() {
        if error.kind() != ErrorKind::Interrupted {
            return Err(error);
        }
    }
    reader.fill_buf()
}

/// Skips bytes of a kind and passes them to `seen`; returns the next other byte without consuming it, or `None` at the
/// end.
pub(super) fn pass_over(
    reader: &mut impl BufRead,
    is: impl Fn(u8) -> bool,
    mut seen: impl FnMut(&[u8]),
) -> io::Result<Option<u8>> {
    loop {
        let buffer = filled(reader)?;
        if buffer.is_empty() {
            return Ok(None);
        }
        let passed = buffer.iter().position(|byte| !is(*byte)).unwrap_or(buffer.len());
        seen(&buffer[..passed]);
        let next = buffer.get(passed).copied();
        reader.consume(passed);
        if next.is_some() {
            return Ok(next);
        }
    }
}
