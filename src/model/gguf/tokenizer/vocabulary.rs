//! The vocabulary of a GGUF file, checked once: tokens, their kinds, scores, special ids.

use std::collections::HashMap;

use super::super::Metadata;
use crate::error::{Diagnostic, Kind, Result};

/// Maximum length of a token in bytes: the longest of any vocabulary in use has about 400.
const LONGEST_TOKEN: usize = 4096;

/// Kind of a token (`tokenizer.ggml.token_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A piece of text, including one marked as unused.
    Normal,
    /// Replaces text outside the vocabulary.
    Unknown,
    /// Never part of text: beginning of sequence, end of turn.
    Control,
    /// Matched whole before text is split, e.g. `<tool_call>`.
    UserDefined,
    /// One byte, e.g. `<0x0A>`.
    Byte,
    /// Pads the vocabulary to its size, e.g. `[PAD151665]`.
    Unused,
}

/// The tokens of a GGUF file by id, without duplicates.
#[derive(Debug)]
pub(super) struct Vocabulary<'a> {
    pub(super) tokens: Vec<&'a str>,
    pub(super) kinds: Vec<TokenKind>,
    pub(super) bos: Option<u32>,
    pub(super) eos: Option<u32>,
    pub(super) unknown: Option<u32>,
    pub(super) padding: Option<u32>,
}

pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";
pub(super) const BOS: &str = "tokenizer.ggml.bos_token_id";
pub(super) const EOS: &str = "tokenizer.ggml.eos_token_id";
const UNKNOWN: &str = "tokenizer.ggml.unknown_token_id";
const PADDING: &str = "tokenizer.ggml.padding_token_id";

/// The special tokens that a file may name: the name in chat templates, and the key of the id.
pub(super) const SPECIAL: [(&str, &str); 4] =
    [("bos_token", BOS), ("eos_token", EOS), ("unk_token", UNKNOWN), ("pad_token", PADDING)];
const KINDS: &str = "tokenizer.ggml.token_type";

impl<'a> Vocabulary<'a> {
    /// Reads and checks the vocabulary.
    ///
    /// # Errors
    /// [`Kind::Missing`] for a file without tokens; [`Kind::Invalid`] for a token that is empty, duplicated or very
    /// long, a list of kinds of another length, or an id outside the vocabulary.
    pub(super) fn read(metadata: &'a Metadata) -> Result<Self> {
        let tokens = metadata.required(TOKENS, Metadata::strings)?;
        check_tokens(metadata, &tokens)?;
        let kinds = match metadata.integers(KINDS)? {
            Some(kinds) => {
                same_length(metadata, KINDS, kinds.len(), tokens.len())?;
                kinds.iter().zip(&tokens).enumerate().map(|(id, (k, t))| kind(*k, id, t)).collect()
            }
            None => vec![TokenKind::Normal; tokens.len()],
        };
        let id = |key: &str| -> Result<Option<u32>> {
            let Some(id) = metadata.u64(key)? else { return Ok(None) };
            match u32::try_from(id) {
                Ok(inside) if id < tokens.len() as u64 => Ok(Some(inside)),
                _ => Err(Diagnostic::new(Kind::Invalid, format!("`{key}` is no token"))
                    .at(metadata.place(key))
                    .expected(format!("an id below {}, the number of tokens", tokens.len()))
                    .found(id.to_string())
                    .remedy(OWN_TOKENIZER)
                    .into()),
            }
        };
        Ok(Self { bos: id(BOS)?, eos: id(EOS)?, unknown: id(UNKNOWN)?, padding: id(PADDING)?, tokens, kinds })
    }

    /// A token's text.
    pub(super) fn text(&self, id: u32) -> &'a str {
        self.tokens.get(id as usize).copied().unwrap_or_default()
    }
}

/// Advice shown when the metadata do not define a tokenizer.
pub(super) const OWN_TOKENIZER: &str =
    "give the model's own tokenizer: `--tokenizer FILE`, a tokenizer.json or the folder that holds it";

/// Refuses a list that does not have one entry per token.
pub(super) fn same_length(metadata: &Metadata, key: &str, found: usize, tokens: usize) -> Result<()> {
    if found == tokens {
        return Ok(());
    }
    Err(Diagnostic::new(Kind::Invalid, format!("`{key}` does not fit the vocabulary"))
        .at(metadata.place(key))
        .expected(format!("{tokens} entries, one for each token"))
        .found(format!("{found} entries"))
        .remedy(OWN_TOKENIZER)
        .into())
}

fn check_tokens(metadata: &Metadata, tokens: &[&str]) -> Result<()> {
    let bad = |what: String, found: String| {
        Err(Diagnostic::new(Kind::Invalid, what)
            .at(metadata.place(TOKENS))
            .expected(format!("tokens of 1 to {LONGEST_TOKEN} bytes, each once"))
            .found(found)
            .remedy(OWN_TOKENIZER)
            .into())
    };
    if tokens.is_empty() || u32::try_from(tokens.len()).is_err() {
        return bad("the vocabulary cannot be used".to_owned(), format!("{} tokens", tokens.len()));
    }
    let mut ids = HashMap::with_capacity(tokens.len());
    for (id, token) in tokens.iter().enumerate() {
        if token.is_empty() || token.len() > LONGEST_TOKEN {
            return bad(format!("token {id} cannot be used"), format!("{} bytes", token.len()));
        }
        if let Some(first) = ids.insert(*token, id) {
            return bad(
                format!("tokens {first} and {id} are the same"),
                format!("\"{token}\" twice; bytes that are not UTF-8 all read as U+FFFD"),
            );
        }
    }
    Ok(())
}

fn kind(number: i64, id: usize, token: &str) -> TokenKind {
    match number {
        2 => TokenKind::Unknown,
        3 => TokenKind::Control,
        // Older converters mark padding tokens as user-defined.
        4 if token == format!("[PAD{id}]") => TokenKind::Unused,
        4 => TokenKind::UserDefined,
        5 => TokenKind::Unused,
        6 => TokenKind::Byte,
        _ => TokenKind::Normal,
    }
}
