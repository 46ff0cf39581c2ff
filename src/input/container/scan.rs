//! Bytes of a reader: the next ones, and those that are passed over.

use std::io::{self, BufRead, ErrorKind};

/// The bytes that are at hand, none at the end; a call that a signal interrupted is made again.
pub(super) fn filled(reader: &mut impl BufRead) -> io::Result<&[u8]> {
    while let Err(error) = reader.fill_buf() {
        if error.kind() != ErrorKind::Interrupted {
            return Err(error);
        }
    }
    reader.fill_buf()
}

/// Passes over bytes of a kind, of which `seen` is told; the next byte of another, not taken, or `None` at the end.
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
