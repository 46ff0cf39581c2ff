//! Simultaneous intervals for several figures behind one sentence.
//!
//! A sentence such as "2 of 30 lie above 0" concerns thirty intervals. At 95 % each, at least one of thirty figures
//! that are all 0 lies outside more often than not; at 1 − .05/30 each (Bonferroni), this happens in at most 5 % of
//! cases.

use statrs::distribution::{ContinuousCDF, Normal};

use crate::probe::influence::Z95;
use crate::theory::base::estimate::Estimate;
use crate::theory::reading::quote::quotable;

/// Number of standard errors that none of `of` normal figures exceeds on either side with probability 95 %.
pub(crate) fn z_for_all(of: usize) -> f64 {
    -Normal::standard().inverse_cdf(0.025 / of.max(1) as f64)
}

/// Simultaneous interval of one of `of` figures: both ends of its 95 % interval, extended in proportion. `None` for a
/// figure that is not reportable, or that has only a one-sided bound.
pub(crate) fn interval_for_all(e: &Estimate, of: usize) -> Option<(f64, f64)> {
    let (value, (lo, hi)) = (e.estimate.filter(|_| quotable(e))?, e.lo.zip(e.hi)?);
    let wider = z_for_all(of) / Z95;
    Some((value - wider * (value - lo), value + wider * (hi - value)))
}

/// Sign of a figure that clearly differs from 0: by its 95 % interval or, for a figure with an error but no interval,
/// by 1.96 standard errors; 0 if it does not. `None` without an error.
pub(crate) fn clear_side(e: &Estimate) -> Option<i8> {
    let value = e.estimate?;
    let (lo, hi) = match (e.lo, e.hi) {
        (None, None) => (value - Z95 * e.se?, value + Z95 * e.se?),
        (lo, hi) => (lo.unwrap_or(f64::NEG_INFINITY), hi.unwrap_or(f64::INFINITY)),
    };
    Some(i8::from(lo > 0.0) - i8::from(hi < 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::theory::base::estimate::Quantity;

    #[test]
    fn one_figure_keeps_its_interval_and_of_twenty_each_is_wider() {
        let e = Estimate::figure(Quantity::Gap, "m", 0.3, 0.1, (0.1, 0.6));
        let (lo, hi) = interval_for_all(&e, 1).expect("an interval");
        assert!((lo - 0.1).abs() < 1e-9 && (hi - 0.6).abs() < 1e-9, "{lo} {hi}");
        // The quantile of .00125 on either side.
        assert!((z_for_all(20) - 3.023_341).abs() < 1e-6, "{}", z_for_all(20));
        let (lo, hi) = interval_for_all(&e, 20).expect("an interval");
        let wider = 3.023_341 / 1.959_964;
        assert!((lo - (0.3 - 0.2 * wider)).abs() < 1e-6 && (hi - (0.3 + 0.3 * wider)).abs() < 1e-6);
        assert_eq!(interval_for_all(&e.clone().at_least(0.2), 1), None);
        assert_eq!(interval_for_all(&e.withheld("why"), 1), None);
    }

    #[test]
    fn a_figure_without_an_interval_is_told_from_0_by_its_error() {
        let e = |value: f64| {
            Estimate::figure(Quantity::EncodedSlope, "m", value, 0.1, (value - 0.4, value + 0.4))
        };
        assert_eq!(clear_side(&e(0.3)), Some(0));
        assert_eq!(clear_side(&e(-0.5)), Some(-1));
        let bare = |value: f64| Estimate { lo: None, hi: None, ..e(value) };
        assert_eq!(clear_side(&bare(0.3)), Some(1));
        assert_eq!(clear_side(&bare(0.1)), Some(0));
        assert_eq!(clear_side(&Estimate { se: None, ..bare(0.3) }), None);
    }
}
