//! What to ask: items, constitutions, experiments, checked once at the door.
#![allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    System,
    User,
    Assistant,
}
impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub role: Role,
    pub content: String,
}
pub enum Prompt {
    Text(String),
    Messages(Vec<Message>),
}
impl Prompt {
    pub fn plain_text(&self) -> String {
        match self {
            Self::Text(t) => t.clone(),
            Self::Messages(_) => String::new(),
        }
    }
    pub fn messages(&self) -> Vec<Message> {
        match self {
            Self::Text(t) => vec![Message { role: Role::User, content: t.clone() }],
            Self::Messages(m) => m.clone(),
        }
    }
}
