//! Text to tokens: encoded once, whole, and which tokens are the response.

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use tokenizers::{AddedToken, Tokenizer};

use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::guard::guarded;
use crate::source;
use crate::units::TokenSpan;

/// Characters `[start, end)` of a text.
type Span = (usize, usize);

/// Bytes that a token stands for on average at the most: four are usual, and only text of nothing but white
/// space or the like has more than this.
const BYTES_A_TOKEN: usize = 16;

/// A text of so many bytes is encoded in any case.
const SHORT: usize = 1 << 20;

/// A model's own tokenizer.
pub struct TextEncoder {
    inner: Tokenizer,
    bos: Option<u32>,
    path: PathBuf,
    context: usize,
    /// Added tokens that take the white space beside them with them.
    controls: HashSet<u32>,
}

/// A text as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Token ids, special tokens included.
    pub ids: Vec<u32>,
    /// The tokens that are the response.
    pub response: TokenSpan,
}

impl TextEncoder {
    /// Reads a `tokenizer.json`. `bos` is the text of the beginning-of-sequence token where the model's
    /// files name one, `bos_id` its id where only the config knows it.
    ///
    /// # Errors
    /// `Missing` or `Malformed` for a file that is not there or does not parse.
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

    /// The same from bytes; `path` only names them in errors.
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
        // The library panics on several files that are no tokenizers, and says little about one that is no
        // JSON at all.
        serde_json::from_slice::<serde::de::IgnoredAny>(bytes).map_err(|e| malformed(e.to_string()))?;
        let mut inner = guarded(|| Tokenizer::from_bytes(bytes))
            .map_err(malformed)?
            .map_err(|e| malformed(e.to_string()))?;
        // Settings left over from somebody's training script would silently cut or pad texts.
        inner.with_truncation(None).map_err(|e| malformed(e.to_string()))?;
        inner.with_padding(None);
        let bos = bos.and_then(|text| inner.token_to_id(text)).or(bos_id);
        Ok(Self::from_tokenizer(inner, path, bos))
    }

    /// The same with further tokens that are never split, as `tokenizer_config.json` names them: `added` with their
    /// flags, whether the tokenizer has them or not, and `named` ones that neither has.
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

    /// A tokenizer that is built already; `path` only names its file in errors, `bos` is the id of the
    /// beginning-of-sequence token.
    pub fn from_tokenizer(inner: Tokenizer, path: &Path, bos: Option<u32>) -> Self {
        // Where no file names the token, it is the one that stands before nothing, and before something.
        let first = || {
            let before =
                |text: &str| guarded(|| inner.encode(text, true)).ok()?.ok()?.get_ids().first().copied();
            before("").filter(|&id| before("a") == Some(id) && before("b") == Some(id))
        };
        let bos = bos.or_else(first);
        Self { inner, bos, path: path.to_owned(), context: usize::MAX, controls: HashSet::new() }
            .with_controls()
    }

    /// The same for a model of so many tokens of context: a text that cannot fit is refused before it is
    /// encoded, which takes hundreds of bytes of memory a token.
    #[must_use]
    pub fn with_context(mut self, context: usize) -> Self {
        self.context = context;
        self
    }

    /// Id of the beginning-of-sequence token, if the model has one.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The largest token id plus 1.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab(true).values().max().map_or(0, |&id| id as usize + 1)
    }

    /// Encodes a text whole, with the special tokens that the tokenizer adds; where the text brings its
    /// own beginning-of-sequence token (as many chat templates do), it is not added a second time.
    ///
    /// # Errors
    /// [`Kind::TooLong`] for a text that cannot fit the context; if the tokenizer fails.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.with_offsets(text)?.0)
    }

    /// Encodes a text whole and finds the tokens of the response, given as a range of bytes.
    ///
    /// A token belongs to the response if its character span, as the tokenizer reports it, ends past
    /// the response's first character and starts before the response's end. A tokenizer that trims
    /// white space from its spans (GPT-2's post-processor) gives a token of white space alone an empty
    /// span at its end. A control token of the template that takes the response's white space into its span
    /// (`rstrip`, `lstrip`) does not belong to the response.
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
        // What a control token has of the response, if it is more than its own, is white space.
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

    /// Ids and character spans.
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

    /// The text of tokens, special tokens left out.
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

    /// Tokens as pieces of text, one a token; a token that is only part of a character gives an empty piece, and
    /// the last of its parts the character. With more than `most` tokens the middle is left out, and an ellipsis
    /// stands for it.
    pub fn pieces(&self, ids: &[u32], most: usize) -> Vec<String> {
        let mut stream = self.inner.decode_stream(false);
        // A token that cannot be decoded is spelled as in the vocabulary.
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

    /// A token as the vocabulary spells it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }
}
