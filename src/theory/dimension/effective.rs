//! Definition 8: the effective dimension.
//!
//! See [`effective`](crate::theory::base::effective) for the estimator.

use crate::theory::base::bench::Bench;
use crate::theory::base::effective::{Dimension, dimension_of, widening};
use crate::theory::base::estimate::{Estimate, Flag, Quantity};

/// Kurtosis above which a warning is given.
const HEAVY: f64 = 6.0;

/// Effective dimension of a bench's contrasts; `None` with fewer than three blocks, or where the cross-block sum is
/// by chance not positive.
pub fn dimension(bench: &Bench) -> Option<Dimension> {
    *bench.dimension.get_or_init(|| dimension_of(&bench.spectrum, bench.contrasts.blocks()))
}

/// `d_eff` and `d_eff_naive`.
pub fn estimates(bench: &Bench) -> Vec<Estimate> {
    let Some(found) = dimension(bench) else {
        return vec![Estimate::new(Quantity::DEff, METHOD).warn("too few blocks")];
    };
    let naive = Estimate::bare(Quantity::DEffNaive, "sample covariance", found.naive).warn("biased low");
    vec![estimate(Quantity::DEff, &found), naive]
}

const METHOD: &str = "cross-block; jackknife of the logarithm, Student's t, corrected for skewness and tails";

/// Converts a dimension to an estimate of the given quantity.
pub fn estimate(quantity: Quantity, found: &Dimension) -> Estimate {
    let mut out = Estimate::figure(quantity, METHOD, found.d_eff, found.se(), found.interval);
    // A dimension of zero is no meaningful hypothesis.
    out.z = None;
    if found.log_se > 0.5 {
        out = out.warn("a few blocks carry most of the variance: the interval may be too short");
    }
    if found.kurtosis > HEAVY {
        out = out.flag(Flag::HeavyTails).warn(format!(
            "heavy tails: the leading components have a kurtosis of {:.0} where normal ones have 3; the interval is \
             {:.1} × as wide for it",
            found.kurtosis,
            widening(found.kurtosis)
        ));
    }
    out
}
