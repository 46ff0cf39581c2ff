//! Maps the names that users have for a model to those that it is loaded by.

use std::path::{Path, PathBuf};

use super::hub;
use crate::error::{Diagnostic, Kind, Place, Result};

/// Early hub ids without an owner, and the models' current ids.
const OWNERLESS: [(&str, &str); 5] = [
    ("gpt2", "openai-community/gpt2"),
    ("gpt2-medium", "openai-community/gpt2-medium"),
    ("gpt2-large", "openai-community/gpt2-large"),
    ("gpt2-xl", "openai-community/gpt2-xl"),
    ("distilgpt2", "distilbert/distilgpt2"),
];

/// URL prefixes of the hub's pages.
const PAGES: [&str; 4] =
    ["https://huggingface.co/", "http://huggingface.co/", "https://hf.co/", "https://www.huggingface.co/"];

/// A model's name without the extra parts of a browser URL, and the revision given in it: `owner/name` for
/// `https://huggingface.co/owner/name/tree/main`, `owner/name:FILE` for the URL of a file.
pub(super) fn unaddressed(name: &str) -> (String, Option<String>) {
    let Some(rest) = PAGES.iter().find_map(|page| name.strip_prefix(page)).or(name.strip_prefix("hf://"))
    else {
        let known = OWNERLESS.iter().find(|(old, _)| *old == name && !Path::new(name).exists());
        return (known.map_or_else(|| name.to_owned(), |(_, new)| (*new).to_owned()), None);
    };
    let rest = rest.split(['?', '#']).next().unwrap_or(rest).trim_end_matches('/');
    let rest = rest.strip_prefix("models/").unwrap_or(rest);
    let parts: Vec<&str> = rest.split('/').collect();
    match parts[..] {
        [owner, name, "tree" | "commit", ref revision @ ..] if !revision.is_empty() => {
            (format!("{owner}/{name}"), Some(revision.join("/")))
        }
        [owner, name, "blob" | "resolve", revision, ref file @ ..] if !file.is_empty() => {
            let id = format!("{owner}/{name}");
            let file = file.join("/");
            let is_gguf = file.to_lowercase().ends_with(".gguf");
            (if is_gguf { format!("{id}:{file}") } else { id }, Some(revision.to_owned()))
        }
        [owner, name, ..] => (format!("{owner}/{name}"), None),
        _ => (rest.to_owned(), None),
    }
}

/// The snapshot folder of a folder `models--owner--name` in the hub's cache; other folders unchanged.
///
/// # Errors
/// [`Kind::Missing`] for a cache folder without a commit, [`Kind::Invalid`] for one with several commits that does not
/// say which one is `main`.
pub(super) fn snapshot(folder: PathBuf) -> Result<PathBuf> {
    let snapshots = folder.join("snapshots");
    if folder.join("config.json").is_file() || !snapshots.is_dir() {
        return Ok(folder);
    }
    let main = std::fs::read_to_string(folder.join("refs").join(hub::DEFAULT_REVISION)).ok();
    if let Some(commit) = main.map(|text| snapshots.join(text.trim())).filter(|path| path.is_dir()) {
        return Ok(commit);
    }
    let entries = std::fs::read_dir(&snapshots).into_iter().flatten().flatten();
    let mut commits: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    commits.sort();
    match &commits[..] {
        [only] => Ok(only.clone()),
        [] => Err(Diagnostic::new(Kind::Missing, "a folder of the cache without a commit")
            .at(Place::file(&snapshots))
            .expected("the files of a model under snapshots/COMMIT")
            .into()),
        several => Err(Diagnostic::new(Kind::Invalid, "a folder of the cache with several commits")
            .at(Place::file(&snapshots))
            .expected("one, or refs/main that says which")
            .found(format!("{} of them", several.len()))
            .remedy(format!("name one: {}", several[0].display()))
            .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_browser_name_the_model_and_its_revision() {
        for (address, name, revision) in [
            ("https://huggingface.co/owner/name", "owner/name", None),
            ("https://huggingface.co/owner/name/", "owner/name", None),
            ("https://hf.co/owner/name?library=x", "owner/name", None),
            ("https://huggingface.co/owner/name/tree/main", "owner/name", Some("main")),
            ("https://huggingface.co/owner/name/tree/refs/pr/3", "owner/name", Some("refs/pr/3")),
            ("https://huggingface.co/o/n/blob/main/sub/x-Q4_K_M.gguf", "o/n:sub/x-Q4_K_M.gguf", Some("main")),
            ("https://huggingface.co/o/n/resolve/v1/config.json?download=true", "o/n", Some("v1")),
            ("owner/name", "owner/name", None),
            ("owner/name:Q8_0", "owner/name:Q8_0", None),
            ("gpt2", "openai-community/gpt2", None),
            ("some/folder/below", "some/folder/below", None),
        ] {
            assert_eq!(unaddressed(address), (name.to_owned(), revision.map(str::to_owned)), "{address}");
        }
    }

    #[test]
    fn a_folder_of_the_cache_stands_for_its_commit() {
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("models--o--n");
        let commit = |name: &str| folder.join("snapshots").join(name);
        std::fs::create_dir_all(folder.join("snapshots")).expect("a folder");
        assert!(snapshot(folder.clone()).is_err());
        std::fs::create_dir_all(commit("a")).expect("a folder");
        assert_eq!(snapshot(folder.clone()).expect("one"), commit("a"));
        std::fs::create_dir_all(commit("b")).expect("a folder");
        assert!(snapshot(folder.clone()).is_err());
        std::fs::create_dir_all(folder.join("refs")).expect("a folder");
        std::fs::write(folder.join("refs/main"), "b\n").expect("written");
        assert_eq!(snapshot(folder.clone()).expect("one"), commit("b"));
        assert_eq!(snapshot(commit("a")).expect("itself"), commit("a"));
    }
}
