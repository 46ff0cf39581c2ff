//! The planted population: variances of the components, directions, and the labels' dependence on them.

use ndarray::Array1;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::design::{Design, Loading, Remainder};
use super::texts::Text;

/// Prefix of the labels of judges.
pub(super) const JUDGE: &str = "J:";
/// Name of the label log P.
pub(super) const LOGPROB: &str = "logp";

/// A label's law within prompts: y = ⟨x, linear⟩ + noise + length·t + per_token·tokens (+ bend). The noise is
/// `noise_sd` · (corr·e_S + √(1 − corr²)·e), with e_S the standardised noise of S.
#[derive(Debug, Clone)]
pub(super) struct Law {
    pub name: String,
    /// Coefficients of x, in components, like all vectors here.
    pub linear: Array1<f64>,
    pub noise_sd: f64,
    pub corr: f64,
    pub length: f64,
    pub per_token: f64,
    /// The direction whose square enters the label, if it is not monotone.
    pub bend: Option<Array1<f64>>,
}

/// Maps components to the coordinates of `resid`.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// Unit vectors of reflections, applied in order; zero at massive components, which stay on their axes as in real
    /// models.
    reflections: Vec<Array1<f64>>,
    /// Coordinate of each component.
    coordinate: Vec<usize>,
}

impl Frame {
    /// Maps a vector from components to raw coordinates.
    pub fn raw(&self, components: &Array1<f64>) -> Array1<f64> {
        let mut turned = components.clone();
        for u in &self.reflections {
            let along = 2.0 * u.dot(&turned);
            turned.scaled_add(-along, u);
        }
        let mut raw = Array1::zeros(turned.len());
        for (value, &at) in turned.iter().zip(&self.coordinate) {
            raw[at] = *value;
        }
        raw
    }

    /// Maps raw coordinates to components, the inverse of [`Frame::raw`].
    pub fn components(&self, raw: &Array1<f64>) -> Array1<f64> {
        let mut components = Array1::from_shape_fn(raw.len(), |j| raw[self.coordinate[j]]);
        for u in self.reflections.iter().rev() {
            let along = 2.0 * u.dot(&components);
            components.scaled_add(-along, u);
        }
        components
    }
}

/// The population. Components are sorted: ordinary ones by variance, then massive ones.
#[derive(Debug, Clone)]
pub(super) struct World {
    /// Variances, [d].
    pub lambda: Array1<f64>,
    pub frame: Frame,
    /// The direction of v*, scaled to v'Σv = 1 (v* itself is zero if ρ² is).
    pub v: Array1<f64>,
    pub value: Law,
    pub objectives: Vec<Law>,
    pub judges: Vec<Law>,
    /// The judges without the common reward, and the common reward.
    pub judge_parts: Vec<Law>,
    pub common: Option<Law>,
    pub logprob: Law,
    /// Change of h per unit of t.
    pub length_axis: Array1<f64>,
    /// Texts under which the responses are read again.
    pub texts: Vec<Text>,
}

pub(super) fn dot(lambda: &Array1<f64>, a: &Array1<f64>, b: &Array1<f64>) -> f64 {
    ndarray::Zip::from(lambda).and(a).and(b).fold(0.0, |sum, l, a, b| sum + l * a * b)
}

impl World {
    pub fn draw(design: &Design, rng: &mut ChaCha8Rng) -> Self {
        let lambda = variances(design);
        let frame = frame(design, rng);
        let v = direction(design, &lambda, rng);
        let encoded = design.rho2 > 0.0;
        let noise_var = if encoded { (1.0 - design.rho2) / design.rho2 } else { 1.0 };
        let law = |name: &str, linear: Array1<f64>, noise_var: f64, corr: f64| Law {
            name: name.to_owned(),
            linear,
            noise_sd: noise_var.sqrt(),
            corr,
            length: 0.0,
            per_token: 0.0,
            bend: None,
        };
        let mut value = law("S", if encoded { v.clone() } else { Array1::zeros(v.len()) }, noise_var, 1.0);
        value.length = design.length.on_value;
        let parts = design.judges.iter().map(|j| {
            let cos = if j.cos_sd > 0.0 {
                (j.cos + j.cos_sd * rng.sample::<f64, _>(StandardNormal)).clamp(-0.95, 0.95)
            } else {
                j.cos
            };
            let linear = at_cosine(design, &lambda, &v, cos, rng) * j.sd;
            let noise = j.sd.powi(2) * (1.0 - j.rho2) / j.rho2;
            let bend = (design.bent_judges && j.sd > 0.0).then(|| &linear / j.sd);
            Law { length: j.length, bend, ..law(&format!("{JUDGE}{}", j.name), linear, noise, j.noise_corr) }
        });
        let judge_parts: Vec<Law> = parts.collect();
        let common = design.common.map(|c| {
            let linear = at_cosine(design, &lambda, &v, c.cos, rng) * c.sd;
            law("common", linear, c.sd.powi(2) * (1.0 - c.rho2) / c.rho2, 0.0)
        });
        let judges =
            judge_parts.iter().map(|own| common.as_ref().map_or_else(|| own.clone(), |c| sum(own, c)));
        let judges = judges.collect();
        let p = design.logprob;
        let w = at_cosine(design, &lambda, &v, p.cos, rng) * p.sd;
        let noise = p.sd.powi(2) * (1.0 - p.rho2) / p.rho2;
        let logprob = Law { per_token: p.per_token, ..law(LOGPROB, w, noise, p.noise_corr) };
        let objectives = design.objectives.iter().map(|o| {
            let q = at_cosine(design, &lambda, &v, o.cos, rng);
            match o.optimum {
                None => law(&o.name, q, o.noise_var, o.noise_corr),
                Some(at) => {
                    Law { bend: Some(q.clone()), ..law(&o.name, q * (2.0 * at), o.noise_var, o.noise_corr) }
                }
            }
        });
        let objectives = objectives.collect();
        let axis = Array1::from_shape_fn(v.len(), |_| rng.sample::<f64, _>(StandardNormal));
        let size = axis.dot(&axis).sqrt();
        let length_axis =
            axis * (design.length.on_resid * (lambda.sum() / lambda.len() as f64).sqrt() / size);
        // A separate stream: the bare rows are the same as without texts.
        let mut own = rng.clone();
        own.set_stream(3);
        let texts = Text::draw(design, &lambda, &v, &mut own);
        Self { lambda, frame, v, value, objectives, judges, judge_parts, common, logprob, length_axis, texts }
    }

    /// All laws, in the order S, the other values, the judges, log P.
    pub fn laws(&self) -> impl Iterator<Item = &Law> {
        std::iter::once(&self.value).chain(&self.objectives).chain(&self.judges).chain([&self.logprob])
    }
}

/// The law of a sum whose noises are independent given the noise of S.
fn sum(own: &Law, common: &Law) -> Law {
    let noise_sd = own.noise_sd.hypot(common.noise_sd);
    let shared = own.noise_sd * own.corr + common.noise_sd * common.corr;
    Law {
        linear: &own.linear + &common.linear,
        corr: if noise_sd > 0.0 { shared / noise_sd } else { 0.0 },
        noise_sd,
        length: own.length + common.length,
        ..own.clone()
    }
}

fn variances(design: &Design) -> Array1<f64> {
    let ordinary = design.ordinary();
    let shape = |j: usize| ((j + 1) as f64).powf(-design.alpha);
    let mean = (0..ordinary).map(shape).sum::<f64>() / ordinary as f64;
    let massive = design.massive.map_or(0.0, |m| m.variance);
    let relative =
        Array1::from_shape_fn(design.hidden_size, |j| if j < ordinary { shape(j) / mean } else { massive });
    let trace = relative.sum();
    relative * (design.hidden_size as f64 / trace)
}

fn frame(design: &Design, rng: &mut ChaCha8Rng) -> Frame {
    let (d, ordinary) = (design.hidden_size, design.ordinary());
    let mut coordinate: Vec<usize> = (0..d).collect();
    for massive in ordinary..d {
        let other = rng.random_range(0..d);
        coordinate.swap(massive, other);
    }
    let count = if design.rotate { 2 } else { 0 };
    let reflections = (0..count).map(|_| {
        let u = Array1::from_shape_fn(d, |j| if j < ordinary { rng.sample(StandardNormal) } else { 0.0 });
        let size = u.mapv(|x: f64| x * x).sum().sqrt();
        u / size
    });
    Frame { reflections: reflections.collect(), coordinate }
}

/// A direction scaled to v'Σv = 1.
fn direction(design: &Design, lambda: &Array1<f64>, rng: &mut ChaCha8Rng) -> Array1<f64> {
    let ordinary = design.ordinary();
    let mut v = Array1::from_shape_fn(lambda.len(), |j| {
        let normal: f64 = rng.sample(StandardNormal);
        let loaded = match design.loading {
            _ if j >= ordinary => true,
            Loading::Isotropic | Loading::Flat => true,
            Loading::Top => j < ordinary.div_ceil(10),
            Loading::Tail => j >= ordinary / 2,
        };
        let whitened = design.loading == Loading::Flat || j >= ordinary;
        match (loaded, whitened) {
            (false, _) => 0.0,
            (true, true) => normal / lambda[j].sqrt(),
            (true, false) => normal,
        }
    });
    let share = design.massive.map_or(0.0, |m| m.share);
    for (part, share) in [(0..ordinary, 1.0 - share), (ordinary..lambda.len(), share)] {
        let variance: f64 = part.clone().map(|j| lambda[j] * v[j] * v[j]).sum();
        for j in part {
            v[j] *= (share / variance).sqrt();
        }
    }
    v
}

/// A direction of variance 1 at this cosine with `v`, which has variance 1.
pub(super) fn at_cosine(
    design: &Design,
    lambda: &Array1<f64>,
    v: &Array1<f64>,
    cos: f64,
    rng: &mut ChaCha8Rng,
) -> Array1<f64> {
    let rest = match design.remainder {
        Remainder::Independent => {
            let mut u = direction(design, lambda, rng);
            let along = dot(lambda, &u, v);
            u.scaled_add(-along, v);
            u
        }
        Remainder::TailOpposes => {
            let mut seen = 0.0;
            let mut head_share = 0.0;
            let in_head: Vec<bool> = (0..v.len())
                .map(|j| {
                    let head = seen < 0.5;
                    let here = lambda[j] * v[j] * v[j];
                    seen += here;
                    head_share += if head { here } else { 0.0 };
                    head
                })
                .collect();
            let (up, down) = (1.0 / head_share, 1.0 / (1.0 - head_share));
            Array1::from_shape_fn(v.len(), |j| if in_head[j] { v[j] * up } else { -v[j] * down })
        }
    };
    let size = dot(lambda, &rest, &rest).sqrt();
    v * cos + rest * ((1.0 - cos * cos).sqrt() / size)
}
