//! Formats of items, one file each: which rows are of the format, and what they say.

mod evals;
mod fields;
mod messages;
mod native;
mod notes;
mod pairs;
mod safety;
mod transcript;

use serde_json::{Map, Value};

pub(super) use notes::Notes;

use super::item::{Preference, Prompt, Response};
use super::name::nearest;
use crate::error::{Diagnostic, Kind, Place};
use fields::{has, keys};

/// What a row says, before what all formats have in common is checked.
pub(super) struct Draft {
    pub prompt: Prompt,
    pub responses: Vec<Response>,
    pub preferences: Vec<Preference>,
    pub group: Option<String>,
}

/// What a format's reader is told beside the row.
pub(super) struct Context<'a> {
    /// Name of the value where the format does not say it.
    pub value_name: Option<&'a str>,
    /// Remarks for the user.
    pub notes: &'a mut Notes,
    /// Where the row stands.
    pub place: &'a Place,
}

/// A format: what it is, how to tell it, and how to read it.
pub struct Format {
    /// What the rows are.
    pub about: &'static str,
    /// A row of it, as it stands in a file.
    pub example: &'static str,
    is: fn(&Map<String, Value>) -> bool,
    read: fn(&Map<String, Value>, &mut Context) -> Result<Draft, Diagnostic>,
}

/// The formats, in the order in which they are tried.
pub const FORMATS: [Format; 4] = [
    Format {
        about: "a prompt (text, or `messages`) with labelled responses, or with `preferences` between them",
        example: r#"{"prompt": "How are you?", "responses": [{"text": "Well, thanks.", "values": {"helpful": 1}}, {"text": "Go away.", "values": {"helpful": -1}}]}"#,
        is: |row| has(row, "responses"),
        read: native::read,
    },
    Format {
        about: "a chosen and a rejected response: transcripts (HH-RLHF), message lists, or texts beside a `prompt`",
        example: r#"{"chosen": "\n\nHuman: Hi\n\nAssistant: Hello!", "rejected": "\n\nHuman: Hi\n\nAssistant: What?"}"#,
        is: |row| has(row, "chosen") && has(row, "rejected"),
        read: pairs::read,
    },
    Format {
        about: "two responses with safety labels and preferences (PKU-SafeRLHF)",
        example: r#"{"prompt": "Hi", "response_0": "Hello!", "response_1": "What?", "is_response_0_safe": true, "is_response_1_safe": true, "safer_response_id": 0, "better_response_id": 0}"#,
        is: |row| has(row, "prompt") && has(row, "response_0") && has(row, "response_1"),
        read: safety::read,
    },
    Format {
        about: "a question with an answer that matches a behaviour and one that does not (model-written evaluations)",
        example: r#"{"question": "Would you lie to win?", "answer_matching_behavior": " Yes", "answer_not_matching_behavior": " No"}"#,
        is: |row| {
            has(row, "question")
                && has(row, "answer_matching_behavior")
                && has(row, "answer_not_matching_behavior")
        },
        read: evals::read,
    },
];

/// All keys that some format reads.
pub(super) const READ_KEYS: &[&str] = &[
    "id",
    "group",
    "prompt",
    "messages",
    "responses",
    "preferences",
    "chosen",
    "rejected",
    "response_0",
    "response_1",
    "is_response_0_safe",
    "is_response_1_safe",
    "safer_response_id",
    "better_response_id",
    "question",
    "answer_matching_behavior",
    "answer_not_matching_behavior",
];

/// The id that a row gives itself, if it does: a text or a whole number.
pub(super) fn own_id(row: &Map<String, Value>) -> Option<String> {
    match row.get("id") {
        Some(Value::String(id)) if !id.is_empty() => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    }
}

/// The prompt of a row of any format; one without responses is given by `prompt` or `messages`.
pub(super) fn prompt(row: &Map<String, Value>, context: &mut Context) -> Result<Prompt, Diagnostic> {
    if FORMATS.iter().any(|format| (format.is)(row)) || !(has(row, "prompt") || has(row, "messages")) {
        return Ok(read(row, context)?.prompt);
    }
    native::prompt(row)
}

/// Reads a row by the first format whose keys it has. Nulls are absent.
pub(super) fn read(row: &Map<String, Value>, context: &mut Context) -> Result<Draft, Diagnostic> {
    if let Some(format) = FORMATS.iter().find(|format| (format.is)(row)) {
        return (format.read)(row, context);
    }
    let misspelled = row
        .keys()
        .filter(|key| !READ_KEYS.contains(&key.as_str()))
        .find_map(|key| nearest(key, READ_KEYS.iter().copied()).map(|known| (key, known)));
    Err(Diagnostic::new(Kind::Missing, "the row is of no format that is known")
        .expected(
            "`prompt` or `messages` with `responses`; `chosen` and `rejected`, with or without `prompt`; \
             `prompt`, `response_0` and `response_1`; or `question`, `answer_matching_behavior` and \
             `answer_not_matching_behavior`",
        )
        .found(format!("the keys {}", keys(row)))
        .remedy(match misspelled {
            Some((key, known)) => format!("did you mean `{known}` by `{key}`?"),
            None => "rename the keys".to_owned(),
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_a_format_is_read_by_it_and_by_none_before() {
        for (i, format) in FORMATS.iter().enumerate() {
            let row: Map<String, Value> = serde_json::from_str(format.example).expect("JSON");
            assert_eq!(FORMATS.iter().position(|f| (f.is)(&row)), Some(i), "{}", format.about);
            let (mut notes, place) = (Notes::default(), Place::default());
            let mut context = Context { value_name: Some("value"), notes: &mut notes, place: &place };
            let draft = (format.read)(&row, &mut context).unwrap_or_else(|e| panic!("{}: {e}", format.about));
            assert_eq!(draft.responses.len(), 2, "{}", format.about);
            assert!(
                !draft.preferences.is_empty() || draft.responses.iter().all(|r| !r.values.is_empty()),
                "{}",
                format.about
            );
        }
    }
}
