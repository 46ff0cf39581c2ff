//! Parses JSON as written by other programs, and rejects duplicate keys.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// A JSON syntax error with its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, in one clause.
    pub what: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Byte in the line, counted from 1.
    pub column: usize,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, at line {} column {}", self.what, self.line, self.column)
    }
}

/// Parses a text; a leading byte order mark is skipped.
///
/// Python's `json.dumps` writes `NaN`, `Infinity` and `-Infinity`, which JSON does not have. They are parsed as
/// strings, so that they cause an error only where a number is needed, and appear in its message.
///
/// # Errors
/// A text that is not JSON; an object with a duplicate key, of which other parsers take the last; an unpaired
/// surrogate, which is not a character.
pub fn parse(text: &str) -> Result<Value, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = match serde_json::from_str::<Unique>(text) {
        Ok(value) => return Ok(value.0),
        Err(error) => error,
    };
    if let Some(quoted) = quote_constants(text)
        && let Ok(value) = serde_json::from_str::<Unique>(&quoted)
    {
        return Ok(value.0);
    }
    Err(fault(text, &first))
}

fn fault(text: &str, error: &serde_json::Error) -> Fault {
    let message = error.to_string();
    let suffix = format!(" at line {} column {}", error.line(), error.column());
    let what = message.strip_suffix(&suffix).unwrap_or(&message).to_owned();
    if what.contains("hex escape")
        && let Some((at, half)) = lone_surrogate(text)
    {
        let line = text[..at].matches('\n').count() + 1;
        let column = at - text[..at].rfind('\n').map_or(0, |end| end + 1) + 1;
        return Fault {
            what: format!("a lone surrogate, {half}, which is half of a character"),
            line,
            column,
        };
    }
    Fault { what, line: error.line(), column: error.column() }
}

/// The first escape of an unpaired surrogate: byte offset and source text.
fn lone_surrogate(text: &str) -> Option<(usize, &str)> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        match unit(at) {
            Some(0xD800..=0xDBFF) if matches!(unit(at + 6), Some(0xDC00..=0xDFFF)) => at += 12,
            Some(0xD800..=0xDFFF) => return Some((at, &text[at..at + 6])),
            _ => at += 2,
        }
    }
    None
}

/// The text with Python's non-finite constants put in quotation marks; `None` if it has none.
fn quote_constants(text: &str) -> Option<String> {
    const NAMES: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    if !text.contains("NaN") && !text.contains("Infinity") {
        return None;
    }
    let (mut out, mut kept, mut at) = (String::with_capacity(text.len() + 16), 0, 0);
    let (mut in_string, bytes) = (false, text.as_bytes());
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if in_string => at += 2,
            b'"' => {
                in_string = !in_string;
                at += 1;
            }
            b'-' | b'I' | b'N' if !in_string => {
                let name = NAMES.iter().find(|name| bytes[at..].starts_with(name.as_bytes()));
                if let Some(name) = name {
                    out.push_str(&text[kept..at]);
                    out.extend(["\"", name, "\""]);
                    kept = at + name.len();
                }
                at += name.map_or(1, |name| name.len());
            }
            _ => at += 1,
        }
    }
    out.push_str(&text[kept..]);
    Some(out)
}

/// A value whose objects have no duplicate keys.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor).map(Unique)
    }
}

struct UniqueVisitor;

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, x: bool) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_i64<E>(self, x: i64) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_u64<E>(self, x: u64) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_f64<E>(self, x: f64) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_str<E>(self, x: &str) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_string<E>(self, x: String) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(Unique(value)) = list.next_element()? {
            out.push(value);
        }
        Ok(out.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            let Unique(value) = object.next_value()?;
            if out.contains_key(&key) {
                return Err(A::Error::custom(format!(
                    "the key \"{}\" stands twice in one object",
                    key.escape_debug()
                )));
            }
            out.insert(key, value);
        }
        Ok(out.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serde_reads_is_read_alike() {
        for text in [
            "null",
            "[1, -2, 2.5, 1e3, \"\\u00e9\\ud83d\\ude00\"]",
            "{\"a\": {\"b\": [true, {}]}, \"c\": \"NaN\"}",
        ] {
            assert_eq!(
                parse(text).expect("JSON"),
                serde_json::from_str::<Value>(text).expect("JSON"),
                "{text}"
            );
        }
        assert_eq!(parse("\u{feff}[]").expect("JSON"), Value::Array(Vec::new()));
    }

    #[test]
    fn a_key_that_stands_twice_is_named_at_any_depth() {
        for text in ["{\"a\": 1, \"a\": 1}", "[{\"b\": {\"a\": 1, \"x\": 2, \"a\": 3}}]"] {
            let fault = parse(text).expect_err("refused");
            assert!(fault.what.contains("\"a\" stands twice") && fault.line == 1, "{fault}");
        }
    }

    #[test]
    fn python_writes_what_is_no_number() {
        let text = "{\"a\": NaN, \"b\": [-Infinity, Infinity], \"c\": \"NaN \\\" Infinity\", \"d\": -1}";
        let value = parse(text).expect("read");
        assert_eq!((value["a"].as_str(), value["b"][0].as_str()), (Some("NaN"), Some("-Infinity")));
        assert_eq!((value["c"].as_str(), value["d"].as_i64()), (Some("NaN \" Infinity"), Some(-1)));
        assert!(parse("{\"a\": NaNs}").is_err() && parse("[Infinit]").is_err() && parse("NaN\"").is_err());
    }

    #[test]
    fn half_a_character_is_named_with_its_place() {
        let fault = parse("{\"a\": \"\\ud83d\\ude00\",\n \"b\": \"x \\uDE00\"}").expect_err("refused");
        assert_eq!((fault.line, fault.column), (2, 10), "{fault}");
        assert!(fault.what.contains("lone surrogate, \\uDE00"), "{fault}");
        assert!(parse("\"\\\\ud83d\"").is_ok(), "an escaped backslash is none");
    }
}
