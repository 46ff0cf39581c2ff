//! Training: documents drawn step by step, the gradient in fixed shards, the state that can be resumed.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::corpus::Corpus;
use super::curriculum::{CLEAR, Curriculum};
use super::lexicon::LEXICON;
use super::net::{Batch, Shape, gradient};
use super::optimiser::AdamW;

/// Sizes on offer.
pub const SIZES: [&str; 3] = ["xs", "s", "m"];

/// The shape of a size; `None` for an unknown name.
pub fn shape(size: &str) -> Option<Shape> {
    let (hidden, layers, mlp) = match size {
        "xs" => (32, 2, 80),
        "s" => (64, 2, 168),
        "m" => (96, 3, 256),
        _ => return None,
    };
    Some(Shape { vocab: LEXICON.size(), hidden, layers, mlp })
}

/// Documents of one step, and how they are divided: the sum of the shards' gradients is taken in their
/// order, so that it does not depend on the number of threads.
const SHARDS: usize = 4;
const DOCUMENTS: usize = 8;

/// Everything training needs to go on.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Sizes.
    pub shape: Shape,
    /// Seed of parameters and documents.
    pub seed: u64,
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

struct Shard {
    loss: f64,
    gradient: Vec<f32>,
    /// Principle, c·Δf, log-odds of A.
    choices: Vec<(Option<usize>, f64, f64)>,
    choice_loss: f64,
}

impl State {
    /// Before the first step.
    pub fn new(shape: Shape, seed: u64, steps: usize, eta: f64) -> Self {
        Self {
            shape,
            seed,
            parameters: shape.initial(seed),
            optimiser: AdamW::new(&shape),
            curriculum: Curriculum::new(steps, eta),
            step: 0,
            words: 0,
        }
    }

    /// Takes one step.
    pub fn advance(&mut self, corpus: &Corpus) -> Log {
        let emphasis = self.curriculum.emphasis();
        let mix = self.curriculum.mix(self.step, &emphasis);
        let weights = self.curriculum.weights(self.step);
        let packed: Vec<_> = (0..SHARDS)
            .map(|shard| {
                let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
                rng.set_stream(1 + (self.step * SHARDS + shard) as u64);
                let (mut batch, mut choices) = (Batch::default(), Vec::new());
                for _ in 0..DOCUMENTS {
                    corpus.draw(&mix, &mut rng).pack(weights, &mut batch, &mut choices);
                }
                (batch, choices)
            })
            .collect();
        let total: f32 = packed.iter().flat_map(|(b, _)| &b.targets).map(|t| t.weight).sum();
        let (shape, parameters) = (self.shape, &self.parameters);
        let (a, b) = (LEXICON.id("A") as usize, LEXICON.id("B") as usize);
        let shards: Vec<Shard> = packed
            .par_iter()
            .map(|(batch, choices)| {
                let (mut odds, mut choice_loss) = (Vec::with_capacity(choices.len()), 0.0);
                let (loss, gradient) =
                    gradient(&shape, parameters, batch, 1.0 / total, |i, cross, logits| {
                        if choices.get(odds.len()).is_some_and(|c| c.0 == i) {
                            odds.push(f64::from(logits[a] - logits[b]));
                            choice_loss += cross;
                        }
                    });
                let choices =
                    choices.iter().zip(odds).map(|(&(_, p, contrast), odds)| (p, contrast, odds)).collect();
                Shard { loss, gradient, choices, choice_loss }
            })
            .collect();
        self.words += packed.iter().map(|(b, _)| b.tokens.len() as u64).sum::<u64>();
        let mut sum = vec![0f32; shape.parameters()];
        for shard in &shards {
            for (s, g) in sum.iter_mut().zip(&shard.gradient) {
                *s += g;
            }
        }
        let rate = self.curriculum.rate(self.step);
        let norm = self.optimiser.step(&mut self.parameters, &sum, rate);
        let (mut right, mut clear, mut all) = (0usize, 0usize, 0usize);
        for &(principle, contrast, odds) in shards.iter().flat_map(|s| &s.choices) {
            all += 1;
            if contrast.abs() <= CLEAR {
                continue;
            }
            clear += 1;
            let good = (contrast > 0.0) == (odds > 0.0);
            right += usize::from(good);
            if let Some(p) = principle {
                self.curriculum.count(p, good);
            }
        }
        self.step += 1;
        self.curriculum.advance(self.step);
        Log {
            loss: shards.iter().map(|s| s.loss).sum(),
            answer_loss: shards.iter().map(|s| s.choice_loss).sum::<f64>() / all.max(1) as f64,
            accuracy: right as f64 / clear.max(1) as f64,
            norm,
        }
    }
}
