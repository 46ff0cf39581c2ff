//! The quick start: an experiment on the known-answer model, with inputs embedded in the binary.

use std::path::{Path, PathBuf};

use crate::artifact;
use crate::error::Result;
use crate::organism::export::constitutions;

/// Folder of the quick start's files, relative to the current folder.
pub const FOLDER: &str = "hearth";

const PROMPTS: &str = include_str!("../../prompts/hearth.jsonl");

/// Uses constitutions of every family, and four placebos, so that their spread is a null.
const EXPERIMENT: &str = r#"# The quick start. Hearth is a tiny model of a made-up world whose true values are a program, so that what the
# report says can be compared with what is so. Change what you like; `vstar run hearth/quick.toml` runs it again.
out = "runs/hearth"

[model]
embedded = "hearth"

[data]
files = ["prompts.jsonl"]

[constitutions]
files = ["constitutions"]
only = [
    "kind", "honest", "helpful", "good", "agreeable", "mean", "deceptive", "blunt", "evil", "edgy", "formal",
    "placebo-blue", "placebo-round", "placebo-blue-phrase", "placebo-round-phrase",
]
"#;

/// Writes prompts, constitutions and experiment to a folder and returns the experiment's path. Existing files are kept:
/// they may have been edited.
///
/// # Errors
/// Errors of the file system.
pub fn unpack(folder: &Path) -> Result<PathBuf> {
    artifact::create_folder(folder)?;
    let put = |name: &str, text: &str| -> Result<()> {
        let path = folder.join(name);
        if path.exists() { Ok(()) } else { artifact::write_bytes(&path, text.as_bytes()) }
    };
    put("prompts.jsonl", PROMPTS)?;
    let rules = folder.join("constitutions");
    artifact::create_folder(&rules)?;
    for folder in [folder, &rules] {
        artifact::clear_dead_writes(folder);
    }
    for (name, text) in constitutions() {
        put(&format!("constitutions/{name}"), &text)?;
    }
    put("quick.toml", EXPERIMENT)?;
    Ok(folder.join("quick.toml"))
}
