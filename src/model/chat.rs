//! Templates: from messages to the text the model reads, and where the response stands in it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use minijinja::{Environment, ErrorKind, Value, context};
use serde::Serialize;

use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::input::{Message, Prompt, Role};

/// Steps a template may take: a hundred times what the longest known chat template needs for a long
/// conversation, and a few seconds at most.
const FUEL: u64 = 20_000_000;

/// Bytes that a template may write: more than any context holds, little enough for any machine. Fuel counts
/// steps, and a step may write a long text. (Neither bounds a variable that a template doubles again and again,
/// which minijinja offers no way to: a template is to be trusted so far.)
const LONGEST: usize = 64 << 20;

/// How prompt, constitution and response become one text.
pub enum Template {
    /// Prompt + response, byte for byte; a constitution goes before the prompt, a blank line between.
    Plain,
    /// A Jinja template with Hugging Face's variables.
    Jinja(Box<Jinja>),
}

/// A compiled Jinja template.
pub struct Jinja {
    environment: Environment<'static>,
    special: BTreeMap<String, String>,
    path: PathBuf,
}

/// A text as the model will read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The whole text.
    pub text: String,
    /// The response's bytes in it.
    pub response: Range<usize>,
    /// Whether the constitution stands at the head of the first user message, because the template
    /// refuses (or drops) a system message.
    pub folded: bool,
}

#[derive(Serialize)]
struct ChatMessage<'a> {
    role: &'a str,
    content: &'a str,
}

/// Stands for a text while its place in the rendering is looked for; no tokenizer sees it.
const RESPONSE_MARK: &str = "\u{E000}vstar-response\u{E001}";
const SYSTEM_MARK: &str = "\u{E000}vstar-system\u{E001}";

impl Template {
    /// Compiles a Jinja template. `special` are the special tokens it may name (`bos_token`, …); `path`
    /// only names the template in errors.
    ///
    /// # Errors
    /// `Malformed` for a template that does not parse.
    pub fn jinja(source: &str, special: BTreeMap<String, String>, path: &Path) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", |format: String| fixed_date(&format));
        environment
            .add_template_owned("chat", source.to_owned())
            .map_err(|e| jinja_error(path, "the template does not parse", &e))?;
        Ok(Self::Jinja(Box::new(Jinja { environment, special, path: path.to_owned() })))
    }

    /// Renders one (constitution, prompt, response).
    ///
    /// # Errors
    /// [`Kind::EmptyResponse`], [`Kind::ResponseNotFound`] if the template changes or drops the
    /// response, `Malformed` if it fails.
    pub fn render(&self, constitution: Option<&str>, prompt: &Prompt, response: &str) -> Result<Rendered> {
        if response.is_empty() {
            return Err(Diagnostic::new(Kind::EmptyResponse, "the response is empty")
                .expected("at least one character of response")
                .remedy("drop the row, or run with --skip-bad")
                .into());
        }
        match self {
            Self::Plain => {
                let mut text = constitution.map_or_else(String::new, |c| format!("{c}\n\n"));
                text.push_str(&prompt.plain_text());
                let start = text.len();
                text.push_str(response);
                Ok(Rendered { response: start..text.len(), text, folded: false })
            }
            Self::Jinja(jinja) => jinja.render_response(constitution, prompt, response),
        }
    }

    /// Renders messages up to where the assistant is to speak (`add_generation_prompt`): what a judge
    /// reads. Plain: the contents, blank lines between.
    ///
    /// # Errors
    /// `Malformed` if the template fails.
    pub fn render_question(&self, system: Option<&str>, user: &str) -> Result<String> {
        match self {
            Self::Plain => Ok(system.map_or_else(String::new, |s| format!("{s}\n\n")) + user),
            Self::Jinja(jinja) => {
                let messages = [Message { role: Role::User, content: user.to_owned() }];
                let (messages, _) = jinja.with_system(system, &messages)?;
                jinja.render(&messages, true)
            }
        }
    }
}

impl Jinja {
    fn render_response(
        &self,
        constitution: Option<&str>,
        prompt: &Prompt,
        response: &str,
    ) -> Result<Rendered> {
        let (mut messages, folded) = self.with_system(constitution, &prompt.messages())?;
        messages.push(Message { role: Role::Assistant, content: RESPONSE_MARK.to_owned() });
        // A template may trim or drop what it is given: the mark shows where the response goes, and
        // the rendering of the real response must agree with it on both sides.
        let marked = self.render(&messages, false)?;
        let not_found = |found: &str| -> Error {
            Diagnostic::new(Kind::ResponseNotFound, "the response cannot be found in the rendered text")
                .at(Place::file(&self.path))
                .expected("a template that writes the assistant's content as it is, or trimmed")
                .found(found)
                .remedy("use --template none or a template file of your own; --skip-bad leaves such rows out")
                .into()
        };
        let Some((before, after)) = marked.split_once(RESPONSE_MARK) else {
            return Err(not_found("a template that leaves the assistant's message out"));
        };
        if after.contains(RESPONSE_MARK) {
            return Err(not_found("a template that writes the assistant's message twice"));
        }
        if let Some(last) = messages.last_mut() {
            last.content = response.to_owned();
        }
        let text = self.render(&messages, false)?;
        let middle = text.strip_prefix(before).and_then(|t| t.strip_suffix(after));
        match middle {
            Some(m)
                if !m.is_empty() && (m == response || m == response.trim() || m == response.trim_start()) =>
            {
                Ok(Rendered { response: before.len()..before.len() + m.len(), text, folded })
            }
            Some("") => Err(Diagnostic::new(
                Kind::EmptyResponse,
                "the response is white space, which the template trims",
            )
            .at(Place::file(&self.path))
            .remedy("drop the row, or run with --skip-bad")
            .into()),
            _ => Err(not_found("a template that rewrites the assistant's content")),
        }
    }

    /// Puts the constitution where the template takes it: a system message, joined with the
    /// conversation's own if it has one; or the head of the first user message. The second value says
    /// whether it was folded into the user's message.
    fn with_system(&self, system: Option<&str>, messages: &[Message]) -> Result<(Vec<Message>, bool)> {
        let own = messages.first().filter(|m| m.role == Role::System).map(|m| m.content.as_str());
        let rest = if own.is_some() { &messages[1..] } else { messages };
        let joined = match (system, own) {
            (Some(s), Some(o)) => Some(format!("{s}\n\n{o}")),
            (Some(text), None) | (None, Some(text)) => Some(text.to_owned()),
            (None, None) => None,
        };
        let Some(joined) = joined else { return Ok((rest.to_vec(), false)) };
        let mut as_system = vec![Message { role: Role::System, content: SYSTEM_MARK.to_owned() }];
        as_system.extend_from_slice(rest);
        if self.render(&as_system, true).is_ok_and(|text| text.contains(SYSTEM_MARK)) {
            as_system[0].content = joined;
            return Ok((as_system, false));
        }
        let mut folded = rest.to_vec();
        match folded.iter_mut().find(|m| m.role == Role::User) {
            Some(first) => first.content = format!("{joined}\n\n{}", first.content),
            None => folded.insert(0, Message { role: Role::User, content: joined }),
        }
        Ok((folded, true))
    }

    fn render(&self, messages: &[Message], generation: bool) -> Result<String> {
        let messages: Vec<_> =
            messages.iter().map(|m| ChatMessage { role: m.role.as_str(), content: &m.content }).collect();
        let mut variables: BTreeMap<&str, Value> =
            self.special.iter().map(|(k, v)| (k.as_str(), Value::from(v.as_str()))).collect();
        variables.insert("messages", Value::from_serialize(&messages));
        variables.insert("add_generation_prompt", Value::from(generation));
        if generation {
            // Where the assistant is to speak it has to answer at once: a template that would open a chain of
            // thought (Qwen 3, SmolLM 3) closes it.
            variables.insert("enable_thinking", Value::from(false));
        }
        let variables = context! { ..Value::from_serialize(&variables) };
        let mut out = BoundedWriter(Vec::new());
        self.environment
            .get_template("chat")
            .and_then(|t| t.render_captured_to(variables, &mut out).map(|_| ()))
            .map_err(|e| jinja_error(&self.path, "the template failed", &e))?;
        Ok(String::from_utf8_lossy(&out.0).into_owned())
    }
}

/// Takes at most [`LONGEST`] bytes.
struct BoundedWriter(Vec<u8>);

impl std::io::Write for BoundedWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
            return Err(std::io::Error::other(format!("it writes more than {LONGEST} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn jinja_error(path: &Path, what: &str, error: &minijinja::Error) -> Error {
    let mut found = error.to_string();
    if error.kind() == ErrorKind::OutOfFuel {
        found = "a template that does not come to an end".into();
    }
    let mut place = Place::file(path);
    place.line = error.line();
    Diagnostic::new(Kind::Malformed, what)
        .at(place)
        .expected("a Jinja template as Hugging Face's chat templates are")
        .found(found)
        .into()
}

/// Templates that print today's date would give other numbers tomorrow: every run sees the day that
/// Llama 3's template falls back to, 26 July 2024, a Friday.
fn fixed_date(format: &str) -> String {
    let mut out = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('d') => out.push_str("26"),
            Some('b' | 'h') => out.push_str("Jul"),
            Some('B') => out.push_str("July"),
            Some('m') => out.push_str("07"),
            Some('Y') => out.push_str("2024"),
            Some('y') => out.push_str("24"),
            Some('A') => out.push_str("Friday"),
            Some('a') => out.push_str("Fri"),
            Some('H' | 'M' | 'S') => out.push_str("00"),
            Some('%') => out.push('%'),
            Some(other) => out.extend(['%', other]),
            None => out.push('%'),
        }
    }
    out
}

/// How prompt, constitution and response become one text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateName {
    /// `none`: prompt + response, byte for byte.
    Plain,
    /// `chat`: the tokenizer's own.
    Chat,
    /// A Jinja file.
    File(PathBuf),
}

impl TemplateName {
    /// As the command line names it.
    pub fn name(&self) -> String {
        match self {
            Self::Plain => "none".to_owned(),
            Self::Chat => "chat".to_owned(),
            Self::File(path) => path.to_string_lossy().into_owned(),
        }
    }
}

impl FromStr for TemplateName {
    type Err = Infallible;

    fn from_str(text: &str) -> std::result::Result<Self, Infallible> {
        Ok(match text {
            "none" => Self::Plain,
            "chat" => Self::Chat,
            file => Self::File(PathBuf::from(file)),
        })
    }
}
