//! Two responses with safety labels, as in PKU-SafeRLHF: `prompt`, `response_0`, `response_1`, with
//! `is_response_*_safe` (value `safe`), `safer_response_id` and `better_response_id` (preferences `safer`
//! and `better`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::fields::{get, text, wrong_type};
use super::{Context, Draft};
use crate::error::Diagnostic;
use crate::input::item::{Preference, Prompt, Response};

pub(super) fn read(row: &Map<String, Value>, context: &mut Context) -> Result<Draft, Diagnostic> {
    let mut responses = Vec::with_capacity(2);
    for number in 0..2 {
        let key = format!("is_response_{number}_safe");
        let safe = match get(row, &key) {
            None => None,
            Some(Value::Bool(safe)) => Some(f64::from(u8::from(*safe))),
            Some(other) => match other.as_u64() {
                Some(bit @ 0..=1) => Some(if bit == 1 { 1.0 } else { 0.0 }),
                _ => return Err(wrong_type(&key, "true or false", other)),
            },
        };
        let values: BTreeMap<_, _> = safe.map(|s| ("safe".to_owned(), s)).into_iter().collect();
        responses.push(Response { text: text(row, &format!("response_{number}"))?.to_owned(), values });
    }
    let mut preferences = Vec::new();
    for (key, value) in [("safer_response_id", "safer"), ("better_response_id", "better")] {
        match get(row, key) {
            None => {}
            Some(id) => match id.as_i64() {
                Some(0) => preferences.push(Preference { value: value.to_owned(), better: 0, worse: 1 }),
                Some(1) => preferences.push(Preference { value: value.to_owned(), better: 1, worse: 0 }),
                // −1 means "neither".
                Some(-1) => {
                    context.notes.add(format!("without a preference in `{key}` (−1)"), context.place);
                }
                _ => return Err(wrong_type(key, "0 or 1, or −1 for neither", id)),
            },
        }
    }
    let prompt = Prompt::Text(text(row, "prompt")?.to_owned());
    Ok(Draft { prompt, responses, preferences, group: None, joins: false })
}
