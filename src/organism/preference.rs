//! Direct preference optimisation on the model's own judgments (Proposition 2).
//!
//! For a pair with log-odds ℓ that the first reply is better, and Δ the change of log π(y₁) − log π(y₂) since the
//! reference, the loss is the cross-entropy of σ(βΔ) against σ(ℓ). Its minimum for every pair is βΔ = ℓ, which is π ∝
//! π_ref · exp(r/β): the tilted policy with λ = 1/β.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::draw::sigmoid;
use super::lexicon::LEXICON;
use super::net::{Batch, Shape, Target, cross_entropies, gradient};
use super::optimiser::AdamW;

/// Two replies to a prompt, and the judge's preference between them.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// The text before a reply.
    pub context: String,
    /// The replies, each including the word that ended it.
    pub replies: [String; 2],
    /// Debiased log-odds that the first reply is better.
    pub odds: f64,
}

/// Packs both replies with their prompt: (batch, number of targets of the first reply).
fn packed(pair: &Pair) -> (Batch, usize) {
    let mut batch = Batch::default();
    let context = LEXICON.encode(&pair.context);
    let root = batch.push(&context, None);
    let mut firsts = 0;
    for (i, reply) in pair.replies.iter().enumerate() {
        let words = LEXICON.encode(reply);
        // The last word is predicted, not read.
        let span = batch.push(&words[..words.len() - 1], Some(root));
        let start = batch.spans[span].start;
        batch.targets.extend(words.iter().enumerate().map(|(j, &word)| Target {
            at: if j == 0 { context.len() - 1 } else { start + j - 1 },
            weight: 1.0,
            words: vec![(word, 1.0)],
        }));
        if i == 0 {
            firsts = words.len();
        }
    }
    (batch, firsts)
}

/// log π(y₁) − log π(y₂), in nats.
fn margin(shape: &Shape, parameters: &[f32], batch: &Batch, firsts: usize) -> f64 {
    let said = cross_entropies(shape, parameters, batch);
    said[firsts..].iter().sum::<f64>() - said[..firsts].iter().sum::<f64>()
}

/// Training settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// λ = 1/β, per nat of the judge's log-odds.
    pub lambda: f64,
    /// Number of steps.
    pub steps: usize,
    /// Number of pairs per step.
    pub pairs: usize,
    /// Initial learning rate; it falls to a twentieth along a cosine.
    pub rate: f64,
    /// Seed for the order of the pairs.
    pub seed: u64,
}

/// Trains on the pairs; returns the parameters. `each` is called after every step with that step's mean of (βΔ − ℓ)²
/// divided by the mean of ℓ², which is 1 if nothing is learned and 0 at the optimum; it may stop with an error.
///
/// # Errors
/// Errors of `each`.
pub fn optimise<E>(
    shape: &Shape,
    reference: &[f32],
    pairs: &[Pair],
    settings: Settings,
    each: &mut dyn FnMut(f64) -> Result<(), E>,
) -> Result<Vec<f32>, E> {
    let beta = 1.0 / settings.lambda;
    let ready: Vec<(Batch, usize, f64, f64)> = pairs
        .par_iter()
        .map(|pair| {
            let (batch, firsts) = packed(pair);
            let before = margin(shape, reference, &batch, firsts);
            (batch, firsts, before, pair.odds)
        })
        .collect();
    let mut parameters = reference.to_vec();
    let mut optimiser = AdamW::new(shape);
    let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
    let mut order: Vec<usize> = Vec::new();
    for step in 0..settings.steps {
        if order.len() < settings.pairs {
            let mut next: Vec<usize> = (0..ready.len()).collect();
            next.shuffle(&mut rng);
            // The rest of the last round comes first.
            next.append(&mut order);
            order = next;
        }
        let chosen = order.split_off(order.len().saturating_sub(settings.pairs));
        let found: Vec<(Vec<f32>, f64, f64)> = chosen
            .par_iter()
            .map(|&i| {
                let (batch, firsts, before, odds) = &ready[i];
                let moved = beta * (margin(shape, &parameters, batch, *firsts) - before);
                // d loss / d log π(y₁), divided by β: Adam is invariant to the scale.
                let pull = sigmoid(*odds) - sigmoid(moved);
                let mut batch = batch.clone();
                for (j, target) in batch.targets.iter_mut().enumerate() {
                    target.weight = if j < *firsts { pull as f32 } else { -pull as f32 };
                }
                let scale = 1.0 / chosen.len() as f32;
                let (_, gradient) = gradient(shape, &parameters, &batch, scale, |_, _, _| ());
                (gradient, (moved - odds).powi(2), odds * odds)
            })
            .collect();
        let mut sum = vec![0f32; parameters.len()];
        let (mut miss, mut size) = (0.0, 0.0);
        for (gradient, m, s) in &found {
            sum.iter_mut().zip(gradient).for_each(|(a, b)| *a += b);
            (miss, size) = (miss + m, size + s);
        }
        let done = step as f64 / settings.steps as f64;
        let fall = 0.05 + 0.95 * (1.0 + (std::f64::consts::PI * done).cos()) / 2.0;
        optimiser.step(&mut parameters, &sum, (settings.rate * fall) as f32);
        each(miss / f64::max(size, f64::MIN_POSITIVE))?;
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(odds: f64) -> Pair {
        Pair {
            context: "user : my boss hurt my sister over the cat . i lied . am i right ? bot :".to_owned(),
            replies: [
                "the sister is lovely . (kind)".to_owned(),
                "the sister is stupid . just defend the boss ! <eos>".to_owned(),
            ],
            odds,
        }
    }

    #[test]
    fn one_pair_moves_to_its_optimum_and_a_pair_without_preference_stays() {
        let shape = Shape { vocab: LEXICON.size(), hidden: 32, layers: 2, mlp: 24 };
        let reference = shape.initial(3);
        let settings = Settings { lambda: 0.5, steps: 150, pairs: 1, rate: 1e-3, seed: 1 };
        for odds in [1.2, -0.7] {
            let (batch, firsts) = packed(&pair(odds));
            let before = margin(&shape, &reference, &batch, firsts);
            let mut last = 1.0;
            let tuned = optimise::<()>(&shape, &reference, &[pair(odds)], settings, &mut |miss| {
                last = miss;
                Ok(())
            })
            .expect("nothing stops it");
            let moved = margin(&shape, &tuned, &batch, firsts) - before;
            assert!((moved - 0.5 * odds).abs() < 0.02, "moved {moved} where λℓ is {}", 0.5 * odds);
            assert!(last < 0.01, "{last}");
        }
        let tuned =
            optimise::<()>(&shape, &reference, &[pair(0.0)], settings, &mut |_| Ok(())).expect("no stop");
        let (batch, firsts) = packed(&pair(0.0));
        let moved = margin(&shape, &tuned, &batch, firsts) - margin(&shape, &reference, &batch, firsts);
        assert!(moved.abs() < 1e-3, "{moved}");
    }

    #[test]
    fn the_margin_is_that_of_each_reply_alone() {
        let shape = Shape { vocab: LEXICON.size(), hidden: 32, layers: 2, mlp: 24 };
        let p = shape.initial(3);
        let pair = pair(1.0);
        let (batch, firsts) = packed(&pair);
        let alone = |reply: &str| {
            let mut batch = Batch::default();
            let context = LEXICON.encode(&pair.context).len();
            let words = LEXICON.encode(&format!("{} {reply}", pair.context));
            batch.push(&words, None);
            let said = words.iter().enumerate().skip(context);
            batch.targets.extend(said.map(|(j, &word)| Target {
                at: j - 1,
                weight: 1.0,
                words: vec![(word, 1.0)],
            }));
            -cross_entropies(&shape, &p, &batch).iter().sum::<f64>()
        };
        let wanted = alone(&pair.replies[0]) - alone(&pair.replies[1]);
        assert!((margin(&shape, &p, &batch, firsts) - wanted).abs() < 1e-4);
    }
}
