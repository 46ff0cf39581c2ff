//! Retrieval: whether a constitution makes the value easier to read, and whether the reading direction rotates.
//!
//! Δρ² is ρ² of S from h_c minus the mean of ρ² from h_p, leave-block-out on the same blocks, with a paired interval.
//! A direction fitted in one state is applied to the other: t = mean y·f with f the scores of the other state's
//! contrasts along the directions fitted without their block. t/√Var f is sd(S|h)·cos(direction, v*) there; divided
//! by the same for the direction fitted in that state itself it is the cosine of the two, 1 where the direction does
//! not rotate.

use std::ops::Range;

use faer::Mat;

use crate::probe::Influence;
use crate::probe::left_out::LeftOut;

/// log of t/√Var f, a measure of how well directions read a label in one state; `None` where it is not positive.
pub fn validity(y: &[f64], c: &Mat<f64>, left: &LeftOut, blocks: &[Range<usize>]) -> Option<Validity> {
    let (n, r, g) = (y.len() as f64, c.ncols(), blocks.len());
    let f = left.scores(c, blocks);
    let t = y.iter().zip(&f).map(|(y, f)| y * f).sum::<f64>() / n;
    let square = f.iter().map(|f| f * f).sum::<f64>() / n;
    let signal = square - left.noise(c);
    if signal <= 0.0 {
        return None;
    }
    let along = |by: &[f64], j: usize| c.col(j).iter().zip(by).map(|(c, b)| c * b).sum::<f64>() / n;
    let (to_y, to_f): (Vec<f64>, Vec<f64>) = (0..r).map(|j| (along(y, j), along(&f, j))).unzip();
    let scale = signal.sqrt();
    let psi = (0..g)
        .map(|b| {
            let own = blocks[b].clone();
            let (mut products, mut squares) = (0.0, 0.0);
            own.for_each(|i| {
                products += y[i] * f[i];
                squares += f[i] * f[i];
            });
            for j in 0..r {
                products += n * to_y[j] * left.moved[(j, b)];
                squares += n * 2.0 * to_f[j] * left.moved[(j, b)];
            }
            products / scale - 0.5 * t / (scale * signal) * squares
        })
        .collect();
    Some(Validity(Influence { value: t / scale, psi }))
}

/// Validity of a direction for a label in a state: covariance over the standard deviation of its readings.
#[derive(Debug, Clone)]
pub struct Validity(pub Influence);

impl Validity {
    /// Ratio to the validity of the state's own direction: the cosine of the two; `None` where the latter is not
    /// positive.
    pub fn over(&self, own: &Self) -> Option<Influence> {
        let (a, b) = (&self.0, &own.0);
        (b.value > 0.0).then(|| a.over(b))
    }
}

/// An estimate minus the mean of others on the same blocks.
pub fn less_mean(own: &Influence, others: &[&Influence]) -> Influence {
    let share = 1.0 / others.len() as f64;
    let mean = share * others.iter().map(|o| o.value).sum::<f64>();
    let parts: Vec<(f64, &Influence)> =
        std::iter::once((1.0, own)).chain(others.iter().map(|o| (-share, *o))).collect();
    Influence::combine(own.value - mean, &parts)
}
