//! Tokenizers from GGUF metadata, compared with the tokens of the families' own tokenizers.
//!
//! `scripts/fixtures/make_gguf_tokenizers.py` trains each kind, encodes the strings with the family's steps (and
//! SentencePiece kinds with SentencePiece itself, and each file with transformers) and writes the expected results.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::{Content, Value};
use serde_json::Value as Json;
use vstar::error::{Error, Kind};
use vstar::model::gguf::{GgufText, Metadata};
use vstar::model::text::TextEncoder;

use crate::stories::fixture;

const BYTE_LEVEL: &[&str] =
    &["gpt2", "gpt_neox", "smollm", "llama3", "smollm3", "olmo2", "phi4", "phi4_mini", "qwen2", "nemo"];
const SENTENCEPIECE: &[&str] = &["llama2", "mistral_v3", "phi3", "gemma3"];

type Values = HashMap<String, Value>;

fn path(name: &str) -> PathBuf {
    fixture("gguf_tokens").join(name)
}

fn values(kind: &str) -> Values {
    let mut file = std::fs::File::open(path(&format!("{kind}.gguf"))).expect("the fixture");
    Content::read(&mut file).expect("a GGUF file").metadata
}

fn read(values: Values) -> Result<GgufText, Error> {
    GgufText::read(&Metadata::new("m.gguf", values))
}

fn encoder(values: Values) -> TextEncoder {
    let text = read(values).expect("a tokenizer");
    TextEncoder::from_tokenizer(text.tokenizer, Path::new("m.gguf"), text.bos)
}

fn json(name: &str) -> Json {
    let file = std::fs::File::open(path(name)).expect("the fixture");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip");
    serde_json::from_str(&text).expect("JSON")
}

fn strings() -> Vec<String> {
    serde_json::from_value(json("strings.json.gz")).expect("strings")
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn list(values: &[&str]) -> Value {
    Value::Array(values.iter().map(|v| text(v)).collect())
}

/// The byte range of the characters that `make_gguf_tokenizers.py` treats as the response of a string.
fn response(index: usize, text: &str) -> std::ops::Range<usize> {
    let length = text.chars().count();
    let start = index * 7 % length;
    let end = if index.is_multiple_of(4) { start + 1 + index * 13 % (length - start) } else { length };
    let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
    byte(start)..byte(end)
}

#[test]
fn every_kind_gives_the_ids_and_the_response_of_the_familys_own_tokenizer() {
    let strings = strings();
    assert!(strings.len() >= 2_000, "{} strings", strings.len());
    for kind in BYTE_LEVEL.iter().chain(SENTENCEPIECE) {
        let encoder = encoder(values(kind));
        let expected = json(&format!("{kind}.json.gz"));
        let ids: Vec<Vec<u32>> = serde_json::from_value(expected["ids"].clone()).expect("ids");
        let spans: Vec<Option<[usize; 2]>> =
            serde_json::from_value(expected["spans"].clone()).expect("spans");
        assert_eq!((ids.len(), spans.len()), (strings.len(), strings.len()), "{kind}");
        for (index, string) in strings.iter().enumerate() {
            let got = encoder.encode(string).expect("tokens");
            assert_eq!(got, ids[index], "{kind}, string {index}: {string:?}");
            if string.is_empty() {
                continue;
            }
            let found = match encoder.encode_response(string, response(index, string)) {
                Ok(encoded) => Some([encoded.response.start, encoded.response.end]),
                Err(e) if e.kind() == Some(Kind::ResponseMerged) => None,
                Err(e) => panic!("{kind}, string {index}: {e}"),
            };
            // The references count every token that contains part of the response. A control token that absorbs white
            // space of the response (`rstrip`, `lstrip`) belongs to the template.
            // it along (`rstrip`, `lstrip`) belongs to the template.
            let control = |at: usize| encoder.token(ids[index][at]).is_some_and(|t| t.starts_with("<|"));
            let expected = spans[index].map(|[start, end]| match found {
                Some([from, _]) if from == start + 1 && control(start) => [from, end],
                Some([_, to]) if to + 1 == end && control(end - 1) => [start, to],
                _ => [start, end],
            });
            assert_eq!(found, expected, "{kind}, response of string {index}: {string:?}");
        }
    }
}

#[test]
fn names_of_one_rule_give_the_same_ids() {
    let strings = strings();
    for (kind, names) in [
        ("smollm", &["refact", "starcoder"][..]),
        ("llama3", &["llama3", "llama-v3"]),
        ("qwen2", &["deepseek-r1-qwen"]),
        ("gpt2", &["default"]),
        ("gpt_neox", &["default"]),
    ] {
        let own = encoder(values(kind));
        for name in names {
            let mut other = values(kind);
            other.insert("tokenizer.ggml.pre".to_owned(), text(name));
            let other = encoder(other);
            for string in strings.iter().step_by(3) {
                let want = own.encode(string).expect("tokens");
                assert_eq!(other.encode(string).expect("tokens"), want, "{name}: {string:?}");
            }
        }
    }
}

#[test]
fn rules_differ_where_the_families_do() {
    let with = |kind: &str, pre: &str| {
        let mut values = values(kind);
        values.insert("tokenizer.ggml.pre".to_owned(), text(pre));
        encoder(values)
    };
    let count = |encoder: &TextEncoder, text: &str| encoder.encode(text).expect("tokens").len();
    // Digits by threes, single digits after any word, and GPT-2's, which leave a space to the digits after it.
    assert_eq!(count(&with("olmo2", "dbrx"), "123"), 1);
    assert_eq!(count(&with("olmo2", "qwen2"), "123"), 3);
    assert_ne!(
        with("smollm", "smollm").encode("the  12").expect("tokens"),
        with("smollm", "gpt-2").encode("the  12").expect("tokens")
    );
    // Unicode's NFC, and none.
    assert_eq!(count(&with("qwen2", "qwen2"), "e\u{301}"), count(&with("qwen2", "qwen2"), "é"));
    assert_ne!(
        with("qwen2", "qwen2").encode("e\u{301}").expect("tokens"),
        with("qwen2", "dbrx").encode("e\u{301}").expect("tokens")
    );
    // A word that no merge produces is a token only if merges are ignored.
    assert_eq!(count(&with("olmo2", "smaug-bpe"), "unreachable"), 1);
    assert!(count(&with("olmo2", "dbrx"), "unreachable") > 1);
}

#[test]
fn byte_level_tokens_decode_to_their_text() {
    for kind in ["gpt2", "llama3", "olmo2", "nemo"] {
        let encoder = encoder(values(kind));
        let strings = strings();
        // Special tokens are omitted when decoding.
        let plain: Vec<_> = strings.iter().filter(|s| !s.contains(['<', '['])).collect();
        assert!(plain.len() > 1_000, "{}", plain.len());
        for string in plain {
            let ids = encoder.encode(string).expect("tokens");
            assert_eq!(encoder.decode(&ids).expect("text"), *string, "{kind}");
        }
    }
}

#[test]
fn the_beginning_of_sequence_comes_once_and_only_where_it_is_asked_for() {
    let flag = |kind: &str, key: &str, value: Option<bool>| {
        let mut values = values(kind);
        let key = format!("tokenizer.ggml.{key}");
        match value {
            Some(flag) => values.insert(key, Value::Bool(flag)),
            None => values.remove(&key),
        };
        read(values).expect("a tokenizer")
    };
    let ids = |text: GgufText, string: &str| {
        let bos = text.bos.expect("an id");
        let encoder = TextEncoder::from_tokenizer(text.tokenizer, Path::new("m.gguf"), Some(bos));
        (encoder.encode(string).expect("tokens"), bos)
    };
    for (kind, string, default) in
        [("llama3", "<|begin_of_text|>", true), ("llama2", "<s>", true), ("qwen2", "<|endoftext|>", false)]
    {
        for (value, adds) in [(Some(true), true), (Some(false), false), (None, default)] {
            let (plain, bos) = ids(flag(kind, "add_bos_token", value), "the");
            assert_eq!(plain[0] == bos, adds, "{kind}, {value:?}");
            assert_eq!(plain.iter().filter(|id| **id == bos).count(), usize::from(adds), "{kind}, {value:?}");
            let (templated, _) = ids(flag(kind, "add_bos_token", value), &format!("{string}the"));
            assert_eq!(templated.iter().filter(|id| **id == bos).count(), 1, "{kind}, {value:?}");
            assert_eq!(templated[0], bos, "{kind}, {value:?}");
        }
    }
    let text = flag("qwen2", "add_eos_token", Some(true));
    let eos = text.tokenizer.token_to_id(&text.special["eos_token"]);
    assert_eq!(ids(text, "the").0.last().copied(), eos);
}

#[test]
fn special_tokens_and_the_chat_template_are_the_files() {
    let mut with = values("smollm");
    with.insert("tokenizer.chat_template".to_owned(), text("{{ messages }}"));
    let read = read(with).expect("a tokenizer");
    assert_eq!(read.chat.as_deref(), Some("{{ messages }}"));
    let want = [("bos_token", "<|im_start|>"), ("eos_token", "<|im_end|>"), ("unk_token", "<|endoftext|>")];
    let want: BTreeMap<String, String> = want.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    assert_eq!(read.special, want);
}

/// The error for modified metadata, which names the file and a remedy.
fn diagnostic(kind: &str, change: impl FnOnce(&mut Values)) -> (Kind, String) {
    let mut values = values(kind);
    change(&mut values);
    let error = read(values).err().expect("a refusal");
    let text = error.to_string();
    assert!(text.starts_with("m.gguf ["), "{text}");
    (error.kind().expect("a refusal"), text)
}

#[test]
fn what_is_not_known_is_refused_by_name_with_what_to_do() {
    for (kind, change) in [("smollm", Some("no-such-rule")), ("smollm", Some("default")), ("qwen2", None)] {
        let (refused, message) = diagnostic(kind, |values| {
            match change {
                Some(name) => values.insert("tokenizer.ggml.pre".to_owned(), text(name)),
                None => values.remove("tokenizer.ggml.pre"),
            };
        });
        assert_eq!(refused, Kind::Unsupported, "{message}");
        assert!(
            message.contains(change.unwrap_or("no name")) && message.contains("--tokenizer"),
            "{message}"
        );
    }
    for model in ["t5", "bert", "rwkv", "plamo2", "no_vocab", ""] {
        let (refused, message) = diagnostic("gpt2", |values| {
            values.insert("tokenizer.ggml.model".to_owned(), text(model));
        });
        assert_eq!(refused, Kind::Unsupported, "{message}");
        assert!(message.contains(&format!("`{model}`")) && message.contains("--tokenizer"), "{message}");
    }
    let (refused, _) = diagnostic("llama2", |values| {
        values.insert("tokenizer.ggml.remove_extra_whitespaces".to_owned(), Value::Bool(true));
    });
    assert_eq!(refused, Kind::Unsupported);
}

#[test]
fn metadata_that_make_no_tokenizer_are_refused() {
    let put = |values: &mut Values, key: &str, value: Value| {
        values.insert(format!("tokenizer.ggml.{key}"), value);
    };
    let entry = |values: &mut Values, key: &str, index: usize, value: Value| {
        let Some(Value::Array(list)) = values.get_mut(&format!("tokenizer.ggml.{key}")) else {
            panic!("{key}")
        };
        list[index] = value;
    };
    type Change<'c> = Box<dyn Fn(&mut Values) + 'c>;
    let cases: Vec<(&str, &str, Kind, Change<'_>)> = vec![
        (
            "no tokens",
            "gpt2",
            Kind::Missing,
            Box::new(|v| {
                v.remove("tokenizer.ggml.tokens");
            }),
        ),
        (
            "an empty list of tokens",
            "gpt2",
            Kind::Invalid,
            Box::new(|v| put(v, "tokens", Value::Array(vec![]))),
        ),
        ("a token twice", "gpt2", Kind::Invalid, Box::new(|v| entry(v, "tokens", 7, text("A")))),
        ("an empty token", "llama2", Kind::Invalid, Box::new(|v| entry(v, "tokens", 7, text("")))),
        (
            "a token of a megabyte",
            "llama2",
            Kind::Invalid,
            Box::new(|v| {
                entry(v, "tokens", 300, text(&"a".repeat(1 << 20)));
            }),
        ),
        (
            "a token that is a number",
            "gpt2",
            Kind::Malformed,
            Box::new(|v| entry(v, "tokens", 7, Value::U32(7))),
        ),
        (
            "too few kinds",
            "gpt2",
            Kind::Invalid,
            Box::new(|v| {
                put(v, "token_type", Value::Array(vec![Value::I32(1); 5]));
            }),
        ),
        (
            "too many scores",
            "llama2",
            Kind::Invalid,
            Box::new(|v| {
                put(v, "scores", Value::Array(vec![Value::F32(0.0); 9_999]));
            }),
        ),
        (
            "no scores",
            "llama2",
            Kind::Missing,
            Box::new(|v| {
                v.remove("tokenizer.ggml.scores");
            }),
        ),
        (
            "a score that is no number",
            "llama2",
            Kind::Malformed,
            Box::new(|v| {
                entry(v, "scores", 300, Value::F32(f32::NAN));
            }),
        ),
        (
            "no merges",
            "gpt2",
            Kind::Missing,
            Box::new(|v| {
                v.remove("tokenizer.ggml.merges");
            }),
        ),
        (
            "a merge of tokens that are not there",
            "gpt2",
            Kind::Invalid,
            Box::new(|v| {
                entry(v, "merges", 3, text("no-token either"));
            }),
        ),
        (
            "a merge that makes no token",
            "gpt2",
            Kind::Invalid,
            Box::new(|v| entry(v, "merges", 3, text("A ¥"))),
        ),
        ("a merge that is no pair", "gpt2", Kind::Invalid, Box::new(|v| entry(v, "merges", 0, text("A")))),
        ("a merge of nothing", "gpt2", Kind::Invalid, Box::new(|v| entry(v, "merges", 0, text(" ")))),
        ("a merge of three", "gpt2", Kind::Invalid, Box::new(|v| entry(v, "merges", 0, text("A A A")))),
        ("an id outside", "gpt2", Kind::Invalid, Box::new(|v| put(v, "bos_token_id", Value::U32(99_999)))),
        (
            "an id past 32 bits",
            "gpt2",
            Kind::Invalid,
            Box::new(|v| put(v, "eos_token_id", Value::U64(1 << 40))),
        ),
        ("a negative id", "gpt2", Kind::Malformed, Box::new(|v| put(v, "eos_token_id", Value::I32(-1)))),
        (
            "no id of what is added",
            "qwen2",
            Kind::Missing,
            Box::new(|v| {
                v.remove("tokenizer.ggml.bos_token_id");
                put(v, "add_bos_token", Value::Bool(true));
            }),
        ),
        (
            "a flag that is a number",
            "gpt2",
            Kind::Malformed,
            Box::new(|v| put(v, "add_bos_token", Value::U8(1))),
        ),
        ("a list for a name", "gpt2", Kind::Malformed, Box::new(|v| put(v, "model", list(&["gpt2"])))),
    ];
    for (what, kind, want, change) in cases {
        let (refused, message) = diagnostic(kind, change);
        assert_eq!(refused, want, "{what}: {message}");
        assert!(message.len() < 1_000, "{what}: {} bytes", message.len());
    }
}

#[test]
fn no_change_of_a_value_makes_it_panic() {
    let odd = [
        Value::Bool(true),
        Value::U64(u64::MAX),
        Value::I32(-7),
        Value::F32(f32::INFINITY),
        text("\u{fffd}"),
        Value::Array(vec![]),
        list(&["a", "b", "a b", "ab"]),
        Value::Array(vec![Value::I32(3); 600]),
        Value::Array(vec![Value::Array(vec![])]),
    ];
    let texts = ["", " a\u{fffd}b <s>", "<|endoftext|>[INST]\n\n12", "\u{0}▁▁"];
    let mut built = 0;
    for kind in ["gpt2", "llama2", "gemma3"] {
        for key in values(kind).into_keys() {
            for value in &odd {
                let mut values = values(kind);
                values.insert(key.clone(), value.clone());
                match read(values) {
                    Ok(text) => {
                        built += 1;
                        let encoder =
                            TextEncoder::from_tokenizer(text.tokenizer, Path::new("m.gguf"), text.bos);
                        for text in texts {
                            encoder.encode(text).expect("tokens");
                        }
                    }
                    Err(e) => assert!(e.kind().is_some(), "{key}: {e}"),
                }
            }
        }
    }
    assert!(built > 0);
}

#[test]
fn sentencepiece_without_bytes_falls_back_to_the_unknown_token() {
    let mut values = values("llama2");
    let Some(Value::Array(tokens)) = values.get_mut("tokenizer.ggml.tokens") else { panic!("tokens") };
    for token in tokens {
        if let Value::String(text) = token
            && text.starts_with("<0x")
        {
            *text = format!("byte {text}");
        }
    }
    let text = read(values).expect("a tokenizer");
    let unknown = text.tokenizer.token_to_id("<unk>").expect("the token");
    let encoder = TextEncoder::from_tokenizer(text.tokenizer, Path::new("m.gguf"), text.bos);
    let ids = encoder.encode("a \u{1f680}\u{1f680} b").expect("tokens");
    assert_eq!(ids.iter().filter(|id| **id == unknown).count(), 1, "{ids:?}");
}
