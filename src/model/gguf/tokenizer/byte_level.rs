//! Byte-level BPE (`tokenizer.ggml.model` = `gpt2`).

use tokenizers::Tokenizer;
use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::unicode::NFC;

use super::merges::{listed, vocab};
use super::splitter::Splitter;
use super::vocabulary::{OWN_TOKENIZER, Vocabulary};
use super::{Built, Metadata, failed};
use crate::error::{Diagnostic, Kind, Result};

const PRE: &str = "tokenizer.ggml.pre";

/// Builds the BPE model with its normalizer, pre-tokenizer and decoder.
///
/// # Errors
/// [`Kind::Unsupported`] for an unknown `pre`; [`Kind::Missing`] for a file without merges.
pub(super) fn build<'a>(
    metadata: &Metadata,
    vocabulary: &Vocabulary<'a>,
    architecture: &str,
) -> Result<Built<'a>> {
    let pre = metadata.str(PRE)?;
    let splitter = Splitter::find(pre, architecture).ok_or_else(|| {
        let name = pre.map_or("no name".to_owned(), |pre| format!("`{pre}`"));
        Diagnostic::new(Kind::Unsupported, format!("how the tokenizer splits text is not known: {name}"))
            .at(metadata.place(PRE))
            .expected(format!("one of {}", Splitter::names().join(", ")))
            .found(name)
            .remedy(OWN_TOKENIZER)
    })?;
    let merges = listed(metadata, &vocabulary.tokens)?.ok_or_else(|| {
        Diagnostic::new(Kind::Missing, "no merges")
            .at(metadata.place(super::merges::MERGES))
            .expected("the merges of byte-level BPE")
            .remedy(OWN_TOKENIZER)
    })?;
    let model = BPE::builder()
        .vocab_and_merges(vocab(&vocabulary.tokens), merges)
        .ignore_merges(splitter.ignore_merges)
        .build()
        .map_err(|e| failed(metadata, &e))?;
    let mut tokenizer = Tokenizer::new(model);
    if splitter.nfc {
        tokenizer.with_normalizer(Some(NFC)).map_err(|e| failed(metadata, &e))?;
    }
    tokenizer.with_pre_tokenizer(Some(splitter.pre_tokenizer().map_err(|e| failed(metadata, &e))?));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    Ok(Built {
        tokenizer,
        texts: vocabulary.tokens.clone().into_iter().map(Into::into).collect(),
        add_bos: splitter.add_bos,
        trim_spans: splitter.trim_spans,
    })
}
