//! Two responses with numbered or lettered keys, and a column that says which is better: SHP, HelpSteer3, the arena's
//! battles.

use serde_json::{Map, Value};

use super::fields::{get, has, text, wrong_type};
use super::pairs::{NAME, draft};
use super::{Context, Draft, messages, question};
use crate::error::Diagnostic;
use crate::input::item::Prompt;

/// Which of the two is better.
enum Better {
    First,
    Second,
    Neither,
}

/// SHP: `history`, `human_ref_A`, `human_ref_B`, and `labels`, 1 where A is preferred.
pub(super) fn is_shp(row: &Map<String, Value>) -> bool {
    has(row, "history") && has(row, "human_ref_A") && has(row, "human_ref_B")
}

pub(super) fn read_shp(row: &Map<String, Value>, context: &mut Context) -> Result<Draft, Diagnostic> {
    let better = match get(row, "labels").map(|x| (x, x.as_i64())) {
        Some((_, Some(1))) => Better::First,
        Some((_, Some(0))) => Better::Second,
        Some((other, _)) => return Err(wrong_type("labels", "1 where A is preferred, 0 where B is", other)),
        None => Better::Neither,
    };
    let prompt = Prompt::Text(text(row, "history")?.to_owned());
    let (a, b) = (text(row, "human_ref_A")?.to_owned(), text(row, "human_ref_B")?.to_owned());
    Ok(pair(prompt, a, b, &better, "labels", context))
}

/// HelpSteer3: `context`, `response1`, `response2`, and `overall_preference` from −3 (the first is much better) to 3.
pub(super) fn is_rated(row: &Map<String, Value>) -> bool {
    question::is_asked(row) && has(row, "response1") && has(row, "response2")
}

pub(super) fn read_rated(row: &Map<String, Value>, context: &mut Context) -> Result<Draft, Diagnostic> {
    let better = match get(row, "overall_preference").map(|x| (x, x.as_f64())) {
        Some((_, Some(x))) if x < 0.0 => Better::First,
        Some((_, Some(x))) if x > 0.0 => Better::Second,
        Some((_, Some(_))) | None => Better::Neither,
        Some((other, None)) => return Err(wrong_type("overall_preference", "a number from -3 to 3", other)),
    };
    let (a, b) = (text(row, "response1")?.to_owned(), text(row, "response2")?.to_owned());
    Ok(pair(question::read(row)?, a, b, &better, "overall_preference", context))
}

/// Battles: `conversation_a`, `conversation_b`, and `winner`: `model_a`, `model_b` or a tie.
pub(super) fn is_battle(row: &Map<String, Value>) -> bool {
    has(row, "conversation_a") && has(row, "conversation_b")
}

pub(super) fn read_battle(row: &Map<String, Value>, context: &mut Context) -> Result<Draft, Diagnostic> {
    let side = |key: &str| messages::required(row, key, "a list of messages");
    let (a, b) = (side("conversation_a")?, side("conversation_b")?);
    let (head, first, second) = messages::answers(("conversation_a", &a), ("conversation_b", &b))?;
    let better = match get(row, "winner") {
        Some(Value::String(winner)) if winner == "model_a" => Better::First,
        Some(Value::String(winner)) if winner == "model_b" => Better::Second,
        Some(Value::String(winner)) if winner.starts_with("tie") => Better::Neither,
        None => Better::Neither,
        Some(other) => return Err(wrong_type("winner", "`model_a`, `model_b` or a tie", other)),
    };
    let prompt = question::conversation("conversation_a", row, head.to_vec())?;
    Ok(pair(prompt, first.to_owned(), second.to_owned(), &better, "winner", context))
}

fn pair(prompt: Prompt, a: String, b: String, better: &Better, key: &str, context: &mut Context) -> Draft {
    let name = context.value_name.unwrap_or(NAME);
    match better {
        Better::First => draft(prompt, a, b, name),
        Better::Second => draft(prompt, b, a, name),
        Better::Neither => {
            context.notes.add(format!("without a preference in `{key}`"), context.place);
            Draft { preferences: Vec::new(), ..draft(prompt, a, b, name) }
        }
    }
}
