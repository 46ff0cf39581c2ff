//! The estimators against planted truth, over seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::problem::pose;
use crate::error::Result;
use crate::hypothesis::{Control, Estimate, Options, Quantity, analyse};
use crate::simulate::{Design, Figure, Simulated, Table};

/// Bias, root mean square error and coverage of the default estimators on fresh draws of a design.
///
/// # Errors
/// What drawing or the analysis refuses.
pub fn over_seeds(design: &Design, seeds: Range<u64>) -> Result<Table> {
    Table::over(design, seeds, figures)
}

/// The figures of one data set, by the names of [`Truth`](crate::simulate::Truth); an estimate that is
/// withheld counts as none.
///
/// # Errors
/// What the analysis refuses.
pub fn figures(simulated: &Simulated) -> Result<BTreeMap<String, Figure>> {
    let posed = pose(&simulated.observations, None, &BTreeSet::new())?;
    let analysis = analyse(&posed.problem, &posed.source, &Options::default())?;
    let mut out = BTreeMap::new();
    for estimate in analysis.estimates.iter().filter(|e| e.judge.is_none()) {
        let Some(name) = figures_of(estimate) else { continue };
        if simulated.truth.get(&name).is_none() {
            continue;
        }
        let figure = match (estimate.estimate, estimate.reportable) {
            (Some(value), true) => {
                Figure { estimate: value, interval: estimate.lo.zip(estimate.hi).map(|(lo, hi)| [lo, hi]) }
            }
            _ => Figure { estimate: f64::NAN, interval: None },
        };
        out.insert(name, figure);
    }
    Ok(out)
}

/// The name under which the truth knows an estimate, if it does.
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
        Quantity::DEff => "d_eff_within".to_owned(),
        // The truth has one ceiling, that of the graded value.
        Quantity::CeilingRegret if e.value.as_deref() == Some("S") => "ceiling_regret_best_of_2".to_owned(),
        _ => return None,
    };
    // The truth's plain names are the figures with length projected out.
    Some(if e.control == Control::None { format!("uncontrolled {key}") } else { key })
}
