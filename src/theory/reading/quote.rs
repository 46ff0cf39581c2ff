//! Formats estimates for readers: reportable figures, and substitutes for withheld ones.

use crate::theory::base::estimate::Estimate;

pub use crate::document::number::{
    NOT_IDENTIFIABLE, NOTHING, count, counted, interval, number, optional, p, percent, size,
};

/// The figure of an estimate, whether or not it passed its gate.
pub fn figure(estimate: &Estimate) -> String {
    optional(estimate.estimate, estimate.se)
}

/// `0.610 [0.532, 0.688]`: the figure with its 95 % interval, whether or not it passed its gate; `0.610 [≥ 0.545]`
/// with a one-sided bound.
pub fn with_interval(estimate: &Estimate) -> String {
    match estimate.estimate {
        Some(value) => interval(value, (estimate.lo, estimate.hi), estimate.se),
        None => NOTHING.to_owned(),
    }
}

/// For a headline: the figure with its interval if reportable, "n.i." if not; "–" if there is none.
pub fn headline(estimate: Option<&Estimate>) -> String {
    match estimate {
        None => NOTHING.to_owned(),
        Some(e) if quotable(e) => with_interval(e),
        Some(_) => NOT_IDENTIFIABLE.to_owned(),
    }
}

/// For a headline: the figure alone.
pub fn headline_figure(estimate: Option<&Estimate>) -> String {
    match estimate {
        None => NOTHING.to_owned(),
        Some(e) if quotable(e) => figure(e),
        Some(_) => NOT_IDENTIFIABLE.to_owned(),
    }
}

/// For the detail section: withheld figures are in parentheses.
pub fn detail(estimate: &Estimate) -> String {
    let text = with_interval(estimate);
    if quotable(estimate) || estimate.estimate.is_none() { text } else { format!("({text})") }
}

/// Whether an estimate has a figure that passed its gate.
pub fn quotable(estimate: &Estimate) -> bool {
    estimate.reportable && estimate.estimate.is_some_and(f64::is_finite)
}
