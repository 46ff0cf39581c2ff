//! What a long job tells whoever waits for it.

use crate::error::Result;

/// Listens to a job; the command line draws bars, tests count.
pub trait Progress {
    /// A step begins; `tokens` is what it will compute, 0 if that is not known.
    fn begin(&mut self, step: &str, tokens: usize);

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

    fn advance(&mut self, _: usize) -> Result<()> {
        Ok(())
    }

    fn end(&mut self) {}
}
