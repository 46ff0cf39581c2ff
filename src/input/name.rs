//! Names that become parts of tensor names: values and constitutions.

use crate::error::{Diagnostic, Kind};

/// Longest name, in bytes.
pub const MAX_NAME: usize = 64;

/// Checks a name that becomes part of a tensor's name (`value.NAME`, `judge.NAME.ab`): 1 to 64 characters from `A–Z a–z
/// 0–9 . _ -`.
///
/// # Errors
/// [`Kind::Invalid`] with the name; the caller adds the place.
pub fn check_name(what: &str, name: &str) -> Result<(), Diagnostic> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(allowed) {
        return Ok(());
    }
    Err(Diagnostic::new(Kind::Invalid, format!("{what} cannot be used: it becomes part of a tensor's name"))
        .expected(format!("1 to {MAX_NAME} of the characters A-Z a-z 0-9 . _ -"))
        .found(format!("`{name}`"))
        .remedy("rename it"))
}

/// Words that users write in place of another key.
const SYNONYMS: [(&str, &str); 6] = [
    ("labels", "values"),
    ("label", "values"),
    ("scores", "values"),
    ("completions", "responses"),
    ("answers", "responses"),
    ("question", "prompt"),
];

/// The known name closest in spelling to `name`, or a synonym of it, if any is close.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known: Vec<&str> = known.into_iter().collect();
    let lower = name.to_lowercase();
    let same = SYNONYMS.iter().find(|(word, key)| *word == lower && known.contains(key));
    if let Some((_, key)) = same {
        return Some(key);
    }
    known
        .into_iter()
        .map(|k| (strsim::jaro_winkler(&name.to_lowercase(), &k.to_lowercase()), k))
        .filter(|(near, _)| *near > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}
