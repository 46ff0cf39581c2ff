//! One side of a verification: sampled replies, as a file of items.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Diagnostic, Kind, Place, Result};
use crate::input::{Items, ReadOptions, read_items};
use crate::source;

/// Replies of a policy.
pub struct Side {
    /// The file.
    pub file: PathBuf,
    /// The replies as items.
    pub items: Items,
    /// log P of each reply under the policy that gave it, and its number of tokens, by item and response.
    pub log_probs: BTreeMap<(usize, usize), (f64, usize)>,
    /// Whether all replies are samples of the model's own distribution.
    pub own: bool,
    /// Values whose labels compare responses to one prompt only.
    pub relative: Vec<String>,
    /// By value, the model whose judgments its labels are.
    pub labeller: BTreeMap<String, String>,
}

/// The rows of a file that are JSON.
fn rows(file: &Path) -> Result<Vec<Value>> {
    let text = source::read_text(file, source::LARGE)?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

impl Side {
    /// Reads a file of samples, and the file with the labels of these samples, which may be the same.
    ///
    /// # Errors
    /// Errors of [`read_items`].
    pub fn read(file: &Path, labelled: &Path) -> Result<Self> {
        let items = read_items(&[labelled.to_owned()], &ReadOptions::default())?;
        let index: BTreeMap<&str, usize> =
            items.items.iter().enumerate().map(|(i, item)| (item.id.as_str(), i)).collect();
        let mut log_probs = BTreeMap::new();
        let (mut own, mut relative, mut labeller) = (true, Vec::new(), BTreeMap::new());
        for row in rows(labelled)? {
            if let Some(value) = row["labelled"]["value"].as_str() {
                let model = row["labelled"]["model"].as_str().unwrap_or("a model");
                labeller.insert(value.to_owned(), model.to_owned());
                if row["labelled"]["mode"] == "pairwise" && !relative.iter().any(|v| v == value) {
                    relative.push(value.to_owned());
                }
            }
        }
        for row in rows(file)? {
            let sampled = &row["sampled"];
            own &= sampled["temperature"] == 1.0 && sampled["top_p"] == 1.0 && sampled["top_k"].is_null();
            own &= sampled["stop"].is_null();
            let Some(&item) = row["id"].as_str().and_then(|id| index.get(id)) else { continue };
            for (r, response) in row["responses"].as_array().into_iter().flatten().enumerate() {
                if let (Some(log_prob), Some(tokens)) =
                    (response["logprob"].as_f64(), response["tokens"].as_u64())
                {
                    log_probs.insert((item, r), (log_prob, tokens as usize));
                }
            }
        }
        Ok(Self { file: file.to_owned(), items, log_probs, own, relative, labeller })
    }

    /// Pairs of items (here, there) with the same id.
    ///
    /// # Errors
    /// [`Kind::RunConflict`] for an id with two prompts, or without any common id.
    pub fn matched(&self, other: &Self) -> Result<Vec<(usize, usize)>> {
        let theirs: BTreeMap<&str, usize> =
            other.items.items.iter().enumerate().map(|(i, item)| (item.id.as_str(), i)).collect();
        let mut pairs = Vec::new();
        for (i, item) in self.items.items.iter().enumerate() {
            let Some(&j) = theirs.get(item.id.as_str()) else { continue };
            if other.items.items[j].prompt.messages() != item.prompt.messages() {
                return Err(Diagnostic::new(
                    Kind::RunConflict,
                    "the same id has another prompt on each side",
                )
                .at(other.items.items[j].place.clone())
                .expected("replies to the same prompts")
                .remedy("sample both sides from the same file of prompts")
                .into());
            }
            pairs.push((i, j));
        }
        if pairs.is_empty() {
            return Err(Diagnostic::new(Kind::RunConflict, "the two sides share no prompt")
                .at(Place::file(&other.file))
                .expected(format!("ids of {}", self.file.display()))
                .remedy("sample both sides from the same file of prompts")
                .into());
        }
        Ok(pairs)
    }
}
