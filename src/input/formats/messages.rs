//! Lists of messages.

use serde_json::Value;

use super::fields::{get, text, wrong_type};
use crate::error::{Diagnostic, Kind};
use crate::input::item::{Message, Role};

/// Reads a list of `{"role", "content"}`.
pub(super) fn parse(key: &str, list: &[Value]) -> Result<Vec<Message>, Diagnostic> {
    list.iter()
        .enumerate()
        .map(|(number, value)| {
            let here = format!("{key}[{number}]");
            let Value::Object(message) = value else {
                return Err(wrong_type(&here, "an object with `role` and `content`", value));
            };
            let role = text(message, "role").map_err(|r| inside(&here, r))?;
            let role = Role::parse(role).ok_or_else(|| {
                Diagnostic::new(Kind::Invalid, format!("`{here}` has a role that is not known"))
                    .expected("`system`, `user` or `assistant`")
                    .found(format!("`{role}`"))
            })?;
            if let Some(Value::Array(parts)) = get(message, "content") {
                return Err(Diagnostic::new(Kind::Unsupported, format!("`{here}` has content in parts"))
                    .expected("a text")
                    .found(format!("{} parts", parts.len())));
            }
            let content = text(message, "content").map_err(|r| inside(&here, r))?.to_owned();
            Ok(Message { role, content })
        })
        .collect()
}

/// Checks a conversation whose next turn is the assistant's.
pub(super) fn check_prompt(key: &str, messages: &[Message]) -> Result<(), Diagnostic> {
    let wrong = |what: String| Diagnostic::new(Kind::Invalid, what);
    match messages.last() {
        None => Err(wrong(format!("`{key}` is empty")).expected("at least one message")),
        Some(last) if last.role != Role::User => {
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

fn inside(here: &str, mut diagnostic: Diagnostic) -> Diagnostic {
    diagnostic.what = format!("{} in `{here}`", diagnostic.what);
    diagnostic
}
