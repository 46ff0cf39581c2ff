//! Items: a prompt, its responses, and what is known about them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::error::{Diagnostic, Place};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// The frame that stands before the conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// What a tool that the model called gave back.
    Tool,
}

impl Role {
    /// The name that chat templates use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }

    /// The role of that name: as chat templates use it, or as published data do.
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
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// Further keys of the message that chat templates read, such as `tool_calls` and `reasoning_content`.
    pub extra: Map<String, Value>,
}

impl Message {
    /// A message of nothing but its content.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), extra: Map::new() }
    }
}

/// What the model reads before the response.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Prompt {
    /// A text. In a chat it is one message of the user.
    Text(String),
    /// A conversation whose next turn is the assistant's.
    Messages(Vec<Message>),
    /// The head of a transcript in the manner of HH-RLHF, kept byte for byte.
    Transcript {
        /// Everything before the response, with the white space after the last `Assistant:`: text and
        /// response together are the transcript as it stood in the file.
        text: String,
        /// The same as a conversation: contents trimmed, without the turn that the response fills.
        messages: Vec<Message>,
    },
}

impl Prompt {
    /// The text before the response where no template is used (`--template none`): a text and a
    /// transcript as they are, messages as `\n\nHuman: …\n\nAssistant: …`, ending in
    /// `\n\nAssistant: `, with the system's message as the head.
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

    /// The conversation before the response; a text is one message of the user.
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
    /// Labels by the value's name: finite, larger is better. A value without a label is absent.
    pub values: BTreeMap<String, f64>,
}

/// For one value, one response is better than another of the same item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preference {
    /// The value's name.
    pub value: String,
    /// Number of the better response, counted from 0.
    pub better: usize,
    /// Number of the worse response, counted from 0.
    pub worse: usize,
}

/// A prompt with its responses.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Unique over all files.
    pub id: String,
    /// What comes before the response.
    pub prompt: Prompt,
    /// At least one; none is empty.
    pub responses: Vec<Response>,
    /// Between the responses: in range, never of a response over itself or over the same text.
    pub preferences: Vec<Preference>,
    /// Joins rows that must never be split across folds.
    pub group: Option<String>,
    /// Where it was read: the line, or the row of a parquet file, counted from 1.
    pub place: Place,
}

/// The items of all files, in order, and what was noticed on the way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Items {
    /// In the order of the files, then of the rows.
    pub items: Vec<Item>,
    /// Rows left out because the caller asked for it (`--skip-bad`), each with the reason.
    pub skipped: Vec<Diagnostic>,
    /// Remarks for the user, one sentence each: unknown keys, rows read in an unusual way.
    pub notes: Vec<String>,
    /// The files that were read, as the user named them, each with its hex SHA-256 as it lies on disk.
    pub files: Vec<(PathBuf, String)>,
}

impl Items {
    /// Number of responses of all items.
    pub fn response_count(&self) -> usize {
        self.items.iter().map(|item| item.responses.len()).sum()
    }

    /// Names of all values that have a label or a preference, sorted.
    pub fn value_names(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        for item in &self.items {
            names.extend(item.responses.iter().flat_map(|r| r.values.keys()).map(String::as_str));
            names.extend(item.preferences.iter().map(|p| p.value.as_str()));
        }
        names
    }

    /// For each item the number of its prompt: items with equal prompts share one; counted from 0 in
    /// order of appearance. Within-prompt contrasts are taken inside these.
    ///
    /// # Panics
    /// Never below 2³¹ items.
    pub fn prompt_numbers(&self) -> Vec<i32> {
        number(self.items.iter().map(|item| &item.prompt))
    }

    /// For each item the number of its first response, where responses are numbered over all items.
    pub fn first_responses(&self) -> Vec<usize> {
        let mut next = 0;
        let number = |item: &Item| {
            let first = next;
            next += item.responses.len();
            first
        };
        self.items.iter().map(number).collect()
    }

    /// For each item the number of its group: that of its `group` where it has one, otherwise shared
    /// by the items with an equal prompt and no `group`; counted from 0 in order of appearance.
    ///
    /// # Panics
    /// Never below 2³¹ items.
    pub fn groups(&self) -> Vec<i32> {
        number(self.items.iter().map(|item| match &item.group {
            Some(group) => Ok(group),
            None => Err(&item.prompt),
        }))
    }
}

/// Numbers equal keys alike, from 0 in order of appearance.
pub(super) fn number<K: std::hash::Hash + Eq>(keys: impl Iterator<Item = K>) -> Vec<i32> {
    let mut seen = HashMap::new();
    keys.map(|key| {
        let next = i32::try_from(seen.len()).expect("fewer than 2³¹ items fit in memory");
        *seen.entry(key).or_insert(next)
    })
    .collect()
}
