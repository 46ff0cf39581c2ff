//! GGUF files on the hub: selects a file and fetches it with all its parts.

use super::Downloads;
use super::cache::Cache;
use super::fetch::{Chosen, chosen};
use super::settings::Settings;
use super::trouble::{HubRequest, Repository};
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::model::files::ModelFiles;
use crate::model::gguf::{part_names, split_name, strip_extension};

/// Fetches a GGUF file of a repository into the cache, with all parts of a split one. `wanted` is the file's name, or
/// the type at the end of the name (`Q4_K_M`), in upper or lower case.
///
/// # Errors
/// [`Kind::Missing`] for a repository without such a file, [`Kind::Invalid`] if several files match; otherwise as
/// [`fetch`](super::fetch).
pub fn fetch_gguf(
    id: &str,
    revision: Option<&str>,
    wanted: &str,
    settings: &Settings,
    downloads: &mut dyn Downloads,
) -> Result<ModelFiles> {
    let choice = |asked: &HubRequest, files: &[String], holder: &str| {
        choose(wanted, files).map_err(|no| no.diagnostic(asked, wanted, holder))
    };
    let Chosen { cache, commit, names } =
        chosen(Repository::Model, id, revision, settings, downloads, &choice)?;
    Ok(snapshot(&cache, &commit, &names))
}

/// The model in the cache; its file is the first of `names`.
fn snapshot(cache: &Cache, commit: &str, names: &[String]) -> ModelFiles {
    let promised = names.iter().filter_map(|f| Some((f.clone(), cache.sha256(commit, f)?))).collect();
    ModelFiles::cached(cache.snapshot(commit), commit.to_owned(), promised)
        .with_gguf(names.first().map_or("", String::as_str))
}

/// Reason why no file could be chosen.
#[derive(Debug, PartialEq, Eq)]
enum NoChoice {
    /// None matches; holds all GGUF files.
    Absent(Vec<String>),
    /// Several match.
    Several(Vec<String>),
    /// A part of a split file is not in the listing.
    Part(String),
}

impl NoChoice {
    fn diagnostic(self, asked: &HubRequest, wanted: &str, holder: &str) -> Diagnostic {
        let place = Place::default().id(format!("{} @ {}", asked.id, asked.revision));
        match self {
            Self::Absent(all) => {
                let diagnostic =
                    Diagnostic::new(Kind::Missing, format!("{holder} has no GGUF file `{wanted}`")).expected(
                        "the name of a GGUF file there, or the type by which one is named, such as Q4_K_M",
                    );
                if all.is_empty() {
                    diagnostic.found("no GGUF file").remedy("give the id alone for a model in safetensors")
                } else {
                    diagnostic.found(all.join(", ")).remedy("name one of these")
                }
            }
            Self::Several(several) => Diagnostic::new(
                Kind::Invalid,
                format!("`{wanted}` names more than one GGUF file of {holder}"),
            )
            .expected("the name of one")
            .found(several.join(", "))
            .remedy("give the whole name: owner/name:FILE.gguf"),
            Self::Part(part) => {
                Diagnostic::new(Kind::Missing, format!("{holder} lacks a part of the split GGUF file"))
                    .expected(part)
                    .remedy("check the revision, or take another file")
            }
        }
        .at(place)
    }
}

/// The file that `wanted` refers to, with all its parts, in order.
fn choose(wanted: &str, files: &[String]) -> Result<Vec<String>, NoChoice> {
    let base = |file: &str| -> String { file.rsplit('/').next().unwrap_or(file).to_owned() };
    // Companion files that are not models.
    let beside = |file: &str| base(file).starts_with("mmproj") || base(file).starts_with("imatrix");
    let all: Vec<&String> = files.iter().filter(|f| strip_extension(f).is_some() && is_path(f)).collect();
    let matching: Vec<&String> = if strip_extension(wanted).is_some() {
        let exact: Vec<_> = all.iter().copied().filter(|f| *f == wanted).collect();
        let same = |f: &str| f.eq_ignore_ascii_case(wanted) || base(f).eq_ignore_ascii_case(wanted);
        if exact.is_empty() { all.iter().copied().filter(|f| same(f)).collect() } else { exact }
    } else {
        all.iter().copied().filter(|f| !beside(f) && has_type(&base(f), wanted)).collect()
    };
    // Groups the parts of split models.
    let mut models: Vec<Vec<String>> = matching.iter().map(|f| part_names(f)).collect();
    models.sort();
    models.dedup();
    match (models.pop(), models.is_empty()) {
        (None, _) => {
            let mut all: Vec<String> = all.into_iter().cloned().collect();
            all.sort();
            Err(NoChoice::Absent(all))
        }
        (Some(parts), true) => match parts.iter().find(|part| !files.contains(part)) {
            Some(part) => Err(NoChoice::Part(part.clone())),
            None => Ok(parts),
        },
        (Some(last), false) => {
            let mut firsts: Vec<String> =
                models.into_iter().chain([last]).filter_map(|m| m.into_iter().next()).collect();
            firsts.sort();
            Err(NoChoice::Several(firsts))
        }
    }
}

/// Whether a name is safe as a path in the cache and in a URL.
fn is_path(name: &str) -> bool {
    let part = |part: &str| !matches!(part, "" | "." | "..");
    name.split('/').all(part) && !name.chars().any(|c| c.is_control() || matches!(c, '\\' | '?' | '#' | '%'))
}

/// Whether the name of a GGUF file, without its part number, ends with this type.
fn has_type(name: &str, wanted: &str) -> bool {
    let stem = split_name(name).map(|(stem, ..)| stem).or(strip_extension(name)).unwrap_or_default();
    let Some(at) = stem.len().checked_sub(wanted.len()).filter(|at| stem.is_char_boundary(*at)) else {
        return false;
    };
    let (before, end) = stem.split_at(at);
    end.eq_ignore_ascii_case(wanted) && (before.is_empty() || before.ends_with(['-', '.', '_']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hub::gguf_id;

    fn files(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn a_file_is_meant_by_name_or_type() {
        let files = files(&[
            "README.md",
            "m-Q4_K_M.gguf",
            "m-Q4_K.gguf",
            "m-BF16.gguf",
            "mmproj-m-F16.gguf",
            "big/m-q8_0-00001-of-00002.gguf",
            "big/m-q8_0-00002-of-00002.gguf",
        ]);
        assert_eq!(choose("q4_k_m", &files).expect("one"), ["m-Q4_K_M.gguf"]);
        assert_eq!(choose("Q4_K", &files).expect("one"), ["m-Q4_K.gguf"]);
        assert_eq!(choose("m-q4_k.GGUF", &files).expect("one"), ["m-Q4_K.gguf"]);
        assert!(matches!(choose("F16", &files), Err(NoChoice::Absent(all)) if all.len() == 6));
        let both = ["big/m-q8_0-00001-of-00002.gguf", "big/m-q8_0-00002-of-00002.gguf"];
        assert_eq!(choose("Q8_0", &files).expect("a split model"), both);
        assert_eq!(choose("m-q8_0-00002-of-00002.gguf", &files).expect("a split model"), both);
        assert_eq!(choose("mmproj-m-F16.gguf", &files).expect("by its name"), ["mmproj-m-F16.gguf"]);
    }

    #[test]
    fn several_files_and_missing_parts_are_refused() {
        let two = files(&["a-Q8_0.gguf", "b-Q8_0.gguf"]);
        assert_eq!(choose("q8_0", &two), Err(NoChoice::Several(two.clone())));
        let part = files(&["a-Q8_0-00001-of-00002.gguf"]);
        assert_eq!(choose("q8_0", &part), Err(NoChoice::Part("a-Q8_0-00002-of-00002.gguf".into())));
        assert_eq!(choose("q8_0", &[]), Err(NoChoice::Absent(Vec::new())));
    }

    #[test]
    fn names_cannot_lead_out_of_the_cache() {
        let hostile = files(&["../../x-Q8_0.gguf", "/x-Q8_0.gguf", "a/../x-Q8_0.gguf", "a\\..\\x-Q8_0.gguf"]);
        for wanted in ["Q8_0", "x-Q8_0.gguf", "../../x-Q8_0.gguf"] {
            assert_eq!(choose(wanted, &hostile), Err(NoChoice::Absent(Vec::new())), "{wanted}");
        }
    }

    #[test]
    fn ids_with_a_file() {
        assert_eq!(gguf_id("owner/name:Q4_K_M"), Some(("owner/name", "Q4_K_M")));
        assert_eq!(gguf_id("owner/name:a/b.gguf"), Some(("owner/name", "a/b.gguf")));
        for bad in ["owner/name", "owner/name:", "embedded:hearth", "c:/x/y.gguf"] {
            assert_eq!(gguf_id(bad), None, "{bad}");
        }
    }
}
