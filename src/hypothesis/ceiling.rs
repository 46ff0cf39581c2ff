//! Theorem 6: what choosing by the residual stream costs, per best-of-two choice.
//!
//! Floor for every constitution: (1 − ρ) σ_S/√π, in units of S; attained by constitution c:
//! (1 − corr(S, r_c)) σ_S/√π, σ_S² = Σ S²/N over contrasts. Both assume Gaussian noise and hold for the
//! better of two responses only.

use std::f64::consts::PI;

use super::bench::{Bench, Label};
use super::estimate::{Estimate, Quantity};
use super::improvement::GATE;
use crate::probe::influence::{Influence, mean_product, normal_interval, theta};

/// `ceiling_regret`.
pub fn ceiling(bench: &Bench, s: &Label) -> Estimate {
    let method = "(1 − ρ)σ_S/√π, delta method";
    let blocks = bench.contrasts.blocks();
    let own = theta(s.probed(), s.probed(), blocks);
    let variance = squares(bench, s);
    if variance.value <= 0.0 {
        return Estimate::new(Quantity::CeilingRegret, method).warn("S does not vary within prompts");
    }
    if own.value <= 0.0 {
        return Estimate::new(Quantity::CeilingRegret, method)
            .warn("ρ² is not positive: the ceiling is that of choosing at random");
    }
    // (√V − √θ)/√π.
    let (sigma, encoded) = (variance.value.sqrt(), own.value.sqrt());
    let parts = [(0.5 / sigma, &variance), (-0.5 / encoded, &own)];
    let estimate = finish(bench, Quantity::CeilingRegret, method, (sigma - encoded).max(0.0), &parts);
    if own.value / own.se(blocks) > GATE {
        return estimate;
    }
    estimate.withheld("ρ² is not distinguishable from 0, so neither is the ceiling from choosing at random")
}

/// `attained_regret` of a constitution with rewards r.
pub fn attained(bench: &Bench, s: &Label, r: &Label) -> Estimate {
    let method = "(1 − corr(S, r))σ_S/√π, delta method";
    let (vs, vr) = (squares(bench, s), squares(bench, r));
    if vs.value <= 0.0 || vr.value <= 0.0 {
        return Estimate::new(Quantity::AttainedRegret, method)
            .warn("S or the reward does not vary within prompts");
    }
    let product = mean_product(&s.y, &r.y, bench.contrasts.blocks());
    // (√Vs − C/√Vr)/√π.
    let (sigma, spread) = (vs.value.sqrt(), vr.value.sqrt());
    let parts =
        [(0.5 / sigma, &vs), (-1.0 / spread, &product), (0.5 * product.value / (vr.value * spread), &vr)];
    finish(bench, Quantity::AttainedRegret, method, sigma - product.value / spread, &parts)
}

fn squares(bench: &Bench, label: &Label) -> Influence {
    mean_product(&label.y, &label.y, bench.contrasts.blocks())
}

fn finish(
    bench: &Bench,
    quantity: Quantity,
    method: &str,
    raw: f64,
    parts: &[(f64, &Influence)],
) -> Estimate {
    let scale = 1.0 / PI.sqrt();
    let se = scale * Influence::combine(raw, parts).se(bench.contrasts.blocks());
    let value = scale * raw;
    let (lo, hi) = normal_interval(value, se);
    Estimate::figure(quantity, method, value, se, (lo.max(0.0), hi))
}
