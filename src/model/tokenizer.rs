//! A model's tokenizer with its special tokens and chat template: the model's own, or one given by the user.
//!
//! Settings in `tokenizer_config.json` are applied on top of `tokenizer.json`, as in transformers.

use std::collections::BTreeMap;
use std::path::Path;

use tokenizers::AddedToken;

use super::gguf::{GgufText, Metadata};
use super::text::TextEncoder;
use crate::artifact;
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::{json, source};

/// File name of a tokenizer.
const FILE: &str = "tokenizer.json";

/// Minimum percentage of a GGUF file's tokens that a `tokenizer.json` must share to count as its model's. Converters
/// spell a few differently, and fine-tuning renames some.
const SAME_PERCENT: usize = 99;

/// The tokenizer, and the inputs of a chat template.
pub(super) struct ModelText {
    /// The tokenizer.
    pub(super) encoder: TextEncoder,
    /// Special tokens by their names in chat templates, such as `bos_token`.
    pub(super) special: BTreeMap<String, String>,
    /// The chat template.
    pub(super) chat: Option<String>,
    /// SHA-256 of `tokenizer.json`, or the hash of a GGUF file's metadata.
    pub(super) sha256: String,
    /// SHA-256 of the additions in files beside `tokenizer.json`: special tokens, added tokens, the leading space.
    pub(super) special_sha256: String,
}

impl ModelText {
    /// Reads a folder in Hugging Face layout; `bos` is the id of the beginning-of-sequence token from the config.
    ///
    /// `named` is a `tokenizer.json` used instead of the folder's. Special tokens and the chat template in the files
    /// beside it take precedence over the folder's.
    ///
    /// # Errors
    /// Errors of [`TextEncoder::open`]; `Malformed` for a file of special tokens that is not JSON.
    pub(super) fn folder(folder: &Path, named: Option<&Path>, bos: Option<u32>) -> Result<Self> {
        let own = Special::read(folder)?;
        match named {
            Some(named) => Self::beside(named, own, bos),
            None => Self::open(&folder.join(FILE), own, bos),
        }
    }

    /// Reads a GGUF file: its metadata, or the `tokenizer.json` given as `named`, which must have the file's tokens.
    /// Special tokens and the chat template in the files beside it take precedence over those of the metadata.
    ///
    /// If the metadata specify an unknown kind of tokenizer, a `tokenizer.json` beside the GGUF file is used if it has
    /// the file's tokens, and this is logged. `sha256` identifies the metadata.
    ///
    /// # Errors
    /// Errors of [`GgufText::read`] and [`TextEncoder::open`]; [`Kind::Invalid`] for a named tokenizer with another
    /// vocabulary.
    pub(super) fn gguf(metadata: &Metadata, sha256: &str, named: Option<&Path>) -> Result<Self> {
        let own = || Special {
            special: GgufText::special(metadata),
            chat: GgufText::chat(metadata),
            ..Special::default()
        };
        if let Some(named) = named {
            let text = Self::beside(named, own(), None)?;
            return match differing(&text.encoder, metadata) {
                None => Ok(text),
                Some(found) => Err(Diagnostic::new(Kind::Invalid, "the tokenizer is another model's")
                    .at(Place::file(named))
                    .expected(format!("the tokens of {}", metadata.path().display()))
                    .found(found)
                    .remedy("give the tokenizer of this model, or none")
                    .into()),
            };
        }
        match GgufText::read(metadata) {
            Ok(text) => Ok(Self {
                encoder: TextEncoder::from_tokenizer(text.tokenizer, metadata.path(), text.bos),
                special_sha256: String::new(),
                special: text.special,
                chat: text.chat,
                sha256: sha256.to_owned(),
            }),
            Err(refused) if refused.kind() == Some(Kind::Unsupported) => {
                let beside = metadata.path().with_file_name(FILE);
                if !beside.is_file() {
                    return Err(refused);
                }
                let text = Self::beside(&beside, own(), None)?;
                if differing(&text.encoder, metadata).is_some() {
                    return Err(refused);
                }
                tracing::warn!(
                    "{}: the tokenizer in the metadata is of no known kind; using {}, which has the same tokens",
                    metadata.path().display(),
                    beside.display()
                );
                Ok(text)
            }
            Err(refused) => Err(refused),
        }
    }

    /// Id of the token named as the end of a text.
    pub(super) fn eos(&self) -> Option<u32> {
        self.special.get("eos_token").and_then(|text| self.encoder.id(text))
    }

    /// Sets the model's context length in tokens.
    #[must_use]
    pub(super) fn with_context(mut self, context: usize) -> Self {
        self.encoder = self.encoder.with_context(context);
        self
    }

    /// Reads a `tokenizer.json` that is not the model's own, with the files beside it.
    fn beside(file: &Path, own: Special, bos: Option<u32>) -> Result<Self> {
        let mut special = own;
        let with = Special::read(file.parent().unwrap_or(Path::new("")))?;
        special.special.extend(with.special);
        special.chat = with.chat.or(special.chat);
        (special.added, special.named) = (with.added, with.named);
        special.leading_space = with.leading_space;
        Self::open(file, special, bos)
    }

    fn open(file: &Path, special: Special, bos: Option<u32>) -> Result<Self> {
        let text = special.special.get("bos_token").map(String::as_str);
        let encoder = match special.leading_space {
            None => TextEncoder::open(file, text, bos)?,
            Some(leading) => {
                let bytes = source::read(file, source::LARGE)?;
                TextEncoder::from_bytes(&leading.applied(bytes), file, text, bos)?
            }
        };
        Ok(Self {
            encoder: encoder.with_added(&special.added, &special.named)?,
            special_sha256: special.sha256(),
            special: special.special,
            chat: special.chat,
            sha256: artifact::sha256_file(file)?,
        })
    }
}

/// Describes how a tokenizer's vocabulary differs from that of a GGUF file; `None` if they are the same, or if the file
/// describes no tokenizer.
fn differing(encoder: &TextEncoder, metadata: &Metadata) -> Option<String> {
    metadata.str("tokenizer.ggml.model").ok()??;
    let tokens = metadata.strings("tokenizer.ggml.tokens").ok()??;
    let size = encoder.vocab_size();
    let mut first = None;
    let mut same = 0;
    for id in 0..size.max(tokens.len()) {
        let other = u32::try_from(id).ok().and_then(|id| encoder.token(id));
        match (other, tokens.get(id)) {
            (Some(a), Some(b)) if a == *b => same += 1,
            // One of the vocabularies may be padded to a round size.
            (None, Some(_)) => {}
            (Some(a), b) if first.is_none() => first = Some((id, a, b.copied().unwrap_or("nothing"))),
            _ => {}
        }
    }
    let (id, a, b) = first?;
    (same * 100 < size * SAME_PERCENT)
        .then(|| format!("{same} of {size} tokens are the same; token {id} is \"{a}\", and there \"{b}\""))
}

/// Settings beside `tokenizer.json`: special tokens, the chat template, tokens that are never split.
#[derive(Default)]
struct Special {
    special: BTreeMap<String, String>,
    chat: Option<String>,
    /// Entries of `added_tokens_decoder`, in order of id.
    added: Vec<AddedToken>,
    /// Special tokens by role, and lists of additional ones.
    named: Vec<AddedToken>,
    leading_space: Option<LeadingSpace>,
}

impl Special {
    /// Reads a folder in Hugging Face layout.
    fn read(folder: &Path) -> Result<Self> {
        let mut all = Self::default();
        let mut named: BTreeMap<String, AddedToken> = BTreeMap::new();
        // The later file wins: transformers gives precedence to tokenizer_config.json.
        for file in ["special_tokens_map.json", "tokenizer_config.json"] {
            let path = folder.join(file);
            let Some(text) = read_text(&path)? else { continue };
            let json = json::parse(&text).map_err(|fault| {
                Diagnostic::new(Kind::Malformed, "not JSON").at(Place::file(&path)).found(fault.to_string())
            })?;
            for (key, value) in json.as_object().into_iter().flatten() {
                if let (true, Some(token)) = (key.ends_with("_token"), added_token(value)) {
                    all.special.insert(key.clone(), token.content.clone());
                    named.insert(key.clone(), token.special(true));
                }
            }
            all.chat = json.get("chat_template").and_then(named_template).or(all.chat);
            let ids = json.get("added_tokens_decoder").and_then(|d| d.as_object()).into_iter().flatten();
            let mut added: Vec<_> =
                ids.filter_map(|(id, t)| Some((id.parse::<u32>().ok()?, added_token(t)?))).collect();
            added.sort_by_key(|(id, _)| *id);
            all.added.extend(added.into_iter().map(|(_, token)| token));
            for key in ["additional_special_tokens", "extra_special_tokens"] {
                let list = json.get(key).and_then(|l| l.as_array()).into_iter().flatten();
                all.named.extend(list.filter_map(added_token).map(|t| t.special(true)));
            }
            all.leading_space = LeadingSpace::read(&json).or(all.leading_space);
        }
        all.named.splice(0..0, named.into_values());
        if let Some(text) = read_text(&folder.join("chat_template.jinja"))? {
            all.chat = Some(text);
        }
        Ok(all)
    }

    /// Hash of these settings, without the chat template.
    fn sha256(&self) -> String {
        let added: Vec<_> = self
            .added
            .iter()
            .chain(&self.named)
            .map(|t| (&t.content, t.single_word, t.lstrip, t.rstrip, t.normalized, t.special))
            .collect();
        let leading = self.leading_space.map(|l| format!("{l:?}"));
        artifact::sha256(serde_json::json!([self.special, added, leading]).to_string().as_bytes())
    }
}

/// A token in `tokenizer_config.json`: a string, or an object with its flags.
fn added_token(value: &serde_json::Value) -> Option<AddedToken> {
    if let Some(text) = value.as_str() {
        return Some(AddedToken::from(text, true)).filter(|_| !text.is_empty());
    }
    let content = value.get("content")?.as_str()?;
    let flag = |key: &str| value.get(key).and_then(serde_json::Value::as_bool);
    let special = flag("special").unwrap_or(false);
    let token = AddedToken::from(content, special)
        .single_word(flag("single_word").unwrap_or(false))
        .lstrip(flag("lstrip").unwrap_or(false))
        .rstrip(flag("rstrip").unwrap_or(false))
        .normalized(flag("normalized").unwrap_or(!special));
    Some(token).filter(|_| !content.is_empty())
}

/// Whether a space is put before the first word, if `tokenizer_config.json` decides it: by `add_prefix_space`, in the
/// transformers classes that build their own splitter, regardless of `tokenizer.json`.
#[derive(Debug, Clone, Copy)]
enum LeadingSpace {
    /// GPT-2, Qwen 2 and GPT-NeoX: byte-level splitting.
    ByteLevel(bool),
    /// Llama: SentencePiece's space symbol.
    Metaspace(bool),
}

impl LeadingSpace {
    fn read(config: &serde_json::Value) -> Option<Self> {
        let class = config.get("tokenizer_class")?.as_str()?.trim_end_matches("Fast").to_owned();
        let given = config.get("add_prefix_space").and_then(serde_json::Value::as_bool);
        match class.as_str() {
            "GPT2Tokenizer" | "Qwen2Tokenizer" | "GPTNeoXTokenizer" => {
                Some(Self::ByteLevel(given.unwrap_or(false)))
            }
            "LlamaTokenizer" => given.map(Self::Metaspace),
            _ => None,
        }
    }

    /// Applies the setting to a `tokenizer.json`; bytes that are not JSON are returned unchanged, for the reader to
    /// refuse.
    fn applied(self, bytes: Vec<u8>) -> Vec<u8> {
        let Ok(mut json) = serde_json::from_slice::<serde_json::Value>(&bytes) else { return bytes };
        let before = json.clone();
        match self {
            Self::ByteLevel(space) => each(&mut json["pre_tokenizer"], &mut |part| {
                if part["type"] == "ByteLevel" {
                    part["add_prefix_space"] = space.into();
                }
            }),
            Self::Metaspace(space) => {
                each(&mut json["pre_tokenizer"], &mut |part| {
                    if part["type"] == "Metaspace" {
                        part["prepend_scheme"] = if space { "first" } else { "never" }.into();
                    }
                });
                each(&mut json["normalizer"], &mut |part| {
                    if let (false, Some(list)) =
                        (space, part.get_mut("normalizers").and_then(|l| l.as_array_mut()))
                    {
                        list.retain(|n| n["type"] != "Prepend");
                    }
                });
            }
        }
        if json == before { bytes } else { json.to_string().into_bytes() }
    }
}

/// Calls `f` with a component of a tokenizer and all components of a sequence.
fn each(part: &mut serde_json::Value, f: &mut dyn FnMut(&mut serde_json::Value)) {
    if !part.is_object() {
        return;
    }
    f(part);
    for key in ["pretokenizers", "normalizers"] {
        for inner in part.get_mut(key).and_then(|l| l.as_array_mut()).into_iter().flatten() {
            each(inner, f);
        }
    }
}

/// A chat template: a string, or a list of `{name, template}` whose `default` entry is used.
fn named_template(value: &serde_json::Value) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    let list = value.as_array()?;
    let default = list.iter().find(|t| t.get("name").and_then(|n| n.as_str()) == Some("default"));
    default.or(list.first())?.get("template")?.as_str().map(str::to_owned)
}

/// A file's text; `None` if the file does not exist.
pub(super) fn read_text(path: &Path) -> Result<Option<String>> {
    if path.exists() { source::read_text(path, source::SMALL).map(Some) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::quantized::gguf_file::Value;

    use super::*;

    fn metadata(folder: &Path, pre: &str, tokens: &[&str]) -> Metadata {
        let text = |t: &str| Value::String(t.to_owned());
        let list = |l: &[&str]| Value::Array(l.iter().map(|t| text(t)).collect());
        let kinds = tokens.iter().map(|t| Value::I32(if t.starts_with('<') { 3 } else { 1 })).collect();
        let values = [
            ("general.architecture", text("llama")),
            ("tokenizer.ggml.model", text("gpt2")),
            ("tokenizer.ggml.pre", text(pre)),
            ("tokenizer.ggml.tokens", list(tokens)),
            ("tokenizer.ggml.token_type", Value::Array(kinds)),
            ("tokenizer.ggml.merges", list(&["a b"])),
            ("tokenizer.ggml.bos_token_id", Value::U32(3)),
            ("tokenizer.chat_template", text("own")),
        ];
        let values: HashMap<String, Value> = values.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        Metadata::new(folder.join("m.gguf"), values)
    }

    const TOKENS: &[&str] = &["a", "b", "ab", "<s>"];

    /// A folder with the tokenizer of [`TOKENS`] and its own chat template.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let text = GgufText::read(&metadata(folder.path(), "gpt-2", TOKENS)).expect("a tokenizer");
        text.tokenizer.save(folder.path().join(FILE), false).expect("written");
        std::fs::write(folder.path().join("chat_template.jinja"), "other").expect("written");
        folder
    }

    fn ids(text: &ModelText) -> Vec<u32> {
        text.encoder.encode("<s>abba").expect("tokens")
    }

    #[test]
    fn the_metadata_give_the_tokenizer_and_their_hash_identifies_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let text =
            ModelText::gguf(&metadata(folder.path(), "gpt-2", TOKENS), "hash", None).expect("a tokenizer");
        assert_eq!((ids(&text), text.encoder.bos()), (vec![3, 2, 1, 0], Some(3)));
        assert_eq!((text.sha256.as_str(), text.chat.as_deref()), ("hash", Some("own")));
        assert_eq!(text.special["bos_token"], "<s>");
    }

    #[test]
    fn a_named_tokenizer_brings_what_lies_beside_it_and_the_metadata_the_rest() {
        let folder = folder();
        let meta = metadata(folder.path(), "no-such-rule", TOKENS);
        let alone = folder.path().join("alone/x.json");
        std::fs::create_dir(folder.path().join("alone")).expect("a folder");
        std::fs::copy(folder.path().join(FILE), &alone).expect("a copy");
        for (named, chat) in [(folder.path().join(FILE), "other"), (alone, "own")] {
            let text = ModelText::gguf(&meta, "hash", Some(&named)).expect("a tokenizer");
            assert_eq!((ids(&text), text.encoder.bos()), (vec![3, 2, 1, 0], Some(3)));
            assert_eq!(text.sha256, artifact::sha256_file(&named).expect("a hash"));
            assert_eq!(text.chat.as_deref(), Some(chat));
            assert_eq!(text.special["bos_token"], "<s>");
        }
    }

    #[test]
    fn a_tokenizer_of_other_tokens_is_refused_or_passed_over() {
        let folder = folder();
        let other = metadata(folder.path(), "no-such-rule", &["b", "a", "ab", "<s>", "<x>"]);
        let refused =
            ModelText::gguf(&other, "hash", Some(&folder.path().join(FILE))).err().expect("a refusal");
        assert_eq!(refused.kind(), Some(Kind::Invalid));
        let message = refused.to_string();
        assert!(message.contains("2 of 4 tokens") && message.contains("token 0 is \"a\""), "{message}");
        // A neighbouring file that was not requested: the original error is reported.
        let refused = ModelText::gguf(&other, "hash", None).err().expect("a refusal");
        assert!(refused.kind() == Some(Kind::Unsupported) && refused.to_string().contains("no-such-rule"));
    }

    #[test]
    fn a_tokenizer_beside_the_file_is_read_only_where_the_metadata_do_not_do() {
        let folder = folder();
        let text =
            ModelText::gguf(&metadata(folder.path(), "no-such-rule", TOKENS), "hash", None).expect("one");
        assert_eq!((ids(&text), text.chat.as_deref()), (vec![3, 2, 1, 0], Some("other")));
        let text = ModelText::gguf(&metadata(folder.path(), "gpt-2", TOKENS), "hash", None).expect("one");
        assert_eq!((text.sha256.as_str(), text.chat.as_deref()), ("hash", Some("own")));
        // A padded vocabulary still counts as the same.
        let filled = [TOKENS, &["[PAD4]", "[PAD5]"]].concat();
        assert!(ModelText::gguf(&metadata(folder.path(), "no-such-rule", &filled), "hash", None).is_ok());
    }
}
