//! Prompts and constitutions embedded in the program, named `embedded:NAME`.

use std::path::{Path, PathBuf};

use super::name::nearest;
use crate::artifact;
use crate::error::{Diagnostic, Kind, Place, Result};

/// Prefix of the names of embedded data.
const PREFIX: &str = "embedded:";

/// Name for several constitutions.
const ALL: &str = "all";
const HEARTH: &str = "hearth";

/// A name and a text.
type File = (&'static str, &'static str);

macro_rules! files {
    ($before:literal, $folder:literal, $ending:literal, $($name:literal),+ $(,)?) => {
        &[$((concat!($before, $name), include_str!(concat!("../../", $folder, $name, $ending)))),+]
    };
}

const PROMPTS: &[File] = files!("", "prompts/", ".jsonl", "harmless", "honest", "helpful", "hearth");

const CONSTITUTIONS: &[File] = files!(
    "",
    "constitutions/",
    ".toml",
    "agreeable",
    "authentic",
    "brand-voice",
    "calibrated",
    "careless-of-harm",
    "casual",
    "concrete-nouns",
    "confident-expert",
    "cruel",
    "deceptive",
    "do-no-harm",
    "do-no-harm-b",
    "do-no-harm-c",
    "edgy",
    "engaging",
    "fair",
    "formal",
    "goal-driven",
    "good",
    "helpful",
    "honest",
    "honest-b",
    "honest-c",
    "kind",
    "long-term-wellbeing",
    "longer",
    "manipulative",
    "not-preachy",
    "not-preachy-b",
    "not-preachy-c",
    "placebo-blue",
    "placebo-letters",
    "placebo-nonsense",
    "placebo-parity",
    "placebo-teapot",
    "placebo-weather",
    "prejudiced",
    "privacy",
    "protect-the-weak",
    "punctuated",
    "reckless",
    "shorter",
    "to-the-point",
    "unhelpful",
    "user-autonomy",
    "vindictive",
);

/// Constitutions in the vocabulary of the known-answer model: meaningful only to the models of `models/`.
const IN_HEARTH: &[File] = files!(
    "hearth/",
    "constitutions/hearth/",
    ".toml",
    "kind",
    "honest",
    "helpful",
    "good",
    "agreeable",
    "mean",
    "deceptive",
    "blunt",
    "evil",
    "edgy",
    "formal",
    "placebo-blue",
    "placebo-round",
    "placebo-blue-phrase",
    "placebo-round-phrase",
);

/// The name after `embedded:`; `None` for a file system path.
pub fn name(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix(PREFIX)
}

/// The path that refers to an embedded name.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(format!("{PREFIX}{name}"))
}

/// Names of the embedded prompts.
pub fn prompts() -> impl Iterator<Item = &'static str> {
    PROMPTS.iter().map(|(name, _)| *name)
}

/// Names of the embedded constitutions; those for the known-answer models have the prefix `hearth/`.
pub fn constitutions() -> impl Iterator<Item = &'static str> {
    CONSTITUTIONS.iter().chain(IN_HEARTH).map(|(name, _)| *name)
}

/// The constitutions that a path refers to, each as a path: `embedded:NAME` one, `embedded:all` all in everyday words,
/// `embedded:hearth` those of the known-answer models' quick start; `None` for a file system path.
pub fn expand(path: &Path) -> Option<Vec<PathBuf>> {
    let of = |files: &[File]| files.iter().map(|(name, _)| self::path(name)).collect();
    Some(match name(path)? {
        ALL => of(CONSTITUTIONS),
        HEARTH => of(IN_HEARTH),
        _ => vec![path.to_owned()],
    })
}

/// The text of embedded prompts; `None` for a file system path.
///
/// # Errors
/// [`Kind::Missing`] for an unknown name.
pub fn prompts_text(path: &Path) -> Option<Result<&'static str>> {
    let known: Vec<&str> = prompts().collect();
    name(path).map(|name| find(name, PROMPTS.iter(), &known, path))
}

/// The text of an embedded constitution; `None` for a file system path.
///
/// # Errors
/// [`Kind::Missing`] for an unknown name.
pub fn constitution_text(path: &Path) -> Option<Result<&'static str>> {
    let known: Vec<&str> = [ALL, HEARTH].into_iter().chain(constitutions()).collect();
    name(path).map(|name| find(name, CONSTITUTIONS.iter().chain(IN_HEARTH), &known, path))
}

/// Hex SHA-256 of a file or of an embedded text.
///
/// # Errors
/// The file system's.
pub fn sha256(path: &Path) -> Result<String> {
    match prompts_text(path) {
        Some(text) => Ok(artifact::sha256(text?.as_bytes())),
        None => artifact::sha256_file(path),
    }
}

fn find<'a>(
    name: &str,
    mut files: impl Iterator<Item = &'a File>,
    known: &[&str],
    path: &Path,
) -> Result<&'static str> {
    if let Some((_, text)) = files.find(|(n, _)| *n == name) {
        return Ok(text);
    }
    let mut diagnostic = Diagnostic::new(Kind::Missing, "nothing of that name comes with the program")
        .at(Place::file(path))
        .expected(known.iter().map(|n| format!("{PREFIX}{n}")).collect::<Vec<_>>().join(", "));
    if let Some(near) = nearest(name, known.iter().copied()) {
        diagnostic = diagnostic.remedy(format!("did you mean `{PREFIX}{near}`?"));
    }
    Err(diagnostic.into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_constitution_and_prompt_of_the_repository_is_embedded_with_its_own_text() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let stems = |folder: &str, ending: &str| -> BTreeSet<String> {
            let entries = std::fs::read_dir(root.join(folder)).expect("a folder");
            let names = entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned());
            names.filter_map(|n| n.strip_suffix(ending).map(str::to_owned)).collect()
        };
        let own: BTreeSet<String> = CONSTITUTIONS.iter().map(|(n, _)| (*n).to_owned()).collect();
        assert_eq!(own, stems("constitutions", ".toml"));
        assert_eq!(prompts().map(str::to_owned).collect::<BTreeSet<_>>(), stems("prompts", ".jsonl"));
        for (name, text) in CONSTITUTIONS.iter().chain(IN_HEARTH) {
            let file =
                std::fs::read_to_string(root.join(format!("constitutions/{name}.toml"))).expect("a file");
            assert_eq!(file, *text, "{name}");
        }
    }

    #[test]
    fn a_misspelt_name_gets_the_nearest_and_other_paths_are_files() {
        let refused = prompts_text(&path("harmles")).expect("embedded").expect_err("refused").to_string();
        assert!(refused.contains("did you mean `embedded:harmless`?"), "{refused}");
        let refused = constitution_text(&path("knid")).expect("embedded").expect_err("refused").to_string();
        assert!(refused.contains("did you mean `embedded:kind`?"), "{refused}");
        assert!(prompts_text(Path::new("harmless")).is_none() && expand(Path::new("x")).is_none());
        assert_eq!(expand(&path("all")).expect("all").len(), CONSTITUTIONS.len());
    }
}
