//! Proposition 5: judgment against generation, cos(v_c, v*) − cos(w, v*).
//!
//! w is the direction of log P in the residual stream (Assumption 2); both cosines are taken on the same
//! contrasts, and their influences subtracted, so that what they share cancels in the interval.

use super::bench::Bench;
use super::estimate::{Estimate, Quantity};
use super::improvement::Angle;
use crate::probe::influence::{Influence, normal_interval};

/// `generation_alignment`: cos(w, v*).
pub fn generation(bench: &Bench, value: &str, angle: &Angle) -> Estimate {
    angle.estimate(bench, Quantity::GenerationAlignment, (value, "log P"))
}

/// `gap` of a constitution.
pub fn gap(bench: &Bench, judgment: &Angle, generation: &Angle) -> (Estimate, Option<Influence>) {
    let method = "difference of cosines, influences subtracted";
    let (Some(c), Some(w)) = (&judgment.cos, &generation.cos) else {
        return (Estimate::new(Quantity::Gap, method).warn("not identifiable: a direction is missing"), None);
    };
    let gap = Influence::combine(c.value - w.value, &[(1.0, c), (-1.0, w)]);
    let se = gap.se(bench.contrasts.blocks());
    let estimate = Estimate::figure(Quantity::Gap, method, gap.value, se, normal_interval(gap.value, se));
    let estimate = if judgment.identifiable() && generation.identifiable() {
        estimate
    } else {
        estimate.withheld("not identifiable: S, the reward or log P is not encoded")
    };
    (estimate, Some(gap))
}
