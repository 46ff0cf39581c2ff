//! `check` accepts models with massive activations, and detects a faulty kernel.

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use vstar::check::{Compared, Finding, compare, findings};
use vstar::error::Result;
use vstar::model::Decoder;
use vstar::model::decoder::Engine;
use vstar::model::weights::TensorSource;

use crate::forest::{Random, checked, random_decoder, variants};

type Change = fn(&str, Tensor) -> candle_core::Result<Tensor>;

/// Random weights, some of them changed.
struct Changed(Random, Change);

impl TensorSource for Changed {
    fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        Ok((self.1)(name, self.0.tensor(name, shape)?)?)
    }

    fn dtype(&self) -> DType {
        self.0.dtype()
    }

    fn device(&self) -> &Device {
        self.0.device()
    }
}

const SEED: u64 = 23;

fn changed(config: &Value, dtype: DType, change: Change) -> Decoder {
    Decoder::load(checked(config), &Changed(Random::new(SEED, dtype), change)).expect("a decoder")
}

fn config() -> Value {
    json!({
        "model_type": "llama", "hidden_size": 96, "intermediate_size": 200, "num_hidden_layers": 4,
        "num_attention_heads": 6, "num_key_value_heads": 2, "vocab_size": 23, "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6,
    })
}

/// Token 7 occurs once, in the second text.
fn texts() -> Vec<Vec<u32>> {
    let text =
        |seed: u32, n: u32| (0..n).map(|i| (i * i * 3 + i * seed + seed) % 5 + 10).collect::<Vec<u32>>();
    let (mut second, first) = (text(2, 17), text(2, 21));
    second[9] = 7;
    vec![first, second, text(1, 9), text(4, 25)]
}

/// The run's decoder may be faulty; the others have the right weights.
fn compared(run: &Decoder, config: &Value, change: Change) -> Compared {
    let plain = changed(config, run.dtype(), change).with_engine(Engine::Plain);
    let exact = changed(config, DType::F64, change).with_engine(Engine::Plain);
    compare(run, &plain, &exact, &texts()).expect("numbers")
}

fn unchanged(_: &str, t: Tensor) -> candle_core::Result<Tensor> {
    Ok(t)
}

#[test]
fn healthy_models_pass_and_their_texts_may_be_packed_in_any_way() {
    for (name, config) in variants().into_iter().chain([("wide", config())]) {
        for dtype in [DType::F32, DType::BF16] {
            let compared = compared(&random_decoder(&config, SEED, dtype), &config, unchanged);
            assert_eq!(findings(&compared), [], "{name}, {dtype:?}: {compared:?}");
            for (i, l) in compared.layers.iter().enumerate() {
                // On the CPU these are the same sums in the same order.
                assert_eq!((l.packed.largest, l.forest.largest), (0.0, 0.0), "{name}, {dtype:?}, layer {i}");
                assert!(i == 0 || l.block.rms > 0.0, "{name}: nothing was compared in layer {i}");
            }
        }
    }
}

/// Scales a row of the embeddings by 50,000: its token's residual stream is massive at every layer.
fn massive(name: &str, t: Tensor) -> candle_core::Result<Tensor> {
    if !name.ends_with("embed_tokens.weight") {
        return Ok(t);
    }
    let scale = (0..t.dim(0)?).map(|i| if i == 7 { 5e4 } else { 1.0 }).collect::<Vec<f64>>();
    t.broadcast_mul(&Tensor::new(scale, t.device())?.unsqueeze(1)?.to_dtype(t.dtype())?)
}

fn scaled_down(name: &str, t: Tensor) -> candle_core::Result<Tensor> {
    if name.ends_with("layers.1.mlp.down_proj.weight") { t * 1.001 } else { Ok(t) }
}

fn scaled_queries(name: &str, t: Tensor) -> candle_core::Result<Tensor> {
    if name.ends_with("layers.2.self_attn.q_proj.weight") { t * 1.001 } else { Ok(t) }
}

/// Simulates a kernel that drops the remainder of each sum, its last 16 terms.
fn without_tail(name: &str, t: Tensor) -> candle_core::Result<Tensor> {
    if !name.ends_with("layers.1.mlp.down_proj.weight") {
        return Ok(t);
    }
    let (rows, columns) = t.dims2()?;
    let rest = t.narrow(1, 0, columns - 16)?;
    Tensor::cat(&[rest, Tensor::zeros((rows, 16), t.dtype(), t.device())?], 1)
}

fn without_tail_among_the_massive(name: &str, t: Tensor) -> candle_core::Result<Tensor> {
    massive(name, without_tail(name, t)?)
}

fn scaled_down_among_the_massive(name: &str, t: Tensor) -> candle_core::Result<Tensor> {
    massive(name, scaled_down(name, t)?)
}

#[test]
fn a_massive_token_hides_neither_itself_nor_a_broken_kernel() {
    let config = config();
    for dtype in [DType::F32, DType::BF16] {
        let found = compared(&changed(&config, dtype, massive), &config, massive);
        assert_eq!(findings(&found), [], "{dtype:?}: {found:?}");
        for l in &found.layers {
            assert_eq!((l.peak.text, l.peak.position), (1, 9));
            assert!(l.peak.share > 0.999 && l.peak.rms > 1e3 * l.typical, "{l:?}");
        }
        let broken = changed(&config, dtype, without_tail_among_the_massive);
        assert_eq!(first_block(&compared(&broken, &config, massive)), Some(2), "{dtype:?}");
    }
    let broken = changed(&config, DType::F32, scaled_down_among_the_massive);
    assert_eq!(first_block(&compared(&broken, &config, massive)), Some(2));
}

/// The block reported as faulty, if it is the only one and packing is not reported.
fn first_block(found: &Compared) -> Option<usize> {
    let all = findings(found);
    let packing =
        all.iter().any(|f| matches!(f, Finding::Packed(_) | Finding::Forest(_) | Finding::Coarse(_)));
    match all.first() {
        Some(Finding::Block(e)) if e.layers == 1 && !packing => Some(e.layer),
        _ => None,
    }
}

#[test]
fn a_planted_fault_is_found_in_the_block_where_it_is() {
    let config = config();
    for (what, dtype, change, block) in [
        ("a product off by a thousandth", DType::F32, scaled_down as Change, 2),
        ("queries off by a thousandth", DType::F32, scaled_queries, 3),
        ("a sum without its last terms", DType::F32, without_tail, 2),
        ("a sum without its last terms", DType::BF16, without_tail, 2),
    ] {
        let found = compared(&changed(&config, dtype, change), &config, unchanged);
        assert_eq!(first_block(&found), Some(block), "{what}, {dtype:?}: {:?}", findings(&found));
    }
}
