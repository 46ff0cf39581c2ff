//! Hostile input: every case gives an error that names its file, and nothing panics, grows without bound or is
//! half-written. Damaged items are in `input`, damaged observations in `foreign`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use candle_core::{DType, Device};
use proptest::prelude::*;
use serde_json::{Value, json};
use vstar::error::{Error, Kind};
use vstar::input::Prompt;
use vstar::model::chat::Template;
use vstar::model::text::TextEncoder;
use vstar::model::weights::{Checkpoint, TensorSource, WeightFiles};
use vstar::model::{Config, LoadOptions, Model, ModelFiles};

use crate::stories::fixture;

struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    /// A copy of a valid model.
    fn new(model: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for entry in fs::read_dir(fixture(&format!("models/{model}"))).expect("a fixture") {
            let path = entry.expect("an entry").path();
            fs::copy(&path, folder.path().join(path.file_name().expect("a name"))).expect("copied");
        }
        let tokenizer = fixture("models/llama_chat/tokenizer.json");
        fs::copy(tokenizer, folder.path().join("tokenizer.json")).expect("copied");
        Self { folder }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(file), bytes).expect("written");
    }

    fn read(&self, file: &str) -> Vec<u8> {
        fs::read(self.path(file)).expect("a file")
    }

    fn open(&self) -> Result<Model, Error> {
        let options = LoadOptions {
            dtype: DType::F32,
            device: Device::Cpu,
            stream: false,
            quantize: None,
            adapter: None,
        };
        Model::open(&ModelFiles::folder(self.folder.path()), "hostile", &options)
    }

    /// Asserts that the error names this file.
    fn refused(&self, file: &str) -> String {
        let text = match self.open() {
            Ok(_) => panic!("{file}: it should have been refused"),
            Err(e) => e.to_string(),
        };
        assert!(text.contains(file), "{file}: {text}");
        assert!(text.len() < 2000, "{text}");
        text
    }

    fn edit_config(&self, key: &str, value: &Value) {
        let mut config: Value = serde_json::from_slice(&self.read("config.json")).expect("JSON");
        // An existing key would override the one added here.
        config.as_object_mut().expect("an object").remove("rope_parameters");
        config[key] = value.clone();
        self.write("config.json", config.to_string());
    }
}

/// Bytes of a safetensors file with this header.
fn with_header(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; data]].concat()
}

#[test]
fn a_hostile_checkpoint_is_refused_before_it_is_believed() {
    let f32s = |from: usize, to: usize| {
        format!("{{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[{from},{to}]}}")
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("cut in the length", vec![1, 0, 0]),
        ("a length past the end", (1u64 << 20).to_le_bytes().to_vec()),
        ("a length of 2⁶⁴ − 1", [&u64::MAX.to_le_bytes()[..], b"{}"].concat()),
        ("a length of 2⁶³", [&(1u64 << 63).to_le_bytes()[..], b"{}"].concat()),
        ("no JSON", with_header("{", 0)),
        ("not an object", with_header("[1]", 0)),
        ("no UTF-8", [&2u64.to_le_bytes()[..], b"\xff\xfe"].concat()),
        ("overlap", with_header(&format!("{{\"a\":{},\"b\":{}}}", f32s(0, 8), f32s(4, 12)), 12)),
        ("a gap", with_header(&format!("{{\"a\":{},\"b\":{}}}", f32s(0, 8), f32s(16, 24)), 24)),
        ("past the end", with_header(&format!("{{\"a\":{}}}", f32s(0, 8)), 4)),
        ("more behind the last tensor", with_header(&format!("{{\"a\":{}}}", f32s(0, 8)), 9)),
        ("backwards", with_header(&format!("{{\"a\":{}}}", f32s(8, 0)), 8)),
        ("less than the shape", with_header(&format!("{{\"a\":{}}}", f32s(0, 4)), 4)),
        (
            "a shape that overflows",
            with_header(
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,8],\"data_offsets\":[0,0]}}",
                0,
            ),
        ),
        (
            "an unknown dtype",
            with_header("{\"a\":{\"dtype\":\"X9\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8),
        ),
        ("deep JSON", with_header(&"[".repeat(100_000), 0)),
    ];
    let scene = Scene::new("llama_chat");
    for (what, bytes) in cases {
        scene.write("model.safetensors", bytes);
        let text = scene.refused("model.safetensors");
        assert!(text.contains("safetensors"), "{what}: {text}");
    }
    // A valid file that lacks tensors required by the config.
    scene.write("model.safetensors", with_header("{}", 0));
    assert!(scene.refused("model.safetensors").contains("lacks a tensor"));
}

#[test]
fn tensors_of_another_dtype_or_shape_are_refused_by_name() {
    let scene = Scene::new("llama_chat");
    let good = scene.read("model.safetensors");
    let header = u64::from_le_bytes(good[..8].try_into().expect("8 bytes")) as usize;
    let mut json: Value = serde_json::from_slice(&good[8..8 + header]).expect("a header");
    let name = "model.layers.1.mlp.down_proj.weight";
    let write = |json: &Value| {
        let text = json.to_string();
        let bytes = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &good[8 + header..]].concat();
        scene.write("model.safetensors", bytes);
    };
    for dtype in ["I32", "U32"] {
        json[name]["dtype"] = dtype.into();
        write(&json);
        let text = scene.refused(name);
        assert!(text.contains(dtype) && text.contains("dtype F32, BF16, F16 or F64"), "{text}");
    }
    json[name]["dtype"] = "F32".into();
    json[name]["shape"].as_array_mut().expect("a shape").reverse();
    write(&json);
    assert!(scene.refused(name).contains("shape"));
    json.as_object_mut().expect("an object").remove("__metadata__");
    let taken = json.as_object_mut().expect("an object").remove(name).expect("a tensor");
    json["renamed"] = taken;
    write(&json);
    assert!(scene.refused(name).contains("lacks a tensor"));
}

#[test]
fn an_index_leads_nowhere_but_to_its_shards() {
    let scene = Scene::new("llama_sharded");
    scene.open().expect("the fixture is good");
    let index = "model.safetensors.index.json";
    let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    let outside = tempfile::tempdir().expect("a folder");
    let stolen = outside.path().join("x.safetensors");
    fs::copy(scene.path(shards[0]), &stolen).expect("copied");
    for file in ["../x.safetensors", "a/../../x.safetensors", "sub/x.safetensors", "", ".", "..", "/"]
        .into_iter()
        .chain([stolen.to_str().expect("a path")])
    {
        scene.write(index, json!({"weight_map": {"a": shards[0], "b": file}}).to_string());
        assert!(scene.refused(index).contains("outside its folder"), "{file}");
    }
    for (text, what) in [
        ("{", "not JSON"),
        ("[]", "no weight map"),
        ("{\"weight_map\": []}", "no weight map"),
        ("{\"weight_map\": {}}", "names no file"),
        ("{\"weight_map\": {\"a\": 1}}", "not a string"),
    ] {
        scene.write(index, text);
        assert!(scene.refused(index).contains(what), "{text}");
    }
    scene.write(index, [b"{\"weight_map\": {\"a\": \"".as_slice(), b"\xff\xfe", b"\"}}"].concat());
    scene.refused(index);
    scene.write(index, json!({"weight_map": {"a": shards[0], "b": "model-00009.safetensors"}}).to_string());
    assert!(scene.refused("model-00009.safetensors").contains("not there"));
    // One shard under two names, so that a tensor occurs in two files.
    fs::copy(scene.path(shards[0]), scene.path("again.safetensors")).expect("copied");
    scene.write(index, json!({"weight_map": {"a": shards[0], "b": "again.safetensors"}}).to_string());
    assert!(scene.refused("safetensors").contains("two files"));
}

#[test]
#[cfg(unix)]
fn files_may_be_links_as_in_the_hubs_cache() {
    let scene = Scene::new("llama_chat");
    let blobs = tempfile::tempdir().expect("a folder");
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        let blob = blobs.path().join(file);
        fs::copy(scene.path(file), &blob).expect("copied");
        fs::remove_file(scene.path(file)).expect("removed");
        std::os::unix::fs::symlink(&blob, scene.path(file)).expect("a link");
    }
    scene.open().expect("it loads");
    fs::remove_file(blobs.path().join("model.safetensors")).expect("removed");
    let error = scene.open().err().expect("a dangling link is no file");
    assert_eq!(error.kind(), Some(Kind::Missing), "{error}");
}

#[test]
fn a_config_of_absurd_numbers_is_refused_by_its_key() {
    let sizes = [
        "hidden_size",
        "intermediate_size",
        "vocab_size",
        "num_attention_heads",
        "num_key_value_heads",
        "num_hidden_layers",
        "max_position_embeddings",
        "head_dim",
    ];
    let absurd = [
        json!(-1),
        json!(0),
        json!(1.5),
        json!(1u64 << 40),
        json!(u64::MAX),
        json!(1e300),
        json!("8"),
        json!([8]),
        json!(true),
    ];
    for key in sizes {
        for value in &absurd {
            let scene = Scene::new("llama_chat");
            scene.edit_config(key, value);
            let text = scene.refused("config.json");
            // A size of 0 may be blamed on the key that it divides.
            assert!(
                text.contains(key) || text.contains("num_") || text.contains("head_dim"),
                "{key} {value}: {text}"
            );
        }
    }
    for (key, value) in [
        ("rms_norm_eps", json!(-1.0)),
        ("rms_norm_eps", json!("small")),
        ("rope_theta", json!(0.0)),
        ("rope_theta", json!(-5)),
        ("partial_rotary_factor", json!(1e30)),
        ("partial_rotary_factor", json!(-0.5)),
        ("partial_rotary_factor", json!(0.0)),
        ("rope_scaling", json!({"rope_type": "linear", "factor": 0})),
        ("rope_scaling", json!({"rope_type": "linear", "factor": -2.0})),
        ("rope_scaling", json!({"rope_type": "dynamic", "factor": 2.0})),
        ("rope_scaling", json!([1])),
        ("rope_scaling", json!({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 0})),
        (
            "rope_scaling",
            json!({"rope_type": "llama3", "factor": 1e-320, "low_freq_factor": 1, "high_freq_factor": 4}),
        ),
        ("hidden_act", json!("mish")),
        ("attention_bias", json!("yes")),
        ("model_type", json!(null)),
        ("model_type", json!({})),
        ("quantization_config", json!({"bits": 4})),
    ] {
        let scene = Scene::new("llama_chat");
        scene.edit_config(key, &value);
        assert!(scene.refused("config.json").contains(key), "{key} {value}");
    }
    let scene = Scene::new("llama_chat");
    for text in ["", "{", "[]", "null", "\"x\"", &"[".repeat(100_000), "{\"model_type\": \"llama\"}"] {
        scene.write("config.json", text);
        scene.refused("config.json");
    }
    scene.write("config.json", b"{\"model_type\": \"\xff\"}");
    scene.refused("config.json");
}

#[test]
fn a_broken_tokenizer_is_refused() {
    let scene = Scene::new("llama_chat");
    let good: Value = serde_json::from_slice(&scene.read("tokenizer.json")).expect("JSON");
    for text in ["", "{", "{}", "[]", "null", "{\"model\": {\"type\": \"BPE\"}}", &"[".repeat(100_000)] {
        scene.write("tokenizer.json", text);
        scene.refused("tokenizer.json");
    }
    scene.write("tokenizer.json", b"\xff\xfe\x00");
    scene.refused("tokenizer.json");
    for (key, value) in [
        ("model", json!({"type": "Nothing"})),
        ("model", json!({"type": "BPE", "vocab": {"a": 0}, "merges": [["x", "y"]]})),
        ("model", json!({"type": "BPE", "vocab": {"a": -1}, "merges": []})),
        (
            "pre_tokenizer",
            json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false}),
        ),
        ("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"})),
    ] {
        let mut bad = good.clone();
        bad[key] = value.clone();
        scene.write("tokenizer.json", bad.to_string());
        let text = scene.refused("tokenizer.json");
        assert!(text.contains("cannot be read"), "{key} {value}: {text}");
    }
    fs::remove_file(scene.path("tokenizer.json")).expect("removed");
    assert!(scene.refused("tokenizer.json").contains("no tokenizer.json"));
    // Companion files.
    let scene = Scene::new("llama_chat");
    scene.write("tokenizer_config.json", "{\"chat_template\": ");
    assert!(scene.refused("tokenizer_config.json").contains("not JSON"));
}

#[test]
fn ids_past_the_embeddings_are_refused_not_read() {
    let scene = Scene::new("llama_chat");
    let mut tokenizer: Value = serde_json::from_slice(&scene.read("tokenizer.json")).expect("JSON");
    tokenizer["added_tokens"].as_array_mut().expect("a list").push(json!({
        "id": 4_000_000_000u32, "content": "<far>", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": false
    }));
    scene.write("tokenizer.json", tokenizer.to_string());
    if let Ok(model) = scene.open() {
        let ids = model.encoder.encode("a <far> b").expect("ids");
        let blocks = vstar::units::Layer(model.decoder.config().num_blocks());
        let run = |ids: &[u32]| {
            let packing = vstar::model::Packing::single(ids);
            model.decoder.residual_stream(&packing, blocks, &mut vstar::model::decoder::NoHook)
        };
        if ids.iter().any(|&id| id as usize >= model.decoder.config().vocab_size) {
            assert_eq!(run(&ids).expect_err("refused").kind(), Some(Kind::Invalid));
        }
        assert_eq!(run(&[4_000_000_000]).expect_err("refused").kind(), Some(Kind::Invalid));
    }
}

#[test]
fn a_hostile_template_is_refused_within_bounds() {
    let path = Path::new("chat_template.jinja");
    for source in ["{% for m in messages %}", "{{ messages[", "{% endif %}", "{{ 'a' | nothing_like_it }}"] {
        let error = Template::jinja(source, BTreeMap::new(), path)
            .and_then(|t| t.render(None, &Prompt::Text("a".into()), "b"))
            .expect_err("refused");
        assert_eq!(error.kind(), Some(Kind::Malformed), "{source}: {error}");
        assert!(error.to_string().contains("chat_template.jinja"), "{error}");
    }
    for source in [
        // Endless loops.
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        // Long output in few steps.
        "{% set x = 'x' * 100000 %}{% for a in range(99999) %}{{ x }}{% endfor %}",
        "{{ 'x' * 10000000000 }}",
        "{{ range(10000000000) | list }}",
        // Other files, and features that a model has no need of.
        "{% include '/etc/passwd' %}",
        "{% import '/etc/passwd' as x %}",
        "{% extends '/etc/passwd' %}",
        "{{ messages.__class__.__init__.__globals__['os'].popen('id').read() }}",
        "{{ raise_exception('no') }}",
    ] {
        let template = Template::jinja(source, BTreeMap::new(), path).expect("it parses");
        let start = std::time::Instant::now();
        let error = template.render(None, &Prompt::Text("a".into()), "b").expect_err(source);
        assert!(start.elapsed().as_secs() < 20, "{source}");
        assert!(matches!(error.kind(), Some(Kind::Malformed | Kind::ResponseNotFound)), "{source}: {error}");
        assert!(error.to_string().len() < 2000 && !error.to_string().contains("root:"), "{error}");
    }
    // An error in a template from the model's own files names those files.
    let scene = Scene::new("llama_chat");
    scene.write("chat_template.jinja", "{% for m in messages %}");
    let model = scene.open().expect("templates are compiled when they are asked for");
    let error = model.template(None).err().expect("refused").to_string();
    assert!(error.contains("chat_template") && error.contains("does not parse"), "{error}");
}

/// Runs `vstar` with a model and this file of items: asserts that it fails, names the place, and leaves no output.
fn refused_items(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("items.jsonl"), bytes).expect("items");
    let model = fixture("models/llama_chat");
    let output = Command::cargo_bin("vstar")
        .expect("the program")
        .current_dir(folder.path())
        .args(["capture", "--model", &model.to_string_lossy(), "--data", "items.jsonl", "--out", "out"])
        .output()
        .expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("items.jsonl:") && !stderr.contains("panicked"), "{stderr}");
    assert!(stderr.len() < 3000, "{} bytes of error", stderr.len());
    let mut left = Vec::new();
    if let Ok(entries) = fs::read_dir(folder.path().join("out")) {
        left.extend(entries.map(|e| e.expect("an entry").file_name()).filter(|n| n != "shards"));
    }
    assert!(left.is_empty(), "left behind: {left:?}");
    stderr
}

#[test]
fn hostile_items_are_refused_by_line_and_leave_nothing_behind() {
    let good = "{\"id\": \"a\", \"prompt\": \"the tea\", \"responses\": [\"is good\"]}\n";
    let after = |line: &[u8]| [good.as_bytes(), line].concat();
    let long = |n: usize| {
        format!("{{\"id\": \"b\", \"prompt\": \"{}\", \"responses\": [\"y\"]}}\n", "tea ".repeat(n))
    };
    assert!(
        refused_items(&after(b"{\"id\": \"b\", \"prompt\": \"x\0y\", \"responses\": [\"z\"]}\n"))
            .contains(":2")
    );
    assert!(refused_items(&after(b"\0\0\0\0\n")).contains(":2"));
    assert!(
        refused_items(&after(b"{\"id\": \"b\", \"prompt\": \"\xff\xfe\", \"responses\": [\"z\"]}\n"))
            .contains(":2")
    );
    assert!(refused_items(&after(b"{\"id\": \"b\",\r\n")).contains(":2"));
    // 10 MB of one text: read, and refused as longer than the model's context before it becomes tokens.
    let error = refused_items(&after(long(2_500_000).as_bytes()));
    assert!(error.contains(":2") && error.contains("--skip-bad"), "{error}");
    // 10 MB that are not JSON, and one bracket 10 million times.
    assert!(refused_items(&after(&vec![b'x'; 10 << 20])).contains(":2"));
    assert!(refused_items(&after(&vec![b'{'; 10 << 20])).contains(":2"));
}

#[test]
fn byte_order_mark_carriage_returns_and_escaped_nul_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let rows = "{\"id\": \"a\", \"prompt\": \"the tea\", \"responses\": [\"is good\"]}";
    let nul = "{\"id\": \"b\", \"prompt\": \"the \\u0000 tea\", \"responses\": [\"is\\u0000good\"]}";
    fs::write(folder.path().join("items.jsonl"), format!("\u{feff}{rows}\r\n\r\n{nul}\r\n")).expect("items");
    let model = fixture("models/llama_chat");
    let output = Command::cargo_bin("vstar")
        .expect("the program")
        .current_dir(folder.path())
        .args(["capture", "--model", &model.to_string_lossy(), "--data", "items.jsonl", "--out", "out"])
        .output()
        .expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && stdout.contains("2 rows"), "{stdout}{stderr}");
}

#[derive(Debug, Clone)]
enum Damage {
    Cut(usize),
    Replace(usize, u8),
    Insert(usize, Vec<u8>),
    Digits(usize, u64),
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<usize>();
    prop_oneof![
        at.prop_map(Damage::Cut),
        (at, any::<u8>()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (at, proptest::collection::vec(any::<u8>(), 1..9)).prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        (at, any::<u64>()).prop_map(|(at, number)| Damage::Digits(at, number)),
    ]
}

/// Damages the first `within` bytes, because damage in the header has an effect.
fn apply(bytes: &mut Vec<u8>, within: usize, damage: &Damage) {
    let within = within.min(bytes.len()).max(1);
    match damage {
        Damage::Cut(at) => bytes.truncate(at % within),
        Damage::Replace(at, byte) => {
            if let Some(b) = bytes.get_mut(at % within) {
                *b = *byte;
            }
        }
        Damage::Insert(at, new) => {
            let at = (at % within).min(bytes.len());
            bytes.splice(at..at, new.iter().copied());
        }
        // Another number where one stands: what JSON still takes.
        Damage::Digits(at, number) => {
            let from = (at % within).min(bytes.len());
            let Some(start) = bytes[from..].iter().position(u8::is_ascii_digit).map(|s| from + s) else {
                return;
            };
            let end =
                bytes[start..].iter().position(|b| !b.is_ascii_digit()).map_or(bytes.len(), |e| start + e);
            let number = if number % 2 == 0 { number % 50 } else { *number };
            bytes.splice(start..end, number.to_string().into_bytes());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn damaged_weights_are_read_or_refused_and_nothing_panics(
        damages in proptest::collection::vec(damage(), 1..4),
    ) {
        let mut bytes = fs::read(fixture("models/llama_chat/model.safetensors")).expect("weights");
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
        for one in &damages {
            apply(&mut bytes, header, one);
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.safetensors");
        fs::write(&path, &bytes).expect("written");
        match Checkpoint::from_files(&[path], DType::F32, &Device::Cpu) {
            Ok(checkpoint) => {
                let _ = checkpoint.parameters();
                let _ = checkpoint.unused();
                let _ = checkpoint.tensor("model.norm.weight", &[32]);
                let _ = checkpoint.tensor("model.layers.0.mlp.up_proj.weight", &[64, 32]);
            }
            Err(error) => prop_assert!(error.to_string().contains("model.safetensors"), "{}", error),
        }
    }

    #[test]
    fn damaged_configs_are_read_or_refused_and_nothing_panics(
        family in 0usize..12,
        damages in proptest::collection::vec(damage(), 1..4),
    ) {
        let families = [
            "llama_rope_llama3", "llama_rope_yarn", "mistral", "qwen2_window", "qwen3", "gemma2", "gemma3_text",
            "phi3_longrope", "gpt2", "gpt_neox", "smollm3_window", "granite",
        ];
        let mut bytes = fs::read(fixture("models").join(families[family]).join("config.json")).expect("a config");
        for one in &damages {
            apply(&mut bytes, usize::MAX, one);
        }
        let text = String::from_utf8_lossy(&bytes);
        match Config::from_json(&text, Path::new("config.json")) {
            Ok(config) => prop_assert!(config.heads.is_multiple_of(config.kv_heads)),
            Err(error) => {
                let shown = error.to_string();
                prop_assert!(shown.contains("config.json") && shown.len() < 4000, "{}", shown);
            }
        }
    }

    #[test]
    fn damaged_tokenizers_are_read_or_refused_and_nothing_panics(
        kind in 0usize..5,
        damages in proptest::collection::vec(damage(), 1..4),
    ) {
        let kinds = ["word_level", "sentencepiece_bpe", "unigram", "byte_level_bpe", "byte_level_bos"];
        let path = fixture("tokenizers").join(kinds[kind]).join("tokenizer.json");
        let mut bytes = fs::read(path).expect("a tokenizer");
        for one in &damages {
            apply(&mut bytes, usize::MAX, one);
        }
        let path = Path::new("tokenizer.json");
        match TextEncoder::from_bytes(&bytes, path, Some("<s>"), Some(1)) {
            Ok(encoder) => {
                let text = "The tea – 日本 is\n\n good\u{0}.";
                if let Ok(ids) = encoder.encode(text) {
                    let _ = encoder.decode(&ids);
                }
                let _ = encoder.encode_response(text, 4..7);
                let _ = encoder.decode(&[0, 5, u32::MAX]);
            }
            Err(error) => prop_assert!(error.to_string().contains("tokenizer.json"), "{}", error),
        }
    }
}
