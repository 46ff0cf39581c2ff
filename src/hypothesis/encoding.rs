//! Definition 1: encoding quality, ρ² = Var⟨h, v*⟩ / Var S, and the same for rewards and log P.

use super::bench::{Bench, Label};
use super::estimate::{Estimate, Quantity};
use super::improvement::GATE;
use crate::probe::influence::{Influence, normal_interval, theta};
use crate::probe::reml;

/// ρ² of a label with its influence: θ̂_yy / (Σ y²/N). `None` for a label that does not vary.
pub fn rho2(bench: &Bench, label: &Label) -> Option<Influence> {
    let blocks = bench.contrasts.blocks();
    let variance = label.variance();
    if variance <= 0.0 {
        return None;
    }
    let own = theta(label.probed(), label.probed(), blocks);
    let squares = Influence { value: variance, psi: bench.contrasts.block_sums(|i| label.y[i] * label.y[i]) };
    let value = own.value / variance;
    Some(Influence::combine(value, &[(1.0 / variance, &own), (-value / variance, &squares)]))
}

/// ρ² as an estimate under one of its names.
pub fn rho2_estimate(bench: &Bench, quantity: Quantity, label: &Label) -> Estimate {
    let method = "leave-block-out twicing ridge";
    let Some(rho2) = rho2(bench, label) else {
        return Estimate::new(quantity, method).warn("the label does not vary within prompts");
    };
    let se = rho2.se(bench.contrasts.blocks());
    let estimate = Estimate::figure(quantity, method, rho2.value, se, normal_interval(rho2.value, se));
    let estimate = match estimate.z {
        Some(z) if z > GATE => estimate,
        _ => estimate.withheld(
            "not distinguishable from 0: the residual stream does not predict it on left-out prompts",
        ),
    };
    if bench.n() <= bench.spectrum.d {
        return estimate.warn("fewer contrasts than dimensions: a lower estimate");
    }
    estimate
}

/// ρ = √max(0, ρ²), its interval the root of that of ρ².
pub fn rho(rho2: &Estimate) -> Estimate {
    let root = |v: f64| v.max(0.0).sqrt();
    let mut rho = Estimate { quantity: Quantity::Rho, ..rho2.clone() };
    rho.method = format!("square root; {}", rho2.method);
    rho.estimate = rho2.estimate.map(root);
    rho.lo = rho2.lo.map(root);
    rho.hi = rho2.hi.map(root);
    // By the delta method; at ρ = 0 there is no derivative.
    rho.se = match (rho.estimate, rho2.se) {
        (Some(r), Some(se)) if r > 0.0 => Some(se / (2.0 * r)),
        _ => None,
    };
    rho
}

/// ρ² times a factor that puts it on the latent scale.
pub fn rho2_latent(rho2: &Estimate, factor: f64, method: &str) -> Estimate {
    let mut latent = Estimate { quantity: Quantity::Rho2Latent, ..rho2.clone() };
    latent.method = format!("{method}; {}", rho2.method);
    for figure in [&mut latent.estimate, &mut latent.se, &mut latent.lo, &mut latent.hi] {
        *figure = figure.map(|v| v * factor);
    }
    latent.warn("assumes a Gaussian latent score behind the labels")
}

/// `rho2_model`: one variance component, maximum likelihood.
pub fn rho2_model(bench: &Bench, label: &Label) -> Estimate {
    let method = "one-component maximum likelihood, v ~ N(0, τ² I)";
    match reml::rho2(&bench.spectrum, &label.y) {
        Some(value) => Estimate::bare(Quantity::Rho2Model, method, value)
            .warn("model-based: right if v* is spread over the residual stream's coordinates, no interval"),
        None => Estimate::new(Quantity::Rho2Model, method).warn("the label does not vary within prompts"),
    }
}
