//! What a long job tells whoever waits for it.

use crate::error::Result;

/// Listens to a job; the command line draws bars, tests count.
pub trait Progress {
    /// A step begins; `tokens` is what it will compute, 0 if that is not known.
    fn begin(&mut self, step: &str, tokens: usize);

    /// A step begins whose parts are not counted; `seconds` is about how long it will take, if that is known.
    fn begin_timed(&mut self, step: &str, seconds: Option<f64>);

    /// So many tokens were computed. An error ends the job; what is finished is kept.
    ///
    /// # Errors
    /// [`Error::Interrupted`](crate::error::Error::Interrupted), to stop.
    fn advance(&mut self, tokens: usize) -> Result<()>;

    /// The step is over.
    fn end(&mut self);
}

/// Tells nobody.
pub struct Silent;

impl Progress for Silent {
    fn begin(&mut self, _: &str, _: usize) {}

    fn begin_timed(&mut self, _: &str, _: Option<f64>) {}

    fn advance(&mut self, _: usize) -> Result<()> {
        Ok(())
    }

    fn end(&mut self) {}
}
