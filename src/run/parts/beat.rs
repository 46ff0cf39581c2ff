//! The signs of life of a part: its record, renewed every few seconds by a thread of its own, whatever the work does.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::error::{Error, Result};
use crate::run::parts::record::{EVERY, Phase, Record, Tokens, now};
use crate::run::progress::Progress;
use crate::units::Part;

/// A part's record while the part runs.
pub struct Beat {
    shared: Arc<Mutex<Record>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    run: PathBuf,
    part: Part,
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Beat {
    /// Writes the first record, and renews it from now on.
    ///
    /// # Errors
    /// The file system's error.
    pub fn begin(run: &Path, part: Part) -> Result<Self> {
        let record = Record::begin(part);
        record.write(run, part)?;
        let shared = Arc::new(Mutex::new(record));
        let (stop, stopped) = channel();
        let (own, folder) = (Arc::clone(&shared), run.to_owned());
        let thread = std::thread::spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(EVERY) {
                let record = {
                    let mut record = lock(&own);
                    record.beat = now();
                    record.clone()
                };
                // A missed beat does not end the work; the next one may succeed.
                if let Err(e) = record.write(&folder, part) {
                    tracing::warn!("cannot renew the record of part {part}: {e}");
                }
            }
        });
        Ok(Self { shared, stop: Some(stop), thread: Some(thread), run: run.to_owned(), part })
    }

    /// Notes the size of the part.
    pub fn expect(&self, shards: usize, tokens: Tokens) {
        let mut record = lock(&self.shared);
        (record.shards, record.tokens) = (shards, tokens);
    }

    /// Watches the steps of the work.
    pub fn watch<'a>(&'a self, inner: &'a mut dyn Progress) -> Watched<'a> {
        Watched { beat: self, inner, since: None }
    }

    fn silence(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// Writes the last record: how the work ended.
    ///
    /// # Errors
    /// The file system's error.
    pub fn end<T>(mut self, outcome: &Result<T>) -> Result<()> {
        self.silence();
        let mut record = lock(&self.shared).clone();
        record.beat = now();
        (record.phase, record.reason) = match outcome {
            Ok(_) => (Phase::Finished, None),
            Err(Error::Interrupted) => (Phase::Interrupted, None),
            Err(e) => (Phase::Failed, Some(e.to_string())),
        };
        if record.phase == Phase::Finished {
            record.tokens.done = record.tokens.total;
        }
        record.write(&self.run, self.part)
    }
}

impl Drop for Beat {
    fn drop(&mut self) {
        self.silence();
    }
}

/// Passes progress on and counts it in the record.
pub struct Watched<'a> {
    beat: &'a Beat,
    inner: &'a mut dyn Progress,
    since: Option<Instant>,
}

impl Watched<'_> {
    fn step(&mut self, step: &str) {
        lock(&self.beat.shared).step = step.to_owned();
        self.since = Some(Instant::now());
    }

    fn clock(&mut self) {
        if let Some(since) = self.since.replace(Instant::now()) {
            lock(&self.beat.shared).seconds += since.elapsed().as_secs_f64();
        }
    }
}

impl Progress for Watched<'_> {
    fn begin(&mut self, step: &str, tokens: usize) {
        self.step(step);
        self.inner.begin(step, tokens);
    }

    fn begin_timed(&mut self, step: &str, seconds: Option<f64>) {
        self.step(step);
        self.inner.begin_timed(step, seconds);
    }

    fn advance(&mut self, tokens: usize) -> Result<()> {
        self.clock();
        let mut record = lock(&self.beat.shared);
        record.tokens.done = (record.tokens.done + tokens as u64).min(record.tokens.total);
        drop(record);
        self.inner.advance(tokens)
    }

    fn end(&mut self) {
        self.clock();
        self.since = None;
        self.inner.end();
    }
}
