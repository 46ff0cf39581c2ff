//! Section 8.1: the direction between the mean residual streams of two sets of prompts (Arditi et al. 2024), whether it
//! separates the sets on held-out prompts, and its angle with v*, v_c and w of a run.
//!
//! d = mean(h | first set) − mean(h | second set). Prompts are split into two halves by a hash; d₁ and d₂ are the
//! directions of the halves. The halves share nothing, so ⟨d₁, d₂⟩ estimates ‖d‖² without noise, and the area under the
//! ROC curve of one half under the other's direction is held out.
//!
//! The cosine with a label y of a run (S for v*, a judge's rewards for v_c, log P for w) in the metric of the run's
//! within-prompt covariance is mean(y · Xd̄)/√(mean(Xd₁ · Xd₂) θ̂_yy), d̄ = (d₁ + d₂)/2: all products are of
//! independent noises. Its error has two independent sources: blocks of responses, through the influence of the three
//! means, and prompts, through theirs; the squares of the two errors add.

mod accuracy;
mod found;
mod page;

pub use accuracy::{Accuracy, accuracy};
pub use found::{Against, DirectionReport, LayerMeans, WithoutCoordinate};
use ndarray::{Array1, ArrayView2, Axis};
use serde::Serialize;

use crate::linalg::dot;
use crate::probe::influence::{cosine, fisher_interval, mean_product, normal_interval, theta};
use crate::theory::base::angle::GATE;
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::dominant::Largest;
use crate::theory::{Estimate, Quantity};

/// Two sets of prompts at one layer: h `[n, d]`, and the half that each prompt belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Sets<'a> {
    /// The first set.
    pub plus: (ArrayView2<'a, f32>, &'a [bool]),
    /// The second set.
    pub minus: (ArrayView2<'a, f32>, &'a [bool]),
}

/// Difference in means, over all prompts and in each half.
#[derive(Debug, Clone, PartialEq)]
pub struct Means {
    /// d over all prompts.
    pub whole: Vec<f64>,
    /// d₁ and d₂; `None` if a half has fewer than two prompts of a set.
    pub halves: Option<[Vec<f64>; 2]>,
}

fn rows(half: &[bool], own: Option<bool>) -> Vec<usize> {
    (0..half.len()).filter(|&i| own.is_none_or(|o| half[i] == o)).collect()
}

fn mean(h: ArrayView2<'_, f32>, rows: &[usize]) -> Array1<f64> {
    let mut sum = Array1::<f64>::zeros(h.ncols());
    for &r in rows {
        sum.iter_mut().zip(h.index_axis(Axis(0), r)).for_each(|(s, v)| *s += f64::from(*v));
    }
    sum / rows.len() as f64
}

fn score(h: ArrayView2<'_, f32>, row: usize, v: &[f64]) -> f64 {
    h.index_axis(Axis(0), row).iter().zip(v).map(|(h, v)| f64::from(*h) * v).sum()
}

impl Means {
    /// Computes the directions of two sets, each with at least one prompt.
    pub fn new(sets: &Sets<'_>) -> Self {
        let of = |own: Option<bool>| -> Option<Vec<f64>> {
            let (p, m) = (rows(sets.plus.1, own), rows(sets.minus.1, own));
            let enough = own.is_none() || (p.len() >= 2 && m.len() >= 2);
            enough.then(|| (mean(sets.plus.0, &p) - mean(sets.minus.0, &m)).to_vec())
        };
        let halves = match (of(Some(true)), of(Some(false))) {
            (Some(a), Some(b)) => Some([a, b]),
            _ => None,
        };
        Self { whole: of(None).unwrap_or_default(), halves }
    }

    /// The coordinate with the largest share of ‖d‖².
    pub fn coordinate(&self) -> Option<Largest> {
        Largest::coordinate(&self.whole)
    }

    /// The same directions with a coordinate set to 0.
    #[must_use]
    pub fn without(&self, coordinate: usize) -> Self {
        let clean = |v: &Vec<f64>| {
            let mut v = v.clone();
            v[coordinate] = 0.0;
            v
        };
        Self { whole: clean(&self.whole), halves: self.halves.as_ref().map(|h| h.each_ref().map(clean)) }
    }

    /// The prompt whose removal turns d most, and cos(d, d without it); `None` if a set has only one prompt, or d is 0.
    pub fn pivot(&self, sets: &Sets<'_>) -> Option<Pivot> {
        let own = dot(&self.whole, &self.whole);
        let mut out: Option<Pivot> = None;
        for (plus, (h, halves)) in [(true, sets.plus), (false, sets.minus)] {
            let n = halves.len() as f64;
            if n < 2.0 || own <= 0.0 {
                return None;
            }
            let centre = mean(h, &rows(halves, None)).to_vec();
            let sign = if plus { 1.0 } else { -1.0 };
            for row in 0..halves.len() {
                // d without the row's contribution: d ∓ (h − mean)/(n − 1).
                let (mut along, mut square) = (0.0, 0.0);
                for ((h, m), d) in h.index_axis(Axis(0), row).iter().zip(&centre).zip(&self.whole) {
                    let left = d - sign * (f64::from(*h) - m) / (n - 1.0);
                    along += d * left;
                    square += left * left;
                }
                let cos = if square > 0.0 { along / (own * square).sqrt() } else { 0.0 };
                if out.is_none_or(|p| cos < p.cos) {
                    out = Some(Pivot { plus, row, cos });
                }
            }
        }
        out
    }

    /// Length ‖d‖.
    pub fn norm(&self) -> f64 {
        dot(&self.whole, &self.whole).sqrt()
    }

    /// ⟨d₁, d₂⟩: an estimate of ‖d‖² without noise, negative only by chance.
    pub fn square(&self) -> Option<f64> {
        self.halves.as_ref().map(|[a, b]| dot(a, b))
    }

    /// `direction_auc`: each half scored by the direction of the other.
    pub fn auc(&self, sets: &Sets<'_>) -> Estimate {
        let method = "split by hash, each half scored by the other's direction; DeLong";
        let Some(halves) = &self.halves else {
            return Estimate::missing(
                Quantity::DirectionAuc,
                "a half of the prompts holds fewer than two of one of the sets",
            );
        };
        let (mut value, mut variance, mut n) = (0.0, 0.0, 0);
        for (own, direction) in [(true, &halves[1]), (false, &halves[0])] {
            let scores = |(h, half): (ArrayView2<'_, f32>, &[bool])| -> Vec<f64> {
                rows(half, Some(own)).into_iter().map(|r| score(h, r, direction)).collect()
            };
            let (p, m) = (scores(sets.plus), scores(sets.minus));
            let (area, var) = delong(&p, &m);
            value += 0.5 * area;
            variance += 0.25 * var;
            n += p.len() + m.len();
        }
        let se = variance.sqrt();
        let (lo, hi) = normal_interval(value, se);
        let mut e = Estimate::figure(Quantity::DirectionAuc, method, value, se, (lo.max(0.0), hi.min(1.0)));
        e.z = (se > 0.0).then(|| (value - 0.5) / se);
        e.n = Some(n);
        e
    }

    /// `direction_cos` with a label on a run's bench.
    pub fn cos(&self, sets: &Sets<'_>, bench: &Bench, label: &Label) -> Estimate {
        let method =
            "covariance with the label, split halves of the prompts; influence of blocks and prompts";
        let Some([first, second]) = &self.halves else {
            return Estimate::missing(
                Quantity::DirectionCos,
                "a half of the prompts holds fewer than two of one of the sets",
            );
        };
        let (n, blocks) = (bench.n() as f64, bench.contrasts.blocks());
        let along = |v: &[f64]| -> Vec<f64> {
            let column = faer::Mat::from_fn(v.len(), 1, |i, _| v[i]);
            let scores = &bench.x * column;
            (0..bench.n()).map(|i| scores[(i, 0)]).collect()
        };
        let back = |y: &[f64]| -> Vec<f64> {
            let column = faer::Mat::from_fn(y.len(), 1, |i, _| y[i] / n);
            let v = bench.x.transpose() * column;
            (0..bench.x.ncols()).map(|j| v[(j, 0)]).collect()
        };
        let (x1, x2) = (along(first), along(second));
        let middle: Vec<f64> = x1.iter().zip(&x2).map(|(a, b)| 0.5 * (a + b)).collect();
        let (ab, aa) = (mean_product(&middle, &label.y, blocks), mean_product(&x1, &x2, blocks));
        let bb = theta(label.probed(), label.probed(), blocks);
        let z = bb.value / bb.se(blocks);
        let why = "not identifiable: the residual stream does not predict the label on left-out prompts, or the two \
                   halves of the prompts do not agree on a direction";
        let Some(cos) = cosine(&ab, &aa, &bb) else {
            return Estimate::new(Quantity::DirectionCos, method).warn(why);
        };
        // A prompt of half k has weight 1/n_k in d_k and half of that in d̄.
        let (gradient, s1, s2) = (back(&label.y), back(&x1), back(&x2));
        let scale = 1.0 / (aa.value * bb.value).sqrt();
        let mut of_prompts = 0.0;
        for (half, other) in [(true, &s2), (false, &s1)] {
            for (h, halves) in [sets.plus, sets.minus] {
                let own = rows(halves, Some(half));
                let size = own.len() as f64;
                let moves: Vec<f64> = own
                    .iter()
                    .map(|&r| {
                        let (g, q) = (score(h, r, &gradient), score(h, r, other));
                        0.5 * scale * g - 0.5 * cos.value / aa.value * q
                    })
                    .collect();
                let centre = moves.iter().sum::<f64>() / size;
                let squares: f64 = moves.iter().map(|m| (m - centre).powi(2)).sum();
                of_prompts += squares / (size * (size - 1.0));
            }
        }
        let se = (cos.se(blocks).powi(2) + of_prompts).sqrt();
        let interval = fisher_interval(cos.value, se);
        let mut e = Estimate::figure(Quantity::DirectionCos, method, cos.value, se, interval);
        (e.n, e.blocks) = (Some(bench.n()), Some(blocks.len()));
        if z > GATE { e } else { e.withheld(why) }
    }

    /// The Euclidean cosine of d with a vector held fixed, with its error over prompts.
    pub fn raw(&self, sets: &Sets<'_>, v: &[f64]) -> Option<Raw> {
        let (norm, length) = (self.norm(), dot(v, v).sqrt());
        if !(norm > 0.0 && length > 0.0) {
            return None;
        }
        let cos = dot(&self.whole, v) / (norm * length);
        let toward: Vec<f64> =
            v.iter().zip(&self.whole).map(|(v, d)| v / (norm * length) - cos * d / (norm * norm)).collect();
        let mut variance = 0.0;
        for (h, halves) in [sets.plus, sets.minus] {
            let size = halves.len() as f64;
            let moves: Vec<f64> = (0..halves.len()).map(|r| score(h, r, &toward)).collect();
            let centre = moves.iter().sum::<f64>() / size;
            variance += moves.iter().map(|m| (m - centre).powi(2)).sum::<f64>() / (size * (size - 1.0));
        }
        let se = variance.sqrt();
        let (lo, hi) = fisher_interval(cos, se);
        Some(Raw { cos, lo, hi, random_sd: 1.0 / (v.len() as f64).sqrt() })
    }
}

/// The prompt with the largest influence on a difference in means.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pivot {
    /// Whether it belongs to the first set.
    pub plus: bool,
    /// Index in its set, from 0.
    pub row: usize,
    /// cos between the direction and that without this prompt.
    pub cos: f64,
}

impl Pivot {
    /// Whether the prompt turns the direction by more than 25°. With n isotropic prompts per set, one prompt turns it
    /// by a cosine of about 1 − 1/(4n).
    pub fn turns(&self) -> bool {
        self.cos < 0.9
    }
}

/// Area under the ROC curve (Mann and Whitney), with ties counted half, and its DeLong variance.
fn delong(p: &[f64], m: &[f64]) -> (f64, f64) {
    let above = |a: f64, b: f64| if a > b { 1.0 } else { f64::from(u8::from(a == b)) * 0.5 };
    let of_p: Vec<f64> =
        p.iter().map(|a| m.iter().map(|b| above(*a, *b)).sum::<f64>() / m.len() as f64).collect();
    let of_m: Vec<f64> =
        m.iter().map(|b| p.iter().map(|a| above(*a, *b)).sum::<f64>() / p.len() as f64).collect();
    let area = of_p.iter().sum::<f64>() / p.len() as f64;
    let variance = |x: &[f64]| {
        let n = x.len() as f64;
        x.iter().map(|v| (v - area).powi(2)).sum::<f64>() / (n * (n - 1.0))
    };
    (area, variance(&of_p) + variance(&of_m))
}

/// A Euclidean cosine with its interval over prompts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Raw {
    /// The cosine.
    pub cos: f64,
    /// Lower end of the 95 % interval over prompts.
    pub lo: f64,
    /// Upper end of the 95 % interval over prompts.
    pub hi: f64,
    /// Standard deviation of the cosine for a random direction, 1/√d.
    pub random_sd: f64,
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::probe::Contrasts;

    const D: usize = 20;

    fn normal(seed: u64, n: usize) -> Array2<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Array2::from_shape_fn((n, D), |_| StandardNormal.sample(&mut rng))
    }

    /// Samples with the second set around 0 and the first around `by` along (cos, sin) of the first two axes.
    fn sets(seed: u64, n: usize, by: f32, angle: f32) -> (Array2<f32>, Array2<f32>, Vec<bool>) {
        let (mut plus, minus) = (normal(2 * seed, n), normal(2 * seed + 1, n));
        plus.column_mut(0).mapv_inplace(|v| v + by * angle.cos());
        plus.column_mut(1).mapv_inplace(|v| v + by * angle.sin());
        (plus, minus, (0..n).map(|i| i % 2 == 0).collect())
    }

    #[test]
    fn the_area_is_what_two_normals_have() {
        let (mut total, mut covered) = (0.0, 0);
        for seed in 0..20 {
            let (plus, minus, half) = sets(seed, 200, 2.0, 0.0);
            let sets = Sets { plus: (plus.view(), &half), minus: (minus.view(), &half) };
            let means = Means::new(&sets);
            let e = means.auc(&sets);
            total += e.estimate.expect("an area") / 20.0;
            // Φ(2/√2) = 0.921 under the true direction; one estimated from 100 prompts per set is slightly worse.
            covered += i32::from(e.lo.expect("lo") < 0.915 && e.hi.expect("hi") > 0.905);
            let square = means.square().expect("halves");
            assert!((square - 4.0).abs() < 1.5, "{square}");
            assert!(means.norm() > 1.5);
        }
        assert!((total - 0.911).abs() < 0.012, "{total}");
        assert!(covered >= 15, "{covered} of 20");
    }

    #[test]
    fn sets_that_do_not_differ_have_an_area_of_a_half() {
        let mut total = 0.0;
        for seed in 0..20 {
            let (plus, minus, half) = sets(seed, 100, 0.0, 0.0);
            let sets = Sets { plus: (plus.view(), &half), minus: (minus.view(), &half) };
            let e = Means::new(&sets).auc(&sets);
            total += e.estimate.expect("an area") / 20.0;
        }
        // The in-sample area would be near 0.7.
        assert!((total - 0.5).abs() < 0.04, "{total}");
    }

    #[test]
    fn a_massive_coordinate_is_named_with_what_is_left_without_it_and_isotropic_ones_are_not() {
        let mut left_over = 0.0;
        for seed in 0..10 {
            let (plus, minus, half) = sets(seed, 60, 1.0, 0.0);
            let isotropic = Sets { plus: (plus.view(), &half), minus: (minus.view(), &half) };
            let means = Means::new(&isotropic);
            // Two coordinates share the difference, neither of them massive.
            let (spread, _, _) = sets(seed, 60, 1.4, std::f32::consts::FRAC_PI_4);
            let level = Sets { plus: (spread.view(), &half), minus: (minus.view(), &half) };
            let level = Means::new(&level).coordinate().expect("a length");
            assert!(!level.dominates(), "{level:?}");
            // A coordinate with values 1,000 times as large, without any difference between the sets.
            let massive = |mut h: Array2<f32>| {
                h.column_mut(7).mapv_inplace(|v| 1000.0 * v);
                h
            };
            let (p, m) = (massive(plus.clone()), massive(minus.clone()));
            let massive = Sets { plus: (p.view(), &half), minus: (m.view(), &half) };
            let found = Means::new(&massive);
            let largest = found.coordinate().expect("a length");
            assert!(largest.index == 7 && largest.share > 0.9 && largest.dominates(), "{largest:?}");
            let rest = found.without(7);
            assert!((rest.norm().powi(2) + found.whole[7].powi(2) - found.norm().powi(2)).abs() < 1e-6);
            // Chance level with the massive coordinate; without it, equal to the data that lack it.
            let with = found.auc(&massive).estimate.expect("an area");
            let left = rest.auc(&massive).estimate.expect("an area");
            assert!((with - 0.5).abs() < 0.2 && left > 0.55, "{with} {left}");
            left_over += left / 10.0;
            assert!((left - means.without(7).auc(&isotropic).estimate.expect("an area")).abs() < 1e-12);
        }
        assert!(left_over > 0.65, "{left_over}");
    }

    #[test]
    fn a_prompt_that_the_direction_rests_on_is_found() {
        for seed in 0..10 {
            let (mut plus, minus, half) = sets(seed, 40, 1.0, 0.0);
            let pivot = |plus: &Array2<f32>| {
                let sets = Sets { plus: (plus.view(), &half), minus: (minus.view(), &half) };
                let means = Means::new(&sets);
                let pivot = means.pivot(&sets).expect("a prompt");
                // Direct computation, leaving the prompt out.
                if pivot.plus {
                    let left: Vec<usize> = (0..40).filter(|&r| r != pivot.row).collect();
                    let d = mean(plus.view(), &left) - mean(minus.view(), &rows(&half, None));
                    let d = d.to_vec();
                    let cos = dot(&d, &means.whole) / (dot(&d, &d).sqrt() * means.norm());
                    assert!((cos - pivot.cos).abs() < 1e-9, "{cos} {pivot:?}");
                }
                pivot
            };
            assert!(!pivot(&plus).turns(), "{:?}", pivot(&plus));
            plus.row_mut(11).mapv_inplace(|v| 60.0 * v);
            let found = pivot(&plus);
            assert!(found.turns() && found.plus && found.row == 11, "{found:?}");
        }
    }

    #[test]
    fn a_page_speaks_of_a_dominant_coordinate_only_where_there_is_one() {
        let (plus, minus, half) = sets(3, 60, 1.5, 0.6);
        let page = |factor: f32| {
            let scaled = |h: &Array2<f32>| {
                let mut h = h.clone();
                h.column_mut(7).mapv_inplace(|v| factor * v);
                h
            };
            let (p, m) = (scaled(&plus), scaled(&minus));
            let sets = Sets { plus: (p.view(), &half), minus: (m.view(), &half) };
            let means = Means::new(&sets);
            let layer = LayerMeans::new(crate::units::Layer(4), &means, &sets, 1.0, Vec::new(), |p| {
                format!("id{}", p.row)
            });
            let found = DirectionReport {
                format: "vstar-direction/1",
                model: "m".to_owned(),
                name: "n".to_owned(),
                position: "last".to_owned(),
                prompts: [60, 60],
                against: None,
                layers: vec![layer],
                warnings: Vec::new(),
            };
            let json = serde_json::to_value(&found).expect("JSON");
            (found.page().to_markdown(), json)
        };
        let (plain, json) = page(1.0);
        assert!(!plain.contains("alone holds") && !plain.contains("rests on one prompt"), "{plain}");
        assert!(json["layers"][0].get("without_coordinate").is_none());
        let (massive, json) = page(300.0);
        assert!(
            massive.contains("coordinate 7 alone holds") && massive.contains("Without it the AUC is"),
            "{massive}"
        );
        assert_eq!(json["layers"][0]["coordinate"]["index"], 7);
        assert!(json["layers"][0]["without_coordinate"]["auc"]["estimate"].as_f64().expect("an area") > 0.7);
        assert_eq!(json["layers"][0]["auc"]["flags"][0], "dominant_coordinate");
    }

    #[test]
    fn the_area_of_separated_scores_is_one_and_ties_count_half() {
        assert_eq!(delong(&[3.0, 4.0], &[1.0, 2.0]).0, 1.0);
        assert_eq!(delong(&[1.0, 1.0], &[1.0, 1.0]).0, 0.5);
    }

    #[test]
    fn the_cosine_with_a_planted_value_is_that_of_the_angle() {
        for (angle, by) in [(0.0f32, 1.5f32), (1.0, 1.5), (2.5, 1.5)] {
            let (mut total, mut covered) = (0.0, 0);
            for seed in 0..60 {
                let (plus, minus, half) = sets(50 + seed, 120, by, angle);
                let sets = Sets { plus: (plus.view(), &half), minus: (minus.view(), &half) };
                let h = normal(9000 + seed, 600);
                let noise = normal(9500 + seed, 600);
                let prompt: Vec<i32> = (0..600).map(|r| r / 3).collect();
                let y: Vec<f64> = (0..600).map(|r| f64::from(h[[r, 0]] + noise[[r, 0]])).collect();
                let contrasts = Contrasts::helmert(&prompt, &prompt, |_| true);
                let bench = Bench::new(contrasts, h.view(), None).expect("variance");
                let label = bench.probe(vec![bench.column(&y)]).remove(0);
                let means = Means::new(&sets);
                let e = means.cos(&sets, &bench, &label);
                let truth = f64::from(angle.cos());
                total += (e.estimate.expect("a cosine") - truth) / 60.0;
                let (lo, hi) = (e.lo.expect("lo"), e.hi.expect("hi"));
                covered += i32::from(lo <= truth + 1e-9 && truth <= hi.max(e.estimate.unwrap_or(0.0)) + 1e-9);
                // The raw cosine is smaller in magnitude, because d contains noise.
                let axis: Vec<f64> = (0..D).map(|j| f64::from(u8::from(j == 0))).collect();
                let raw = means.raw(&sets, &axis).expect("a cosine");
                assert!(raw.lo <= raw.cos && raw.cos <= raw.hi);
            }
            // One estimate has a standard deviation of 0.07 to 0.11 here.
            assert!(total.abs() < 0.045, "angle {angle}: bias {total}");
            assert!(covered >= 52, "angle {angle}: {covered} of 60");
        }
    }

    #[test]
    fn too_few_prompts_have_no_halves() {
        let (plus, minus, _) = sets(1, 3, 1.0, 0.0);
        let half = [true, true, false];
        let sets = Sets { plus: (plus.view(), &half), minus: (minus.view(), &half) };
        let means = Means::new(&sets);
        assert!(means.halves.is_none() && means.auc(&sets).estimate.is_none());
        assert_eq!(means.whole.len(), D);
    }
}
