//! Writes to standard output and standard error. Either may be closed or full; neither failure aborts a run.
//!
//! A closed reader (`vstar run | head -1`) is no error; later output is dropped. If standard output fails for another
//! reason, such as a full disk, the program completes its work, then reports the failure and exits with an error.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::document::text::reorders;

/// Whether standard output is for a program: it receives one JSON value, and messages go to standard error.
static JSON: AtomicBool = AtomicBool::new(false);

/// Whether the reader of standard output is gone.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// First other failure of standard output.
static FAILURE: Mutex<Option<String>> = Mutex::new(None);

/// Prints with the grammar of `println!`; shadows the macro of that name in `commands`.
macro_rules! println {
    () => { $crate::commands::terminal::out::line(format_args!("")) };
    ($($arg:tt)+) => { $crate::commands::terminal::out::line(format_args!($($arg)+)) };
}

/// Prints with the grammar of `eprintln!`; shadows the macro of that name in `commands`.
macro_rules! eprintln {
    ($($arg:tt)+) => { $crate::commands::terminal::out::error_line(format_args!($($arg)+)) };
}

/// Makes control characters and bidirectional formatting marks visible: ids, names and texts come from untrusted
/// files, and a terminal would act on them.
pub fn shown(text: Arguments<'_>) -> String {
    use std::fmt::Write as _;
    let text = text.to_string();
    let acts = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || reorders(c);
    if !text.contains(acts) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        let _ = if acts(c) { write!(out, "{}", c.escape_unicode()) } else { write!(out, "{c}") };
    }
    out
}

/// Reserves standard output for a program.
pub fn give_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// Whether standard output is for a program.
pub fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// Prints the result of a command as JSON, if requested.
pub fn result(value: impl FnOnce() -> serde_json::Value) {
    if is_json() {
        // JSON escapes control characters itself, and bidirectional marks do not affect parsers.
        write(&serde_json::to_string_pretty(&value()).unwrap_or_default());
    }
}

/// Prints a line for people: to standard output, or to standard error if standard output is for a program.
pub fn line(text: Arguments<'_>) {
    if is_json() {
        return error_line(text);
    }
    write(&shown(text));
}

/// Writes a line to standard output unchanged.
fn write(text: &str) {
    if CLOSED.load(Ordering::Relaxed) {
        return;
    }
    let mut out = io::stdout().lock();
    if let Err(e) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        CLOSED.store(true, Ordering::Relaxed);
        if e.kind() != ErrorKind::BrokenPipe {
            FAILURE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert(e.to_string());
        }
    }
}

/// Prints a line to standard error, ignoring failures.
pub fn error_line(text: Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{}", shown(text));
}

/// Why standard output failed, unless only its reader was gone.
pub fn failure() -> Option<String> {
    FAILURE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_printed() {
        let text = shown(format_args!("a\u{1b}[31mb\u{7}\u{9b}c\u{202e}d\te\n\u{e9}"));
        assert_eq!(text, "a\\u{1b}[31mb\\u{7}\\u{9b}c\\u{202e}d\te\n\u{e9}");
    }
}
