//! ⟨h_t, v⟩ of every token of the listed responses, and the judge's choices about them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units::Layer;

/// Name of the table in the report.
pub const TABLE: &str = "token_readings";

/// Tokens of listed responses, projected on directions at one layer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Readings {
    /// The layer.
    pub layer: Layer,
    /// One entry a response; a response that is listed for several values has one.
    pub responses: Vec<Response>,
}

/// A response, token by token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Id of the item.
    pub item: String,
    /// Number of the response in the item.
    pub response: usize,
    /// The prompt: the last user's message.
    pub prompt: String,
    /// Its first tokens as pieces of text, `[T]`.
    pub pieces: Vec<String>,
    /// Tokens beyond these.
    pub left_out: usize,
    /// By the name of a direction v: ⟨h_t, v⟩ less the mean of ⟨h, v⟩ over the prompt's responses, in the unit of v's
    /// label, `[T]`. Over all tokens of a response pooled by its mean, they average to the response's own score by the
    /// exported direction. That direction is fitted on all responses, this one included.
    pub scores: BTreeMap<String, Vec<f64>>,
    /// Forced choices in which it took part.
    pub choices: Vec<Choice>,
}

/// A forced choice between this response and another one of the prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The constitution.
    pub constitution: String,
    /// Number of the other response.
    pub against: usize,
    /// Log-odds (nats) for this response where it stands first; absent where that order was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<f64>,
    /// The same where it stands second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<f64>,
}

impl Readings {
    /// The response of an item.
    pub fn of(&self, item: &str, response: usize) -> Option<&Response> {
        self.responses.iter().find(|r| r.item == item && r.response == response)
    }
}
