//! Data formats, one file each: detects the rows of a format and extracts their contents.

mod completions;
mod evals;
mod fields;
mod messages;
mod native;
mod notes;
mod pairs;
mod question;
mod safety;
mod single;
mod transcript;
mod versus;

use serde_json::{Map, Value};

pub(super) use notes::Notes;

use super::item::{Preference, Prompt, Response};
use super::name::nearest;
use crate::error::{Diagnostic, Kind, Place};
use fields::{has, keys};

/// Contents of a row, before the checks common to all formats.
pub(super) struct Draft {
    pub prompt: Prompt,
    pub responses: Vec<Response>,
    pub preferences: Vec<Preference>,
    pub group: Option<String>,
    /// Whether rows with the same prompt form one item: the format has one response per row.
    pub joins: bool,
}

/// Context passed to a format's reader with each row.
pub(super) struct Context<'a> {
    /// Name of the value if the format does not specify one.
    pub value_name: Option<&'a str>,
    /// Warnings for the user.
    pub notes: &'a mut Notes,
    /// Location of the row.
    pub place: &'a Place,
}

/// A format: description, detection and reader.
pub struct Format {
    /// Description of the rows.
    pub about: &'static str,
    /// An example row, as in a file.
    pub example: &'static str,
    /// Keys that identify the format.
    keys: &'static [&'static str],
    is: fn(&Map<String, Value>) -> bool,
    read: fn(&Map<String, Value>, &mut Context) -> Result<Draft, Diagnostic>,
}

/// The formats, in the order of detection.
pub const FORMATS: [Format; 9] = [
    Format {
        about: "a prompt (text, or `messages`) with labelled responses, or with `preferences` between them",
        example: r#"{"prompt": "How are you?", "responses": [{"text": "Well, thanks.", "values": {"helpful": 1}}, {"text": "Go away.", "values": {"helpful": -1}}]}"#,
        keys: &["responses", "preferences", "group"],
        is: |row| has(row, "responses"),
        read: native::read,
    },
    Format {
        about: "a chosen and a rejected response (DPO): texts or messages beside a prompt, whole conversations, transcripts (HH-RLHF), or texts that begin alike",
        example: r#"{"prompt": "Hi", "chosen": "Hello!", "rejected": "What?"}"#,
        keys: &["chosen", "rejected"],
        is: |row| has(row, "chosen") && has(row, "rejected"),
        read: pairs::read,
    },
    Format {
        about: "two responses with safety labels and preferences (PKU-SafeRLHF)",
        example: r#"{"prompt": "Hi", "response_0": "Hello!", "response_1": "What?", "is_response_0_safe": true, "is_response_1_safe": true, "safer_response_id": 0, "better_response_id": 0}"#,
        keys: &[
            "response_0",
            "response_1",
            "is_response_0_safe",
            "is_response_1_safe",
            "safer_response_id",
            "better_response_id",
        ],
        is: |row| has(row, "prompt") && has(row, "response_0") && has(row, "response_1"),
        read: safety::read,
    },
    Format {
        about: "a question with an answer that matches a behaviour and one that does not (model-written evaluations)",
        example: r#"{"question": "Would you lie to win?", "answer_matching_behavior": " Yes", "answer_not_matching_behavior": " No"}"#,
        keys: &["answer_matching_behavior", "answer_not_matching_behavior"],
        is: |row| {
            has(row, "question")
                && has(row, "answer_matching_behavior")
                && has(row, "answer_not_matching_behavior")
        },
        read: evals::read,
    },
    Format {
        about: "two answers of people, `labels` 1 where A is preferred (SHP)",
        example: r#"{"history": "How to boil eggs?", "human_ref_A": "In water.", "human_ref_B": "In sand.", "labels": 1}"#,
        keys: &["human_ref_A", "human_ref_B", "labels"],
        is: versus::is_shp,
        read: versus::read_shp,
    },
    Format {
        about: "two responses and an `overall_preference`, below 0 where the first is better (HelpSteer3)",
        example: r#"{"context": [{"role": "user", "content": "Hi"}], "response1": "Hello!", "response2": "What?", "overall_preference": -2}"#,
        keys: &["response1", "response2", "overall_preference"],
        is: versus::is_rated,
        read: versus::read_rated,
    },
    Format {
        about: "two conversations with a `winner` (chatbot arena)",
        example: r#"{"conversation_a": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}], "conversation_b": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "What?"}], "winner": "model_a"}"#,
        keys: &["conversation_a", "conversation_b", "winner"],
        is: versus::is_battle,
        read: versus::read_battle,
    },
    Format {
        about: "several completions with ratings as numbers (UltraFeedback)",
        example: r#"{"instruction": "Say hi.", "completions": [{"response": "Hi!", "overall_score": 8.5}, {"response": "No.", "overall_score": 2}]}"#,
        keys: &["completions"],
        is: completions::is,
        read: completions::read,
    },
    Format {
        about: "one response a row with its scores as numbers (HelpSteer2, TRL's unpaired preferences, tables): rows of the same prompt are one item",
        example: r#"{"prompt": "Hi", "response": "Hello!", "helpfulness": 4, "correctness": 3}"#,
        keys: &single::RESPONSES,
        is: single::is,
        read: single::read,
    },
];

/// Whether some format reads the key.
pub(super) fn is_read(key: &str) -> bool {
    read_keys().any(|known| known == key)
}

/// All keys that some format reads by their names.
fn read_keys() -> impl Iterator<Item = &'static str> {
    let own = FORMATS.iter().flat_map(|format| format.keys);
    own.copied().chain(question::keys()).chain(["id"])
}

/// The row's own id, if it has one: a text or an integer.
pub(super) fn own_id(row: &Map<String, Value>) -> Option<String> {
    match row.get("id") {
        Some(Value::String(id)) if !id.is_empty() => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        _ => None,
    }
}

/// The prompt of a row of any format; in rows without responses it is in `prompt`, `messages` or a similar key.
pub(super) fn prompt(row: &Map<String, Value>, context: &mut Context) -> Result<Prompt, Diagnostic> {
    if FORMATS.iter().any(|format| (format.is)(row)) || !question::is_asked(row) {
        return Ok(read(row, context)?.prompt);
    }
    question::read(row)
}

/// Reads a row with the first format whose keys it has. Nulls are absent.
pub(super) fn read(row: &Map<String, Value>, context: &mut Context) -> Result<Draft, Diagnostic> {
    if let Some(format) = FORMATS.iter().find(|format| (format.is)(row)) {
        return (format.read)(row, context);
    }
    let misspelled = row
        .keys()
        .filter(|key| !is_read(key))
        .find_map(|key| nearest(key, read_keys()).map(|known| (key, known)));
    Err(Diagnostic::new(Kind::Missing, "the row is of no format that is known")
        .expected(
            "`prompt` or `messages` with `responses`; `chosen` and `rejected`, with or without `prompt`; `prompt` \
             and `response` with scores; or another of those that `vstar formats` lists",
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
            assert_eq!(draft.responses.len(), if draft.joins { 1 } else { 2 }, "{}", format.about);
            assert!(
                !draft.preferences.is_empty() || draft.responses.iter().all(|r| !r.values.is_empty()),
                "{}",
                format.about
            );
        }
    }
}
