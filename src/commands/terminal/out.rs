//! Standard output and standard error, which may be closed or full: no output is worth a run.
//!
//! A reader that goes away (`vstar run | head -1`) is no error: what follows is not printed. Where standard output
//! fails for another reason, such as a full disk, the program does its work, then says so and ends with an error.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::document::text::reorders;

/// Whether standard output is for a program: it gets one JSON value, and what is for people goes to standard error.
static JSON: AtomicBool = AtomicBool::new(false);

/// Whether nobody reads standard output any more.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// The first other failure of standard output.
static FAILURE: Mutex<Option<String>> = Mutex::new(None);

/// Prints with `println!`'s grammar; shadows the macro of that name in `commands`.
macro_rules! println {
    () => { $crate::commands::terminal::out::line(format_args!("")) };
    ($($arg:tt)+) => { $crate::commands::terminal::out::line(format_args!($($arg)+)) };
}

/// Prints with `eprintln!`'s grammar; shadows the macro of that name in `commands`.
macro_rules! eprintln {
    ($($arg:tt)+) => { $crate::commands::terminal::out::error_line(format_args!($($arg)+)) };
}

/// A text with control characters, and marks that turn the direction of writing, made visible: ids, names and texts
/// come from files of others, and a terminal obeys what it is sent.
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

/// From now on standard output is for a program.
pub fn give_json() {
    JSON.store(true, Ordering::Relaxed);
}

/// Whether standard output is for a program.
pub fn is_json() -> bool {
    JSON.load(Ordering::Relaxed)
}

/// The result of a command, for a program; printed where one was asked for.
pub fn result(value: &serde_json::Value) {
    if is_json() {
        // JSON escapes control characters itself, and marks that turn the direction of writing reorder no parser.
        write(&serde_json::to_string_pretty(value).unwrap_or_default());
    }
}

/// Prints a line for people: to standard output, or to standard error where that is for a program.
pub fn line(text: Arguments<'_>) {
    if is_json() {
        return error_line(text);
    }
    write(&shown(text));
}

/// A line as it is on standard output.
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

/// Prints a line to standard error; where that fails, there is nobody left to tell.
pub fn error_line(text: Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{}", shown(text));
}

/// Why standard output failed, if it did and somebody could still read it.
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
