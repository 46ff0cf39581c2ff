//! Training: documents drawn step by step, the gradient in fixed shards, the state that can be resumed.

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

/// Sizes on offer.
pub const SIZES: [&str; 4] = ["xs", "s", "m", "l"];

/// What decides the loss curve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// One of [`SIZES`].
    pub size: String,
    /// Seed of parameters and documents.
    pub seed: u64,
    /// Steps of the whole training.
    pub steps: usize,
    /// Share of replies that are drawn by the tilted policy.
    pub eta: f64,
    /// What computes the gradient.
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
    /// `Invalid` for a size that is not on offer, for η outside 0…1, or for no steps.
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

/// A point of the loss curve: means over the steps since the point before.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Steps taken.
    pub step: usize,
    /// Stage of the curriculum.
    pub stage: usize,
    /// Loss over all targets, by weight.
    pub loss: f64,
    /// Cross-entropy of forced choices.
    pub answer_loss: f64,
    /// Share of clear choices that are right.
    pub accuracy: f64,
}

/// Steps between points of the curve.
pub const POINT: usize = 100;

/// How the documents of one step are divided: the sum of the shards' gradients is taken in their
/// order, so that it does not depend on the number of threads.
const SHARDS: usize = 4;
const DOCUMENTS: usize = 8;

/// Documents of one step.
pub const DOCUMENTS_PER_STEP: usize = SHARDS * DOCUMENTS;

/// Everything training needs to go on.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Sizes.
    pub shape: Shape,
    /// What decides the curve.
    pub recipe: Recipe,
    /// Parameters.
    pub parameters: Vec<f32>,
    /// Optimiser.
    pub optimiser: AdamW,
    /// Curriculum.
    pub curriculum: Curriculum,
    /// Steps taken.
    pub step: usize,
    /// Words read.
    pub words: u64,
    /// Seconds spent.
    pub seconds: f64,
    /// The loss curve so far.
    pub curve: Vec<Point>,
}

/// What one step says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Log {
    /// Mean loss over all targets, by weight.
    pub loss: f64,
    /// Mean cross-entropy of forced choices.
    pub answer_loss: f64,
    /// Share of clear choices that are right.
    pub accuracy: f64,
    /// Norm of the gradient.
    pub norm: f64,
}

impl State {
    /// Before the first step.
    ///
    /// # Errors
    /// What [`Recipe::shape`] refuses.
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

    /// Takes the steps up to the next point of the curve, and adds the point; `each` is called after
    /// every step and may stop.
    ///
    /// # Errors
    /// What the engine refuses, and what `each` returns; steps taken since the last point are then not in the curve.
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
    /// What the engine refuses; no step is taken then.
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
