//! What the routes to a constitution's direction come to, as it stands in a report.

use serde::{Deserialize, Serialize};

/// A way to read what a constitution does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// v_c by forced choices.
    ForcedChoice,
    /// v_c by questions about single responses.
    Pointwise,
    /// v_c by log P(y | c, x) − log P(y | x).
    Implicit,
    /// v_c by scores of unknown making.
    Given,
    /// Δ_c, the shift of the state.
    Activation,
    /// w_c against w_0, generation under the constitution.
    Generation,
    /// The gain along v*; no direction.
    Gain,
    /// ρ² under the constitution; no direction.
    Retrieval,
}

impl Route {
    /// Whether its sign is that of a direction along or against v*.
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
    /// Its sign; `None` where it says nothing.
    pub sign: Option<i8>,
}

/// What the directed routes come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Agreement {
    /// Two or more routes have a sign, and it is the same.
    OneStory {
        /// The sign.
        sign: i8,
    },
    /// Two routes have opposite signs.
    Contradiction,
    /// One route has a sign, the others have none.
    OneRoute {
        /// The route.
        route: Route,
        /// Its sign.
        sign: i8,
    },
    /// Routes were identifiable and none has a sign.
    Silent,
    /// No route is identifiable.
    Unknown,
}

/// The routes of a value and a constitution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Story {
    /// The value.
    pub value: String,
    /// The constitution.
    pub constitution: String,
    /// By route.
    pub signs: Vec<Sign>,
    /// What they come to.
    pub agreement: Agreement,
}
