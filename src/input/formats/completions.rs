//! Several rated responses, as in UltraFeedback: `completions`, each `{"response"}` with numeric ratings.

use serde_json::{Map, Value};

use super::fields::{get, inside, list, text, wrong_type};
use super::single::labels;
use super::{Context, Draft, question};
use crate::error::Diagnostic;
use crate::input::item::Response;

/// Whether the row has a prompt and a list of completions that are objects with a `response`.
pub(super) fn is(row: &Map<String, Value>) -> bool {
    let first = get(row, "completions").and_then(|c| c.as_array()?.first()?.as_object());
    question::is_asked(row) && first.is_some_and(|c| c.contains_key("response"))
}

pub(super) fn read(row: &Map<String, Value>, context: &mut Context) -> Result<Draft, Diagnostic> {
    let mut responses = Vec::new();
    for (number, value) in list(row, "completions")?.iter().enumerate() {
        let here = format!("completions[{number}]");
        let Value::Object(one) = value else {
            return Err(wrong_type(&here, "an object with `response`", value));
        };
        let text = text(one, "response").map_err(|e| inside(&here, e))?.to_owned();
        let (values, _) = labels(one, &format!("{here}."))?;
        if !values.is_empty() {
            let names: Vec<_> = values.keys().map(|name| format!("`{name}`")).collect();
            context.notes.add(
                format!("with completions whose numbers {} are read as values", names.join(", ")),
                context.place,
            );
        }
        responses.push(Response { text, values });
    }
    Ok(Draft { prompt: question::read(row)?, responses, preferences: Vec::new(), group: None, joins: false })
}
