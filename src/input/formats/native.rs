//! Rows of this program's own format: `prompt` or `messages`, `responses`, `preferences`, `group`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fields::{get, has, inside, label, list, text, wrong_type};
use super::{Context, Draft, messages};
use crate::error::{Diagnostic, Kind};
use crate::input::item::{Preference, Prompt, Response};
use crate::input::name::nearest;

/// `sampled` describes how a model generated the responses, `labelled` how one labelled them.
const KEYS: [&str; 8] =
    ["id", "prompt", "messages", "responses", "preferences", "group", "sampled", "labelled"];

/// Keys of a response; the last three describe one that a model generated.
const RESPONSE: [&str; 5] = ["text", "values", "logprob", "tokens", "end"];

pub(super) fn read(row: &Map<String, Value>, context: &mut Context) -> Result<Draft, Diagnostic> {
    remark(row, &KEYS, "the row", context);
    if let Some(labelled) = row.get("labelled").and_then(Value::as_object) {
        let of = |key: &str| labelled.get(key).and_then(Value::as_str).unwrap_or("?");
        let what = format!(
            "with labels of `{}` that are judgments of {} under {}, not of people",
            of("value"),
            of("model"),
            of("constitution")
        );
        context.notes.add(what, context.place);
    }
    let prompt = prompt(row)?;
    let responses = list(row, "responses")?
        .iter()
        .enumerate()
        .map(|(number, value)| response(number, value, context))
        .collect::<Result<_, _>>()?;
    let preferences = match get(row, "preferences") {
        None => Vec::new(),
        Some(_) => list(row, "preferences")?
            .iter()
            .enumerate()
            .map(|(number, value)| preference(number, value, context))
            .collect::<Result<_, _>>()?,
    };
    let group = match get(row, "group") {
        None => None,
        Some(Value::String(group)) => Some(group.clone()),
        Some(Value::Number(group)) => Some(group.to_string()),
        Some(other) => return Err(wrong_type("group", "a text or a number", other)),
    };
    Ok(Draft { prompt, responses, preferences, group, joins: false })
}

/// `prompt`, or `messages`.
pub(super) fn prompt(row: &Map<String, Value>) -> Result<Prompt, Diagnostic> {
    match (has(row, "prompt"), has(row, "messages")) {
        (true, true) => Err(Diagnostic::new(Kind::Invalid, "both `prompt` and `messages` are given")
            .expected("one of them")
            .remedy("drop one")),
        (_, false) => Ok(Prompt::Text(text(row, "prompt")?.to_owned())),
        (false, true) => {
            let messages = messages::required(row, "messages", "a list")?;
            messages::check_prompt("messages", &messages)?;
            Ok(Prompt::Messages(messages))
        }
    }
}

fn response(number: usize, value: &Value, context: &mut Context) -> Result<Response, Diagnostic> {
    let here = format!("responses[{number}]");
    match value {
        Value::String(text) => Ok(Response { text: text.clone(), values: BTreeMap::new() }),
        Value::Object(object) => {
            remark(object, &RESPONSE, "a response", context);
            let text = text(object, "text").map_err(|r| inside(&here, r))?.to_owned();
            let mut values = BTreeMap::new();
            match get(object, "values") {
                None => {}
                Some(Value::Object(labels)) => {
                    // A null label is absent: tables write absent cells as null.
                    for (name, given) in labels.iter().filter(|(_, label)| !label.is_null()) {
                        values.insert(name.clone(), label(&format!("{here}.values.{name}"), given)?);
                    }
                }
                Some(other) => {
                    return Err(wrong_type(
                        &format!("{here}.values"),
                        "an object from the values' names to numbers",
                        other,
                    ));
                }
            }
            Ok(Response { text, values })
        }
        other => Err(wrong_type(&here, "an object with `text`, and `values` where there are labels", other)),
    }
}

fn preference(number: usize, value: &Value, context: &mut Context) -> Result<Preference, Diagnostic> {
    let here = format!("preferences[{number}]");
    let Value::Object(object) = value else {
        return Err(wrong_type(&here, "an object with `value`, `better` and `worse`", value));
    };
    remark(object, &["value", "better", "worse"], "a preference", context);
    let index = |key: &str| {
        let found = object.get(key).unwrap_or(&Value::Null);
        found.as_u64().and_then(|n| usize::try_from(n).ok()).ok_or_else(|| {
            wrong_type(&format!("{here}.{key}"), "the number of a response, counted from 0", found)
        })
    };
    Ok(Preference {
        value: text(object, "value").map_err(|r| inside(&here, r))?.to_owned(),
        better: index("better")?,
        worse: index("worse")?,
    })
}

/// Warns about unknown keys: a label under a misspelled key would otherwise be lost silently.
fn remark(object: &Map<String, Value>, known: &[&str], owner: &str, context: &mut Context) {
    for key in object.keys().filter(|key| !known.contains(&key.as_str())) {
        let hint = match nearest(key, known.iter().copied()) {
            Some(near) => format!("; did you mean `{near}`?"),
            None => String::new(),
        };
        context
            .notes
            .add(format!("with the unknown key `{key}` in {owner}, which is ignored{hint}"), context.place);
    }
}
