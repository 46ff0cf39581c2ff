//! Items as rows of this program's own format.

use serde_json::{Map, Value, json};

use super::item::{Item, Message, Preference, Prompt, Response};

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

/// An item as a row; `chat` as for [`prompt`].
pub fn item(item: &Item, chat: bool) -> Map<String, Value> {
    let mut row = Map::new();
    row.insert("id".to_owned(), json!(item.id));
    let (key, value) = prompt(&item.prompt, chat);
    row.insert(key.to_owned(), value);
    let response = |r: &Response| match r.values.is_empty() {
        true => json!({"text": r.text}),
        false => json!({"text": r.text, "values": r.values}),
    };
    row.insert("responses".to_owned(), item.responses.iter().map(response).collect());
    if !item.preferences.is_empty() {
        let preference = |p: &Preference| json!({"value": p.value, "better": p.better, "worse": p.worse});
        row.insert("preferences".to_owned(), item.preferences.iter().map(preference).collect());
    }
    if let Some(group) = &item.group {
        row.insert("group".to_owned(), json!(group));
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{ReadOptions, read_items};

    #[test]
    fn a_written_item_is_read_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("i.jsonl");
        let rows = [
            r#"{"id": "a", "prompt": "x", "responses": [{"text": "p", "values": {"v": 1.5}}, {"text": "q"}], "preferences": [{"value": "w", "better": 1, "worse": 0}], "group": "g"}"#,
            r#"{"id": "b", "messages": [{"role": "user", "content": "y", "name": "n"}], "responses": ["r"]}"#,
        ];
        std::fs::write(&path, rows.join("\n")).expect("a file");
        let items = read_items(std::slice::from_ref(&path), &ReadOptions::default()).expect("items").items;
        let text: Vec<String> = items.iter().map(|i| Value::Object(item(i, true)).to_string()).collect();
        std::fs::write(&path, text.join("\n")).expect("a file");
        assert_eq!(read_items(&[path], &ReadOptions::default()).expect("items").items, items);
    }
}
