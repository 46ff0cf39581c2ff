//! Theorem 14: the average gradient of a nonlinear value, and its direction on either side of the median.
//!
//! The nonlinear fit is f(h) = ⟨h, v*⟩ + Σ_j β_j (φ_j(h) − ⟨h, l_j⟩) with the nonlinear features φ of
//! [`linearity`](super::linearity), each minus its linear prediction ⟨h, l_j⟩. Its average gradient v̄* = v* + Σ_j
//! β_j (E∇φ_j − l_j) is the linear direction of the label t = S + Σ_j β_j (⟨h, E∇φ_j⟩ − φ_j), so that cos(v̄*, v*) is
//! the cosine of two labels, with the same estimator and interval as any other. By Stein's lemma it is 1 for Gaussian
//! h whatever the curvature, and for linear values whatever h; below 1 the linear v* is a poor summary of the local
//! directions (Remark 4).
//!
//! `halves_transfer`: prompts are split at the median of their mean reading ⟨h, v̂⟩, and v* is fitted separately in
//! each half. With Σ_h the covariance within half h, the ratio of what each half's direction explains of the other to
//! what each explains of itself,
//!
//!   (v_B'Σ_A v_A + v_A'Σ_B v_B) / (v_A'Σ_A v_A + v_B'Σ_B v_B),
//!
//! is 1 for a linear value whatever the covariances, and −1 where the value reverses at the median (Proposition 15).
//! Both parts use predictions that leave the block out or come from the other half, so that no noise is multiplied by
//! itself.

mod section;

use std::ops::Range;

use faer::Mat;

use crate::error::Result;
use crate::linalg::{dot, solve};
use crate::probe::influence::{Influence, theta};
use crate::probe::twicing::{directions, twicing};
use crate::probe::{Probed, Spectrum};
use crate::theory::base::analysis::Analysis;
use crate::theory::base::angle::{Angle, GATE};
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::estimate::{Estimate, Quantity};
use crate::theory::base::problem::Labels;
use crate::theory::base::rows;
use crate::theory::base::stage::Stage;
use crate::theory::linearity::Curved;
use crate::theory::statement::{Measure, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "gradient",
    title: "One direction for all responses",
    source: "Theorem 14, Remark 4",
    quantities: &[Quantity::GradientCos, Quantity::HalvesTransfer],
    tables: &[],
    rests: Rests::OnTheJudge,
    measures: &[Measure::Uncontrolled(measure)],
    section: Some(section::section),
};

/// β of the residual on the features Φ; `None` with fewer than ten contrasts per feature.
fn coefficients(residual: &[f64], phi: &[Vec<f64>]) -> Option<Vec<f64>> {
    if residual.len() < 10 * phi.len() {
        return None;
    }
    let scale: Vec<f64> = phi.iter().map(|c| dot(c, c).sqrt()).collect();
    let kept: Vec<usize> = (0..phi.len()).filter(|&j| scale[j] > 0.0).collect();
    let gram = Mat::from_fn(kept.len(), kept.len(), |a, b| {
        let (i, j) = (kept[a], kept[b]);
        // A tiny ridge on the diagonal, because two features may be identical.
        dot(&phi[i], &phi[j]) / (scale[i] * scale[j]) + if a == b { 1e-9 } else { 0.0 }
    });
    let right: Vec<f64> = kept.iter().map(|&j| dot(&phi[j], residual) / scale[j]).collect();
    let mut out = vec![0.0; phi.len()];
    for (&j, b) in kept.iter().zip(solve(gram.as_ref(), &right)) {
        out[j] = b / scale[j];
    }
    Some(out)
}

/// The label whose linear direction is the average gradient of the nonlinear fit to `s`.
fn gradient_label(bench: &Bench, curved: &Curved, s: &Label) -> Option<Vec<f64>> {
    let phi = curved.freed(bench);
    let residual: Vec<f64> = s.y.iter().zip(&s.yhat).map(|(y, yhat)| y - yhat).collect();
    let beta = coefficients(&residual, &phi)?;
    let mut t = s.y.clone();
    for ((b, feature), gradient) in beta.iter().zip(&curved.features).zip(&curved.gradients) {
        for (t, (feature, gradient)) in t.iter_mut().zip(feature.iter().zip(gradient)) {
            *t += b * (gradient - feature);
        }
    }
    Some(t)
}

/// `gradient_cos` of each value with labels of responses.
pub(crate) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    for &v in values {
        let value = &problem.values[v];
        let Labels::Scores(_) = &value.labels else { continue };
        let Some(bench) = stage.bench(rows::of_value(problem, value, stage.keep))? else { continue };
        let s = bench.probe_alone(vec![rows::label(&bench, value)]).remove(0);
        let curved = Curved::new(&bench, stage.h, &s);
        let estimate = match gradient_label(&bench, &curved, &s) {
            None => {
                Estimate::missing(Quantity::GradientCos, "fewer than ten contrasts for each curved feature")
            }
            Some(t) => {
                let t = bench.probe_alone(vec![t]).remove(0);
                let names = ("the average gradient", value.name.as_str());
                Angle::new(&bench, &t, &s).estimate(&bench, Quantity::GradientCos, names)
            }
        };
        stage.push(out, Some(&bench), Some(&value.name), estimate);
    }
    Ok(())
}

/// The contrasts in their leading principal components: X V_k = U_k D_k, `[N, k]`.
pub(crate) struct Leading(Mat<f64>);

/// Maximum number of components in [`Leading`], and minimum number of contrasts for each.
const MOST: usize = 128;
const EACH: usize = 10;

/// One half of the prompts, with its own fit.
struct Half {
    x: Mat<f64>,
    y: Vec<f64>,
    blocks: Vec<Range<usize>>,
    /// Leave-block-out predictions from the half itself.
    own: Vec<f64>,
    /// v̂ of the half, `[k]`.
    direction: Vec<f64>,
}

impl Leading {
    pub(crate) fn new(bench: &Bench) -> Self {
        let (u, n) = (bench.spectrum.u(), bench.n());
        let k = MOST.min(bench.spectrum.rank()).min(n / EACH);
        Self(Mat::from_fn(n, k, |i, j| u[(i, j)] * (n as f64 * bench.spectrum.mu[j]).sqrt()))
    }

    fn half(&self, bench: &Bench, y: &[f64], taken: &[bool]) -> Option<Half> {
        let (rows, blocks) = bench.contrasts.part(|_, i| taken[i]);
        let x = Mat::from_fn(rows.len(), self.0.ncols(), |i, j| self.0[(rows[i], j)]);
        let y: Vec<f64> = rows.iter().map(|&i| y[i]).collect();
        let spectrum = Spectrum::new(&x).ok()?;
        let lambda = spectrum.penalty(spectrum.default_df());
        let own = twicing(&spectrum, &blocks, lambda, &[&y]).remove(0);
        let v = directions(&spectrum, &x, lambda, &[&y]);
        let direction = (0..v.nrows()).map(|j| v[(j, 0)]).collect();
        Some(Half { x, y, blocks, own, direction })
    }

    /// `halves_transfer` of the label `y`, with rows read by `t` (one per row, along a direction fitted without the
    /// row's fold).
    pub(crate) fn halves(&self, bench: &Bench, y: &[f64], t: &[f64]) -> Option<Estimate> {
        let prompts: Vec<(usize, f64)> = bench
            .contrasts
            .prompts()
            .map(|rows| (rows.len() - 1, rows.iter().map(|&r| t[r]).sum::<f64>() / rows.len() as f64))
            .collect();
        let mut means: Vec<f64> = prompts.iter().map(|p| p.1).collect();
        means.sort_by(f64::total_cmp);
        let median = *means.get(means.len() / 2)?;
        if prompts.len() < 2 * FEWEST || !median.is_finite() {
            return None;
        }
        let above: Vec<bool> = prompts.iter().flat_map(|&(n, mean)| vec![mean >= median; n]).collect();
        let below: Vec<bool> = above.iter().map(|a| !a).collect();
        let (a, b) = (self.half(bench, y, &below)?, self.half(bench, y, &above)?);
        let method =
            "each half predicted by the other over each by itself, leave-block-out, leading components";
        let n = y.len() as f64;
        // Σ y ŷ within and across halves, with the influence of a block on both: through its own terms, and through
        // its half's fit.
        let (mut own, mut cross) = ((0.0, Vec::new()), (0.0, Vec::new()));
        let mut blocks: Vec<Range<usize>> = Vec::new();
        let mut seen = true;
        for (half, other) in [(&a, &b), (&b, &a)] {
            let by_other = predicted(&half.x, &other.direction);
            let probed = Probed { y: &half.y, yhat: &half.own };
            let theta = theta(probed, probed, &half.blocks);
            seen &= theta.value > GATE * theta.se(&half.blocks);
            own.0 += theta.value * half.y.len() as f64 / n;
            cross.0 += dot(&half.y, &by_other) / n;
            own.1.extend(theta.psi);
            cross.1.extend(
                half.blocks
                    .iter()
                    .map(|g| g.clone().map(|i| (2.0 * half.y[i] - half.own[i]) * by_other[i]).sum::<f64>()),
            );
            let start = blocks.last().map_or(0, |b| b.end);
            blocks.extend(half.blocks.iter().map(|g| start + g.start..start + g.end));
        }
        let own = Influence { value: own.0, psi: own.1 };
        let cross = Influence { value: cross.0, psi: cross.1 };
        if own.value <= 0.0 {
            let why = "not identifiable: neither half of the prompts encodes the value";
            return Some(Estimate::new(Quantity::HalvesTransfer, method).warn(why));
        }
        let value = cross.value / own.value;
        let parts = [(1.0 / own.value, &cross), (-value / own.value, &own)];
        let value = Influence::combine(value, &parts);
        let interval = value.symmetric_interval(&blocks);
        let estimate =
            Estimate::figure(Quantity::HalvesTransfer, method, value.value, value.se(&blocks), interval);
        Some(if seen {
            estimate
        } else {
            estimate.withheld("not identifiable: a half of the prompts does not encode the value")
        })
    }
}

fn predicted(x: &Mat<f64>, direction: &[f64]) -> Vec<f64> {
    (0..x.nrows()).map(|i| (0..x.ncols()).map(|j| x[(i, j)] * direction[j]).sum()).collect()
}

/// Fewest prompts in a half.
const FEWEST: usize = 10;

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use ndarray::Array2;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::probe::Contrasts;
    use crate::theory::monotone::readings;

    const D: usize = 8;
    const ROWS: usize = 3200;

    struct World {
        h: Array2<f32>,
        bench: Rc<Bench>,
        noise: Vec<f64>,
    }

    /// Four responses per prompt; component 0 has variance 4, skewed if `skewed`; `between` is the spread of the
    /// prompts.
    fn world(skewed: bool, between: f64, seed: u64) -> World {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let shift: Vec<f64> = (0..ROWS / 4).map(|_| between * normal()).collect();
        let h = Array2::from_shape_fn((ROWS, D), |(r, j)| {
            let x = normal();
            (match j {
                // (χ² − 1)/√2: mean 0, variance 1, third moment √8.
                0 if skewed => 2.0 * (x * x - 1.0) / 2f64.sqrt(),
                0 => 2.0 * x + shift[r / 4],
                _ => x,
            }) as f32
        });
        let noise = (0..ROWS).map(|_| normal()).collect();
        let prompt: Vec<i32> = (0..ROWS as i32).map(|i| i / 4).collect();
        let contrasts = Contrasts::helmert(&prompt, &prompt, |_| true);
        let bench = Rc::new(Bench::new(contrasts, h.view(), None).expect("a bench"));
        World { h, bench, noise }
    }

    impl World {
        fn value(&self, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
            let of = |r: usize| f(f64::from(self.h[(r, 0)]), f64::from(self.h[(r, 1)])) + self.noise[r];
            (0..ROWS).map(of).collect()
        }

        /// Cosine of average gradient and v*, with its error.
        fn gradient(&self, s: &[f64]) -> (f64, f64) {
            let s = self.bench.probe(vec![self.bench.column(s)]).remove(0);
            let curved = Curved::new(&self.bench, &self.h, &s);
            let t = gradient_label(&self.bench, &curved, &s).expect("a label");
            let t = self.bench.probe(vec![t]).remove(0);
            let cos = Angle::new(&self.bench, &t, &s).cos.expect("a cosine");
            (cos.value, cos.se(self.bench.contrasts.blocks()))
        }
    }

    #[test]
    fn for_linear_values_and_for_normal_streams_the_average_gradient_is_v() {
        for seed in 0..5 {
            // Linear values on skewed activations, and curved values on normal ones (Stein's lemma).
            let linear = world(true, 0.0, seed);
            let (cos, _) = linear.gradient(&linear.value(|_, b| b));
            assert!(cos > 0.995, "linear, seed {seed}: {cos}");
            let normal = world(false, 0.0, seed);
            let (cos, se) = normal.gradient(&normal.value(|a, b| b + 0.5 * (a * a / 4.0 - 1.0)));
            assert!(cos > 0.97 && cos + 4.0 * se > 0.999, "curved, seed {seed}: {cos} ± {se}");
        }
    }

    #[test]
    fn where_the_stream_is_skewed_and_the_value_bends_they_part() {
        // z = h_0/2 has E z³ = √8: f = b + c z² has average gradient (0, 1) and linear direction (c √8, 1) in units of z.
        let c = 0.5;
        let told = 1.0 / (1.0 + (c * 8f64.sqrt()).powi(2)).sqrt();
        for seed in 0..5 {
            let world = world(true, 0.0, seed);
            let (cos, se) = world.gradient(&world.value(|a, b| b + c * a * a / 4.0));
            assert!((cos - told).abs() < 4.0 * se + 0.05, "seed {seed}: {cos} ± {se}, planted {told}");
        }
    }

    #[test]
    fn halves_of_other_covariance_agree_on_a_line_too() {
        let mut rng = ChaCha8Rng::seed_from_u64(17);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let level: Vec<f64> = (0..ROWS / 4).map(|_| normal()).collect();
        // Above the median the variance of component 0 is three times as large, that of component 1 a third as large.
        let h = Array2::from_shape_fn((ROWS, D), |(r, j)| {
            let up = level[r / 4] > 0.0;
            let scale = [[3.0, 1.0], [1.0, 3.0]].get(j).map_or(1.0, |s| s[usize::from(!up)]);
            (scale * normal() + if j == 2 { 20.0 * level[r / 4] } else { 0.0 }) as f32
        });
        let s: Vec<f64> = (0..ROWS).map(|r| f64::from(h[(r, 0)] + h[(r, 1)]) + normal()).collect();
        let t: Vec<f64> = (0..ROWS).map(|r| f64::from(h[(r, 2)])).collect();
        let prompt: Vec<i32> = (0..ROWS as i32).map(|i| i / 4).collect();
        let contrasts = Contrasts::helmert(&prompt, &prompt, |_| true);
        let bench = Bench::new(contrasts, h.view(), None).expect("a bench");
        let e = Leading::new(&bench).halves(&bench, &bench.column(&s), &t).expect("halves");
        let (figure, se) = (e.estimate.expect("a figure"), e.se.expect("an error"));
        assert!((figure - 1.0).abs() < 3.0 * se + 0.01 && se < 0.05, "{e:?}");
    }

    #[test]
    fn halves_agree_on_a_line_and_oppose_each_other_on_an_arch() {
        for seed in 0..5 {
            let world = world(false, 4.0, seed);
            // Direction along which prompts are split: component 0, as a constitution would activate it.
            let along = world.bench.column(&world.value(|a, _| a));
            let t = readings(&world.bench, &world.h, &[&along]).remove(0);
            let of = |s: &[f64]| {
                let leading = Leading::new(&world.bench);
                let e = leading.halves(&world.bench, &world.bench.column(s), &t).expect("halves");
                assert!(e.reportable, "{e:?}");
                e.estimate.expect("a figure")
            };
            assert!((of(&world.value(|a, b| a + b)) - 1.0).abs() < 0.05, "seed {seed}");
            assert!((of(&world.value(|a, _| -a * a / 4.0)) + 1.0).abs() < 0.15, "seed {seed}");
        }
    }
}
