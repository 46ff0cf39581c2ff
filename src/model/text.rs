//! Text to tokens: encodes the whole text once and finds the tokens of the response.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use tokenizers::{AddedToken, Tokenizer};

use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::guard::guarded;
use crate::source;
use crate::units::TokenSpan;

/// Character range `[start, end)` of a text.
type Span = (usize, usize);

/// Maximum number of bytes per token, on average: four are typical, and only unusual text such as pure white space
/// exceeds this limit.
const BYTES_A_TOKEN: usize = 16;

/// Texts of up to this many bytes are always encoded.
const SHORT: usize = 1 << 20;

/// A model's own tokenizer.
pub struct TextEncoder {
    inner: Tokenizer,
    bos: Option<u32>,
    path: PathBuf,
    context: usize,
    /// Added tokens that absorb adjacent white space.
    controls: HashSet<u32>,
}

/// An encoded text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids, special tokens included.
    pub ids: Vec<u32>,
    /// The tokens of the response.
    pub response: TokenSpan,
}

impl TextEncoder {
    /// Reads a `tokenizer.json`. `bos` is the text of the beginning-of-sequence token if the model's files name one,
    /// `bos_id` its id if only the config has it.
    ///
    /// # Errors
    /// `Missing` for a missing file, `Malformed` for one that does not parse.
    pub fn open(path: &Path, bos: Option<&str>, bos_id: Option<u32>) -> Result<Self> {
        if !path.exists() {
            return Err(Diagnostic::new(Kind::Missing, "no tokenizer.json")
                .at(Place::file(path))
                .expected("the tokenizer in Hugging Face's fast format")
                .remedy("save it with `AutoTokenizer.from_pretrained(...).save_pretrained(folder)`")
                .into());
        }
        let bytes = source::read(path, source::LARGE)?;
        Self::from_bytes(&bytes, path, bos, bos_id)
    }

    /// As [`TextEncoder::open`], from bytes; `path` is only used in errors.
    ///
    /// # Errors
    /// `Malformed` for bytes that do not parse.
    pub fn from_bytes(bytes: &[u8], path: &Path, bos: Option<&str>, bos_id: Option<u32>) -> Result<Self> {
        let malformed = |found: String| -> Error {
            Diagnostic::new(Kind::Malformed, "the tokenizer cannot be read")
                .at(Place::file(path))
                .expected("tokenizer.json in Hugging Face's fast format")
                .found(found)
                .into()
        };
        // The library panics on some files that are not tokenizers, and gives poor messages for one that is not JSON at
        // all.
        serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(|e| malformed(e.to_string()))?;
        let mut inner = guarded(|| Tokenizer::from_bytes(bytes))
            .map_err(malformed)?
            .map_err(|e| malformed(e.to_string()))?;
        // Settings left over from a training script would silently truncate or pad texts.
        inner.with_truncation(None).map_err(|e| malformed(e.to_string()))?;
        inner.with_padding(None);
        let bos = bos.and_then(|text| inner.token_to_id(text)).or(bos_id);
        Ok(Self::from_tokenizer(inner, path, bos))
    }

    /// Adds further tokens that are never split, as listed in `tokenizer_config.json`: `added` with their flags,
    /// whether or not the tokenizer has them, and `named` ones that are in neither.
    ///
    /// # Errors
    /// `Malformed` if the tokenizer refuses them.
    pub(super) fn with_added(mut self, added: &[AddedToken], named: &[AddedToken]) -> Result<Self> {
        let own: HashSet<String> =
            self.inner.get_added_tokens_decoder().into_values().map(|token| token.content).collect();
        let is_new =
            |t: &&AddedToken| !own.contains(&t.content) && !added.iter().any(|a| a.content == t.content);
        let all: Vec<AddedToken> = added.iter().chain(named.iter().filter(is_new)).cloned().collect();
        self.inner.add_tokens(all).map_err(|e| {
            Diagnostic::new(
                Kind::Malformed,
                "the tokenizer does not take the tokens of tokenizer_config.json",
            )
            .at(Place::file(&self.path))
            .found(e.to_string())
        })?;
        Ok(self.with_controls())
    }

    fn with_controls(mut self) -> Self {
        let added = self.inner.get_added_tokens_decoder();
        self.controls =
            added.iter().filter(|(_, token)| token.rstrip || token.lstrip).map(|(id, _)| *id).collect();
        self
    }

    /// Wraps an existing tokenizer; `path` only names its file in errors, `bos` is the id of the beginning-of-sequence
    /// token.
    pub fn from_tokenizer(inner: Tokenizer, path: &Path, bos: Option<u32>) -> Self {
        // If no file names the token, it is the one that is prepended both to an empty and to a non-empty text.
        let first = || {
            let before =
                |text: &str| guarded(|| inner.encode(text, true)).ok()?.ok()?.get_ids().first().copied();
            before("").filter(|&id| before("a") == Some(id) && before("b") == Some(id))
        };
        let bos = bos.or_else(first);
        Self { inner, bos, path: path.to_owned(), context: usize::MAX, controls: HashSet::new() }
            .with_controls()
    }

    /// Sets the model's context length in tokens: a text that cannot fit is refused before it is encoded, since
    /// encoding takes hundreds of bytes of memory per token.
    #[must_use]
    pub fn with_context(mut self, context: usize) -> Self {
        self.context = context;
        self
    }

    /// Id of the beginning-of-sequence token, if the model has one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// Largest token id plus 1.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab(true).values().max().map_or(0, |&id| id as usize + 1)
    }

    /// Encodes a whole text with the special tokens that the tokenizer adds; if the text already starts with a
    /// beginning-of-sequence token (as from many chat templates), a second one is not added.
    ///
    /// # Errors
    /// [`Kind::TooLong`] for a text that cannot fit the context; if the tokenizer fails.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.with_offsets(text)?.0)
    }

    /// Encodes a whole text and finds the tokens of the response, given as a byte range.
    ///
    /// A token belongs to the response if its character span, as reported by the tokenizer, ends past the response's
    /// first character and starts before the response's end. A tokenizer that trims white space from its spans (GPT-2's
    /// post-processor) gives a token of pure white space an empty span at its end. A control token of the template that
    /// absorbs the response's white space into its span (`rstrip`, `lstrip`) does not belong to the response.
    ///
    /// # Errors
    /// [`Kind::EmptyResponse`] for an empty range; [`Kind::ResponseMerged`] if no token qualifies.
    pub fn encode_response(&self, text: &str, response: Range<usize>) -> Result<Encoded> {
        if response.is_empty() {
            return Err(Diagnostic::new(Kind::EmptyResponse, "the response is empty")
                .expected("at least one character of response")
                .remedy("drop the row, or run with --skip-bad")
                .into());
        }
        let (ids, offsets) = self.with_offsets(text)?;
        let first = text[..response.start].chars().count();
        let end = first + text[response.clone()].chars().count();
        // Whatever a control token absorbs of the response is white space.
        let space = |from: usize, to: usize| {
            let inside = text[response.clone()]
                .chars()
                .skip(from.saturating_sub(first))
                .take(to.min(end) - from.max(first));
            (from < first || to > end) && inside.into_iter().all(char::is_whitespace)
        };
        let inside = |(id, &(from, to)): (&u32, &Span)| {
            to > first && from < end && !(self.controls.contains(id) && space(from, to))
        };
        let belongs: Vec<bool> = ids.iter().zip(&offsets).map(inside).collect();
        match (belongs.iter().position(|b| *b), belongs.iter().rposition(|b| *b)) {
            (Some(start), Some(last)) => Ok(Encoded { ids, response: TokenSpan { start, end: last + 1 } }),
            _ => Err(Diagnostic::new(Kind::ResponseMerged, "no token of the text belongs to the response")
                .expected("a token whose characters overlap the response")
                .found("a response that the tokenizer drops or normalises away")
                .remedy("drop the row, or run with --skip-bad")
                .into()),
        }
    }

    /// Token ids and character spans.
    fn with_offsets(&self, text: &str) -> Result<(Vec<u32>, Vec<Span>)> {
        let most = self.context.saturating_mul(BYTES_A_TOKEN).max(SHORT);
        if text.len() > most {
            return Err(Diagnostic::new(Kind::TooLong, "the text is longer than the model's context")
                .expected(format!("at most {} tokens, and {most} bytes", self.context))
                .found(format!("{} bytes", text.len()))
                .remedy("shorten the item, use a model with a longer context, or run with --skip-bad")
                .into());
        }
        let failed = |found: String| -> Error {
            Diagnostic::new(Kind::Malformed, "the tokenizer failed on a text")
                .at(Place::file(&self.path))
                .found(found)
                .into()
        };
        let encoding = guarded(|| self.inner.encode_char_offsets(text, true))
            .map_err(failed)?
            .map_err(|e| failed(e.to_string()))?;
        let doubled = match (self.bos, encoding.get_ids()) {
            (Some(bos), [first, second, ..]) => *first == bos && *second == bos,
            _ => false,
        };
        let skip = usize::from(doubled);
        Ok((encoding.get_ids()[skip..].to_vec(), encoding.get_offsets()[skip..].to_vec()))
    }

    /// The text of tokens, without special tokens.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let failed = |found: String| -> Error {
            Diagnostic::new(Kind::Malformed, "the tokenizer cannot decode")
                .at(Place::file(&self.path))
                .found(found)
                .into()
        };
        guarded(|| self.inner.decode(ids, true)).map_err(failed)?.map_err(|e| failed(e.to_string()))
    }

    /// The text that `reply` adds to `prompt`: a tokenizer may write a token differently at the start of a text, with
    /// or without its leading space.
    ///
    /// # Errors
    /// If the tokenizer fails.
    pub fn continuation(&self, prompt: &[u32], reply: &[u32]) -> Result<String> {
        /// Enough of the prompt for the decoder of any tokenizer.
        const CONTEXT: usize = 16;
        let tail = &prompt[prompt.len().saturating_sub(CONTEXT)..];
        let whole = self.decode(&[tail, reply].concat())?;
        match whole.strip_prefix(&self.decode(tail)?) {
            Some(text) => Ok(text.to_owned()),
            // The prompt ends within a character.
            None => self.decode(reply),
        }
    }

    /// Tokens as pieces of text, one per token; a token that is only part of a character gives an empty piece, and the
    /// last part gives the whole character. With more than `most` tokens the middle is replaced by an ellipsis.
    pub fn pieces(&self, ids: &[u32], most: usize) -> Vec<String> {
        let mut stream = self.inner.decode_stream(false);
        // A token that cannot be decoded is shown as in the vocabulary.
        let mut spell = |id: u32| match stream.step(id) {
            Ok(piece) => piece.unwrap_or_default(),
            Err(_) => self.token(id).unwrap_or_default(),
        };
        let pieces: Vec<String> = ids.iter().map(|&id| spell(id)).collect();
        if pieces.len() <= most {
            return pieces;
        }
        let (head, tail) = (most - most / 3, most / 3);
        let gap = std::iter::once("…".to_owned());
        pieces[..head]
            .iter()
            .cloned()
            .chain(gap)
            .chain(pieces[pieces.len() - tail..].iter().cloned())
            .collect()
    }

    /// Id of the token with this spelling in the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The vocabulary's spelling of a token.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }
}
