//! A chosen and a rejected response: `{"chosen", "rejected"}` as whole conversations (transcripts as in HH-RLHF, or
//! message lists), or together with a prompt; or two texts with a common beginning.

use serde_json::{Map, Value};

use super::fields::{get, has, text};
use super::{Context, Draft, messages, question, transcript};
use crate::error::{Diagnostic, Kind};
use crate::input::item::{Message, Preference, Prompt, Response, Role};

/// Default name of the preference.
pub(super) const NAME: &str = "preferred";

pub(super) fn read(row: &Map<String, Value>, context: &mut Context) -> Result<Draft, Diagnostic> {
    let side = |key: &str| messages::of(key, get(row, key).unwrap_or(&Value::Null));
    let (prompt, chosen, rejected) = match (side("chosen")?, side("rejected")?) {
        (Some(chosen), Some(rejected)) => of_messages(row, &chosen, &rejected)?,
        _ => of_texts(row, text(row, "chosen")?, text(row, "rejected")?, context)?,
    };
    Ok(draft(prompt, chosen, rejected, context.value_name.unwrap_or(NAME)))
}

/// A draft in which the first response is preferred to the second.
pub(super) fn draft(prompt: Prompt, better: String, worse: String, value: &str) -> Draft {
    let response = |text| Response { text, values: Default::default() };
    Draft {
        prompt,
        responses: vec![response(better), response(worse)],
        preferences: vec![Preference { value: value.to_owned(), better: 0, worse: 1 }],
        group: None,
        joins: false,
    }
}

type Parts = (Prompt, String, String);

fn of_texts(
    row: &Map<String, Value>,
    chosen: &str,
    rejected: &str,
    context: &mut Context,
) -> Result<Parts, Diagnostic> {
    if !question::is_asked(row) {
        if !transcript::is_one(chosen) && !transcript::is_one(rejected) {
            return common_prefix(row, chosen, rejected, context);
        }
        let split = transcript::split(chosen, rejected)?;
        remark(&split, context);
        return Ok((split.prompt, split.chosen, split.rejected));
    }
    let prompt = match question::read(row)? {
        Prompt::Text(prompt) => prompt,
        other => return Ok((other, chosen.to_owned(), rejected.to_owned())),
    };
    let Some(messages) = transcript::head_messages(&prompt) else {
        return Ok((Prompt::Text(prompt), chosen.to_owned(), rejected.to_owned()));
    };
    // Some data sets also publish the head of the transcript beside the whole transcripts.
    if chosen.starts_with(prompt.as_str()) && rejected.starts_with(prompt.as_str()) {
        let split = transcript::split(chosen, rejected)?;
        remark(&split, context);
        return Ok((split.prompt, split.chosen, split.rejected));
    }
    let (space, chosen, rejected) = transcript::common_space(chosen, rejected);
    let text = format!("{prompt}{space}");
    Ok((Prompt::Transcript { text, messages }, chosen.to_owned(), rejected.to_owned()))
}

/// Splits two texts without a prompt: their common prefix is the prompt, without the space before the response, as in
/// TRL's `extract_prompt`.
fn common_prefix(
    row: &Map<String, Value>,
    chosen: &str,
    rejected: &str,
    context: &mut Context,
) -> Result<Parts, Diagnostic> {
    let alike: usize =
        chosen.chars().zip(rejected.chars()).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum();
    let head = &chosen[..alike];
    let head = head.strip_suffix(' ').unwrap_or(head);
    if head.trim().is_empty() || alike == chosen.len() || alike == rejected.len() {
        return Err(Diagnostic::new(Kind::Invalid, "there is no prompt")
            .expected(
                "a prompt in a field of its own, transcripts with `\\n\\nHuman:` and `\\n\\nAssistant:`, or two texts that \
                 begin alike and then differ",
            )
            .found(if head.trim().is_empty() {
                format!("texts that differ from the first word on, and the keys {}", super::fields::keys(row))
            } else {
                "one text that is the beginning of the other".to_owned()
            })
            .remedy("give the prompt in a field `prompt`, and only the responses here"));
    }
    context.notes.add(
        "without a prompt: what both texts begin with is taken for it (`--template none` reads them as they stand)"
            .to_owned(),
        context.place,
    );
    Ok((Prompt::Text(head.to_owned()), chosen[head.len()..].to_owned(), rejected[head.len()..].to_owned()))
}

/// Warns about responses of more than one turn: measurements of them do not describe a single answer.
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
    let (head, better, worse) = messages::answers(("chosen", chosen), ("rejected", rejected))?;
    let key = question::key_of(row).unwrap_or("chosen");
    // `messages` beside whole conversations duplicates one of them.
    let repeats = key == "messages" && !head.is_empty();
    let given = if has(row, key) && key != "chosen" && !repeats {
        Some(question::read(row)?.messages())
    } else {
        None
    };
    let prompt = match given {
        Some(prompt) if head.is_empty() => prompt,
        // If the conversation is longer than the prompt, it must end with the prompt.
        Some(prompt) if !head.ends_with(&prompt) => {
            return Err(Diagnostic::new(
                Kind::Invalid,
                format!("`{key}` is not what `chosen` and `rejected` answer"),
            )
            .expected(format!("the messages before the assistant's last one to end with `{key}`"))
            .remedy(format!("drop `{key}`, or the messages before the answers")));
        }
        _ if head.first().is_some_and(|m| m.role == Role::System) => head.to_vec(),
        _ => question::conversation(key, row, head.to_vec())?.messages(),
    };
    messages::check_prompt(key, &prompt)?;
    Ok((Prompt::Messages(prompt), better.to_owned(), worse.to_owned()))
}
