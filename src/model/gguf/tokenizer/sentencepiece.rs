//! SentencePiece BPE (`tokenizer.ggml.model` = `llama`): Llama 1 and 2, Mistral 7B, Gemma, Phi 3.

use std::borrow::Cow;
use std::collections::HashSet;

use tokenizers::Tokenizer;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::prepend::Prepend;
use tokenizers::normalizers::replace::Replace;
use tokenizers::normalizers::utils::Sequence as Normalizers;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};

use super::merges::{Rank, implied, listed, vocab};
use super::vocabulary::{OWN_TOKENIZER, TokenKind, Vocabulary, same_length};
use super::{Built, Metadata, failed};
use crate::error::{Diagnostic, Kind, Result};

/// SentencePiece's symbol for a space.
const SPACE: &str = "▁";
const SCORES: &str = "tokenizer.ggml.scores";
const REMOVE: &str = "tokenizer.ggml.remove_extra_whitespaces";

/// Where a space is inserted before text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prefix {
    /// Never.
    Never,
    /// Before every stretch between special tokens, even if it begins with a space: SentencePiece's own rule, and that
    /// of the `tokenizer.json` of Llama 2, Mistral 7B before v0.3, TinyLlama and Phi 3.
    EveryStretch,
    /// Before the text, unless it begins with a space or a special token: Mistral's rule from v0.3 on.
    Start,
}

/// Builds the BPE model with its normalizer, pre-tokenizer and decoder.
///
/// # Errors
/// [`Kind::Missing`] for a file without scores and merges; [`Kind::Unsupported`] for a file that removes white space.
pub(super) fn build<'a>(
    metadata: &Metadata,
    vocabulary: &Vocabulary<'a>,
    architecture: &str,
) -> Result<Built<'a>> {
    if metadata.bool(REMOVE)? == Some(true) {
        return Err(Diagnostic::new(Kind::Unsupported, "a SentencePiece tokenizer that removes white space")
            .at(metadata.place(REMOVE))
            .expected("false")
            .found("true")
            .remedy(OWN_TOKENIZER)
            .into());
    }
    let gemma = architecture.starts_with("gemma");
    let texts = if gemma { gemma_texts(vocabulary) } else { plain_texts(vocabulary) };
    let scores = metadata.numbers(SCORES)?;
    if let Some(scores) = &scores {
        same_length(metadata, SCORES, scores.len(), texts.len())?;
    }
    let merges = match (listed(metadata, &texts)?, &scores) {
        (Some(merges), _) => merges,
        // Gemma's scores do not follow the order of its merges; the order of its vocabulary does.
        (None, _) if gemma => implied(&texts, &vocabulary.kinds, Rank::Place),
        (None, Some(scores)) => implied(&texts, &vocabulary.kinds, Rank::Score(scores)),
        (None, None) => {
            return Err(Diagnostic::new(Kind::Missing, "no scores")
                .at(metadata.place(SCORES))
                .expected("the scores of a SentencePiece vocabulary, one for each token")
                .remedy(OWN_TOKENIZER)
                .into());
        }
    };
    let mut model = BPE::builder().vocab_and_merges(vocab(&texts), merges).byte_fallback(true).fuse_unk(true);
    if let Some(unknown) = unknown(vocabulary) {
        model = model.unk_token(unknown.to_owned());
    }
    let mut tokenizer = Tokenizer::new(model.build().map_err(|e| failed(metadata, &e))?);
    let prefix = prefix(metadata, vocabulary, gemma)?;
    steps(&mut tokenizer, prefix).map_err(|e| failed(metadata, &e))?;
    Ok(Built { tokenizer, texts, add_bos: true, trim_spans: false })
}

fn steps(tokenizer: &mut Tokenizer, prefix: Prefix) -> tokenizers::Result<()> {
    let spaces = Replace::new(" ", SPACE)?;
    match prefix {
        Prefix::Never => {
            tokenizer.with_normalizer(Some(spaces))?;
        }
        Prefix::EveryStretch => {
            let prepend = Prepend::new(SPACE.to_owned());
            tokenizer.with_normalizer(Some(Normalizers::new(vec![prepend.into(), spaces.into()])))?;
        }
        Prefix::Start => {
            tokenizer.with_pre_tokenizer(Some(Metaspace::new('▁', PrependScheme::First, false)));
        }
    }
    let mut decoders: Vec<DecoderWrapper> =
        vec![Replace::new(SPACE, " ")?.into(), ByteFallback::new().into(), Fuse::new().into()];
    if prefix != Prefix::Never {
        decoders.push(Strip::new(' ', 1, 0).into());
    }
    tokenizer.with_decoder(Some(Decoders::new(decoders)));
    Ok(())
}

fn prefix(metadata: &Metadata, vocabulary: &Vocabulary<'_>, gemma: bool) -> Result<Prefix> {
    if !metadata.bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(!gemma) {
        return Ok(Prefix::Never);
    }
    // Mistral's instruction markers are control tokens from the version on that changed the rule.
    let mut tokens = vocabulary.tokens.iter().zip(&vocabulary.kinds);
    let marked = tokens.any(|(token, kind)| *token == "[INST]" && *kind == TokenKind::Control);
    Ok(if marked { Prefix::Start } else { Prefix::EveryStretch })
}

fn unknown<'a>(vocabulary: &Vocabulary<'a>) -> Option<&'a str> {
    let marked = || vocabulary.kinds.iter().position(|k| *k == TokenKind::Unknown);
    match vocabulary.unknown {
        Some(id) => Some(vocabulary.text(id)),
        None => vocabulary.tokens.get(marked()?).copied(),
    }
}

fn plain_texts<'a>(vocabulary: &Vocabulary<'a>) -> Vec<Cow<'a, str>> {
    vocabulary.tokens.iter().map(|t| Cow::from(*t)).collect()
}

/// Gemma's tokens of two or more spaces contain real spaces in GGUF files, but SentencePiece's symbol in Gemma's own
/// tokenizer.
fn gemma_texts<'a>(vocabulary: &Vocabulary<'a>) -> Vec<Cow<'a, str>> {
    let taken: HashSet<&str> = vocabulary.tokens.iter().copied().collect();
    let respell = |token: &'a str| {
        let spelled = SPACE.repeat(token.len());
        let spaces = token.bytes().all(|b| b == b' ');
        if spaces && !taken.contains(spelled.as_str()) { Cow::from(spelled) } else { Cow::from(token) }
    };
    vocabulary.tokens.iter().map(|t| respell(t)).collect()
}
