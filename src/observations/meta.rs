//! The file's metadata: what was captured, how, at which layers and under which constitutions.

use std::collections::BTreeMap;

use crate::error::{Diagnostic, Kind, Place, Result};
use crate::units::Layer;

/// The name of the format and its version, as it stands under the metadata key `format`.
pub const FORMAT: &str = "vstar-observations/1";

/// The constitution that is no constitution: the bare context.
pub const BARE: &str = "none";

/// What the metadata of an observations file says.
///
/// In the file all values are strings; `layers` and `constitutions` are JSON lists inside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// The model that was read; empty if the file does not say.
    pub model: String,
    /// The model's revision; empty if the file does not say.
    pub revision: String,
    /// How a response's tokens were pooled: `mean` or `last`; empty if the file does not say.
    pub pool: String,
    /// The template in which prompts were rendered; empty if the file does not say.
    pub template: String,
    /// Layers of `resid`, in the order of its second dimension.
    pub layers: Vec<Layer>,
    /// Constitutions to which the column `constitution` points.
    pub constitutions: Vec<String>,
    /// All other keys, kept as they are.
    pub extra: BTreeMap<String, String>,
}

impl Meta {
    /// Metadata with these layers, the bare context alone, and nothing said about the rest.
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

    /// Reads the strings of a file whose `resid` holds `stored` layers. What is missing gets its
    /// default (layers counted from 0, the bare context), with a warning where a reader must know.
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

    /// The strings of the file.
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

    /// Checks that names and layers are distinct and as many as stored.
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
