//! Prompts without responses, for differences in means.

use std::ops::ControlFlow;
use std::path::Path;

use super::container::for_each_row;
use super::formats::{self, Context, Notes};
use super::item::Prompt;
use crate::error::{Diagnostic, Kind, Place, Result};

/// A prompt and its location.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptRecord {
    /// The row's own id, or FILE-NUMBER.
    pub id: String,
    /// The prompt.
    pub prompt: Prompt,
    /// File and line.
    pub place: Place,
}

/// Reads the prompts of a file: rows of any item format, whose responses are ignored, or rows with only `prompt` or
/// `messages`. At most `limit` of them.
///
/// # Errors
/// With file and line: rows of unknown format, or without a prompt; [`Kind::Missing`] for a file without rows.
pub fn read_prompts(path: &Path, limit: Option<usize>) -> Result<Vec<PromptRecord>> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut notes = Notes::default();
    let mut out: Vec<PromptRecord> = Vec::new();
    for_each_row(path, &mut |row| {
        if limit.is_some_and(|most| out.len() >= most) {
            return Ok(ControlFlow::Break(()));
        }
        let place = Place::file(path).line(row.line);
        let at = |mut diagnostic: Diagnostic| {
            diagnostic.place = place.clone();
            diagnostic
        };
        let content = row.content.map_err(at)?;
        let mut context = Context { value_name: None, notes: &mut notes, place: &place };
        let prompt = formats::prompt(&content, &mut context).map_err(at)?;
        if prompt.plain_text().trim().is_empty() {
            return Err(at(Diagnostic::new(Kind::Invalid, "the prompt is empty")).into());
        }
        let id = formats::own_id(&content).unwrap_or_else(|| format!("{stem}-{}", row.number));
        out.push(PromptRecord { id, prompt, place });
        Ok(ControlFlow::Continue(()))
    })?;
    if out.is_empty() {
        return Err(Diagnostic::new(Kind::Missing, "no prompt in the file").at(Place::file(path)).into());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<PromptRecord>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("p.jsonl");
        std::fs::write(&path, text).expect("a file");
        read_prompts(&path, None)
    }

    #[test]
    fn prompts_are_read_with_and_without_responses() {
        let prompts = read(
            "{\"prompt\": \"one\"}\n{\"id\": \"b\", \"messages\": [{\"role\": \"user\", \"content\": \"two\"}]}\n\
             {\"prompt\": \"three\", \"responses\": [\"x\"]}\n",
        )
        .expect("prompts");
        let ids: Vec<&str> = prompts.iter().map(|p| p.id.as_str()).collect();
        assert_eq!(ids, ["p-1", "b", "p-3"]);
        assert_eq!(prompts[0].prompt, Prompt::Text("one".into()));
        assert_eq!(prompts[1].prompt.messages()[0].content, "two");
    }

    #[test]
    fn a_row_without_a_prompt_is_refused_with_its_line() {
        let refused = read("{\"prompt\": \"one\"}\n{\"text\": \"two\"}\n").expect_err("refused");
        assert!(refused.to_string().contains("p.jsonl:2"), "{refused}");
        assert_eq!(read("").expect_err("refused").kind(), Some(Kind::Missing));
    }
}
