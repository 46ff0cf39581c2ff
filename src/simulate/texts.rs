//! The same responses read under texts: one constitution with a planted effect, and placebo texts.
//!
//! A text maps h to T h + shift + noise, all in components. Every text, placebos included, shifts h in its own
//! direction and stretches it slightly along others; the constitution composes its planted effect with that. Within
//! prompts Σ_c = T Λ Tᵀ + νΛ, so that gain, ρ², turn and alignment have exact values for every text.

use std::collections::BTreeMap;

use faer::Mat;
use ndarray::{Array1, Array3, Axis};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use super::design::Design;
use super::world::{World, at_cosine, dot};
use crate::error::Result;
use crate::linalg::solve;
use crate::observations::{BARE, Columns, Observations};

/// Name of the constitution with the planted effect.
pub const CONSTITUTION: &str = "named";

/// Number of directions along which a text stretches h; several, as a text affects a state in many ways.
const AXES: usize = 8;

/// sd of a text's effect on log P along v*, in nats per sd of ⟨h, v*⟩.
const TEXT_LOGPROB: f64 = 0.3;

/// The constitution's planted effect on the state.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// None beyond that of a placebo text.
    Nothing,
    /// Adds strength · v* to every row.
    Shift,
    /// Multiplies ⟨h, v*⟩ by the strength and leaves the Σ-orthogonal part unchanged.
    Gain,
    /// Multiplies along a direction Σ-orthogonal to v* instead.
    GainElsewhere,
    /// Rotates v* by the strength, in radians, towards a direction Σ-orthogonal to it.
    Rotation,
}

/// Texts under which the responses are read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Texts {
    /// Number of placebo texts.
    pub placebos: usize,
    /// The constitution's planted effect.
    pub effect: Effect,
    /// Strength of the effect.
    pub strength: f64,
    /// Length of a text's own shift, in units of √(tr Σ).
    pub shift: f64,
    /// sd of the log of the stretch factors of a text along its eight random directions.
    pub stretch: f64,
    /// ν: variance of the noise drawn for each row and text, relative to Σ.
    pub noise: f64,
    /// Effect of the constitution on log P along v*, in nats per sd of ⟨h, v*⟩.
    pub logprob: f64,
}

impl Default for Texts {
    fn default() -> Self {
        Self {
            placebos: 6,
            effect: Effect::Nothing,
            strength: 0.0,
            shift: 0.5,
            stretch: 0.06,
            noise: 0.3,
            logprob: 0.0,
        }
    }
}

/// A text's affine map, in components.
#[derive(Debug, Clone)]
pub(super) struct Text {
    pub name: String,
    pub placebo: bool,
    /// T = I + Σ_k left_k right_kᵀ, applied in order.
    factors: Vec<(Array1<f64>, Array1<f64>)>,
    shift: Array1<f64>,
    logprob: f64,
}

impl Text {
    /// Draws the texts of a design: the constitution, then the placebos.
    pub fn draw(design: &Design, lambda: &Array1<f64>, v: &Array1<f64>, rng: &mut ChaCha8Rng) -> Vec<Self> {
        let Some(texts) = design.texts else { return Vec::new() };
        let mut out = Vec::new();
        for at in 0..=texts.placebos {
            let placebo = at > 0;
            // Directions of variance 1, so that only ⟨h, axis⟩ is stretched.
            let mut factors = Vec::new();
            for _ in 0..AXES {
                let axis = at_cosine(design, lambda, v, 0.0, rng) + v * rng.sample::<f64, _>(StandardNormal);
                let axis = &axis / dot(lambda, &axis, &axis).sqrt();
                let factor = (texts.stretch * rng.sample::<f64, _>(StandardNormal)).exp();
                factors.push((lambda * &axis * (factor - 1.0), axis));
            }
            let own = Array1::from_shape_fn(v.len(), |_| rng.sample::<f64, _>(StandardNormal));
            let mut shift = &own * (texts.shift * (lambda.sum() / own.dot(&own)).sqrt());
            let own_logprob = TEXT_LOGPROB * rng.sample::<f64, _>(StandardNormal);
            let elsewhere = at_cosine(design, lambda, v, 0.0, rng);
            let size = (lambda.sum() / v.dot(v)).sqrt();
            let covector = |u: &Array1<f64>| lambda * u;
            if !placebo {
                let s = texts.strength;
                match texts.effect {
                    Effect::Nothing => {}
                    Effect::Shift => shift.scaled_add(s * size, v),
                    Effect::Gain => factors.push((covector(v) * (s - 1.0), v.clone())),
                    Effect::GainElsewhere => factors.push((covector(&elsewhere) * (s - 1.0), elsewhere)),
                    Effect::Rotation => {
                        // Both at once: otherwise the second factor would apply to the result of the first.
                        let (c, n) = (s.cos() - 1.0, s.sin());
                        let (a, b) = (covector(v), covector(&elsewhere));
                        factors.push((&a * c - &b * n, v.clone()));
                        factors.push((&a * n + &b * c, elsewhere.clone()));
                        // (I + l₂r₂ᵀ)(I + l₁r₁ᵀ) adds l₂(r₂·l₁)r₁ᵀ, which is compensated in l₁.
                        let last = factors.len() - 1;
                        let (l2, r2) = factors[last].clone();
                        let l1 = &factors[last - 1].0;
                        // Solve (I + l₂r₂ᵀ) l₁' = l₁.
                        let along = r2.dot(l1) / (1.0 + r2.dot(&l2));
                        let fixed = l1 - &(&l2 * along);
                        factors[last - 1].0 = fixed;
                    }
                }
            }
            let name = if placebo { format!("placebo-{at}") } else { CONSTITUTION.to_owned() };
            out.push(Self {
                name,
                placebo,
                factors,
                shift,
                logprob: if placebo { own_logprob } else { texts.logprob + own_logprob },
            });
        }
        out
    }

    fn apply(&self, h: &Array1<f64>) -> Array1<f64> {
        let mut out = h.clone();
        for (left, right) in &self.factors {
            let along = right.dot(&out);
            out.scaled_add(along, left);
        }
        out
    }
}

/// Appends rows to the observations: each response under each text, after the bare rows.
pub(super) fn read_under(
    design: &Design,
    world: &World,
    bare: Observations,
    rng: &mut ChaCha8Rng,
) -> Result<Observations> {
    let Some(texts) = design.texts else { return Ok(bare) };
    let (n, layers) = (bare.rows(), bare.layers().to_vec());
    let copies = 1 + world.texts.len();
    let mut resid: Array3<f32> = Array3::zeros((n * copies, layers.len(), design.hidden_size));
    let columns = bare.columns();
    let mut logprob = columns.logprob.clone().unwrap_or_else(|| vec![0.0; n]);
    let plain = logprob.clone();
    for (at, &layer) in layers.iter().enumerate() {
        let h = bare.layer(layer)?;
        resid.index_axis_mut(Axis(1), at).slice_mut(ndarray::s![..n, ..]).assign(&h);
        for (t, text) in world.texts.iter().enumerate() {
            for (row, plain) in plain.iter().enumerate() {
                let components = world.frame.components(&h.row(row).mapv(f64::from));
                let noise = Array1::from_shape_fn(design.hidden_size, |j| {
                    (texts.noise * world.lambda[j]).sqrt() * rng.sample::<f64, _>(StandardNormal)
                });
                let raw = world.frame.raw(&(text.apply(&components) + &text.shift + &noise));
                let mut to = resid.slice_mut(ndarray::s![(1 + t) * n + row, at, ..]);
                to.zip_mut_with(&raw, |to, from| *to = *from as f32);
                if at == 0 {
                    // In nats; h includes the prompt's centre, which contrasts remove.
                    // Rounded as in a file of observations.
                    logprob.push(f64::from((plain + text.logprob * world.v.dot(&components)) as f32));
                }
            }
        }
    }
    let mut meta = bare.meta().clone();
    meta.constitutions = vec![BARE.to_owned()];
    meta.constitutions.extend(world.texts.iter().map(|t| t.name.clone()));
    let families: BTreeMap<&str, &str> = world
        .texts
        .iter()
        .map(|t| (t.name.as_str(), if t.placebo { "placebo" } else { "neutral" }))
        .collect();
    if let Ok(text) = serde_json::to_string(&families) {
        meta.extra.insert("families".to_owned(), text);
    }
    fn again<T: Clone>(column: &[T], copies: usize) -> Vec<T> {
        std::iter::repeat_n(column, copies).flatten().cloned().collect()
    }
    // Labels and judgments are attached to the bare rows.
    let gaps = |column: &Vec<f64>| {
        let mut out = column.clone();
        out.resize(n * copies, f64::NAN);
        out
    };
    let columns = Columns {
        constitution: Some((0..copies).flat_map(|c| std::iter::repeat_n(c, n)).collect()),
        prompt: columns.prompt.as_ref().map(|c| again(c, copies)),
        cluster: columns.cluster.as_ref().map(|c| again(c, copies)),
        // At most 2^24 prompts are allowed.
        response: Some(again(&(0..n as i32).collect::<Vec<_>>(), copies)),
        logprob: Some(logprob),
        ntok: columns.ntok.as_ref().map(|c| again(c, copies)),
        values: columns.values.iter().map(|(name, c)| (name.clone(), gaps(c))).collect(),
        ..columns.clone()
    };
    Observations::new(meta, columns, resid)
}

/// Population figures of every text, keyed by the name of the estimate, the value and the text.
pub(super) fn population(design: &Design, world: &World) -> BTreeMap<String, f64> {
    let mut out = BTreeMap::new();
    let Some(texts) = design.texts.filter(|_| design.rho2 > 0.0) else { return out };
    let d = design.hidden_size;
    let (lambda, v) = (&world.lambda, &world.v);
    let share = design.rho2;
    let state = |text: &Text| {
        // Columns T e_j; Σ_c = T Λ Tᵀ + νΛ.
        let t: Vec<Array1<f64>> =
            (0..d).map(|j| text.apply(&Array1::from_shape_fn(d, |i| f64::from(u8::from(i == j))))).collect();
        let sigma = Mat::from_fn(d, d, |i, k| {
            (0..d).map(|j| t[j][i] * lambda[j] * t[j][k]).sum::<f64>()
                + if i == k { texts.noise * lambda[i] } else { 0.0 }
        });
        // Cov(h_c, S): T Λ v.
        let cross: Vec<f64> = (0..d).map(|i| (0..d).map(|j| t[j][i] * lambda[j] * v[j]).sum()).collect();
        let read = solve(sigma.as_ref(), &cross);
        let along: f64 = (0..d).map(|i| (0..d).map(|k| v[i] * sigma[(i, k)] * v[k]).sum::<f64>()).sum();
        let random: f64 = (0..d).map(|i| v[i] * v[i] * sigma[(i, i)]).sum();
        let rho2 = share * read.iter().zip(&cross).map(|(a, b)| a * b).sum::<f64>();
        let read = Array1::from_vec(read);
        let turn = dot(lambda, &read, v) / dot(lambda, &read, &read).sqrt();
        (along / random, rho2, turn)
    };
    let states: Vec<(f64, f64, f64)> = world.texts.iter().map(state).collect();
    let placebos: Vec<usize> = (0..states.len()).filter(|&t| world.texts[t].placebo).collect();
    let m = placebos.len() as f64;
    for (t, text) in world.texts.iter().enumerate().filter(|(_, t)| !t.placebo) {
        let (gain, rho2, turn) = states[t];
        let name = |quantity: &str| format!("{quantity} S|J:{}", text.name);
        out.insert(name("activation_gain"), gain);
        let mean = placebos.iter().map(|&p| states[p].1).sum::<f64>() / m;
        out.insert(name("retrieval_gain"), rho2 - mean);
        out.insert(name("value_turn"), turn);
        let mut delta = text.shift.clone();
        placebos.iter().for_each(|&p| delta.scaled_add(-1.0 / m, &world.texts[p].shift));
        let cos = dot(lambda, &delta, v) / dot(lambda, &delta, &delta).sqrt();
        out.insert(name("activation_alignment"), cos);
        let (w, add) = (&world.logprob.linear, text.logprob);
        let under = w + &(v * add);
        let of = |w: &Array1<f64>| dot(lambda, w, v) / dot(lambda, w, w).sqrt();
        out.insert(name("conditioned_gap"), of(&under) - of(w));
    }
    for quantity in
        ["activation_alignment", "activation_gain", "retrieval_gain", "value_turn", "conditioned_gap"]
    {
        out.insert(format!("placebo_outside {quantity}"), 0.05);
    }
    out
}
