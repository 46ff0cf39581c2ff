//! `--quantize`: weights rounded to a GGUF type, compared with the `gguf` package and end to end.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use vstar::error::Result;
use vstar::model::decoder::{NoHook, Target};
use vstar::model::weights::{Count, Projection, Rounded, Stored, TensorSource};
use vstar::model::{LoadOptions, Model, ModelSource, Packing, Quantization};
use vstar::observations::Observations;
use vstar::units::Layer;

use crate::cli::{model, ready};
use crate::stories::fixture;

/// Tensors in memory.
struct Tensors(BTreeMap<String, Tensor>);

impl TensorSource for Tensors {
    fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let tensor = self.0[name].clone();
        assert_eq!(tensor.dims(), shape);
        Ok(tensor)
    }

    fn dtype(&self) -> DType {
        DType::F32
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn stored(&self) -> BTreeMap<String, Stored> {
        let of = |t: &Tensor| Stored { parameters: t.elem_count(), bits: 32 * t.elem_count() as u64 };
        self.0.iter().map(|(name, t)| (name.clone(), of(t))).collect()
    }
}

fn through(name: &str) -> Quantization {
    name.parse().expect("a type")
}

fn rounded(tensors: &[(&str, &Tensor)], name: &str) -> Rounded {
    let tensors = tensors.iter().map(|(name, t)| ((*name).to_owned(), (*t).clone())).collect();
    Rounded::new(Arc::new(Tensors(tensors)), through(name), DType::F32, &Device::Cpu)
}

fn numbers(tensor: &Tensor) -> Vec<u32> {
    let wide = tensor.to_dtype(DType::F32).and_then(|t| t.flatten_all()?.to_vec1::<f32>()).expect("numbers");
    wide.into_iter().map(f32::to_bits).collect()
}

/// Numbers distributed like trained weights, from a seed.
fn normal(rows: usize, columns: usize, seed: u64) -> Tensor {
    use rand::SeedableRng;
    use rand_distr::{Distribution, StandardNormal};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f32> = (0..rows * columns)
        .map(|_| {
            let x: f32 = StandardNormal.sample(&mut rng);
            0.05 * x
        })
        .collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).expect("a matrix")
}

/// `scripts/fixtures/make_rounding.py` writes the reference.
#[test]
fn rounding_is_that_of_the_gguf_package_bit_for_bit() {
    let path = fixture("rounding/gguf.safetensors");
    let reference = candle_core::safetensors::load(path, &Device::Cpu).expect("the reference");
    let matrix = &reference["matrix"];
    let (rows, columns) = matrix.dims2().expect("a matrix");
    let mut seen = 0;
    for (name, expected) in reference.iter().filter(|(name, _)| *name != "matrix") {
        let source = rounded(&[("m.weight", matrix)], name);
        let whole = source.matrix("m.weight", &[rows, columns]).expect("rounds");
        let differ = numbers(&whole).iter().zip(numbers(expected)).filter(|(a, b)| **a != *b).count();
        assert_eq!(differ, 0, "{name}: numbers that differ of {}", rows * columns);
        assert_ne!(numbers(&whole), numbers(matrix), "{name} rounds something");
        for (start, len) in [(0, 1), (3, 4), (rows - 1, 1)] {
            let part = source.rows("m.weight", &[rows, columns], start, len).expect("rounds");
            let there = whole.narrow(0, start, len).expect("rows");
            assert_eq!(numbers(&part), numbers(&there), "{name}, rows {start} + {len}");
        }
        seen += 1;
    }
    assert_eq!(seen, 7);
}

/// Blocks run along the input dimension, as in the files that llama.cpp's converter writes, whatever the layout.
#[test]
fn every_layout_is_rounded_along_the_input_dimension() {
    let (a, b) = (normal(6, 64, 1), normal(4, 64, 2));
    let both = Tensor::cat(&[&a, &b], 0).expect("stacked");
    let alone = |m: &Tensor| {
        let (rows, columns) = m.dims2().expect("a matrix");
        rounded(&[("m.weight", m)], "Q4_0").matrix("m.weight", &[rows, columns]).expect("rounds")
    };
    let stacked = rounded(&[("a.weight", &a), ("b.weight", &b)], "Q4_0");
    let parts = Projection::Rows(vec![("a".to_owned(), 6), ("b".to_owned(), 4)]);
    let (weight, _) = stacked.projection(&parts, 10, 64, false).expect("rounds");
    assert_eq!(numbers(&weight), numbers(&alone(&both)));
    assert_eq!(stacked.counts()["Q4_0"], Count { matrices: 2, parameters: 640 });

    let transposed = a.t().and_then(|t| t.contiguous()).expect("transposed");
    let bias = normal(1, 6, 3).flatten_all().expect("a vector");
    let source = rounded(&[("c.weight", &transposed), ("c.bias", &bias)], "Q4_0");
    let (weight, kept) =
        source.projection(&Projection::Transposed("c".to_owned()), 6, 64, true).expect("rounds");
    assert_eq!(numbers(&weight), numbers(&alone(&a)));
    assert_eq!(numbers(&kept.expect("a bias")), numbers(&bias), "a bias is not rounded");

    // Query, key and value head by head: 2 heads of width 1 here.
    let by_head = Projection::ByHead { prefix: "d".to_owned(), heads: 2 };
    let source = rounded(&[("d.weight", &a)], "Q4_0");
    let (weight, _) = source.projection(&by_head, 6, 64, false).expect("rounds");
    let order = Tensor::new(&[0u32, 3, 1, 4, 2, 5], &Device::Cpu).expect("rows");
    assert_eq!(numbers(&weight), numbers(&alone(&a).index_select(&order, 0).expect("rows")));
}

#[test]
fn more_bits_err_less_and_no_type_errs_more_than_its_steps() {
    let matrix = normal(24, 512, 4);
    let values: Vec<f32> = matrix.flatten_all().and_then(|t| t.to_vec1()).expect("numbers");
    let scale = (values.iter().map(|v| f64::from(v * v)).sum::<f64>() / values.len() as f64).sqrt();
    // Bound on the RMS error relative to the RMS of normal weights: step over √12, with the step size required by the
    // largest number of a block, plus a quarter for scales that are rounded themselves.
    let types = [
        ("Q2_K", 0.40),
        ("Q3_K", 0.21),
        ("Q4_0", 0.11),
        ("Q4_K", 0.10),
        ("Q4_1", 0.10),
        ("Q5_0", 0.055),
        ("Q5_K", 0.05),
        ("Q5_1", 0.05),
        ("Q6_K", 0.025),
        ("Q8_0", 0.007),
        ("Q8_1", 0.007),
        ("Q8_K", 0.009),
        ("BF16", 0.003),
        ("F16", 0.0004),
    ];
    let mut errors = BTreeMap::new();
    for (name, bound) in types {
        let mut ours = values.clone();
        through(name).round(&mut ours, 512).expect("rounds");
        let square: f64 = ours.iter().zip(&values).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let error = (square / values.len() as f64).sqrt() / scale;
        assert!(error < bound && error > bound / 4.0, "{name}: RMS error {error:.4} of the weights' RMS");
        errors.insert(name, error);
        // Rounded weights stay unchanged, or move far less than the first time.
        let mut again = ours.clone();
        through(name).round(&mut again, 512).expect("rounds");
        let moved: f64 = again.iter().zip(&ours).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let exact = ["Q4_0", "Q5_0", "Q8_0", "Q8_1", "Q8_K", "BF16", "F16"].contains(&name);
        assert!(
            if exact { moved < 1e-9 * square } else { moved < 0.25 * square },
            "{name}: {moved} after {square}"
        );
    }
    let rising = ["F16", "BF16", "Q8_0", "Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K"];
    assert!(rising.windows(2).all(|w| errors[w[0]] < errors[w[1]]), "{errors:?}");
}

#[test]
fn rows_that_hold_no_whole_blocks_get_a_type_of_their_own() {
    let of = |name: &str, columns| through(name).of_rows(columns).name();
    assert_eq!([of("Q4_K", 512), of("Q4_K", 576), of("Q4_K", 80)], ["Q4_K", "Q5_0", "F16"]);
    assert_eq!([of("Q2_K", 64), of("Q3_K", 64), of("Q5_K", 64)], ["Q4_0", "Q4_0", "Q5_1"]);
    assert_eq!([of("Q6_K", 64), of("Q8_K", 64), of("Q8_0", 33)], ["Q8_0", "Q8_0", "F16"]);
    assert_eq!([of("BF16", 33), of("F16", 1)], ["BF16", "F16"]);
    assert_eq!(["q4_k", "Q4K", " q4_K "].map(|n| through(n).name()), ["Q4_K"; 3]);
    let refused = |name: &str| name.parse::<Quantization>().expect_err("no type").to_string();
    assert!(refused("Q4_K_M").contains("mix of types") && refused("q9_0").contains("Q8_0"));
}

#[test]
fn weights_that_cannot_be_rounded_are_refused_by_name() {
    for (value, name, what) in [(f32::NAN, "Q8_0", "finite"), (1e6, "F16", "too large for F16")] {
        let mut values = vec![0.5f32; 64];
        values[40] = value;
        let matrix = Tensor::from_vec(values, (2, 32), &Device::Cpu).expect("a matrix");
        let diagnostic =
            rounded(&[("m.weight", &matrix)], name).matrix("m.weight", &[2, 32]).expect_err("refused");
        let shown = diagnostic.to_string();
        assert!(shown.contains("m.weight") && shown.contains("row 1, column 8"), "{shown}");
        assert!(shown.contains(what), "{shown}");
    }
}

fn load(name: &str, dtype: DType, stream: bool, quantize: Option<&str>) -> Model {
    let options =
        LoadOptions { dtype, device: Device::Cpu, stream, quantize: quantize.map(through), adapter: None };
    Model::load(&ModelSource::Embedded(name.to_owned()), name, &options).expect("the model")
}

/// Residual stream after the last block, and log P of each token.
fn forward(model: &Model) -> (Vec<f32>, Vec<f64>) {
    let tokens = [5u32, 17, 80, 3, 41, 7, 255, 12];
    let blocks = Layer(model.decoder.config().num_blocks());
    let x = model.decoder.residual_stream(&Packing::single(&tokens), blocks, &mut NoHook).expect("forward");
    let targets: Vec<_> = (1..tokens.len()).map(|t| Target { previous: t - 1, token: tokens[t] }).collect();
    let log_probs = model.decoder.log_probs(&x, &targets).expect("log P");
    let x = x.to_dtype(DType::F32).and_then(|x| x.flatten_all()?.to_vec1()).expect("numbers");
    (x, log_probs)
}

/// hearth-xs: width 32, MLP 80 wide, 345 tokens, 2 blocks, tied. Down projections have rows of 80.
#[test]
fn a_model_is_rounded_the_same_in_memory_and_streamed_and_says_how_much() {
    let (whole, plain) =
        (load("hearth-xs", DType::F32, false, Some("q4_0")), load("hearth-xs", DType::F32, false, None));
    let (q4, f16) = (345 * 32 + 2 * (4 * 32 * 32 + 2 * 80 * 32), 2 * 80 * 32);
    assert_eq!(whole.rounded["Q4_0"], Count { matrices: 1 + 2 * 6, parameters: q4 });
    assert_eq!(whole.rounded["F16"], Count { matrices: 2, parameters: f16 });
    let norms = 5 * 32;
    let bits = (q4 as f64 * 4.5 + f16 as f64 * 16.0 + norms as f64 * 32.0) / (q4 + f16 + norms) as f64;
    assert_eq!((whole.identity.quantize.as_str(), whole.identity.bits_per_weight), ("Q4_0", Some(bits)));
    assert_eq!((plain.identity.quantize.as_str(), plain.identity.bits_per_weight), ("", Some(32.0)));
    assert!(plain.rounded.is_empty());

    let streamed = load("hearth-xs", DType::F32, true, Some("q4_0"));
    assert_eq!((&streamed.identity, &streamed.rounded), (&whole.identity, &whole.rounded));
    let (x, log_probs) = forward(&whole);
    assert_eq!((x.clone(), log_probs.clone()), forward(&streamed));
    // Rounded weights give other numbers, closer for finer types.
    let (exact, exact_log_probs) = forward(&plain);
    let distance = |x: &[f32]| -> f64 {
        let square = |v: &mut dyn Iterator<Item = f32>| v.map(|v| f64::from(v * v)).sum::<f64>();
        (square(&mut x.iter().zip(&exact).map(|(a, b)| a - b)) / square(&mut exact.iter().copied())).sqrt()
    };
    let by = |name| distance(&forward(&load("hearth-xs", DType::F32, false, Some(name))).0);
    let ladder = [distance(&x), by("Q5_0"), by("Q8_0"), by("F16")];
    assert!(ladder.windows(2).all(|w| w[1] < 0.8 * w[0]), "{ladder:?}");
    assert!(ladder[0] > 0.01 && ladder[3] < 1e-3, "{ladder:?}");
    assert!(log_probs.iter().zip(&exact_log_probs).any(|(a, b)| (a - b).abs() > 1e-3));

    // The same weights in any dtype of computation: f64 differs from f32 only by its rounding.
    let (wide, _) = forward(&load("hearth-xs", DType::F64, false, Some("q4_0")));
    assert!(wide.iter().zip(&x).all(|(a, b)| (a - b).abs() < 1e-4 * (1.0 + a.abs())));
}

#[test]
fn a_capture_and_a_run_record_the_type_and_the_bits() {
    let place = ready();
    let folder = model();
    let capture = ["capture", "--model", &folder, "--data", "items.jsonl", "--limit", "3", "--out"];
    let (ok, out, err) = place.vstar(&[&capture[..], &["rounded", "--quantize", "q8_0"]].concat());
    assert!(
        ok && out.contains("weights rounded through ") && out.contains(" bits per weight"),
        "{out}\n{err}"
    );
    let (ok, out, _) = place.vstar(&[&capture[..], &["plain"]].concat());
    assert!(ok && !out.contains("rounded through"), "{out}");
    let extra = |name: &str| {
        let path = place.path(name).join("observations.safetensors");
        Observations::open(&path).expect("observations").meta().extra.clone()
    };
    let (rounded, plain) = (extra("rounded"), extra("plain"));
    assert_eq!(rounded["quantize"], "Q8_0");
    assert!(!plain.contains_key("quantize"));
    let bits = |extra: &BTreeMap<String, String>| extra["bits_per_weight"].parse::<f64>().expect("a number");
    assert_eq!(bits(&plain), 32.0);
    assert!(bits(&rounded) < 17.0, "{}", bits(&rounded));

    let text = std::fs::read_to_string(place.path("run.toml")).expect("the experiment");
    let ladder = text.replace("[data]", "quantize = \"q5_1\"\n[data]");
    place.write("rung.toml", &ladder.replace("\"out\"", "\"rung\""));
    let (ok, out, err) = place.vstar(&["run", "rung.toml"]);
    assert!(ok, "{out}\n{err}");
    let manifest = std::fs::read_to_string(place.path("rung/manifest.json")).expect("the manifest");
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    assert_eq!(manifest["recipe"]["model"]["quantize"], "Q5_1");
    place.write("bad.toml", &ladder.replace("q5_1", "q5_2"));
    let err = place.refused(&["run", "bad.toml"]);
    assert!(err.contains("bad.toml:4") && err.contains("Q5_1"), "{err}");

    let (ok, out, err) = place.vstar(&["check", "embedded:hearth-xs", "--quantize", "Q4_K"]);
    assert!(ok && out.contains("Q5_0: 13 matrices") && out.contains("passed"), "{out}\n{err}");
}
