//! Progress of long steps on standard error: bars with rate and time left on a terminal; otherwise a line at the
//! start of a step and one every half minute.

use std::io::{IsTerminal, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::meter::{Length, Meter};
use super::numbers::{about, compact, duration};
use crate::error::{Error, Result};
use crate::model::hub::Downloads;
use crate::run::progress::Progress;

/// Flag set by Ctrl-C.
fn interrupted() -> &'static AtomicBool {
    static FLAG: OnceLock<AtomicBool> = OnceLock::new();
    FLAG.get_or_init(|| AtomicBool::new(false))
}

/// Flag set by `--quiet`.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Turns off progress output.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Interval at which a bar is redrawn and due lines are printed.
const TICK: Duration = Duration::from_millis(500);

/// Progress of consecutive steps.
#[derive(Default)]
pub struct Bars {
    shown: Shown,
}

#[derive(Default)]
enum Shown {
    #[default]
    Nothing,
    Bar(ProgressBar),
    Lines(Arc<Mutex<Meter>>),
}

/// Time since the program began to show progress.
fn now() -> Duration {
    static BEGAN: OnceLock<Instant> = OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed()
}

fn lock(meter: &Mutex<Meter>) -> MutexGuard<'_, Meter> {
    meter.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints due lines until the step is over, independently of the work itself.
fn watch(meter: Weak<Mutex<Meter>>) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(TICK);
            let Some(meter) = meter.upgrade() else { return };
            let line = lock(&meter).due(now());
            if let Some(line) = line {
                eprintln!("{line}");
            }
        }
    });
}

/// Asks the job to stop; the second call ends the program.
fn stop() {
    if interrupted().swap(true, Ordering::SeqCst) {
        std::process::exit(130);
    }
}

impl Bars {
    /// Handles Ctrl-C, SIGTERM and SIGHUP: the first asks the job to stop at the next chunk, the second ends the
    /// program.
    pub fn new() -> Self {
        static ONCE: OnceLock<()> = OnceLock::new();
        ONCE.get_or_init(|| {
            // Without a handler Ctrl-C ends the program at once; finished shards survive that as well.
            let _ = ctrlc::set_handler(stop);
            #[cfg(unix)]
            super::endings::listen(stop);
        });
        Self::default()
    }

    /// Starts a step with a known total.
    pub fn start(&mut self, step: &str, total: usize, unit: &'static str) {
        self.show(step, Length::Count(total as u64, unit), 0);
    }

    /// Prints a line without disrupting the bar.
    pub fn say(&self, line: &str) {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(|| println!("{line}")),
            _ => println!("{line}"),
        }
    }

    fn show(&mut self, step: &str, length: Length, already: u64) {
        self.finish();
        if QUIET.load(Ordering::Relaxed) {
            return;
        }
        if stderr().is_terminal() {
            let bar = bar(step, length);
            bar.set_position(already);
            bar.reset_eta();
            bar.enable_steady_tick(TICK);
            self.shown = Shown::Bar(bar);
            return;
        }
        let (meter, line) = Meter::begin(step, length, already, now());
        eprintln!("{line}");
        let meter = Arc::new(Mutex::new(meter));
        watch(Arc::downgrade(&meter));
        self.shown = Shown::Lines(meter);
    }

    fn add(&self, n: u64) -> Result<()> {
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar) => bar.inc(n),
            Shown::Lines(meter) => lock(meter).advance(n),
        }
        if interrupted().load(Ordering::SeqCst) { Err(Error::Interrupted) } else { Ok(()) }
    }

    fn finish(&mut self) {
        match std::mem::take(&mut self.shown) {
            Shown::Nothing => {}
            Shown::Bar(bar) => bar.finish(),
            Shown::Lines(meter) => {
                let line = lock(&meter).end(now());
                if let Some(line) = line {
                    eprintln!("{line}");
                }
            }
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        if let Shown::Bar(bar) = std::mem::take(&mut self.shown) {
            bar.abandon();
        }
    }
}

/// A bar with done, total, rate and time left, or a clock if the total is unknown.
fn bar(step: &str, length: Length) -> ProgressBar {
    let (total, template) = match length {
        Length::Count(total, unit) if total > 0 => (
            Some(total),
            format!(
                "{{msg}} {{bar:30}} {{percent:>3}}% {{done}}/{{all}} {unit}, {{rate}} {unit}/s, {{left}} left"
            ),
        ),
        Length::Count(_, unit) => (None, format!("{{msg}} {{spinner}} {{done}} {unit}, {{elapsed}}")),
        Length::Seconds(s) => (None, format!("{{msg}} {{spinner}} {{elapsed}} of {}", about(s))),
        Length::Unknown => (None, "{msg} {spinner} {elapsed}".to_owned()),
    };
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let style = style
        .with_key("done", |s: &ProgressState, w: &mut dyn std::fmt::Write| {
            let _ = w.write_str(&compact(s.pos() as f64));
        })
        .with_key("all", |s: &ProgressState, w: &mut dyn std::fmt::Write| {
            let _ = w.write_str(&compact(s.len().unwrap_or(0) as f64));
        })
        .with_key("rate", |s: &ProgressState, w: &mut dyn std::fmt::Write| {
            let _ = w.write_str(&compact(s.per_sec()));
        })
        .with_key("left", |s: &ProgressState, w: &mut dyn std::fmt::Write| {
            let _ = w.write_str(&duration(s.eta().as_secs_f64()));
        });
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.with_style(style).with_message(step.to_owned())
}

impl Progress for Bars {
    fn begin(&mut self, step: &str, tokens: usize) {
        self.start(step, tokens, "tokens");
    }

    fn begin_timed(&mut self, step: &str, seconds: Option<f64>) {
        self.show(step, seconds.map_or(Length::Unknown, Length::Seconds), 0);
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
        self.show(file, Length::Count(bytes, "B"), already);
    }

    fn advance(&mut self, bytes: u64) -> Result<()> {
        self.add(bytes)
    }

    fn end(&mut self) {
        self.finish();
    }

    fn begin_step(&mut self, step: &str) {
        self.show(step, Length::Unknown, 0);
    }

    fn end_step(&mut self) {
        self.finish();
    }
}
