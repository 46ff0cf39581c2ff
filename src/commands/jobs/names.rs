//! Names and paths in scripts, and the frozen experiments that they run.

use std::path::{Path, PathBuf};

use crate::artifact;
use crate::config::{Cell, Sweep};
use crate::error::{Error, Result};

/// Name of the folder of scripts inside a sweep's folder.
pub const FOLDER: &str = "jobs";

/// A path as one word of a shell.
pub fn word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// A name of lower-case letters, digits and hyphens, as schedulers and Kubernetes take it.
pub fn label(name: &str, longest: usize) -> String {
    let text: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .collect();
    let cut: String = text.trim_matches('-').chars().take(longest).collect();
    match cut.trim_matches('-') {
        "" => "cell".to_owned(),
        name => name.to_owned(),
    }
}

/// An absolute path.
///
/// # Errors
/// The system's, if the current folder is unknown.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| Error::io("resolve", path, e))
}

/// A cell for a scheduler.
pub struct Task {
    /// Name of the cell.
    pub name: String,
    /// Its experiment, as it was when the scripts were written.
    pub experiment: PathBuf,
    /// Its folder.
    pub out: PathBuf,
}

/// Writes the experiments of all cells as they are now into the folder of scripts: a file that is changed while jobs
/// wait changes nothing. Returns the folder and the cells.
///
/// # Errors
/// The file system's.
pub fn freeze(sweep: &Sweep) -> Result<(PathBuf, Vec<Task>)> {
    let folder = absolute(&sweep.out)?.join(FOLDER);
    let task = |cell: &Cell| {
        let experiment = folder.join(format!("{}.toml", cell.name));
        artifact::write_bytes(&experiment, cell.experiment.to_toml()?.as_bytes())?;
        Ok(Task { name: cell.name.clone(), experiment, out: absolute(&cell.experiment.out)? })
    };
    let tasks = sweep.cells.iter().map(task).collect::<Result<_>>()?;
    Ok((folder, tasks))
}

/// This program.
///
/// # Errors
/// The system's, if its path is unknown.
pub fn program(given: Option<&PathBuf>) -> Result<PathBuf> {
    match given {
        Some(path) => Ok(path.clone()),
        None => std::env::current_exe().map_err(|e| Error::io("find", "the program", e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_whatever_is_in_it() {
        assert_eq!(word(Path::new("/a/b-1.toml")), "/a/b-1.toml");
        assert_eq!(word(Path::new("/a b/$(c)")), "'/a b/$(c)'");
        assert_eq!(word(Path::new("it's")), r"'it'\''s'");
    }

    #[test]
    fn names_are_such_as_schedulers_take() {
        assert_eq!(label("SmolLM2_135M-bf16.Q4_K", 40), "smollm2-135m-bf16-q4-k");
        assert_eq!(label("--", 9), "cell");
        assert_eq!(label("abc-def", 4), "abc");
    }
}
