//! TOML files as the program reads them: every key is known, has its type, and is blamed by its line;
//! all problems of a file are reported together.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::name::nearest;
use crate::artifact;
use crate::error::{Error, Kind, Place, Refusal, Result};

/// Largest TOML file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// The text of a TOML file and what is wrong with it so far.
pub struct Document {
    path: PathBuf,
    text: String,
    sha256: String,
    problems: RefCell<Vec<Refusal>>,
}

/// A table of a document, read key by key; at the end the keys that nobody asked for are blamed.
pub struct Section<'d> {
    document: &'d Document,
    table: &'d DeTable<'d>,
    /// Its name with those of the tables around it; empty for the document itself.
    name: String,
    line: usize,
    asked: Vec<&'static str>,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Kind::Missing`] for a file that is not there, [`Kind::Malformed`] for one that is not UTF-8 or
    /// larger than 16 MiB.
    pub fn open(path: &Path) -> Result<Self> {
        let refuse = |kind, what: &str| Refusal::new(kind, what).at(Place::file(path));
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
        let bytes = std::fs::read(path).map_err(|e| Error::io("read", path, e))?;
        let sha256 = artifact::sha256(&bytes);
        let mut text = String::from_utf8(bytes).map_err(|e| {
            let at = e.utf8_error().valid_up_to();
            refuse(Kind::Malformed, "the file is not UTF-8").found(format!("an invalid byte at {}", at + 1))
        })?;
        if text.starts_with('\u{feff}') {
            text.remove(0);
        }
        Ok(Self { path: path.to_owned(), text, sha256, problems: RefCell::default() })
    }

    /// Hex SHA-256 of the file.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Parses the document and reads its outermost table with `read`; what `read` returns counts only if no
    /// problem was found.
    ///
    /// # Errors
    /// One refusal that shows all problems, in the order of their lines.
    pub fn read<T>(self, read: impl FnOnce(&mut Section) -> Option<T>) -> Result<T> {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        for error in errors {
            let line = error.span().map(|span| self.line(span.start));
            self.add(Refusal::new(Kind::Malformed, "the file is not TOML").found(error.message()), line, "");
        }
        let mut result = None;
        // What a broken table lacks would only be blamed on top.
        if self.problems.borrow().is_empty() {
            let mut section = Section {
                document: &self,
                table: table.get_ref(),
                name: String::new(),
                line: 1,
                asked: Vec::new(),
            };
            result = read(&mut section);
            section.finish();
        }
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.place.line);
        match (result, problems.len()) {
            (Some(result), 0) => Ok(result),
            (None, 0) => {
                Err(Refusal::new(Kind::Invalid, "the file cannot be used").at(Place::file(self.path)).into())
            }
            (_, 1) => Err(problems.remove(0).into()),
            (_, count) => {
                let shown: String = problems.iter().map(|problem| format!("\n{problem}")).collect();
                Err(Refusal::new(problems[0].kind, format!("{count} problems{shown}"))
                    .at(Place::file(self.path))
                    .into())
            }
        }
    }

    fn line(&self, byte: usize) -> usize {
        let byte = byte.min(self.text.len());
        self.text.as_bytes()[..byte].iter().filter(|b| **b == b'\n').count() + 1
    }

    fn add(&self, refusal: Refusal, line: Option<usize>, key: &str) {
        let mut place = Place::file(&self.path);
        place.line = line;
        place.id = (!key.is_empty()).then(|| key.to_owned());
        self.problems.borrow_mut().push(refusal.at(place));
    }
}

impl<'d> Section<'d> {
    /// The file's own path, as the user named it.
    pub fn path(&self) -> &'d Path {
        &self.document.path
    }

    /// A path of an input, which is relative to the folder of the file that names it.
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.path().parent().unwrap_or(Path::new("")).join(path)
    }

    /// Whether the key is there. It counts as known from then on.
    pub fn has(&mut self, key: &'static str) -> bool {
        self.get(key).is_some()
    }

    /// Adds a problem with a key, at the key's line, or the table's where it is not there.
    pub fn problem(&self, key: &str, refusal: Refusal) {
        let line = self.find(key).map_or(self.line, |(line, _)| line);
        self.document.add(refusal, Some(line), &self.full_name(key));
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        self.typed(key, "a text", |value| value.as_str().map(str::to_owned))
    }

    /// A text that has to be there and not be blank.
    pub fn required_text(&mut self, key: &'static str) -> Option<String> {
        if !self.has(key) {
            self.missing(key, "a text");
            return None;
        }
        let text = self.text(key)?;
        if text.trim().is_empty() {
            self.problem(key, Refusal::new(Kind::Invalid, format!("`{key}` is empty")).expected("a text"));
            return None;
        }
        Some(text)
    }

    /// A text or a list of texts.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<String>> {
        self.typed(key, "a text or a list of texts", |value| match value.as_array() {
            Some(list) => list.iter().map(|v| v.get_ref().as_str().map(str::to_owned)).collect(),
            None => value.as_str().map(|text| vec![text.to_owned()]),
        })
    }

    /// True or false.
    pub fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.typed(key, "true or false", |value| value.as_bool())
    }

    /// A whole number of 0 or more.
    pub fn count(&mut self, key: &'static str) -> Option<u64> {
        self.typed(key, "a whole number of 0 or more", whole)
    }

    /// A whole number of 1 or more.
    pub fn positive(&mut self, key: &'static str) -> Option<usize> {
        self.typed(key, "a whole number of 1 or more", |value| {
            whole(value).and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0)
        })
    }

    /// A value read by `read`, which returns `None` for what it does not accept.
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
                Refusal::new(Kind::Invalid, format!("`{key}` cannot be used"))
                    .expected(expected)
                    .found(found),
            );
        }
        result
    }

    /// One of several words.
    pub fn one_of<T: Copy>(&mut self, key: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let text = self.text(key)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let mut refusal = Refusal::new(Kind::Invalid, format!("`{key}` cannot be used"))
            .expected(format!("`{}`", known.join("`, `")))
            .found(format!("`{text}`"));
        if let Some(near) = nearest(&text, known) {
            refusal = refusal.remedy(format!("did you mean `{near}`?"));
        }
        self.problem(key, refusal);
        None
    }

    /// Blames a key that is not there.
    pub fn missing(&mut self, key: &'static str, expected: &str) {
        self.asked.push(key);
        self.problem(key, Refusal::new(Kind::Missing, format!("no `{key}`")).expected(expected));
    }

    /// A table inside this one, read with `read`.
    pub fn section<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section) -> T) -> Option<T> {
        self.get(key)?;
        let (line, value) = self.find(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.problem(
                key,
                Refusal::new(Kind::Invalid, format!("`{key}` cannot be used"))
                    .expected(format!("a table: [{}]", self.full_name(key)))
                    .found(shown(value.get_ref())),
            );
            return None;
        };
        let name = self.full_name(key);
        let mut inner = Section { document: self.document, table, name, line, asked: Vec::new() };
        let result = read(&mut inner);
        inner.finish();
        Some(result)
    }

    fn get(&mut self, key: &'static str) -> Option<&'d DeValue<'d>> {
        self.asked.push(key);
        self.find(key).map(|(_, value)| value.get_ref())
    }

    fn find(&self, key: &str) -> Option<(usize, &'d Spanned<DeValue<'d>>)> {
        let (name, value) = self.table.iter().find(|(name, _)| name.get_ref() == key)?;
        Some((self.document.line(name.span().start), value))
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
            let (line, key) = (self.document.line(key.span().start), key.get_ref());
            if self.asked.contains(&key.as_ref()) {
                continue;
            }
            let mut known = self.asked.clone();
            known.sort_unstable();
            known.dedup();
            let mut refusal = Refusal::new(Kind::UnknownKey, format!("unknown key `{key}`"))
                .expected(format!("`{}`", known.join("`, `")));
            if let Some(near) = nearest(key, known) {
                refusal = refusal.remedy(format!("did you mean `{near}`?"));
            }
            self.document.add(refusal, Some(line), &self.full_name(key));
        }
    }
}

/// A whole number of 0 or more.
pub fn whole(value: &DeValue) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// A number, whole or not.
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
