//! Theorem 3, Corollary 4 and Theorem 13: the direction a constitution activates, compared with v*.
//!
//! - `alignment`: cos(v_c, v*) = θ̂_{S,r}/√(θ̂_SS θ̂_rr), in the metric of the within-prompt covariance;
//! - `encoded_slope`: θ̂_{S,r}, which estimates ⟨Σ_w v_c, v*⟩, the first-order gain per unit of λ that
//!   runs through the residual stream;
//! - `total_slope`: Σ S·r_c / N, the whole first-order gain, encoded or not, without any regression.
//!
//! # The paper's toy example (section 4.4)
//!
//! In R², v* = (1, 0), w = (0.1, 0.995), v_c = (0.95, 0.31) and Σ = σ² I. The first-order gain is λ⟨Σ v_c, v*⟩ = 0.95
//! λσ², and at λ = 1 the direction after training, w + v_c, has a cosine of 0.63 with v*; under an adversarial
//! constitution, (−0.8, 0.6), both change sign: −0.8 λσ² and −0.40. `it::toy` runs these through the estimators, on
//! simulated activations.
//!
//! The two figures measure different things and diverge: 0.63 is a cosine of the new generation direction, bounded by
//! 1 whatever λ; 0.95 λσ² is a gain in S per unit of λ, valid for small λ only. At λ = 1 the paper's example is
//! beyond first order: the exact gain of a tilted policy (`tilt_gain`) saturates.

use std::ops::Range;

use crate::probe::influence::{Influence, cosine, fisher_interval, mean_product, theta};
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::estimate::{Estimate, Quantity};

/// z that θ̂ of both labels must exceed for a cosine to be reported: one-sided 5 %.
pub const GATE: f64 = 1.645;

/// S and a constitution's reward (or log P) on one bench.
pub struct Angle {
    /// θ̂ of the two.
    pub slope: Influence,
    /// Standard error of the slope.
    pub slope_se: f64,
    /// The cosine; `None` if one of the θ̂ is not positive.
    pub cos: Option<Influence>,
    /// z of θ̂_SS and θ̂_rr.
    pub gates: (f64, f64),
}

impl Angle {
    /// Computes the angle between two labels.
    pub fn new(bench: &Bench, a: &Label, b: &Label) -> Self {
        Self::on(bench.contrasts.blocks(), a, b)
    }

    /// Computes the angle between two labels on contrasts in these blocks.
    pub fn on(blocks: &[Range<usize>], a: &Label, b: &Label) -> Self {
        let slope = theta(a.probed(), b.probed(), blocks);
        let (aa, bb) = (theta(a.probed(), a.probed(), blocks), theta(b.probed(), b.probed(), blocks));
        let gates = (aa.value / aa.se(blocks), bb.value / bb.se(blocks));
        Self { slope_se: slope.se(blocks), cos: cosine(&slope, &aa, &bb), slope, gates }
    }

    /// Whether both labels are encoded well enough for an angle to be defined.
    pub fn identifiable(&self) -> bool {
        self.gates.0 > GATE && self.gates.1 > GATE
    }

    /// The cosine as an estimate, withheld if the gate is not passed. `names` are the names of the two labels, used
    /// in the reason.
    pub fn estimate(&self, bench: &Bench, quantity: Quantity, names: (&str, &str)) -> Estimate {
        let method = "leave-block-out twicing ridge, Fisher z";
        let unencoded = [(self.gates.0, names.0), (self.gates.1, names.1)]
            .into_iter()
            .filter(|(z, _)| z.is_nan() || *z <= GATE)
            .map(|(z, name)| format!("{name} (z = {z:.2})"))
            .collect::<Vec<_>>()
            .join(" and ");
        let why =
            format!("not identifiable: the residual stream does not predict {unencoded} on left-out prompts");
        let Some(cos) = &self.cos else {
            return Estimate::new(quantity, method).warn(why);
        };
        let se = cos.se(bench.contrasts.blocks());
        let estimate = Estimate::figure(quantity, method, cos.value, se, fisher_interval(cos.value, se));
        if self.identifiable() { estimate } else { estimate.withheld(why) }
    }
}

/// `alignment` with its cross-checks: it is flagged if it moves by more than 2 SE when fewer degrees of
/// freedom are spent (N/8, N/4), or when the leading principal components are used instead.
pub fn alignment(bench: &Bench, value: &str, s: &Label, constitution: &str, r: &Label) -> Estimate {
    let angle = Angle::new(bench, s, r);
    let mut estimate = angle.estimate(bench, Quantity::Alignment, (value, constitution));
    let (Some(cos), Some(se)) = (estimate.estimate, estimate.se) else { return estimate };
    if !estimate.reportable {
        return estimate;
    }
    let blocks = bench.contrasts.blocks();
    let other = |labels: &[Label]| -> Option<f64> {
        let [s, r] = labels else { return None };
        let t = |a: &Label, b: &Label| theta(a.probed(), b.probed(), blocks);
        cosine(&t(s, r), &t(s, s), &t(r, r)).map(|c| c.value)
    };
    for share in [8.0, 4.0] {
        if let Some(lambda) = stiffer(bench, share) {
            let labels = bench.probe_at(lambda, vec![s.y.clone(), r.y.clone()]);
            if let Some(there) = other(&labels)
                && (there - cos).abs() > 2.0 * se
            {
                estimate =
                    estimate.warn(format!("spectrum-dependent: {there:.2} at N/{share} degrees of freedom"));
            }
        }
    }
    let k = cross_check_components(bench);
    let labels = bench.probe_components(k, vec![s.y.clone(), r.y.clone()]);
    if let Some(there) = other(&labels)
        && (there - cos).abs() > 2.0 * se
    {
        estimate = estimate.warn(format!("{there:.2} on the leading {k} principal components alone"));
    }
    estimate
}

/// The penalty at N/share degrees of freedom, where these are fewer than the default's.
fn stiffer(bench: &Bench, share: f64) -> Option<f64> {
    let df = bench.n() as f64 / share;
    (df < 0.999 * bench.spectrum.default_df() && df > 0.0).then(|| bench.spectrum.penalty(df))
}

/// Predicts labels in every way that [`alignment`] will ask for, each way in one pass over the factors.
pub fn prepare(bench: &Bench, labels: &[Vec<f64>]) {
    bench.probe(labels.to_vec());
    bench.prepare_finer(labels);
    for lambda in [8.0, 4.0].into_iter().filter_map(|share| stiffer(bench, share)) {
        bench.probe_at(lambda, labels.to_vec());
    }
    bench.probe_components(cross_check_components(bench), labels.to_vec());
}

/// Components of the cross-check: min(0.4 N, 0.9 r).
pub fn cross_check_components(bench: &Bench) -> usize {
    ((0.4 * bench.n() as f64).min(0.9 * bench.spectrum.rank() as f64) as usize).max(1)
}

/// The 95 % interval of an encoded slope: that of a finer fit ([`Bench::finer`]), drawn out to hold the default's figure.
pub fn slope_interval(bench: &Bench, slope: f64, s: &Label, r: &Label) -> (f64, f64) {
    let blocks = bench.contrasts.blocks();
    let (lo, hi) = theta(bench.finer(s).probed(), bench.finer(r).probed(), blocks).interval(blocks);
    (lo.min(slope), hi.max(slope))
}

/// `encoded_slope`, with the interval of a finer fit.
pub fn encoded_slope(bench: &Bench, angle: &Angle, s: &Label, r: &Label) -> Estimate {
    let method = "leave-block-out twicing ridge";
    let interval = slope_interval(bench, angle.slope.value, s, r);
    Estimate::figure(Quantity::EncodedSlope, method, angle.slope.value, angle.slope_se, interval)
}

/// `total_slope`, with its influence for comparisons between constitutions.
pub fn total_slope(bench: &Bench, s: &Label, r: &Label) -> (Estimate, Influence) {
    let blocks = bench.contrasts.blocks();
    let product = mean_product(&s.y, &r.y, blocks);
    let se = product.se(blocks);
    let interval = product.interval(blocks);
    (
        Estimate::figure(Quantity::TotalSlope, "mean of products of contrasts", product.value, se, interval),
        product,
    )
}
