//! Compares the estimators with planted truth, over seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::error::Result;
use crate::fit::problem::pose;
use crate::simulate::{Design, Figure, Simulated, Table};
use crate::theory::{
    Analysis, Control, Estimate, Flag, Labels, LayerSource, Options, Problem, Quantity, analyse, state,
};

/// Bias, root mean square error and coverage of the default estimators on fresh draws of a design.
///
/// # Errors
/// Errors of drawing and of the analysis.
pub fn over_seeds(design: &Design, seeds: Range<u64>) -> Result<Table> {
    Table::over(design, seeds, figures)
}

/// The estimates from one data set, by the names of [`Truth`](crate::simulate::Truth); withheld estimates are omitted.
/// Statements beyond the core are not measured.
///
/// # Errors
/// Errors of the analysis.
pub fn figures(simulated: &Simulated) -> Result<BTreeMap<String, Figure>> {
    let names = &simulated.observations.meta().constitutions;
    let placebos: BTreeSet<String> = names.iter().filter(|n| n.starts_with("placebo-")).cloned().collect();
    let posed = pose(&simulated.observations, None, &placebos)?;
    // The state's quantities are a statement beyond the core.
    let options = Options { core_only: simulated.truth.design.texts.is_none(), ..Options::default() };
    let analysis = analyse(&posed.problem, &posed.source, &options)?;
    // Targets if the contrasts resolve only part of v*: the same estimates from noise-free labels.
    let mut targets: Option<BTreeMap<String, f64>> = None;
    let mut out = placebos_outside(&analysis);
    for estimate in analysis.estimates.iter().filter(|e| e.judge.is_none()) {
        let Some(name) = figures_of(estimate) else { continue };
        if simulated.truth.get(&name).is_none() {
            continue;
        }
        let figure = match (estimate.estimate, estimate.reportable) {
            (Some(value), true) => {
                let interval = match (estimate.lo, estimate.hi) {
                    (None, None) => None,
                    (lo, hi) => Some([lo.unwrap_or(f64::NEG_INFINITY), hi.unwrap_or(f64::INFINITY)]),
                };
                let target = if estimate.has(Flag::ResolvedPart) {
                    if targets.is_none() {
                        targets = Some(noise_free(simulated, &posed.problem, &posed.source, &options)?);
                    }
                    // An estimate whose target has no direction is compared with NaN.
                    Some(targets.as_ref().and_then(|t| t.get(&name)).copied().unwrap_or(f64::NAN))
                } else {
                    None
                };
                Figure { estimate: value, interval, target }
            }
            _ => Figure { estimate: f64::NAN, interval: None, target: None },
        };
        out.insert(name, figure);
    }
    Ok(out)
}

/// Share of the placebo texts whose estimate lies outside the band of the others, at p < .05: .05 under the null.
/// Without an interval, since a data set has few texts.
fn placebos_outside(analysis: &Analysis) -> BTreeMap<String, Figure> {
    let findings: Vec<state::Finding> = analysis
        .tables
        .get(state::TABLE)
        .and_then(|table| serde_json::from_value(table.clone()).ok())
        .unwrap_or_default();
    let mut out = BTreeMap::new();
    for finding in findings.iter().filter(|f| f.control == Control::None) {
        type Get = fn(&state::Cell) -> &state::Reading;
        let figures: [(&str, Get); 5] = [
            ("activation_alignment", |c| &c.alignment),
            ("activation_gain", |c| &c.gain),
            ("retrieval_gain", |c| &c.retrieval),
            ("value_turn", |c| &c.turn),
            ("conditioned_gap", |c| &c.conditioned),
        ];
        for (name, get) in figures {
            let bands: Vec<f64> = finding
                .cells
                .iter()
                .filter(|c| c.placebo)
                .filter_map(|c| Some(f64::from(u8::from(get(c).band?.p < 0.05))))
                .collect();
            if !bands.is_empty() {
                let share = bands.iter().sum::<f64>() / bands.len() as f64;
                out.insert(
                    format!("placebo_outside {name}"),
                    Figure { estimate: share, interval: None, target: None },
                );
            }
        }
    }
    out
}

/// The estimates from the same rows with every label replaced by the score along the planted direction: the most that a
/// fit of these contrasts can recover.
fn noise_free(
    simulated: &Simulated,
    problem: &Problem,
    source: &dyn LayerSource,
    options: &Options,
) -> Result<BTreeMap<String, f64>> {
    let layer = source.layers()[0];
    let h = source.resid(layer)?;
    let read = |name: &str| -> Option<Vec<f64>> {
        let v = simulated.directions.get(name)?;
        let row = |r: usize| h.row(r).iter().zip(v.row(0)).map(|(&h, v)| f64::from(h) * v).sum();
        Some((0..h.nrows()).map(row).collect())
    };
    let mut clean = problem.clone();
    for value in &mut clean.values {
        if let Some(labels) = read(&format!("v_star.{}", value.name)) {
            value.labels = Labels::Scores(labels);
        }
    }
    for judged in &mut clean.judged {
        if let Some(reward) = read(&format!("v_c.{}", judged.name)) {
            judged.reward = reward;
        }
    }
    clean.logprob = read("w").or(clean.logprob);
    let analysis = analyse(&clean, source, options)?;
    let estimates = analysis.estimates.iter().filter(|e| e.judge.is_none());
    Ok(estimates.filter_map(|e| Some((figures_of(e)?, e.estimate?))).collect())
}

/// The truth's name of an estimate, if it has one.
pub fn figures_of(e: &Estimate) -> Option<String> {
    let label = || match (&e.value, &e.constitution) {
        (Some(v), Some(c)) => format!("{v}|J:{c}"),
        (Some(v), None) => v.clone(),
        (None, Some(c)) => format!("J:{c}"),
        (None, None) => "logp".to_owned(),
    };
    let key = match e.quantity {
        Quantity::Alignment => format!("cos {}", label()),
        Quantity::GenerationAlignment => format!("cos {}|logp", label()),
        Quantity::Rho2 | Quantity::JudgeRho2 | Quantity::LogprobRho2 => format!("rho2 {}", label()),
        Quantity::Rho2Latent => format!("rho2_latent {}", label()),
        Quantity::EncodedSlope => format!("slope_encoded {}", label()),
        Quantity::TotalSlope => format!("total_slope {}", label()),
        Quantity::ActivationAlignment
        | Quantity::ActivationGain
        | Quantity::RetrievalGain
        | Quantity::ValueTurn
        | Quantity::ConditionedGap => format!("{} {}", e.quantity.name(), label()),
        Quantity::DEff => "d_eff_within".to_owned(),
        Quantity::Gap => format!("gap {}", label()),
        Quantity::AttainedRegret => format!("attained_regret {}", label()),
        // The truth has a single ceiling, that of the graded value.
        Quantity::CeilingRegret if e.value.as_deref() == Some("S") => "ceiling_regret_best_of_2".to_owned(),
        Quantity::CeilingRegret => format!("ceiling_latent {}", label()),
        _ => return None,
    };
    // The truth's unprefixed names refer to estimates with length projected out.
    Some(if e.control == Control::None { format!("uncontrolled {key}") } else { key })
}
