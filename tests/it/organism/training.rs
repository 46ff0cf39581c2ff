//! The network compared with the decoder, and reproducible training.

use candle_core::Device;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use vstar::error::Kind;
use vstar::organism::checkpoint;
use vstar::organism::corpus::{Corpus, Mix, Weights};
use vstar::organism::engine::{Engine, EngineName};
use vstar::organism::folder;
use vstar::organism::lexicon::LEXICON;
use vstar::organism::net::{Batch, Shape};
use vstar::organism::principles::{PRINCIPLES, last_stage};
use vstar::organism::train::{POINT, Recipe, State};

/// A batch and its forced choices: target, principle, c·Δf.
fn batch() -> (Batch, Vec<(usize, Option<usize>, f64)>) {
    let corpus = Corpus::default();
    let emphasis = vec![1.0; PRINCIPLES.len()];
    let mix = Mix { eta: 0.3, judged: 0.8, stage: last_stage(), emphasis: &emphasis, tails: 3 };
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (mut batch, mut choices) = (Batch::default(), Vec::new());
    for _ in 0..8 {
        corpus.draw(&mix, &mut rng).pack(Weights { answer: 4.0, text: 0.3 }, &mut batch, &mut choices);
    }
    assert!(!choices.is_empty());
    (batch, choices)
}

#[test]
fn the_network_and_its_gradient_are_those_of_the_decoder() {
    let shape = Shape { vocab: LEXICON.size(), hidden: 32, layers: 2, mlp: 24 };
    let parameters = shape.initial(4);
    let (batch, choices) = batch();
    let asked: Vec<usize> = choices.iter().map(|c| c.0).collect();
    let batches = [(batch, asked)];
    let found =
        |engine: Engine| engine.gradients(&shape, &parameters, &batches, 0.5).expect("a gradient").remove(0);
    let (ours, theirs) = (found(Engine::Own), found(Engine::Candle(Device::Cpu)));
    assert!((ours.loss - theirs.loss).abs() < 1e-4 * theirs.loss, "{} and {}", ours.loss, theirs.loss);
    assert_eq!(ours.choices.len(), choices.len());
    for ((cross, said), (their_cross, their_said)) in ours.choices.iter().zip(&theirs.choices) {
        assert!((cross - their_cross).abs() < 1e-4, "{cross} and {their_cross}");
        let worst = said.iter().zip(their_said).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 2e-4, "logits differ by {worst}");
    }
    for (name, _, range) in folder::tensors(&shape) {
        let (ours, theirs) = (&ours.gradient[range.clone()], &theirs.gradient[range]);
        let size = theirs.iter().map(|g| g.abs()).fold(0.0, f32::max);
        let worst = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(size > 0.0 && worst < 1e-3 * size, "{name}: {worst} of {size}");
    }
}

#[test]
fn either_engine_learns_the_same() {
    let corpus = Corpus::default();
    let curve = |engine: Engine| -> Vec<f64> {
        let mut state = State::new(Recipe { engine: engine.name(), ..recipe(1) }).expect("a recipe");
        (0..8).map(|_| state.advance(&corpus, &engine).expect("a step").loss).collect()
    };
    let (own, candle) = (curve(Engine::Own), curve(Engine::Candle(Device::Cpu)));
    for (a, b) in own.iter().zip(&candle) {
        assert!((a - b).abs() < 1e-3 * b, "{own:?} and {candle:?}");
    }
    assert!(candle[7] < candle[0], "nothing was learned: {candle:?}");
}

fn recipe(seed: u64) -> Recipe {
    Recipe { size: "xs".to_owned(), seed, steps: 3 * POINT, eta: 0.3, engine: EngineName::Own }
}

fn curve_with(threads: usize, seed: u64, steps: usize) -> (Vec<u64>, Vec<f32>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    pool.install(|| {
        let corpus = Corpus::default();
        let mut state = State::new(recipe(seed)).expect("a recipe");
        let losses = (0..steps)
            .map(|_| state.advance(&corpus, &Engine::Own).expect("a step").loss.to_bits())
            .collect();
        (losses, state.parameters)
    })
}

#[test]
fn the_same_seed_gives_the_same_loss_curve_on_any_number_of_threads() {
    let one = curve_with(1, 1, 12);
    assert_eq!(one, curve_with(3, 1, 12));
    assert_ne!(one.0, curve_with(1, 2, 12).0);
}

#[test]
fn training_goes_on_from_a_checkpoint_as_if_it_had_not_stopped() {
    let corpus = Corpus::default();
    let folder = tempfile::tempdir().expect("a folder");
    let point =
        |state: &mut State| state.advance_to_point(&corpus, &Engine::Own, &mut |_| Ok(())).expect("a point");
    let mut whole = State::new(recipe(1)).expect("a recipe");
    let first = point(&mut whole);
    checkpoint::write(folder.path(), &whole).expect("written");
    let second = point(&mut whole);
    assert!(second.answer_loss > 0.0 && second.loss < 0.6 * first.loss, "{first:?} {second:?}");

    let mut resumed = checkpoint::read(folder.path(), &recipe(1)).expect("read").expect("a state");
    assert_eq!(resumed.step, POINT);
    assert_eq!(point(&mut resumed), second);
    assert_eq!(resumed.parameters, whole.parameters);
    assert_eq!(resumed.optimiser, whole.optimiser);

    let other = checkpoint::read(folder.path(), &recipe(2)).expect_err("another seed");
    assert_eq!(other.kind(), Some(Kind::RunConflict));
    let empty = tempfile::tempdir().expect("a folder");
    assert!(checkpoint::read(empty.path(), &recipe(1)).expect("nothing").is_none());
}

#[test]
fn recipes_that_cannot_be_are_refused() {
    for bad in [
        Recipe { size: "xl".to_owned(), ..recipe(1) },
        Recipe { eta: 1.5, ..recipe(1) },
        Recipe { steps: 0, ..recipe(1) },
    ] {
        assert_eq!(State::new(bad).expect_err("refused").kind(), Some(Kind::Invalid));
    }
}
