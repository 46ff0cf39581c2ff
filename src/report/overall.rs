//! Results about the model itself for a value: whether it is encoded, whether generation favours it, and the ceiling.

use serde::Serialize;

use crate::theory::reading::index::Index;
use crate::theory::reading::outcome::Z95;
use crate::theory::reading::quote::quotable;
use crate::theory::reading::together::interval_for_all;
use crate::theory::{Control, Estimate, Flag, Quantity};

/// Whether the residual stream encodes a value: ρ² above its gate, on held-out prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoded {
    /// ρ² is more than 1.645 standard errors above zero.
    Yes,
    /// ρ² is not above its gate.
    NotSeen,
    /// ρ² was not estimated.
    NotMeasured,
}

/// Whether generation itself favours a value: the interval of cos(w, v*), length-controlled where possible, widened
/// to hold simultaneously for all values at 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Generation {
    /// The interval is above zero.
    Favours,
    /// The interval is below zero.
    Opposes,
    /// The interval contains zero.
    Neither,
    /// v* or w is not encoded, or there is no log P.
    NotIdentifiable,
}

/// Results about the model for a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValueSummary {
    /// The value.
    pub value: String,
    /// Whether v* is detectable.
    pub encoded: Encoded,
    /// Whether ρ² is only a lower estimate, because there are fewer than 1.5 contrasts per dimension.
    pub lower_estimate: bool,
    /// Whether generation favours it.
    pub generation: Generation,
    /// Whether `generation` is under length control.
    pub generation_length_controlled: bool,
    /// |cos| below which an angle with v* is ordinary for unrelated directions: 1.96 sd of the null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordinary_below: Option<f64>,
}

pub(super) fn summaries(index: &Index<'_>) -> Vec<ValueSummary> {
    index.values.iter().map(|value| summary(index, value)).collect()
}

fn summary<'a>(index: &Index<'a>, value: &'a str) -> ValueSummary {
    let of = |quantity, control| index.get(quantity, Some(value), None, control);
    let rho2 = of(Quantity::Rho2, Control::None);
    let encoded = match rho2 {
        Some(e) if e.estimate.is_some() && e.se.is_some() => {
            if quotable(e) {
                Encoded::Yes
            } else {
                Encoded::NotSeen
            }
        }
        _ => Encoded::NotMeasured,
    };
    let controlled = of(Quantity::GenerationAlignment, Control::Length);
    let plain = of(Quantity::GenerationAlignment, Control::None);
    // With several values, one may appear favoured by chance.
    let interval = controlled.or(plain).and_then(|e| interval_for_all(e, index.values.len()));
    let generation = match interval {
        None => Generation::NotIdentifiable,
        Some((lo, _)) if lo > 0.0 => Generation::Favours,
        Some((_, hi)) if hi < 0.0 => Generation::Opposes,
        Some(_) => Generation::Neither,
    };
    let null = of(Quantity::GeometryNull, Control::None).filter(|e| quotable(e));
    ValueSummary {
        value: value.to_owned(),
        encoded,
        lower_estimate: rho2.is_some_and(is_lower_estimate),
        generation,
        generation_length_controlled: controlled.is_some(),
        ordinary_below: null.and_then(|e| e.estimate).map(|sd| Z95 * sd),
    }
}

/// ρ² of the latent score behind labels with few levels, if reportable; such labels lose variance that no reading
/// could explain.
pub(super) fn latent_rho2<'a>(index: &Index<'a>, value: &'a str) -> Option<&'a Estimate> {
    index.get(Quantity::Rho2Latent, Some(value), None, Control::None).filter(|e| quotable(e))
}

/// Whether the estimate is flagged as made from fewer than 1.5 contrasts per dimension.
pub(super) fn is_lower_estimate(estimate: &Estimate) -> bool {
    estimate.has(Flag::LowerEstimate)
}
