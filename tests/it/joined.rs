//! Additions to observations, and uses of a direction, must come from the same model, texts and constitutions.

use crate::cli::{Place, items};
use crate::stories::fixture;

const KIND: &str = "name = \"kind\"\nfamily = \"prosocial\"\ntext = \"be kind\"\n";

/// A captured folder `a` of `m`, and the same files with small changes next to it.
fn place() -> Place {
    let place = Place::new();
    place.write("rows.jsonl", &items(6));
    place.write("other.jsonl", &items(6).replace("tea", "mud"));
    place.write("kind.toml", KIND);
    place.write("else.toml", &KIND.replace("be kind", "be mean"));
    for (folder, change) in [("m", 0u8), ("n", 1)] {
        for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
            let mut bytes = std::fs::read(fixture("models/llama_chat").join(file)).expect("the file");
            if file == "model.safetensors" {
                let last = bytes.len() - 4;
                bytes[last] ^= change;
            }
            std::fs::create_dir_all(place.path(folder)).expect("a folder");
            std::fs::write(place.path(folder).join(file), bytes).expect("written");
        }
    }
    let (ok, _, err) = place.vstar(&[
        "capture",
        "--model",
        "m",
        "--data",
        "rows.jsonl",
        "--constitution",
        "none",
        "kind.toml",
        "--out",
        "a",
    ]);
    assert!(ok, "{err}");
    place
}

fn judge<'a>(model: &'a str, data: &'a str, constitution: &'a str) -> [&'a str; 9] {
    ["judge", "--model", model, "--data", data, "--constitution", constitution, "--out", "a"]
}

#[test]
fn a_judge_of_another_model_text_or_constitution_is_refused_and_changes_nothing() {
    let place = place();
    let before = std::fs::read(place.path("a/observations.safetensors")).expect("the file");
    for (args, words) in [
        (judge("n", "rows.jsonl", "kind.toml"), ["of another model", "the weights"]),
        (judge("m", "other.jsonl", "kind.toml"), ["of another text under the same id", "other tokens"]),
        (judge("m", "rows.jsonl", "else.toml"), ["another constitution of this name", "`kind`"]),
    ] {
        let err = place.refused(&args);
        assert!(words.iter().all(|word| err.contains(word)), "{err}");
    }
    assert_eq!(std::fs::read(place.path("a/observations.safetensors")).expect("the file"), before);
    let (ok, _, err) = place.vstar(&judge("m", "rows.jsonl", "kind.toml"));
    assert!(ok, "{err}");
    // A new name with its own text is accepted and recorded.
    place.write("new.toml", &KIND.replace("\"kind\"", "\"new\""));
    let (ok, _, err) = place.vstar(&judge("m", "rows.jsonl", "new.toml"));
    assert!(ok, "{err}");
    place.write("new.toml", &KIND.replace("\"kind\"", "\"new\"").replace("be kind", "be new"));
    assert!(place.refused(&judge("m", "rows.jsonl", "new.toml")).contains("`new`"));
}

#[test]
fn a_capture_replaces_no_other_observations_and_no_run() {
    let place = place();
    let capture = |model, data| {
        ["capture", "--model", model, "--data", data, "--constitution", "none", "kind.toml", "--out", "a"]
    };
    let (ok, _, err) = place.vstar(&capture("m", "rows.jsonl"));
    assert!(ok, "the same again: {err}");
    for (model, data) in [("n", "rows.jsonl"), ("m", "other.jsonl")] {
        let err = place.refused(&capture(model, data));
        assert!(err.contains("the folder holds other observations"), "{err}");
    }
    let (ok, _, err) = place.vstar(&judge("m", "rows.jsonl", "kind.toml"));
    assert!(ok, "{err}");
    let err = place.refused(&capture("m", "rows.jsonl"));
    assert!(err.contains("a judge's answers"), "{err}");
    place.write("a/manifest.json", "{}");
    for args in [&capture("m", "rows.jsonl")[..], &judge("m", "rows.jsonl", "kind.toml")[..]] {
        assert!(place.refused(args).contains("the folder is that of a run"));
    }
}

#[test]
fn a_direction_of_another_model_is_refused_unless_it_is_meant() {
    let place = place();
    let (ok, _, err) = place.vstar(&["fit", "--observations", "a/observations.safetensors", "--out", "f"]);
    assert!(ok, "{err}");
    let steer = |model| {
        [
            "steer",
            "--model",
            model,
            "--data",
            "rows.jsonl",
            "--direction",
            "f:w@1",
            "--ablate",
            "--random",
            "2",
            "--out",
            "s",
        ]
    };
    let (ok, _, err) = place.vstar(&steer("m"));
    assert!(ok, "{err}");
    let err = place.refused(&steer("n"));
    assert!(err.contains("fitted in another model") && err.contains("--any-model"), "{err}");
    let meant = [&steer("n")[..], &["--any-model"]].concat();
    let (ok, _, err) = place.vstar(&meant);
    assert!(ok, "{err}");
}
