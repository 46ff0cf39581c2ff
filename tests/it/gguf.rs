//! GGUF files: every family compared with transformers in float64, every tensor type, settings that fail silently,
//! and damaged or hostile files.
//!
//! `scripts/fixtures/make_gguf.py` writes the files and the references.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device};
use proptest::prelude::*;
use vstar::error::{Error, Kind};
use vstar::model::config::{Activation, FAMILIES, Mlp};
use vstar::model::decoder::{NoHook, SharedSource};
use vstar::model::gguf::{ARCHITECTURES, GgufCheckpoint, GgufFile, config};
use vstar::model::weights::{TensorSource, WeightFiles};
use vstar::model::{Config, Decoder, LoadOptions, Model, ModelFiles, Packing};
use vstar::units::Layer;

use crate::parity::compare;
use crate::stories::fixture;

/// The first file of a fixture.
fn first(folder: &Path) -> PathBuf {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("a fixture")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "gguf"))
        .collect();
    files.sort();
    files.swap_remove(0)
}

/// Folders under `tests/fixtures/gguf` that hold a reference.
fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<_> = std::fs::read_dir(fixture("gguf"))
        .expect("the fixtures")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.join("reference.safetensors").is_file())
        .collect();
    folders.sort();
    folders
}

fn open(path: &Path, dtype: DType) -> Arc<GgufCheckpoint> {
    let file = GgufFile::open(path).expect("a GGUF file");
    let config = config(&file).expect("a supported model");
    Arc::new(GgufCheckpoint::new(file, &config, dtype, &Device::Cpu))
}

fn decoder(path: &Path, dtype: DType, stream: bool) -> Decoder {
    let config = config(&GgufFile::open(path).expect("a GGUF file")).expect("a supported model");
    let checkpoint = open(path, dtype);
    let source: SharedSource = checkpoint.clone();
    let decoder = if stream {
        Decoder::stream(config, &source).expect("weights")
    } else {
        Decoder::load(config, source.as_ref()).expect("weights")
    };
    assert_eq!(checkpoint.unused(), Vec::<String>::new(), "unused tensors in {}", path.display());
    decoder
}

#[test]
fn every_family_agrees_with_transformers() {
    let mut seen = Vec::new();
    for folder in folders() {
        let path = first(&folder);
        let ours = decoder(&path, DType::F32, false);
        let worst = compare(&ours, &folder);
        assert!(
            worst.resid < 2e-5 && worst.logprob < 1e-4,
            "{}: residual {:.1e} of the RMS, log P {:.1e}",
            folder.display(),
            worst.resid,
            worst.logprob
        );
        let exact = compare(&decoder(&path, DType::F64, false), &folder);
        // Settings are stored in 32 bits, and so are the numbers that blocks stand for; transformers computes the angles
        // of rotations in 32 bits whatever the dtype.
        assert!(exact.resid < 3e-6, "{}: {:.1e} in f64", folder.display(), exact.resid);
        seen.push(ours.config().family.model_type());
    }
    for (arch, family) in ARCHITECTURES {
        assert!(seen.contains(family), "no fixture of architecture {arch}");
    }
    for (_, family, _) in FAMILIES {
        assert!(seen.contains(family), "no fixture of family {family}");
    }
}

/// The residual stream after the last block of a text.
fn stream_of(decoder: &Decoder, tokens: &[u32]) -> Vec<Vec<f32>> {
    let last = Layer(decoder.config().num_blocks());
    let x = decoder.residual_stream(&Packing::single(tokens), last, &mut NoHook).expect("a forward");
    x.to_dtype(DType::F32).and_then(|x| x.to_vec2()).expect("numbers")
}

#[test]
fn streamed_and_resident_weights_compute_the_same_bits() {
    for folder in folders() {
        let path = first(&folder);
        for dtype in [DType::F32, DType::BF16] {
            let (resident, streamed) = (decoder(&path, dtype, false), decoder(&path, dtype, true));
            let tokens = [1, 7, 30, 12, 5];
            assert!(stream_of(&resident, &tokens) == stream_of(&streamed, &tokens), "{}", folder.display());
            assert!(streamed.bytes() == 0 && resident.bytes() > 0);
        }
    }
}

#[test]
fn every_type_of_tensor_is_dequantised_as_the_gguf_package_does() {
    let folder = fixture("gguf/types");
    let file = GgufFile::open(&first(&folder)).expect("a GGUF file");
    let expected = candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu)
        .expect("the expected numbers");
    assert_eq!(expected.len(), 15, "candle reads 15 types");
    for (name, expected) in &expected {
        let ours: Vec<Vec<f32>> =
            file.read(name, DType::F32).and_then(|t| Ok(t.to_vec2()?)).expect("numbers");
        let theirs: Vec<Vec<f32>> = expected.to_vec2().expect("numbers");
        let largest = theirs.iter().flatten().fold(0f32, |m, v| m.max(v.abs()));
        for (a, b) in ours.iter().flatten().zip(theirs.iter().flatten()) {
            assert!((a - b).abs() <= 1e-6 * largest, "{name}: {a} for {b}");
        }
        // A narrower dtype is the f32 rounded once, a wider one the f32 itself.
        let wide: Vec<Vec<f64>> =
            file.read(name, DType::F64).and_then(|t| Ok(t.to_vec2()?)).expect("numbers");
        assert!(wide.iter().flatten().zip(ours.iter().flatten()).all(|(w, o)| *w == f64::from(*o)), "{name}");
        let narrow =
            file.read(name, DType::BF16).and_then(|t| Ok(t.to_dtype(DType::F32)?.to_vec2::<f32>()?));
        let rounded = |v: f32| half::bf16::from_f32(v).to_f32();
        let narrow = narrow.expect("numbers");
        assert!(narrow.iter().flatten().zip(ours.iter().flatten()).all(|(n, o)| *n == rounded(*o)), "{name}");
    }
}

#[test]
fn rows_are_those_of_the_whole_whatever_the_layout() {
    for (name, tensor, shape) in [
        ("llama", "model.embed_tokens.weight", [48, 32]),
        ("llama", "model.layers.1.self_attn.k_proj.weight", [20, 32]),
        ("gpt2", "transformer.h.0.mlp.c_fc.weight", [32, 96]),
        ("gpt_neox", "gpt_neox.layers.0.attention.query_key_value.weight", [96, 32]),
    ] {
        let source = open(&first(&fixture(&format!("gguf/{name}"))), DType::F32);
        let whole = source.matrix(tensor, &shape).expect("a matrix");
        let rows = source.rows(tensor, &shape, 5, 7).expect("rows");
        let part =
            whole.narrow(0, 5, 7).and_then(|t| t.to_dtype(DType::F32)?.to_vec2::<f32>()).expect("rows");
        assert!(
            rows.to_dtype(DType::F32).and_then(|t| t.to_vec2::<f32>()).expect("rows") == part,
            "{tensor}"
        );
        let error = source.matrix(tensor, &[shape[0] + 1, shape[1]]).expect_err("another shape").to_string();
        assert!(error.contains("shape") && error.contains("model"), "{error}");
    }
}

/// A GGUF file assembled byte by byte.
#[derive(Clone)]
struct Raw {
    version: u32,
    entries: Vec<(String, Bytes)>,
    tensors: Vec<(String, Vec<u64>, u32, u64)>,
    data: usize,
}

/// The bytes of a value after its type.
type Bytes = (u32, Vec<u8>);

fn number(value: u32) -> Bytes {
    (4, value.to_le_bytes().to_vec())
}

fn real(value: f32) -> Bytes {
    (6, value.to_le_bytes().to_vec())
}

fn text(value: &str) -> Bytes {
    (8, [&(value.len() as u64).to_le_bytes()[..], value.as_bytes()].concat())
}

fn flag(value: bool) -> Bytes {
    (7, vec![u8::from(value)])
}

/// An array of numbers.
fn list(values: &[u32]) -> Bytes {
    let mut bytes = [&4u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    (9, bytes)
}

impl Raw {
    /// A model with this architecture and settings that are valid for most.
    fn model(arch: &str) -> Self {
        let mut raw = Self { version: 3, entries: Vec::new(), tensors: Vec::new(), data: 0 };
        raw.set("general.architecture", text(arch));
        for (key, value) in [
            ("block_count", 2),
            ("context_length", 64),
            ("embedding_length", 32),
            ("feed_forward_length", 64),
            ("attention.head_count", 4),
        ] {
            raw.set(&format!("{arch}.{key}"), number(value));
        }
        for key in ["attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon"] {
            raw.set(&format!("{arch}.{key}"), real(1e-5));
        }
        raw.tensor("token_embd.weight", &[32, 48]);
        raw
    }

    fn set(&mut self, key: &str, value: Bytes) {
        self.entries.retain(|(k, _)| k != key);
        self.entries.push((key.to_owned(), value));
    }

    /// Adds a tensor of zeros in f32, the innermost dimension first.
    fn tensor(&mut self, name: &str, dims: &[u64]) {
        self.tensors.push((name.to_owned(), dims.to_vec(), 0, self.data as u64));
        self.data += (dims.iter().product::<u64>() as usize * 4).next_multiple_of(32);
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        let string = |out: &mut Vec<u8>, text: &str| {
            out.extend((text.len() as u64).to_le_bytes());
            out.extend(text.as_bytes());
        };
        out.extend(self.version.to_le_bytes());
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.entries.len() as u64).to_le_bytes());
        for (key, (kind, value)) in &self.entries {
            string(&mut out, key);
            out.extend(kind.to_le_bytes());
            out.extend(value);
        }
        for (name, dims, kind, offset) in &self.tensors {
            string(&mut out, name);
            out.extend((dims.len() as u32).to_le_bytes());
            out.extend(dims.iter().flat_map(|d| d.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend(offset.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(32) + self.data, 0);
        out
    }

    fn write(&self, folder: &Path) -> PathBuf {
        write(folder, &self.bytes())
    }
}

fn write(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("raw.gguf");
    std::fs::write(&path, bytes).expect("written");
    path
}

/// The error for a file, if it is rejected.
fn diagnostic(path: &Path) -> Option<(Kind, String)> {
    match GgufFile::open(path).and_then(|file| config(&file)) {
        Ok(_) => None,
        Err(e @ Error::Diagnostic(_)) => Some((e.kind().expect("a kind"), e.to_string())),
        Err(e) => panic!("not a refusal: {e}"),
    }
}

#[test]
fn settings_that_are_not_implemented_are_refused_by_their_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let cases: Vec<(&str, &str, Bytes)> = vec![
        ("llama", "expert_count", number(8)),
        ("llama", "attention.value_length", number(4)),
        ("llama", "rope.dimension_count", number(4)),
        ("llama", "rope.scaling.type", text("longrope")),
        ("llama", "rope.scaling.type", text("dynamic")),
        ("llama", "rope.scaling.yarn_beta_fast", real(2.0)),
        ("llama", "rope.scaling.attn_factor", real(1.5)),
        ("llama", "attention.causal", flag(false)),
        ("llama", "attention.scale", real(0.1)),
        ("llama", "embedding_scale", real(2.0)),
        ("llama", "residual_scale", real(2.0)),
        ("llama", "logit_scale", real(2.0)),
        ("llama", "attn_logit_softcapping", real(5.0)),
        ("llama", "final_logit_softcapping", real(5.0)),
        ("llama", "attention.clamp_kqv", real(5.0)),
        ("llama", "attention.max_alibi_bias", real(8.0)),
        ("llama", "attention.head_count_kv", list(&[4, 2])),
        ("llama", "attention.head_count", list(&[4, 2])),
        ("llama", "feed_forward_length", list(&[64, 32])),
        ("llama", "rope.freq_base_swa", real(5.0)),
        ("llama", "something.new", number(1)),
        ("qwen2", "attention.sliding_window", number(4)),
        ("olmo2", "attention.sliding_window", number(4)),
        ("smollm3", "attention.sliding_window", number(4)),
        ("granite", "attention.sliding_window", number(4)),
        ("gemma2", "residual_scale", real(2.0)),
        ("gptneox", "attention.sliding_window", number(4)),
        ("gpt2", "rope.freq_base", real(100.0)),
        ("gpt2", "attention.head_count_kv", number(2)),
    ];
    for (arch, key, value) in cases {
        let mut raw = Raw::model(arch);
        assert_eq!(diagnostic(&raw.write(folder.path())), None, "{arch} without {key}");
        raw.set(&format!("{arch}.{key}"), value);
        let (kind, shown) =
            diagnostic(&raw.write(folder.path())).unwrap_or_else(|| panic!("{arch} with {key} is read"));
        assert_eq!(kind, Kind::Unsupported, "{shown}");
        assert!(shown.contains(&format!("{arch}.{key}")) && shown.contains("raw.gguf"), "{shown}");
    }
    // Values for which a key has no effect.
    let mut raw = Raw::model("llama");
    for (key, value) in [
        ("expert_count", number(0)),
        ("attention.causal", flag(true)),
        ("attention.scale", real(1.0 / 8f32.sqrt())),
        ("attention.head_count_kv", list(&[2, 2])),
        ("residual_scale", real(1.0)),
        ("rope.scaling.type", text("none")),
        ("attention.sliding_window", number(0)),
        ("vocab_size", number(50)),
    ] {
        raw.set(&format!("llama.{key}"), value);
    }
    assert_eq!(diagnostic(&raw.write(folder.path())), None);
}

#[test]
fn what_makes_no_sense_names_the_key_of_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    for (key, value) in [
        ("attention.head_count_kv", number(3)),
        ("attention.head_count", number(0)),
        ("context_length", number(0)),
        ("block_count", number(100_000)),
        ("rope.freq_base", real(0.5)),
        ("attention.layer_norm_rms_epsilon", real(-1.0)),
        ("attention.key_length", number(7)),
        ("embedding_length", text("wide")),
        ("attention.layer_norm_rms_epsilon", real(f32::NAN)),
    ] {
        let mut raw = Raw::model("llama");
        raw.set(&format!("llama.{key}"), value);
        if key == "attention.key_length" {
            raw.set("llama.attention.value_length", number(7));
        }
        let (_, shown) = diagnostic(&raw.write(folder.path())).unwrap_or_else(|| panic!("{key} is read"));
        assert!(shown.contains(&format!("[llama.{key}]")) || key == "attention.key_length", "{shown}");
    }
    let mut raw = Raw::model("llama");
    raw.entries.retain(|(key, _)| key != "llama.context_length");
    let (kind, shown) = diagnostic(&raw.write(folder.path())).expect("a refusal");
    assert!(kind == Kind::Missing && shown.contains("llama.context_length"), "{shown}");
}

#[test]
fn other_architectures_and_kinds_of_files_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let (kind, shown) = diagnostic(&Raw::model("qwen2moe").write(folder.path())).expect("a refusal");
    assert!(kind == Kind::Unsupported && shown.contains("qwen2moe") && shown.contains("gptneox"), "{shown}");
    let mut raw = Raw::model("llama");
    raw.set("general.type", text("mmproj"));
    let (kind, shown) = diagnostic(&raw.write(folder.path())).expect("a refusal");
    assert!(kind == Kind::Unsupported && shown.contains("mmproj"), "{shown}");
    let mut raw = Raw::model("llama");
    raw.tensors.clear();
    let (kind, shown) = diagnostic(&raw.write(folder.path())).expect("a refusal");
    assert!(kind == Kind::Weights && shown.contains("token_embd.weight"), "{shown}");
}

#[test]
fn rotary_factors_are_used_or_refused_never_ignored() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arch, name, width) in [
        ("llama", "rope_freqs.weight", 4),
        ("qwen2", "rope_freqs.weight", 4),
        ("gpt2", "rope_freqs.weight", 4),
        ("llama", "rope_factors_long.weight", 4),
        ("phi3", "rope_factors_short.weight", 4),
        ("llama", "rope_freqs.weight", 3),
    ] {
        // Zeros are invalid factors: the value that is read is rejected.
        let mut raw = Raw::model(arch);
        raw.tensor(name, &[width]);
        let (_, shown) =
            diagnostic(&raw.write(folder.path())).unwrap_or_else(|| panic!("{name} in {arch} is ignored"));
        assert!(shown.contains(name), "{shown}");
    }
}

/// The config of a raw model.
fn config_of(raw: &Raw) -> Config {
    let folder = tempfile::tempdir().expect("a folder");
    config(&GgufFile::open(&raw.write(folder.path())).expect("a file")).expect("a config")
}

#[test]
fn what_files_leave_out_follows_the_models_they_stand_for() {
    // Query scale: the width of a head, but for the 27B models.
    for (arch, blocks, scale) in
        [("gemma2", 26, 16.0), ("gemma2", 46, 8.0), ("gemma3", 26, 16.0), ("gemma3", 62, 8.0)]
    {
        let mut raw = Raw::model(arch);
        raw.set(&format!("{arch}.block_count"), number(blocks));
        raw.set(&format!("{arch}.attention.key_length"), number(16));
        raw.set(&format!("{arch}.attention.value_length"), number(16));
        let config = config_of(&raw);
        assert!((config.attention_scale - f64::powf(scale, -0.5)).abs() < 1e-12, "{arch} {blocks}");
    }
    let windows = |config: &Config| config.blocks.iter().map(|b| b.window).collect::<Vec<_>>();
    // Gemma 2: every other block, 4096 wide where the file does not say, caps of 50 and 30.
    let config = config_of(&Raw::model("gemma2"));
    assert_eq!(windows(&config), [Some(4096), None]);
    assert_eq!((config.attention_softcap, config.logit_softcap), (Some(50.0), Some(30.0)));
    // Gemma 3: five of six blocks with a window and their own base; none without a window.
    let mut raw = Raw::model("gemma3");
    raw.set("gemma3.block_count", number(7));
    raw.set("gemma3.rope.freq_base", real(1e6));
    assert_eq!(windows(&config_of(&raw)), [None; 7]);
    raw.set("gemma3.attention.sliding_window", number(9));
    let config = config_of(&raw);
    let five = [Some(9), Some(9), Some(9), Some(9), Some(9), None, Some(9)];
    assert_eq!(windows(&config), five);
    let bases: Vec<_> =
        config.blocks.iter().map(|b| config.ropes[b.rope.expect("a rope")].table(0).inv_freq[1]).collect();
    let base = |theta: f64| theta.powf(-2.0 / 8.0);
    for (window, frequency) in five.iter().zip(bases) {
        let expected = base(if window.is_some() { 1e4 } else { 1e6 });
        assert!((frequency / expected - 1.0).abs() < 1e-9);
    }
    // SmolLM 3: every fourth block without positions. GPT-NeoX: exact GELU, but for the 20B model.
    let mut raw = Raw::model("smollm3");
    raw.set("smollm3.block_count", number(5));
    let ropes: Vec<_> = config_of(&raw).blocks.iter().map(|b| b.rope.is_some()).collect();
    assert_eq!(ropes, [true, true, true, false, true]);
    assert_eq!(config_of(&Raw::model("gptneox")).mlp, Mlp::Plain(Activation::Gelu));
    let mut raw = Raw::model("gptneox");
    for (key, value) in [("block_count", 44), ("embedding_length", 6144), ("attention.head_count", 64)] {
        raw.set(&format!("gptneox.{key}"), number(value));
    }
    assert_eq!(config_of(&raw).mlp, Mlp::Plain(Activation::GeluTanh));
    // A factor without a type is a linear one; the vocabulary is as large as the matrix of embeddings.
    let mut raw = Raw::model("llama");
    raw.set("llama.rope.scaling.factor", real(4.0));
    raw.set("llama.vocab_size", number(50));
    let config = config_of(&raw);
    assert!((config.ropes[0].table(0).inv_freq[0] - 0.25).abs() < 1e-12);
    assert_eq!((config.vocab_size, config.tied), (48, true));
    raw.tensor("output.weight", &[32, 48]);
    assert!(!config_of(&raw).tied);
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut raw = Raw::model("llama");
    raw.set("tokenizer.ggml.scores", list(&[1, 2, 3]));
    raw.set("tokenizer.chat_template", text("{{ x }}"));
    raw.set("llama.attention.causal", flag(true));
    raw.tensor("output_norm.weight", &[32]);
    let bytes = raw.bytes();
    assert_eq!(diagnostic(&write(folder.path(), &bytes)), None);
    for len in 0..bytes.len() {
        let (kind, shown) = diagnostic(&write(folder.path(), &bytes[..len]))
            .unwrap_or_else(|| panic!("{len} bytes are read"));
        assert!(kind == Kind::Weights && shown.contains("raw.gguf"), "{len}: {shown}");
    }
}

#[test]
fn sizes_that_cannot_be_are_refused_before_anything_is_allocated() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = Raw::model("llama");
    assert_eq!(diagnostic(&good.write(folder.path())), None);
    let mut bad: Vec<(&str, Vec<u8>)> = Vec::new();
    // Counts in the first bytes.
    for (what, at) in [("tensors", 8), ("entries", 16)] {
        for count in [u64::MAX, 1 << 40, 1 << 19, 1 << 15] {
            let mut bytes = good.bytes();
            bytes[at..at + 8].copy_from_slice(&count.to_le_bytes());
            bad.push((what, bytes));
        }
    }
    let entry = |kind: u32, value: Vec<u8>| {
        let mut raw = good.clone();
        raw.set("tokenizer.x", (kind, value));
        raw.bytes()
    };
    for len in [u64::MAX, 1 << 62, 1 << 30, 1 << 21] {
        bad.push(("a string", entry(8, len.to_le_bytes().to_vec())));
        for kind in [0u32, 7, 8, 9, 12] {
            bad.push(("a list", entry(9, [&kind.to_le_bytes()[..], &len.to_le_bytes()].concat())));
        }
    }
    // Endlessly nested arrays.
    let nested = [&9u32.to_le_bytes()[..], &1u64.to_le_bytes()].concat().repeat(100);
    bad.push(("nested lists", entry(9, nested)));
    bad.push(("a truth value", entry(7, vec![2])));
    bad.push(("a type of value", entry(13, vec![0; 8])));
    let alignment = |value: Bytes| {
        let mut raw = good.clone();
        raw.set("general.alignment", value);
        raw.bytes()
    };
    for value in [number(0), number(1), number(48), number(u32::MAX), (10, vec![0; 8]), text("32")] {
        bad.push(("an alignment", alignment(value)));
    }
    let tensor = |dims: &[u64], kind: u32, offset: u64| {
        let mut raw = good.clone();
        raw.tensors.push(("x".to_owned(), dims.to_vec(), kind, offset));
        raw.bytes()
    };
    let end = good.data as u64;
    bad.extend([
        ("too large", tensor(&[u64::MAX, 2], 0, end)),
        ("too large", tensor(&[1 << 32, 1 << 32], 0, end)),
        ("too large", tensor(&[1 << 20, 1 << 20, 1 << 20, 1 << 20], 2, end)),
        ("beyond the end", tensor(&[32], 0, end)),
        ("beyond the end", tensor(&[32], 0, !31)),
        ("beyond the end", tensor(&[1 << 40], 0, 0)),
        ("not aligned", tensor(&[1], 0, 4)),
        ("shared bytes", tensor(&[32], 0, 0)),
        ("no dimension", tensor(&[], 0, end)),
        ("five dimensions", tensor(&[1, 1, 1, 1, 1], 0, end)),
        ("a dimension of 0", tensor(&[32, 0], 0, end)),
        ("half a block", tensor(&[16], 2, 0)),
    ]);
    let mut raw = good.clone();
    raw.tensor("token_embd.weight", &[32, 48]);
    bad.push(("a name twice", raw.bytes()));
    let mut raw = good.clone();
    raw.entries.push(("llama.block_count".to_owned(), number(3)));
    bad.push(("a key twice", raw.bytes()));
    for (what, bytes) in bad {
        let path = write(folder.path(), &bytes);
        let (kind, shown) = diagnostic(&path).unwrap_or_else(|| panic!("{what}: the file is read"));
        assert!(kind == Kind::Weights && shown.contains("raw.gguf"), "{what}: {shown}");
    }
    for (version, word) in [(1, "1"), (4, "4"), (3u32.swap_bytes(), "big-endian")] {
        let mut raw = good.clone();
        raw.version = version;
        let (kind, shown) = diagnostic(&raw.write(folder.path())).expect("a refusal");
        assert!(kind == Kind::Unsupported && shown.contains(word), "{shown}");
    }
}

#[test]
fn types_that_cannot_be_read_are_refused_with_the_tensor_and_their_name() {
    let folder = tempfile::tempdir().expect("a folder");
    for (number, name) in [
        (16, "IQ2_XXS"),
        (20, "IQ4_NL"),
        (23, "IQ4_XS"),
        (34, "TQ1_0"),
        (39, "MXFP4"),
        (40, "NVFP4"),
        (99, "99"),
    ] {
        let mut raw = Raw::model("llama");
        raw.tensors.push(("blk.0.ffn_up.weight".to_owned(), vec![256], number, raw.data as u64));
        let (kind, shown) = diagnostic(&raw.write(folder.path())).expect("a refusal");
        assert_eq!(kind, Kind::Unsupported);
        assert!(
            shown.contains("[blk.0.ffn_up.weight]") && shown.contains(name) && shown.contains("Q4_K_M"),
            "{shown}"
        );
    }
}

#[test]
fn parts_of_a_split_model_are_found_from_any_and_all_must_be_there() {
    let source = fixture("gguf/llama_split");
    let names: Vec<_> = (1..=3).map(|i| format!("model-{i:05}-of-00003.gguf")).collect();
    let folder = tempfile::tempdir().expect("a folder");
    for name in &names {
        std::fs::copy(source.join(name), folder.path().join(name)).expect("copied");
    }
    for name in &names {
        let file = GgufFile::open(&folder.path().join(name)).expect("a split model");
        assert_eq!(file.paths().count(), 3);
        assert!(file.metadata().contains("llama.block_count"), "the metadata are those of the first part");
    }
    let last = folder.path().join(&names[2]);
    std::fs::remove_file(&last).expect("removed");
    let error = GgufFile::open(&folder.path().join(&names[0])).err().expect("a refusal");
    assert!(error.kind() == Some(Kind::Missing) && error.to_string().contains(&names[2]), "{error}");
    std::fs::copy(source.join(&names[0]), &last).expect("copied");
    let error = GgufFile::open(&folder.path().join(&names[0])).err().expect("a refusal");
    assert!(error.kind() == Some(Kind::Weights) && error.to_string().contains("split.no"), "{error}");
    let renamed = folder.path().join("renamed.gguf");
    std::fs::copy(source.join(&names[1]), &renamed).expect("copied");
    let error = GgufFile::open(&renamed).err().expect("a refusal");
    assert!(error.kind() == Some(Kind::Weights) && error.to_string().contains("split.count"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_are_read_or_refused_and_nothing_panics(
        name in 0usize..6,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let names = ["llama", "gemma3", "phi3_longrope", "gpt2", "gpt_neox", "types"];
        let mut bytes = std::fs::read(first(&fixture(&format!("gguf/{}", names[name])))).expect("a fixture");
        // The header, which the data follow.
        let header = bytes.len().min(6000);
        for (at, value) in &flips {
            let at = at.index(header);
            bytes[at] = *value;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let path = write(folder.path(), &bytes);
        let read = GgufFile::open(&path).and_then(|file| Ok((config(&file)?, file)));
        match read {
            Ok((config, file)) => {
                let source: SharedSource =
                    Arc::new(GgufCheckpoint::new(file, &config, DType::F32, &Device::Cpu));
                if config.num_blocks() < 16 && config.vocab_size < 1000 {
                    let _ = Decoder::stream(config, &source);
                }
            }
            Err(error @ Error::Diagnostic(_)) => {
                let shown = error.to_string();
                prop_assert!(shown.contains("raw.gguf") && shown.len() < 4000, "{}", shown);
            }
            Err(error) => prop_assert!(false, "not a refusal: {}", error),
        }
    }
}

fn options() -> LoadOptions {
    LoadOptions { dtype: DType::F32, device: Device::Cpu, stream: false, quantize: None, adapter: None }
}

/// A GGUF file gives the same model as the folder with its weights, config, tokenizer and template (`llama_chat`).
#[test]
fn a_gguf_file_is_the_same_model_as_the_folder_it_was_made_from() {
    let (folder, path) = (fixture("models/llama_chat"), fixture("gguf/llama_chat/model.gguf"));
    let ours = Model::open(&ModelFiles::gguf_file(&path), "tiny", &options()).expect("it loads");
    let theirs = Model::open(&ModelFiles::folder(&folder), "tiny", &options()).expect("it loads");
    for text in
        ["the tea is good", "<|im_start|>user\nhow?<|im_end|>\n", "  Tabs\tand 12 numbers – 日本\n\n", ""]
    {
        let ids = ours.encoder.encode(text).expect("ids");
        assert_eq!(ids, theirs.encoder.encode(text).expect("ids"), "{text:?}");
        if !ids.is_empty() {
            assert!(stream_of(&ours.decoder, &ids) == stream_of(&theirs.decoder, &ids), "{text:?}");
        }
    }
    assert!(ours.has_chat_template() && ours.unused.is_empty());
    let (a, b) = (&ours.identity, &theirs.identity);
    assert_eq!((a.parameters, &a.family, &a.template_sha256), (b.parameters, &b.family, &b.template_sha256));
    assert_eq!(a.weights_sha256["model.gguf"], vstar::artifact::sha256_file(&path).expect("a hash"));
    assert_eq!(a.config_sha256, a.tokenizer_sha256, "both are the metadata");
    assert!(a.config_sha256.len() == 64 && a.config_sha256 != b.config_sha256);
    // An external tokenizer, by file or folder.
    for tokenizer in [folder.join("tokenizer.json"), folder.clone()] {
        let files = ModelFiles::gguf_file(&path).with_tokenizer(Some(&tokenizer));
        let given = Model::open(&files, "tiny", &options()).expect("it loads");
        assert_eq!(given.identity.tokenizer_sha256, theirs.identity.tokenizer_sha256);
        assert!(given.has_chat_template());
    }
    // A file without a tokenizer is an error, and works with an external one.
    let bare = fixture("gguf/llama_tied/model.gguf");
    let error = Model::open(&ModelFiles::gguf_file(&bare), "tiny", &options()).err().expect("a refusal");
    assert!(error.to_string().contains("tokenizer.ggml.model"), "{error}");
    let files = ModelFiles::gguf_file(&bare).with_tokenizer(Some(&folder));
    Model::open(&files, "tiny", &options()).expect("it loads");
}

/// Runs the program in a folder with items.
fn vstar(folder: &Path, arguments: &[&str]) -> String {
    let mut command = assert_cmd::Command::cargo_bin("vstar").expect("the program");
    let output = command.args(arguments).current_dir(folder).output().expect("it runs");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "vstar {arguments:?}: {text}");
    text
}

#[test]
fn a_tensor_that_the_family_does_not_have_is_refused_not_left_out() {
    // A norm of a non-existent block replaces one of the first: the decoder lacks one, and does not know the other.
    let mut bytes = std::fs::read(fixture("gguf/llama_chat/model.gguf")).expect("a file");
    let from = b"blk.1.attn_norm.weight";
    let at = bytes.windows(from.len()).position(|w| w == from).expect("the tensor");
    bytes[at..at + from.len()].copy_from_slice(b"blk.9.attn_nose.weight");
    let folder = tempfile::tempdir().expect("a folder");
    let path = write(folder.path(), &bytes);
    let error = Model::open(&ModelFiles::gguf_file(&path), "x", &options()).err().expect("a refusal");
    assert!(error.kind() == Some(Kind::Weights) && error.to_string().contains("blk.1.attn_norm"), "{error}");
    let checkpoint = open(&path, DType::F32);
    assert!(checkpoint.unused().contains(&"blk.9.attn_nose.weight".to_owned()));
    let error = checkpoint.may_be_left_out().expect_err("a refusal");
    assert!(error.kind() == Some(Kind::Unsupported) && error.to_string().contains("raw.gguf"), "{error}");
}

/// Runs the program with the address space of a small model, so that an allocation requested by a hostile header
/// would crash it.
#[cfg(target_os = "linux")]
#[test]
fn hostile_headers_are_refused_in_little_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = assert_cmd::cargo::cargo_bin("vstar");
    let long_list = |kind: u32, len: u64| (9, [&kind.to_le_bytes()[..], &len.to_le_bytes()].concat());
    let mut cases: Vec<(&str, Raw)> = Vec::new();
    for (key, value) in [
        ("tokenizer.ggml.tokens", long_list(8, 1 << 21)),
        ("tokenizer.ggml.scores", long_list(6, (1 << 22) - 1)),
        ("tokenizer.ggml.merges", long_list(9, (1 << 22) - 1)),
        ("tokenizer.chat_template", (8, (1u64 << 26).to_le_bytes().to_vec())),
        ("llama.block_count", (10, u64::MAX.to_le_bytes().to_vec())),
        ("llama.block_count", number(u32::MAX)),
        ("llama.attention.head_count", number(u32::MAX)),
        ("llama.embedding_length", number(u32::MAX)),
        ("llama.attention.key_length", number(1 << 30)),
        ("llama.rope.dimension_count", number(u32::MAX)),
        ("llama.attention.sliding_window", number(u32::MAX)),
    ] {
        let mut raw = Raw::model("llama");
        raw.set(key, value);
        if key.ends_with("key_length") {
            raw.set("llama.attention.value_length", number(1 << 30));
        }
        cases.push((key, raw));
    }
    for (what, raw) in cases {
        let path = raw.write(folder.path());
        let output = std::process::Command::new("sh")
            .args(["-c", "ulimit -v 1500000; exec \"$0\" check \"$1\""])
            .arg(&program)
            .arg(&path)
            .env("RAYON_NUM_THREADS", "1")
            .output()
            .expect("it runs");
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{what}: {shown}");
        assert!(shown.contains("raw.gguf") && !shown.contains("panicked"), "{what}: {shown}");
    }
}

#[test]
fn every_command_takes_a_gguf_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let items: String = [
        "tea",
        "rain",
        "bread",
        "the sea",
        "a tale",
        "wind",
        "the night",
        "a tree",
        "water",
        "the sun",
    ]
    .iter()
    .enumerate()
    .map(|(i, word)| {
        format!(
            "{{\"id\":\"p{i}\",\"prompt\":\"what of {word}\",\"responses\":[{{\"text\":\" {word} is good\",\
                 \"values\":{{\"kind\":1}}}},{{\"text\":\" {word} is bad\",\"values\":{{\"kind\":0}}}}]}}\n"
        )
    })
    .collect();
    std::fs::write(at.join("items.jsonl"), items).expect("written");
    std::fs::copy(fixture("gguf/llama_chat/model.gguf"), at.join("m.gguf")).expect("copied");
    vstar(at, &["check", "m.gguf"]);
    vstar(at, &["preview", "--model", "m.gguf", "--data", "items.jsonl"]);
    vstar(at, &["capture", "--model", "m.gguf", "--data", "items.jsonl", "--out", "a"]);
    let streamed = ["capture", "--model", "m.gguf", "--data", "items.jsonl", "--out", "b", "--stream"];
    vstar(at, &streamed);
    let observations = |name: &str| {
        let bytes = std::fs::read(at.join(name).join("observations.safetensors")).expect("observations");
        let tensors = safetensors::SafeTensors::deserialize(&bytes).expect("tensors");
        tensors.tensor("resid").expect("readings").data().to_vec()
    };
    assert!(observations("a") == observations("b"), "streamed readings differ");
    let folder_model = fixture("models/llama_chat").to_string_lossy().into_owned();
    vstar(at, &["capture", "--model", &folder_model, "--data", "items.jsonl", "--out", "c"]);
    assert!(observations("a") == observations("c"), "the readings are not those of the folder");
    let constitution = "name = \"kind\"\nfamily = \"neutral\"\ntext = \"Be kind.\"\n";
    std::fs::write(at.join("kind.toml"), constitution).expect("written");
    vstar(
        at,
        &["judge", "--model", "m.gguf", "--data", "items.jsonl", "--constitution", "kind.toml", "--out", "j"],
    );
    let experiment = "[model]\npath = \"m.gguf\"\n[data]\nfiles = [\"items.jsonl\"]\n\
                      [constitutions]\nfiles = [\"kind.toml\"]\n";
    std::fs::write(at.join("x.toml"), experiment).expect("written");
    vstar(at, &["run", "x.toml"]);
    let steer = ["steer", "--model", "m.gguf", "--data", "items.jsonl", "--direction", "runs/x:v_star.kind"];
    vstar(at, &[&steer[..], &["--add", "2", "--random", "2", "--out", "s"]].concat());
    let recorded = std::fs::read_to_string(at.join("runs/x/report.json")).expect("a report");
    assert!(recorded.contains("m.gguf"), "the report names the model");
}
