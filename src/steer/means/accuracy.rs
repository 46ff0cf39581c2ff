//! Held-out accuracy of a logistic probe on prompts.

use ndarray::{Array2, ArrayView2, Axis, concatenate};
use serde::Serialize;

use super::{Sets, rows};
use crate::probe::interval::share_interval;
use crate::probe::logistic::LogisticProbe;

/// Shares of prompts classified correctly by a probe that was fitted to the other half.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Accuracy {
    /// Mean of the two sets' shares; .5 is chance.
    pub balanced: f64,
    /// Lower end of the 95 % interval over prompts, with the two fits held fixed.
    pub lo: f64,
    /// Upper end of the interval.
    pub hi: f64,
    /// Share of the first set classified correctly.
    pub plus: f64,
    /// Share of the second set classified correctly.
    pub minus: f64,
}

/// Cross-validated accuracy; `None` if a half has fewer than two prompts of a set.
pub fn accuracy(sets: &Sets<'_>) -> Option<Accuracy> {
    let of = |(h, half): (ArrayView2<'_, f32>, &[bool]), own: bool| -> Array2<f32> {
        h.select(Axis(0), &rows(half, Some(own)))
    };
    let (mut plus, mut minus) = (Vec::new(), Vec::new());
    for own in [true, false] {
        let (fit_p, fit_m) = (of(sets.plus, !own), of(sets.minus, !own));
        if fit_p.nrows() < 2 || fit_m.nrows() < 2 {
            return None;
        }
        let first: Vec<bool> = (0..fit_p.nrows() + fit_m.nrows()).map(|i| i < fit_p.nrows()).collect();
        let both = concatenate(Axis(0), &[fit_p.view(), fit_m.view()]).ok()?;
        let probe = LogisticProbe::fit(both.view(), &first)?;
        plus.extend(probe.predict(of(sets.plus, own).view()));
        minus.extend(probe.predict(of(sets.minus, own).view()).into_iter().map(|first| !first));
    }
    let share = |right: &[bool]| right.iter().filter(|r| **r).count() as f64 / right.len() as f64;
    let (of_plus, of_minus) = (share(&plus), share(&minus));
    // Each set has weight one half, whatever its size.
    let moves = |right: &[bool], share: f64| -> Vec<f64> {
        let n = right.len() as f64;
        right.iter().map(|&r| (f64::from(u8::from(r)) - share) / (2.0 * n)).collect()
    };
    let moves = [moves(&plus, of_plus), moves(&minus, of_minus)].concat();
    let n = moves.len() as f64;
    let se = (n / (n - 1.0) * moves.iter().map(|m| m * m).sum::<f64>()).sqrt();
    let balanced = 0.5 * (of_plus + of_minus);
    let (lo, hi) = share_interval(balanced, se, &moves, moves.len());
    Some(Accuracy { balanced, lo, hi, plus: of_plus, minus: of_minus })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;

    /// Two normal samples of `n` rows and 10 coordinates, `by` apart in the first.
    fn drawn(seed: u64, n: usize, by: f32) -> (Array2<f32>, Array2<f32>, Vec<bool>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut of = |by: f32| {
            Array2::from_shape_fn((n, 10), |(_, j)| {
                let z: f32 = StandardNormal.sample(&mut rng);
                z + if j == 0 { by } else { 0.0 }
            })
        };
        (of(by), of(0.0), (0..n).map(|i| i % 2 == 0).collect())
    }

    fn told(seed: u64, n: usize, by: f32) -> Accuracy {
        let (plus, minus, half) = drawn(seed, n, by);
        accuracy(&Sets { plus: (plus.view(), &half), minus: (minus.view(), &half) }).expect("an accuracy")
    }

    #[test]
    fn a_planted_distance_has_the_accuracy_of_two_normals_and_none_a_coins() {
        let (mut apart, mut alike, mut held) = (0.0, 0.0, 0);
        for seed in 0..20 {
            apart += told(seed, 200, 2.0).balanced / 20.0;
            let found = told(100 + seed, 200, 0.0);
            alike += found.balanced / 20.0;
            held += usize::from(found.lo <= 0.5 && 0.5 <= found.hi);
        }
        // Φ(1) = .841 at best; estimating ten weights from 200 rows costs about .02.
        assert!((0.81..0.845).contains(&apart), "{apart}");
        assert!((alike - 0.5).abs() < 0.02 && held >= 17, "{alike} {held}");
    }

    #[test]
    fn each_set_weighs_a_half_and_too_few_prompts_have_none() {
        let (plus, minus, half) = drawn(3, 40, 6.0);
        let few = minus.slice(ndarray::s![..10, ..]);
        let sets = Sets { plus: (plus.view(), &half), minus: (few, &half[..10]) };
        let found = accuracy(&sets).expect("an accuracy");
        assert!((found.balanced - 0.5 * (found.plus + found.minus)).abs() < 1e-12);
        assert!(found.balanced > 0.9 && found.lo < found.balanced && found.hi <= 1.0, "{found:?}");
        let few = minus.slice(ndarray::s![..3, ..]);
        assert_eq!(accuracy(&Sets { plus: (plus.view(), &half), minus: (few, &half[..3]) }), None);
    }
}
