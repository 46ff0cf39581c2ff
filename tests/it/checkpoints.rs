//! Checkpoints with contradictory files are resolved as in transformers, with a warning.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use safetensors::tensor::{SafeTensors, TensorView};
use serde_json::Value;
use vstar::forest::{Pool, Request, Settings, run};
use vstar::model::{LoadOptions, Model, ModelSource};
use vstar::units::{Layer, TokenSpan};

use crate::cli::Place;
use crate::stories::fixture;

fn cases() -> Value {
    let path = fixture("checkpoints/cases.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the fixture")).expect("JSON")
}

/// The fixture `llama_chat` with a case's changes.
fn folder(place: &Place, case: &Value) -> PathBuf {
    let (base, folder) = (fixture("models/llama_chat"), place.path("m"));
    std::fs::create_dir_all(&folder).expect("a folder");
    for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(base.join(file), folder.join(file)).expect("copied");
    }
    for (file, keys) in case["json"].as_object().into_iter().flatten() {
        let text = std::fs::read_to_string(folder.join(file)).expect("the file");
        let mut json: Value = serde_json::from_str(&text).expect("JSON");
        for (key, value) in keys.as_object().expect("keys") {
            json[key] = value.clone();
        }
        std::fs::write(folder.join(file), json.to_string()).expect("written");
    }
    for (file, text) in case["write"].as_object().into_iter().flatten() {
        std::fs::write(folder.join(file), text.as_str().expect("a text")).expect("written");
    }
    if case["head"] == true {
        with_reversed_head(&folder.join("model.safetensors"));
    }
    folder
}

fn with_reversed_head(path: &Path) {
    let bytes = std::fs::read(path).expect("weights");
    let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
    let embedding = tensors.tensor("model.embed_tokens.weight").expect("embeddings");
    let row = embedding.data().len() / embedding.shape()[0];
    let head: Vec<u8> = embedding.data().chunks(row).rev().flatten().copied().collect();
    let head = TensorView::new(embedding.dtype(), embedding.shape().to_vec(), &head).expect("a view");
    let mut all: BTreeMap<String, TensorView> = tensors.tensors().into_iter().collect();
    all.insert("lm_head.weight".into(), head);
    let file = safetensors::serialize(all, None).expect("a file");
    std::fs::write(path, file).expect("written");
}

fn load(folder: &Path) -> Model {
    let options =
        LoadOptions { dtype: DType::F32, device: Device::Cpu, stream: false, quantize: None, adapter: None };
    let name = folder.to_string_lossy();
    Model::load(&ModelSource::parse(&name, None).expect("a folder"), &name, &options).expect("a model")
}

fn logprob(model: &Model, tokens: &[u32]) -> f64 {
    let layers = vec![Layer(0)];
    let settings =
        Settings { layers, pool: Pool::Mean, chunk_tokens: 64, memory: None, steering: Default::default() };
    let response = Some(TokenSpan { start: 1, end: tokens.len() });
    let request = Request { tokens: tokens.to_vec(), response, logprob: true, answers: None };
    let out =
        run(&model.decoder, &[request], &settings, &|_| Default::default(), &mut |_| Ok(())).expect("a run");
    out[0].logprob
}

#[test]
fn every_case_gives_transformers_tokens_and_log_probabilities() {
    let json = cases();
    let texts: Vec<&str> =
        json["texts"].as_array().expect("texts").iter().filter_map(Value::as_str).collect();
    let probe: Vec<u32> = serde_json::from_value(json["probe"].clone()).expect("tokens");
    for case in json["cases"].as_array().expect("cases") {
        let place = Place::new();
        let model = load(&folder(&place, case));
        let name = &case["name"];
        for (text, ids) in texts.iter().zip(case["ids"].as_array().expect("tokens")) {
            let mut expected: Vec<u32> = serde_json::from_value(ids.clone()).expect("tokens");
            // A text that already begins with the token does not get a second one: `apply_chat_template`.
            if expected.len() > 1 && expected[0] == expected[1] {
                expected.remove(0);
            }
            assert_eq!(model.encoder.encode(text).expect("tokens"), expected, "{name}: {text}");
        }
        let (ours, theirs) = (logprob(&model, &probe), case["logp"].as_f64().expect("a number"));
        assert!((ours - theirs).abs() < 1e-4 * theirs.abs(), "{name}: {ours} and {theirs}");
    }
}

#[test]
fn what_two_files_say_differently_is_said() {
    let json = cases();
    let said = |wanted: &str| {
        let case = json["cases"]
            .as_array()
            .expect("cases")
            .iter()
            .find(|c| c["name"] == wanted)
            .expect(wanted)
            .clone();
        let place = Place::new();
        folder(&place, &case);
        place.write("a.jsonl", "{\"prompt\": \"Hi\", \"responses\": [\"Hello\", \"Go\"]}\n");
        let (ok, _, err) = place.vstar(&[
            "capture",
            "--model",
            "m",
            "--data",
            "a.jsonl",
            "--constitution",
            "none",
            "--out",
            "o",
        ]);
        assert!(ok, "{err}");
        err
    };
    for (case, words) in [
        ("a tied head of its own", "warning: config.json ties the output head"),
        ("a stale index", "model.safetensors is read, and the shards that"),
        ("a partial rotary factor", "`partial_rotary_factor` of 0.5 is left out of account"),
    ] {
        let err = said(case);
        assert!(err.contains(words), "{case}: {err}");
    }
    for case in ["as it is", "a tied head", "added tokens"] {
        assert!(!said(case).contains("warning"), "{case}");
    }
}

#[test]
fn an_adapter_is_refused_with_or_without_its_base() {
    for with_base in [true, false] {
        let place = Place::new();
        let folder = folder(&place, &Value::Null);
        place.write(
            "m/adapter_config.json",
            "{\"base_model_name_or_path\": \"owner/base\", \"peft_type\": \"LORA\"}",
        );
        place.write("a.jsonl", "{\"prompt\": \"Hi\", \"responses\": [\"Hello\", \"Go\"]}\n");
        if !with_base {
            std::fs::remove_file(folder.join("model.safetensors")).expect("removed");
        }
        let err = place.refused(&["capture", "--model", "m", "--data", "a.jsonl", "--out", "o"]);
        assert!(
            err.contains("holds an adapter") && err.contains("`owner/base`") && err.contains("merge"),
            "{err}"
        );
        assert!(!place.path("o").exists(), "a refused capture leaves no folder");
    }
}

/// A template's control token that swallows white space (`rstrip`, as Phi 3 has them) is none of the response.
#[test]
fn a_control_token_is_not_pooled_with_the_response() {
    let place = Place::new();
    let mut tokenizer: Value = serde_json::from_str(
        &std::fs::read_to_string(fixture("models/llama_chat/tokenizer.json")).expect("the file"),
    )
    .expect("JSON");
    for token in tokenizer["added_tokens"].as_array_mut().expect("a list") {
        if token["content"] == "<|im_start|>" {
            token["rstrip"] = true.into();
        }
        if token["content"] == "<|im_end|>" {
            token["lstrip"] = true.into();
        }
    }
    let case = serde_json::json!({"json": {"tokenizer.json": {"added_tokens": tokenizer["added_tokens"]}}});
    let model = load(&folder(&place, &case));
    let text = "<|im_start|>  Because. \n<|im_end|>";
    let start = "<|im_start|>".len();
    let encoded =
        model.encoder.encode_response(text, start..text.len() - "<|im_end|>".len()).expect("a span");
    let span = encoded.response;
    let pieces = model.encoder.pieces(&encoded.ids[span.start..span.end], 20).concat();
    assert_eq!(pieces, "Because.");
    assert_eq!((span.start, span.end), (1, encoded.ids.len() - 1));
}
