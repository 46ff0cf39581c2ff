//! Progress reports of long jobs.

use crate::error::Result;

/// Observer of a job's progress; the command line draws progress bars, tests count.
pub trait Progress {
    /// A step starts; `tokens` is the number of tokens that it will compute, 0 if unknown.
    fn begin(&mut self, step: &str, tokens: usize);

    /// A step without countable parts starts; `seconds` is its estimated duration, if known.
    fn begin_timed(&mut self, step: &str, seconds: Option<f64>);

    /// `tokens` more tokens were computed. An error stops the job; finished results are kept.
    ///
    /// # Errors
    /// [`Error::Interrupted`](crate::error::Error::Interrupted), to stop.
    fn advance(&mut self, tokens: usize) -> Result<()>;

    /// The step has ended.
    fn end(&mut self);
}

/// An observer that ignores everything.
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: &str, _: usize) {}

    fn begin_timed(&mut self, _: &str, _: Option<f64>) {}

    fn advance(&mut self, _: usize) -> Result<()> {
        Ok(())
    }

    fn end(&mut self) {}
}
