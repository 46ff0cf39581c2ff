//! Metadata of an observations file: model, pooling, template, layers and constitutions.

use std::collections::BTreeMap;

use crate::error::{Diagnostic, Kind, Place, Result};
use crate::units::Layer;

/// Name and version of the format, stored under the metadata key `format`.
pub const FORMAT: &str = "vstar-observations/1";

/// Name of the bare context, without a constitution.
pub const BARE: &str = "none";

/// Metadata of an observations file.
///
/// In the file all values are strings; `layers` and `constitutions` are JSON lists in strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Name of the captured model; empty if the file does not specify it.
    pub model: String,
    /// Revision of the model; empty if the file does not specify it.
    pub revision: String,
    /// Pooling over a response's tokens: `mean` or `last`; empty if the file does not specify it.
    pub pool: String,
    /// Template used to render prompts; empty if the file does not specify it.
    pub template: String,
    /// Layers of `resid`, in the order of its second dimension.
    pub layers: Vec<Layer>,
    /// Constitutions indexed by the column `constitution`.
    pub constitutions: Vec<String>,
    /// All other keys, unchanged.
    pub extra: BTreeMap<String, String>,
}

impl Meta {
    /// Metadata with these layers and only the bare context; everything else is empty.
    pub fn new(layers: Vec<Layer>) -> Self {
        Self {
            model: String::new(),
            revision: String::new(),
            pool: String::new(),
            template: String::new(),
            layers,
            constitutions: vec![BARE.to_owned()],
            extra: BTreeMap::new(),
        }
    }

    /// Parses the metadata of a file whose `resid` has `stored` layers. Missing keys get defaults (layers counted from
    /// 0, the bare context), with a warning if the reader needs to know.
    pub(super) fn parse(
        mut entries: BTreeMap<String, String>,
        stored: usize,
        place: &Place,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        match entries.remove("format") {
            Some(format) if format == FORMAT => {}
            Some(format) => {
                return Err(Diagnostic::new(Kind::Unsupported, "another format of observations")
                    .at(place.clone().id("format"))
                    .expected(FORMAT)
                    .found(format)
                    .remedy("write the file in this version's format, or use the version that wrote it")
                    .into());
            }
            None => warnings.push(format!("metadata key `format` is missing: taken to be {FORMAT}")),
        }
        let layers = if let Some(text) = entries.remove("layers") {
            list(&text, "layers", "a JSON list of layer numbers, such as \"[0,1,2]\"", place)?
        } else {
            warnings.push(format!("metadata key `layers` is missing: counted from 0 to {}", stored - 1));
            (0..stored).map(Layer).collect()
        };
        let constitutions = match entries.remove("constitutions") {
            Some(text) => {
                list(&text, "constitutions", "a JSON list of names, such as \"[\\\"none\\\"]\"", place)?
            }
            None => vec![BARE.to_owned()],
        };
        let mut take = |key: &str| entries.remove(key).unwrap_or_default();
        Ok(Self {
            model: take("model"),
            revision: take("revision"),
            pool: take("pool"),
            template: take("template"),
            layers,
            constitutions,
            extra: entries,
        })
    }

    /// The metadata as strings for the file.
    pub(super) fn entries(&self) -> BTreeMap<String, String> {
        let mut entries = self.extra.clone();
        let layers = serde_json::Value::from(self.layers.iter().map(|l| l.0).collect::<Vec<_>>());
        let constitutions = serde_json::Value::from(self.constitutions.clone());
        for (key, value) in [
            ("format", FORMAT.to_owned()),
            ("model", self.model.clone()),
            ("revision", self.revision.clone()),
            ("pool", self.pool.clone()),
            ("template", self.template.clone()),
            ("layers", layers.to_string()),
            ("constitutions", constitutions.to_string()),
        ] {
            entries.insert(key.to_owned(), value);
        }
        entries
    }

    /// Checks that names and layers are distinct and that as many layers are listed as stored.
    pub(super) fn check(&self, stored: usize, place: &Place) -> Result<()> {
        if self.layers.len() != stored {
            return Err(Diagnostic::new(Kind::Invalid, "the layer list does not fit `resid`")
                .at(place.clone().id("layers"))
                .expected(format!("{stored} layer numbers, one for each layer of `resid`"))
                .found(format!("{}", self.layers.len()))
                .into());
        }
        distinct(&self.layers, "layers", place)?;
        distinct(&self.constitutions, "constitutions", place)?;
        if self.constitutions.is_empty() {
            return Err(Diagnostic::new(Kind::Invalid, "the list of constitutions is empty")
                .at(place.clone().id("constitutions"))
                .expected("at least one name (`none` is the bare context)")
                .into());
        }
        Ok(())
    }
}

fn list<T: serde::de::DeserializeOwned>(
    text: &str,
    key: &str,
    expected: &str,
    place: &Place,
) -> Result<Vec<T>> {
    serde_json::from_str(text).map_err(|e| {
        Diagnostic::new(Kind::Malformed, format!("metadata key `{key}` does not parse ({e})"))
            .at(place.clone().id(key))
            .expected(expected)
            .found(text)
            .into()
    })
}

fn distinct<T: Ord + std::fmt::Display>(names: &[T], key: &str, place: &Place) -> Result<()> {
    let mut sorted: Vec<&T> = names.iter().collect();
    sorted.sort();
    match sorted.windows(2).find(|w| w[0] == w[1]) {
        None => Ok(()),
        Some(twice) => Err(Diagnostic::new(Kind::Invalid, format!("`{}` stands twice in `{key}`", twice[0]))
            .at(place.clone().id(key))
            .into()),
    }
}
