//! Steering, directions, shift and drift as a user runs them, on a small model with known answers.

use std::fs;

use serde_json::Value;

use crate::cli::{Place, model, poisoned, ready};

/// A place with a finished run in `out`.
fn run() -> Place {
    let place = ready();
    let (ok, out, err) = place.vstar(&["run", "run.toml"]);
    assert!(ok, "{out}{err}");
    place
}

fn json(place: &Place, path: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(place.path(path)).expect("findings")).expect("JSON")
}

/// Collects every number under a key, anywhere in the results.
fn numbers(json: &Value, key: &str, out: &mut Vec<f64>) {
    match json {
        Value::Object(map) => {
            for (name, value) in map {
                match value.as_f64() {
                    Some(number) if name == key => out.push(number),
                    _ => numbers(value, key, out),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| numbers(value, key, out)),
        _ => {}
    }
}

fn good(place: &Place, args: &[&str]) -> String {
    let (ok, out, err) = place.vstar(args);
    assert!(ok, "{args:?}: {out}{err}");
    out
}

/// Steers the model along a direction over the first items; the page.
fn steered(place: &Place, direction: &str, limit: &str, rest: &[&str]) -> String {
    let model = model();
    let args =
        ["steer", "--model", &model, "--data", "items.jsonl", "--limit", limit, "--direction", direction];
    good(place, &[&args, rest].concat())
}

#[test]
fn steering_by_nothing_changes_nothing_and_by_something_is_held_against_chance() {
    let place = run();
    let model = model();
    let along = "out:v_star.harmless";
    steered(&place, along, "12", &["--add", "0", "--random", "2", "--out", "nothing"]);
    let found = json(&place, "nothing/steer.json");
    let mut figures = Vec::new();
    numbers(&found, "estimate", &mut figures);
    assert!(!figures.is_empty() && figures.iter().all(|f| *f == 0.0), "{found}");

    let shown = steered(&place, along, "12", &["--add", "2", "--random", "3", "--out", "some"]);
    let found = json(&place, "some/steer.json");
    assert!(found["format"].as_str().expect("a format").starts_with("vstar-steer/"), "{found}");
    let mut figures = Vec::new();
    numbers(&found, "estimate", &mut figures);
    assert!(figures.iter().any(|f| *f != 0.0), "{found}");
    assert!(shown.contains("random"), "{shown}");
    assert!(fs::read_to_string(place.path("some/steer.md")).expect("a page").contains("harmless"));

    let refused = place.refused(&[
        "steer",
        "--model",
        &model,
        "--data",
        "items.jsonl",
        "--direction",
        "out:v_star.kindness",
        "--add",
        "1",
        "--out",
        "none",
    ]);
    assert!(refused.contains("v_star.kindness") && refused.contains("v_star.harmless"), "{refused}");
    assert!(!place.path("none/steer.json").exists());
}

#[test]
fn a_direction_between_two_sets_of_prompts_can_be_ablated() {
    let place = run();
    let model = model();
    let prompts = |word: &str| -> String {
        (0..24)
            .map(|i| format!("{{\"id\": \"{word}{i}\", \"prompt\": \"{word} {i} about tea and rain\"}}\n"))
            .collect()
    };
    place.write("plus.jsonl", &prompts("attack"));
    place.write("minus.jsonl", &prompts("greet"));
    good(
        &place,
        &[
            "direction",
            "--model",
            &model,
            "--plus",
            "plus.jsonl",
            "--minus",
            "minus.jsonl",
            "--against",
            "out",
            "--out",
            "refusal",
        ],
    );
    let bytes = fs::read(place.path("refusal/directions.safetensors")).expect("directions");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    assert!(file.names().iter().any(|n| n.contains("refusal")), "{:?}", file.names());
    let found = json(&place, "refusal/direction.json");
    let mut figures = Vec::new();
    numbers(&found, "estimate", &mut figures);
    // A different first word is distinguishable on held-out prompts.
    assert!(figures.iter().any(|f| *f > 0.9), "{found}");
    steered(
        &place,
        "refusal:refusal",
        "8",
        &["--layer", "1", "--ablate", "--random", "2", "--out", "ablated"],
    );
    assert!(place.path("ablated/steer.json").exists());
}

#[test]
fn one_changed_weight_shifts_one_direction_at_its_layer_and_none_before() {
    let place = run();
    // The first row of the second block's output: coordinate 0 of the stream that leaves it.
    let changed = poisoned(&place, "model.layers.1.mlp.down_proj.weight", 3.0);
    let experiment = fs::read_to_string(place.path("run.toml")).expect("the experiment");
    let experiment = experiment
        .replace("\"out\"", "\"tuned\"")
        .replace(&format!("{:?}", model()), &format!("{changed:?}"));
    place.write("tuned.toml", &experiment);
    good(&place, &["run", "tuned.toml"]);

    let shown = good(&place, &["shift", "out", "tuned", "--out", "shift"]);
    assert!(shown.contains("The same direction in both checkpoints"), "{shown}");
    let found = json(&place, "shift/shift.json");
    let layers = found["layers"].as_array().expect("layers");
    for layer in layers {
        let (number, length) =
            (layer["layer"].as_u64().expect("a number"), layer["length"].as_f64().expect("a length"));
        if number < 2 {
            assert_eq!(length, 0.0, "layer {number}");
        }
        if number == 2 {
            let rank = layer["whole"]["rank"]["estimate"].as_f64().expect("a rank");
            assert!(length > 0.0 && (rank - 1.0).abs() < 1e-6, "{rank}");
        }
        for turned in layer["turned"].as_array().expect("directions") {
            let cos = turned["cos_raw"].as_f64().expect("a cosine");
            // v* of labels from the data is unchanged where the stream is.
            if number < 2 && turned["direction"] == "v_star.harmless" {
                assert!((cos - 1.0).abs() < 1e-9, "layer {number}: {turned}");
            }
        }
    }

    good(&place, &["drift", "out", "tuned", "--layer", "1", "--out", "drift"]);
    let found = json(&place, "drift/drift.json");
    assert!(found["format"].as_str().expect("a format").starts_with("vstar-drift/"), "{found}");
    assert!(place.path("drift/drift.md").exists());

    place.write("few.jsonl", &crate::cli::items(20));
    place.write("few.toml", &experiment.replace("items.jsonl", "few.jsonl").replace("\"tuned\"", "\"few\""));
    good(&place, &["run", "few.toml"]);
    let refused = place.refused(&["shift", "out", "few", "--out", "never"]);
    assert!(refused.contains("rows") && !place.path("never/shift.json").exists(), "{refused}");
}
