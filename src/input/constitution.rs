//! Constitutions: short texts that define which of two responses to prefer, each in a TOML file.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::de::DeValue;

use super::embedded;
use super::name::{check_name, nearest};
use super::settings::{Document, Section};
use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::units::OneOf;

/// Category of a constitution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Asks for what most people would call good.
    Prosocial,
    /// Openly asks for the opposite (paper, Theorem 10).
    Adversarial,
    /// Well-meant, with an effect of unpredictable sign (paper, Remark 2).
    Subtle,
    /// Asks for a property of style that is not a value.
    Neutral,
    /// Has the same form but names no value.
    Placebo,
}

impl Family {
    /// All families, in the order of reports.
    pub const ALL: [Self; 5] =
        [Self::Prosocial, Self::Adversarial, Self::Subtle, Self::Neutral, Self::Placebo];
}

impl OneOf for Family {
    const WORDS: &'static [(&'static str, Self, &'static str)] = &[
        ("prosocial", Self::Prosocial, "Asks for what most people would call good"),
        ("adversarial", Self::Adversarial, "Asks for the contrary, openly"),
        ("subtle", Self::Subtle, "Well-meant, with a sign that is anybody's guess"),
        ("neutral", Self::Neutral, "Asks for a property of style that is no value"),
        ("placebo", Self::Placebo, "The same form, and names no value"),
    ];
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The author's prediction of the sign of an alignment, made before measuring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sign {
    /// `+`: positive.
    #[serde(rename = "+")]
    Plus,
    /// `-`: negative.
    #[serde(rename = "-")]
    Minus,
    /// `0`: no effect.
    #[serde(rename = "0")]
    Zero,
}

impl Sign {
    /// Parses a sign's name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Plus, Self::Minus, Self::Zero].into_iter().find(|sign| sign.as_str() == name)
    }

    /// The sign's name in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Zero => "0",
        }
    }
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A constitution, as read from its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constitution {
    /// Unique within its set; part of tensor names.
    pub name: String,
    /// The text that the model reads.
    pub text: String,
    /// Category of the constitution.
    pub family: Family,
    /// Predicted sign by value name; the key [`ANY_VALUE`] applies to values that are not listed.
    pub expect: BTreeMap<String, Sign>,
    /// Name of the constitution that asks for the opposite.
    pub opposite: Option<String>,
    /// Name of the constitution that this one paraphrases.
    pub paraphrase_of: Option<String>,
    /// Excluded from all choices made during analysis and reserved for a final check.
    pub held_out: bool,
    /// Hex SHA-256 of the file.
    pub sha256: String,
    /// Location of the file.
    pub place: Place,
}

/// The name of the bare context, in which no constitution is shown.
pub const BARE: &str = "none";

/// Key of [`Constitution::expect`] for values that are not listed.
pub const ANY_VALUE: &str = "*";

impl Constitution {
    /// The predicted sign for a value, if there is one.
    pub fn expected(&self, value: &str) -> Option<Sign> {
        self.expect.get(value).or_else(|| self.expect.get(ANY_VALUE)).copied()
    }
}

/// Reads constitutions: each path is a file, a folder of which all `*.toml` are read, sorted by name, or
/// `embedded:NAME` ([`embedded::expand`]). The order is that of the paths. A file reached twice is read once.
///
/// # Errors
/// [`Kind::Missing`] for a missing path or a folder without `*.toml`; keys that are unknown, missing or of the wrong
/// type; [`Kind::Invalid`] for a name that cannot be part of a tensor's name, is `none` (reserved for the bare context)
/// or is taken; for an `opposite` or `paraphrase_of` that refers to the constitution itself, or to none in the same
/// folder or among the paths.
pub fn read_constitutions(paths: &[PathBuf]) -> Result<Vec<Constitution>> {
    let mut all: Vec<Constitution> = Vec::new();
    let mut seen = HashSet::new();
    for file in files(paths)? {
        if seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())) {
            let constitution = read(&file)?;
            if let Some(other) = all.iter().find(|c| c.name == constitution.name) {
                return Err(Diagnostic::new(Kind::Invalid, format!("the name `{}` is taken", other.name))
                    .at(constitution.place)
                    .expected("names that are unique among the constitutions")
                    .found(format!("the same name in {}", other.place))
                    .remedy("rename one of the two")
                    .into());
            }
            all.push(constitution);
        }
    }
    for constitution in &all {
        check_relations(constitution, &all)?;
    }
    Ok(all)
}

/// Reads one constitution, independently of others.
///
/// # Errors
/// Errors of [`read_constitutions`] that concern only this file.
pub fn read(path: &Path) -> Result<Constitution> {
    let document = match embedded::constitution_text(path) {
        Some(text) => Document::from_bytes(path, text?.as_bytes().to_vec())?,
        None => Document::open(path)?,
    };
    let sha256 = document.sha256().to_owned();
    document.read(|section| {
        let name = section.required_text("name").filter(|name| match usable(name) {
            Ok(()) => true,
            Err(diagnostic) => {
                section.problem("name", diagnostic);
                false
            }
        });
        let text = section.required_text("text");
        if !section.has("family") {
            section.missing("family", "`prosocial`, `adversarial`, `subtle`, `neutral` or `placebo`");
        }
        let family = section.one_of("family");
        let expect = expectations(section);
        let mut relation = |key| {
            let other = section.text(key)?;
            if Some(&other) == name.as_ref() {
                section.problem(
                    key,
                    Diagnostic::new(Kind::Invalid, format!("`{key}` names the file's own name")),
                );
            }
            Some(other)
        };
        let (opposite, paraphrase_of) = (relation("opposite"), relation("paraphrase_of"));
        let held_out = section.flag("held_out").unwrap_or(false);
        Some(Constitution {
            place: Place::file(path).id(name.as_ref()?),
            name: name?,
            text: text?,
            family: family?,
            expect,
            opposite,
            paraphrase_of,
            held_out,
            sha256,
        })
    })
}

fn usable(name: &str) -> Result<(), Diagnostic> {
    check_name("the name", name)?;
    if name == BARE {
        return Err(Diagnostic::new(Kind::Invalid, format!("the name `{BARE}` is reserved"))
            .expected("a name other than that of the bare context, without any constitution")
            .remedy("rename it"));
    }
    Ok(())
}

fn expectations(section: &mut Section) -> BTreeMap<String, Sign> {
    const SIGNS: &str = "\"+\", \"-\" or \"0\", or a table from the values' names to one of them";
    let mut expect = BTreeMap::new();
    let signs = section.typed("expect", SIGNS, |value| {
        if let Some(sign) = value.as_str() {
            return Sign::parse(sign).map(|sign| BTreeMap::from([(ANY_VALUE.to_owned(), sign)]));
        }
        let sign = |value: &DeValue| value.as_str().and_then(Sign::parse);
        value
            .as_table()?
            .iter()
            .map(|(name, v)| Some((name.get_ref().to_string(), sign(v.get_ref())?)))
            .collect()
    });
    for (name, sign) in signs.unwrap_or_default() {
        match check_name("a value's name in `expect`", &name) {
            Err(diagnostic) if name != ANY_VALUE => section.problem("expect", diagnostic),
            _ => drop(expect.insert(name, sign)),
        }
    }
    expect
}

/// The files that the paths refer to.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if let Some(embedded) = embedded::expand(path) {
            files.extend(embedded);
        } else if path.is_dir() {
            let found = in_folder(path)?;
            if found.is_empty() {
                return Err(Diagnostic::new(Kind::Missing, "no constitution in the folder")
                    .at(Place::file(path))
                    .expected("files that end in .toml")
                    .into());
            }
            files.extend(found);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn in_folder(path: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| Error::io("read", path, e))? {
        let file = entry.map_err(|e| Error::io("read", path, e))?.path();
        let hidden = file.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        if !hidden && file.extension().is_some_and(|e| e == "toml") && file.is_file() {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

/// A relation may refer to a constitution outside the set if its file is in the same folder: a run need not include
/// both.
fn check_relations(constitution: &Constitution, all: &[Constitution]) -> Result<()> {
    let relations = [("opposite", &constitution.opposite), ("paraphrase_of", &constitution.paraphrase_of)];
    for (key, other) in relations {
        let Some(other) = other else { continue };
        let beside = || {
            let file = constitution.place.file.as_deref()?;
            // The relations of embedded constitutions are valid in the repository.
            if embedded::name(file).is_some() {
                return Some(());
            }
            file.parent()?.join(format!("{other}.toml")).is_file().then_some(())
        };
        if all.iter().any(|c| c.name == *other) || check_name("", other).is_ok() && beside().is_some() {
            continue;
        }
        let names = all.iter().map(|c| c.name.as_str()).filter(|name| *name != constitution.name);
        let mut diagnostic =
            Diagnostic::new(Kind::Invalid, format!("`{key}` names a constitution that is not there"))
                .at(constitution.place.clone())
                .expected("the name of another constitution, among those read or beside this file")
                .found(format!("`{other}`"));
        if let Some(near) = nearest(other, names) {
            diagnostic = diagnostic.remedy(format!("did you mean `{near}`?"));
        }
        return Err(diagnostic.into());
    }
    Ok(())
}

/// Maps each paraphrase to its original, by name.
pub fn paraphrases<'a>(
    constitutions: impl IntoIterator<Item = &'a Constitution>,
) -> BTreeMap<String, String> {
    constitutions.into_iter().filter_map(|c| Some((c.name.clone(), c.paraphrase_of.clone()?))).collect()
}
