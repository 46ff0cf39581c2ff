//! Standard output and standard error, which may be closed or full: no output is worth a run.
//!
//! A reader that goes away (`vstar run | head -1`) is no error: what follows is not printed. Where standard output
//! fails for another reason, such as a full disk, the program does its work, then says so and ends with an error.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// Prints a line to standard output.
pub fn line(text: Arguments<'_>) {
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
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Why standard output failed, if it did and somebody could still read it.
pub fn failure() -> Option<String> {
    FAILURE.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
}
