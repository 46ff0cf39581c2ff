//! `vstar direction`: computes the direction between two sets of prompts at every layer and compares it with a run's
//! directions.

use super::args::ModelArgs;
use super::terminal::bars::Bars;
use super::terminal::out::result;
use crate::artifact;
use crate::capture::job::check_length;
use crate::error::{Diagnostic, Kind, Result};
use crate::fit::folder::{DIRECTIONS, read_directions};
use crate::fit::problem::pose;
use crate::fit::rows::RunRows;
use crate::forest::{self, Pool, Request, Settings};
use crate::input::prompts::{PromptRecord, read_prompts};
use crate::model::Model;
use crate::model::chat::Template;
use crate::model::chat::TemplateName;
use crate::model::hub::Downloads;
use crate::model::{ModelSettings, Opened};
use crate::observations::{Columns, Meta, Observations, RowRecord, write_rows};
use crate::observations::{OBSERVATIONS, ROWS};
use crate::probe::length::LengthControl;
use crate::report::export::{Directions, to_safetensors};
use crate::run::progress::Progress;
use crate::steer::means::{Against, DirectionReport, LayerMeans, Means, Pivot, Sets};
use crate::theory::base::bench::Bench;
use crate::theory::base::rows::{self, Rows};
use crate::theory::{LayerSource, Problem};
use crate::units::{Layer, LayerList, TokenSpan};
use clap::Args;
use ndarray::{Array2, Array3};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
pub struct DirectionArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Prompts of the first set: items of any format, or rows with only `prompt` or `messages`
    #[arg(long, value_name = "FILE")]
    pub plus: PathBuf,
    /// Prompts of the second set
    #[arg(long, value_name = "FILE")]
    pub minus: PathBuf,
    /// Read at most this many of each
    #[arg(long)]
    pub limit: Option<usize>,
    /// Layers: `all`, or numbers and ranges such as `0,4-8`
    #[arg(long, visible_alias = "layer", default_value = "all")]
    pub layers: LayerList,
    /// Token of a prompt to read: last, mean (of all tokens), or -k for the k-th from the end
    #[arg(long, default_value = "last", allow_hyphen_values = true)]
    pub position: String,
    /// Name of the direction in directions.safetensors
    #[arg(long, default_value = "refusal")]
    pub name: String,
    /// Folder of a run whose v*, v_c and w it is compared with
    #[arg(long, value_name = "RUN")]
    pub against: Option<PathBuf>,
    /// Folder for the direction, the prompts' residual streams and the results
    #[arg(long)]
    pub out: PathBuf,
}

/// Computes the direction, writes the results and prints them.
pub fn direction(args: &DirectionArgs) -> Result<()> {
    let found = direction_into(
        &DirectionOptions {
            model: args.model.settings()?,
            template: args.model.load.template.clone(),
            plus: args.plus.clone(),
            minus: args.minus.clone(),
            limit: args.limit,
            layers: args.layers.numbers(),
            position: Position::parse(&args.position)?,
            name: args.name.clone(),
            against: args.against.clone(),
            out: args.out.clone(),
        },
        &mut Bars::new(),
        &mut Bars::new(),
    )?;
    result(|| serde_json::to_value(&found).expect("plain data serialises"));
    println!("{}", found.page().to_terminal());
    println!("direction in {}", args.out.join("directions.safetensors").display());
    Ok(())
}

/// Which token of a prompt is read; the prompt ends where the response would begin, including the template's text
/// there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Position {
    /// The k-th token from the end; 1 is the last.
    FromEnd(usize),
    /// The mean over all tokens.
    Mean,
}

impl Position {
    /// Parses `last`, `mean`, or `-k`.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for anything else.
    pub fn parse(text: &str) -> Result<Self> {
        match (text, text.strip_prefix('-').and_then(|k| k.parse().ok())) {
            ("last", _) => Ok(Self::FromEnd(1)),
            ("mean", _) => Ok(Self::Mean),
            (_, Some(k)) if k > 0 => Ok(Self::FromEnd(k)),
            _ => Err(Diagnostic::new(Kind::Invalid, format!("position `{text}`"))
                .expected("last, mean, or -k for the k-th token from the end")
                .into()),
        }
    }

    fn span(self, tokens: usize) -> Option<TokenSpan> {
        match self {
            Self::Mean => Some(TokenSpan { start: 0, end: tokens }),
            Self::FromEnd(k) => tokens.checked_sub(k).map(|start| TokenSpan { start, end: start + 1 }),
        }
    }

    fn name(self) -> String {
        match self {
            Self::Mean => "mean".to_owned(),
            Self::FromEnd(1) => "last".to_owned(),
            Self::FromEnd(k) => format!("-{k}"),
        }
    }
}

/// Options of `vstar direction`.
#[derive(Debug, Clone)]
pub struct DirectionOptions {
    /// The model.
    pub model: ModelSettings,
    /// The template; `None` uses the model's default.
    pub template: Option<TemplateName>,
    /// Prompts of the first set.
    pub plus: PathBuf,
    /// Prompts of the second set.
    pub minus: PathBuf,
    /// Maximum number of prompts read from each set.
    pub limit: Option<usize>,
    /// Layers; `None` means all.
    pub layers: Option<Vec<usize>>,
    /// Token position.
    pub position: Position,
    /// Name of the direction.
    pub name: String,
    /// Run to compare it with.
    pub against: Option<PathBuf>,
    /// Folder for the results.
    pub out: PathBuf,
}

/// Computes the direction and writes `directions.safetensors`, `direction.json`, `direction.md`, and the prompts'
/// residual streams as observations, so that two checkpoints can be compared by `vstar shift`.
///
/// # Errors
/// Errors of reading prompts, model and run; [`Kind::Invalid`] for a prompt that is in both sets, or that is too
/// short for the position.
pub fn direction_into(
    options: &DirectionOptions,
    downloads: &mut dyn Downloads,
    progress: &mut dyn Progress,
) -> Result<DirectionReport> {
    crate::input::name::check_name("the direction's name", &options.name)?;
    let sets = [&options.plus, &options.minus].map(|path| read_prompts(path, options.limit));
    let [plus, minus] = sets;
    let (plus, minus) = (plus?, minus?);
    let known: BTreeMap<String, &PromptRecord> = plus.iter().map(|p| (p.prompt.plain_text(), p)).collect();
    if let Some(twice) = minus.iter().find(|m| known.contains_key(&m.prompt.plain_text())) {
        return Err(Diagnostic::new(Kind::Invalid, "a prompt stands in both sets")
            .at(twice.place.clone().id(&twice.id))
            .found(format!("also at {}", known[&twice.prompt.plain_text()].place))
            .into());
    }
    let opened = options.model.open(options.template.as_ref(), downloads)?;
    let layers = opened.layers(options.layers.as_deref())?;
    let Opened { model, template, template_name } = opened;
    let width = model.decoder.config().hidden_size;
    let all: Vec<&PromptRecord> = plus.iter().chain(&minus).collect();
    let requests = all
        .par_iter()
        .map(|asked| request(&model, &template, asked, options.position))
        .collect::<Result<Vec<_>>>()?;
    let settings = Settings {
        layers: layers.clone(),
        pool: Pool::Mean,
        chunk_tokens: forest::chunk_tokens(&model.decoder, None),
        memory: None,
        steering: Default::default(),
    };
    let plan = forest::plan_requests(&model.decoder, &requests, settings.chunk_tokens);
    progress.begin("prompts", plan.packed_tokens);
    let place = |i: usize| all[i].place.clone().id(&all[i].id);
    let readings = forest::run(&model.decoder, &requests, &settings, &place, &mut |n| progress.advance(n))?;
    progress.end();
    let halves: Vec<bool> = all.iter().map(|a| half(&a.prompt.plain_text())).collect();
    let resid =
        Array3::from_shape_fn((all.len(), layers.len(), width), |(r, l, j)| readings[r].resid[l * width + j]);
    let mut warnings = Vec::new();
    let run = options.against.as_deref().map(Run::read).transpose()?;
    if let Some(run) = &run
        && run.read.observations.hidden_size() != width
    {
        return Err(Diagnostic::new(Kind::RunConflict, "the run is of a model of another width")
            .expected(format!("{width}"))
            .found(run.read.observations.hidden_size().to_string())
            .into());
    }
    let mut found = Vec::new();
    let mut flat = Vec::new();
    for (l, &layer) in layers.iter().enumerate() {
        let h: Array2<f32> = resid.index_axis(ndarray::Axis(1), l).to_owned();
        let (p, m) = h.view().split_at(ndarray::Axis(0), plus.len());
        let (half_p, half_m) = halves.split_at(plus.len());
        let sets = Sets { plus: (p, half_p), minus: (m, half_m) };
        let means = Means::new(&sets);
        flat.extend(means.whole.iter().map(|&v| v as f32));
        let against = match &run {
            Some(run) if run.read.observations.layers().contains(&layer) => {
                run.against(layer, &means, &sets)?
            }
            _ => Vec::new(),
        };
        let ids = |pivot: &Pivot| all[if pivot.plus { pivot.row } else { plus.len() + pivot.row }].id.clone();
        found.push(LayerMeans::new(layer, &means, &sets, spread(&sets), against, ids));
    }
    if found.len() > 1 {
        warnings
            .push("the best of several layers is a little too good: choose one on other prompts".to_owned());
    }
    let report = DirectionReport {
        format: "vstar-direction/1",
        model: model.identity.name.clone(),
        name: options.name.clone(),
        position: options.position.name(),
        prompts: [plus.len(), minus.len()],
        against: options.against.as_ref().map(|p| p.display().to_string()),
        layers: found,
        warnings,
    };
    let directions = Directions {
        model: model.identity.name.clone(),
        model_type: model.decoder.config().family.model_type().to_owned(),
        model_sha256: model.identity.fingerprint(),
        layers: layers.clone(),
        width,
        arrays: [(options.name.clone(), flat)].into_iter().collect(),
    };
    let mut meta = Meta::new(layers);
    meta.model = model.identity.name.clone();
    meta.revision = model.identity.revision.clone();
    meta.pool = format!("prompt {}", options.position.name());
    meta.template = template_name;
    let label = |r: usize| if r < plus.len() { 1.0 } else { 0.0 };
    let columns = Columns {
        prompt: Some((0..).take(all.len()).collect()),
        ntok: Some(requests.iter().map(|r| r.tokens.len() as u32).collect()),
        values: [(options.name.clone(), (0..all.len()).map(label).collect())].into_iter().collect(),
        ..Columns::default()
    };
    let records: Vec<RowRecord> = all
        .iter()
        .zip(&requests)
        .map(|(asked, request)| RowRecord {
            id: asked.id.clone(),
            response: 0,
            constitution: crate::observations::BARE.to_owned(),
            span: request.response.map_or([0, 0], |s| [s.start, s.end]),
            pooled: None,
            tokens: None,
            sequence_sha256: None,
        })
        .collect();
    let out = &options.out;
    artifact::write_bytes(&out.join(DIRECTIONS), &to_safetensors(&directions))?;
    Observations::new(meta, columns, resid)?.write(&out.join(OBSERVATIONS))?;
    write_rows(&out.join(ROWS), &records)?;
    let json = serde_json::to_string_pretty(&report).expect("plain data serialises") + "\n";
    artifact::write_bytes(&out.join("direction.json"), json.as_bytes())?;
    artifact::write_bytes(&out.join("direction.md"), report.page().to_markdown().as_bytes())?;
    Ok(report)
}

/// Assigns a prompt to a half by a hex digit of its SHA-256, the same in every run.
fn half(text: &str) -> bool {
    artifact::sha256(text.as_bytes()).as_bytes()[1].is_multiple_of(2)
}

/// The prompt as the model reads it before a response, and the token positions to read.
fn request(model: &Model, template: &Template, asked: &PromptRecord, position: Position) -> Result<Request> {
    let at = |e: crate::error::Error| match e {
        crate::error::Error::Diagnostic(mut diagnostic) => {
            diagnostic.place = asked.place.clone().id(&asked.id);
            crate::error::Error::Diagnostic(diagnostic)
        }
        other => other,
    };
    // The rendering before the response does not depend on the response.
    let rendered = template.render(None, &asked.prompt, "x").map_err(at)?;
    let tokens = model.encoder.encode(&rendered.text[..rendered.response.start]).map_err(at)?;
    check_length(model, tokens.len()).map_err(at)?;
    let Some(span) = position.span(tokens.len()).filter(|s| s.end > s.start) else {
        return Err(Diagnostic::new(Kind::Invalid, "a prompt with fewer tokens than the position asks for")
            .at(asked.place.clone().id(&asked.id))
            .found(format!("{} tokens", tokens.len()))
            .into());
    };
    Ok(Request { tokens, response: Some(span), logprob: false, answers: None })
}

/// √(mean ‖h − mean of its set‖²).
fn spread(sets: &Sets<'_>) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    for (h, _) in [sets.plus, sets.minus] {
        let wide = h.mapv(f64::from);
        let mean = wide.sum_axis(ndarray::Axis(0)) / wide.nrows() as f64;
        sum += (&wide - &mean).iter().map(|v| v * v).sum::<f64>();
        n += wide.nrows() as f64;
    }
    (sum / n).sqrt()
}

/// A run whose directions are compared with the new one.
struct Run {
    read: RunRows,
    problem: Problem,
    directions: Option<Directions>,
}

impl Run {
    fn read(folder: &Path) -> Result<Self> {
        let read = RunRows::open(folder, None)?;
        let problem = pose(&read.observations, None, &BTreeSet::new())?.problem;
        Ok(Self { problem, directions: read_directions(folder).ok(), read })
    }

    /// v* of each value, v_c of each constitution, and w (length controlled where token counts are known).
    fn against(&self, layer: Layer, means: &Means, sets: &Sets<'_>) -> Result<Vec<Against>> {
        let problem = &self.problem;
        let posed = pose(&self.read.observations, None, &BTreeSet::new())?;
        let h = posed.source.resid(layer)?;
        let all = |_: usize| true;
        let mut benches: Vec<(Rows, bool, Option<Bench>)> = Vec::new();
        let mut out = Vec::new();
        let mut add =
            |name: String, rows: Rows, length: bool, label: &dyn Fn(&Bench) -> Vec<f64>| -> Result<()> {
                if !benches.iter().any(|(r, l, _)| *r == rows && *l == length) {
                    let bench = self.bench(&rows, length, &h)?;
                    benches.push((rows.clone(), length, bench));
                }
                let found = benches.iter().find(|(r, l, _)| *r == rows && *l == length);
                let Some((_, _, Some(bench))) = found else { return Ok(()) };
                let probed = bench.probe(vec![label(bench)]).remove(0);
                let stored = self.directions.as_ref().and_then(|d| {
                    let (_, v) = d.rows(d.arrays.get(&name)?).find(|(l, _)| *l == layer)?;
                    Some(v.iter().map(|&v| f64::from(v)).collect::<Vec<f64>>())
                });
                let mut against = Against::new(means, sets, &name, bench, &probed, stored.as_deref());
                against.estimate.layer = Some(layer);
                if let Some(rest) = &mut against.without_coordinate {
                    rest.layer = Some(layer);
                }
                out.push(against);
                Ok(())
            };
        for value in &problem.values {
            let rows = rows::of_value(problem, value, &all);
            add(format!("v_star.{}", value.name), rows, false, &|b| rows::label(b, value))?;
        }
        for judged in &problem.judged {
            let rows = rows::of_judged(problem, judged, &all);
            add(format!("v_c.{}", judged.label()), rows, false, &|b| b.column(&judged.reward))?;
        }
        if let Some(logprob) = &problem.logprob {
            let length = problem.tokens.is_some();
            add("w".to_owned(), rows::all(problem, &all), length, &|b| b.logprob(logprob))?;
        }
        Ok(out)
    }

    fn bench(&self, rows: &Rows, length: bool, h: &Array2<f32>) -> Result<Option<Bench>> {
        let contrasts = rows.contrasts(&self.problem);
        if contrasts.is_empty() {
            return Ok(None);
        }
        let control = match &self.problem.tokens {
            Some(tokens) if length => {
                Some(LengthControl::new(&contrasts, tokens).unwrap_or_else(LengthControl::nothing))
            }
            _ => None,
        };
        match Bench::new(contrasts, h.view(), control) {
            Ok(bench) => Ok(Some(bench)),
            Err(e) if e.kind() == Some(Kind::NotEstimable) => Ok(None),
            Err(e) => Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_parse_or_say_why_not() {
        assert_eq!(Position::parse("last").expect("last"), Position::FromEnd(1));
        assert_eq!(Position::parse("-3").expect("-3"), Position::FromEnd(3));
        assert_eq!(Position::parse("mean").expect("mean"), Position::Mean);
        assert!(Position::parse("first").is_err() && Position::parse("-0").is_err());
        assert_eq!(Position::FromEnd(3).span(5).map(|s| (s.start, s.end)), Some((2, 3)));
        assert!(Position::FromEnd(6).span(5).is_none());
    }

    #[test]
    fn halves_depend_on_the_text_alone_and_are_even() {
        let in_first = (0..1000).filter(|i| half(&format!("prompt {i}"))).count();
        assert!((430..570).contains(&in_first), "{in_first}");
        assert_eq!(half("a"), half("a"));
    }
}
