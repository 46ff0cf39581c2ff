//! Section 9.4: the cosine of two directions as functions on the same rows, independent of the bases.
//!
//! Bases of residual streams may rotate between checkpoints, so directions are compared as functions on the same rows:
//! f_s = ⟨h_s, v_s⟩ against f_t = ⟨h_t, v_t⟩, correlated over within-prompt contrasts. Blocks are split into two
//! halves; f̂ᴬ is fitted (twicing ridge) on the first and f̂ᴮ on the second, and a block is never predicted by a fit
//! that included it. With means over all contrasts,
//!
//!   cos = ½ mean(f̂_sᴬ f̂_tᴮ + f̂_sᴮ f̂_tᴬ) / √(mean f̂_sᴬ f̂_sᴮ · mean f̂_tᴬ f̂_tᴮ),
//!
//! averaged over splits. The two fits of a product share no row, so their noise cancels in numerator and denominator
//! alike; a rotation of a basis changes no fit, so a series that only rotates gives exactly 1. A product Σ y_s f̂_t
//! would not suffice: if both checkpoints share the label S, its expectation is that of f_t², whatever f_s is.
//!
//! The influence of a block is ψ_st = Σ f_s f_t + (P_s f_t)(y_s − f_s) + (P_t f_s)(y_t − f_t), with P_s the regression
//! on h_s; for s = t it is the 2yf − f² of [`crate::probe::influence`].

use faer::Mat;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::error::Result;
use crate::probe::Spectrum;
use crate::probe::influence::{Influence, theta};
use crate::probe::twicing::{directions, twicing};
use crate::theory::base::angle::GATE;
use crate::theory::base::bench::{Bench, Label};
use crate::theory::{Estimate, Quantity};

/// Number of splits of the blocks to average over.
const SPLITS: u64 = 4;

/// A label at one checkpoint: fitted on all blocks, and on the halves of each split.
#[derive(Debug, Clone)]
pub struct Fitted {
    /// Leave-block-out fit on all blocks.
    pub full: Label,
    /// Predictions of every contrast by the fit on each half, per split.
    halves: Vec<[Vec<f64>; 2]>,
}

/// Fits labels (contrasts `[N]`) on a bench.
///
/// # Errors
/// If a half has no variance, or a factorisation does not converge.
pub fn fit(bench: &Bench, labels: &[Vec<f64>]) -> Result<Vec<Fitted>> {
    let full = bench.probe(labels.to_vec());
    let mut out: Vec<Fitted> = full.into_iter().map(|full| Fitted { full, halves: Vec::new() }).collect();
    let blocks = bench.contrasts.blocks();
    for split in 0..SPLITS {
        let mut order: Vec<usize> = (0..blocks.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(split));
        let mut side = vec![false; blocks.len()];
        order[..blocks.len() / 2].iter().for_each(|&b| side[b] = true);
        let [a, b] = [true, false].map(|own| half(bench, labels, &side, own));
        for ((out, a), b) in out.iter_mut().zip(a?).zip(b?) {
            out.halves.push([a, b]);
        }
    }
    Ok(out)
}

/// Predictions of all contrasts by fits on the blocks of one half: leave-block-out within it, plain elsewhere.
fn half(bench: &Bench, labels: &[Vec<f64>], side: &[bool], own: bool) -> Result<Vec<Vec<f64>>> {
    let (rows, ranges) = bench.contrasts.part(|block, _| side[block] == own);
    let x = Mat::from_fn(rows.len(), bench.x.ncols(), |i, j| bench.x[(rows[i], j)]);
    let spectrum = Spectrum::new(&x)?;
    let lambda = spectrum.penalty(spectrum.default_df());
    let here: Vec<Vec<f64>> = labels.iter().map(|y| rows.iter().map(|&r| y[r]).collect()).collect();
    let views: Vec<&[f64]> = here.iter().map(Vec::as_slice).collect();
    let left_out = twicing(&spectrum, &ranges, lambda, &views);
    let v = directions(&spectrum, &x, lambda, &views);
    let all = &bench.x * v;
    let mut out: Vec<Vec<f64>> =
        (0..labels.len()).map(|l| (0..bench.n()).map(|i| all[(i, l)]).collect()).collect();
    for (out, left_out) in out.iter_mut().zip(left_out) {
        for (&row, p) in rows.iter().zip(left_out) {
            out[row] = p;
        }
    }
    Ok(out)
}

/// `function_cos` of one label at two checkpoints, on benches of the same contrasts.
pub fn function_cos((s, f): (&Bench, &Fitted), (t, g): (&Bench, &Fitted)) -> Estimate {
    let method = "split-half predictions, disattenuated; influence of blocks, Fisher z";
    let blocks = s.contrasts.blocks();
    let n = s.n() as f64;
    let own = |f: &Fitted| theta(f.full.probed(), f.full.probed(), blocks);
    let (ss, tt) = (own(f), own(g));
    let encoded = |e: &Influence| e.value / e.se(blocks) > GATE;
    let mean = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / n;
    let (mut across, mut first, mut second) = (0.0, 0.0, 0.0);
    for (f, g) in f.halves.iter().zip(&g.halves) {
        across += 0.5 * (mean(&f[0], &g[1]) + mean(&f[1], &g[0]));
        first += mean(&f[0], &f[1]);
        second += mean(&g[0], &g[1]);
    }
    let why = "not identifiable: the residual stream of one of the two does not predict the label on left-out prompts";
    if !(first > 0.0 && second > 0.0 && ss.value > 0.0 && tt.value > 0.0) {
        return Estimate::new(Quantity::FunctionCos, method).warn(why);
    }
    let cos = (across / (first * second).sqrt()).clamp(-1.0, 1.0);
    // Regression of each model on the other's function.
    let onto_s = s.probe(vec![g.full.yhat.clone()]).remove(0).yhat;
    let onto_t = t.probe(vec![f.full.yhat.clone()]).remove(0).yhat;
    let psi = blocks
        .iter()
        .map(|block| {
            block
                .clone()
                .map(|i| {
                    let (fs, ft) = (f.full.yhat[i], g.full.yhat[i]);
                    fs * ft + onto_s[i] * (f.full.y[i] - fs) + onto_t[i] * (g.full.y[i] - ft)
                })
                .sum()
        })
        .collect();
    let st = Influence { value: cos, psi };
    let scale = 1.0 / (ss.value * tt.value).sqrt();
    let parts = [(scale, &st), (-0.5 * cos / ss.value, &ss), (-0.5 * cos / tt.value, &tt)];
    let cos = Influence::combine(cos, &parts);
    let mut e = Estimate::figure(
        Quantity::FunctionCos,
        method,
        cos.value,
        cos.se(blocks),
        cos.cosine_interval(blocks),
    );
    (e.n, e.blocks) = (Some(s.n()), Some(blocks.len()));
    if encoded(&ss) && encoded(&tt) { e } else { e.withheld(why) }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::probe::Contrasts;
    use crate::steer::drift::Change;

    const D: usize = 24;
    const PROMPTS: usize = 220;
    const K: usize = 4;

    struct World {
        rng: ChaCha8Rng,
        prompt: Vec<i32>,
    }

    impl World {
        fn new(seed: u64) -> Self {
            let prompt = (0..PROMPTS * K).map(|r| (r / K) as i32).collect();
            Self { rng: ChaCha8Rng::seed_from_u64(seed), prompt }
        }

        fn normals(&mut self, n: usize) -> Vec<f64> {
            (0..n).map(|_| StandardNormal.sample(&mut self.rng)).collect()
        }

        fn h(&mut self) -> Array2<f32> {
            let cells = self.normals(PROMPTS * K * D);
            Array2::from_shape_fn((PROMPTS * K, D), |(i, j)| {
                (cells[i * D + j] / (1.0 + j as f64).sqrt()) as f32
            })
        }

        fn bench(&self, h: &Array2<f32>) -> Bench {
            let contrasts = Contrasts::helmert(&self.prompt, &self.prompt, |_| true);
            Bench::new(contrasts, h.view(), None).expect("variance")
        }

        /// ⟨h, v⟩ plus noise of equal variance.
        fn label(&mut self, h: &Array2<f32>, v: &[f64], noise: f64) -> Vec<f64> {
            let clean: Vec<f64> =
                h.rows().into_iter().map(|r| r.iter().zip(v).map(|(h, v)| f64::from(*h) * v).sum()).collect();
            let sd = (clean.iter().map(|c| c * c).sum::<f64>() / clean.len() as f64).sqrt();
            let e = self.normals(clean.len());
            clean.iter().zip(e).map(|(c, e)| c + noise * sd * e).collect()
        }
    }

    fn cos(world: &World, (h, y): (&Array2<f32>, &[f64]), (k, x): (&Array2<f32>, &[f64])) -> Estimate {
        let (s, t) = (world.bench(h), world.bench(k));
        let f = fit(&s, &[s.column(y)]).expect("a fit").remove(0);
        let g = fit(&t, &[t.column(x)]).expect("a fit").remove(0);
        function_cos((&s, &f), (&t, &g))
    }

    /// Two directions at an angle in the metric of the covariance, whose spectrum falls as 1/(1 + j).
    fn at_angle(angle: f64) -> (Vec<f64>, Vec<f64>) {
        let unit = |j: usize| -> Vec<f64> {
            (0..D).map(|i| if i == j { (1.0 + j as f64).sqrt() } else { 0.0 }).collect()
        };
        let (a, b) = (unit(0), unit(5));
        let v = a.iter().zip(&b).map(|(a, b)| angle.cos() * a + angle.sin() * b).collect();
        (a, v)
    }

    #[test]
    fn a_basis_that_turns_is_no_drift() {
        let mut world = World::new(1);
        let h = world.h();
        let (v, _) = at_angle(0.0);
        let y = world.label(&h, &v, 1.0);
        // A cyclic shift with signs is an orthogonal map. Raw cosines of directions would be near 0.
        let turned = Array2::from_shape_fn(h.dim(), |(i, j)| {
            if j % 2 == 0 { -h[[i, (j + 7) % D]] } else { h[[i, (j + 7) % D]] }
        });
        let e = cos(&world, (&h, &y), (&turned, &y));
        assert!((e.estimate.expect("a cosine") - 1.0).abs() < 1e-6, "{e:?}");
        assert_eq!(Change::of(&e), Change::Steady);
    }

    #[test]
    fn fresh_noise_on_the_labels_is_no_drift_and_a_turned_direction_is() {
        for (angle, change) in [(0.0, Change::Steady), (1.0, Change::Drifting), (2.6, Change::Reversed)] {
            let (mut total, mut covered) = (0.0, 0);
            for seed in 0..12 {
                let mut world = World::new(100 + seed);
                let h = world.h();
                let (v, u) = at_angle(angle);
                let (y, x) = (world.label(&h, &v, 0.7), world.label(&h, &u, 0.7));
                let e = cos(&world, (&h, &y), (&h, &x));
                let truth = angle.cos();
                total += e.estimate.expect("a cosine") - truth;
                covered += i32::from(
                    e.lo.expect("lo") - 1e-9 <= truth
                        && truth <= e.hi.expect("hi").max(e.estimate.unwrap_or(0.0)) + 1e-2,
                );
                assert_eq!(Change::of(&e), change, "angle {angle}, seed {seed}: {e:?}");
            }
            assert!((total / 12.0).abs() < 0.03, "angle {angle}: bias {}", total / 12.0);
            assert!(covered >= 9, "angle {angle}: {covered} of 12 covered");
        }
    }

    #[test]
    fn another_stream_that_encodes_another_part_of_the_value_is_drift_though_the_label_is_one() {
        // S = a + b; the first checkpoint encodes a, the second b.
        let mut world = World::new(7);
        let (h, k) = (world.h(), world.h());
        let (v, _) = at_angle(0.0);
        let (a, b) = (world.label(&h, &v, 0.0), world.label(&k, &v, 0.0));
        let y: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
        let e = cos(&world, (&h, &y), (&k, &y));
        assert!(e.estimate.expect("a cosine").abs() < 0.2, "{e:?}");
        assert_eq!(Change::of(&e), Change::Drifting);
    }

    #[test]
    fn a_label_that_is_not_encoded_has_no_angle() {
        let mut world = World::new(9);
        let h = world.h();
        let (v, _) = at_angle(0.0);
        let (y, x) = (world.label(&h, &v, 0.5), world.normals(PROMPTS * K));
        let e = cos(&world, (&h, &y), (&h, &x));
        assert!(!e.reportable && !e.warnings.is_empty(), "{e:?}");
        assert_eq!(Change::of(&e), Change::Untold);
    }
}
