//! A figure with its error.

use serde::{Deserialize, Serialize};

use crate::probe::Influence;
use crate::probe::influence::normal_interval;

/// A figure with its error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The figure.
    pub value: f64,
    /// Standard error.
    pub se: f64,
    /// Lower end of the 95 % interval.
    pub lo: f64,
    /// Upper end of the 95 % interval.
    pub hi: f64,
}

impl Figure {
    /// From an influence; `None` if a number is not finite.
    pub fn of(influence: &Influence, blocks: &[std::ops::Range<usize>]) -> Option<Self> {
        let (value, se) = (influence.value, influence.se(blocks));
        let (lo, hi) = influence.symmetric_interval(blocks);
        (value.is_finite() && se.is_finite()).then_some(Self { value, se, lo, hi })
    }

    /// From a figure and its standard error.
    pub fn new(value: f64, se: f64) -> Option<Self> {
        let (lo, hi) = normal_interval(value, se);
        (value.is_finite() && se.is_finite()).then_some(Self { value, se, lo, hi })
    }

    /// The exponential, with the ends of the interval transformed likewise.
    pub fn exp(self) -> Self {
        let value = self.value.exp();
        Self { value, se: value * self.se, lo: self.lo.exp(), hi: self.hi.exp() }
    }
}
