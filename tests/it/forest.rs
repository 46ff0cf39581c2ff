//! The same tokens give the same numbers: alone, packed with others, in a forest, fused or plain.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use proptest::test_runner::{Config as Runner, RngAlgorithm, TestRng, TestRunner};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use vstar::error::Result;
use vstar::forest::{Forest, Output, Pool, Request, Settings, run};
use vstar::model::decoder::{Engine, Hook, SharedSource, Steering};
use vstar::model::weights::TensorSource;
use vstar::model::{Config, Decoder, Packing};
use vstar::units::{Layer, TokenSpan};

/// Random parameters, generated on demand: norms around 1, everything else around 0.
pub struct Random {
    seed: u64,
    dtype: DType,
    /// If set, rounds everything to this dtype, and keeps matrices in it.
    stored: Option<DType>,
    made: Mutex<HashMap<String, Tensor>>,
}

impl Random {
    pub fn new(seed: u64, dtype: DType) -> Self {
        Self { seed, dtype, stored: None, made: Mutex::default() }
    }
}

impl TensorSource for Random {
    fn contains(&self, name: &str) -> bool {
        !name.contains("lm_head")
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let mut made = self.made.lock().expect("no panic while held");
        if let Some(tensor) = made.get(name) {
            return Ok(tensor.clone());
        }
        let salt = name.bytes().fold(self.seed, |h, b| h.wrapping_mul(0x100_0000_01b3) ^ u64::from(b));
        let mut rng = ChaCha8Rng::seed_from_u64(salt);
        let (centre, spread) = match shape {
            [_] if name.ends_with("norm.weight") || name.contains("ln") => (1.0, 0.3),
            [_] => (0.0, 0.3),
            [_, columns] => (0.0, 1.5 / (*columns as f32).sqrt()),
            _ => (0.0, 0.3),
        };
        let n = shape.iter().product();
        let values: Vec<f32> = (0..n).map(|_| centre + spread * rng.random_range(-1.7f32..1.7)).collect();
        let mut tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
        if let Some(stored) = self.stored {
            tensor = tensor.to_dtype(stored)?;
        }
        let tensor = tensor.to_dtype(self.dtype)?;
        made.insert(name.to_owned(), tensor.clone());
        Ok(tensor)
    }

    fn matrix(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.tensor(name, shape)?;
        match self.stored {
            Some(stored) if self.dtype == DType::F32 => Ok(tensor.to_dtype(stored)?),
            _ => Ok(tensor),
        }
    }

    fn dtype(&self) -> DType {
        self.dtype
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }
}

pub fn checked(config: &Value) -> Config {
    Config::from_json(&config.to_string(), Path::new("config.json")).expect("a config")
}

pub fn random_decoder(config: &Value, seed: u64, dtype: DType) -> Decoder {
    stored_decoder(config, seed, dtype, None)
}

/// A decoder with weights rounded to a narrower dtype.
fn stored_decoder(config: &Value, seed: u64, dtype: DType, stored: Option<DType>) -> Decoder {
    let source = Random { seed, dtype, stored, made: Mutex::default() };
    Decoder::load(checked(config), &source).expect("a decoder")
}

/// A decoder with the same weights, streamed on use.
pub fn random_streamed(config: &Value, seed: u64) -> Decoder {
    let source: SharedSource =
        Arc::new(Random { seed, dtype: DType::F32, stored: None, made: Mutex::default() });
    Decoder::stream(checked(config), &source).expect("a decoder")
}

const VOCAB: u32 = 23;

/// Every attention variant, each with an edge case.
pub fn variants() -> Vec<(&'static str, Value)> {
    let base = json!({
        "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 6,
        "num_key_value_heads": 2, "head_dim": 10, "vocab_size": VOCAB, "max_position_embeddings": 64,
    });
    let with = |model: &str, more: Value| {
        let mut config = base.clone();
        config["model_type"] = json!(model);
        for (k, v) in more.as_object().expect("an object") {
            config[k.as_str()] = v.clone();
        }
        config
    };
    vec![
        ("llama", with("llama", json!({"attention_bias": true, "mlp_bias": true}))),
        ("window", with("mistral", json!({"sliding_window": 4}))),
        ("window of one", with("mistral", json!({"sliding_window": 1}))),
        (
            "qk norm",
            with("qwen3", json!({"use_sliding_window": true, "sliding_window": 5, "max_window_layers": 1})),
        ),
        (
            "soft caps",
            with(
                "gemma2",
                json!({"sliding_window": 6, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}),
            ),
        ),
        ("two ropes", with("gemma3_text", json!({"sliding_window": 3, "sliding_window_pattern": 2}))),
        (
            "partial rotary, two regimes",
            with(
                "phi3",
                json!({
            "partial_rotary_factor": 0.4, "original_max_position_embeddings": 8,
            "rope_scaling": {"type": "longrope", "short_factor": [1.0, 1.5], "long_factor": [2.0, 9.0]}}),
            ),
        ),
        (
            "learned positions",
            json!({"model_type": "gpt2", "n_embd": 24, "n_head": 4, "n_layer": 2,
            "n_positions": 64, "vocab_size": VOCAB, "scale_attn_by_inverse_layer_idx": true}),
        ),
        (
            "parallel residual",
            with(
                "gpt_neox",
                json!({"num_key_value_heads": 6, "head_dim": 4, "use_parallel_residual": true, "rotary_pct": 0.5}),
            ),
        ),
        ("post norm", with("olmo2", json!({}))),
        ("no positions", with("smollm3", json!({"no_rope_layer_interval": 2}))),
        (
            "multipliers",
            with(
                "granite",
                json!({"embedding_multiplier": 3.0, "residual_multiplier": 0.4,
            "attention_multiplier": 0.2, "logits_scaling": 4.0}),
            ),
        ),
    ]
}

fn settings(decoder: &Decoder, chunk_tokens: usize) -> Settings {
    let layers = (0..=decoder.config().num_blocks()).map(Layer).collect();
    Settings { layers, pool: Pool::Mean, chunk_tokens, memory: None, steering: Steering::default() }
}

fn read(decoder: &Decoder, requests: &[Request], chunk: usize) -> Vec<Output> {
    run(decoder, requests, &settings(decoder, chunk), &|_| Default::default(), &mut |_| Ok(()))
        .expect("a run")
}

pub fn worst(a: &[Output], b: &[Output]) -> f64 {
    let mut worst = 0f64;
    for (a, b) in a.iter().zip(b) {
        let rms = (b.resid.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / b.resid.len() as f64).sqrt();
        for (x, y) in a.resid.iter().zip(&b.resid) {
            worst = worst.max(f64::from((x - y).abs()) / rms);
        }
        worst = worst.max((a.logprob - b.logprob).abs() / (1.0 + b.logprob.abs()));
        for (x, y) in a.answers.iter().zip(&b.answers) {
            worst = worst.max((x - y).abs() / (1.0 + y.abs()));
        }
    }
    worst
}

pub fn request(tokens: Vec<u32>, cut: usize) -> Request {
    let start = cut % tokens.len();
    let end = tokens.len();
    let answers = cut.is_multiple_of(2).then_some([1, 2]);
    Request { tokens, response: Some(TokenSpan { start, end }), logprob: true, answers }
}

/// Few distinct tokens, so that prefixes are shared often.
pub fn texts() -> impl Strategy<Value = Vec<(Vec<u32>, usize)>> {
    prop::collection::vec((prop::collection::vec(0u32..3, 1..24), 0usize..24), 1..12)
}

#[test]
fn alone_packed_and_in_a_forest_are_the_same() {
    for (name, config) in variants() {
        let decoder = random_decoder(&config, 7, DType::F32);
        let plain = decoder.clone().with_engine(Engine::Plain);
        let exact = random_decoder(&config, 7, DType::F64);
        let batched = decoder.clone().with_engine(Engine::Batched);
        let mut runner =
            TestRunner::new(Runner { cases: 24, failure_persistence: None, ..Runner::default() });
        let tested = runner.run(&(texts(), 1usize..80), |(texts, chunk)| {
            let requests: Vec<_> = texts.into_iter().map(|(t, cut)| request(t, cut)).collect();
            let alone: Vec<Output> =
                requests.iter().flat_map(|r| read(&exact, std::slice::from_ref(r), 1)).collect();
            for (how, got) in [
                (
                    "plain, alone",
                    requests.iter().flat_map(|r| read(&plain, std::slice::from_ref(r), 1)).collect(),
                ),
                ("plain, forest", read(&plain, &requests, chunk)),
                (
                    "fused, alone",
                    requests.iter().flat_map(|r| read(&decoder, std::slice::from_ref(r), 1)).collect(),
                ),
                ("fused, forest", read(&decoder, &requests, chunk)),
                (
                    "batched, alone",
                    requests.iter().flat_map(|r| read(&batched, std::slice::from_ref(r), 1)).collect(),
                ),
                ("batched, forest", read(&batched, &requests, chunk)),
            ] {
                let got: Vec<Output> = got;
                let worst = worst(&got, &alone);
                prop_assert!(worst < 1e-5, "{name}, {how}, chunks of {chunk}: {worst:.1e}");
            }
            Ok(())
        });
        tested.unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

/// On the CPU a sum's order depends on positions alone: a text's numbers are the same to the last bit alone, packed beside
/// others, in a forest, and in chunks of any size.
#[test]
fn how_texts_are_packed_changes_no_bit() {
    let (_, llama) = &variants()[0];
    let mut long = llama.clone();
    long["max_position_embeddings"] = json!(400);
    long["head_dim"] = json!(34);
    let mut windowed = long.clone();
    windowed["model_type"] = json!("mistral");
    windowed["sliding_window"] = json!(131);
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let trunk: Vec<u32> = (0..150).map(|_| rng.random_range(0..VOCAB)).collect();
    let requests: Vec<Request> = (0..6)
        .map(|i| {
            let own = (0..rng.random_range(1..200)).map(|_| rng.random_range(0..VOCAB));
            let tokens: Vec<u32> = trunk[..30 * i].iter().copied().chain(own).collect();
            request(tokens, 2 * i)
        })
        .collect();
    for config in [&long, &windowed].into_iter().chain(variants().iter().map(|(_, c)| c)) {
        let longest = config["max_position_embeddings"].as_u64().unwrap_or(64) as usize;
        let requests: Vec<Request> = requests
            .iter()
            .map(|r| {
                let tokens: Vec<u32> = r.tokens[..r.tokens.len().min(longest)].to_vec();
                request(tokens, r.response.expect("a response").start)
            })
            .collect();
        for dtype in [DType::F32, DType::BF16] {
            let decoder = stored_decoder(config, 19, dtype, None);
            let alone: Vec<Output> =
                requests.iter().flat_map(|r| read(&decoder, std::slice::from_ref(r), 1)).collect();
            for chunk in [1, 100, 4096] {
                let forest = read(&decoder, &requests, chunk);
                assert!(
                    forest == alone,
                    "{config} in {dtype:?}, chunks of {chunk}: {:.1e}",
                    worst(&forest, &alone)
                );
            }
        }
    }
}

#[test]
fn weights_stored_narrow_or_on_disk_give_the_same_numbers() {
    for (name, config) in variants() {
        for stored in [DType::BF16, DType::F16] {
            let narrow = stored_decoder(&config, 11, DType::F32, Some(stored));
            let plain = narrow.clone().with_engine(Engine::Plain);
            let exact = stored_decoder(&config, 11, DType::F64, Some(stored));
            let source: SharedSource = Arc::new(Random {
                seed: 11,
                dtype: DType::F32,
                stored: Some(stored),
                made: Mutex::default(),
            });
            let streamed = Decoder::stream(checked(&config), &source).expect("a decoder");
            assert!(streamed.streams() && !narrow.streams());
            assert_eq!(streamed.bytes(), 0);
            assert!(narrow.bytes() > 0);
            // Fixed texts: of 20,000 random ones one magnified rounding beyond the limit.
            let config = Runner { cases: 8, failure_persistence: None, ..Runner::default() };
            let mut runner =
                TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
            let tested = runner.run(&(texts(), 1usize..80), |(texts, chunk)| {
                let requests: Vec<_> = texts.into_iter().map(|(t, cut)| request(t, cut)).collect();
                let want = read(&exact, &requests, chunk);
                let got = read(&narrow, &requests, chunk);
                prop_assert!(worst(&got, &want) < 2e-5, "{name}: {:.1e}", worst(&got, &want));
                let other = read(&plain, &requests, chunk);
                prop_assert!(worst(&other, &want) < 2e-5, "{name}: {:.1e}", worst(&other, &want));
                let again = read(&streamed, &requests, chunk);
                prop_assert!(again == got, "{name}, streamed: {:.1e}", worst(&again, &got));
                Ok(())
            });
            tested.unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}

/// Sum of squares, over readings, of the deviation of the residual stream from `want` over the RMS of the reading.
fn square_deviation(got: &[Output], want: &[Output]) -> f64 {
    let square = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v).powi(2)).sum::<f64>();
    let of = |(got, want): (&Output, &Output)| {
        let off = square(&mut got.resid.iter().zip(&want.resid).map(|(x, y)| x - y));
        off / square(&mut want.resid.iter().copied())
    };
    got.iter().zip(want).map(of).sum()
}

#[test]
fn bf16_is_as_near_as_its_mantissa_alone_or_in_a_forest() {
    for (name, config) in variants() {
        let decoder = stored_decoder(&config, 13, DType::BF16, Some(DType::BF16));
        let exact = stored_decoder(&config, 13, DType::F64, Some(DType::BF16));
        let unrounded = random_decoder(&config, 13, DType::F64);
        let source: SharedSource = Arc::new(Random {
            seed: 13,
            dtype: DType::BF16,
            stored: Some(DType::BF16),
            made: Mutex::default(),
        });
        let streamed = Decoder::stream(checked(&config), &source).expect("a decoder");
        // A few texts in a thousand magnify any rounding tenfold, so the texts are fixed, and the effect of rounding
        // the weights on the same texts sets the scale.
        let mut rng = ChaCha8Rng::seed_from_u64(17);
        let (mut forest, mut alone, mut yardstick, mut texts) = (0.0, 0.0, 0.0, 0.0);
        for _ in 0..16 {
            let requests: Vec<Request> = (0..rng.random_range(1..12))
                .map(|_| {
                    let tokens = (0..rng.random_range(1..24)).map(|_| rng.random_range(0..3)).collect();
                    request(tokens, rng.random_range(0..24))
                })
                .collect();
            let chunk = rng.random_range(1..80);
            let want = read(&exact, &requests, chunk);
            let got = read(&decoder, &requests, chunk);
            let each: Vec<Output> =
                requests.iter().flat_map(|r| read(&decoder, std::slice::from_ref(r), 1)).collect();
            // The largest of many entries, and log P; eight bits of mantissa pass through three blocks.
            assert!(worst(&got, &want) < 0.1, "{name}: {:.1e}", worst(&got, &want));
            assert!(worst(&each, &want) < 0.1, "{name}: {:.1e}", worst(&each, &want));
            forest += square_deviation(&got, &want);
            alone += square_deviation(&each, &want);
            yardstick += square_deviation(&read(&unrounded, &requests, chunk), &want);
            texts += requests.len() as f64;
            let again = read(&streamed, &requests, chunk);
            assert!(again == got, "{name}, streamed: {:.1e}", worst(&again, &got));
        }
        let [forest, alone, yardstick] = [forest, alone, yardstick].map(|sum: f64| (sum / texts).sqrt());
        for (how, off) in [("forest", forest), ("alone", alone)] {
            assert!(off < 2e-2 && off < 1.2 * yardstick, "{name}, {how}: {off:.1e}, weights {yardstick:.1e}");
        }
    }
}

#[test]
fn long_texts_cross_tiles_and_threads_unchanged() {
    let (_, config) = &variants()[4];
    let mut config = config.clone();
    config["max_position_embeddings"] = json!(600);
    config["sliding_window"] = json!(100);
    let decoder = random_decoder(&config, 3, DType::F32);
    let exact = random_decoder(&config, 3, DType::F64);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let trunk: Vec<u32> = (0..150).map(|_| rng.random_range(0..VOCAB)).collect();
    let requests: Vec<_> = (0..5)
        .map(|i| {
            let tail = (0..60 + 50 * i).map(|_| rng.random_range(0..VOCAB));
            request(trunk.iter().copied().chain(tail).collect(), 140 + i)
        })
        .collect();
    let reference = read(&exact, &requests, 4096);
    let batched = decoder.clone().with_engine(Engine::Batched);
    let got = read(&batched, &requests, 4096);
    assert!(worst(&got, &reference) < 1e-5, "batched: {:.1e}", worst(&got, &reference));
    for threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        let got = pool.install(|| read(&decoder, &requests, 4096));
        assert!(worst(&got, &reference) < 1e-5, "{threads} threads: {:.1e}", worst(&got, &reference));
    }
}

/// Adds a vector at one layer.
struct Add {
    layer: Layer,
    by: f64,
}

impl Hook for Add {
    fn residual(&mut self, layer: Layer, x: Tensor) -> Result<Tensor> {
        if layer == self.layer { Ok((x + self.by)?) } else { Ok(x) }
    }
}

#[test]
fn a_tap_changes_what_the_next_block_reads_in_both_engines() {
    let decoder = random_decoder(&variants()[0].1, 5, DType::F32);
    let plain = decoder.clone().with_engine(Engine::Plain);
    let packing = Packing::single(&[1, 5, 7, 2]);
    let last = Layer(3);
    let stream = |d: &Decoder, by: f64| -> Vec<f32> {
        let x = d.residual_stream(&packing, last, &mut Add { layer: Layer(1), by }).expect("forward");
        x.flatten_all().and_then(|x| x.to_vec1()).expect("values")
    };
    let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0f32, f32::max);
    assert!(distance(&stream(&decoder, 0.7), &stream(&plain, 0.7)) < 1e-4);
    assert!(distance(&stream(&decoder, 0.7), &stream(&decoder, 0.0)) > 0.1);
    assert_eq!(stream(&decoder, 0.0), {
        let x = decoder.residual_stream(&packing, last, &mut vstar::model::decoder::NoHook).expect("forward");
        x.flatten_all().and_then(|x| x.to_vec1::<f32>()).expect("values")
    });
}

#[test]
fn packed_texts_share_what_they_can() {
    let forest = Forest::build(&[vec![1, 2, 3], vec![1, 2, 4], vec![1, 2, 4]]).expect("a forest");
    assert_eq!(forest.packing().len(), 4);
}
