//! Builds the tokenizer described by a GGUF file's metadata.

mod added;
mod byte_level;
mod merges;
mod sentencepiece;
mod splitter;
mod vocabulary;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::json;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::{Tokenizer, pre_tokenizers::byte_level::ByteLevel};

use self::added::{Strip, added_tokens};
use self::vocabulary::{BOS, EOS, OWN_TOKENIZER, Vocabulary};
use super::Metadata;
use crate::error::{Diagnostic, Error, Kind, Result};
use crate::guard::guarded;

/// The text settings of a GGUF file: tokenizer, special tokens and chat template.
pub struct GgufText {
    /// The tokenizer, equivalent to the model's own `tokenizer.json`.
    pub tokenizer: Tokenizer,
    /// Id of the beginning-of-sequence token, whether or not the tokenizer adds it.
    pub bos: Option<u32>,
    /// Text of the special tokens named by the file: `bos_token`, `eos_token`, `unk_token`, `pad_token`.
    pub special: BTreeMap<String, String>,
    /// The chat template, if there is one.
    pub chat: Option<String>,
}

/// A tokenizer before its special tokens are added.
struct Built<'a> {
    tokenizer: Tokenizer,
    /// The text of every token, as in the vocabulary.
    texts: Vec<Cow<'a, str>>,
    /// Whether a beginning-of-sequence token is added if the file does not say.
    add_bos: bool,
    /// Whether token spans exclude white space at their ends.
    trim_spans: bool,
}

const MODEL: &str = "tokenizer.ggml.model";
const CHAT: &str = "tokenizer.chat_template";
const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
const ADD_EOS: &str = "tokenizer.ggml.add_eos_token";

impl GgufText {
    /// Builds the tokenizer of a GGUF file: byte-level BPE (`gpt2`) and SentencePiece BPE (`llama`).
    ///
    /// Token ids are those of the family's own tokenizer, with which the model was trained. transformers' reading of
    /// the same file gives the same ids wherever it follows the family too; where it does not (Unicode normalisation,
    /// digits, white space after a control token), the family's tokenizer is followed.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] for another kind of tokenizer or an unknown splitting rule; [`Kind::Missing`],
    /// [`Kind::Malformed`] and [`Kind::Invalid`] for metadata that do not define a tokenizer.
    pub fn read(metadata: &Metadata) -> Result<Self> {
        let model = metadata.required(MODEL, Metadata::str)?;
        let architecture = metadata.str("general.architecture")?.unwrap_or_default();
        let vocabulary = Vocabulary::read(metadata)?;
        let mut built = match model {
            "gpt2" => byte_level::build(metadata, &vocabulary, architecture)?,
            "llama" => sentencepiece::build(metadata, &vocabulary, architecture)?,
            other => {
                return Err(Diagnostic::new(Kind::Unsupported, format!("a tokenizer of kind `{other}`"))
                    .at(metadata.place(MODEL))
                    .expected("gpt2 (byte-level BPE) or llama (SentencePiece BPE)")
                    .found(other)
                    .remedy(OWN_TOKENIZER)
                    .into());
            }
        };
        let strip = Strip::of(architecture, model, metadata.str("tokenizer.ggml.pre")?);
        let added = added_tokens(&vocabulary, &built.texts, strip);
        guarded(|| built.tokenizer.add_tokens(added))
            .map_err(|e| failed(metadata, &e))?
            .map_err(|e| failed(metadata, &e))?;
        let processor = post_processor(metadata, &vocabulary, &built)?;
        built.tokenizer.with_post_processor(processor);
        Ok(Self {
            tokenizer: built.tokenizer,
            bos: vocabulary.bos,
            special: Self::special(metadata),
            chat: metadata.str(CHAT)?.map(str::to_owned),
        })
    }

    /// Only the text of the special tokens, even if the rest does not define a tokenizer; unreadable ones are omitted.
    pub fn special(metadata: &Metadata) -> BTreeMap<String, String> {
        let tokens = metadata.strings(vocabulary::TOKENS).ok().flatten().unwrap_or_default();
        let text = |key: &str| tokens.get(metadata.usize(key).ok()??).map(|token| (*token).to_owned());
        let named = vocabulary::SPECIAL.iter().map(|(name, key)| ((*name).to_owned(), text(key)));
        named.filter_map(|(name, text)| Some((name, text?))).collect()
    }

    /// Only the chat template, if there is a readable one.
    pub fn chat(metadata: &Metadata) -> Option<String> {
        metadata.str(CHAT).ok()?.map(str::to_owned)
    }
}

/// The step that adds the beginning- and end-of-sequence tokens.
fn post_processor(
    metadata: &Metadata,
    vocabulary: &Vocabulary<'_>,
    built: &Built<'_>,
) -> Result<Option<PostProcessorWrapper>> {
    let bos = ends(metadata, ADD_BOS, BOS, built.add_bos, vocabulary.bos)?;
    let eos = ends(metadata, ADD_EOS, EOS, false, vocabulary.eos)?;
    let token = |name: &str| json!({"SpecialToken": {"id": name, "type_id": 0}});
    let sequence = |name: &str| json!({"Sequence": {"id": name, "type_id": 0}});
    let (mut before, mut after, mut tokens) = (Vec::new(), Vec::new(), serde_json::Map::new());
    for (name, id, place) in [("bos", bos, &mut before), ("eos", eos, &mut after)] {
        let Some(id) = id else { continue };
        place.push(token(name));
        tokens.insert(name.to_owned(), json!({"id": name, "ids": [id], "tokens": [vocabulary.text(id)]}));
    }
    let mut steps = Vec::new();
    if built.trim_spans {
        steps.push(PostProcessorWrapper::from(ByteLevel::new(false, true, true)));
    }
    if !tokens.is_empty() {
        let single = [before.clone(), vec![sequence("A")], after.clone()].concat();
        let pair = [before, vec![sequence("A"), sequence("B")], after].concat();
        let template = json!({
            "type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens,
        });
        steps.push(serde_json::from_value(template).map_err(|e| failed(metadata, &e))?);
    }
    Ok(match steps.len() {
        0 => None,
        1 => steps.pop(),
        _ => Some(tokenizers::processors::sequence::Sequence::new(steps).into()),
    })
}

/// The id to add, if any: `flag` decides; if it is missing, `default` does.
fn ends(metadata: &Metadata, flag: &str, key: &str, default: bool, id: Option<u32>) -> Result<Option<u32>> {
    match (metadata.bool(flag)?, id) {
        (Some(true), None) => Err(Diagnostic::new(Kind::Missing, format!("no `{key}`"))
            .at(metadata.place(key))
            .expected(format!("the id of the token that `{flag}` asks for"))
            .remedy(OWN_TOKENIZER)
            .into()),
        (asked, id) => Ok(id.filter(|_| asked.unwrap_or(default))),
    }
}

/// An error for metadata that the tokenizer library rejects.
fn failed(metadata: &Metadata, found: &impl ToString) -> Error {
    Diagnostic::new(Kind::Malformed, "the tokenizer cannot be built from the metadata")
        .at(metadata.place(MODEL))
        .found(found.to_string())
        .remedy(OWN_TOKENIZER)
        .into()
}
