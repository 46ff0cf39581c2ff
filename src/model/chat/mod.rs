//! Chat templates: renders messages to the text that the model reads, and locates the response in it.

mod expression;
mod python;
mod rewrite;
mod tojson;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use minijinja::{Environment, ErrorKind, Value, context};
use serde::Serialize;

use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::input::{Message, Prompt, Role};

/// Maximum number of steps of a template: a hundred times what the longest known chat template needs for a long
/// conversation, and a few seconds at most.
const FUEL: u64 = 20_000_000;

/// Maximum number of bytes that a template may write: more than any context holds, little enough for any machine.
const LONGEST: usize = 64 << 20;

/// How prompt, constitution and response become one text.
pub enum Template {
    /// Prompt + response, byte for byte; a constitution precedes the prompt, separated by a blank line.
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
    /// Byte range of the response in `text`.
    pub response: Range<usize>,
    /// Whether the constitution is placed at the start of the first user message, because the template refuses (or
    /// drops) a system message.
    pub folded: bool,
}

#[derive(Serialize)]
struct ChatMessage<'a> {
    /// Reasoning under its older name; placed first, as in transformers.
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<&'a serde_json::Value>,
    role: &'a str,
    content: &'a str,
    #[serde(flatten)]
    extra: &'a serde_json::Map<String, serde_json::Value>,
}

/// Placeholder used to locate the response in the rendering; no tokenizer sees it.
const RESPONSE_MARK: &str = "\u{E000}vstar-response\u{E001}";
const SYSTEM_MARK: &str = "\u{E000}vstar-system\u{E001}";

impl Template {
    /// Compiles a Jinja template. `special` holds the special tokens that it may refer to (`bos_token`, …); `path` only
    /// names the template in errors.
    ///
    /// # Errors
    /// `Malformed` for a template that does not parse.
    pub fn jinja(source: &str, special: BTreeMap<String, String>, path: &Path) -> Result<Self> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        python::install(&mut environment);
        environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_function("strftime_now", |format: String| fixed_date(&format));
        environment
            .add_template_owned("chat", rewrite::rewrite(source))
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

    /// Renders a constitution and a prompt up to the point where a response begins, with the template's mark of an
    /// assistant's turn (`add_generation_prompt`): the text that a model continues. The second value says whether the
    /// constitution was put at the start of the first user message.
    ///
    /// # Errors
    /// `Malformed` if the template fails.
    pub fn render_prompt(&self, constitution: Option<&str>, prompt: &Prompt) -> Result<(String, bool)> {
        match self {
            Self::Plain => {
                let head = constitution.map_or_else(String::new, |c| format!("{c}\n\n"));
                Ok((head + &prompt.plain_text(), false))
            }
            Self::Jinja(jinja) => {
                let (messages, folded) = jinja.with_system(constitution, &prompt.messages())?;
                Ok((jinja.render(&messages, true)?, folded))
            }
        }
    }

    /// The system prompt that the template inserts when a conversation has none. It is part of the bare context; a
    /// constitution replaces it.
    pub fn own_system(&self) -> Option<String> {
        match self {
            Self::Plain => None,
            Self::Jinja(jinja) => jinja.own_system(),
        }
    }

    /// Renders messages up to the assistant's turn (`add_generation_prompt`): the text that a judge reads. Plain: the
    /// contents, separated by blank lines.
    ///
    /// # Errors
    /// `Malformed` if the template fails.
    pub fn render_question(&self, system: Option<&str>, user: &str) -> Result<String> {
        match self {
            Self::Plain => Ok(system.map_or_else(String::new, |s| format!("{s}\n\n")) + user),
            Self::Jinja(jinja) => {
                let messages = [Message::new(Role::User, user)];
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
        messages.push(Message::new(Role::Assistant, RESPONSE_MARK));
        // A template may trim or drop its input: the mark shows where the response goes, and the rendering of the real
        // response must agree with it on both sides.
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
        match place(&text, before, after, response) {
            Some(span) if span.is_empty() => Err(Diagnostic::new(
                Kind::EmptyResponse,
                "the response is white space, which the template trims",
            )
            .at(Place::file(&self.path))
            .remedy("drop the row, or run with --skip-bad")
            .into()),
            Some(span) => Ok(Rendered { response: span, text, folded }),
            None if response.contains("</think>") => {
                Err(not_found("a template that leaves the reasoning of the response out, or rewrites it"))
            }
            None => Err(not_found("a template that rewrites the assistant's content")),
        }
    }

    /// Inserts the constitution where the template accepts it: as a system message, joined with the conversation's own
    /// if it has one; otherwise at the start of the first user message. The second value says whether it was folded
    /// into the user message.
    fn with_system(&self, system: Option<&str>, messages: &[Message]) -> Result<(Vec<Message>, bool)> {
        let own = messages.first().filter(|m| m.role == Role::System).map(|m| m.content.as_str());
        let rest = if own.is_some() { &messages[1..] } else { messages };
        let joined = match (system, own) {
            (Some(s), Some(o)) => Some(format!("{s}\n\n{o}")),
            (Some(text), None) | (None, Some(text)) => Some(text.to_owned()),
            (None, None) => None,
        };
        let Some(joined) = joined else { return Ok((rest.to_vec(), false)) };
        let mut as_system = vec![Message::new(Role::System, SYSTEM_MARK)];
        as_system.extend_from_slice(rest);
        if self.render(&as_system, true).is_ok_and(|text| text.contains(SYSTEM_MARK)) {
            as_system[0].content = joined;
            return Ok((as_system, false));
        }
        let mut folded = rest.to_vec();
        match folded.iter_mut().find(|m| m.role == Role::User) {
            Some(first) => first.content = format!("{joined}\n\n{}", first.content),
            None => folded.insert(0, Message::new(Role::User, joined)),
        }
        Ok((folded, true))
    }

    /// The system prompt that the template inserts when a conversation has none.
    fn own_system(&self) -> Option<String> {
        const USER: &str = "\u{E000}vstar-user\u{E001}";
        let user = Message::new(Role::User, USER);
        let bare = self.render(std::slice::from_ref(&user), true).ok()?;
        let with = self.render(&[Message::new(Role::System, SYSTEM_MARK), user], true).ok()?;
        let (bare, _) = bare.split_once(USER)?;
        let (head, tail) = with.split_once(USER)?.0.split_once(SYSTEM_MARK)?;
        let own = bare.strip_prefix(head)?;
        // The frame of a system message, such as its closing mark, follows the prompt.
        let frame = tail.split_whitespace().next().unwrap_or(tail);
        let own = if frame.is_empty() { own.strip_suffix(tail)? } else { own.split_once(frame)?.0 };
        Some(own.trim().to_owned()).filter(|own| own.chars().any(char::is_alphabetic))
    }

    fn render(&self, messages: &[Message], generation: bool) -> Result<String> {
        let reasoning: Vec<_> = messages.iter().map(|m| with_reasoning(&m.extra)).collect();
        let messages: Vec<_> = messages
            .iter()
            .zip(&reasoning)
            .map(|(m, own)| ChatMessage {
                thinking: own.thinking.as_ref(),
                role: m.role.as_str(),
                content: &m.content,
                extra: &own.extra,
            })
            .collect();
        let mut variables: BTreeMap<&str, Value> =
            self.special.iter().map(|(k, v)| (k.as_str(), Value::from(v.as_str()))).collect();
        variables.insert("messages", Value::from_serialize(&messages));
        // Defined but empty, as in transformers: templates test whether they are defined.
        variables.insert("tools", Value::from(()));
        variables.insert("documents", Value::from(()));
        variables.insert("add_generation_prompt", Value::from(generation));
        if generation {
            // The assistant must answer at once: a template that would open a chain of thought (Qwen 3, SmolLM 3)
            // closes it.
            variables.insert("enable_thinking", Value::from(false));
        }
        let variables = context! { ..Value::from_serialize(&variables) };
        let mut out = BoundedWriter(Vec::new());
        python::begin();
        self.environment
            .get_template("chat")
            .and_then(|t| t.render_captured_to(variables, &mut out).map(|_| ()))
            .map_err(|e| jinja_error(&self.path, "the template failed", &e))?;
        Ok(String::from_utf8_lossy(&out.0).into_owned())
    }
}

/// Returns the additional keys of a message with its reasoning under `reasoning_content`, and separately the reasoning
/// to be placed under `thinking`: templates read either name, and transformers sets both.
fn with_reasoning(extra: &serde_json::Map<String, serde_json::Value>) -> Reasoned {
    let names = ["reasoning_content", "thinking", "reasoning"];
    let reasoning = names.iter().find_map(|name| extra.get(*name)).cloned();
    let mut extra = extra.clone();
    let thinking = reasoning.clone().filter(|_| !extra.contains_key("thinking"));
    if let Some(reasoning) = reasoning {
        extra.insert("reasoning_content".to_owned(), reasoning);
    }
    Reasoned { thinking, extra }
}

struct Reasoned {
    thinking: Option<serde_json::Value>,
    extra: serde_json::Map<String, serde_json::Value>,
}

/// Byte range of the response in a rendering, given the text before and after the mark that replaced it. The template
/// may have trimmed white space from its ends, or have separated its reasoning (`<think>…</think>`) from its answer and
/// joined them again: then the span runs from the reasoning's mark to the end.
fn place(text: &str, before: &str, after: &str, response: &str) -> Option<Range<usize>> {
    let head = text.strip_suffix(after)?;
    if let Some(middle) = head.strip_prefix(before)
        && middle.trim() == response.trim()
        && response.contains(middle)
    {
        return Some(before.len()..head.len());
    }
    let (reasoning, answer) = response.trim().rsplit_once("</think>")?;
    let reasoning = reasoning.trim_start().strip_prefix("<think>").unwrap_or(reasoning).trim();
    // Before an answer without reasoning some templates write an empty reasoning block, which is absent here.
    let shared = text.char_indices().zip(before.chars()).take_while(|((_, a), b)| a == b).last();
    let shared = shared.map_or(0, |((at, c), _)| at + c.len_utf8());
    let start = match head[..shared].rfind("<think>") {
        Some(mark) if head[mark + "<think>".len()..shared].trim().is_empty() => mark,
        _ => shared,
    };
    let (own, said) = head[start..].split_once("</think>")?;
    let own = own.trim_start().strip_prefix("<think>").unwrap_or(own).trim();
    (own == reasoning && said.trim() == answer.trim()).then_some(start..head.len())
}

/// Writer that accepts at most [`LONGEST`] bytes.
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

/// Fixed date for templates that print today's date, so that results do not depend on the day of the run: Llama 3's
/// default, 26 July 2024, a Friday.
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
    /// `chat`: the tokenizer's own template.
    Chat,
    /// A Jinja file.
    File(PathBuf),
}

impl TemplateName {
    /// The name as given on the command line.
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

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;

    fn message(json: &Json) -> Message {
        let mut extra = json.as_object().expect("an object").clone();
        let mut take =
            |key: &str| extra.shift_remove(key).and_then(|v| v.as_str().map(str::to_owned)).expect("a text");
        let (role, content) = (take("role"), take("content"));
        Message { role: Role::parse(&role).expect("a role"), content, extra }
    }

    fn jinja(source: &str, special: &BTreeMap<String, String>) -> Box<Jinja> {
        match Template::jinja(source, special.clone(), Path::new("t.jinja")) {
            Ok(Template::Jinja(jinja)) => jinja,
            Ok(Template::Plain) => unreachable!("jinja makes a Jinja template"),
            Err(error) => panic!("{error}\n{}", rewrite::rewrite(source)),
        }
    }

    /// Expected texts rendered by transformers (scripts/fixtures/make_chat.py).
    #[test]
    fn templates_render_what_transformers_renders_byte_for_byte() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/chat/renderings.json");
        let json: Json =
            serde_json::from_str(&std::fs::read_to_string(path).expect("the fixture")).expect("JSON");
        let special: BTreeMap<String, String> =
            serde_json::from_value(json["special"].clone()).expect("special tokens");
        let list = |value: &Json| value.as_array().expect("a list").clone();
        let conversations: Vec<Vec<Message>> =
            list(&json["conversations"]).iter().map(|c| list(c).iter().map(message).collect()).collect();
        let (mut wrong, mut compared) = (Vec::new(), 0);
        for template in list(&json["templates"]) {
            let jinja = jinja(template["template"].as_str().expect("a template"), &special);
            for (i, expected) in list(&template["renderings"]).iter().enumerate() {
                let rendered = jinja.render(&conversations[i / 2], i % 2 == 1);
                let found = rendered.as_ref().ok().map(String::as_str);
                compared += 1;
                if found != expected.as_str() {
                    let shown = found.map_or_else(
                        || rendered.as_ref().err().map(ToString::to_string),
                        |t| Some(t.to_owned()),
                    );
                    wrong.push(format!(
                        "{} {i}:\n  {:?}\n  {:?}",
                        template["name"],
                        expected.as_str(),
                        shown
                    ));
                }
            }
        }
        assert!(compared >= 40 * 40, "{compared}");
        assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
    }

    const THINKING: &str = "{% for m in messages %}{{ '<' + m.role + '>\n' }}{% set c = m.content %}{% set r = '' %}{% if m.role == 'assistant' %}{% if '</think>' in c %}{% set r = c.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') %}{% set c = c.split('</think>')[-1].lstrip('\n') %}{% endif %}{{ '<think>\n' + r.strip('\n') + '\n</think>\n\n' }}{% endif %}{{ c.lstrip('\n') + '</s>\n' }}{% endfor %}";

    fn span(source: &str, response: &str) -> Result<String> {
        let template = Template::jinja(source, BTreeMap::new(), Path::new("t.jinja")).expect("a template");
        let rendered = template.render(None, &Prompt::Text("why?".into()), response)?;
        Ok(rendered.text[rendered.response].to_owned())
    }

    #[test]
    fn a_response_is_found_behind_what_a_template_takes_off_or_puts_before_it() {
        for (response, expected) in [
            ("Because.", "Because."),
            ("\n    return 1", "    return 1"),
            (
                "<think>\nLet me see.\n</think>\n\nScattering.",
                "<think>\nLet me see.\n</think>\n\nScattering.",
            ),
            ("<think>Let me see.</think>Scattering.", "<think>\nLet me see.\n</think>\n\nScattering."),
        ] {
            assert_eq!(span(THINKING, response).expect(response), expected);
        }
        let drops = "{% for m in messages %}{{ m.content.split('</think>')[-1] }}{% endfor %}";
        assert_eq!(span(drops, "a").expect("found"), "a");
        let refused = span(drops, "<think>x</think>a").expect_err("refused").to_string();
        assert!(refused.contains("leaves the reasoning of the response out"), "{refused}");
        assert!(span("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "a").is_err());
    }

    #[test]
    fn a_template_s_own_system_prompt_is_told_from_its_frame() {
        let own = |source: &str| {
            Template::jinja(source, BTreeMap::new(), Path::new("t")).expect("one").own_system()
        };
        let chatml =
            "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}";
        assert_eq!(own(chatml), None);
        let default =
            "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are kind.<|im_end|>\n{% endif %}";
        assert_eq!(own(&format!("{default}{chatml}")).as_deref(), Some("You are kind."));
        // The date is also written when there is a system prompt.
        let dated = "<|im_start|>system\nToday is Friday.\n{% if messages[0].role == 'system' %}{{ messages[0].content }}{% set messages = messages[1:] %}{% endif %}<|im_end|>\n";
        assert_eq!(own(&format!("{dated}{chatml}")), None);
        assert_eq!(own("{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"), None);
        assert_eq!(Template::Plain.own_system(), None);
    }

    #[test]
    fn a_template_cannot_fill_the_memory() {
        for source in [
            "{{ messages|tojson(indent=100000000) }}",
            "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x|length }}",
            "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
            "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
            "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
            "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson }}",
            "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x|replace('a', 'aa') %}{% endfor %}",
            "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x.replace('a', 'aa') %}{% endfor %}",
            "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x]|join(ns.x) %}{% endfor %}",
            "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = '%s%s' % (ns.x, ns.x) %}{% endfor %}",
            "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = '{0}{0}'.format(ns.x) %}{% endfor %}",
            "{{ 'a' * 1000000000 }}",
            "{{ '%999999999d' % 1 }}",
            "{{ '{:>999999999}'.format(1) }}",
            "{{ 'a\nb' | indent(1000000000) }}",
            "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        ] {
            let error = jinja(source, &BTreeMap::new()).render(&[Message::new(Role::User, "x")], false);
            assert!(error.is_err(), "{source}");
        }
    }
}
