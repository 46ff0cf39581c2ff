//! Questions with an answer that matches a behaviour and one that does not, as in model-written
//! evaluations: preference `matching`.

use serde_json::{Map, Value};

use super::fields::text;
use super::{Context, Draft, pairs};
use crate::error::Diagnostic;
use crate::input::item::Prompt;

/// Default name of the preference.
const VALUE: &str = "matching";

pub(super) fn read(row: &Map<String, Value>, context: &mut Context) -> Result<Draft, Diagnostic> {
    let prompt = Prompt::Text(text(row, "question")?.to_owned());
    let matching = text(row, "answer_matching_behavior")?.to_owned();
    let other = text(row, "answer_not_matching_behavior")?.to_owned();
    Ok(pairs::draft(prompt, matching, other, context.value_name.unwrap_or(VALUE)))
}
