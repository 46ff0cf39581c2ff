//! A real model compared with reference figures computed by transformers in f64 from the same file.
//!
//! The model is not part of the repository (`python scripts/fetch_models.py smollm2-135m-instruct`), so these tests
//! are ignored by default: `cargo test --release -- --ignored real_models`. They fail if the model is missing.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use vstar::observations::Observations;

use crate::cli::Place;

/// Deviations that pass, as shares of the row's root mean square over its coordinates; nats for log P. Measured: 4.5e-7, 6.9e-7
/// and 9.3e-6 with AVX-512; other orders of summation get an order of magnitude.
const RMS: f64 = 1e-5;
const PROJECTION: f64 = 1e-5;
const NATS: f64 = 1e-4;

fn numbers(of: &Value) -> Vec<f64> {
    of.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

/// The projections of `scripts/fixtures/make_real.py`: u_k[j] = cos((k + 1)(j + 1)²) / √width.
fn projections(row: &[f64]) -> Vec<f64> {
    let width = row.len() as f64;
    (1..=3)
        .map(|k| {
            let along = |(j, x): (usize, &f64)| x * (f64::from(k) * ((j + 1) * (j + 1)) as f64).cos();
            row.iter().enumerate().map(along).sum::<f64>() / width.sqrt()
        })
        .collect()
}

#[test]
#[ignore = "needs a real model: python scripts/fetch_models.py smollm2-135m-instruct"]
fn the_residual_stream_and_log_p_of_a_real_model_are_those_of_transformers_in_f64() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let reference = root.join("tests/fixtures/real/smollm2-135m-instruct.json");
    let reference: Value =
        serde_json::from_str(&std::fs::read_to_string(reference).expect("the reference")).expect("JSON");
    let model: PathBuf = root.join("models/real").join(reference["file"].as_str().expect("a name"));
    assert!(model.is_file(), "{} is not there: python scripts/fetch_models.py", model.display());
    let texts = reference["texts"].as_array().expect("texts");
    let place = Place::new();
    let items: Vec<String> = texts
        .iter()
        .enumerate()
        .map(|(i, t)| {
            json!({"id": format!("t{i}"), "prompt": t["prompt"], "responses": [{"text": t["response"]}]})
                .to_string()
        })
        .collect();
    place.write("items.jsonl", &items.join("\n"));
    let model = model.to_string_lossy().into_owned();
    let args = ["capture", "--model", &model, "--dtype", "f32", "--template", "none"];
    let rest = ["--constitution", "none", "--data", "items.jsonl", "--out", "out"];
    let (ok, out, err) = place.vstar(&[&args[..], &rest].concat());
    assert!(ok, "{out}\n{err}");
    let seen = Observations::open(&place.path("out/observations.safetensors")).expect("observations");
    assert_eq!(seen.rows(), texts.len());
    let width = reference["width"].as_u64().expect("a width") as usize;
    let log_p = seen.columns().logprob.as_ref().expect("log P");
    let mut worst = [0.0f64; 3];
    for (i, text) in texts.iter().enumerate() {
        let row: Vec<f64> = seen.row(i).expect("a row").iter().map(|v| f64::from(*v)).collect();
        let (rms, along) = (numbers(&text["rms"]), &text["projections"]);
        assert_eq!(row.len(), rms.len() * width, "layers");
        worst[2] = worst[2].max((log_p[i] - text["logprob"].as_f64().expect("nats")).abs());
        for (layer, own) in row.chunks(width).enumerate() {
            let size = (own.iter().map(|x| x * x).sum::<f64>() / width as f64).sqrt();
            worst[0] = worst[0].max((size / rms[layer] - 1.0).abs());
            for (ours, theirs) in projections(own).iter().zip(numbers(&along[layer])) {
                worst[1] = worst[1].max((ours - theirs).abs() / rms[layer]);
            }
        }
    }
    println!(
        "largest deviations: RMS {:.1e}, projections {:.1e}, log P {:.1e} nats",
        worst[0], worst[1], worst[2]
    );
    assert!(worst[0] < RMS && worst[1] < PROJECTION && worst[2] < NATS, "{worst:?}");
}
