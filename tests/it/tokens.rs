//! Response tokens: three kinds of tokenizer and more, compared with transformers' own ids and spans, and chat
//! templates compared with transformers' rendering.
//!
//! `scripts/fixtures/make_tokenizers.py` writes the cases; their spans come from an implementation of the
//! rule in another language.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device};
use serde_json::Value;
use vstar::error::Kind;
use vstar::input::{Message, Prompt, Role};
use vstar::model::chat::Template;
use vstar::model::text::TextEncoder;
use vstar::model::{LoadOptions, Model, ModelFiles};

use crate::stories::fixture;

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("JSON")
}

struct Tokenizer {
    name: String,
    encoder: TextEncoder,
    special: BTreeMap<String, String>,
    chat: Option<String>,
    cases: Value,
}

fn tokenizers() -> Vec<Tokenizer> {
    let mut folders: Vec<_> = std::fs::read_dir(fixture("tokenizers"))
        .expect("the fixtures")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.is_dir())
        .collect();
    folders.sort();
    let names: Vec<_> = folders.iter().filter_map(|f| f.file_name()?.to_str()).collect();
    for kind in ["byte_level_bpe", "sentencepiece_bpe", "word_level"] {
        assert!(names.contains(&kind), "no fixture of a {kind} tokenizer");
    }
    let open = |folder: &std::path::PathBuf| {
        let config_path = folder.join("tokenizer_config.json");
        let config = if config_path.is_file() { json(&config_path) } else { Value::Null };
        let mut special = BTreeMap::new();
        for (key, value) in config.as_object().into_iter().flatten() {
            let content = value.as_str().or_else(|| value["content"].as_str());
            if let (true, Some(content)) = (key.ends_with("_token"), content) {
                special.insert(key.clone(), content.to_owned());
            }
        }
        let template = folder.join("chat_template.jinja");
        let chat = std::fs::read_to_string(&template)
            .ok()
            .or_else(|| config["chat_template"].as_str().map(str::to_owned));
        let bos = special.get("bos_token").map(String::as_str);
        Tokenizer {
            name: folder.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned(),
            encoder: TextEncoder::open(&folder.join("tokenizer.json"), bos, None).expect("a tokenizer"),
            special,
            chat,
            cases: json(&folder.join("cases.json")),
        }
    };
    folders.iter().map(open).collect()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().expect("ids").iter().map(|v| v.as_u64().expect("an id") as u32).collect()
}

fn check(what: &str, encoder: &TextEncoder, text: &str, response: std::ops::Range<usize>, case: &Value) {
    let empty = response.is_empty();
    match (encoder.encode_response(text, response), case["response_tokens"].as_array()) {
        (Ok(encoded), Some(span)) => {
            assert_eq!(encoded.ids, ids(&case["ids"]), "{what}: ids");
            let want = [0, 1].map(|i| span[i].as_u64().expect("a position") as usize);
            assert_eq!([encoded.response.start, encoded.response.end], want, "{what}: span");
        }
        (Err(e), None) => {
            let want = if empty { Kind::EmptyResponse } else { Kind::ResponseMerged };
            assert_eq!(e.kind(), Some(want), "{what}: {e}");
        }
        (got, want) => panic!("{what}: {got:?} where {want:?} was expected"),
    }
}

#[test]
fn the_response_is_the_tokens_that_overlap_its_characters() {
    let mut cases = 0;
    for tokenizer in tokenizers() {
        for case in tokenizer.cases["cases"].as_array().expect("cases") {
            let prompt = case["prompt"].as_str().expect("a prompt");
            let response = case["response"].as_str().expect("a response");
            let text = format!("{prompt}{response}");
            let what = format!("{}, {}", tokenizer.name, case["name"]);
            check(&what, &tokenizer.encoder, &text, prompt.len()..text.len(), case);
            cases += 1;
        }
    }
    assert!(cases >= 30, "{cases} cases");
}

#[test]
fn chats_are_rendered_and_encoded_as_transformers_does() {
    let mut cases = 0;
    for tokenizer in tokenizers() {
        let Some(list) = tokenizer.cases["chat_cases"].as_array() else { continue };
        let Some(chat) = &tokenizer.chat else { continue };
        let template =
            Template::jinja(chat, tokenizer.special.clone(), Path::new("chat_template")).expect("a template");
        for case in list {
            let what = format!("{}, {}", tokenizer.name, case["name"]);
            let messages = case["messages"]
                .as_array()
                .expect("messages")
                .iter()
                .map(|m| {
                    let role = Role::parse(m["role"].as_str().expect("a role")).expect("a known role");
                    Message::new(role, m["content"].as_str().expect("content"))
                })
                .collect();
            let response = case["response"].as_str().expect("a response");
            let rendered = template
                .render(case["system"].as_str(), &Prompt::Messages(messages), response)
                .unwrap_or_else(|e| panic!("{what}: {e}"));
            assert_eq!(rendered.text, case["rendered"].as_str().expect("a rendering"), "{what}");
            if let Some(folded) = case["folded"].as_bool() {
                assert_eq!(rendered.folded, folded, "{what}: where the constitution went");
            }
            check(&what, &tokenizer.encoder, &rendered.text, rendered.response, case);
            cases += 1;
        }
    }
    assert!(cases >= 5, "{cases} chat cases");
}

#[test]
fn a_judge_that_could_think_is_asked_to_answer_at_once() {
    let source = "{% for m in messages %}{{ m.content }};{% endfor %}{% if add_generation_prompt %}A:\
        {% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{% endif %}";
    let template = Template::jinja(source, Default::default(), Path::new("chat.jinja")).expect("a template");
    assert_eq!(template.render_question(None, "Which?").expect("a question"), "Which?;A:<think></think>");
    let rendered = template.render(None, &Prompt::Text("Hi".into()), "Ho").expect("a response");
    assert_eq!(rendered.text, "Hi;Ho;");
}

#[test]
fn a_template_that_never_ends_is_stopped() {
    let source = "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}";
    let template = Template::jinja(source, BTreeMap::new(), Path::new("t")).expect("a template");
    let error = template.render(None, &Prompt::Text("a".into()), "b").expect_err("stopped");
    assert_eq!(error.kind(), Some(Kind::Malformed), "{error}");
}

#[test]
fn a_template_that_drops_or_rewrites_the_response_is_refused() {
    for source in [
        "{{ messages[0].content }}",
        "{{ messages[-1].content | upper }}",
        "{{ messages[-1].content }}{{ messages[-1].content }}",
    ] {
        let template = Template::jinja(source, BTreeMap::new(), Path::new("t")).expect("a template");
        let error = template.render(None, &Prompt::Text("a".into()), "some words").expect_err("refused");
        assert_eq!(error.kind(), Some(Kind::ResponseNotFound), "{source}: {error}");
    }
}

#[test]
fn a_named_tokenizer_is_read_instead_of_the_models_own() {
    let named = fixture("tokenizers/sentencepiece_bpe");
    let file = named.join("tokenizer.json");
    let options =
        LoadOptions { dtype: DType::F32, device: Device::Cpu, stream: true, quantize: None, adapter: None };
    let open = |tokenizer: Option<&Path>| {
        let files = ModelFiles::folder(&fixture("models/stories260K")).with_tokenizer(tokenizer);
        Model::open(&files, "stories260K", &options).expect("a model")
    };
    let text = "Tell the truth plainly.";
    let own = open(None);
    let other =
        TextEncoder::open(&file, Some("<s>"), None).expect("a tokenizer").encode(text).expect("tokens");
    assert_ne!(own.encoder.encode(text).expect("tokens"), other);
    let folder = tempfile::tempdir().expect("a folder");
    let alone = folder.path().join("x.json");
    std::fs::copy(&file, &alone).expect("a copy");
    for (tokenizer, chat) in [(named.as_path(), true), (file.as_path(), true), (alone.as_path(), false)] {
        let model = open(Some(tokenizer));
        assert_eq!(model.encoder.encode(text).expect("tokens"), other);
        assert_eq!(model.identity.tokenizer_sha256, vstar::artifact::sha256_file(&file).expect("a hash"));
        assert_ne!(model.identity.tokenizer_sha256, own.identity.tokenizer_sha256);
        // The chat template next to the tokenizer is used; this model has none of its own.
        assert_eq!(model.has_chat_template(), chat, "{}", tokenizer.display());
    }
    let files =
        ModelFiles::folder(&fixture("models/stories260K")).with_tokenizer(Some(Path::new("no-such-file")));
    let error = Model::open(&files, "stories260K", &options).err().expect("a refusal");
    assert!(error.kind() == Some(Kind::Missing) && error.to_string().contains("no-such-file"), "{error}");
}
