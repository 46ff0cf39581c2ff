//! Samples responses to prompts from a model, and writes them as items.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;

use rayon::prelude::*;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::journal::Journal;
use crate::artifact;
use crate::error::{Diagnostic, Error, Kind, Place, Result};
use crate::generation::batches::Size;
use crate::generation::{Choice, Context, End, Options, Reply, check, generate, seed_of};
use crate::input::prompts::{PromptRecord, read_prompts};
use crate::input::{Constitution, Prompt, write};
use crate::model::chat::{Template, TemplateName};
use crate::model::hub::{Downloads, local_data};
use crate::model::{Model, ModelSettings, Opened};
use crate::run::progress::Progress;
use crate::source;

/// What to sample.
#[derive(Debug, Clone)]
pub struct Sampling {
    /// The model.
    pub model: ModelSettings,
    /// The template; `None`: the model's default.
    pub template: Option<TemplateName>,
    /// Files of prompts: items of any format, whose responses are ignored, or rows with only a prompt.
    pub data: Vec<PathBuf>,
    /// Read at most this many prompts of each file.
    pub limit: Option<usize>,
    /// A constitution under which the model answers.
    pub constitution: Option<Constitution>,
    /// How tokens are chosen.
    pub choice: Choice,
    /// Replies to each prompt, their greatest length, and memory.
    pub size: Size,
    /// Texts that end a reply, and do not belong to it.
    pub stop: Vec<String>,
    /// Seed.
    pub seed: u64,
    /// The file of items to write.
    pub out: PathBuf,
}

/// What was sampled.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Sampled {
    /// Prompts with at least one reply.
    pub prompts: usize,
    /// Prompts of which an earlier run of the same job had the replies.
    pub resumed: usize,
    /// Rows whose prompt an earlier row has.
    pub repeated: usize,
    /// Replies written.
    pub replies: usize,
    /// Tokens of these replies.
    pub tokens: usize,
    /// Replies cut at the greatest length.
    pub cut: usize,
    /// Replies without text, which are not written.
    pub empty: usize,
    /// Replies with the same text as an earlier one to the same prompt.
    pub identical: usize,
    /// Replies whose text is read as other tokens than were generated.
    pub reread: usize,
    /// Prompts whose constitution was put at the start of the user's message, since the template takes no system message.
    pub folded: usize,
    /// An example: a prompt's id and the first reply.
    pub example: Option<(String, String)>,
}

/// A prompt ready to be continued.
struct Asked {
    id: String,
    prompt: Prompt,
    /// White space that the template writes between the text that the model continues and a response.
    gap: String,
    context: Context,
}

/// Samples and writes the items; replies of an interrupted run of the same job are kept. `downloads` and `progress`
/// receive the progress.
///
/// # Errors
/// Errors of the model, the prompts and [`generate`]; [`Kind::Invalid`] for an id of two prompts or an empty stop;
/// [`Kind::RunConflict`] for an existing file, or for the remains of another job.
pub fn sample(job: &Sampling, downloads: &mut dyn Downloads, progress: &mut dyn Progress) -> Result<Sampled> {
    job.choice.check()?;
    if job.stop.iter().any(String::is_empty) {
        return Err(Diagnostic::new(Kind::Invalid, "an empty text cannot end a reply").into());
    }
    if job.out.exists() {
        return Err(Diagnostic::new(Kind::RunConflict, "the file exists")
            .at(Place::file(&job.out))
            .expected("a new file for the samples")
            .remedy("remove it, or choose another --out")
            .into());
    }
    let (records, files, repeated) = prompts(job, downloads)?;
    let opened = job.model.open(job.template.as_ref(), downloads)?;
    let mut found = Sampled { repeated, ..Sampled::default() };
    let asked = asked(job, &opened, records, &mut found)?;
    let contexts: Vec<Context> = asked.iter().map(|asked| asked.context.clone()).collect();
    check(&opened.model.decoder, &contexts, options(job, &opened))?;
    let described = described(job, &opened);
    let recipe = artifact::sha256(json!([described, files, job.limit]).to_string().as_bytes());
    let mut journal = Journal::open(&job.out, &recipe)?;
    let done: BTreeSet<String> =
        journal.rows().iter().filter_map(|row| Some(row["id"].as_str()?.to_owned())).collect();
    let rest: Vec<Asked> = asked.into_iter().filter(|a| !done.contains(&a.id)).collect();
    found.resumed = done.len();
    continued(job, &opened, &rest, &described, &mut journal, progress)?;
    // An earlier run may have written rows of a later batch first.
    let rows = journal.rows().to_vec();
    summarise(&rows, &mut found);
    if found.replies == 0 {
        return Err(Diagnostic::new(Kind::NotEstimable, "the model says nothing: no reply has text")
            .found(format!("{} empty replies", found.empty))
            .expected("a prompt that the model continues")
            .remedy("see what it reads with `vstar preview`; a base model needs --template none or a prompt to continue")
            .into());
    }
    let kept = rows.iter().filter(|row| row["responses"].as_array().is_some_and(|r| !r.is_empty()));
    let text: String = kept.map(|row| format!("{}\n", written(row))).collect();
    artifact::write_bytes(&job.out, text.as_bytes())?;
    journal.remove()?;
    Ok(found)
}

/// As [`sample`], or nothing if the file is there with samples of this job: of the same model, settings and prompts.
///
/// # Errors
/// As [`sample`]; [`Kind::RunConflict`] for a file of another job.
pub fn sample_unless_there(
    job: &Sampling,
    downloads: &mut dyn Downloads,
    progress: &mut dyn Progress,
) -> Result<()> {
    if !job.out.exists() {
        return sample(job, downloads, progress).map(|_| ());
    }
    let (records, _, _) = prompts(job, downloads)?;
    let opened = job.model.open(job.template.as_ref(), downloads)?;
    let described = described(job, &opened);
    let text = source::read_text(&job.out, source::LARGE)?;
    let rows: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let ids: HashSet<&str> = records.iter().map(|record| record.id.as_str()).collect();
    let own =
        |row: &Value| row["sampled"] == described && row["id"].as_str().is_some_and(|id| ids.contains(id));
    if rows.is_empty() || !rows.iter().all(own) {
        return Err(Diagnostic::new(Kind::RunConflict, "samples of another job are there")
            .at(Place::file(&job.out))
            .expected("the same model, settings and prompts")
            .remedy("choose another folder, or remove the file")
            .into());
    }
    Ok(())
}

/// Prompts of all files, each once, with the hashes of the files and the number of repeated prompts.
fn prompts(job: &Sampling, downloads: &mut dyn Downloads) -> Result<(Vec<PromptRecord>, Vec<String>, usize)> {
    let (mut all, mut hashes, mut repeated) = (Vec::<PromptRecord>::new(), Vec::new(), 0);
    let (mut seen, mut ids) = (HashSet::new(), HashSet::new());
    for file in local_data(&job.data, downloads)? {
        for record in read_prompts(&file, job.limit)? {
            if !seen.insert(record.prompt.clone()) {
                repeated += 1;
                continue;
            }
            if !ids.insert(record.id.clone()) {
                return Err(Diagnostic::new(Kind::Invalid, "the id is taken")
                    .at(record.place.id(&record.id))
                    .expected("ids that are unique over all files")
                    .remedy("rename one of the two")
                    .into());
            }
            all.push(record);
        }
        hashes.push(if crate::input::is_named(&file) {
            file.display().to_string()
        } else {
            artifact::sha256_file(&file)?
        });
    }
    Ok((all, hashes, repeated))
}

/// Renders and encodes the prompts.
fn asked(
    job: &Sampling,
    opened: &Opened,
    records: Vec<PromptRecord>,
    found: &mut Sampled,
) -> Result<Vec<Asked>> {
    let under = job.constitution.as_ref().map(|c| c.text.as_str());
    let read: Vec<Result<(Asked, bool)>> = records
        .into_par_iter()
        .map(|record| {
            let at = |e: Error| match e {
                Error::Diagnostic(mut diagnostic) => {
                    diagnostic.place = record.place.clone().id(&record.id);
                    Error::Diagnostic(diagnostic)
                }
                other => other,
            };
            let (text, folded) = opened.template.render_prompt(under, &record.prompt).map_err(at)?;
            let tokens = opened.model.encoder.encode(&text).map_err(at)?;
            // A template need not write one; `vstar preview` shows what it does.
            let whole = opened.template.render(under, &record.prompt, "x").ok();
            let before = whole.as_ref().map(|w| &w.text[..w.response.start]);
            let gap = before.and_then(|b| b.strip_prefix(&text)).filter(|gap| gap.trim().is_empty());
            let gap = gap.unwrap_or_default().to_owned();
            let seeds = (0..job.size.replies).map(|reply| seed_of(job.seed, &record.id, reply)).collect();
            let place = record.place.clone().id(&record.id);
            let context = Context { tokens, seeds, place };
            Ok((Asked { id: record.id.clone(), prompt: record.prompt.clone(), gap, context }, folded))
        })
        .collect();
    let mut all = Vec::with_capacity(read.len());
    for read in read {
        let (asked, folded) = read?;
        found.folded += usize::from(folded);
        all.push(asked);
    }
    Ok(all)
}

/// How the responses were made, as written beside each of them.
fn described(job: &Sampling, opened: &Opened) -> Value {
    let identity = &opened.model.identity;
    let mut of = json!({
        "model": identity.name,
        "model_sha256": identity.fingerprint(),
        "dtype": format!("{:?}", opened.model.decoder.dtype()).to_lowercase(),
        "template": opened.template_name,
        "temperature": job.choice.temperature,
        "top_p": job.choice.top_p,
        "replies": job.size.replies,
        "max_new_tokens": job.size.longest,
        "seed": job.seed,
        "ends": opened.model.ends(),
    });
    let mut add = |key: &str, value: Value| of[key] = value;
    if !identity.revision.is_empty() {
        add("revision", json!(identity.revision));
    }
    if !identity.adapter_sha256.is_empty() {
        add("adapter_sha256", json!(identity.adapter_sha256));
    }
    if let Some(k) = job.choice.top_k {
        add("top_k", json!(k));
    }
    if !job.stop.is_empty() {
        add("stop", json!(job.stop));
    }
    if let Some(constitution) = &job.constitution {
        add("constitution", json!(constitution.name));
        add("constitution_sha256", json!(artifact::sha256(constitution.text.as_bytes())));
    }
    of
}

/// Settings of the generation, without the texts that end a reply.
fn options<'a>(job: &Sampling, opened: &'a Opened) -> Options<'a> {
    Options { choice: job.choice, size: job.size, ends: opened.model.ends(), finished: None }
}

/// Samples what is missing, and notes each prompt in the journal as it is finished.
fn continued(
    job: &Sampling,
    opened: &Opened,
    rest: &[Asked],
    described: &Value,
    journal: &mut Journal,
    progress: &mut dyn Progress,
) -> Result<()> {
    let model = &opened.model;
    let contexts: Vec<Context> = rest.iter().map(|asked| asked.context.clone()).collect();
    let ended =
        |tokens: &[u32]| model.encoder.decode(tokens).is_ok_and(|text| cut(&text, &job.stop).is_some());
    let options =
        Options { finished: if job.stop.is_empty() { None } else { Some(&ended) }, ..options(job, opened) };
    let prompts: usize = contexts.iter().map(|context| context.tokens.len()).sum();
    progress.begin("sample, at most", prompts + contexts.len() * job.size.replies * job.size.longest);
    let chat = matches!(opened.template, Template::Jinja(_));
    let mut note = |context: usize, replies: Vec<Reply>| {
        let asked = &rest[context];
        let responses =
            replies.iter().map(|reply| response(job, opened, asked, reply)).collect::<Result<Vec<_>>>()?;
        let (key, prompt) = write::prompt(&asked.prompt, chat);
        let mut row = Map::new();
        row.insert("id".to_owned(), json!(asked.id));
        row.insert(key.to_owned(), prompt);
        let empty =
            responses.iter().filter(|r| r["text"].as_str().is_none_or(|t| t.trim().is_empty())).count();
        let kept: Vec<Value> = responses
            .into_iter()
            .filter(|r| r["text"].as_str().is_some_and(|t| !t.trim().is_empty()))
            .collect();
        row.insert("responses".to_owned(), json!(kept));
        row.insert("sampled".to_owned(), described.clone());
        row.insert(EMPTY.to_owned(), json!(empty));
        journal.append(Value::Object(row))
    };
    let outcome =
        generate(&model.decoder, &contexts, options, &mut note, &mut |tokens| progress.advance(tokens));
    progress.end();
    outcome
}

/// Keys of a row in the journal that the file of items does not have.
const EMPTY: &str = "empty";
const REREAD: &str = "reread";

/// A row of the file of items: the journal's, without what only the summary needs.
fn written(row: &Value) -> Value {
    let mut row = row.clone();
    if let Some(object) = row.as_object_mut() {
        object.remove(EMPTY);
    }
    for response in row["responses"].as_array_mut().into_iter().flatten() {
        if let Some(object) = response.as_object_mut() {
            object.remove(REREAD);
        }
    }
    row
}

/// A reply as a response of an item.
fn response(job: &Sampling, opened: &Opened, asked: &Asked, reply: &Reply) -> Result<Value> {
    let (model, prompt) = (&opened.model, &asked.context.tokens);
    let whole = model.encoder.continuation(prompt, &reply.tokens)?;
    let (text, tokens) = match cut(&whole, &job.stop) {
        None => (whole.as_str(), reply.tokens.len()),
        Some(at) => (&whole[..at], tokens_of(model, prompt, &reply.tokens, at)?),
    };
    let text = text.strip_prefix(&asked.gap).unwrap_or(text);
    let end = match reply.end {
        End::Token { .. } => "token",
        End::Finished => "stop",
        End::Length => "length",
    };
    let log_prob: f64 = reply.log_probs[..tokens].iter().sum();
    let under = job.constitution.as_ref().map(|c| c.text.as_str());
    let read = opened.template.render(under, &asked.prompt, text);
    let read = read.and_then(|read| model.encoder.encode_response(&read.text, read.response));
    let same = read.is_ok_and(|read| {
        read.ids[..read.response.start] == prompt[..]
            && read.ids[read.response.start..read.response.end] == reply.tokens[..tokens]
    });
    Ok(json!({"text": text, "logprob": log_prob, "tokens": tokens, "end": end, REREAD: !same}))
}

/// Number of tokens whose text reaches byte `at` of a reply's text: those before it, and the one that contains it.
fn tokens_of(model: &Model, prompt: &[u32], tokens: &[u32], at: usize) -> Result<usize> {
    for n in 0..tokens.len() {
        if model.encoder.continuation(prompt, &tokens[..n])?.len() >= at {
            return Ok(n);
        }
    }
    Ok(tokens.len())
}

/// Where the first of the stops begins.
fn cut(text: &str, stop: &[String]) -> Option<usize> {
    stop.iter().filter_map(|stop| text.find(stop.as_str())).min()
}

/// Counts what the rows hold.
fn summarise(rows: &[Value], found: &mut Sampled) {
    for row in rows {
        let responses = row["responses"].as_array().map(Vec::as_slice).unwrap_or_default();
        found.prompts += usize::from(!responses.is_empty());
        found.empty += row[EMPTY].as_u64().unwrap_or(0) as usize;
        let mut texts = HashSet::new();
        for response in responses {
            let text = response["text"].as_str().unwrap_or_default();
            found.replies += 1;
            found.tokens += response["tokens"].as_u64().unwrap_or(0) as usize;
            found.cut += usize::from(response["end"] == "length");
            found.reread += usize::from(response[REREAD] == true);
            found.identical += usize::from(!texts.insert(text));
            if found.example.is_none() {
                found.example = Some((row["id"].as_str().unwrap_or_default().to_owned(), text.to_owned()));
            }
        }
    }
}
