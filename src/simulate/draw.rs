//! Draws rows from a planted population.

use std::collections::BTreeMap;

use ndarray::{Array1, Array3, ArrayViewMut1, Axis};
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal, StudentT};

use super::design::Design;
use super::truth::{Threshold, prompt_variance, total_variance, within_variance};
use super::world::{Law, World};
use crate::error::Result;
use crate::observations::{Columns, Judgments, Meta, Observations};
use crate::units::Layer;

/// The responses of one prompt; copies of the prompt share them.
struct Prompt {
    first_row: usize,
    responses: usize,
}

pub(super) fn draw(design: &Design, world: &World, rng: &mut ChaCha8Rng) -> Result<Observations> {
    let copies = (design.prompts as f64 * design.duplicates).floor() as usize;
    let originals = design.prompts - copies.min(design.prompts - 2);
    let [least, most] = design.responses;
    let mut sizes: Vec<usize> = (0..originals).map(|_| rng.random_range(least..=most)).collect();
    let mut cluster: Vec<usize> = (0..originals).collect();
    for _ in originals..design.prompts {
        let of = rng.random_range(0..originals);
        cluster.push(of);
        sizes.push(sizes[of]);
    }
    let mut order: Vec<usize> = (0..originals).collect();
    order.shuffle(rng);

    let rows: usize = sizes.iter().sum();
    let mut table = Table::new(design, world, rows);
    let mut prompts: Vec<Prompt> = Vec::with_capacity(design.prompts);
    for (at, &responses) in sizes.iter().enumerate() {
        let prompt = Prompt { first_row: table.filled, responses };
        if at < originals {
            table.prompt(&prompt, at, order[at], rng);
        } else {
            table.copy(&prompts[cluster[at]], at, order[cluster[at]]);
        }
        prompts.push(prompt);
    }
    table.finish(rng)
}

struct Table<'a> {
    design: &'a Design,
    world: &'a World,
    threshold: Option<f64>,
    heavy: Option<(StudentT<f64>, f64)>,
    /// Distribution and scale of the ordinary components.
    tails: Option<(StudentT<f64>, f64)>,
    /// Thresholds of S_lev on the scale of S.
    cuts: Vec<f64>,
    /// Standard deviation of the noise in preferences.
    preference_sd: f64,
    prompt_sd: f64,
    /// Shift direction (in components) of confounded prompts: Σv*, at one sd of ⟨h, v*⟩.
    confounded: Array1<f64>,
    filled: usize,
    resid: Array3<f32>,
    prompt: Vec<i32>,
    cluster: Vec<i32>,
    ntok: Vec<u32>,
    /// S, followed by the other values; S_bin is computed from S.
    values: Vec<Vec<f64>>,
    binary: Vec<f64>,
    levels: Vec<f64>,
    logprob: Vec<f64>,
    judgments: Vec<Judgments>,
    preferences: Vec<[usize; 2]>,
}

impl<'a> Table<'a> {
    fn new(design: &'a Design, world: &'a World, rows: usize) -> Self {
        let heavy = design.massive.filter(|m| m.df.is_finite());
        // df > 4 was checked, so the distribution and its variance exist.
        let student = |df: f64| Some((StudentT::new(df).ok()?, ((df - 2.0) / df).sqrt()));
        Self {
            design,
            world,
            threshold: design.binary.map(|b| Threshold::of(design, world, b.prevalence).at),
            heavy: heavy.and_then(|m| student(m.df)),
            tails: design.tails.and_then(student),
            cuts: design.levels.as_ref().map_or_else(Vec::new, |l| {
                let sd = total_variance(design, world).sqrt();
                l.cuts.iter().map(|c| c * sd).collect()
            }),
            preference_sd: (design.preference_noise * within_variance(design, world)).sqrt(),
            prompt_sd: prompt_variance(design, world).sqrt(),
            confounded: &world.lambda * &world.v,
            filled: 0,
            resid: Array3::zeros((rows, design.layers.len(), design.hidden_size)),
            prompt: Vec::with_capacity(rows),
            cluster: Vec::with_capacity(rows),
            ntok: Vec::with_capacity(rows),
            values: vec![Vec::with_capacity(rows); 1 + world.objectives.len()],
            binary: Vec::with_capacity(rows),
            levels: Vec::with_capacity(rows),
            logprob: Vec::with_capacity(rows),
            judgments: vec![Judgments { ba: Some(Vec::new()), ..Judgments::default() }; world.judges.len()],
            preferences: Vec::new(),
        }
    }

    /// Draws the responses of one prompt.
    fn prompt(&mut self, prompt: &Prompt, number: usize, cluster: usize, rng: &mut ChaCha8Rng) {
        let (design, world) = (self.design, self.world);
        let effect: f64 = rng.sample(StandardNormal);
        let scale = (design.heteroscedastic * normal(rng) / 2.0 - design.heteroscedastic.powi(2) / 4.0).exp();
        let length = design.length;
        let mean_log = length.mean_log + length.between * normal(rng);
        let offset = -60.0 + 10.0 * normal(rng) - effect * design.prompt_confound * design.logprob.sd;
        let centres: Vec<Array1<f64>> = design
            .layers
            .iter()
            .map(|_| {
                let mut centre = self.spread(1.0, rng);
                centre.scaled_add(effect * design.prompt_confound, &self.confounded);
                centre
            })
            .collect();
        let mut rewards = vec![Vec::with_capacity(prompt.responses); world.judges.len()];
        let mut latent = Vec::with_capacity(prompt.responses);
        for row in prompt.first_row..prompt.first_row + prompt.responses {
            let x = self.spread(scale, rng);
            let tokens = (mean_log + length.within * normal(rng)).exp().round().max(1.0);
            // The t that enters h and labels is that of the rounded number of tokens, so that projecting out
            // log(tokens) removes it entirely.
            let t = tokens.ln() - mean_log;
            for (at, (&share, centre)) in design.layers.iter().zip(&centres).enumerate() {
                let mut h = &x * share + centre;
                if share < 1.0 {
                    h += &(self.spread(scale, rng) * (1.0 - share * share).sqrt());
                }
                h.scaled_add(t, &world.length_axis);
                let raw = world.frame.raw(&h);
                store(self.resid.index_axis_mut(Axis(0), row).index_axis_mut(Axis(0), at), &raw);
            }
            let noise = normal(rng);
            let mut label = |law: &Law| {
                let own = law.corr * noise + (1.0 - law.corr * law.corr).sqrt() * normal(rng);
                let bend = law.bend.as_ref().map_or(0.0, |q| 1.0 - q.dot(&x).powi(2));
                law.linear.dot(&x) + law.noise_sd * own + law.length * t + law.per_token * tokens + bend
            };
            let s = label(&world.value) + self.prompt_sd * effect;
            latent.push(s);
            self.values[0].push(f64::from(s as f32));
            self.binary.push(f64::from(u8::from(self.threshold.is_some_and(|c| s > c))));
            self.levels.push(self.cuts.iter().filter(|c| s > **c).count() as f64);
            for (column, law) in self.values[1..].iter_mut().zip(&world.objectives) {
                column.push(f64::from(label(law) as f32));
            }
            let shared = world.common.as_ref().map_or(0.0, &mut label);
            for (reward, law) in rewards.iter_mut().zip(&world.judge_parts) {
                reward.push(label(law) + shared);
            }
            self.logprob.push(f64::from((offset + label(&world.logprob)) as f32));
            self.ntok.push(tokens as u32);
        }
        self.place(prompt, number, cluster);
        self.judge(prompt, &rewards, rng);
        for pair in (0..prompt.responses / 2).map(|p| [2 * p, 2 * p + 1]) {
            // No draw without preference noise, so that the data sets of existing seeds do not change.
            let mut stated = |at: usize| {
                latent[at] + if self.preference_sd > 0.0 { self.preference_sd * normal(rng) } else { 0.0 }
            };
            let [a, b] = if stated(pair[0]) > stated(pair[1]) { pair } else { [pair[1], pair[0]] };
            self.preferences.push([prompt.first_row + a, prompt.first_row + b]);
        }
    }

    /// Log-odds of the answer shown first, for all pairs in both orders.
    fn judge(&mut self, prompt: &Prompt, rewards: &[Vec<f64>], rng: &mut ChaCha8Rng) {
        let [bias_mean, bias_sd] = self.design.position_bias;
        for (judgments, reward) in self.judgments.iter_mut().zip(rewards) {
            let bias = bias_mean + bias_sd * normal(rng);
            let mut shown = |first: f64, second: f64| {
                let odds = first - second + bias + self.design.judge_noise * normal(rng);
                f64::from(self.design.saturation.map_or(odds, |c| c * (odds / c).tanh()) as f32)
            };
            for a in 0..prompt.responses {
                for b in a + 1..prompt.responses {
                    judgments.pairs.push([prompt.first_row + a, prompt.first_row + b]);
                    judgments.ab.push(shown(reward[a], reward[b]));
                    judgments.ba.get_or_insert_default().push(shown(reward[b], reward[a]));
                }
            }
        }
    }

    /// Repeats the rows of an earlier prompt under another number.
    fn copy(&mut self, of: &Prompt, number: usize, cluster: usize) {
        let prompt = Prompt { first_row: self.filled, responses: of.responses };
        let old = of.first_row..of.first_row + of.responses;
        for (at, row) in old.clone().enumerate() {
            let from = self.resid.index_axis(Axis(0), row).to_owned();
            self.resid.index_axis_mut(Axis(0), prompt.first_row + at).assign(&from);
        }
        for column in self.values.iter_mut().chain([&mut self.binary, &mut self.levels, &mut self.logprob]) {
            column.extend_from_within(old.clone());
        }
        self.ntok.extend_from_within(old.clone());
        self.place(&prompt, number, cluster);
        let moved = |pair: &[usize; 2]| pair.map(|row| row - of.first_row + prompt.first_row);
        for j in &mut self.judgments {
            let those: Vec<usize> = (0..j.pairs.len()).filter(|&p| old.contains(&j.pairs[p][0])).collect();
            for p in those {
                j.pairs.push(moved(&j.pairs[p]));
                j.ab.push(j.ab[p]);
                if let Some(ba) = &mut j.ba {
                    ba.push(ba[p]);
                }
            }
        }
        let those: Vec<_> = self.preferences.iter().filter(|p| old.contains(&p[0])).map(moved).collect();
        self.preferences.extend(those);
    }

    fn place(&mut self, prompt: &Prompt, number: usize, cluster: usize) {
        self.filled = prompt.first_row + prompt.responses;
        // At most 2^24 prompts are allowed.
        self.prompt.resize(self.filled, number as i32);
        self.cluster.resize(self.filled, cluster as i32);
    }

    /// A draw of x: components of variance λ, times `scale`.
    fn spread(&self, scale: f64, rng: &mut ChaCha8Rng) -> Array1<f64> {
        let ordinary = self.design.ordinary();
        Array1::from_shape_fn(self.world.lambda.len(), |j| {
            let z = match &self.heavy {
                Some((t, unit)) if j >= ordinary => t.sample(rng) * unit,
                _ => match &self.tails {
                    Some((t, unit)) if j < ordinary => t.sample(rng) * unit,
                    _ => normal(rng),
                },
            };
            scale * self.world.lambda[j].sqrt() * z
        })
    }

    fn finish(self, rng: &mut ChaCha8Rng) -> Result<Observations> {
        let design = self.design;
        let mut values = BTreeMap::new();
        let mut columns = self.values.into_iter();
        let s = columns.next().unwrap_or_default();
        if design.graded {
            values.insert("S".to_owned(), s);
        }
        if design.binary.is_some() {
            values.insert("S_bin".to_owned(), self.binary);
        }
        if design.levels.is_some() {
            values.insert("S_lev".to_owned(), self.levels);
        }
        values.extend(design.objectives.iter().map(|o| o.name.clone()).zip(columns));
        for label in values.values_mut().flatten() {
            if rng.random::<f64>() < design.unlabelled {
                *label = f64::NAN;
            }
        }
        let pairwise = design.pairwise.then(|| ("S_pref".to_owned(), self.preferences));
        let mut meta = Meta::new((0..design.layers.len()).map(Layer).collect());
        meta.model = "planted".to_owned();
        meta.pool = "mean".to_owned();
        meta.template = "none".to_owned();
        let placebos: serde_json::Map<String, serde_json::Value> =
            design.judges.iter().filter(|j| j.placebo).map(|j| (j.name.clone(), "placebo".into())).collect();
        if !placebos.is_empty() {
            meta.extra.insert("families".to_owned(), serde_json::Value::Object(placebos).to_string());
        }
        let columns = Columns {
            constitution: Some(vec![0; self.prompt.len()]),
            prompt: Some(self.prompt),
            cluster: Some(self.cluster),
            response: None,
            logprob: Some(self.logprob),
            logq: None,
            ntok: Some(self.ntok),
            values,
            preferences: pairwise.into_iter().collect(),
            judgments: design.judges.iter().map(|j| j.name.clone()).zip(self.judgments).collect(),
            scores: BTreeMap::new(),
        };
        Observations::new(meta, columns, self.resid)
    }
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    rng.sample(StandardNormal)
}

fn store(mut to: ArrayViewMut1<'_, f32>, from: &Array1<f64>) {
    to.zip_mut_with(from, |to, from| *to = *from as f32);
}
