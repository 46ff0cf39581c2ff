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

/// A format: how to tell it, and how to read it.
struct Format {
    is: fn(&Map<String, Value>) -> bool,
    read: fn(&Map<String, Value>, &mut Context) -> Result<Draft, Diagnostic>,
}

const FORMATS: [Format; 4] = [
    Format { is: |row| has(row, "responses"), read: native::read },
    Format { is: |row| has(row, "chosen") && has(row, "rejected"), read: pairs::read },
    Format {
        is: |row| has(row, "prompt") && has(row, "response_0") && has(row, "response_1"),
        read: safety::read,
    },
    Format {
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
