//! Training: documents are drawn step by step, gradients are computed in fixed shards, and the state can be resumed.

use std::fmt;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::corpus::Corpus;
use super::curriculum::{CLEAR, Curriculum};
use super::engine::{Engine, EngineName};
use super::lexicon::LEXICON;
use super::net::{Batch, Shape};
use super::optimiser::AdamW;
use crate::error::{Diagnostic, Kind, Result};

/// Available network sizes.
pub const SIZES: [&str; 4] = ["xs", "s", "m", "l"];

/// Settings that determine the loss curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// One of [`SIZES`].
    pub size: String,
    /// Seed for parameters and documents.
    pub seed: u64,
    /// Total number of training steps.
    pub steps: usize,
    /// Share of replies drawn from the tilted policy.
    pub eta: f64,
    /// Engine that computes the gradient.
    #[serde(default, skip_serializing_if = "EngineName::is_own")]
    pub engine: EngineName,
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, seed, steps, eta, engine } = self;
        write!(f, "size {size}, seed {seed}, {steps} steps, eta {eta}, engine {engine}")
    }
}

impl Recipe {
    /// Sizes of the network.
    ///
    /// # Errors
    /// `Invalid` for an unknown size, for η outside 0…1, or for zero steps.
    pub fn shape(&self) -> Result<Shape> {
        let (hidden, layers, mlp) = match self.size.as_str() {
            "xs" => (32, 2, 80),
            "s" => (64, 2, 168),
            "m" => (96, 3, 256),
            "l" => (128, 4, 344),
            other => {
                return Err(Diagnostic::new(Kind::Invalid, format!("no size `{other}`"))
                    .expected(SIZES.join(", "))
                    .into());
            }
        };
        if !(0.0..=1.0).contains(&self.eta) || self.steps == 0 {
            return Err(Diagnostic::new(Kind::Invalid, "the recipe of a training")
                .expected("at least one step, and eta from 0 to 1")
                .found(self.to_string())
                .into());
        }
        Ok(Shape { vocab: LEXICON.size(), hidden, layers, mlp })
    }
}

/// A point of the loss curve: means over the steps since the previous point.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Number of steps taken.
    pub step: usize,
    /// Stage of the curriculum.
    pub stage: usize,
    /// Weighted mean loss over all targets.
    pub loss: f64,
    /// Mean cross-entropy of forced choices.
    pub answer_loss: f64,
    /// Share of clear choices that are correct.
    pub accuracy: f64,
}

/// Number of steps between points of the curve.
pub const POINT: usize = 100;

/// Number of shards into which the documents of one step are divided: the shards' gradients are summed in order, so
/// that the result does not depend on the number of threads.
const SHARDS: usize = 4;
const DOCUMENTS: usize = 8;

/// Number of documents per step.
pub const DOCUMENTS_PER_STEP: usize = SHARDS * DOCUMENTS;

/// Everything needed to resume training.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Sizes of the network.
    pub shape: Shape,
    /// Settings that determine the loss curve.
    pub recipe: Recipe,
    /// Parameters of the network.
    pub parameters: Vec<f32>,
    /// State of the optimiser.
    pub optimiser: AdamW,
    /// State of the curriculum.
    pub curriculum: Curriculum,
    /// Number of steps taken.
    pub step: usize,
    /// Number of words read.
    pub words: u64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// The loss curve so far.
    pub curve: Vec<Point>,
}

/// Measurements of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Log {
    /// Weighted mean loss over all targets.
    pub loss: f64,
    /// Mean cross-entropy of forced choices.
    pub answer_loss: f64,
    /// Share of clear choices that are correct.
    pub accuracy: f64,
    /// Norm of the gradient.
    pub norm: f64,
}

impl State {
    /// State before the first step.
    ///
    /// # Errors
    /// Errors of [`Recipe::shape`].
    pub fn new(recipe: Recipe) -> Result<Self> {
        let shape = recipe.shape()?;
        Ok(Self {
            shape,
            parameters: shape.initial(recipe.seed),
            optimiser: AdamW::new(&shape),
            curriculum: Curriculum::new(recipe.steps, recipe.eta),
            recipe,
            step: 0,
            words: 0,
            seconds: 0.0,
            curve: Vec::new(),
        })
    }

    /// Trains up to the next point of the curve and adds it; `each` is called after every step and may stop with an
    /// error.
    ///
    /// # Errors
    /// Errors of the engine and of `each`; steps taken since the last point are then missing from the curve.
    pub fn advance_to_point(
        &mut self,
        corpus: &Corpus,
        engine: &Engine,
        each: &mut dyn FnMut(&Log) -> Result<()>,
    ) -> Result<Point> {
        let begun = std::time::Instant::now();
        let stage = self.curriculum.stage;
        let (mut sum, mut n) = ([0.0; 3], 0.0);
        while self.step < self.recipe.steps {
            let log = self.advance(corpus, engine)?;
            for (s, x) in sum.iter_mut().zip([log.loss, log.answer_loss, log.accuracy]) {
                *s += x;
            }
            n += 1.0;
            each(&log)?;
            if self.step.is_multiple_of(POINT) {
                break;
            }
        }
        let [loss, answer_loss, accuracy] = sum.map(|s| s / f64::max(n, 1.0));
        let point = Point { step: self.step, stage, loss, answer_loss, accuracy };
        self.curve.push(point);
        self.seconds += begun.elapsed().as_secs_f64();
        Ok(point)
    }

    /// Takes one step.
    ///
    /// # Errors
    /// Errors of the engine; no step is taken then.
    pub fn advance(&mut self, corpus: &Corpus, engine: &Engine) -> Result<Log> {
        let emphasis = self.curriculum.emphasis();
        let mix = self.curriculum.mix(self.step, &emphasis);
        let weights = self.curriculum.weights(self.step);
        let mut asked = Vec::with_capacity(SHARDS);
        let batches: Vec<(Batch, Vec<usize>)> = (0..SHARDS)
            .map(|shard| {
                let mut rng = ChaCha8Rng::seed_from_u64(self.recipe.seed);
                rng.set_stream(1 + (self.step * SHARDS + shard) as u64);
                let (mut batch, mut choices) = (Batch::default(), Vec::new());
                for _ in 0..DOCUMENTS {
                    corpus.draw(&mix, &mut rng).pack(weights, &mut batch, &mut choices);
                }
                let at = choices.iter().map(|c| c.0).collect();
                asked.push(choices);
                (batch, at)
            })
            .collect();
        let total: f32 = batches.iter().flat_map(|(b, _)| &b.targets).map(|t| t.weight).sum();
        let shards = engine.gradients(&self.shape, &self.parameters, &batches, 1.0 / total)?;
        self.words += batches.iter().map(|(b, _)| b.tokens.len() as u64).sum::<u64>();
        let mut sum = vec![0f32; self.shape.parameters()];
        for shard in &shards {
            for (s, g) in sum.iter_mut().zip(&shard.gradient) {
                *s += g;
            }
        }
        let rate = self.curriculum.rate(self.step);
        let norm = self.optimiser.step(&mut self.parameters, &sum, rate);
        let (a, b) = (LEXICON.id("A") as usize, LEXICON.id("B") as usize);
        let (mut right, mut clear, mut all, mut choice_loss) = (0usize, 0usize, 0usize, 0.0);
        let told = shards.iter().flat_map(|s| &s.choices);
        for (&(_, principle, contrast), (cross, logits)) in asked.iter().flatten().zip(told) {
            all += 1;
            choice_loss += cross;
            if contrast.abs() <= CLEAR {
                continue;
            }
            clear += 1;
            let good = (contrast > 0.0) == (logits[a] > logits[b]);
            right += usize::from(good);
            if let Some(p) = principle {
                self.curriculum.count(p, good);
            }
        }
        self.step += 1;
        self.curriculum.advance(self.step);
        Ok(Log {
            loss: shards.iter().map(|s| s.loss).sum(),
            answer_loss: choice_loss / all.max(1) as f64,
            accuracy: right as f64 / clear.max(1) as f64,
            norm,
        })
    }
}
