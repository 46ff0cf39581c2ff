//! Items as rows of this program's own format.

use serde_json::{Map, Value, json};

use super::item::{Message, Prompt};

/// A message as chat templates and published data have it: role, content, and its other keys.
pub fn message(message: &Message) -> Value {
    let mut object = Map::new();
    object.insert("role".to_owned(), json!(message.role.as_str()));
    object.insert("content".to_owned(), json!(message.content));
    object.extend(message.extra.clone());
    Value::Object(object)
}

/// Messages, as [`message`].
pub fn messages(list: &[Message]) -> Value {
    list.iter().map(message).collect()
}

/// Key and value of a row's prompt: `prompt` for a text, `messages` for a conversation. A transcript is the one or the
/// other: its text is read byte for byte without a template, its conversation by a chat template.
pub fn prompt(prompt: &Prompt, chat: bool) -> (&'static str, Value) {
    match prompt {
        Prompt::Text(text) => ("prompt", json!(text)),
        Prompt::Messages(list) => ("messages", messages(list)),
        Prompt::Transcript { messages: list, .. } if chat => ("messages", messages(list)),
        Prompt::Transcript { text, .. } => ("prompt", json!(text)),
    }
}
