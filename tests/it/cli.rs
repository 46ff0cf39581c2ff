//! The program as a user runs it: from items and constitutions to a report, and every error.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::Value;

use crate::stories::fixture;

pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(&path, text).expect("a file");
        path
    }

    pub fn vstar(&self, args: &[&str]) -> (bool, String, String) {
        let output = Command::cargo_bin("vstar")
            .expect("the program")
            .current_dir(self.folder.path())
            .args(args)
            .output()
            .expect("it runs");
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        (output.status.success(), text(&output.stdout), text(&output.stderr))
    }

    pub fn refused(&self, args: &[&str]) -> String {
        let (ok, out, err) = self.vstar(args);
        assert!(!ok, "it should have refused: {out}");
        assert!(!err.contains("panicked"), "{err}");
        err
    }
}

pub fn model() -> String {
    fixture("models/llama_chat").to_string_lossy().into_owned()
}

/// Prompts of varying length with labelled answers, enough for two halves of blocks.
pub fn items(n: usize) -> String {
    let words = ["tea", "rain", "music", "bread", "books", "paint", "boats", "trees"];
    (0..n)
        .map(|i| {
            let topic = words[i % words.len()];
            let responses: Vec<Value> = (0..3)
                .map(|r| {
                    let text = format!(
                        "{} {} number {}",
                        ["yes to", "no to", "perhaps"][(i + r) % 3],
                        topic,
                        i * 3 + r
                    );
                    serde_json::json!({"text": text, "values": {"harmless": ((i + r) % 3) as f64 / 2.0}})
                })
                .collect();
            let prompt = format!("question {i} about {topic}: what of it?");
            serde_json::json!({"id": format!("p{i}"), "prompt": prompt, "responses": responses}).to_string()
                + "\n"
        })
        .collect()
}

const KIND: &str = "name = \"kind\"\nfamily = \"prosocial\"\ntext = \"Choose the kinder answer.\"\n";
const BLUE: &str = "name = \"blue\"\nfamily = \"placebo\"\ntext = \"Choose the bluer answer.\"\n";

fn experiment(out: &str) -> String {
    format!(
        "out = \"{out}\"\n[model]\npath = {:?}\n[data]\nfiles = [\"items.jsonl\"]\n\
         [constitutions]\nfiles = [\"c\"]\n[judge]\ntemplate = \"judge.toml\"\n",
        model()
    )
}

const JUDGE: &str = "mode = \"pairwise\"\nkind = \"chat\"\nanswers = [\"A\", \"B\"]\n\
                     user = \"\"\"{{ prompt }}\nA: {{ first }}\nB: {{ second }}\n{{ constitution }}\"\"\"\n";

pub fn ready() -> Place {
    let place = Place::new();
    place.write("items.jsonl", &items(70));
    place.write("c/kind.toml", KIND);
    place.write("c/blue.toml", BLUE);
    place.write("judge.toml", JUDGE);
    place.write("run.toml", &experiment("out"));
    place
}

/// Copies a fixture and writes a number into one element of a tensor.
pub fn poisoned(place: &Place, tensor: &str, value: f32) -> String {
    let folder = place.path("poisoned");
    fs::create_dir_all(&folder).expect("a folder");
    for entry in fs::read_dir(model()).expect("the fixture") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, folder.join(path.file_name().expect("a name"))).expect("a copy");
    }
    let path = folder.join("model.safetensors");
    let mut bytes = fs::read(&path).expect("weights");
    let (header, metadata) = safetensors::SafeTensors::read_metadata(&bytes).expect("a header");
    let info = metadata.info(tensor).expect("the tensor");
    assert_eq!(info.dtype, safetensors::Dtype::F32);
    let at = 8 + header + info.data_offsets.0;
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    fs::write(&path, bytes).expect("weights");
    folder.to_string_lossy().into_owned()
}

#[test]
fn what_is_no_number_is_refused_with_layer_item_and_constitution() {
    let place = ready();
    for value in [f32::NAN, f32::INFINITY] {
        let model = poisoned(&place, "model.layers.1.mlp.down_proj.weight", value);
        let args = ["capture", "--model", &model, "--data", "items.jsonl", "--constitution", "c/kind.toml"];
        for more in [&[][..], &["--stream"], &["--dtype", "bf16"]] {
            let err = place.refused(&[&args[..], more, &["--out", "nan"]].concat());
            for part in ["layer 2", "p0", "kind", "items.jsonl"] {
                assert!(err.contains(part), "{part}: {err}");
            }
            assert!(!place.path("nan/observations.safetensors").exists());
        }
    }
}

#[test]
fn a_streamed_capture_writes_the_same_bytes_and_check_tells_what_a_job_takes() {
    let place = ready();
    let model = model();
    let args = ["capture", "--model", &model, "--data", "items.jsonl", "--constitution", "none", "c"];
    for (out, more) in
        [("here", &[][..]), ("there", &["--stream"]), ("tight", &["--stream", "--memory", "1MB"])]
    {
        let (ok, out, err) = place.vstar(&[&args[..], more, &["--out", out]].concat());
        assert!(ok && out.contains("memory: about"), "{out}\n{err}");
    }
    let read = |out: &str| fs::read(place.path(out).join("observations.safetensors")).expect("observations");
    assert!(read("here") == read("there"), "weights read as they are used give other bytes");
    // Smaller chunks and several passes over the weights give the same result up to rounding.
    let resid = |out: &str| -> Vec<f32> {
        let tensors = candle_core::safetensors::load(
            place.path(out).join("observations.safetensors"),
            &candle_core::Device::Cpu,
        );
        tensors.expect("tensors")["resid"].flatten_all().and_then(|t| t.to_vec1()).expect("values")
    };
    let (here, tight) = (resid("here"), resid("tight"));
    assert_eq!(here.len(), tight.len());
    assert!(here.iter().zip(&tight).all(|(a, b)| (a - b).abs() < 1e-4 * (1.0 + b.abs())));
    let (ok, out, err) = place.vstar(&["check", &model, "--data", "items.jsonl", "--constitution", "c"]);
    assert!(
        ok && out.contains("420 rows (70 items, 2 constitutions)") && out.contains("MiB"),
        "{out}\n{err}"
    );
}

/// The report without timestamps.
pub fn report(path: &Path) -> Value {
    let mut report: Value = serde_json::from_str(&fs::read_to_string(path).expect("a report")).expect("JSON");
    report["provenance"].as_object_mut().expect("provenance").remove("time_unix").expect("a time");
    report
}

#[test]
fn the_quick_start_finds_what_the_known_answer_model_was_built_to_hold() {
    let place = Place::new();
    let (ok, out, err) = place.vstar(&["run"]);
    assert!(ok, "{out}\n{err}");
    assert!(place.path("hearth/quick.toml").is_file() && place.path("runs/hearth/report.html").is_file());
    let report = report(&place.path("runs/hearth/report.json"));
    let alignment = |constitution: &str, value: &str| -> (f64, f64) {
        let all = report["estimates"].as_array().expect("estimates");
        let found = all.iter().find(|e| {
            e["quantity"] == "alignment"
                && e["constitution"] == constitution
                && e["value"] == value
                && e["control"] == "none"
        });
        let e = found.unwrap_or_else(|| panic!("no alignment of {constitution} with {value}"));
        (e["lo"].as_f64().unwrap_or(f64::NAN), e["hi"].as_f64().unwrap_or(f64::NAN))
    };
    for (constitution, value) in [
        ("kind", "harmless"),
        ("honest", "honest"),
        ("helpful", "helpful"),
        ("good", "honest"),
        ("agreeable", "agreeable"),
    ] {
        assert!(alignment(constitution, value).0 > 0.0, "{constitution} on {value}");
    }
    for (constitution, value) in [
        ("mean", "harmless"),
        ("evil", "harmless"),
        ("deceptive", "honest"),
        ("edgy", "harmless"),
        ("agreeable", "honest"),
    ] {
        assert!(alignment(constitution, value).1 < 0.0, "{constitution} on {value}");
    }
    // A placebo's direction is arbitrary, but its effect must be negligible.
    let slope = |constitution: &str| -> f64 {
        let all = report["estimates"].as_array().expect("estimates");
        let found = all.iter().find(|e| {
            e["quantity"] == "encoded_slope"
                && e["constitution"] == constitution
                && e["value"] == "harmless"
                && e["control"] == "none"
        });
        found.and_then(|e| e["estimate"].as_f64()).expect("a slope")
    };
    for placebo in ["placebo-blue", "placebo-round", "placebo-blue-phrase", "placebo-round-phrase"] {
        assert!(slope(placebo).abs() < 0.05 * slope("kind"), "{placebo}: {}", slope(placebo));
    }
    // Every value is encoded after some block, clearly better than in both text baselines.
    let encoded = |quantity: &str, value: &str| -> (f64, f64) {
        let all = report["estimates"].as_array().expect("estimates");
        let found = all.iter().find(|e| {
            e["quantity"] == quantity
                && e["value"] == value
                && e["control"] == "none"
                && e["family"].is_null()
        });
        let e = found.unwrap_or_else(|| panic!("no {quantity} of {value}"));
        (e["lo"].as_f64().expect("an end"), e["hi"].as_f64().expect("an end"))
    };
    for value in ["harmless", "honest", "helpful", "agreeable"] {
        let (state, words) = (encoded("rho2", value), encoded("rho2_words", value));
        assert!(state.0 > 0.6 && words.1 < 0.35, "{value}: {state:?} and {words:?}");
    }
    // Pleasing answers are seldom true here: the two directions form an obtuse angle, and no other pair does.
    let angles: Vec<(String, f64)> = report["estimates"]
        .as_array()
        .expect("estimates")
        .iter()
        .filter(|e| e["quantity"] == "value_cos" && e["control"] == "none")
        .map(|e| (format!("{} {}", e["value"], e["value2"]), e["hi"].as_f64().expect("an end")))
        .collect();
    let obtuse: Vec<_> = angles.iter().filter(|(_, hi)| *hi < -0.2).collect();
    assert!(
        obtuse.len() == 1 && obtuse[0].0.contains("honest") && obtuse[0].0.contains("agreeable"),
        "{angles:?}"
    );
    let said = out.split_whitespace().collect::<Vec<_>>().join(" ");
    let against = "“agreeable” and “honest” (cosine −0.4";
    assert_eq!(said.matches("stand against each other").count(), 1, "{said}");
    assert!(said.contains(against) && said.matches("(cosine ").count() == 1, "{said}");
    // A constitution that raises one of the two lowers the other.
    let profile = |constitution: &str| {
        let rows = report["tables"]["trade_offs"].as_array().expect("profiles");
        let row = rows.iter().find(|r| r["constitution"] == constitution && r["control"] == "none");
        row.and_then(|r| r["profile"].as_str()).expect("a profile").to_owned()
    };
    for constitution in ["good", "honest", "agreeable", "blunt", "deceptive"] {
        assert_eq!(profile(constitution), "trade_off", "{constitution}");
    }
    for constitution in ["kind", "helpful", "mean"] {
        assert_eq!(profile(constitution), "undecided", "{constitution}");
    }
    // The user's changes are kept.
    place.write("hearth/quick.toml", "out = \"elsewhere\"\n");
    let err = place.refused(&["run"]);
    assert!(err.contains("hearth/quick.toml"), "{err}");
}

#[test]
fn every_name_in_a_report_is_explained_and_a_misspelt_one_gets_the_nearest() {
    let place = Place::new();
    let (ok, list, err) = place.vstar(&["explain"]);
    assert!(ok, "{err}");
    for quantity in vstar::theory::Quantity::ALL {
        assert!(list.contains(&format!("{} ", quantity.name())), "{} is not listed", quantity.name());
    }
    let (ok, text, err) = place.vstar(&["explain", "alignment"]);
    assert!(ok, "{err}");
    for part in ["Formula.", "Assumes.", "Undefined when", "Theorem 3"] {
        assert!(text.contains(part), "{text}");
    }
    let err = place.refused(&["explain", "alignement"]);
    assert!(err.contains("`alignment`") && err.contains("vstar explain"), "{err}");
}

#[test]
fn a_bench_prints_rates_and_refuses_what_has_no_name() {
    let place = Place::new();
    let job = ["--constitutions", "2", "--prompts", "2", "--responses", "2", "--tokens", "9", "4", "3"];
    let (ok, out, err) = place.vstar(&[&["bench", "--shape", "tiny"], &job[..]].concat());
    assert!(ok, "{out}\n{err}");
    assert!(
        out.contains("tiny, f32") && out.contains("tiny, bf16") && out.contains("% of the peak"),
        "{out}"
    );
    let (ok, out, _) = place.vstar(&[&["bench", "--shape", "tiny", "--json"], &job[..]].concat());
    let rates: Value = serde_json::from_str(&out).expect("one value");
    assert!(ok && rates.as_array().is_some_and(|of| of.len() == 2), "{out}");
    assert!(place.refused(&["bench", "--shape", "enormous"]).contains("smollm2-135m"));
}

#[test]
fn a_run_goes_from_items_to_a_report_and_resumes_to_the_same_numbers() {
    let place = ready();
    let (ok, out, err) = place.vstar(&["run", "run.toml"]);
    assert!(ok, "{out}\n{err}");
    for file in [
        "manifest.json",
        "observations.safetensors",
        "observations.jsonl",
        "directions.safetensors",
        "report.md",
        "report.html",
    ] {
        assert!(place.path("out").join(file).is_file(), "{file}");
    }
    let first = report(&place.path("out/report.json"));
    assert_eq!(first["format"], "vstar-report/1");
    let estimates = first["estimates"].as_array().expect("estimates");
    for quantity in [
        "alignment",
        "generation_alignment",
        "gap",
        "encoded_slope",
        "total_slope",
        "rho2",
        "rho",
        "judge_rho2",
        "logprob_rho2",
        "d_eff",
        "geometry_null",
        "judge_accuracy",
        "position_bias",
    ] {
        assert!(estimates.iter().any(|e| e["quantity"] == quantity), "no {quantity}");
    }
    // Every quantity that length can confound is reported twice.
    for e in estimates.iter().filter(|e| e["quantity"] == "alignment" && e["control"] == "none") {
        assert!(estimates.iter().any(|t| {
            t["quantity"] == "alignment" && t["control"] == "length" && t["constitution"] == e["constitution"]
        }));
    }
    // A damaged shard and missing observations are recomputed, with the same report.
    let shard = fs::read_dir(place.path("out/shards"))
        .expect("shards")
        .map(|e| e.expect("an entry").path())
        .find(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("rows-")))
        .expect("a shard of rows");
    let mut bytes = fs::read(&shard).expect("bytes");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    fs::write(&shard, bytes).expect("damage");
    fs::remove_file(place.path("out/observations.safetensors")).expect("removed");
    let (ok, out, err) = place.vstar(&["run", "run.toml"]);
    assert!(ok, "{out}\n{err}");
    assert_eq!(report(&place.path("out/report.json")), first);
    // The same folder with other data is an error that names the difference.
    place.write("items.jsonl", &items(69));
    let err = place.refused(&["run", "run.toml"]);
    assert!(err.contains("another experiment") && err.contains("data"), "{err}");
}

#[test]
fn the_parts_give_what_the_run_gives() {
    let place = ready();
    let model = model();
    let common = ["--model", &model, "--data", "items.jsonl", "--out", "parts"];
    let capture = [&["capture", "--constitution", "none", "c"], &common[..]].concat();
    let judge = [&["judge", "--constitution", "c", "--judge", "judge.toml"], &common[..]].concat();
    for args in [&capture, &judge] {
        let (ok, out, err) = place.vstar(args);
        assert!(ok, "{out}\n{err}");
    }
    let (ok, out, err) =
        place.vstar(&["fit", "--observations", "parts/observations.safetensors", "--out", "parts"]);
    assert!(ok, "{out}\n{err}");
    assert!(!place.path("parts/shards").exists(), "finished shards are gone");
    let (ok, out, err) = place.vstar(&["run", "run.toml"]);
    assert!(ok, "{out}\n{err}");
    let figures = |name: &str| report(&place.path(name))["estimates"].clone();
    assert_eq!(figures("parts/report.json"), figures("out/report.json"));
}

#[test]
fn bad_input_is_refused_with_place_and_remedy_and_nothing_is_left_behind() {
    let place = ready();
    let capture = |place: &Place, data: &str, more: &[&str]| {
        let model = model();
        let args = [&["capture", "--model", &model, "--data", data, "--out", "o"], more].concat();
        let err = place.refused(&args);
        assert!(!place.path("o/observations.safetensors").exists(), "half-written observations");
        err
    };
    place.write(
        "broken.jsonl",
        "{\"id\": \"a\", \"prompt\": \"x\", \"responses\": [{\"text\": \"y\"}]}\n{\"id\": \n",
    );
    let err = capture(&place, "broken.jsonl", &[]);
    assert!(err.contains("broken.jsonl:2"), "{err}");
    place.write("missing.jsonl", "{\"id\": \"a\", \"prompt\": \"x\"}\n");
    let err = capture(&place, "missing.jsonl", &[]);
    assert!(err.contains("missing.jsonl:1") && err.contains("responses"), "{err}");
    let long = format!(
        "{{\"id\": \"long\", \"prompt\": \"{}\", \"responses\": [{{\"text\": \"y\"}}]}}\n",
        "word ".repeat(9000)
    );
    place.write("long.jsonl", &long);
    let err = capture(&place, "long.jsonl", &[]);
    assert!(
        err.contains("long.jsonl:1") && err.contains("long, response 0") && err.contains("--skip-bad"),
        "{err}"
    );
    place.write("upper.jinja", "{% for m in messages %}{{ m.content | upper }}{% endfor %}");
    let err = capture(&place, "items.jsonl", &["--template", "upper.jinja"]);
    assert!(err.contains("cannot be found") && err.contains("items.jsonl:1") && err.contains("p0"), "{err}");
    let err = capture(&place, "nowhere.jsonl", &[]);
    assert!(err.contains("nowhere.jsonl"), "{err}");
    let err = capture(&place, "items.jsonl", &["--layers", "99"]);
    assert!(err.contains("layer 99"), "{err}");

    place.write("bad.toml", &experiment("o").replace("[judge]", "[judge]\ntemplat = \"x\"\n"));
    let err = place.refused(&["run", "bad.toml"]);
    assert!(err.contains("templat") && err.contains("`template`") && err.contains("bad.toml:"), "{err}");
    assert!(!place.path("o").join("manifest.json").exists());
}

fn copy_model(place: &Place, from: &str, to: &str) -> PathBuf {
    let target = place.path(to);
    fs::create_dir_all(&target).expect("a folder");
    for entry in fs::read_dir(fixture(from)).expect("the fixture") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, target.join(path.file_name().expect("a name"))).expect("copied");
    }
    target
}

#[test]
fn bad_models_are_refused_by_name() {
    let place = ready();
    let refused = |folder: &Path| {
        let folder = folder.to_string_lossy().into_owned();
        let err = place.refused(&["capture", "--model", &folder, "--data", "items.jsonl", "--out", "o"]);
        assert!(!place.path("o/observations.safetensors").exists());
        err
    };
    let edit = |folder: &Path, from: &str, to: &str| {
        let path = folder.join("config.json");
        let text = fs::read_to_string(&path).expect("a config");
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replace(from, to)).expect("a config");
    };
    let unknown = copy_model(&place, "models/llama_chat", "unknown");
    edit(&unknown, "\"llama\"", "\"mamba\"");
    let err = refused(&unknown);
    assert!(err.contains("mamba") && err.contains("model_type") && err.contains("llama"), "{err}");
    let deeper = copy_model(&place, "models/llama_chat", "deeper");
    edit(&deeper, "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4");
    let err = refused(&deeper);
    assert!(err.contains("lacks a tensor") && err.contains("layers.3."), "{err}");
    let wider = copy_model(&place, "models/llama_chat", "wider");
    edit(&wider, "\"vocab_size\": ", "\"vocab_size\": 1");
    let err = refused(&wider);
    assert!(err.contains("shape"), "{err}");
    let cut = copy_model(&place, "models/llama_chat", "cut");
    let weights = cut.join("model.safetensors");
    let bytes = fs::read(&weights).expect("weights");
    fs::write(&weights, &bytes[..bytes.len() - 10]).expect("cut");
    let err = refused(&cut);
    assert!(err.contains("not a whole safetensors file") && err.contains("model.safetensors"), "{err}");
    let empty = place.path("empty");
    fs::create_dir_all(&empty).expect("a folder");
    assert!(refused(&empty).contains("config.json"));
}

#[test]
fn a_shard_index_may_not_point_out_of_its_folder() {
    let place = ready();
    let folder = copy_model(&place, "models/llama_sharded", "sharded");
    let index = folder.join("model.safetensors.index.json");
    let text = fs::read_to_string(&index).expect("an index");
    let first = text.split('"').find(|s| s.ends_with(".safetensors")).expect("a shard").to_owned();
    fs::write(&index, text.replace(&first, "../model.safetensors")).expect("an index");
    let folder = folder.to_string_lossy().into_owned();
    // The tokenizer is read first and must be valid.
    let tokenizer = fixture("models/llama_chat/tokenizer.json");
    fs::copy(tokenizer, place.path("sharded/tokenizer.json")).expect("copied");
    let err = place.refused(&["capture", "--model", &folder, "--data", "items.jsonl", "--out", "o"]);
    assert!(err.contains("outside its folder"), "{err}");
}

#[test]
fn preview_shows_the_response_and_runs_nothing() {
    let place = ready();
    let model = model();
    let (ok, out, err) = place.vstar(&[
        "preview",
        "--model",
        &model,
        "--data",
        "items.jsonl",
        "--constitution",
        "none",
        "c/kind.toml",
        "--show",
        "1",
    ]);
    assert!(ok, "{out}\n{err}");
    assert!(out.contains("⟦yes to tea number 0⟧") && out.contains("Choose the kinder answer."), "{out}");
    assert!(out.contains("420 rows, 0 cannot be read"), "{out}");
}

#[test]
fn check_says_whether_the_numbers_can_be_trusted() {
    let place = Place::new();
    let model = model();
    let (ok, out, err) = place.vstar(&["check", &model]);
    assert!(ok && out.contains("passed") && out.contains("⟦Three old letters.⟧"), "{out}\n{err}");
    let (ok, out, err) = place.vstar(&["check", &model, "--dtype", "bf16"]);
    assert!(ok && out.contains("passed"), "{out}\n{err}");
}
