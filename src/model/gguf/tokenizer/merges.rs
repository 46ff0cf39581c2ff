//! BPE merges: listed in a file, or implied by its scores.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashMap;

use tokenizers::models::bpe::{Merges, Vocab};

use super::super::Metadata;
use super::vocabulary::{OWN_TOKENIZER, TokenKind};
use crate::error::{Diagnostic, Kind, Result};

pub(super) const MERGES: &str = "tokenizer.ggml.merges";

/// Maps each token to its id.
pub(super) fn vocab<T: AsRef<str>>(tokens: &[T]) -> Vocab {
    (0u32..).zip(tokens).map(|(id, token)| (token.as_ref().to_owned(), id)).collect()
}

/// The merges listed in the file, each `left right`.
///
/// # Errors
/// [`Kind::Invalid`] for an entry that is not a pair, or whose halves or union are not in the vocabulary.
pub(super) fn listed<T: AsRef<str>>(metadata: &Metadata, tokens: &[T]) -> Result<Option<Merges>> {
    let Some(lines) = metadata.strings(MERGES)? else { return Ok(None) };
    let known: HashMap<&str, ()> = tokens.iter().map(|t| (t.as_ref(), ())).collect();
    let mut merges = Merges::with_capacity(lines.len());
    let mut whole = String::new();
    for (index, line) in lines.iter().enumerate() {
        let bad = |expected: &str| {
            Diagnostic::new(Kind::Invalid, format!("merge {index} (counted from 0) cannot be used"))
                .at(metadata.place(MERGES))
                .expected(expected)
                .found(format!("\"{line}\""))
                .remedy(OWN_TOKENIZER)
        };
        let (left, right) = line
            .split_once(' ')
            .filter(|(left, right)| !left.is_empty() && !right.is_empty())
            .ok_or_else(|| bad("two tokens with a space between them"))?;
        whole.clear();
        whole.push_str(left);
        whole.push_str(right);
        if ![left, right, whole.as_str()].iter().all(|part| known.contains_key(part)) {
            return Err(bad("two tokens of the vocabulary that make a third").into());
        }
        merges.push((left.to_owned(), right.to_owned()));
    }
    Ok(Some(merges))
}

/// Ranking that determines the order of merges.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rank<'s> {
    /// Score of the merged token, higher first.
    Score(&'s [f64]),
    /// Index of the merged token in the vocabulary, lower first.
    Place,
}

/// Every way to build a token from two others, best first.
///
/// SentencePiece merges the neighbours whose union is the token with the best score; BPE with these merges gives the
/// same result. Merges of equal rank are ordered as in transformers: the longer left half first, then the longer right
/// half (in characters), then the order of the vocabulary. Tokens that never result from text (control, unknown, bytes)
/// are excluded as results and as halves.
pub(super) fn implied(tokens: &[Cow<'_, str>], kinds: &[TokenKind], rank: Rank<'_>) -> Merges {
    let part = |id: usize| {
        !matches!(kinds.get(id), Some(TokenKind::Control | TokenKind::Unknown | TokenKind::Byte) | None)
    };
    let ids: HashMap<&str, usize> =
        tokens.iter().enumerate().filter(|(id, _)| part(*id)).map(|(id, t)| (t.as_ref(), id)).collect();
    let mut found: Vec<Candidate> = Vec::new();
    for (whole, token) in tokens.iter().enumerate().filter(|(id, _)| part(*id)) {
        let length = token.chars().count();
        let from = found.len();
        for (left_length, (at, _)) in token.char_indices().enumerate().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(&left), Some(&right)) = (ids.get(left), ids.get(right)) {
                let lengths = (left_length, length - left_length);
                found.push(Candidate { whole, left, right, lengths });
            }
        }
        found[from..].sort_by_key(|c| (c.left, c.right));
    }
    let better = |a: &Candidate, b: &Candidate| match rank {
        Rank::Score(scores) => match (scores.get(a.whole), scores.get(b.whole)) {
            (Some(a), Some(b)) => b.total_cmp(a),
            _ => Ordering::Equal,
        },
        Rank::Place => a.whole.cmp(&b.whole),
    };
    found.sort_by(|a, b| better(a, b).then_with(|| b.lengths.cmp(&a.lengths)));
    found.iter().map(|c| (tokens[c.left].to_string(), tokens[c.right].to_string())).collect()
}

/// A token and two others that it is composed of.
struct Candidate {
    whole: usize,
    left: usize,
    right: usize,
    /// Lengths of the halves, in characters.
    lengths: (usize, usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(tokens: &[&str], kinds: &[TokenKind], rank: Rank<'_>) -> Vec<String> {
        let tokens: Vec<Cow<'_, str>> = tokens.iter().map(|t| Cow::from(*t)).collect();
        implied(&tokens, kinds, rank).iter().map(|(l, r)| format!("{l}+{r}")).collect()
    }

    #[test]
    fn the_best_score_comes_first_and_then_the_longer_left_half() {
        let tokens = ["a", "b", "ab", "ba", "aba"];
        let kinds = [TokenKind::Normal; 5];
        let scores = [0.0, 0.0, -2.0, -1.0, -2.0];
        assert_eq!(pairs(&tokens, &kinds, Rank::Score(&scores)), ["b+a", "ab+a", "a+ba", "a+b"]);
        assert_eq!(pairs(&tokens, &kinds, Rank::Place), ["a+b", "b+a", "ab+a", "a+ba"]);
    }

    #[test]
    fn tokens_that_are_no_text_take_no_part() {
        let tokens = ["a", "b", "ab", "abb"];
        let mut kinds = [TokenKind::Normal; 4];
        kinds[2] = TokenKind::Control;
        assert!(pairs(&tokens, &kinds, Rank::Place).is_empty());
    }
}
