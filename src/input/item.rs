//! Items: a prompt with its responses, labels and preferences.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::error::{Diagnostic, Place};

/// Author of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions that precede the conversation.
    System,
    /// The user.
    User,
    /// The model.
    Assistant,
    /// Output of a tool that the model called.
    Tool,
}

impl Role {
    /// The role's name in chat templates.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    /// Parses a role's name, as in chat templates or published data.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "system" | "developer" => Self::System,
            "user" | "human" | "prompter" => Self::User,
            "assistant" | "gpt" | "model" | "bot" | "chatgpt" | "function_call" => Self::Assistant,
            "tool" | "function" | "function_response" | "observation" | "ipython" => Self::Tool,
            _ => return None,
        })
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Message {
    /// Author of the message.
    pub role: Role,
    /// Text of the message.
    pub content: String,
    /// Additional keys of the message that chat templates read, such as `tool_calls` and `reasoning_content`.
    pub extra: Map<String, Value>,
}

impl Message {
    /// A message with only a role and content.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), extra: Map::new() }
    }
}

/// What the model reads before the response.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Prompt {
    /// A text. In a chat it becomes one user message.
    Text(String),
    /// A conversation whose next turn is the assistant's.
    Messages(Vec<Message>),
    /// The head of a transcript as in HH-RLHF, kept byte for byte.
    Transcript {
        /// Everything before the response, including the white space after the last `Assistant:`: text and response
        /// concatenate to the transcript in the file.
        text: String,
        /// The same as a conversation: contents trimmed, without the turn of the response.
        messages: Vec<Message>,
    },
}

impl Prompt {
    /// The text before the response if no template is used (`--template none`): a text and a transcript unchanged,
    /// messages as `\n\nHuman: …\n\nAssistant: …`, ending in `\n\nAssistant: `, with the system message as the head.
    pub fn plain_text(&self) -> String {
        match self {
            Self::Text(text) | Self::Transcript { text, .. } => text.clone(),
            Self::Messages(messages) => {
                let mut text = String::new();
                for message in messages {
                    text.push_str(match message.role {
                        Role::System => "",
                        Role::User => "\n\nHuman: ",
                        Role::Assistant => "\n\nAssistant: ",
                        Role::Tool => "\n\nTool: ",
                    });
                    text.push_str(&message.content);
                    if let Some(calls) = message.extra.get("tool_calls") {
                        text.push_str(&calls.to_string());
                    }
                }
                text.push_str("\n\nAssistant: ");
                text
            }
        }
    }

    /// The conversation before the response; a text becomes one user message.
    pub fn messages(&self) -> Vec<Message> {
        match self {
            Self::Text(text) => vec![Message::new(Role::User, text.clone())],
            Self::Messages(messages) | Self::Transcript { messages, .. } => messages.clone(),
        }
    }
}

/// One response and its labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// The text, byte for byte.
    pub text: String,
    /// Labels by value name: finite, larger is better. A value without a label is absent.
    pub values: BTreeMap<String, f64>,
}

/// For one value, a response that is better than another of the same item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preference {
    /// Name of the value.
    pub value: String,
    /// Index of the better response in the item.
    pub better: usize,
    /// Index of the worse response in the item.
    pub worse: usize,
}

/// A prompt with its responses.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Unique over all files.
    pub id: String,
    /// The prompt.
    pub prompt: Prompt,
    /// At least one response; none is empty.
    pub responses: Vec<Response>,
    /// Preferences between the responses: indices in range, never between a response and itself or an equal text.
    pub preferences: Vec<Preference>,
    /// Rows with the same group are never split across folds.
    pub group: Option<String>,
    /// Location of the row: line, or row number in a parquet file, counted from 1.
    pub place: Place,
}

/// The items of all files, in order, with warnings and skipped rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Items {
    /// Items in the order of the files, then of the rows.
    pub items: Vec<Item>,
    /// Rows skipped at the caller's request (`--skip-bad`), each with the reason.
    pub skipped: Vec<Diagnostic>,
    /// Warnings for the user, one sentence each: unknown keys, unusual rows.
    pub notes: Vec<String>,
    /// The files read, as named by the user, each with the hex SHA-256 of its bytes on disk.
    pub files: Vec<(PathBuf, String)>,
}

impl Items {
    /// Number of responses in all items.
    pub fn response_count(&self) -> usize {
        self.items.iter().map(|item| item.responses.len()).sum()
    }

    /// Names of all values with a label or a preference, sorted.
    pub fn value_names(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        for item in &self.items {
            names.extend(item.responses.iter().flat_map(|r| r.values.keys()).map(String::as_str));
            names.extend(item.preferences.iter().map(|p| p.value.as_str()));
        }
        names
    }

    /// Prompt number of each item: items with equal prompts share one; counted from 0 in order of appearance.
    /// Within-prompt contrasts are computed within these.
    ///
    /// # Panics
    /// Only for 2³¹ items or more.
    pub fn prompt_numbers(&self) -> Vec<i32> {
        number(self.items.iter().map(|item| &item.prompt))
    }

    /// Index of each item's first response, with responses numbered over all items.
    pub fn first_responses(&self) -> Vec<usize> {
        let mut next = 0;
        let number = |item: &Item| {
            let first = next;
            next += item.responses.len();
            first
        };
        self.items.iter().map(number).collect()
    }

    /// Group number of each item: that of its `group` if it has one, otherwise shared by the items with an equal prompt
    /// and no `group`; counted from 0 in order of appearance.
    ///
    /// # Panics
    /// Only for 2³¹ items or more.
    pub fn groups(&self) -> Vec<i32> {
        number(self.items.iter().map(|item| match &item.group {
            Some(group) => Ok(group),
            None => Err(&item.prompt),
        }))
    }
}

/// Numbers the keys, equal keys alike, from 0 in order of appearance.
pub(super) fn number<K: std::hash::Hash + Eq>(keys: impl Iterator<Item = K>) -> Vec<i32> {
    let mut seen = HashMap::new();
    keys.map(|key| {
        let next = i32::try_from(seen.len()).expect("fewer than 2³¹ items fit in memory");
        *seen.entry(key).or_insert(next)
    })
    .collect()
}
