//! One response per row, with its scores as numbers beside it: HelpSteer2's rows, TRL's unpaired preferences, tables.
//! Rows with the same prompt become one item.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fields::{get, inside, is_no_number, label};
use super::{Context, Draft, messages, question};
use crate::error::{Diagnostic, Kind};
use crate::input::item::{Prompt, Response, Role};
use crate::input::name::check_name;

/// Keys that hold the response.
pub(super) const RESPONSES: [&str; 4] = ["response", "completion", "output", "answer"];

/// Whether the row has a prompt and one response.
pub(super) fn is(row: &Map<String, Value>) -> bool {
    question::key_of(row).is_some_and(|key| {
        RESPONSES.iter().any(|response| is_response(row, response))
            || get(row, key).is_some_and(messages::ends_with_assistant)
    })
}

/// Whether a key contains a text or a list of messages; any other list may be a misspelled `responses`.
fn is_response(row: &Map<String, Value>, key: &str) -> bool {
    match get(row, key) {
        Some(Value::Array(list)) => list.first().is_some_and(Value::is_object),
        other => other.is_some(),
    }
}

pub(super) fn read(row: &Map<String, Value>, context: &mut Context) -> Result<Draft, Diagnostic> {
    let (prompt, text) = match RESPONSES.iter().find(|key| is_response(row, key)) {
        Some(key) => (question::read(row)?, response(key, row)?),
        None => conversation(row)?,
    };
    let (mut values, unusable) = labels(row, "")?;
    for key in unusable {
        context.notes.add(
            format!("with numbers in `{key}`, which is not read: its name cannot be a value's"),
            context.place,
        );
    }
    // A single label is the value that the user may rename.
    if let (Some(name), 1) = (context.value_name, values.len()) {
        values = values.into_values().map(|x| (name.to_owned(), x)).collect();
    }
    if !values.is_empty() {
        let names: Vec<_> = values.keys().map(|name| format!("`{name}`")).collect();
        context.notes.add(
            format!("with one response and the numbers {}, read as values", names.join(", ")),
            context.place,
        );
    }
    Ok(Draft {
        prompt,
        responses: vec![Response { text, values }],
        preferences: Vec::new(),
        group: None,
        joins: true,
    })
}

/// The numeric labels of a response by name, and the names that are not valid for a value; `here` is a prefix of the
/// names in errors.
pub(super) fn labels<'o>(
    object: &'o Map<String, Value>,
    here: &str,
) -> Result<(BTreeMap<String, f64>, Vec<&'o str>), Diagnostic> {
    let (mut values, mut unusable) = (BTreeMap::new(), Vec::new());
    for (key, value) in object.iter().filter(|(key, value)| is_label(key, value)) {
        match check_name("the name", key) {
            Ok(()) => drop(values.insert(key.clone(), label(&format!("{here}{key}"), value)?)),
            Err(_) => unusable.push(key.as_str()),
        }
    }
    Ok((values, unusable))
}

/// Whether a column of a row with one response is a label: a number or boolean other than counts, identifiers and
/// similar metadata. Prompt and response columns are never labels.
fn is_label(key: &str, value: &Value) -> bool {
    const OTHERS: [&str; 13] = [
        "id",
        "index",
        "idx",
        "row",
        "seed",
        "turn",
        "turns",
        "timestamp",
        "created_at",
        "created_at_utc",
        "fold",
        "length",
        "temperature",
    ];
    const ENDINGS: [&str; 9] =
        ["_id", "_index", "_idx", "_length", "_len", "_tokens", "_words", "_chars", "_count"];
    let name = key.to_lowercase();
    let number =
        matches!(value, Value::Number(_) | Value::Bool(_)) || value.as_str().is_some_and(is_no_number);
    number
        && !RESPONSES.contains(&key)
        && !question::keys().any(|asked| asked == key)
        && !OTHERS.contains(&name.as_str())
        && !name.starts_with("num_")
        && !name.starts_with("__")
        && !ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// A text, or a list with a single message from the assistant.
fn response(key: &str, row: &Map<String, Value>) -> Result<String, Diagnostic> {
    if let Some(Value::String(text)) = get(row, key) {
        return Ok(text.clone());
    }
    let list = messages::required(row, key, "a text or a list of messages")?;
    match &list[..] {
        [one] if one.role == Role::Assistant => Ok(one.content.clone()),
        _ => Err(inside(
            key,
            Diagnostic::new(Kind::Invalid, "several messages, or one that is not the assistant's,")
                .expected("one message of the assistant's")
                .found(format!("{} messages", list.len())),
        )),
    }
}

fn conversation(row: &Map<String, Value>) -> Result<(Prompt, String), Diagnostic> {
    let key = question::key_of(row).unwrap_or("messages");
    let list = messages::required(row, key, "a list of messages")?;
    let (head, said) = messages::answer(key, &list)?;
    Ok((question::conversation(key, row, head.to_vec())?, said.to_owned()))
}
