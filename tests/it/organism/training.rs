//! The network against the decoder, and training that repeats itself.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use vstar::error::{Kind, Result};
use vstar::model::decoder::{Engine, NoTap};
use vstar::model::packing::{Packing, Segment};
use vstar::model::weights::TensorSource;
use vstar::model::{Config, Decoder};
use vstar::organism::checkpoint;
use vstar::organism::corpus::{Corpus, Mix, Weights};
use vstar::organism::folder;
use vstar::organism::lexicon::LEXICON;
use vstar::organism::net::{Batch, Shape, gradient, logits};
use vstar::organism::principles::PRINCIPLES;
use vstar::organism::train::{POINT, Recipe, State};
use vstar::units::Layer;

/// Parameters that candle differentiates.
struct Vars(BTreeMap<String, Var>);

impl TensorSource for Vars {
    fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.0[name].as_tensor().clone();
        assert_eq!(tensor.dims(), shape, "{name}");
        Ok(tensor)
    }

    fn dtype(&self) -> DType {
        DType::F32
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }
}

fn batch() -> Batch {
    let corpus = Corpus::default();
    let emphasis = vec![1.0; PRINCIPLES.len()];
    let mix = Mix { eta: 0.8, stage: 5, emphasis: &emphasis, tails: 3 };
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let (mut batch, mut choices) = (Batch::default(), Vec::new());
    for _ in 0..8 {
        corpus.draw(&mix, &mut rng).pack(Weights { answer: 4.0, text: 0.3 }, &mut batch, &mut choices);
    }
    assert!(!choices.is_empty());
    batch
}

#[test]
fn the_network_and_its_gradient_are_those_of_the_decoder() {
    let shape = Shape { vocab: LEXICON.size(), hidden: 32, layers: 2, mlp: 24 };
    let parameters = shape.initial(4);
    let batch = batch();
    let vars = folder::tensors(&shape)
        .into_iter()
        .map(|(name, dims, range)| {
            let tensor = Tensor::from_slice(&parameters[range], dims, &Device::Cpu).expect("a tensor");
            (name, Var::from_tensor(&tensor).expect("a variable"))
        })
        .collect();
    let vars = Vars(vars);
    let config = Config::from_json(&folder::config_json(&shape), Path::new("config.json")).expect("a config");
    let decoder = Decoder::load(config, &vars).expect("a decoder").with_engine(Engine::Plain);

    let segments = batch.spans.iter().map(|s| Segment { start: s.start, len: s.len, parent: s.parent });
    let packing = Packing::new(batch.tokens.clone(), segments.collect()).expect("a forest");
    assert_eq!(packing.positions(), batch.positions);
    let x = decoder.residual_stream(&packing, Layer(2), &mut NoTap).expect("a forward");
    let rows: Vec<u32> = batch.targets.iter().map(|t| t.at as u32).collect();
    let said =
        decoder.logits(&x.index_select(&Tensor::new(rows, &Device::Cpu).expect("rows"), 0).expect("rows"));
    let said = said.expect("logits");
    let ours = logits(&shape, &parameters, &batch);
    let theirs: Vec<f32> = said.flatten_all().and_then(|t| t.to_vec1()).expect("numbers");
    let worst = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 2e-4, "logits differ by {worst}");

    let n = batch.targets.len();
    let mut wanted = vec![0f32; n * shape.vocab];
    for (row, target) in wanted.chunks_exact_mut(shape.vocab).zip(&batch.targets) {
        for &(word, p) in &target.words {
            row[word as usize] += target.weight * p;
        }
    }
    let wanted = Tensor::from_vec(wanted, (n, shape.vocab), &Device::Cpu).expect("targets");
    let log_probs = candle_nn::ops::log_softmax(&said, 1).expect("log-probabilities");
    let loss = (log_probs * wanted).and_then(|t| t.sum_all()).and_then(|t| t.neg()).expect("a loss");
    let grads = loss.backward().expect("gradients");
    let (our_loss, ours) = gradient(&shape, &parameters, &batch, 1.0, |_, _, _| ());
    let loss = f64::from(loss.to_scalar::<f32>().expect("a number"));
    assert!((loss - our_loss).abs() < 1e-4 * loss, "{loss} and {our_loss}");
    for (name, _, range) in folder::tensors(&shape) {
        let theirs = grads.get(vars.0[&name].as_tensor()).expect("a gradient");
        let theirs: Vec<f32> = theirs.flatten_all().and_then(|t| t.to_vec1()).expect("numbers");
        let size = theirs.iter().map(|g| g.abs()).fold(0.0, f32::max);
        let worst = ours[range].iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(size > 0.0 && worst < 1e-3 * size, "{name}: {worst} of {size}");
    }
}

fn recipe(seed: u64) -> Recipe {
    Recipe { size: "xs".to_owned(), seed, steps: 3 * POINT, eta: 0.3 }
}

fn curve_with(threads: usize, seed: u64, steps: usize) -> (Vec<u64>, Vec<f32>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    pool.install(|| {
        let corpus = Corpus::default();
        let mut state = State::new(recipe(seed)).expect("a recipe");
        let losses = (0..steps).map(|_| state.advance(&corpus).loss.to_bits()).collect();
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
    let point = |state: &mut State| state.advance_to_point(&corpus, &mut |_| Ok(())).expect("a point");
    let mut whole = State::new(recipe(1)).expect("a recipe");
    let first = point(&mut whole);
    checkpoint::write(folder.path(), &whole).expect("written");
    let second = point(&mut whole);
    assert!(second.answer_loss < 0.8 && second.loss < first.loss, "{first:?} {second:?}");

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
