//! Population figures of a planted data set, in closed form.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::f64::consts::PI;

use serde::{Deserialize, Serialize};
use statrs::distribution::{Continuous, ContinuousCDF, Normal};

use super::design::Design;
use super::texts;
use super::world::{JUDGE, LOGPROB, Law, World, dot};

/// Population figures within prompts. Labels are named `S`, `S_bin`, `S_pref`, by the name of another value,
/// `J:CONSTITUTION` or `logp`; pairs of labels `S|J:CONSTITUTION`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Population {
    /// cos(v_a, v_b) in the metric of Σ_w; null if a direction is zero.
    pub cos: BTreeMap<String, Option<f64>>,
    /// Share of the within-prompt variance that ⟨h, v⟩ explains.
    pub rho2: BTreeMap<String, f64>,
    /// As `rho2`, for the graded value behind binary labels and preferences.
    pub rho2_latent: BTreeMap<String, f64>,
    /// ⟨Σ_w v_a, v_b⟩.
    pub slope_encoded: BTreeMap<String, f64>,
    /// Within-prompt covariance of the labels.
    pub total_slope: BTreeMap<String, f64>,
    /// (tr Σ_w)² / tr Σ_w².
    pub d_eff_within: f64,
    /// Within-prompt standard deviation of S.
    #[serde(rename = "sigma_S_within")]
    pub sigma_s_within: f64,
    /// Ceiling regret for best-of-2, (1 − ρ)σ_S/√π.
    pub ceiling_regret_best_of_2: f64,
    /// (1 − ρ_latent)/√π for labels of few levels and preferences.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ceiling_latent: BTreeMap<String, f64>,
    /// Gap cos(v_c, v*) − cos(w, v*).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gap: BTreeMap<String, f64>,
    /// Attained regret (1 − corr(S, r_c))σ_S/√π.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attained_regret: BTreeMap<String, f64>,
    /// Share of v*'Σv* in the k components with the largest variance, by k.
    pub value_concentration_variance_share: BTreeMap<String, f64>,
    /// Figures of the state under a text, `QUANTITY S|J:CONSTITUTION`, by the name of the estimate; and
    /// `placebo_outside QUANTITY`, the share of placebo texts outside their band, .05.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub state: BTreeMap<String, f64>,
}

/// The planted design and the resulting population figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truth {
    /// Always `vstar-truth/1`.
    pub format: String,
    /// Seed of the data set.
    pub seed: u64,
    /// The planted design.
    pub design: Design,
    /// Conventions of the labels.
    pub convention: BTreeMap<String, String>,
    /// Figures at the layer that encodes most, with length (log tokens, and also tokens for log P) projected out.
    pub population: Population,
    /// The same without length control; equal to `population` if length has no effect.
    pub population_uncontrolled: Population,
    /// Length-controlled figures of every layer, in stored order.
    pub by_layer: Vec<Population>,
}

impl Population {
    /// A figure by its key and, for tables, the label: `cos S|J:good`, `rho2 S`, `d_eff_within`. `None` for an unknown
    /// name, `Some(None)` if undefined.
    pub fn get(&self, name: &str) -> Option<Option<f64>> {
        if let Some(figure) = self.state.get(name) {
            return Some(Some(*figure));
        }
        let (key, label) = name.split_once(' ').unwrap_or((name, ""));
        let table = match key {
            "cos" => return self.cos.get(label).copied(),
            "rho2" => &self.rho2,
            "rho2_latent" => &self.rho2_latent,
            "slope_encoded" => &self.slope_encoded,
            "total_slope" => &self.total_slope,
            "ceiling_latent" => &self.ceiling_latent,
            "gap" => &self.gap,
            "attained_regret" => &self.attained_regret,
            "value_concentration_variance_share" => &self.value_concentration_variance_share,
            "d_eff_within" => return Some(Some(self.d_eff_within)),
            "sigma_S_within" => return Some(Some(self.sigma_s_within)),
            "ceiling_regret_best_of_2" => return Some(Some(self.ceiling_regret_best_of_2)),
            _ => return None,
        };
        table.get(label).map(|v| Some(*v))
    }
}

impl Truth {
    pub(super) fn of(design: &Design, world: &World, seed: u64) -> Self {
        let best = design.layers.iter().copied().fold(0.0, f64::max);
        let convention = [
            ("centering", "orthonormal Helmert contrasts inside each prompt"),
            ("covariances", "unbiased within-prompt"),
            ("logodds_ab", "log-odds that the pair's first row is better, that row shown first"),
            ("logodds_ba", "log-odds that the pair's second row is better, that row shown first"),
            ("debiased", "(ab-ba)/2"),
            ("rewards", "least squares over pairs, mean zero inside prompt"),
            ("population", "length projected out; population_uncontrolled: not"),
        ];
        Self {
            format: "vstar-truth/1".to_owned(),
            seed,
            design: design.clone(),
            convention: convention.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
            population: population(design, world, best, true),
            population_uncontrolled: population(design, world, best, false),
            by_layer: design.layers.iter().map(|&a| population(design, world, a, true)).collect(),
        }
    }

    /// A figure with length projected out, or, after the prefix `uncontrolled`, without; as in [`Population::get`].
    pub fn get(&self, name: &str) -> Option<Option<f64>> {
        match name.strip_prefix("uncontrolled ") {
            Some(rest) => self.population_uncontrolled.get(rest),
            None => self.population.get(name),
        }
    }
}

/// Second moments of t and of the number of tokens within prompts, before rounding to whole tokens.
struct LengthMoments {
    t: f64,
    t_tokens: f64,
    tokens: f64,
}

impl LengthMoments {
    fn of(design: &Design) -> Self {
        let l = design.length;
        let (within, between) = (l.within.powi(2), l.between.powi(2));
        Self {
            t: within,
            t_tokens: (l.mean_log + between / 2.0).exp() * within * (within / 2.0).exp(),
            tokens: (2.0 * (l.mean_log + between)).exp() * ((2.0 * within).exp() - within.exp()),
        }
    }

    /// Covariance of the length-dependent parts of two labels.
    fn covariance(&self, a: &Law, b: &Law) -> f64 {
        a.length * b.length * self.t
            + (a.length * b.per_token + a.per_token * b.length) * self.t_tokens
            + a.per_token * b.per_token * self.tokens
    }

    /// Covariance of t and a label.
    fn with_t(&self, a: &Law) -> f64 {
        a.length * self.t + a.per_token * self.t_tokens
    }
}

/// A label and its within-prompt variance.
struct Label<'a> {
    law: Cow<'a, Law>,
    variance: f64,
}

/// Figures at a layer that stores a·x + √(1 − a²)·x′.
fn population(design: &Design, world: &World, a: f64, controlled: bool) -> Population {
    let lengths = LengthMoments::of(design);
    let length = |x: &Law, y: &Law| if controlled { 0.0 } else { lengths.covariance(x, y) };
    let mut labels: Vec<Label<'_>> = world
        .laws()
        .map(|law| {
            let judged = if law.name.starts_with(JUDGE) { judge_noise(design) } else { 0.0 };
            let plain = signal_variance(design, world, law) + law.noise_sd.powi(2) + judged;
            let variance = plain + length(law, law);
            match design.saturation.filter(|_| law.name.starts_with(JUDGE)) {
                // The variance of a saturated reward has no closed form.
                Some(c) => Label { law: Cow::Owned(saturated(design, law, plain, c)), variance: f64::NAN },
                None => Label { law: Cow::Borrowed(law), variance },
            }
        })
        .collect();
    let s = &world.value;
    let var_s = labels[0].variance;
    let threshold =
        design.binary.filter(|_| design.is_gaussian()).map(|b| Threshold::of(design, world, b.prevalence));
    if let Some(threshold) = &threshold {
        labels.insert(1, threshold.label(s, &lengths, controlled));
    }

    // Without control h also contains t·u, which turns Σ into Λ + var(t)·uu′: a rank-one update, whose inverse follows
    // from Sherman and Morrison.
    let u = &world.length_axis;
    let u_inverse_u: f64 = u.iter().zip(&world.lambda).map(|(u, l)| u * u / l).sum();
    let theta = |x: &Law, y: &Law| {
        let plain = a * a * dot(&world.lambda, &x.linear, &y.linear);
        if controlled {
            return plain;
        }
        let (kx, ky) = (lengths.with_t(x), lengths.with_t(y));
        let (ux, uy) = (a * u.dot(&x.linear), a * u.dot(&y.linear));
        let both = plain + ky * ux + kx * uy + kx * ky * u_inverse_u;
        let along = (ux + kx * u_inverse_u) * (uy + ky * u_inverse_u);
        both - lengths.t * along / (1.0 + lengths.t * u_inverse_u)
    };
    let total = |x: &Law, y: &Law| {
        dot(&world.lambda, &x.linear, &y.linear) + x.noise_sd * y.noise_sd * x.corr * y.corr + length(x, y)
    };

    let mut out = Population {
        cos: BTreeMap::new(),
        rho2: BTreeMap::new(),
        rho2_latent: BTreeMap::new(),
        slope_encoded: BTreeMap::new(),
        total_slope: BTreeMap::new(),
        d_eff_within: d_eff(world, if controlled { 0.0 } else { lengths.t }),
        sigma_s_within: var_s.sqrt(),
        ceiling_regret_best_of_2: 0.0,
        value_concentration_variance_share: concentration(world),
        state: texts::population(design, world),
        ceiling_latent: BTreeMap::new(),
        gap: BTreeMap::new(),
        attained_regret: BTreeMap::new(),
    };
    for (i, x) in labels.iter().enumerate() {
        let own = theta(&x.law, &x.law);
        if x.variance.is_finite() {
            out.rho2.insert(x.law.name.clone(), own / x.variance);
        }
        let is_value = !x.law.name.starts_with(JUDGE) && x.law.name != LOGPROB;
        for y in labels.iter().skip(i + 1).filter(|_| is_value) {
            let key = format!("{}|{}", x.law.name, y.law.name);
            let (both, other) = (theta(&x.law, &y.law), theta(&y.law, &y.law));
            let defined = own > 0.0 && other > 0.0;
            out.cos.insert(key.clone(), defined.then(|| (both / (own * other).sqrt()).clamp(-1.0, 1.0)));
            out.slope_encoded.insert(key.clone(), both);
            // Thresholded and non-monotone labels also covary through their higher moments.
            let nonlinear = |label: &Law| label.name == "S_bin" || label.bend.is_some();
            let derived = key == "S|S_bin" || nonlinear(&x.law) && nonlinear(&y.law);
            if !derived {
                out.total_slope.insert(key, total(&x.law, &y.law));
            }
        }
    }
    let rho2 = out.rho2.get("S").copied().unwrap_or(0.0);
    out.ceiling_regret_best_of_2 = (1.0 - rho2.sqrt()) * out.sigma_s_within / PI.sqrt();
    // A thresholded value keeps its length effect on the latent scale: with control, the residual on that scale has no
    // closed form.
    if design.is_gaussian() && !(controlled && s.length != 0.0) {
        let stated = rho2 / (1.0 + design.preference_noise);
        for (name, given, rho2) in [
            ("S_bin", design.binary.is_some(), rho2),
            ("S_lev", design.levels.is_some(), rho2),
            ("S_pref", design.pairwise, stated),
        ] {
            if given {
                out.rho2_latent.insert(name.to_owned(), rho2);
                // In within-prompt standard deviations of the latent score, including the noise of preferences.
                out.ceiling_latent.insert(name.to_owned(), (1.0 - rho2.sqrt()) / PI.sqrt());
            }
        }
    }
    // Labels that are step functions of S have its directions (Stein's lemma).
    for (name, given) in [("S_lev", design.levels.is_some()), ("S_pref", design.pairwise)] {
        if design.is_gaussian() && given {
            let of_s: Vec<_> =
                out.cos.iter().filter_map(|(k, v)| Some((k.strip_prefix("S|")?.to_owned(), *v))).collect();
            out.cos.extend(of_s.into_iter().map(|(other, v)| (format!("{name}|{other}"), v)));
        }
    }
    for (name, value) in labels.iter().filter(|l| !l.law.name.starts_with(JUDGE)).map(|l| (&l.law.name, l)) {
        for judge in labels.iter().filter(|l| l.law.name.starts_with(JUDGE)) {
            let key = format!("{name}|{}", judge.law.name);
            let (Some(Some(c)), Some(Some(w))) =
                (out.cos.get(&key), out.cos.get(&format!("{name}|{LOGPROB}")))
            else {
                continue;
            };
            out.gap.insert(key.clone(), c - w);
            // Only for normal values and rewards.
            if let (true, Some(slope)) = (name == "S" && design.is_gaussian(), out.total_slope.get(&key)) {
                let (vs, vr) = (value.variance, judge.variance);
                if vr.is_finite() && judge.law.bend.is_none() {
                    let attained = (vs.sqrt() - slope / vr.sqrt()) / PI.sqrt();
                    out.attained_regret.insert(key, attained);
                }
            }
        }
    }
    out
}

/// Contribution of the noise on log-odds to the within-prompt variance of rewards: two orders halve its variance, and
/// least squares over all pairs of K responses leaves 1/K of it in every contrast (all non-zero eigenvalues of the
/// complete graph's Laplacian are K). Prompts are weighted by their K − 1 contrasts.
fn judge_noise(design: &Design) -> f64 {
    let [least, most] = design.responses;
    let weighted =
        |f: &dyn Fn(f64) -> f64| (least..=most).map(|k| (k as f64 - 1.0) * f(k as f64)).sum::<f64>();
    design.judge_noise.powi(2) / 2.0 * weighted(&|k| 1.0 / k) / weighted(&|_| 1.0)
}

/// Variance of the part of a label determined by x. A bend adds var(q²) = E q⁴ − 1.
fn signal_variance(design: &Design, world: &World, law: &Law) -> f64 {
    let linear = dot(&world.lambda, &law.linear, &law.linear);
    let Some(q) = &law.bend else { return linear };
    // Excess kurtosis 6/(df − 4) of a t component; 0 in the Gaussian limit.
    let excess = |df: f64| if df.is_finite() { 6.0 / (df - 4.0) } else { 0.0 };
    let (massive, ordinary) =
        (design.massive.map_or(0.0, |m| excess(m.df)), design.tails.map_or(0.0, excess));
    let fourth = |j: usize| (world.lambda[j] * q[j] * q[j]).powi(2);
    let heavy: f64 =
        (0..q.len()).map(|j| fourth(j) * if j < design.ordinary() { ordinary } else { massive }).sum();
    // Variance factors exp(s·g − s²/2) have second moment exp(s²).
    let spread = design.heteroscedastic.powi(2).exp();
    linear + spread * (3.0 + heavy) - 1.0
}

fn d_eff(world: &World, var_t: f64) -> f64 {
    let u = &world.length_axis;
    let size = u.dot(u);
    let trace = world.lambda.sum() + var_t * size;
    let square =
        world.lambda.dot(&world.lambda) + 2.0 * var_t * dot(&world.lambda, u, u) + (var_t * size).powi(2);
    trace * trace / square
}

fn concentration(world: &World) -> BTreeMap<String, f64> {
    let mut parts: Vec<(f64, f64)> =
        world.lambda.iter().zip(&world.v).map(|(&l, &v)| (l, l * v * v)).collect();
    parts.sort_by(|a, b| b.0.total_cmp(&a.0));
    let d = parts.len();
    let effective = (d_eff(world, 0.0).floor() as usize).clamp(1, d);
    let powers = (1..).map(|i| 4usize.pow(i)).take_while(|&k| k < d);
    let keys = powers.chain([effective, d]);
    keys.map(|k| (k.to_string(), parts[..k].iter().map(|p| p.1).sum())).collect()
}

/// S_bin = 1{L > c} for L = S with its prompt effect and length, jointly Gaussian with the rest.
pub(super) struct Threshold {
    /// Threshold c.
    pub at: f64,
    /// d E[S_bin | L's mean] / d mean = φ(c/τ)/τ: the factor between covariances with L and with S_bin
    /// (Stein's lemma).
    slope: f64,
    /// Within-prompt variance p − p₂.
    variance: f64,
}

impl Threshold {
    pub fn of(design: &Design, world: &World, prevalence: f64) -> Self {
        let s = &world.value;
        let lengths = LengthMoments::of(design);
        let within = dot(&world.lambda, &s.linear, &s.linear) + s.noise_sd.powi(2) + lengths.covariance(s, s);
        let between = prompt_variance(design, world);
        let tau = (within + between).sqrt();
        let normal = Normal::standard();
        let c = normal.inverse_cdf(1.0 - prevalence);
        let both = orthant(c, between / (within + between));
        Self { at: c * tau, slope: normal.pdf(c) / tau, variance: prevalence - both }
    }

    fn label(&self, s: &Law, lengths: &LengthMoments, controlled: bool) -> Label<'static> {
        let law = Law {
            name: "S_bin".to_owned(),
            linear: &s.linear * self.slope,
            noise_sd: s.noise_sd * self.slope,
            length: s.length * self.slope,
            per_token: s.per_token * self.slope,
            ..s.clone()
        };
        let explained = if controlled { lengths.covariance(&law, &law) } else { 0.0 };
        Label { law: Cow::Owned(law), variance: self.variance - explained }
    }
}

/// Variance of S within prompts, without the effect of length.
pub(super) fn within_variance(design: &Design, world: &World) -> f64 {
    let s = &world.value;
    let lengths = LengthMoments::of(design);
    dot(&world.lambda, &s.linear, &s.linear) + s.noise_sd.powi(2) + lengths.covariance(s, s)
}

/// Variance of S, within and between prompts.
pub(super) fn total_variance(design: &Design, world: &World) -> f64 {
    within_variance(design, world) + prompt_variance(design, world)
}

/// The law of rewards from log-odds that saturate at ±c: with normal log-odds Z of a comparison, every covariance is
/// that without saturation times E sech²(Z/c) (Stein's lemma). `variance` is the reward's variance within prompts,
/// before saturation.
fn saturated(design: &Design, law: &Law, variance: f64, c: f64) -> Law {
    let [bias, bias_sd] = design.position_bias;
    // The difference of two responses' rewards has twice the within-prompt variance; the noise of each answer is
    // independent.
    let reward = variance - judge_noise(design);
    let sd = (2.0 * reward + bias_sd.powi(2) + design.judge_noise.powi(2)).sqrt();
    let slope = |z: f64| (1.0 / ((bias + sd * z) / c).cosh()).powi(2);
    let kept = normal_mean(slope);
    Law {
        linear: &law.linear * kept,
        noise_sd: law.noise_sd * kept,
        length: law.length * kept,
        per_token: law.per_token * kept,
        ..law.clone()
    }
}

/// E f(Z) for a standard normal Z, by Simpson's rule on ±9 standard deviations.
fn normal_mean(f: impl Fn(f64) -> f64) -> f64 {
    const STEPS: usize = 2000;
    let normal = Normal::standard();
    let step = 18.0 / STEPS as f64;
    let weight = |i: usize| match i {
        0 | STEPS => 1.0,
        i if i % 2 == 1 => 4.0,
        _ => 2.0,
    };
    let at = |i: usize| -9.0 + step * i as f64;
    (0..=STEPS).map(|i| weight(i) * normal.pdf(at(i)) * f(at(i))).sum::<f64>() * step / 3.0
}

/// Variance of S between prompts.
pub(super) fn prompt_variance(design: &Design, world: &World) -> f64 {
    let s = &world.value;
    let within = dot(&world.lambda, &s.linear, &s.linear) + s.noise_sd.powi(2);
    within * design.prompt_icc / (1.0 - design.prompt_icc)
}

/// P(Z₁ > c, Z₂ > c) for standard normals of correlation r in [0, 1): the mean over their common part of the squared
/// conditional probability, by Simpson's rule on ±9 standard deviations.
fn orthant(c: f64, r: f64) -> f64 {
    let normal = Normal::standard();
    normal_mean(|z| normal.sf((c - r.sqrt() * z) / (1.0 - r).sqrt()).powi(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_orthant_probability_is_sheppards_at_zero_and_a_square_without_correlation() {
        for r in [0.0, 0.3, 0.7, 0.95] {
            let sheppard = 0.25 + f64::asin(r) / (2.0 * PI);
            assert!((orthant(0.0, r) - sheppard).abs() < 1e-9, "{r}");
        }
        let tail = Normal::standard().sf(1.3);
        assert!((orthant(1.3, 0.0) - tail * tail).abs() < 1e-10);
    }
}
