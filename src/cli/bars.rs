//! Progress bars: tokens or bytes done, rate, time left.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

use crate::batch::progress::Progress;
use crate::error::{Error, Result};
use crate::model::hub::Downloads;

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
        self.show(&template, step, total as u64);
    }

    /// Prints a line without disturbing the bar.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
    }

    fn show(&mut self, template: &str, message: &str, len: u64) {
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.bar = Some(ProgressBar::new(len).with_style(style).with_message(message.to_owned()));
    }

    fn add(&self, n: u64) -> Result<()> {
        if let Some(bar) = &self.bar {
            bar.inc(n);
        }
        if interrupted().load(Ordering::SeqCst) { Err(Error::Interrupted) } else { Ok(()) }
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish();
        }
    }
}

impl Progress for Bars {
    fn begin(&mut self, step: &str, tokens: usize) {
        self.start(step, tokens, "tokens");
    }

    fn advance(&mut self, tokens: usize) -> Result<()> {
        self.add(tokens as u64)
    }

    fn end(&mut self) {
        self.finish();
    }
}

impl Downloads for Bars {
    fn begin(&mut self, file: &str, bytes: u64, already: u64) {
        let template = "{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
        if let Some(bar) = self.bar.take() {
            bar.abandon();
        }
        self.show(template, file, bytes);
        if let Some(bar) = &self.bar {
            bar.set_position(already);
            bar.reset_eta();
        }
    }

    fn advance(&mut self, bytes: u64) -> Result<()> {
        self.add(bytes)
    }

    fn end(&mut self) {
        self.finish();
    }
}
