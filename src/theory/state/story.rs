//! Agreement between the routes to a constitution's direction, as stored in a report.

use serde::{Deserialize, Serialize};

/// A way to measure the effect of a constitution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// v_c by forced choices.
    ForcedChoice,
    /// v_c by questions about single responses.
    Pointwise,
    /// v_c by log P(y | c, x) − log P(y | x).
    Implicit,
    /// v_c by scores of unknown origin.
    Given,
    /// Δ_c, the shift of the state.
    Activation,
    /// w_c compared with w_0: generation under the constitution.
    Generation,
    /// The gain along v*; no direction.
    Gain,
    /// ρ² under the constitution; no direction.
    Retrieval,
}

impl Route {
    /// Whether its sign refers to a direction along or against v*.
    pub fn is_directed(self) -> bool {
        !matches!(self, Self::Gain | Self::Retrieval)
    }

    /// Whether it needs a judge.
    pub fn is_judged(self) -> bool {
        matches!(self, Self::ForcedChoice | Self::Pointwise | Self::Implicit | Self::Given)
    }
}

/// A route's sign: along (+1), against (−1), neither (0), or not identifiable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sign {
    /// The route.
    pub route: Route,
    /// Its sign; `None` where the route is not identifiable.
    pub sign: Option<i8>,
}

/// Agreement of the directed routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Agreement {
    /// Two or more routes have a sign, and all signs are equal.
    OneStory {
        /// The sign.
        sign: i8,
    },
    /// Two routes have opposite signs.
    Contradiction,
    /// Only one route has a sign.
    OneRoute {
        /// The route.
        route: Route,
        /// Its sign.
        sign: i8,
    },
    /// Some routes are identifiable, but none has a sign.
    Silent,
    /// No route is identifiable.
    Unknown,
}

/// Results of all routes for a value and a constitution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// The value.
    pub value: String,
    /// The constitution.
    pub constitution: String,
    /// Signs by route.
    pub signs: Vec<Sign>,
    /// Overall agreement.
    pub agreement: Agreement,
}
