//! Lists of messages: `{"role", "content"}`, or `{"from", "value"}` as in ShareGPT.

use serde_json::{Map, Value};

use super::fields::{get, inside, keys, missing, records, text, wrong_type};
use crate::error::{Diagnostic, Kind};
use crate::input::item::{Message, Role};

/// Reads a list of messages, a single message, or the table that `datasets` stores for a sequence of records. `None`
/// for any other value.
pub(super) fn of(key: &str, value: &Value) -> Result<Option<Vec<Message>>, Diagnostic> {
    let list = match value {
        Value::Array(list) => list.clone(),
        Value::Object(_) => records(value).unwrap_or_else(|| vec![value.clone()]),
        _ => return Ok(None),
    };
    list.iter()
        .enumerate()
        .map(|(number, value)| message(&format!("{key}[{number}]"), value))
        .collect::<Result<_, _>>()
        .map(Some)
}

/// The messages of a required key.
pub(super) fn required(
    row: &Map<String, Value>,
    key: &str,
    expected: &str,
) -> Result<Vec<Message>, Diagnostic> {
    let value = get(row, key).unwrap_or(&Value::Null);
    of(key, value)?.ok_or_else(|| wrong_type(key, expected, value))
}

/// Splits two conversations that must agree up to the assistant's last message: the shared part, and the last message
/// of each.
pub(super) fn answers<'m>(
    (a, first): (&str, &'m [Message]),
    (b, second): (&str, &'m [Message]),
) -> Result<(&'m [Message], &'m str, &'m str), Diagnostic> {
    let (head, one) = answer(a, first)?;
    let (other, two) = answer(b, second)?;
    if head == other {
        return Ok((head, one, two));
    }
    Err(Diagnostic::new(Kind::Invalid, "the conversations differ before the last answer")
        .expected(format!("`{a}` and `{b}` with the same messages up to the assistant's last one"))
        .found(format!("{} and {} messages before it", head.len(), other.len()))
        .remedy("split the row where the conversations part"))
}

fn message(here: &str, value: &Value) -> Result<Message, Diagnostic> {
    let Value::Object(message) = value else {
        return Err(wrong_type(here, "an object with `role` and `content`", value));
    };
    let (who, what) = if message.contains_key("from") && !message.contains_key("role") {
        ("from", "value")
    } else {
        ("role", "content")
    };
    let role = text(message, who).map_err(|r| inside(here, r))?;
    let role = Role::parse(role).ok_or_else(|| {
        Diagnostic::new(Kind::Invalid, format!("`{here}` has a role that is not known"))
            .expected(
                "`system`, `user`, `assistant` or `tool`, or a name of theirs such as `human` and `gpt`",
            )
            .found(format!("`{role}`"))
    })?;
    let content = match get(message, what) {
        Some(Value::String(content)) => content.clone(),
        Some(Value::Array(list)) => parts(here, list)?,
        // A message with only tool calls has no text.
        None if message.contains_key("tool_calls") => String::new(),
        None => return Err(inside(here, missing(what, message))),
        Some(other) => return Err(inside(here, wrong_type(what, "a text, or a list of parts", other))),
    };
    let others = message.iter().filter(|(key, value)| *key != who && *key != what && !value.is_null());
    Ok(Message { role, content, extra: others.map(|(key, value)| (key.clone(), value.clone())).collect() })
}

/// The text of a content given in parts, joined by line breaks.
fn parts(here: &str, list: &[Value]) -> Result<String, Diagnostic> {
    let part = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Object(part) => match get(part, "text") {
            Some(Value::String(text)) => Ok(text.clone()),
            _ => Err(Diagnostic::new(Kind::Unsupported, format!("`{here}` has a part that is no text"))
                .expected("parts like {\"type\": \"text\", \"text\": …}")
                .found(match get(part, "type") {
                    Some(Value::String(kind)) => format!("a part of the type `{kind}`"),
                    _ => format!("the keys {}", keys(part)),
                })),
        },
        other => Err(wrong_type(here, "a text, or a list of parts", other)),
    };
    Ok(list.iter().map(part).collect::<Result<Vec<_>, _>>()?.join("\n"))
}

/// Checks a conversation whose next turn is the assistant's.
pub(super) fn check_prompt(key: &str, messages: &[Message]) -> Result<(), Diagnostic> {
    let wrong = |what: String| Diagnostic::new(Kind::Invalid, what);
    match messages.last() {
        None => Err(wrong(format!("`{key}` is empty")).expected("at least one message")),
        Some(last) if !matches!(last.role, Role::User | Role::Tool) => {
            Err(wrong(format!("`{key}` does not end with the user's message"))
                .expected("a conversation in which the response is the assistant's next turn")
                .found(format!("`{}` as the last role", last.role)))
        }
        Some(_) => match messages.iter().skip(1).position(|m| m.role == Role::System) {
            Some(at) => Err(wrong(format!("`{key}` has a system message inside the conversation"))
                .expected("at most one, as the first message")
                .found(format!("one as message {}", at + 2))),
            None => Ok(()),
        },
    }
}

/// The assistant's last message, and the messages before it.
pub(super) fn answer<'m>(key: &str, messages: &'m [Message]) -> Result<(&'m [Message], &'m str), Diagnostic> {
    match messages.split_last() {
        Some((last, head)) if last.role == Role::Assistant => Ok((head, &last.content)),
        last => {
            Err(Diagnostic::new(Kind::Invalid, format!("`{key}` does not end with the assistant's message"))
                .expected("a list of messages whose last one is the response")
                .found(
                    last.map_or("an empty list".to_owned(), |(m, _)| {
                        format!("`{}` as the last role", m.role)
                    }),
                ))
        }
    }
}

/// Whether a value is a list of messages that ends with the assistant's; used to tell formats apart.
pub(super) fn ends_with_assistant(value: &Value) -> bool {
    let last = match value {
        Value::Array(list) => list.last().cloned(),
        _ => records(value).and_then(|list| list.last().cloned()),
    };
    let role =
        |m: &Map<String, Value>| m.get("role").or(m.get("from")).and_then(|r| Role::parse(r.as_str()?));
    last.as_ref().and_then(Value::as_object).and_then(role) == Some(Role::Assistant)
}
