//! A chosen and a rejected response: `{"chosen", "rejected"}` as whole conversations (transcripts as in
//! HH-RLHF, or message lists), or beside a `prompt`.

use serde_json::{Map, Value};

use super::fields::{get, text, wrong_type};
use super::{Context, Draft, messages, transcript};
use crate::error::{Diagnostic, Kind};
use crate::input::item::{Message, Preference, Prompt, Response, Role};

/// Name of the preference where the user gives none.
const VALUE: &str = "preferred";

pub(super) fn read(row: &Map<String, Value>, context: &mut Context) -> Result<Draft, Diagnostic> {
    let (prompt, chosen, rejected) = match (get(row, "chosen"), get(row, "rejected")) {
        (Some(Value::Array(chosen)), Some(Value::Array(rejected))) => {
            of_messages(row, &messages::parse("chosen", chosen)?, &messages::parse("rejected", rejected)?)?
        }
        _ => of_texts(row, text(row, "chosen")?, text(row, "rejected")?, context)?,
    };
    Ok(draft(prompt, chosen, rejected, context.value_name.unwrap_or(VALUE)))
}

/// A draft in which the first response is preferred to the second.
pub(super) fn draft(prompt: Prompt, better: String, worse: String, value: &str) -> Draft {
    let response = |text| Response { text, values: Default::default() };
    Draft {
        prompt,
        responses: vec![response(better), response(worse)],
        preferences: vec![Preference { value: value.to_owned(), better: 0, worse: 1 }],
        group: None,
    }
}

type Parts = (Prompt, String, String);

fn of_texts(
    row: &Map<String, Value>,
    chosen: &str,
    rejected: &str,
    context: &mut Context,
) -> Result<Parts, Diagnostic> {
    let prompt = match get(row, "prompt") {
        None => {
            let split = transcript::split(chosen, rejected)?;
            remark(&split, context);
            return Ok((split.prompt, split.chosen, split.rejected));
        }
        Some(Value::String(prompt)) => prompt,
        Some(Value::Array(list)) => {
            let messages = messages::parse("prompt", list)?;
            messages::check_prompt("prompt", &messages)?;
            return Ok((Prompt::Messages(messages), chosen.to_owned(), rejected.to_owned()));
        }
        Some(other) => return Err(wrong_type("prompt", "a text or a list of messages", other)),
    };
    let Some(messages) = transcript::head_messages(prompt) else {
        return Ok((Prompt::Text(prompt.clone()), chosen.to_owned(), rejected.to_owned()));
    };
    // Some publish the head of the transcript beside the whole transcripts.
    if chosen.starts_with(prompt.as_str()) && rejected.starts_with(prompt.as_str()) {
        let split = transcript::split(chosen, rejected)?;
        remark(&split, context);
        return Ok((split.prompt, split.chosen, split.rejected));
    }
    let (space, chosen, rejected) = transcript::common_space(chosen, rejected);
    let text = format!("{prompt}{space}");
    Ok((Prompt::Transcript { text, messages }, chosen.to_owned(), rejected.to_owned()))
}

/// Remarks on responses that are more than one turn: what is measured of them is not one answer.
fn remark(split: &transcript::Split, context: &mut Context) {
    let whose = if split.human_turns { "the human and the assistant" } else { "the assistant" };
    if split.several_turns {
        let what = format!(
            "whose response runs over several turns of {whose}, because the transcripts part before the last one"
        );
        context.notes.add(what, context.place);
    }
}

fn of_messages(
    row: &Map<String, Value>,
    chosen: &[Message],
    rejected: &[Message],
) -> Result<Parts, Diagnostic> {
    let (head, better) = answer("chosen", chosen)?;
    let (other, worse) = answer("rejected", rejected)?;
    if head != other {
        return Err(Diagnostic::new(Kind::Invalid, "the conversations differ before the last answer")
            .expected("`chosen` and `rejected` with the same messages up to the assistant's last one")
            .found(format!("{} and {} messages before it", head.len(), other.len()))
            .remedy("split the row where the conversations part"));
    }
    let given = match get(row, "prompt") {
        None => None,
        Some(Value::String(prompt)) => Some(vec![Message { role: Role::User, content: prompt.clone() }]),
        Some(Value::Array(list)) => Some(messages::parse("prompt", list)?),
        Some(other) => return Err(wrong_type("prompt", "a text or a list of messages", other)),
    };
    let prompt = match given {
        Some(prompt) if head.is_empty() => prompt,
        // Where the conversation is longer than the prompt, the prompt has to be its end.
        Some(prompt) if !head.ends_with(&prompt) => {
            return Err(Diagnostic::new(
                Kind::Invalid,
                "`prompt` is not what `chosen` and `rejected` answer",
            )
            .expected("the messages before the assistant's last one to end with `prompt`")
            .remedy("drop `prompt`, or the messages before the answers"));
        }
        _ => head.to_vec(),
    };
    messages::check_prompt("prompt", &prompt)?;
    Ok((Prompt::Messages(prompt), better.to_owned(), worse.to_owned()))
}

/// The assistant's last message, and what stands before it.
fn answer<'m>(key: &str, messages: &'m [Message]) -> Result<(&'m [Message], &'m str), Diagnostic> {
    match messages.split_last() {
        Some((last, head)) if last.role == Role::Assistant => Ok((head, &last.content)),
        last => {
            Err(Diagnostic::new(Kind::Invalid, format!("`{key}` does not end with the assistant's message"))
                .expected("a list of messages whose last one is the response")
                .found(
                    last.map_or("an empty list".to_owned(), |(m, _)| {
                        format!("`{}` as the last role", m.role)
                    }),
                ))
        }
    }
}
