//! The coordinate, or the prompt, with the largest share of a figure.
//!
//! Trained models hold a few coordinates whose values exceed the others' by orders of magnitude, and a few
//! texts on which they do so most. The trace of a covariance, the length of a difference of means and the
//! geometry of random directions may then say something about one coordinate and nothing about the rest.
//! Each figure is given with the share of the largest, and, where that share is above a threshold, without it.

use faer::Mat;
use serde::{Deserialize, Serialize};

use crate::theory::base::estimate::Quantity;

/// The least share of a coordinate that dominates.
const COORDINATE: f64 = 0.25;

/// The least share of a prompt that dominates.
const PROMPT: f64 = 0.1;

/// What dominates, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A coordinate of the residual stream, counted from 0.
    Coordinate,
    /// The responses of one prompt or cluster, by its number in the observations.
    Prompt,
}

/// The largest of some squares, and its share of their sum.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Largest {
    /// Which, from 0.
    pub index: usize,
    /// Its share of the sum.
    pub share: f64,
    /// Of how many.
    pub of: usize,
}

impl Largest {
    /// Of squares, none of them negative; `None` if they are all 0.
    pub fn of(squares: &[f64]) -> Option<Self> {
        let sum: f64 = squares.iter().sum();
        let index = (0..squares.len()).max_by(|&a, &b| squares[a].total_cmp(&squares[b]).then(b.cmp(&a)))?;
        (sum > 0.0 && sum.is_finite()).then(|| Self { index, share: squares[index] / sum, of: squares.len() })
    }

    /// Of the coordinates of a vector.
    pub fn coordinate(v: &[f64]) -> Option<Self> {
        Self::of(&v.iter().map(|v| v * v).collect::<Vec<_>>())
    }

    /// Of the columns of rows X `[N, d]`.
    pub fn column(x: &Mat<f64>) -> Option<Self> {
        Self::of(&x.col_iter().map(|c| c.iter().map(|v| v * v).sum()).collect::<Vec<_>>())
    }

    /// Whether a coordinate with this share dominates: a quarter or more, and twice what the largest of as many
    /// independent squares of normal numbers has, about 2 ln d of d.
    pub fn dominates(&self) -> bool {
        self.share > self.limit(COORDINATE)
    }

    /// The same of a prompt: a tenth or more.
    pub fn prompt_dominates(&self) -> bool {
        self.share > self.limit(PROMPT)
    }

    fn limit(&self, least: f64) -> f64 {
        let n = self.of as f64;
        least.max(4.0 * n.ln() / n)
    }
}

/// A figure, the largest share in it, and the figure without what has that share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dominance {
    /// The figure.
    pub quantity: Quantity,
    /// The value it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Coordinate or prompt.
    pub what: What,
    /// Its number.
    pub index: usize,
    /// Its share of the trace.
    pub share: f64,
    /// Whether it dominates.
    pub dominates: bool,
    /// The figure.
    pub estimate: Option<f64>,
    /// The figure without it; only where it dominates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<f64>,
    /// The 95 % interval of that, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_interval: Option<(f64, f64)>,
}

/// X with a column set to 0.
pub fn without_column(x: &Mat<f64>, column: usize) -> Mat<f64> {
    let mut out = x.clone();
    out.col_mut(column).iter_mut().for_each(|v| *v = 0.0);
    out
}

/// What an entry that dominates says.
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

/// A share as it is written in a sentence; never 100 % of what is not all.
pub fn percent(share: f64) -> String {
    let of = 100.0 * share;
    if of >= 99.5 && share < 1.0 { format!("{of:.3} %") } else { format!("{of:.0} %") }
}
