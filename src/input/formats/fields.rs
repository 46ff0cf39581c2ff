//! Fields of a row, accessed by name and checked for their type.

use serde_json::{Map, Value};

use crate::error::{Diagnostic, Excerpt, Kind};

/// Whether a key is present and not null.
pub(super) fn has(row: &Map<String, Value>, key: &str) -> bool {
    get(row, key).is_some()
}

/// The value of a key; null is absent.
pub(super) fn get<'r>(row: &'r Map<String, Value>, key: &str) -> Option<&'r Value> {
    row.get(key).filter(|v| !v.is_null())
}

/// A required text.
pub(super) fn text<'r>(row: &'r Map<String, Value>, key: &str) -> Result<&'r str, Diagnostic> {
    match get(row, key) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(wrong_type(key, "a text", other)),
        None => Err(missing(key, row)),
    }
}

/// A required list.
pub(super) fn list<'r>(row: &'r Map<String, Value>, key: &str) -> Result<&'r [Value], Diagnostic> {
    match get(row, key) {
        Some(Value::Array(list)) => Ok(list),
        Some(other) => Err(wrong_type(key, "a list", other)),
        None => Err(missing(key, row)),
    }
}

/// A label: a number, or true for 1 and false for 0. `key` names it in errors.
pub(super) fn label(key: &str, value: &Value) -> Result<f64, Diagnostic> {
    match value {
        Value::Bool(yes) => Ok(f64::from(u8::from(*yes))),
        Value::String(name) if is_no_number(name) => {
            Err(Diagnostic::new(Kind::NotFinite, format!("`{key}` is {name}"))
                .expected("a finite number; where there is no label, null or no key")
                .found(name.clone())
                .remedy("write null, or leave the key out"))
        }
        _ => value.as_f64().ok_or_else(|| wrong_type(key, "a finite number, or true or false", value)),
    }
}

/// Whether a text is a name for NaN or infinity in Python's JSON or in a parquet file.
pub(super) fn is_no_number(text: &str) -> bool {
    matches!(text, "NaN" | "Infinity" | "-Infinity" | "inf" | "-inf")
}

/// The records of a table of equally long lists, as columns of records are stored; `None` for any other value.
pub(super) fn records(value: &Value) -> Option<Vec<Value>> {
    let columns = value.as_object()?;
    let length = columns.values().next()?.as_array()?.len();
    let lists: Option<Vec<_>> =
        columns.iter().map(|(k, v)| Some((k, v.as_array().filter(|l| l.len() == length)?))).collect();
    let lists = lists?;
    let record = |i: usize| {
        lists.iter().map(|(key, list)| ((*key).clone(), list[i].clone())).collect::<Map<_, _>>().into()
    };
    Some((0..length).map(record).collect())
}

/// Error for a field of the wrong type.
pub(super) fn wrong_type(key: &str, expected: &str, found: &Value) -> Diagnostic {
    Diagnostic::new(Kind::Invalid, format!("`{key}` has the wrong type")).expected(expected).found(format!(
        "{}: {}",
        type_name(found),
        Excerpt(&found.to_string())
    ))
}

/// Error for a missing field.
pub(super) fn missing(key: &str, row: &Map<String, Value>) -> Diagnostic {
    Diagnostic::new(Kind::Missing, format!("no `{key}`"))
        .expected(format!("a field `{key}`"))
        .found(if row.is_empty() { "an empty object".to_owned() } else { format!("the keys {}", keys(row)) })
}

/// Prefixes a diagnostic with the name of the field in which the error occurs.
pub(super) fn inside(here: &str, mut diagnostic: Diagnostic) -> Diagnostic {
    diagnostic.what = format!("{} in `{here}`", diagnostic.what);
    diagnostic
}

/// The keys of an object, formatted for messages.
pub(super) fn keys(row: &Map<String, Value>) -> String {
    let names: Vec<_> = row.keys().map(|key| format!("`{key}`")).collect();
    if names.is_empty() { "of an empty object".to_owned() } else { names.join(", ") }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
