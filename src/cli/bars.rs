//! Progress bars: tokens done, rate, time left.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use crate::batch::progress::Progress;
use crate::error::{Error, Result};

/// Set by Ctrl-C.
fn interrupted() -> &'static AtomicBool {
    static FLAG: OnceLock<AtomicBool> = OnceLock::new();
    FLAG.get_or_init(|| AtomicBool::new(false))
}

/// Bars on the terminal; hidden where standard error is none.
#[derive(Default)]
pub struct Bars {
    bar: Option<ProgressBar>,
}

impl Bars {
    /// Listens for Ctrl-C: the first asks the job to stop at the next chunk, the second ends the program.
    pub fn new() -> Self {
        static ONCE: OnceLock<()> = OnceLock::new();
        ONCE.get_or_init(|| {
            // Without a handler Ctrl-C ends the program at once, which finished shards survive as well.
            let _ = ctrlc::set_handler(|| {
                if interrupted().swap(true, Ordering::SeqCst) {
                    std::process::exit(130);
                }
            });
        });
        Self::default()
    }

    /// Starts a bar that counts something.
    pub fn start(&mut self, step: &str, total: usize, unit: &str) {
        let template = format!(
            "{{msg:>8}} {{bar:30}} {{percent:>3}}% {{human_pos}}/{{human_len}} {unit}, {{per_sec}}, {{eta}} left"
        );
        let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar = Some(ProgressBar::new(total as u64).with_style(style).with_message(step.to_owned()));
    }

    /// Prints a line without disturbing the bar.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }
}

impl Progress for Bars {
    fn begin(&mut self, step: &str, tokens: usize) {
        self.start(step, tokens, "tokens");
    }

    fn advance(&mut self, tokens: usize) -> Result<()> {
        if let Some(bar) = &self.bar {
            bar.inc(tokens as u64);
        }
        if interrupted().load(Ordering::SeqCst) { Err(Error::Interrupted) } else { Ok(()) }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
    }
}
