//! Reads and validates items from files.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Map, Value};

use super::container::{ENDINGS, Row, for_each_row};
use super::embedded::{self, sha256};
use super::formats::{self, Context, Draft, Notes};
use super::item::{Item, Items, Prompt};
use super::name::check_name;
use crate::error::{Diagnostic, Kind, Place, Result};

/// How to read items.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ReadOptions {
    /// Skip bad rows and collect the reasons, instead of stopping at the first.
    pub skip_bad: bool,
    /// Read at most this many items: the first 1/n of them from each of n files, so that a value with its own file
    /// keeps items. If a file is too short, the others contribute more.
    pub limit: Option<usize>,
    /// Name of the value, for formats that do not specify one: `chosen` and `rejected` (default `preferred`), and
    /// `answer_matching_behavior` (default `matching`).
    pub value_name: Option<String>,
}

/// Reads the items of all files, in order; each is a path or `embedded:NAME`. A file is JSON lines, a JSON array, CSV
/// or TSV (plain or gzipped) or parquet, detected by its content, or for CSV and TSV by its name; the format of each
/// row is detected by its keys. In formats with one response per row, the rows of a file with the same prompt form one
/// item, with the id of the first.
///
/// A row without an `id` gets one from the file's name and its line, or its row number in an array or a parquet file.
///
/// # Errors
/// With file, line and id: rows that are not JSON objects, or longer than 64 MiB; of unknown format, or with fields
/// that are missing or of the wrong type; without a prompt or a response ([`Kind::EmptyResponse`] for one without
/// text); labels that are not finite 32-bit numbers; preferences between responses that are missing or have the same
/// text; duplicate ids. `skip_bad` skips such rows. It does not apply to errors that lose the rest of a file (a
/// truncated compressed stream, an unclosed array, a damaged parquet file), nor to files that are missing or contain no
/// usable row.
pub fn read_items(paths: &[PathBuf], options: &ReadOptions) -> Result<Items> {
    if options.limit == Some(0) {
        return Err(Diagnostic::new(Kind::Invalid, "the limit allows no item")
            .expected("a limit of at least 1")
            .found("0")
            .into());
    }
    if let Some(name) = &options.value_name {
        check_name("the value's name", name)?;
    }
    check_distinct(paths)?;
    let labels = labels(paths);
    let mut reading = ItemReader {
        options,
        items: Items::default(),
        file: 0,
        notes: Notes::default(),
        ids: HashMap::new(),
        joined: HashMap::new(),
    };
    let mut ends = Vec::with_capacity(paths.len());
    for (path, label) in paths.iter().zip(&labels) {
        reading.file = 0;
        reading.joined.clear();
        for_each_row(path, &mut |row| reading.take(path, label, row))?;
        reading.items.files.push((path.clone(), sha256(path)?));
        ends.push(reading.items.items.len());
    }
    if let Some(limit) = options.limit {
        reading.spread(limit, &ends);
    }
    reading.finish(paths)
}

/// Splits `limit` items over several files: as evenly as their numbers allow; the first files get one more if it does
/// not divide evenly.
fn shares(limit: usize, counts: &[usize]) -> Vec<usize> {
    let mut shares = vec![0; counts.len()];
    let mut left = limit.min(counts.iter().sum());
    while left > 0 {
        let open: Vec<usize> = (0..counts.len()).filter(|&f| shares[f] < counts[f]).collect();
        let each = (left / open.len()).max(1);
        for file in open {
            let more = each.min(counts[file] - shares[file]).min(left);
            shares[file] += more;
            left -= more;
        }
    }
    shares
}

struct ItemReader<'o> {
    options: &'o ReadOptions,
    items: Items,
    /// Number of items of the current file.
    file: usize,
    notes: Notes,
    /// Ids in use, with their location.
    ids: HashMap<String, Place>,
    /// Items of the current file that later rows with the same prompt extend, by index.
    joined: HashMap<Prompt, usize>,
}

/// Result of reading a row.
enum Taken {
    /// An item; true if its format has one response per row.
    Item(Item, bool),
    /// A response to the prompt of an earlier item.
    Joins(usize, Item),
}

impl ItemReader<'_> {
    fn is_full(&self) -> bool {
        self.options.limit.is_some_and(|limit| self.file >= limit)
    }

    /// Keeps the first items of each file, `limit` in total; `ends` gives the end of each file's items.
    fn spread(&mut self, limit: usize, ends: &[usize]) {
        let starts = [0].into_iter().chain(ends.iter().copied());
        let counts: Vec<usize> = ends.iter().zip(starts).map(|(end, start)| end - start).collect();
        let mut keep = counts.iter().zip(shares(limit, &counts)).flat_map(|(&count, share)| {
            std::iter::repeat_n(true, share).chain(std::iter::repeat_n(false, count - share))
        });
        self.items.items.retain(|_| keep.next().unwrap_or(false));
    }

    fn take(&mut self, path: &Path, label: &str, row: Row) -> Result<ControlFlow<()>> {
        let mut place = Place::file(path).line(row.line);
        let made_up = format!("{label}:{}", row.number);
        match row.content.and_then(|content| self.item(&content, made_up, &mut place)) {
            Ok(Taken::Joins(at, item)) => {
                self.ids.insert(item.id, item.place);
                self.items.items[at].responses.extend(item.responses);
            }
            // A row of another prompt, in a file that is only read further for rows of its earlier items.
            Ok(Taken::Item(..)) if self.is_full() => {}
            Ok(Taken::Item(item, joins)) => {
                self.ids.insert(item.id.clone(), item.place.clone());
                if joins {
                    self.joined.insert(item.prompt.clone(), self.items.items.len());
                }
                self.items.items.push(item);
                self.file += 1;
            }
            Err(mut diagnostic) => {
                // A row of several lines reports itself the line on which it is broken.
                place.line = diagnostic.place.line.or(place.line);
                diagnostic.place = place;
                if !self.options.skip_bad {
                    let hint = "or leave such rows out with --skip-bad";
                    diagnostic.remedy = Some(match diagnostic.remedy {
                        Some(remedy) if remedy.contains("--skip-bad") => remedy,
                        Some(remedy) => format!("{remedy}, {hint}"),
                        None => format!("correct the row, {hint}"),
                    });
                    return Err(diagnostic.into());
                }
                self.items.skipped.push(diagnostic);
            }
        }
        let ends = self.is_full() && self.joined.is_empty();
        Ok(if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn item(
        &mut self,
        row: &Map<String, Value>,
        made_up: String,
        place: &mut Place,
    ) -> Result<Taken, Diagnostic> {
        let id = formats::own_id(row).unwrap_or(made_up);
        place.id = Some(id.clone());
        if let Some(other) = self.ids.get(&id) {
            return Err(Diagnostic::new(Kind::Invalid, "the id is taken")
                .expected("ids that are unique over all files")
                .found(format!("the same id at {other}"))
                .remedy("rename one of the two"));
        }
        let value_name = self.options.value_name.as_deref();
        let mut context = Context { value_name, notes: &mut self.notes, place };
        let draft = formats::read(row, &mut context)?;
        check(&draft)?;
        let Draft { prompt, responses, preferences, group, joins } = draft;
        let first = joins.then(|| self.joined.get(&prompt).copied()).flatten();
        let item = Item { id, prompt, responses, preferences, group, place: place.clone() };
        Ok(match first {
            Some(at) => Taken::Joins(at, item),
            None => Taken::Item(item, joins),
        })
    }

    fn finish(mut self, paths: &[PathBuf]) -> Result<Items> {
        let Some(first) = paths.first() else {
            return Err(Diagnostic::new(Kind::Missing, "no file of items is given").into());
        };
        if self.items.items.is_empty() {
            let skipped = &self.items.skipped;
            let mut diagnostic = Diagnostic::new(Kind::Missing, "the data hold no item")
                .at(Place::file(first))
                .found(format!("{} files and {} bad rows", paths.len(), skipped.len()));
            if let Some(bad) = skipped.first() {
                diagnostic = diagnostic.remedy(format!("see the first bad row: {bad}"));
            }
            return Err(diagnostic.into());
        }
        self.items.notes = self.notes.sentences();
        if let Some(name) = &self.options.value_name
            && !self.items.value_names().contains(name.as_str())
        {
            self.items
                .notes
                .push(format!("the value name `{name}` was not used: the rows name their values"));
        }
        Ok(self.items)
    }
}

/// Checks common to all formats.
fn check(draft: &Draft) -> Result<(), Diagnostic> {
    let invalid = |what: String| Diagnostic::new(Kind::Invalid, what);
    if draft.prompt.messages().iter().all(|m| m.content.trim().is_empty()) {
        return Err(invalid("the prompt is empty".into()).expected("a text for the responses to answer"));
    }
    if draft.responses.is_empty() {
        return Err(Diagnostic::new(Kind::Missing, "there is no response").expected("at least one"));
    }
    for (number, response) in draft.responses.iter().enumerate() {
        if response.text.trim().is_empty() {
            return Err(Diagnostic::new(Kind::EmptyResponse, format!("response {number} has no text"))
                .expected("at least one character that is not white space")
                .found(format!(
                    "{:?}, as response {number} of {}, counted from 0",
                    response.text,
                    draft.responses.len()
                )));
        }
        for (name, label) in &response.values {
            check_name(&format!("the value name in response {number}"), name)?;
            if !(*label as f32).is_finite() {
                return Err(Diagnostic::new(
                    Kind::NotFinite,
                    format!("the label `{name}` of response {number} is no finite number in 32 bits"),
                )
                .found(label.to_string()));
            }
        }
    }
    for (number, preference) in draft.preferences.iter().enumerate() {
        check_name(&format!("the value name in preference {number}"), &preference.value)?;
        let (better, worse) = (draft.responses.get(preference.better), draft.responses.get(preference.worse));
        let found = format!("better: {}, worse: {}", preference.better, preference.worse);
        let (Some(better), Some(worse)) = (better, worse) else {
            return Err(invalid(format!("preference {number} is about a response that is not there"))
                .expected(format!("numbers from 0 to {}", draft.responses.len() - 1))
                .found(found));
        };
        if preference.better == preference.worse {
            return Err(invalid(format!("preference {number} prefers a response to itself")).found(found));
        }
        if better.text == worse.text {
            return Err(invalid(format!("preference {number} is between two responses of the same text"))
                .found(found));
        }
    }
    Ok(())
}

/// Refuses a file that is given twice: its rows would count twice.
fn check_distinct(paths: &[PathBuf]) -> Result<()> {
    let mut seen = HashSet::new();
    for path in paths {
        // A path that cannot be resolved is reported when it is read.
        let embedded = embedded::name(path).map(|_| path.clone());
        if let Some(real) = embedded.or_else(|| path.canonicalize().ok())
            && !seen.insert(real)
        {
            return Err(Diagnostic::new(Kind::Invalid, "the file is given twice")
                .at(Place::file(path))
                .remedy("name it once")
                .into());
        }
    }
    Ok(())
}

/// Prefixes of generated ids: the files' names without extensions, numbered if two are the same.
fn labels(paths: &[PathBuf]) -> Vec<String> {
    let stem = |path: &PathBuf| {
        // A file in the hub's cache is named by a number; use its folder.
        let folder = path
            .iter()
            .rev()
            .filter_map(|part| part.to_str())
            .find_map(|part| part.strip_prefix("datasets--"));
        if let Some(name) = folder.and_then(|folder| folder.rsplit("--").next()) {
            return name.to_owned();
        }
        let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        let ending = ENDINGS.iter().find_map(|e| name.strip_suffix(e));
        ending.unwrap_or(name).to_owned()
    };
    let stems: Vec<_> = paths.iter().map(stem).collect();
    stems
        .iter()
        .enumerate()
        .map(|(at, stem)| match stems[..at].iter().filter(|s| *s == stem).count() {
            0 => stem.clone(),
            before => format!("{stem}~{}", before + 1),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_shared_as_equally_as_the_files_allow() {
        assert_eq!(shares(12, &[28, 28, 28]), [4, 4, 4]);
        assert_eq!(shares(11, &[28, 28, 28]), [4, 4, 3]);
        assert_eq!(shares(2, &[28, 28, 28]), [1, 1, 0]);
        assert_eq!(shares(12, &[2, 28, 28]), [2, 5, 5]);
        assert_eq!(shares(100, &[2, 3]), [2, 3]);
        assert_eq!(shares(5, &[0, 9]), [0, 5]);
        assert_eq!(shares(5, &[0, 0]), [0, 0]);
    }

    #[test]
    fn items_of_a_limit_are_the_first_of_each_file_in_the_order_of_the_files() {
        let paths = ["honest", "harmless", "helpful"].map(embedded::path);
        let options = ReadOptions { limit: Some(7), ..ReadOptions::default() };
        let items = read_items(&paths, &options).expect("reads");
        let from: Vec<_> = items.items.iter().map(|i| i.place.clone()).collect();
        let all = read_items(&paths, &ReadOptions::default()).expect("reads").items;
        let firsts = |path: &PathBuf, n: usize| {
            let own = all.iter().filter(|i| i.place.file.as_ref() == Some(path));
            own.take(n).map(|i| i.place.clone()).collect::<Vec<_>>()
        };
        let expected: Vec<_> = paths.iter().zip([3, 2, 2]).flat_map(|(path, n)| firsts(path, n)).collect();
        assert_eq!(from, expected);
        let twice = [embedded::path("honest"), embedded::path("honest")];
        assert!(read_items(&twice, &options).expect_err("refused").to_string().contains("given twice"));
    }
}
