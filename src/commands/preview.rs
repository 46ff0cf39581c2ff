//! `vstar preview`: shows items as the model will read them, and the judge's questions about them.

use clap::Args;
use serde_json::{Value, json};

use super::args::{DataArgs, ModelArgs, one_of};
use super::terminal::bars::Bars;
use super::terminal::out::result;
use crate::capture::job::{encode_one, placed};
use crate::config::{CaptureSettings, JudgeMode, JudgeTemplateName};
use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::input::{Constitution, Item, read_constitutions};
use crate::judge::{JudgeTemplate, Mode, Question, ask};
use crate::run::capture::{CaptureOptions, Prepared};
use crate::units::{Layer, LayerList, OneOf};

#[derive(Debug, Args)]
pub struct PreviewArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub data: DataArgs,
    /// Number of items to show
    #[arg(long, default_value_t = 2)]
    pub show: usize,
    /// Judge template of the questions: the name of a built-in one, or a TOML file [default: one that suits model and
    /// mode]
    #[arg(long)]
    pub judge: Option<String>,
    /// What the judge is asked [default: as the template, else pairwise]
    #[arg(long, value_parser = one_of::<JudgeMode>())]
    pub mode: Option<JudgeMode>,
}

/// Shows text and tokens of a few items under each constitution, and the judge's questions about the first of them;
/// then counts the rows that cannot be read.
pub fn preview(args: &PreviewArgs) -> Result<()> {
    let (constitutions, bare) = args.data.constitutions();
    let constitutions = read_constitutions(&constitutions)?;
    let options = CaptureOptions {
        model: args.model.settings()?,
        data: args.data.settings(),
        capture: CaptureSettings {
            template: args.model.load.template.clone(),
            layers: LayerList::These(vec![Layer(0)]),
            ..CaptureSettings::default()
        },
        constitutions,
        bare,
    };
    let prepared = Prepared::fetched(&options, &mut Bars::new())?;
    let mut rows = Vec::new();
    for (c, constitution) in prepared.constitutions.iter().enumerate() {
        for item in prepared.items.items.iter().take(args.show) {
            for response in 0..item.responses.len() {
                println!("── {} · response {response} · constitution {}", item.id, prepared.name(c));
                rows.push(row(&prepared, item, response, constitution.as_ref())?);
            }
        }
    }
    let mut asked = Vec::new();
    let judged = prepared.judged();
    if let Some(item) =
        prepared.items.items.iter().find(|i| i.responses.len() > 1).filter(|_| !judged.is_empty())
    {
        let template = template(args, &prepared)?;
        if template.is_none() {
            println!("implicit judging asks nothing: it reads log P of the responses above\n");
        }
        for (constitution, template) in judged.into_iter().zip(std::iter::repeat(&template)) {
            let Some(template) = template else { break };
            println!("── {} · the judge's question · constitution {}", item.id, constitution.name);
            asked.push(question(&prepared, template, item, constitution)?);
        }
    }
    let counts = lint(&prepared)?;
    result(|| json!({"rows": rows, "questions": asked, "counts": counts}));
    Ok(())
}

/// A row as the model reads it.
fn row(
    prepared: &Prepared,
    item: &Item,
    response: usize,
    constitution: Option<&Constitution>,
) -> Result<Value> {
    let model = &prepared.model;
    let name = constitution.map_or("none", |c| c.name.as_str());
    let mut data = json!({"item": item.id, "response": response, "constitution": name});
    match encode_one(model, &prepared.template, item, response, constitution.map(|c| c.text.as_str())) {
        Ok((encoded, rendered)) => {
            let (before, rest) = rendered.text.split_at(rendered.response.start);
            let (inside, after) = rest.split_at(rendered.response.len());
            println!("{before}⟦{inside}⟧{after}");
            let tokens: Vec<String> =
                encoded.ids.iter().map(|id| model.encoder.token(*id).unwrap_or_default()).collect();
            let span = encoded.response;
            let own: Vec<String> = tokens[span.start..span.end].iter().map(|t| format!("{t:?}")).collect();
            println!("{} tokens, response [{}, {}): {}\n", tokens.len(), span.start, span.end, own.join(" "));
            data["text"] = json!(rendered.text);
            data["tokens"] = json!(tokens);
            data["response_tokens"] = json!([span.start, span.end]);
        }
        Err(Error::Diagnostic(diagnostic)) => {
            println!("refused: {diagnostic}\n");
            data["refused"] = json!(diagnostic.to_string());
        }
        Err(e) => return Err(e),
    }
    Ok(data)
}

/// Judge template; `None` for a mode that asks no questions.
fn template(args: &PreviewArgs, prepared: &Prepared) -> Result<Option<JudgeTemplate>> {
    let name = args.judge.as_deref().map(|name| JudgeTemplateName::from(name).name());
    let of = |mode| JudgeTemplate::of_mode(mode, &prepared.model).map(Some);
    match (name, args.mode) {
        (None, Some(JudgeMode::Pairwise)) => of(Mode::Pairwise),
        (None, Some(JudgeMode::Pointwise)) => of(Mode::Pointwise),
        (None, Some(JudgeMode::Implicit)) => Ok(None),
        (name, mode) => {
            let template = JudgeTemplate::find(name.as_deref(), &prepared.model)?;
            let own =
                if template.mode == Mode::Pairwise { JudgeMode::Pairwise } else { JudgeMode::Pointwise };
            match mode.filter(|mode| *mode != own) {
                None => Ok(Some(template)),
                Some(mode) => {
                    Err(Diagnostic::new(Kind::Invalid, "the judge template is for a mode that is not asked")
                        .at(Place::file(&template.path))
                        .expected(mode.as_str())
                        .found(own.as_str())
                        .remedy("choose another template, or its mode")
                        .into())
                }
            }
        }
    }
}

/// The judge's question about the first responses of an item.
fn question(
    prepared: &Prepared,
    template: &JudgeTemplate,
    item: &Item,
    constitution: &Constitution,
) -> Result<Value> {
    let question = Question {
        constitution: &constitution.text,
        prompt: &item.prompt,
        first: &item.responses[0].text,
        second: if template.mode == Mode::Pairwise { &item.responses[1].text } else { "" },
    };
    let mut data = json!({"item": item.id, "constitution": constitution.name, "template": template.path});
    let text = template.render(&question, &prepared.template)?;
    println!("{text}");
    match ask(&prepared.model, template, &prepared.template, &question) {
        Ok(request) => {
            let token = |id: u32| prepared.model.encoder.token(id).unwrap_or_default();
            let answers = request.answers.unwrap_or_default().map(token);
            let meant = match template.mode {
                Mode::Pairwise => ["the response that stands first", "the one that stands second"],
                Mode::Pointwise => ["yes", "no"],
            };
            println!(
                "{} tokens; then the log-odds of {:?} ({}) against {:?} ({})\n",
                request.tokens.len(),
                answers[0],
                meant[0],
                answers[1],
                meant[1]
            );
            data["text"] = json!(text);
            data["tokens"] = json!(request.tokens.len());
            data["answers"] = json!(answers);
        }
        Err(Error::Diagnostic(diagnostic)) => {
            println!("refused: {diagnostic}\n");
            data["refused"] = json!(diagnostic.to_string());
        }
        Err(e) => return Err(e),
    }
    Ok(data)
}

/// Reports every row that cannot be read, and texts that begin with two beginning-of-sequence tokens.
fn lint(prepared: &Prepared) -> Result<Value> {
    let (mut rows, mut bad, mut doubled) = (0, 0, 0);
    for (c, constitution) in prepared.constitutions.iter().enumerate() {
        for item in &prepared.items.items {
            for response in 0..item.responses.len() {
                rows += 1;
                let text = constitution.as_ref().map(|c| c.text.as_str());
                match encode_one(&prepared.model, &prepared.template, item, response, text) {
                    Ok((encoded, _)) => {
                        if let (Some(bos), [first, second, ..]) =
                            (prepared.model.encoder.bos(), &encoded.ids[..])
                        {
                            doubled += usize::from(*first == bos && *second == bos);
                        }
                    }
                    Err(e) => {
                        bad += 1;
                        println!("{}", placed(e, item, response, prepared.name(c)));
                    }
                }
            }
        }
    }
    println!("{rows} rows, {bad} cannot be read, {doubled} begin with two beginning-of-sequence tokens");
    Ok(json!({"rows": rows, "refused": bad, "double_bos": doubled}))
}
