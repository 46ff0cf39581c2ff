//! The coordinate or prompt with the largest share of a figure.
//!
//! Trained models have a few coordinates whose values exceed the others' by orders of magnitude, most strongly on a
//! few texts. The trace of a covariance, the length of a difference of means and the geometry of random directions
//! may then describe a single coordinate. Each figure is therefore reported with its largest share and, where that
//! share exceeds a threshold, also recomputed without it.

use faer::Mat;
use serde::{Deserialize, Serialize};

use crate::theory::base::estimate::Quantity;

/// Smallest share at which a coordinate dominates.
const COORDINATE: f64 = 0.25;

/// Smallest share at which a prompt dominates.
const PROMPT: f64 = 0.1;

/// Kind of unit whose share is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A coordinate of the residual stream, counted from 0.
    Coordinate,
    /// The responses of one prompt or cluster, by its number in the observations.
    Prompt,
}

/// The largest of a list of squares, and its share of their sum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Largest {
    /// Index of the largest, from 0.
    pub index: usize,
    /// Share of the sum.
    pub share: f64,
    /// Number of squares.
    pub of: usize,
}

impl Largest {
    /// From squares, none of them negative; `None` if they are all 0.
    pub fn of(squares: &[f64]) -> Option<Self> {
        let sum: f64 = squares.iter().sum();
        let index = (0..squares.len()).max_by(|&a, &b| squares[a].total_cmp(&squares[b]).then(b.cmp(&a)))?;
        (sum > 0.0 && sum.is_finite()).then(|| Self { index, share: squares[index] / sum, of: squares.len() })
    }

    /// From the coordinates of a vector.
    pub fn coordinate(v: &[f64]) -> Option<Self> {
        Self::of(&v.iter().map(|v| v * v).collect::<Vec<_>>())
    }

    /// From the columns of rows X `[N, d]`.
    pub fn column(x: &Mat<f64>) -> Option<Self> {
        Self::of(&x.col_iter().map(|c| c.iter().map(|v| v * v).sum()).collect::<Vec<_>>())
    }

    /// Whether a coordinate with this share dominates: at least a quarter, and at least twice the share expected of
    /// the largest among d independent squared normals, about 2 ln d / d.
    pub fn dominates(&self) -> bool {
        self.share > self.limit(COORDINATE)
    }

    /// Whether a prompt with this share dominates: at least a tenth.
    pub fn prompt_dominates(&self) -> bool {
        self.share > self.limit(PROMPT)
    }

    fn limit(&self, least: f64) -> f64 {
        let n = self.of as f64;
        least.max(4.0 * n.ln() / n)
    }
}

/// A figure, the largest share in it, and the figure without that coordinate or prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dominance {
    /// The quantity.
    pub quantity: Quantity,
    /// The value it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Coordinate or prompt.
    pub what: What,
    /// Index of the coordinate or prompt.
    pub index: usize,
    /// Share of the trace.
    pub share: f64,
    /// Whether the share exceeds the threshold.
    pub dominates: bool,
    /// Estimate of the quantity.
    pub estimate: Option<f64>,
    /// Estimate without the coordinate or prompt; only where it dominates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<f64>,
    /// 95 % interval of `without`, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_interval: Option<(f64, f64)>,
}

/// Copy of X with one column set to 0.
pub fn without_column(x: &Mat<f64>, column: usize) -> Mat<f64> {
    let mut out = x.clone();
    out.col_mut(column).iter_mut().for_each(|v| *v = 0.0);
    out
}

/// Sentence that describes a dominating entry.
pub fn words(d: &Dominance) -> String {
    let share = percent(d.share);
    let who = match d.what {
        What::Coordinate => format!("coordinate {} carries {share} of", d.index),
        What::Prompt => format!("the responses of one prompt (number {}) carry {share} of", d.index),
    };
    let whole = match d.quantity {
        Quantity::DEffUncentred => "the mean square of the residual stream",
        Quantity::DEffBetween => "the variance between prompts",
        _ => "the variance within prompts",
    };
    let figure = |v: f64| format!("{v:.3}").trim_end_matches('0').trim_end_matches('.').to_owned();
    match (d.without, d.estimate) {
        (Some(without), Some(estimate)) => {
            format!("{who} {whole}: {} with it, {} without", figure(estimate), figure(without))
        }
        _ => format!("{who} {whole}"),
    }
}

/// Formats a share for a sentence; never rounds an incomplete share to 100 %.
pub fn percent(share: f64) -> String {
    let of = 100.0 * share;
    if of >= 99.5 && share < 1.0 { format!("{of:.3} %") } else { format!("{of:.0} %") }
}
