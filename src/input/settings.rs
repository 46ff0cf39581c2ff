//! TOML files, overridden by settings from outside the file (the command line): every key must be known and have the
//! right type, and errors name its line or its flag; all problems are reported together.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::address::is_named;
use super::name::nearest;
use crate::artifact;
use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::source;
use crate::units::OneOf;

/// Maximum size of a TOML file, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// A setting given outside the file, such as `--set judge.mode=implicit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The setting as given by the user, for errors.
    pub origin: String,
    /// Dotted key and value in TOML syntax: `judge.mode = "implicit"`; empty for a setting that only removes keys.
    pub toml: String,
    /// Dotted keys that this setting replaces, removed first.
    pub removes: &'static [&'static str],
}

/// A TOML file (or none) with settings applied to it, and the problems found so far.
pub struct Document {
    path: Option<PathBuf>,
    /// The file's text, followed by the texts of the settings.
    text: String,
    sha256: String,
    /// Start of each setting's text, and its origin.
    settings: Vec<(usize, Setting)>,
    problems: RefCell<Vec<Diagnostic>>,
}

/// A table of a document, read key by key; keys that were not read are reported as unknown at the end.
pub struct Section<'d> {
    document: &'d Document,
    table: &'d DeTable<'d>,
    /// Full name of the table, with enclosing tables; empty for the document itself.
    name: String,
    at: usize,
    asked: Vec<&'static str>,
    /// Whether keys that were not read belong to another reader.
    shared: bool,
}

impl Setting {
    /// A setting of a dotted key to a value in TOML syntax.
    pub fn new(origin: impl Into<String>, key: &str, value: &str) -> Self {
        Self { origin: origin.into(), toml: format!("{key} = {value}"), removes: &[] }
    }

    /// Makes this setting replace other keys.
    #[must_use]
    pub fn replacing(mut self, removes: &'static [&'static str]) -> Self {
        self.removes = removes;
        self
    }

    /// A setting that only removes keys.
    pub fn removing(origin: impl Into<String>, removes: &'static [&'static str]) -> Self {
        Self { origin: origin.into(), toml: String::new(), removes }
    }

    /// Parses `KEY=VALUE`. A value that is not valid TOML is taken as a string, so that `judge.mode=implicit` needs no
    /// quotes.
    ///
    /// # Errors
    /// [`Kind::Invalid`] without `=` or with a key that TOML does not allow.
    pub fn parse(text: &str) -> Result<Self> {
        let origin = format!("--set {text}");
        let invalid = |found: &str| {
            Diagnostic::new(Kind::Invalid, format!("`{origin}` cannot be used"))
                .expected("KEY=VALUE, such as judge.mode=implicit or fit.weights={harmless=2}")
                .found(found.to_owned())
        };
        let Some((key, value)) = text.split_once('=') else { return Err(invalid("no `=`").into()) };
        let (key, value) = (key.trim(), value.trim());
        if !DeTable::parse(&format!("{key} = 0")).is_ok_and(|t| !t.get_ref().is_empty()) || key.contains('\n')
        {
            return Err(invalid(&format!("the key `{key}`")).into());
        }
        let one = |value: &str| {
            let line = format!("{key} = {value}");
            !value.contains('\n') && DeTable::parse(&line).is_ok_and(|t| t.get_ref().len() == 1)
        };
        let value = if one(value) { value.to_owned() } else { quoted(value) };
        Ok(Self::new(origin, key, &value))
    }
}

/// A string in TOML syntax.
pub fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A list of strings in TOML syntax.
pub fn quoted_list<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> String {
    let all: Vec<String> = texts.into_iter().map(|t| quoted(t.as_ref())).collect();
    format!("[{}]", all.join(", "))
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Kind::Missing`] for a missing file, [`Kind::Malformed`] for one that is not UTF-8 or larger than 16 MiB.
    pub fn open(path: &Path) -> Result<Self> {
        let refuse = |kind, what: &str| Diagnostic::new(kind, what).at(Place::file(path));
        let meta = std::fs::metadata(path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                refuse(Kind::Missing, "no such file").remedy("check the path").into()
            }
            _ => Error::io("read", path, e),
        })?;
        if meta.len() > MAX_FILE {
            return Err(refuse(Kind::Malformed, "the file is too large for a TOML file of settings")
                .expected(format!("at most {MAX_FILE} bytes"))
                .found(format!("{} bytes", meta.len()))
                .into());
        }
        Self::from_bytes(path, source::read(path, MAX_FILE)?)
    }

    /// A document from the bytes of a file.
    ///
    /// # Errors
    /// [`Kind::Malformed`] for bytes that are not UTF-8.
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let sha256 = artifact::sha256(&bytes);
        let mut text = String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            Diagnostic::new(Kind::Malformed, "the file is not UTF-8")
                .at(Place::file(path))
                .found(format!("an invalid byte at {}", at + 1))
        })?;
        if text.starts_with('\u{feff}') {
            text.remove(0);
        }
        Ok(Self {
            path: Some(path.to_owned()),
            text,
            sha256,
            settings: Vec::new(),
            problems: RefCell::default(),
        })
    }

    /// A document without a file, made of settings only.
    pub fn empty() -> Self {
        Self {
            path: None,
            // Ensures that no setting starts at the document's own offset.
            text: "\n".to_owned(),
            sha256: artifact::sha256(b""),
            settings: Vec::new(),
            problems: RefCell::default(),
        }
    }

    /// Applies settings on top, later ones over earlier ones. A setting of a table written `{…}` replaces the table;
    /// one of a dotted key replaces only that key.
    #[must_use]
    pub fn with(mut self, settings: &[Setting]) -> Self {
        for setting in settings {
            self.settings.push((self.text.len(), setting.clone()));
            self.text.push_str(&setting.toml);
        }
        self
    }

    /// Hex SHA-256 of the file.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Parses the document and reads its root table with `read`; the result is returned only if no problem was found.
    ///
    /// # Errors
    /// One error that shows all problems, ordered by line.
    pub fn read<T>(self, read: impl FnOnce(&mut Section) -> Option<T>) -> Result<T> {
        let end = self.settings.first().map_or(self.text.len(), |(at, _)| *at);
        let mut table = self.parse(0, end);
        for (i, (from, setting)) in self.settings.iter().enumerate() {
            setting.removes.iter().for_each(|key| remove(&mut table, key));
            let to = self.settings.get(i + 1).map_or(self.text.len(), |(at, _)| *at);
            merge(&mut table, self.parse(*from, to), &self.text);
        }
        let mut result = None;
        // Keys missing from a broken table would only be reported in addition.
        if self.problems.borrow().is_empty() {
            let mut section = Section {
                document: &self,
                table: &table,
                name: String::new(),
                at: 0,
                asked: Vec::new(),
                shared: false,
            };
            result = read(&mut section);
            section.finish();
        }
        drop(table);
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.place.line);
        let whole = self.path.map(Place::file).unwrap_or_default();
        match (result, problems.len()) {
            (Some(result), 0) => Ok(result),
            (None, 0) => Err(Diagnostic::new(Kind::Invalid, "the file cannot be used").at(whole).into()),
            (_, 1) => Err(problems.remove(0).into()),
            (_, count) => {
                let shown: String = problems.iter().map(|problem| format!("\n{problem}")).collect();
                Err(Diagnostic::new(problems[0].kind, format!("{count} problems{shown}")).at(whole).into())
            }
        }
    }

    /// Parses a part of the text, with positions relative to the whole.
    fn parse(&self, from: usize, to: usize) -> DeTable<'_> {
        let (table, errors) = DeTable::parse_recoverable(&self.text[from..to]);
        for error in errors {
            let at = from + error.span().map_or(0, |span| span.start);
            self.add(Diagnostic::new(Kind::Malformed, "the file is not TOML").found(error.message()), at, "");
        }
        shifted(table.into_inner(), from)
    }

    /// The setting that contains a byte of the text; `None`: the file.
    fn setting(&self, byte: usize) -> Option<&Setting> {
        self.settings.iter().rev().find(|(from, s)| byte >= *from && !s.toml.is_empty()).map(|(_, s)| s)
    }

    fn line(&self, byte: usize) -> usize {
        let byte = byte.min(self.text.len());
        self.text.as_bytes()[..byte].iter().filter(|b| **b == b'\n').count() + 1
    }

    /// Adds a problem with a key at a byte of the text.
    fn add(&self, diagnostic: Diagnostic, at: usize, key: &str) {
        let place = match (self.setting(at), &self.path) {
            (Some(setting), _) => Place::default().id(&setting.origin),
            (None, None) => Place::default(),
            (None, Some(path)) => {
                let mut place = Place::file(path).line(self.line(at));
                place.id = (!key.is_empty()).then(|| key.to_owned());
                place
            }
        };
        self.problems.borrow_mut().push(diagnostic.at(place));
    }
}

impl<'d> Section<'d> {
    /// Resolves an input path given by a key: relative to the file's folder if the file gives it, to the current folder
    /// if a setting does. Embedded names are unchanged.
    pub fn resolve(&self, key: &str, path: &str) -> PathBuf {
        let set = self.find(key).is_some_and(|(at, _)| self.document.setting(at).is_some());
        match self.document.path.as_deref().and_then(Path::parent) {
            Some(folder) if !set && !is_named(Path::new(path)) => folder.join(path),
            _ => PathBuf::from(path),
        }
    }

    /// Whether the key is present. Marks it as known.
    pub fn has(&mut self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// Adds a problem with a key, at the key's line, or the table's if the key is missing.
    pub fn problem(&self, key: &str, diagnostic: Diagnostic) {
        // A setting in the same table is not the cause of a missing key.
        let own = if self.document.setting(self.at).is_some() { 0 } else { self.at };
        let at = self.find(key).map_or(own, |(at, _)| at);
        self.document.add(diagnostic, at, &self.full_name(key));
    }

    /// Leaves keys of this table that are not read here to another reader.
    pub fn leave_rest(&mut self) {
        self.shared = true;
    }

    /// A string.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        self.typed(key, "a text", |value| value.as_str().map(str::to_owned))
    }

    /// A required, non-blank string.
    pub fn required_text(&mut self, key: &'static str) -> Option<String> {
        if !self.has(key) {
            self.missing(key, "a text");
            return None;
        }
        let text = self.text(key)?;
        if text.trim().is_empty() {
            self.problem(key, Diagnostic::new(Kind::Invalid, format!("`{key}` is empty")).expected("a text"));
            return None;
        }
        Some(text)
    }

    /// A string or a list of strings.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.typed(key, "a text or a list of texts", |value| match value.as_array() {
            Some(list) => list.iter().map(|v| v.get_ref().as_str().map(str::to_owned)).collect(),
            None => value.as_str().map(|text| vec![text.to_owned()]),
        })
    }

    /// A boolean.
    pub fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.typed(key, "true or false", |value| value.as_bool())
    }

    /// An integer of 0 or more.
    pub fn count(&mut self, key: &'static str) -> Option<u64> {
        self.typed(key, "a whole number of 0 or more", whole)
    }

    /// An integer of 1 or more.
    pub fn positive(&mut self, key: &'static str) -> Option<usize> {
        self.typed(key, "a whole number of 1 or more", |value| {
            whole(value).and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0)
        })
    }

    /// A value converted by `read`, which returns `None` for values that it does not accept.
    pub fn typed<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&DeValue<'d>) -> Option<T>,
    ) -> Option<T> {
        let value = self.get(key)?;
        let result = read(value);
        if result.is_none() {
            let found = match value.as_str() {
                Some(text) => format!("`{text}`"),
                None => shown(value),
            };
            self.problem(
                key,
                Diagnostic::new(Kind::Invalid, format!("`{key}` cannot be used"))
                    .expected(expected)
                    .found(found),
            );
        }
        result
    }

    /// One of several keywords.
    pub fn one_of<T: OneOf>(&mut self, key: &'static str) -> Option<T> {
        let text = self.text(key)?;
        if let Some(value) = T::of_word(&text) {
            return Some(value);
        }
        let known: Vec<_> = T::WORDS.iter().map(|(word, ..)| *word).collect();
        let mut diagnostic = Diagnostic::new(Kind::Invalid, format!("`{key}` cannot be used"))
            .expected(format!("`{}`", known.join("`, `")))
            .found(format!("`{text}`"));
        if let Some(near) = nearest(&text, known) {
            diagnostic = diagnostic.remedy(format!("did you mean `{near}`?"));
        }
        self.problem(key, diagnostic);
        None
    }

    /// Reports a missing key.
    pub fn missing(&mut self, key: &'static str, expected: &str) {
        self.asked.push(key);
        self.problem(key, Diagnostic::new(Kind::Missing, format!("no `{key}`")).expected(expected));
    }

    /// A subtable, read with `read`.
    pub fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section) -> T) -> Option<T> {
        self.get(key)?;
        let (at, value) = self.find(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.problem(
                key,
                Diagnostic::new(Kind::Invalid, format!("`{key}` cannot be used"))
                    .expected(format!("a table: [{}]", self.full_name(key)))
                    .found(shown(value.get_ref())),
            );
            return None;
        };
        let name = self.full_name(key);
        let mut inner =
            Section { document: self.document, table, name, at, asked: Vec::new(), shared: false };
        let result = read(&mut inner);
        inner.finish();
        Some(result)
    }

    fn get(&mut self, key: &'static str) -> Option<&'d DeValue<'d>> {
        self.asked.push(key);
        self.find(key).map(|(_, value)| value.get_ref())
    }

    /// Position of a key in the text, and its value.
    fn find(&self, key: &str) -> Option<(usize, &'d Spanned<DeValue<'d>>)> {
        let (name, value) = self.table.get_key_value(key)?;
        Some((name.span().start, value))
    }

    fn full_name(&self, key: &str) -> String {
        match (self.name.as_str(), key) {
            ("", key) => key.to_owned(),
            (name, "") => name.to_owned(),
            (name, key) => format!("{name}.{key}"),
        }
    }

    fn finish(self) {
        for (key, _) in self.table {
            let (at, key) = (key.span().start, key.get_ref());
            if self.shared || self.asked.contains(&key.as_ref()) {
                continue;
            }
            let mut known = self.asked.clone();
            known.sort_unstable();
            known.dedup();
            let mut diagnostic = Diagnostic::new(Kind::UnknownKey, format!("unknown key `{key}`"))
                .expected(format!("`{}`", known.join("`, `")));
            if let Some(near) = nearest(key, known) {
                diagnostic = diagnostic.remedy(format!("did you mean `{near}`?"));
            }
            self.document.add(diagnostic, at, &self.full_name(key));
        }
    }
}

/// Merges a table over another. Tables of dotted keys and headers are merged; any other value replaces the existing
/// one.
fn merge<'d>(under: &mut DeTable<'d>, over: DeTable<'d>, text: &str) {
    for (key, value) in over {
        let inline = text[value.span().start..].starts_with('{');
        match value.into_inner() {
            DeValue::Table(inner) if !inline => match under.get_mut(key.get_ref().as_ref()) {
                Some(there) if there.get_ref().is_table() => {
                    if let DeValue::Table(there) = there.get_mut() {
                        merge(there, inner, text);
                    }
                }
                _ => put(under, key, DeValue::Table(inner)),
            },
            value => put(under, key, value),
        }
    }
}

/// Inserts a value with its own key, so that errors name where it was set.
fn put<'d>(table: &mut DeTable<'d>, key: Spanned<DeString<'d>>, value: DeValue<'d>) {
    table.remove(key.get_ref().as_ref());
    let span = key.span();
    table.insert(key, Spanned::new(span, value));
}

/// Removes a dotted key.
fn remove(table: &mut DeTable<'_>, key: &str) {
    match key.split_once('.') {
        None => drop(table.remove(key)),
        Some((head, rest)) => {
            if let Some(DeValue::Table(inner)) = table.get_mut(head).map(Spanned::get_mut) {
                remove(inner, rest);
            }
        }
    }
}

/// The same table with positions shifted by `by` bytes.
fn shifted(table: DeTable<'_>, by: usize) -> DeTable<'_> {
    if by == 0 {
        return table;
    }
    table.into_iter().map(|(key, value)| (moved(key, by), shifted_value(value, by))).collect()
}

fn shifted_value(value: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
    let span = value.span();
    let value = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(shifted(table, by)),
        other => other,
    };
    moved(Spanned::new(span, value), by)
}

fn moved<T>(value: Spanned<T>, by: usize) -> Spanned<T> {
    let span = value.span();
    Spanned::new(span.start + by..span.end + by, value.into_inner())
}

/// An integer of 0 or more.
pub fn whole(value: &DeValue) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// A number, integer or not.
pub fn number(value: &DeValue) -> Option<f64> {
    match value.as_float() {
        Some(float) => float.as_str().parse().ok(),
        None => whole(value).map(|n| n as f64),
    }
}

fn shown(value: &DeValue) -> String {
    match value {
        DeValue::String(text) => format!("a text: `{text}`"),
        DeValue::Integer(number) => format!("a whole number: {number}"),
        DeValue::Float(number) => format!("a number: {number}"),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(list) => format!("a list of {}", list.len()),
        DeValue::Table(table) => format!("a table of {} keys", table.len()),
    }
}
