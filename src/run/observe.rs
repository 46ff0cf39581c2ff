//! Captures and judges in memory: observations without a folder.

use crate::error::Result;
use crate::observations::Observations;
use crate::run::capture::{Prepared, captured};
use crate::run::judges::Judges;
use crate::run::progress::Progress;
use crate::run::rows::Rows;

impl Prepared {
    /// Reads every response under every constitution and asks the judges, all in memory: for jobs that fit in memory
    /// and need not survive the process. The states at the judges' answers are not kept.
    ///
    /// # Errors
    /// Errors of the items, the judges or the forward pass.
    pub fn observe(&self, judges: &Judges, progress: &mut dyn Progress) -> Result<Observations> {
        let job = self.job()?;
        let (mut meta, mut columns, resid, records) = captured(self, &job, progress)?;
        let rows = Rows::new(records);
        for answers in judges.answers(self, &rows, columns.logprob.as_deref(), progress)? {
            columns.judgments.extend(answers.judgments);
            columns.scores.extend(answers.scores);
            meta.extra.extend(answers.extra);
        }
        Observations::new(meta, columns, resid)
    }
}
