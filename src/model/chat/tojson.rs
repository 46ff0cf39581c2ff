//! The `tojson` filter as in transformers: Python's `json.dumps`.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, Value};

use super::python::{Text, float, make, text, unit, wrong};

/// `json.dumps(value, ensure_ascii=False)`.
pub(super) fn tojson(value: Value, kwargs: Kwargs) -> Result<String, Error> {
    let indent = kwargs.get::<Option<Value>>("indent")?.filter(|v| !v.is_none()).map(unit).transpose()?;
    let (comma, colon) = match kwargs.get::<Option<Value>>("separators")?.filter(|v| !v.is_none()) {
        Some(pair) => (text(&pair.get_item_by_index(0)?)?, text(&pair.get_item_by_index(1)?)?),
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
    };
    let dump = Dump {
        indent,
        comma,
        colon,
        ascii: kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sorted: kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    kwargs.assert_all_used()?;
    let mut out = Text(String::new());
    dump.value(&value, 0, &mut out)?;
    make(out.0.len())?;
    Ok(out.0)
}

struct Dump {
    indent: Option<String>,
    comma: String,
    colon: String,
    ascii: bool,
    sorted: bool,
}

impl Dump {
    fn value(&self, value: &Value, depth: usize, out: &mut Text) -> Result<(), Error> {
        if depth > 100 {
            return Err(wrong("the value is nested too deeply for JSON"));
        }
        match value.kind() {
            ValueKind::None => out.push("null"),
            ValueKind::Bool => out.push(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number if value.is_integer() => out.push(&value.to_string()),
            ValueKind::Number => {
                let x = f64::try_from(value.clone())?;
                out.push(&if x.is_finite() {
                    float(x)
                } else if x.is_nan() {
                    "NaN".to_owned()
                } else {
                    format!("{}Infinity", if x < 0.0 { "-" } else { "" })
                })
            }
            ValueKind::String => self.string(value.as_str().unwrap_or_default(), out),
            ValueKind::Seq | ValueKind::Iterable => {
                let all: Vec<Value> = value.try_iter()?.collect();
                self.all("[", "]", &all, depth, out, |dump, element, out| dump.value(element, depth + 1, out))
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sorted {
                    keys.sort();
                }
                self.all("{", "}", &keys, depth, out, |dump, key, out| {
                    // JSON keys are strings, whatever their type in Python.
                    let name = match key.kind() {
                        ValueKind::String => key.as_str().unwrap_or_default().to_owned(),
                        ValueKind::None => "null".to_owned(),
                        ValueKind::Bool => if key.is_true() { "true" } else { "false" }.to_owned(),
                        _ => text(key)?,
                    };
                    dump.string(&name, out)?;
                    out.push(&dump.colon)?;
                    dump.value(&value.get_item(key)?, depth + 1, out)
                })
            }
            kind => Err(wrong(format!("{kind} cannot be written as JSON"))),
        }
    }

    fn all(
        &self,
        open: &str,
        close: &str,
        all: &[Value],
        depth: usize,
        out: &mut Text,
        one: impl Fn(&Self, &Value, &mut Text) -> Result<(), Error>,
    ) -> Result<(), Error> {
        out.push(open)?;
        let line = |depth: usize, out: &mut Text| match &self.indent {
            Some(unit) => out.push(&format!("\n{}", unit.repeat(depth))),
            None => Ok(()),
        };
        for (i, element) in all.iter().enumerate() {
            if i > 0 {
                out.push(&self.comma)?;
            }
            line(depth + 1, out)?;
            one(self, element, out)?;
        }
        if !all.is_empty() {
            line(depth, out)?;
        }
        out.push(close)
    }

    fn string(&self, text: &str, out: &mut Text) -> Result<(), Error> {
        let mut new = String::with_capacity(text.len() + 2);
        new.push('"');
        for c in text.chars() {
            match c {
                '"' => new.push_str("\\\""),
                '\\' => new.push_str("\\\\"),
                '\n' => new.push_str("\\n"),
                '\r' => new.push_str("\\r"),
                '\t' => new.push_str("\\t"),
                '\u{8}' => new.push_str("\\b"),
                '\u{c}' => new.push_str("\\f"),
                c if (c as u32) < 0x20 || (self.ascii && !(' '..='~').contains(&c)) => {
                    let mut units = [0u16; 2];
                    for unit in c.encode_utf16(&mut units) {
                        let _ = write!(new, "\\u{unit:04x}");
                    }
                }
                c => new.push(c),
            }
        }
        new.push('"');
        out.push(&new)
    }
}
