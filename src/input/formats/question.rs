//! The prompt of a row, under the key names used in published data.

use serde_json::{Map, Value};

use super::fields::{get, has, missing, text, wrong_type};
use super::messages;
use crate::error::Diagnostic;
use crate::input::item::{Message, Prompt, Role};

/// Keys that hold a whole conversation.
const CONVERSATIONS: [&str; 4] = ["messages", "conversations", "conversation", "context"];

/// Keys that hold a text, or a list of messages.
const TEXTS: [&str; 4] = ["prompt", "question", "instruction", "query"];

/// Additional keys that are part of the prompt.
const BESIDE: [&str; 4] = ["input", "system", "system_prompt", "history"];

/// All of these keys.
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    TEXTS.into_iter().chain(CONVERSATIONS).chain(BESIDE)
}

/// Whether the row has a prompt.
pub(super) fn is_asked(row: &Map<String, Value>) -> bool {
    key_of(row).is_some()
}

/// The key of the prompt; the first one if there are several.
pub(super) fn key_of(row: &Map<String, Value>) -> Option<&'static str> {
    let is_list = |key: &str| matches!(get(row, key), Some(Value::Array(_) | Value::Object(_)));
    TEXTS.iter().find(|key| has(row, key)).or_else(|| CONVERSATIONS.iter().find(|key| is_list(key))).copied()
}

/// The prompt of a row: `prompt`, `question`, `instruction` (followed by `input`) or `query`, a text or a list of
/// messages; or a conversation. `system` comes first, then `history` (pairs of question and answer).
///
/// # Errors
/// No prompt; one of the wrong type; a conversation that does not end with the user.
pub(super) fn read(row: &Map<String, Value>) -> Result<Prompt, Diagnostic> {
    let Some(key) = key_of(row) else { return Err(missing("prompt", row)) };
    let Some(Value::String(asked)) = get(row, key) else {
        return conversation(key, row, messages::required(row, key, "a text or a list of messages")?);
    };
    // Alpaca's rows keep the instruction's input in a separate key.
    let asked = match get(row, "input") {
        Some(Value::String(input)) if key == "instruction" && !input.is_empty() => {
            format!("{asked}\n{input}")
        }
        _ => asked.clone(),
    };
    let before = history(row)?;
    if before.is_empty() && system(row)?.is_none() {
        return Ok(Prompt::Text(asked));
    }
    let mut messages = before;
    messages.push(Message::new(Role::User, asked));
    conversation(key, row, messages)
}

/// A conversation preceded by the row's system message.
pub(super) fn conversation(
    key: &str,
    row: &Map<String, Value>,
    mut messages: Vec<Message>,
) -> Result<Prompt, Diagnostic> {
    if let Some(system) = system(row)? {
        messages.insert(0, Message::new(Role::System, system));
    }
    messages::check_prompt(key, &messages)?;
    Ok(Prompt::Messages(messages))
}

/// The row's own system message; an empty one counts as absent.
pub(super) fn system(row: &Map<String, Value>) -> Result<Option<&str>, Diagnostic> {
    let key = if has(row, "system") { "system" } else { "system_prompt" };
    if !has(row, key) {
        return Ok(None);
    }
    Ok(Some(text(row, key)?).filter(|system| !system.trim().is_empty()))
}

fn history(row: &Map<String, Value>) -> Result<Vec<Message>, Diagnostic> {
    let Some(value) = get(row, "history") else { return Ok(Vec::new()) };
    let wrong = || wrong_type("history", "a list of pairs of the user's and the assistant's text", value);
    let mut messages = Vec::new();
    for pair in value.as_array().ok_or_else(wrong)? {
        let pair: Option<Vec<_>> = pair.as_array().ok_or_else(wrong)?.iter().map(Value::as_str).collect();
        let Some([asked, said]) = pair.as_deref() else { return Err(wrong()) };
        messages.push(Message::new(Role::User, *asked));
        messages.push(Message::new(Role::Assistant, *said));
    }
    Ok(messages)
}
