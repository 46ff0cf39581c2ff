//! What the model itself says about a value: is it encoded, does generation favour it, what is the ceiling.

use serde::Serialize;

use crate::theory::reading::index::Index;
use crate::theory::reading::outcome::Z95;
use crate::theory::reading::quote::quotable;
use crate::theory::reading::together::interval_for_all;
use crate::theory::{Control, Estimate, Flag, Quantity};

/// Whether the residual stream encodes a value: ρ² above its gate, on left-out prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoded {
    /// ρ² is more than 1.645 standard errors above zero.
    Yes,
    /// It is not.
    NotSeen,
    /// There is no figure.
    NotMeasured,
}

/// Whether generation by itself favours a value: the interval of cos(w, v*), length controlled where it can be, drawn out
/// so that those of all values hold together in 95 of 100 cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Generation {
    /// Above zero.
    Favours,
    /// Below zero.
    Opposes,
    /// Zero is inside.
    Neither,
    /// v* or w is not encoded, or there is no log P.
    NotIdentifiable,
}

/// A model's standing on a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ValueSummary {
    /// The value.
    pub value: String,
    /// Whether v* is seen.
    pub encoded: Encoded,
    /// Whether ρ² is only a lower estimate, because there are fewer than 1.5 contrasts a dimension.
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
    // A value of several is favoured by chance too.
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

/// ρ² of the latent score behind labels of few levels, where it may be quoted: they lose variance that no reading could tell.
pub(super) fn latent_rho2<'a>(index: &Index<'a>, value: &'a str) -> Option<&'a Estimate> {
    index.get(Quantity::Rho2Latent, Some(value), None, Control::None).filter(|e| quotable(e))
}

/// Whether the estimate says that it was made from fewer than 1.5 contrasts a dimension.
pub(super) fn is_lower_estimate(estimate: &Estimate) -> bool {
    estimate.has(Flag::LowerEstimate)
}
