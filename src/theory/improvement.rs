//! Theorem 3, Corollary 4: the first-order effect on a value of training on a constitution's judgments.
//!
//! The first-order gain per unit of λ is ⟨Σ_w v_c, v*⟩ (`encoded_slope`) through the residual stream, and Σ S·r_c/N
//! (`total_slope`) overall; `alignment` is the cosine of the two directions. See
//! [`angle`](crate::theory::base::angle) for the estimators.

use crate::theory::base::angle::{encoded_slope, total_slope};
use crate::theory::base::estimate::Quantity;
use crate::theory::statement::Tested;
use crate::theory::statement::{Cells, Measure, OfPair, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "improvement",
    title: "What training would do at first",
    source: "Theorem 3, Corollary 4",
    quantities: &[Quantity::Alignment, Quantity::EncodedSlope, Quantity::TotalSlope],
    tables: &[],
    rests: Rests::OnTheJudge,
    measures: &[Measure::Pair {
        gives: &[Quantity::Alignment, Quantity::EncodedSlope, Quantity::TotalSlope],
        of: pair,
    }],
    section: None,
};

fn pair(p: &OfPair<'_>) -> Cells {
    let (total, influence) = total_slope(p.bench, p.s, p.r);
    // The cosine is 0 exactly if the slope is, so that both share a test.
    let mut tested = vec![Tested {
        takes: &[Quantity::EncodedSlope, Quantity::Alignment],
        influence: p.angle.slope.clone(),
        se: p.angle.slope_se,
    }];
    tested.extend(total.se.map(|se| Tested { takes: &[Quantity::TotalSlope], influence, se }));
    let encoded = encoded_slope(p.bench, &p.angle, p.s, p.r);
    Cells { estimates: vec![encoded, total, p.alignment().clone()], tested }
}
