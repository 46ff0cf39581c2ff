//! LoRA adapters: a capture with an adapter matches the merged checkpoint, computed here from PEFT's formula.

use std::collections::BTreeMap;
use std::fs;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value as Json, json};
use vstar::observations::Observations;
use vstar::units::Layer;

use crate::cli::{Place, model, ready};

const Q: &str = "model.layers.0.self_attn.q_proj";
const DOWN: &str = "model.layers.1.mlp.down_proj";

/// Weights of the fixture.
fn base() -> BTreeMap<String, Tensor> {
    let file = std::path::Path::new(&model()).join("model.safetensors");
    candle_core::safetensors::load(file, &Device::Cpu).expect("weights").into_iter().collect()
}

fn shape(name: &str) -> (usize, usize) {
    base()[&format!("{name}.weight")].dims2().expect("a matrix")
}

/// Numbers without a pattern, so that a transposition is detected.
fn matrix(rows: usize, columns: usize, seed: f32) -> Tensor {
    let values: Vec<f32> =
        (0..rows * columns).map(|i| 0.05 * ((i as f32 * 0.37 + seed).sin() + 0.3)).collect();
    Tensor::from_vec(values, (rows, columns), &Device::Cpu).expect("a matrix")
}

/// An adapter of rank 2 on two modules; the second has its own α.
fn adapter(place: &Place, name: &str, change: impl Fn(&mut Json, &mut BTreeMap<String, Tensor>)) {
    let mut config = json!({"peft_type": "LORA", "base_model_name_or_path": "somebody/llama", "r": 2, "lora_alpha": 3,
        "alpha_pattern": {"down_proj": 8}, "target_modules": ["q_proj", "down_proj"], "bias": "none"});
    let mut tensors = BTreeMap::new();
    for (seed, module) in [Q, DOWN].iter().enumerate() {
        let (rows, columns) = shape(module);
        let put = |part: &str| format!("base_model.model.{module}.lora_{part}.weight");
        tensors.insert(put("A"), matrix(2, columns, seed as f32));
        tensors.insert(put("B"), matrix(rows, 2, 9.0 + seed as f32));
    }
    change(&mut config, &mut tensors);
    place.write(&format!("{name}/adapter_config.json"), &config.to_string());
    let tensors: std::collections::HashMap<String, Tensor> = tensors.into_iter().collect();
    candle_core::safetensors::save(&tensors, place.path(&format!("{name}/adapter_model.safetensors")))
        .expect("saved");
}

/// A copy of the fixture whose two modules are W + s B A, in f64.
fn merged(place: &Place, scales: [f64; 2]) -> String {
    let mut weights = base();
    for ((seed, module), scale) in [Q, DOWN].iter().enumerate().zip(scales) {
        let (rows, columns) = shape(module);
        let wide = |t: Tensor| t.to_dtype(DType::F64).expect("f64").to_vec2::<f64>().expect("a matrix");
        let (a, b) = (wide(matrix(2, columns, seed as f32)), wide(matrix(rows, 2, 9.0 + seed as f32)));
        let mut w = wide(weights[&format!("{module}.weight")].clone());
        for (i, row) in w.iter_mut().enumerate() {
            for (j, w) in row.iter_mut().enumerate() {
                *w += scale * (0..2).map(|k| b[i][k] * a[k][j]).sum::<f64>();
            }
        }
        let flat: Vec<f32> = w.into_iter().flatten().map(|v| v as f32).collect();
        weights.insert(
            format!("{module}.weight"),
            Tensor::from_vec(flat, (rows, columns), &Device::Cpu).expect("W"),
        );
    }
    let folder = place.path("merged");
    fs::create_dir_all(&folder).expect("a folder");
    for entry in fs::read_dir(model()).expect("the fixture") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, folder.join(path.file_name().expect("a name"))).expect("a copy");
    }
    let weights: std::collections::HashMap<String, Tensor> = weights.into_iter().collect();
    candle_core::safetensors::save(&weights, folder.join("model.safetensors")).expect("saved");
    folder.to_string_lossy().into_owned()
}

/// Residual stream of the last layer for each row.
fn states(place: &Place, model: &str, more: &[&str], out: &str) -> Vec<Vec<f32>> {
    let args = ["capture", "--model", model, "--data", "items.jsonl", "--limit", "6", "--out", out];
    let (ok, text, err) = place.vstar(&[&args[..], more].concat());
    assert!(ok, "{text}\n{err}");
    let file =
        Observations::open(&place.path(&format!("{out}/observations.safetensors"))).expect("observations");
    file.layer(Layer(2)).expect("layer 2").rows().into_iter().map(|r| r.to_vec()).collect()
}

fn apart(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let of =
        |a: &Vec<f32>, b: &Vec<f32>| a.iter().zip(b).map(|(a, b)| f64::from(a - b).abs()).fold(0.0, f64::max);
    a.iter().zip(b).map(|(a, b)| of(a, b)).fold(0.0, f64::max)
}

#[test]
fn an_adapter_is_merged_as_its_formula_says_and_is_part_of_what_the_model_is() {
    let place = ready();
    // PEFT's defaults, and a flag that PEFT overrides for linear layers.
    adapter(&place, "lora", |c, _| {
        for key in [
            "rank_pattern",
            "layer_replication",
            "modules_to_save",
            "loftq_config",
            "trainable_token_indices",
        ] {
            c[key] = Json::Null;
        }
        c["fan_in_fan_out"] = json!(true);
        c["init_lora_weights"] = json!(true);
    });
    let with = states(&place, &model(), &["--adapter", "lora"], "with");
    let reference = states(&place, &merged(&place, [1.5, 4.0]), &[], "reference");
    let without = states(&place, &model(), &[], "without");
    assert!(apart(&with, &reference) < 1e-5, "{}", apart(&with, &reference));
    assert!(apart(&with, &without) > 1e-2, "{}", apart(&with, &without));
    let streamed = states(&place, &model(), &["--adapter", "lora", "--stream"], "streamed");
    assert!(apart(&with, &streamed) < 1e-6);
    // α / √r if the config says so.
    adapter(&place, "rs", |config, _| config["use_rslora"] = json!(true));
    let root = 2f64.sqrt();
    let rs = states(&place, &model(), &["--adapter", "rs"], "rs-out");
    let reference = states(&place, &merged(&place, [3.0 / root, 8.0 / root]), &[], "rs-reference");
    assert!(apart(&rs, &reference) < 1e-5, "{}", apart(&rs, &reference));
    // Another adapter is another model: neither may be added to a capture with the first.
    for more in [&["--adapter", "rs"][..], &[]] {
        let args = ["capture", "--model", &model(), "--data", "items.jsonl", "--limit", "6", "--out", "with"];
        let err = place.refused(&[&args[..], more].concat());
        assert!(err.contains("other observations") || err.contains("another model"), "{err}");
    }
    // An experiment can set the adapter too; it is stored, with a warning that it was made for another base.
    let (ok, out, err) = place.vstar(&["run", "run.toml", "--adapter", "lora", "--out", "run"]);
    assert!(ok, "{out}\n{err}");
    assert!(err.contains("made for `somebody/llama`"), "{err}");
    let kept = fs::read_to_string(place.path("run/experiment.toml")).expect("the experiment");
    assert!(kept.contains("adapter = ") && kept.contains("lora"), "{kept}");
    let report: Json =
        serde_json::from_str(&fs::read_to_string(place.path("run/report.json")).expect("a report"))
            .expect("JSON");
    let hash = &report["provenance"]["recipe"]["model"]["adapter_sha256"];
    assert_eq!(hash.as_str().map(str::len), Some(64), "{hash}");
    // The page says so where it names the model.
    let named = format!("adapter {}", &hash.as_str().expect("a hash")[..8]);
    for file in ["run/report.md", "run/report.html"] {
        let page = fs::read_to_string(place.path(file)).expect("a page");
        assert!(page.contains(&named), "{file}: {named}");
    }
}

#[test]
fn adapters_that_are_not_computed_or_do_not_fit_are_refused_by_name() {
    let place = ready();
    type Change = fn(&mut Json, &mut BTreeMap<String, Tensor>);
    let cases: [(&str, Change, &[&str]); 15] = [
        ("ia3", |c, _| c["peft_type"] = json!("IA3"), &["IA3", "merge_and_unload"]),
        ("dora", |c, _| c["use_dora"] = json!(true), &["use_dora"]),
        ("rank", |c, _| c["r"] = json!(0), &["rank"]),
        ("lower", |c, _| c["r"] = json!(8), &["the rank of", "8, as the config says"]),
        ("pattern", |c, _| c["rank_pattern"] = json!({"q_proj": 8}), &["the rank of", "q_proj"]),
        ("regex", |c, _| c["alpha_pattern"] = json!({".*\\.q_proj": 64}), &["regular expression", "q_proj"]),
        (
            "pissa",
            |c, _| c["init_lora_weights"] = json!("pissa_niter_16"),
            &["init_lora_weights = pissa_niter_16"],
        ),
        ("save", |c, _| c["modules_to_save"] = json!(["lm_head"]), &["modules_to_save"]),
        ("all", |c, _| c["bias"] = json!("all"), &["bias = all"]),
        (
            "bias",
            |_, t| {
                t.insert(format!("base_model.model.{Q}.bias"), matrix(1, 4, 0.0));
            },
            &["q_proj.bias", "LoRA on linear layers"],
        ),
        (
            "half",
            |_, t| {
                t.remove(&format!("base_model.model.{Q}.lora_A.weight"));
            },
            &["q_proj", "one of lora_A and lora_B"],
        ),
        (
            "shape",
            |_, t| {
                t.insert(format!("base_model.model.{Q}.lora_A.weight"), matrix(2, 5, 0.0));
            },
            &["does not fit", "somebody/llama"],
        ),
        (
            "unknown",
            |_, t| {
                t.insert(
                    "base_model.model.model.layers.77.self_attn.q_proj.lora_A.weight".into(),
                    matrix(2, 8, 0.0),
                );
                t.insert(
                    "base_model.model.model.layers.77.self_attn.q_proj.lora_B.weight".into(),
                    matrix(8, 2, 0.0),
                );
            },
            &["modules that the model does not have", "layers.77"],
        ),
        (
            "nan",
            |_, t| {
                let poisoned = (matrix(2, shape(Q).1, 0.0) * f64::NAN).expect("NaN");
                t.insert(format!("base_model.model.{Q}.lora_A.weight"), poisoned);
            },
            &["NaN or infinity in the adapter's", "q_proj"],
        ),
        (
            "ranks",
            |_, t| {
                t.insert(format!("base_model.model.{Q}.lora_A.weight"), matrix(3, shape(Q).1, 0.0));
            },
            &["the ranks of", "q_proj"],
        ),
    ];
    for (name, change, parts) in cases {
        adapter(&place, name, change);
        let model = model();
        let err = place.refused(&[
            "capture",
            "--model",
            &model,
            "--data",
            "items.jsonl",
            "--adapter",
            name,
            "--out",
            "o",
        ]);
        for part in parts {
            assert!(err.contains(part), "{name}: {part}: {err}");
        }
    }
    let err = place.refused(&[
        "capture",
        "--model",
        &model(),
        "--data",
        "items.jsonl",
        "--adapter",
        "none-such",
        "--out",
        "o",
    ]);
    assert!(err.contains("adapter_config.json"), "{err}");
    assert!(!place.path("o/observations.safetensors").exists());
}
