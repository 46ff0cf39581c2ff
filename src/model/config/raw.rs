//! Typed access to the keys of `config.json`, with errors that name file and key.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::json;

/// A `config.json`, or an object inside one.
pub(super) struct Raw {
    map: Map<String, Value>,
    path: PathBuf,
    prefix: String,
}

impl Raw {
    pub(super) fn parse(text: &str, path: &Path) -> Result<Self> {
        let malformed = |what: String| {
            Diagnostic::new(Kind::Malformed, what)
                .at(Place::file(path))
                .expected("the JSON object of a Hugging Face config.json")
        };
        match json::parse(text) {
            Ok(Value::Object(map)) => Ok(Self { map, path: path.to_owned(), prefix: String::new() }),
            Ok(_) => Err(malformed("the config is not an object".into()).into()),
            Err(fault) => Err(malformed(format!("the config is not JSON: {fault}")).into()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    fn place(&self, key: &str) -> Place {
        Place::file(&self.path).id(format!("{}{key}", self.prefix))
    }

    pub(super) fn invalid(&self, key: &str, expected: String, found: String) -> Error {
        Diagnostic::new(Kind::Invalid, format!("`{key}` makes no sense"))
            .at(self.place(key))
            .expected(expected)
            .found(found)
            .into()
    }

    pub(super) fn unsupported(&self, key: &str, found: String, supported: &str) -> Error {
        Diagnostic::new(Kind::Unsupported, format!("`{key}` has a setting that is not implemented"))
            .at(self.place(key))
            .expected(supported)
            .found(found)
            .remedy(
                "use another model; a forward that ignored this setting would give wrong residual streams",
            )
            .into()
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|v| !v.is_null())
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether the file contains the key, even as `null`.
    pub(super) fn mentions(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    fn wrong(&self, key: &str, expected: &str, found: &Value) -> Error {
        self.invalid(key, expected.into(), found.to_string())
    }

    pub(super) fn missing(&self, key: &str) -> Error {
        Diagnostic::new(Kind::Missing, format!("no `{key}`"))
            .at(self.place(key))
            .remedy("take the config.json that belongs to the checkpoint")
            .into()
    }

    pub(super) fn usize_opt(&self, key: &str) -> Result<Option<usize>> {
        self.get(key)
            .map(|v| {
                let whole = v
                    .as_u64()
                    .or_else(|| v.as_f64().filter(|f| *f >= 0.0 && f.fract() == 0.0).map(|f| f as u64));
                whole
                    .and_then(|u| usize::try_from(u).ok())
                    .ok_or_else(|| self.wrong(key, "a whole number", v))
            })
            .transpose()
    }

    pub(super) fn usize_or(&self, key: &str, default: usize) -> Result<usize> {
        Ok(self.usize_opt(key)?.unwrap_or(default))
    }

    pub(super) fn usize(&self, key: &str) -> Result<usize> {
        self.usize_opt(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn f64_opt(&self, key: &str) -> Result<Option<f64>> {
        self.get(key).map(|v| v.as_f64().ok_or_else(|| self.wrong(key, "a number", v))).transpose()
    }

    pub(super) fn f64(&self, key: &str) -> Result<f64> {
        self.f64_opt(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn f64_or(&self, key: &str, default: f64) -> Result<f64> {
        Ok(self.f64_opt(key)?.unwrap_or(default))
    }

    pub(super) fn bool_or(&self, key: &str, default: bool) -> Result<bool> {
        Ok(self
            .get(key)
            .map(|v| v.as_bool().ok_or_else(|| self.wrong(key, "true or false", v)))
            .transpose()?
            .unwrap_or(default))
    }

    pub(super) fn str_opt(&self, key: &str) -> Result<Option<&str>> {
        self.get(key).map(|v| v.as_str().ok_or_else(|| self.wrong(key, "a string", v))).transpose()
    }

    pub(super) fn f64_list(&self, key: &str) -> Result<Option<Vec<f64>>> {
        self.get(key)
            .map(|v| {
                let list = v.as_array().and_then(|a| a.iter().map(Value::as_f64).collect::<Option<Vec<_>>>());
                list.ok_or_else(|| self.wrong(key, "a list of numbers", v))
            })
            .transpose()
    }

    pub(super) fn usize_list(&self, key: &str) -> Result<Option<Vec<usize>>> {
        self.get(key)
            .map(|v| {
                let list = v.as_array().and_then(|a| {
                    a.iter().map(|x| x.as_u64().map(|u| u as usize)).collect::<Option<Vec<_>>>()
                });
                list.ok_or_else(|| self.wrong(key, "a list of whole numbers", v))
            })
            .transpose()
    }

    pub(super) fn str_list(&self, key: &str) -> Result<Option<Vec<&str>>> {
        self.get(key)
            .map(|v| {
                let list = v.as_array().and_then(|a| a.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
                list.ok_or_else(|| self.wrong(key, "a list of strings", v))
            })
            .transpose()
    }

    pub(super) fn object(&self, key: &str) -> Result<Option<Self>> {
        self.get(key)
            .map(|v| match v {
                Value::Object(map) => Ok(Self {
                    map: map.clone(),
                    path: self.path.clone(),
                    prefix: format!("{}{key}.", self.prefix),
                }),
                _ => Err(self.wrong(key, "an object", v)),
            })
            .transpose()
    }

    /// The first id of a key that holds one id or a list of ids; HF allows both for eos.
    pub(super) fn id_opt(&self, key: &str) -> Option<u32> {
        let value = self.get(key)?;
        let first = value.as_array().and_then(|a| a.first()).unwrap_or(value);
        first.as_u64().and_then(|u| u32::try_from(u).ok())
    }
}
