//! ⟨h_t, v⟩ of every token of the listed responses, and the judge's choices among them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units::Layer;

/// Name of the table in the report.
pub const TABLE: &str = "token_readings";

/// Tokens of listed responses, projected onto directions at one layer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Readings {
    /// The layer.
    pub layer: Layer,
    /// One entry per response, even if it is listed for several values.
    pub responses: Vec<Response>,
}

/// A response, token by token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Id of the item.
    pub item: String,
    /// Index of the response in the item.
    pub response: usize,
    /// The prompt: the last user's message.
    pub prompt: String,
    /// First tokens of the response as pieces of text, `[T]`.
    pub pieces: Vec<String>,
    /// Number of further tokens not shown.
    pub left_out: usize,
    /// By name of direction v: ⟨h_t, v⟩ minus the mean of ⟨h, v⟩ over the prompt's responses, in the unit of v's
    /// label, `[T]`. Under mean pooling, their average over all tokens of a response equals the response's score
    /// along the exported direction. That direction is fitted on all responses, this one included.
    pub scores: BTreeMap<String, Vec<f64>>,
    /// Forced choices involving the response.
    pub choices: Vec<Choice>,
}

/// A forced choice between this response and another one of the prompt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The constitution.
    pub constitution: String,
    /// Index of the other response.
    pub against: usize,
    /// Log-odds (nats) for this response when shown first; absent where that order was not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<f64>,
    /// Log-odds (nats) for this response when shown second; absent where that order was not judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<f64>,
}

impl Readings {
    /// The response with this index in the item.
    pub fn of(&self, item: &str, response: usize) -> Option<&Response> {
        self.responses.iter().find(|r| r.item == item && r.response == response)
    }
}
