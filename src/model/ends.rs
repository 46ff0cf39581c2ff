//! Tokens that end a generated text.

use std::path::Path;

use serde_json::Value;

use super::gguf::Metadata;
use super::tokenizer::read_text;
use crate::error::{Diagnostic, Kind, Place, Result};
use crate::json;

/// Keys of a GGUF file's metadata that name a token at which generation ends.
const KEYS: [&str; 3] =
    ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

/// Tokens that end a generated text, for a folder in Hugging Face layout: `eos_token_id` of `generation_config.json`,
/// or of `config.json` if the former has none; and the tokenizer's `eos`, since chat templates end a turn with it.
///
/// # Errors
/// `Malformed` for a `generation_config.json` that is not JSON, or with an `eos_token_id` that is no list of ids.
pub(super) fn of_folder(folder: &Path, config: &str, eos: Option<u32>) -> Result<Vec<u32>> {
    let path = folder.join("generation_config.json");
    let mut ends = match read_text(&path)? {
        Some(text) => {
            let read = json::parse(&text).map_err(|fault| {
                Diagnostic::new(Kind::Malformed, "not JSON").at(Place::file(&path)).found(fault.to_string())
            })?;
            ids(&read, &path)?
        }
        None => Vec::new(),
    };
    if ends.is_empty() {
        let path = folder.join("config.json");
        ends = json::parse(config).ok().map_or_else(|| Ok(Vec::new()), |read| ids(&read, &path))?;
    }
    Ok(distinct(ends.into_iter().chain(eos)))
}

/// Tokens that end a generated text, for a GGUF file: the ends of a text, of a turn and of a message, and the
/// tokenizer's `eos`.
///
/// # Errors
/// `Malformed` for an id that is no number.
pub(super) fn of_gguf(metadata: &Metadata, eos: Option<u32>) -> Result<Vec<u32>> {
    let named = KEYS.iter().map(|key| metadata.u64(key)).collect::<Result<Vec<_>>>()?;
    let named = named.into_iter().flatten().filter_map(|id| u32::try_from(id).ok());
    Ok(distinct(named.chain(eos)))
}

/// `eos_token_id`: an id, a list of ids, or nothing.
fn ids(read: &Value, path: &Path) -> Result<Vec<u32>> {
    let id = |v: &Value| v.as_u64().and_then(|id| u32::try_from(id).ok());
    let found = match read.get("eos_token_id") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(id).collect(),
        Some(one) => id(one).map(|id| vec![id]),
    };
    found.ok_or_else(|| {
        Diagnostic::new(Kind::Malformed, "`eos_token_id` is no token")
            .at(Place::file(path))
            .expected("an id or a list of ids")
            .found(read["eos_token_id"].to_string())
            .into()
    })
}

fn distinct(ids: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut ids: Vec<u32> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_config_is_read_before_the_config() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = r#"{"eos_token_id": 7}"#;
        assert_eq!(of_folder(folder.path(), config, None).expect("ids"), [7]);
        assert_eq!(of_folder(folder.path(), config, Some(3)).expect("ids"), [3, 7]);
        std::fs::write(folder.path().join("generation_config.json"), r#"{"eos_token_id": [9, 8, 9]}"#)
            .expect("written");
        assert_eq!(of_folder(folder.path(), config, Some(8)).expect("ids"), [8, 9]);
        std::fs::write(folder.path().join("generation_config.json"), r#"{"eos_token_id": "x"}"#)
            .expect("written");
        let refused = of_folder(folder.path(), config, None).expect_err("refused").to_string();
        assert!(refused.contains("generation_config.json") && refused.contains("\"x\""), "{refused}");
    }
}
