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

/// `implied_eta` of a constitution: 1 − gap, with the gap's error.
///
/// Proposition 5 has gap ≈ 1 − η for α_c = cos(v_c, v*) ≈ 1 only. Where the interval of the cosine does not reach .9 the
/// figure is kept and withheld: what is missing to 1 is then the constitution's, not the corpus's.
pub fn implied_eta(gap: &Estimate, alignment: &Estimate) -> Estimate {
    let Some((value, se)) = gap.estimate.zip(gap.se).map(|(g, se)| (1.0 - g, se)) else {
        return Estimate::missing(Quantity::ImpliedEta, "there is no gap to read it from");
    };
    let method = "1 − gap";
    let estimate = Estimate::figure(Quantity::ImpliedEta, method, value, se, normal_interval(value, se));
    if !gap.reportable {
        estimate.withheld("not identifiable: the gap is not")
    } else if alignment.hi.is_none_or(|hi| hi < DIRECT) {
        estimate.withheld("the constitution does not query the value directly: ⟨v_c, v*⟩ is clearly below .9")
    } else {
        estimate
    }
}

/// Alignment that counts as α_c ≈ 1.
const DIRECT: f64 = 0.9;
