//! Random byte and structure changes to external files: each is read or gives an error, and nothing panics, hangs or
//! exhausts memory.
//!
//! Runs one second per kind of file;
//! `VSTAR_MUTATE_SECONDS=3600 cargo test --release --test it mutations -- --nocapture` runs an hour each and prints the
//! number of inputs. `VSTAR_MUTATE_SEED` changes the seed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_core::{DType, Device};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use vstar::config::{Experiment, Sweep};
use vstar::error::Place;
use vstar::input::{Prompt, ReadOptions, read_constitutions, read_items};
use vstar::model::chat::Template;
use vstar::model::config::Config;
use vstar::model::gguf::GgufFile;
use vstar::model::text::TextEncoder;
use vstar::model::weights::Checkpoint;
use vstar::observations::Observations;
use vstar::run::parts::{Done, Record, status};
use vstar::units::Part;

use crate::stories::fixture;

type Dice = ChaCha8Rng;

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Mutates inputs of a corpus and reads each, until the time is up.
fn mutate(
    what: &str,
    corpus: &[Vec<u8>],
    change: impl Fn(&mut Dice, &[Vec<u8>]) -> Vec<u8>,
    read: impl Fn(&[u8]) -> bool,
) {
    assert!(!corpus.is_empty(), "{what}");
    for input in corpus {
        read(input);
    }
    let time = Duration::from_secs(from_env("VSTAR_MUTATE_SECONDS", 1));
    let mut dice = Dice::seed_from_u64(from_env("VSTAR_MUTATE_SEED", 7));
    let (began, mut inputs, mut accepted, mut slowest) = (Instant::now(), 0u64, 0u64, Duration::ZERO);
    while began.elapsed() < time {
        let input = change(&mut dice, corpus);
        let start = Instant::now();
        match catch_unwind(AssertUnwindSafe(|| read(&input))) {
            Ok(taken) => accepted += u64::from(taken),
            Err(_) => {
                let kept = std::env::temp_dir().join(format!("vstar-mutation-{what}"));
                std::fs::write(&kept, &input).expect("kept");
                panic!("{what}: a panic after {inputs} inputs, kept in {}", kept.display());
            }
        }
        slowest = slowest.max(start.elapsed());
        inputs += 1;
    }
    println!("{what}: {inputs} inputs, {accepted} read, the slowest took {slowest:?}");
    assert!(inputs > 10, "{what}: {inputs}");
    assert!(slowest < Duration::from_secs(60), "{what}: {slowest:?}");
}

fn bytes(dice: &mut Dice, input: &[u8], within: usize) -> Vec<u8> {
    let mut out = input.to_vec();
    for _ in 0..dice.random_range(1..5) {
        let within = within.min(out.len());
        if within == 0 {
            return out;
        }
        let at = dice.random_range(0..within);
        match dice.random_range(0..6) {
            0 => out[at] = dice.random(),
            1 => out[at] ^= 1 << dice.random_range(0..8),
            2 => out.truncate(at),
            3 => {
                let end = (at + dice.random_range(1..40usize)).min(out.len());
                let part = out[at..end].to_vec();
                out.splice(at..at, part);
            }
            4 => {
                let end = (at + dice.random_range(1..40usize)).min(out.len());
                out.drain(at..end);
            }
            _ => {
                // A length or an offset.
                let extreme: [u64; 6] = [0, 1, 255, u64::from(u32::MAX), u64::MAX, 1 << 63];
                let number = extreme.choose(dice).expect("one").to_le_bytes();
                for (place, byte) in out[at..].iter_mut().zip(number) {
                    *place = byte;
                }
            }
        }
    }
    out
}

fn by_bytes(within: usize) -> impl Fn(&mut Dice, &[Vec<u8>]) -> Vec<u8> {
    move |dice, corpus| {
        let input = corpus.choose(dice).expect("one").clone();
        bytes(dice, &input, within)
    }
}

fn extreme(dice: &mut Dice) -> Value {
    let all = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1e308),
        json!(u64::MAX),
        json!(""),
        json!("a"),
        json!([]),
        json!({}),
        json!([[[[[]]]]]),
        json!("\u{0}\u{202e}\u{1b}[2J"),
        json!("x".repeat(5000)),
        json!({"type": "Sequence"}),
        json!(0.5),
        json!([1, "2"]),
    ];
    all.choose(dice).expect("one").clone()
}

/// Replaces, removes or duplicates a part somewhere below.
fn part(dice: &mut Dice, value: &mut Value) {
    let inside = dice.random_range(0..4) > 0;
    match value {
        Value::Object(map) if inside && !map.is_empty() => {
            let key = map.keys().nth(dice.random_range(0..map.len())).expect("a key").clone();
            match dice.random_range(0..8) {
                0 => drop(map.shift_remove(&key)),
                1 => {
                    let moved = map.shift_remove(&key).unwrap_or_default();
                    map.insert(format!("{key}x"), moved);
                }
                _ => part(dice, &mut map[&key]),
            }
        }
        Value::Array(list) if inside && !list.is_empty() => {
            let at = dice.random_range(0..list.len());
            match dice.random_range(0..8) {
                0 => drop(list.remove(at)),
                1 => list.push(list[at].clone()),
                _ => part(dice, &mut list[at]),
            }
        }
        _ => *value = extreme(dice),
    }
}

fn by_structure(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let input = corpus.choose(dice).expect("one").clone();
    match serde_json::from_slice::<Value>(&input) {
        Ok(mut json) if dice.random_range(0..4) > 0 => {
            for _ in 0..dice.random_range(1..4) {
                part(dice, &mut json);
            }
            json.to_string().into_bytes()
        }
        _ => bytes(dice, &input, usize::MAX),
    }
}

/// Lines of several inputs, mixed, with words exchanged.
fn by_lines(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let line = |dice: &mut Dice| {
        let text = String::from_utf8_lossy(corpus.choose(dice).expect("one")).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines.choose(dice).map_or_else(String::new, |l| (*l).to_owned())
    };
    let own = String::from_utf8_lossy(corpus.choose(dice).expect("one")).into_owned();
    let mut lines: Vec<String> = own.lines().map(str::to_owned).collect();
    for _ in 0..dice.random_range(1..4) {
        let at = dice.random_range(0..=lines.len());
        match dice.random_range(0..3) {
            0 => lines.insert(at, line(dice)),
            1 if at < lines.len() => drop(lines.remove(at)),
            _ if at < lines.len() => lines[at] = format!("{}{}", lines[at], line(dice)),
            _ => {}
        }
    }
    let text = lines.join("\n").into_bytes();
    if dice.random_range(0..2) == 0 { bytes(dice, &text, usize::MAX) } else { text }
}

fn read(path: &str) -> Vec<u8> {
    std::fs::read(fixture(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A file of that name in a folder of its own, for readers of paths.
struct Scratch {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        Self { _folder: folder, path }
    }

    fn with(&self, bytes: &[u8]) -> &Path {
        std::fs::write(&self.path, bytes).expect("written");
        &self.path
    }
}

#[test]
fn configs() {
    let corpus: Vec<_> =
        ["llama", "gemma3_text", "phi3", "gpt2", "qwen2_yarn", "gpt_neox", "smollm3", "granite"]
            .map(|m| read(&format!("models/{m}/config.json")))
            .into();
    mutate("config", &corpus, by_structure, |input| {
        Config::from_json(&String::from_utf8_lossy(input), Path::new("config.json")).is_ok()
    });
}

#[test]
fn tokenizers() {
    let corpus: Vec<_> = ["byte_level_bpe", "sentencepiece_bpe", "unigram", "word_level"]
        .map(|t| read(&format!("tokenizers/{t}/tokenizer.json")))
        .into();
    mutate("tokenizer", &corpus, by_structure, |input| {
        TextEncoder::from_bytes(input, Path::new("tokenizer.json"), Some("<s>"), None)
            .and_then(|encoder| encoder.encode("Why is the sky  blue? <s> é\u{1F600}\n"))
            .is_ok()
    });
}

#[test]
fn templates() {
    let json: Value = serde_json::from_slice(&read("chat/renderings.json")).expect("JSON");
    let corpus: Vec<Vec<u8>> = json["templates"]
        .as_array()
        .expect("templates")
        .iter()
        .map(|t| t["template"].as_str().expect("a text").replace("%}", "%}\n").into_bytes())
        .collect();
    let special = BTreeMap::from([("bos_token".to_owned(), "<s>".to_owned())]);
    mutate("template", &corpus, by_lines, |input| {
        let source = String::from_utf8_lossy(input);
        let Ok(template) = Template::jinja(&source, special.clone(), Path::new("t")) else { return false };
        template.render(Some("Be kind."), &Prompt::Text("Why?".into()), "<think>x</think>Because.").is_ok()
            | template.render_question(None, "Why?").is_ok()
            | template.own_system().is_some()
    });
}

#[test]
fn checkpoints() {
    let corpus = vec![read("models/llama/model.safetensors"), read("models/llama_bf16/model.safetensors")];
    let scratch = Scratch::new("model.safetensors");
    mutate("safetensors", &corpus, by_bytes(6000), |input| {
        Checkpoint::open(scratch.with(input).parent().expect("a folder"), DType::F32, &Device::Cpu).is_ok()
    });
}

#[test]
fn gguf_files() {
    let files: Vec<PathBuf> = std::fs::read_dir(fixture("gguf/llama"))
        .expect("a folder")
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "gguf"))
        .collect();
    let corpus: Vec<_> = files.iter().map(|path| std::fs::read(path).expect("a file")).collect();
    let scratch = Scratch::new("m.gguf");
    mutate("gguf", &corpus, by_bytes(20_000), |input| GgufFile::open(scratch.with(input)).is_ok());
}

#[test]
fn items() {
    let corpus: Vec<_> = ["native", "pairs", "safety", "transcripts", "evals"]
        .map(|n| read(&format!("input/{n}.jsonl")))
        .into();
    let rows: Vec<Vec<u8>> =
        vstar::input::formats::FORMATS.iter().map(|f| f.example.as_bytes().to_vec()).chain(corpus).collect();
    let tables = vec![
        b"prompt,response,score,safe\nHi,Hello,4,true\n\"By\ne\",\"So, long\",,false\nHi,Go,-1.5e3,0\n".to_vec(),
        b"prompt,chosen,rejected\nHi,\"[{\"\"role\"\": \"\"assistant\"\", \"\"content\"\": \"\"a\"\"}]\",b\nq,c,d\n".to_vec(),
    ];
    for (name, rows) in [("a.jsonl", &rows), ("a.csv", &tables), ("a.json", &rows)] {
        let scratch = Scratch::new(name);
        mutate(
            name,
            rows,
            |dice, corpus| {
                if dice.random_range(0..2) == 0 { by_structure(dice, corpus) } else { by_lines(dice, corpus) }
            },
            |input| {
                let options = ReadOptions { skip_bad: input.len() % 2 == 0, ..ReadOptions::default() };
                read_items(&[scratch.with(input).to_owned()], &options).is_ok()
            },
        );
    }
}

#[test]
fn parquet_files() {
    let corpus: Vec<_> =
        ["native", "transcripts", "pairs_gzip", "pairs_brotli", "pairs_lz4", "pairs_columns", "rated"]
            .map(|n| read(&format!("input/{n}.parquet")))
            .into();
    let scratch = Scratch::new("a.parquet");
    mutate("parquet", &corpus, by_bytes(usize::MAX), |input| {
        read_items(&[scratch.with(input).to_owned()], &ReadOptions::default()).is_ok()
    });
}

#[test]
fn experiments_and_constitutions() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let toml = |folder: &str| -> Vec<Vec<u8>> {
        std::fs::read_dir(root.join(folder))
            .expect("a folder")
            .flatten()
            .filter(|e| e.path().extension().is_some_and(|e| e == "toml"))
            .map(|e| std::fs::read(e.path()).expect("a file"))
            .collect()
    };
    let scratch = Scratch::new("a.toml");
    mutate("experiment", &toml("experiments"), by_lines, |input| {
        Experiment::read(scratch.with(input)).is_ok()
    });
    mutate("constitution", &toml("constitutions"), by_lines, |input| {
        read_constitutions(&[scratch.with(input).to_owned()]).is_ok()
    });
}

#[test]
fn sweeps_and_what_parts_write() {
    let sweep = b"out = \"o\"\nseed = 3\n[data]\nfiles = [\"embedded:hearth\"]\n[sweep]\n\
                  models = [\"embedded:hearth-xs\", \"owner/name\"]\ndtype = [\"f32\", \"bf16\"]\n\
                  quantize = [\"none\", \"Q8_0\"]\ndata = { a = [\"embedded:honest\"], b = \"embedded:hearth\" }\n\
                  constitutions = { all = [\"embedded:all\"] }\n";
    let scratch = Scratch::new("sweep.toml");
    mutate("sweep", &[sweep.to_vec()], by_lines, |input| Sweep::read(scratch.with(input)).is_ok());
    let run = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(run.path().join("parts")).expect("a folder");
    let record = Record::begin(Part::new(2, 3).expect("a part"));
    let done = Done::new(Part::new(2, 3).expect("a part"), "run".into(), vec!["a.safetensors".into()]);
    for (name, corpus) in [
        ("00002-of-00003.json", serde_json::to_vec_pretty(&record).expect("JSON")),
        ("00002-of-00003.done.json", serde_json::to_vec_pretty(&done).expect("JSON")),
    ] {
        let path = run.path().join("parts").join(name);
        mutate(name, &[corpus], by_lines, |input| {
            std::fs::write(&path, input).expect("written");
            status(run.path()).is_ok()
        });
        std::fs::remove_file(&path).expect("removed");
    }
}

#[test]
fn observations() {
    let corpus = vec![read("known/A_tall.observations.safetensors")];
    let scratch = Scratch::new("o.safetensors");
    mutate("observations", &corpus, by_bytes(4000), |input| Observations::open(scratch.with(input)).is_ok());
}

#[test]
fn reports() {
    let text = vstar::report::from_json("{}", &Place::default()).err().map(|e| e.to_string());
    assert!(text.is_some(), "an empty object is no report");
    let corpus = vec![json!({"format": "vstar-report/1", "provenance": {}, "summary": [], "judge": {}, "verdicts": [], "estimates": [{"quantity": "rho2", "layer": 1, "control": "none", "estimate": 0.5, "reportable": true, "warnings": [], "flags": [], "value": "h"}], "tables": {}, "warnings": [], "constitutions": []}).to_string().into_bytes()];
    mutate("report", &corpus, by_structure, |input| {
        vstar::report::from_json(&String::from_utf8_lossy(input), &Place::default()).is_ok()
    });
}
