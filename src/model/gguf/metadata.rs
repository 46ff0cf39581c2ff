//! Typed access to the metadata of a GGUF file.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Value;

use crate::error::{Diagnostic, Kind, Place, Result};

/// The metadata of a GGUF file: keys such as `llama.block_count`, each with a value of one type or a list.
///
/// Every getter returns `None` for a missing key and refuses a value of another type; the error names the file and the
/// key. [`Metadata::required`] turns any getter into one that refuses a missing key.
#[derive(Debug, Clone)]
pub struct Metadata {
    path: PathBuf,
    values: HashMap<String, Value>,
}

impl Metadata {
    /// Metadata read from the file at `path`; the path is only used in errors.
    pub fn new(path: impl Into<PathBuf>, values: HashMap<String, Value>) -> Self {
        Self { path: path.into(), values }
    }

    /// The file it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The keys, in no particular order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Whether the file has the key, with a value of any type.
    pub fn contains(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// The value that `get` finds at `key`; an error if it is missing: `metadata.required("general.architecture",
    /// Metadata::str)`.
    ///
    /// # Errors
    /// [`Kind::Missing`] for a missing key, and the errors of `get`.
    pub fn required<'a, T>(
        &'a self,
        key: &str,
        get: impl FnOnce(&'a Self, &str) -> Result<Option<T>>,
    ) -> Result<T> {
        get(self, key)?.ok_or_else(|| {
            Diagnostic::new(Kind::Missing, format!("no metadata key `{key}`"))
                .at(self.place(key))
                .remedy("convert the model again with a current llama.cpp")
                .into()
        })
    }

    /// A string.
    ///
    /// # Errors
    /// [`Kind::Malformed`] for a value of another type.
    pub fn str(&self, key: &str) -> Result<Option<&str>> {
        self.read(key, "a string", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A boolean.
    ///
    /// # Errors
    /// [`Kind::Malformed`] for a value of another type.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        self.read(key, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    /// A non-negative integer of any width.
    ///
    /// # Errors
    /// [`Kind::Malformed`] for a value of another type or a negative one.
    pub fn u64(&self, key: &str) -> Result<Option<u64>> {
        self.read(key, "an integer that is not negative", |value| u64::try_from(integer(value)?).ok())
    }

    /// A non-negative integer that fits `usize`.
    ///
    /// # Errors
    /// [`Kind::Malformed`] for a value of another type, a negative one or one that is too large.
    pub fn usize(&self, key: &str) -> Result<Option<usize>> {
        self.read(key, "an integer that is not negative", |value| usize::try_from(integer(value)?).ok())
    }

    /// A finite number; single-precision values convert exactly, integers are accepted.
    ///
    /// # Errors
    /// [`Kind::Malformed`] for a value of another type, NaN or an infinity.
    pub fn f64(&self, key: &str) -> Result<Option<f64>> {
        self.read(key, "a finite number", number)
    }

    /// A list of strings.
    ///
    /// # Errors
    /// [`Kind::Malformed`] for a value that is not a list, or an entry of another type.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<&str>>> {
        self.list(key, "a string", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A list of integers of any width.
    ///
    /// # Errors
    /// [`Kind::Malformed`] for a value that is not a list, or an entry of another type or too large.
    pub fn integers(&self, key: &str) -> Result<Option<Vec<i64>>> {
        self.list(key, "an integer", |value| i64::try_from(integer(value)?).ok())
    }

    /// A list of booleans.
    ///
    /// # Errors
    /// [`Kind::Malformed`] for a value that is not a list, or an entry of another type.
    pub fn bools(&self, key: &str) -> Result<Option<Vec<bool>>> {
        self.list(key, "true or false", |value| match value {
            Value::Bool(flag) => Some(*flag),
            _ => None,
        })
    }

    /// A list of finite numbers.
    ///
    /// # Errors
    /// [`Kind::Malformed`] for a value that is not a list, or an entry that is NaN, infinite or not a number.
    pub fn numbers(&self, key: &str) -> Result<Option<Vec<f64>>> {
        self.list(key, "a finite number", number)
    }

    /// Whether the value at `key` is a list: some keys hold one value for all layers, or one per layer.
    pub fn is_list(&self, key: &str) -> bool {
        matches!(self.values.get(key), Some(Value::Array(_)))
    }

    /// Location of the key, for errors about its value.
    pub fn place(&self, key: &str) -> Place {
        Place::file(&self.path).id(key)
    }

    fn read<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        take: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        match take(value) {
            Some(taken) => Ok(Some(taken)),
            None => Err(Diagnostic::new(Kind::Malformed, format!("metadata key `{key}`"))
                .at(self.place(key))
                .expected(expected)
                .found(described(value))
                .into()),
        }
    }

    fn list<'a, T>(
        &'a self,
        key: &str,
        entry: &str,
        take: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        let refused = |what: String, expected: String, found: String| {
            Diagnostic::new(Kind::Malformed, what).at(self.place(key)).expected(expected).found(found)
        };
        let Value::Array(list) = value else {
            let expected = format!("a list, each entry {entry}");
            return Err(refused(format!("metadata key `{key}`"), expected, described(value)).into());
        };
        let mut taken = Vec::with_capacity(list.len());
        for (index, value) in list.iter().enumerate() {
            taken.push(take(value).ok_or_else(|| {
                let what = format!("entry {index} (counted from 0) of metadata key `{key}`");
                refused(what, entry.to_owned(), described(value))
            })?);
        }
        Ok(Some(taken))
    }
}

fn integer(value: &Value) -> Option<i128> {
    match *value {
        Value::U8(v) => Some(v.into()),
        Value::I8(v) => Some(v.into()),
        Value::U16(v) => Some(v.into()),
        Value::I16(v) => Some(v.into()),
        Value::U32(v) => Some(v.into()),
        Value::I32(v) => Some(v.into()),
        Value::U64(v) => Some(v.into()),
        Value::I64(v) => Some(v.into()),
        Value::F32(_) | Value::F64(_) | Value::Bool(_) | Value::String(_) | Value::Array(_) => None,
    }
}

#[allow(clippy::cast_precision_loss)] // Sizes and constants are far below 2^53.
fn number(value: &Value) -> Option<f64> {
    let number = match *value {
        Value::F32(v) => f64::from(v),
        Value::F64(v) => v,
        ref other => integer(other)? as f64,
    };
    number.is_finite().then_some(number)
}

/// A value as shown in errors; lists by their length only.
fn described(value: &Value) -> String {
    match value {
        Value::String(text) => format!("the string \"{text}\""),
        Value::Array(list) => format!("a list of {} entries", list.len()),
        Value::Bool(flag) => flag.to_string(),
        Value::F32(v) => v.to_string(),
        Value::F64(v) => v.to_string(),
        other => integer(other).map(|v| v.to_string()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(pairs: Vec<(&str, Value)>) -> Metadata {
        Metadata::new("m.gguf", pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
    }

    #[test]
    fn every_width_of_integer_is_one_and_a_missing_key_is_none() {
        let meta = metadata(vec![
            ("a", Value::U8(7)),
            ("b", Value::I32(7)),
            ("c", Value::U64(u64::MAX)),
            ("n", Value::I64(-1)),
        ]);
        assert_eq!(meta.usize("a").unwrap(), Some(7));
        assert_eq!(meta.u64("b").unwrap(), Some(7));
        assert_eq!(meta.u64("c").unwrap(), Some(u64::MAX));
        assert_eq!(meta.u64("z").unwrap(), None);
        assert_eq!(meta.u64("n").unwrap_err().kind(), Some(Kind::Malformed));
    }

    #[test]
    fn a_wrong_type_names_file_key_and_value() {
        let meta = metadata(vec![("a.b", Value::String("x".to_owned())), ("f", Value::F32(f32::NAN))]);
        let text = meta.usize("a.b").unwrap_err().to_string();
        assert!(text.contains("m.gguf [a.b]") && text.contains("the string \"x\""), "{text}");
        assert_eq!(meta.f64("f").unwrap_err().kind(), Some(Kind::Malformed));
        let text = meta.required("gone", Metadata::str).unwrap_err().to_string();
        assert!(text.contains("m.gguf [gone]: no metadata key `gone`"), "{text}");
    }

    #[test]
    fn lists_are_of_one_type_and_the_bad_entry_is_named() {
        let list = Value::Array(vec![Value::I32(1), Value::I32(-2)]);
        let mixed = Value::Array(vec![Value::String("a".to_owned()), Value::I32(3)]);
        let meta = metadata(vec![("l", list), ("m", mixed), ("s", Value::U32(4))]);
        assert_eq!(meta.integers("l").unwrap(), Some(vec![1, -2]));
        assert_eq!(meta.numbers("l").unwrap(), Some(vec![1.0, -2.0]));
        assert!(meta.is_list("l") && !meta.is_list("s"));
        let text = meta.strings("m").unwrap_err().to_string();
        assert!(text.contains("entry 1"), "{text}");
        assert_eq!(meta.integers("s").unwrap_err().kind(), Some(Kind::Malformed));
    }
}
