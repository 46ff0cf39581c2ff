//! Judge templates: the prompt for comparing two responses, and the accepted answers.

use std::path::{Path, PathBuf};

use minijinja::{Environment, UndefinedBehavior, context};
use serde::Deserialize;

use crate::error::{Diagnostic, Kind, Place, Result};
use crate::input::Prompt;
use crate::model::Model;
use crate::model::chat::Template as ChatTemplate;
use crate::source;

/// A judge template as parsed from its file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    description: Option<String>,
    mode: Mode,
    kind: Kinds,
    system: Option<String>,
    user: Option<String>,
    assistant_prefix: Option<String>,
    text: Option<String>,
    answers: [String; 2],
    #[serde(default)]
    alternatives: Vec<Form>,
}

/// Type of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Which of two responses is preferred.
    Pairwise,
    /// Whether a single response agrees, yes or no.
    Pointwise,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kinds {
    Chat,
    Base,
}

/// Two answers, and the text between the question and them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// Text after the question that makes the answers single tokens.
    #[serde(default)]
    pub lead: String,
    /// The answers: first response and second; or yes and no.
    pub answers: [String; 2],
}

/// A validated judge template.
#[derive(Debug)]
pub struct JudgeTemplate {
    /// Path of its file, or its name if it is built in.
    pub path: PathBuf,
    /// Pairwise or pointwise.
    pub mode: Mode,
    /// Hash of its text.
    pub sha256: String,
    parts: Parts,
    /// Answer forms, in the order in which they are tried.
    forms: Vec<Form>,
    environment: Environment<'static>,
}

#[derive(Debug)]
enum Parts {
    Chat { system: bool, prefix: String },
    Base,
}

/// The inputs of a judge template.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The constitution's text.
    pub constitution: &'a str,
    /// The prompt.
    pub prompt: &'a Prompt,
    /// The response shown first (or alone).
    pub first: &'a str,
    /// The response shown second; empty in pointwise mode.
    pub second: &'a str,
}

/// Built-in templates: name and text.
const BUILT_IN: &[(&str, &str)] = &[
    ("chat", include_str!("../../prompts/judge/chat.toml")),
    ("chat-constitution-first", include_str!("../../prompts/judge/chat-constitution-first.toml")),
    ("base", include_str!("../../prompts/judge/base.toml")),
    ("base-short", include_str!("../../prompts/judge/base-short.toml")),
    ("chat-pointwise", include_str!("../../prompts/judge/chat-pointwise.toml")),
    ("base-pointwise", include_str!("../../prompts/judge/base-pointwise.toml")),
    ("hearth", include_str!("../../prompts/judge/hearth.toml")),
    ("hearth-pointwise", include_str!("../../prompts/judge/hearth-pointwise.toml")),
];

/// Prefix of the names of the known-answer models, which judge only in the words of their own world.
const HEARTH: &str = "embedded:hearth";

impl JudgeTemplate {
    /// Names of the built-in templates.
    pub fn built_in() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// Text of a built-in template.
    pub fn built_in_text(name: &str) -> Option<&'static str> {
        BUILT_IN.iter().find(|(own, _)| *own == name).map(|(_, text)| *text)
    }

    /// The built-in template of a mode that suits the model.
    ///
    /// # Errors
    /// None for built-in templates.
    pub fn of_mode(mode: Mode, model: &Model) -> Result<Self> {
        let hearth = model.identity.name.starts_with(HEARTH);
        Self::find(
            match (mode, model.has_chat_template()) {
                (Mode::Pairwise, _) => None,
                (Mode::Pointwise, _) if hearth => Some("hearth-pointwise"),
                (Mode::Pointwise, true) => Some("chat-pointwise"),
                (Mode::Pointwise, false) => Some("base-pointwise"),
            },
            model,
        )
    }

    /// The template requested by the user: a built-in name, a file, or (for `None`) `chat` for a model with a chat
    /// template; otherwise `base`, or `base-short` if the worked examples of `base` would fill more than half of the
    /// context; `hearth` for the known-answer models of the binary.
    ///
    /// # Errors
    /// `Missing`, `Malformed`; `Invalid` for a chat template on a model without one.
    pub fn find(choice: Option<&str>, model: &Model) -> Result<Self> {
        let name = choice.unwrap_or(match model.has_chat_template() {
            _ if model.identity.name.starts_with(HEARTH) => "hearth",
            true => "chat",
            false => "base",
        });
        let template = match BUILT_IN.iter().find(|(n, _)| *n == name) {
            Some((name, text)) => {
                let template = Self::parse(text, Path::new(name))?;
                if choice.is_none() && *name == "base" && template.fills(model)? {
                    return Self::find(Some("base-short"), model);
                }
                template
            }
            None => {
                let path = Path::new(name);
                let text = source::read_text(path, source::SMALL)?;
                Self::parse(&text, path)?
            }
        };
        if matches!(template.parts, Parts::Chat { .. }) && !model.has_chat_template() {
            return Err(Diagnostic::new(Kind::Invalid, "a chat judge for a model without a chat template")
                .at(Place::file(&template.path))
                .expected("a judge template of kind = \"base\"")
                .remedy("use the built-in judge `base`")
                .into());
        }
        Ok(template)
    }

    /// Whether the template without a question fills more than half of the model's context.
    fn fills(&self, model: &Model) -> Result<bool> {
        let prompt = Prompt::Text(String::new());
        let question = Question { constitution: "", prompt: &prompt, first: "", second: "" };
        let text = self.render(&question, &ChatTemplate::Plain)?;
        Ok(2 * model.encoder.encode(&text)?.len() > model.decoder.config().context)
    }

    /// Parses and checks a template file's text.
    ///
    /// # Errors
    /// `Malformed` for TOML or Jinja that does not parse; `Missing` for a part that its kind requires.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        let malformed = |found: String| {
            Diagnostic::new(Kind::Malformed, "the judge template cannot be read")
                .at(Place::file(path))
                .expected("mode, kind, answers, and user (chat) or text (base)")
                .found(found)
        };
        let raw: Raw = toml::from_str(text).map_err(|e| malformed(e.to_string()))?;
        let mut environment = Environment::new();
        environment.set_fuel(Some(1_000_000));
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_keep_trailing_newline(true);
        let mut add = |name: &'static str, source: &Option<String>| -> Result<bool> {
            let Some(source) = source else { return Ok(false) };
            environment.add_template_owned(name, source.clone()).map_err(|e| malformed(e.to_string()))?;
            Ok(true)
        };
        let (system, user, base) =
            (add("system", &raw.system)?, add("user", &raw.user)?, add("text", &raw.text)?);
        let parts = match raw.kind {
            Kinds::Chat if user && !base => {
                Parts::Chat { system, prefix: raw.assistant_prefix.unwrap_or_default() }
            }
            Kinds::Base if base && !user && !system => Parts::Base,
            Kinds::Chat => return Err(malformed("kind = \"chat\" takes `user`, not `text`".into()).into()),
            Kinds::Base => return Err(malformed("kind = \"base\" takes `text` alone".into()).into()),
        };
        let mut forms = vec![Form { lead: String::new(), answers: raw.answers }];
        forms.extend(raw.alternatives);
        drop(raw.description);
        let sha256 = crate::artifact::sha256(text.as_bytes());
        Ok(Self { path: path.to_owned(), mode: raw.mode, sha256, parts, forms, environment })
    }

    /// The text up to the answer's position.
    ///
    /// # Errors
    /// `Malformed` if the template fails.
    pub fn render(&self, question: &Question<'_>, chat: &ChatTemplate) -> Result<String> {
        let variables = context! {
            constitution => question.constitution,
            prompt => question.prompt.plain_text(),
            messages => question.prompt.messages().iter()
                .map(|m| context! { role => m.role.as_str(), content => m.content }).collect::<Vec<_>>(),
            first => question.first,
            second => question.second,
            response => question.first,
        };
        let part = |name: &str| -> Result<String> {
            self.environment.get_template(name).and_then(|t| t.render(&variables)).map_err(|e| {
                let mut place = Place::file(&self.path).id(name);
                place.line = e.line();
                Diagnostic::new(Kind::Malformed, "the judge template failed")
                    .at(place)
                    .expected("variables constitution, prompt, messages, first, second, response")
                    .found(e.to_string())
                    .into()
            })
        };
        match &self.parts {
            Parts::Base => part("text"),
            Parts::Chat { system, prefix } => {
                let system = system.then(|| part("system")).transpose()?;
                Ok(chat.render_question(system.as_deref(), &part("user")?)? + prefix)
            }
        }
    }

    /// Encodes a rendered question: its tokens up to the answer's position, and the tokens of the two answers, in the
    /// first form in which these are single and distinct.
    ///
    /// # Errors
    /// [`Kind::AnswerTokens`] if there is no such form.
    pub fn encode(&self, model: &Model, question: &str) -> Result<(Vec<u32>, [u32; 2])> {
        let mut found = String::new();
        for form in &self.forms {
            let before = format!("{question}{}", form.lead);
            let base = model.encoder.encode(&before)?;
            match answer_tokens(model, &before, &base, form)? {
                Ok(answers) => return Ok((base, answers)),
                Err(why) => found = why,
            }
        }
        Err(Diagnostic::new(
            Kind::AnswerTokens,
            "the judge's answers are not single, distinct tokens of this model",
        )
        .at(Place::file(&self.path))
        .expected("two answers that each add exactly one token to the question, not the same one")
        .found(found)
        .remedy("give the template other answers, or a lead after which they are single tokens")
        .into())
    }
}

/// Token ids of the two answers after `before`, whose tokens are `base`, or the reason why there are none.
fn answer_tokens(
    model: &Model,
    before: &str,
    base: &[u32],
    form: &Form,
) -> Result<std::result::Result<[u32; 2], String>> {
    let mut tokens = [0; 2];
    for (slot, answer) in form.answers.iter().enumerate() {
        let with = model.encoder.encode(&format!("{before}{answer}"))?;
        match with.strip_prefix(base) {
            Some(&[token]) => tokens[slot] = token,
            Some(added) => return Ok(Err(format!("{answer:?} adds {} tokens", added.len()))),
            None => return Ok(Err(format!("{answer:?} merges with the text before it"))),
        }
    }
    if tokens[0] == tokens[1] {
        return Ok(Err(format!("both answers are token {}", tokens[0])));
    }
    Ok(Ok(tokens))
}
