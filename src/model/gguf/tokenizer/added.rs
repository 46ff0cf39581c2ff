//! Tokens matched in the text before it is split: control tokens and user-defined ones.

use std::borrow::Cow;

use tokenizers::AddedToken;

use super::vocabulary::{TokenKind, Vocabulary};

/// Which white space around a control token belongs to it. A GGUF file does not record this; the families' own
/// tokenizers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strip {
    /// No stripping: every family but Phi.
    Nothing,
    /// Phi 3 and 3.5: strips white space after any control token except `<unk>`, `<s>` and `<|endoftext|>`.
    Phi3,
    /// Phi 4 mini: strips white space after the four tokens that mark turns.
    Phi4Mini,
    /// Phi 4: strips white space on both sides of every control token.
    Phi4,
}

impl Strip {
    /// The rule for an architecture whose tokenizer is of kind `model` and uses the splitter `pre`.
    pub(super) fn of(architecture: &str, model: &str, pre: Option<&str>) -> Self {
        match (architecture, model, pre) {
            ("phi3", "llama", _) => Self::Phi3,
            ("phi3", _, Some("gpt-4o")) => Self::Phi4Mini,
            ("phi3", _, Some("dbrx")) => Self::Phi4,
            _ => Self::Nothing,
        }
    }

    /// Whether the token absorbs white space before and after it.
    fn sides(self, token: &str) -> (bool, bool) {
        match self {
            Self::Nothing => (false, false),
            Self::Phi3 => (false, !matches!(token, "<unk>" | "<s>" | "<|endoftext|>")),
            Self::Phi4Mini => {
                (false, matches!(token, "<|end|>" | "<|user|>" | "<|assistant|>" | "<|system|>"))
            }
            Self::Phi4 => (true, true),
        }
    }
}

/// The tokens to match in raw text, by id. Control tokens, the unknown token and those that the file names as beginning
/// of sequence, end of sequence or padding are special; user-defined tokens are not.
pub(super) fn added_tokens(
    vocabulary: &Vocabulary<'_>,
    texts: &[Cow<'_, str>],
    strip: Strip,
) -> Vec<AddedToken> {
    let named = [vocabulary.bos, vocabulary.eos, vocabulary.unknown, vocabulary.padding];
    let mut added = Vec::new();
    for (id, (kind, text)) in vocabulary.kinds.iter().zip(texts).enumerate() {
        let special = match kind {
            TokenKind::Control | TokenKind::Unknown => true,
            TokenKind::UserDefined => false,
            // Old converters mark every token as normal. A named single character (Qwen 1's comma) is text.
            TokenKind::Normal if named.contains(&u32::try_from(id).ok()) && text.chars().count() > 1 => true,
            TokenKind::Normal | TokenKind::Byte | TokenKind::Unused => continue,
        };
        let (left, right) = if special { strip.sides(text) } else { (false, false) };
        added.push(AddedToken::from(text.as_ref(), special).normalized(false).lstrip(left).rstrip(right));
    }
    added
}
