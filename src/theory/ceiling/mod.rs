//! Theorem 6: regret of selecting by the residual stream, per best-of-two choice.
//!
//! Lower bound for every constitution: (1 − ρ) σ_S/√π, in units of S; attained by constitution c: (1 − corr(S, r_c))
//! σ_S/√π, σ_S² = Σ S²/N over contrasts. Both assume Gaussian noise and hold for the better of two responses only.
//!
//! Labels with few levels and preferences are not Gaussian, and their own ρ is below 1 even where the value is
//! encoded entirely. For them both figures refer to the latent score behind the labels (see
//! [`latent`](crate::theory::encoding::latent)), in units of its within-prompt standard deviation: (1 − ρ_latent)/√π,
//! and 1 − corr(L, r_c) with corr(L, r_c) = cov(S, r_c)/(E f' √(1 − r) sd r_c) if the rewards are normal too.

pub mod best;
pub mod regret;
mod section;

use std::f64::consts::PI;

use crate::probe::influence::{Influence, mean_product, theta};
use crate::theory::base::angle::GATE;
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::estimate::{Estimate, Quantity};
use crate::theory::encoding::latent::Latent;
use crate::theory::encoding::{interval_about, normal_scale};
use crate::theory::statement::{Cells, Measure, OfPair, OfValue, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "ceiling",
    title: "The ceiling",
    source: "Theorem 6, Appendix A",
    quantities: &[
        Quantity::CeilingRegret,
        Quantity::AttainedRegret,
        Quantity::MeasuredRegret,
        Quantity::BestOfCeiling,
        Quantity::BestOfRegret,
        Quantity::OracleShare,
    ],
    tables: &[],
    rests: Rests::OnTheJudge,
    measures: &[
        Measure::Value { gives: &[], of: value },
        Measure::Pair { gives: &[Quantity::AttainedRegret], of: pair },
        Measure::Uncontrolled(regret::measure),
        Measure::Uncontrolled(best::measure),
    ],
    section: Some(section::section),
};

/// `ceiling_regret`.
fn value(v: &OfValue<'_>) -> Vec<Estimate> {
    vec![match normal_scale(v.bench, v.s, &v.value.labels) {
        Err(why) => Estimate::missing(Quantity::CeilingRegret, why),
        Ok(latent) => ceiling(v.bench, v.s, latent.as_ref()),
    }]
}

/// `attained_regret`.
fn pair(p: &OfPair<'_>) -> Cells {
    Cells::of([match normal_scale(p.bench, p.s, &p.value.labels) {
        Err(why) => Estimate::missing(Quantity::AttainedRegret, why),
        Ok(latent) => attained(p.bench, p.s, p.r, latent.as_ref()),
    }])
}

/// Unit of figures on the latent scale.
const LATENT_UNITS: &str = "in within-prompt standard deviations of the latent score";

/// `ceiling_regret`, on the latent scale where there is one, with the interval of a finer fit ([`Bench::finer`]).
///
/// Where a ridge resolves only part of v*, ρ is a lower estimate, so the regret derived from it is no lower bound:
/// the figure is then withheld, and its upper end is a one-sided bound of the ceiling.
pub fn ceiling(bench: &Bench, s: &Label, latent: Option<&Latent>) -> Estimate {
    let method = match latent {
        Some(_) => format!("(1 − ρ_latent)/√π {LATENT_UNITS}, delta method"),
        None => "(1 − ρ)σ_S/√π, delta method".to_owned(),
    };
    let blocks = bench.contrasts.blocks();
    if s.variance() <= 0.0 {
        return Estimate::new(Quantity::CeilingRegret, method).warn("S does not vary within prompts");
    }
    let Some(own) = least_regret(bench, s, latent) else {
        return Estimate::new(Quantity::CeilingRegret, method)
            .warn("ρ² is not positive: the ceiling is that of choosing at random");
    };
    let finer = least_regret(bench, &bench.finer(s), latent);
    let (value, se) = (own.value.max(0.0), own.se(blocks));
    let (lo, hi) = interval_about(value, finer.as_ref().unwrap_or(&own), blocks);
    let estimate = Estimate::figure(Quantity::CeilingRegret, method, value, se, (lo.max(0.0), hi));
    let theta = theta(s.probed(), s.probed(), blocks);
    if theta.value.is_nan() || theta.value / theta.se(blocks) <= GATE {
        return estimate
            .withheld("ρ² is not distinguishable from 0, so neither is the ceiling from choosing at random");
    }
    if bench.spectrum.resolves() {
        return estimate;
    }
    estimate
        .at_most(own.value + GATE * se)
        .withheld("ρ is a lower estimate here, and a lower estimate of ρ bounds no regret from below")
}

/// (1 − ρ)σ_S/√π, or (1 − ρ√F)/√π on a latent scale of factor F, with its influence; `None` where θ̂_SS is not positive.
fn least_regret(bench: &Bench, s: &Label, latent: Option<&Latent>) -> Option<Influence> {
    let own = theta(s.probed(), s.probed(), bench.contrasts.blocks());
    if own.value.is_nan() || own.value <= 0.0 {
        return None;
    }
    let variance = squares(bench, s);
    let (sigma, encoded, scale) = (variance.value.sqrt(), own.value.sqrt(), 1.0 / PI.sqrt());
    Some(match latent {
        None => {
            let parts = [(scale * 0.5 / sigma, &variance), (-scale * 0.5 / encoded, &own)];
            Influence::combine(scale * (sigma - encoded), &parts)
        }
        Some(latent) => {
            let (rho, root) = (encoded / sigma, latent.factor.value.sqrt());
            // Influence of ρ = √(θ/V): (ψ_θ/θ − ψ_V/V)ρ/2.
            let parts = [
                (-scale * root * 0.5 * rho / own.value, &own),
                (scale * root * 0.5 * rho / variance.value, &variance),
                (-scale * 0.5 * rho / root, &latent.factor),
            ];
            Influence::combine(scale * (1.0 - rho * root), &parts)
        }
    })
}

/// `attained_regret` of a constitution with rewards r; on the latent scale of S where there is one.
pub fn attained(bench: &Bench, s: &Label, r: &Label, latent: Option<&Latent>) -> Estimate {
    let method = match latent {
        Some(_) => format!("(1 − corr(L, r))/√π {LATENT_UNITS}, delta method"),
        None => "(1 − corr(S, r))σ_S/√π, delta method".to_owned(),
    };
    let (vs, vr) = (squares(bench, s), squares(bench, r));
    if vs.value <= 0.0 || vr.value <= 0.0 {
        return Estimate::new(Quantity::AttainedRegret, method)
            .warn("S or the reward does not vary within prompts");
    }
    let product = mean_product(&s.y, &r.y, bench.contrasts.blocks());
    let spread = vr.value.sqrt();
    match latent {
        // (√Vs − C/√Vr)/√π.
        None => {
            let sigma = vs.value.sqrt();
            let parts = [
                (0.5 / sigma, &vs),
                (-1.0 / spread, &product),
                (0.5 * product.value / (vr.value * spread), &vr),
            ];
            finish(bench, Quantity::AttainedRegret, &method, sigma - product.value / spread, &parts)
        }
        // (1 − C/(B√Vr))/√π, B the slope of the label on its latent score.
        Some(latent) => {
            let slope = &latent.slope;
            let cos = product.value / (slope.value * spread);
            let parts = [
                (-1.0 / (slope.value * spread), &product),
                (0.5 * cos / vr.value, &vr),
                (cos / slope.value, slope),
            ];
            finish(bench, Quantity::AttainedRegret, &method, (1.0 - cos).max(0.0), &parts)
        }
    }
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
    let scaled: Vec<(f64, &Influence)> = parts.iter().map(|&(weight, part)| (scale * weight, part)).collect();
    let found = Influence::combine(scale * raw, &scaled);
    let blocks = bench.contrasts.blocks();
    let (lo, hi) = found.interval(blocks);
    Estimate::figure(quantity, method, found.value, found.se(blocks), (lo.max(0.0), hi))
}
