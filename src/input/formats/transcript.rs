//! Transcripts as in HH-RLHF: `\n\nHuman: …\n\nAssistant: …`, split into prompt and responses that concatenate to the
//! transcript, byte for byte.

use crate::error::{Diagnostic, Kind};
use crate::input::item::{Message, Prompt, Role};

const MARKERS: [(&str, Role); 2] = [("\n\nHuman:", Role::User), ("\n\nAssistant:", Role::Assistant)];

/// A turn: its marker begins at `start`, its text runs from `text` to `end`, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Turn {
    role: Role,
    start: usize,
    text: usize,
    end: usize,
}

/// The turns of a transcript. Its first marker may lack the line breaks; text before it belongs to no turn.
fn turns(transcript: &str) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    let mut begin = |role, start, text| {
        if let Some(last) = turns.last_mut() {
            last.end = start;
        }
        turns.push(Turn { role, start, text, end: transcript.len() });
    };
    for (marker, role) in MARKERS {
        if transcript.starts_with(marker.trim_start()) {
            begin(role, 0, marker.trim_start().len());
        }
    }
    for (at, _) in transcript.match_indices("\n\n") {
        for (marker, role) in MARKERS {
            if transcript[at..].starts_with(marker) {
                begin(role, at, at + marker.len());
            }
        }
    }
    turns
}

/// Whether a text contains a turn marker.
pub(super) fn is_one(text: &str) -> bool {
    !turns(text).is_empty()
}

/// A pair of transcripts, split.
#[derive(Debug, PartialEq)]
pub(super) struct Split {
    pub prompt: Prompt,
    pub chosen: String,
    pub rejected: String,
    /// Whether a response contains further assistant turns.
    pub several_turns: bool,
    /// Whether a response contains human turns.
    pub human_turns: bool,
}

/// Splits two transcripts at the last `\n\nAssistant:` up to which they agree. White space after it that both share
/// belongs to the prompt. Transcripts that diverge before their last turn have responses of several turns, including
/// human ones; the result flags this, so that the user can be warned.
///
/// # Errors
/// A text that is not a transcript or ends with the human's turn; transcripts that diverge before the assistant's first
/// turn.
pub(super) fn split(chosen: &str, rejected: &str) -> Result<Split, Diagnostic> {
    let (a, b) = (turns(chosen), turns(rejected));
    for (key, turns) in [("chosen", &a), ("rejected", &b)] {
        let last = turns.last().map(|turn| turn.role);
        if last != Some(Role::Assistant) {
            let what = format!("`{key}` is no transcript that ends with the assistant's turn");
            return Err(Diagnostic::new(Kind::Malformed, what)
                .expected("`\\n\\nHuman: …\\n\\nAssistant: …` beside which there is no `prompt`")
                .found(match last {
                    None => "a text without these markers",
                    Some(_) => "a transcript whose last turn is the human's",
                })
                .remedy("give the prompt in a field `prompt`, and only the responses here"));
        }
    }
    let same = |x: &Turn, y: &Turn| x.start == y.start && chosen[x.start..x.end] == rejected[y.start..y.end];
    // The head before the first turn must agree, too: otherwise no turn starts at the same byte.
    let heads_agree = chosen[..a[0].start] == rejected[..b[0].start];
    let agree = if heads_agree { a.iter().zip(&b).take_while(|(x, y)| same(x, y)).count() } else { 0 };
    // Each response must keep a turn of its own.
    let most = agree.min(a.len() - 1).min(b.len() - 1);
    let speaks = |turns: &[Turn], at: usize| turns[at].role == Role::Assistant;
    let at = (0..=most).rev().find(|at| speaks(&a, *at) && speaks(&b, *at)).filter(|_| heads_agree);
    let Some(at) = at else {
        return Err(Diagnostic::new(Kind::Invalid, "the transcripts part before the assistant's first turn")
            .expected("`chosen` and `rejected` that answer the same prompt")
            .found(format!("{} and {} turns, of which the first {agree} agree", a.len(), b.len()))
            .remedy("split the row into two prompts"));
    };
    let (space, better, worse) = common_space(&chosen[a[at].text..], &rejected[b[at].text..]);
    let head = &chosen[..a[at].text];
    Ok(Split {
        prompt: Prompt::Transcript {
            text: format!("{head}{space}"),
            messages: messages(chosen, a[0].start, &a[..at]),
        },
        chosen: better.to_owned(),
        rejected: worse.to_owned(),
        several_turns: a.len() > at + 1 || b.len() > at + 1,
        human_turns: a[at..].iter().chain(&b[at..]).any(|turn| turn.role == Role::User),
    })
}

/// The conversation of a text that is the head of a transcript: it starts with a turn and ends with `Assistant:` and
/// white space.
pub(super) fn head_messages(text: &str) -> Option<Vec<Message>> {
    let turns = turns(text);
    let (first, last) = (turns.first()?, turns.last()?);
    let is_head = first.start == 0 && last.role == Role::Assistant && text[last.text..].trim().is_empty();
    is_head.then(|| messages(text, 0, &turns[..turns.len() - 1]))
}

/// The leading white space common to two texts, and the texts without it.
pub(super) fn common_space<'t>(a: &'t str, b: &'t str) -> (&'t str, &'t str, &'t str) {
    let length: usize = a
        .chars()
        .zip(b.chars())
        .take_while(|(x, y)| x == y && x.is_whitespace())
        .map(|(x, _)| x.len_utf8())
        .sum();
    (&a[..length], &a[length..], &b[length..])
}

fn messages(transcript: &str, head: usize, turns: &[Turn]) -> Vec<Message> {
    let before = transcript[..head].trim();
    let system = (!before.is_empty()).then(|| Message::new(Role::System, before));
    let said = turns.iter().map(|turn| Message::new(turn.role, transcript[turn.text..turn.end].trim()));
    system.into_iter().chain(said).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_of(chosen: &str, rejected: &str) -> Split {
        split(chosen, rejected).expect("splits")
    }

    #[test]
    fn prompt_and_response_are_the_transcript_byte_for_byte() {
        let head = "\n\nHuman: a\n\nAssistant: b \n\nHuman:  c";
        for (x, y) in [(" yes", " no\n\nwell "), ("  yes", " no"), ("\u{a0}é", "\u{a0}è"), (" x", " xx")] {
            let (chosen, rejected) = (format!("{head}\n\nAssistant:{x}"), format!("{head}\n\nAssistant:{y}"));
            let split = split_of(&chosen, &rejected);
            assert_eq!(split.prompt.plain_text() + &split.chosen, chosen);
            assert_eq!(split.prompt.plain_text() + &split.rejected, rejected);
            let said: Vec<_> = split.prompt.messages().into_iter().map(|m| (m.role, m.content)).collect();
            assert_eq!(
                said,
                [(Role::User, "a".into()), (Role::Assistant, "b".into()), (Role::User, "c".into())]
            );
            assert!(!split.several_turns);
        }
    }

    #[test]
    fn shared_white_space_goes_to_the_prompt_and_the_rest_stays_with_its_response() {
        let split = split_of("\n\nHuman: q\n\nAssistant:  a", "\n\nHuman: q\n\nAssistant: b");
        assert_eq!((split.chosen.as_str(), split.rejected.as_str()), (" a", "b"));
        assert!(split.prompt.plain_text().ends_with("Assistant: "));
    }

    #[test]
    fn transcripts_that_part_early_have_responses_of_several_turns() {
        let split = split_of("\n\nHuman: q\n\nAssistant: a\n\nAssistant: b", "\n\nHuman: q\n\nAssistant: c");
        assert_eq!((split.chosen.as_str(), split.rejected.as_str()), ("a\n\nAssistant: b", "c"));
        assert!(split.several_turns);
        // One transcript continues where the other ends.
        let split = split_of("\n\nHuman: q\n\nAssistant: a", "\n\nHuman: q\n\nAssistant: a\n\nAssistant: b");
        assert_eq!((split.chosen.as_str(), split.rejected.as_str()), ("a", "a\n\nAssistant: b"));
        assert!(!split.human_turns);
        // They diverge at the assistant's first turn, or at the human's second.
        for (better, worse) in [
            ("a\n\nHuman: r\n\nAssistant: b", "b"),
            ("a\n\nHuman: r\n\nAssistant: b", "a\n\nHuman: s\n\nAssistant: b"),
        ] {
            let head = "\n\nHuman: q\n\nAssistant: ";
            let split = split_of(&format!("{head}{better}"), &format!("{head}{worse}"));
            assert_eq!((split.chosen.as_str(), split.rejected.as_str()), (better, worse));
            assert_eq!(split.prompt.plain_text(), head);
            assert!(split.human_turns && split.several_turns);
        }
        for (chosen, rejected) in [
            ("\n\nHuman: q\n\nAssistant: a", "\n\nHuman: r\n\nAssistant: a"),
            ("\n\nHuman: q\n\nAssistant: a", "\n\nHuman: q\n\nHuman: r\n\nAssistant: a"),
            ("x\n\nHuman: q\n\nAssistant: a", "y\n\nHuman: q\n\nAssistant: b"),
            ("\n\nHuman: q", "\n\nHuman: q\n\nAssistant: a"),
            ("no transcript", "neither"),
            ("", ""),
        ] {
            assert!(super::split(chosen, rejected).is_err(), "{chosen:?} {rejected:?}");
        }
    }

    #[test]
    fn markers_count_only_at_the_start_of_a_paragraph() {
        let text = "Human: say \"Assistant:\"\nHuman: is no marker\n\nAssistant: Human: ok";
        let found: Vec<_> = turns(text).iter().map(|t| (t.role, t.start)).collect();
        let second = text.find("\n\nAssistant:").expect("there");
        assert_eq!(found, [(Role::User, 0), (Role::Assistant, second)]);
    }

    #[test]
    fn a_prompt_is_the_head_of_a_transcript_only_if_the_assistant_is_next() {
        assert!(head_messages("\n\nHuman: q\n\nAssistant: ").is_some());
        assert_eq!(head_messages("\n\nHuman: q\n\nAssistant: a"), None);
        assert_eq!(head_messages("Tell me about \n\nAssistant:"), None);
        assert_eq!(head_messages("plain"), None);
    }
}
