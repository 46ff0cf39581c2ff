//! Fields of a row: taken by name, checked for their type.

use serde_json::{Map, Value};

use crate::error::{Diagnostic, Excerpt, Kind};

/// Whether a key is there and not null.
pub(super) fn has(row: &Map<String, Value>, key: &str) -> bool {
    get(row, key).is_some()
}

/// The value of a key; null is absent.
pub(super) fn get<'r>(row: &'r Map<String, Value>, key: &str) -> Option<&'r Value> {
    row.get(key).filter(|v| !v.is_null())
}

/// A text that has to be there.
pub(super) fn text<'r>(row: &'r Map<String, Value>, key: &str) -> Result<&'r str, Diagnostic> {
    match get(row, key) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(wrong_type(key, "a text", other)),
        None => Err(missing(key, row)),
    }
}

/// A list that has to be there.
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

/// Whether a text is the name that JSON of Python's, or a parquet file, has for what is no number.
pub(super) fn is_no_number(text: &str) -> bool {
    matches!(text, "NaN" | "Infinity" | "-Infinity" | "inf" | "-inf")
}

/// A value that is no list but a table of lists of equal length, as columns of records are stored: its records.
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

/// Refuses a field for its type.
pub(super) fn wrong_type(key: &str, expected: &str, found: &Value) -> Diagnostic {
    Diagnostic::new(Kind::Invalid, format!("`{key}` has the wrong type")).expected(expected).found(format!(
        "{}: {}",
        type_name(found),
        Excerpt(&found.to_string())
    ))
}

/// Refuses an object for a field it lacks.
pub(super) fn missing(key: &str, row: &Map<String, Value>) -> Diagnostic {
    Diagnostic::new(Kind::Missing, format!("no `{key}`"))
        .expected(format!("a field `{key}`"))
        .found(if row.is_empty() { "an empty object".to_owned() } else { format!("the keys {}", keys(row)) })
}

/// The same, with the name of the field that the fault is inside of.
pub(super) fn inside(here: &str, mut diagnostic: Diagnostic) -> Diagnostic {
    diagnostic.what = format!("{} in `{here}`", diagnostic.what);
    diagnostic
}

/// The keys of an object, for people.
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
