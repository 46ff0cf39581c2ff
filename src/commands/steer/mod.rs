//! `vstar steer`: measures the same responses with and without an intervention, and with random ones.

mod questionnaire;

use super::args::{CaptureArgs, DataArgs, ModelArgs};
use super::terminal::bars::Bars;
use super::terminal::out::result;
use crate::artifact;
use crate::config::scope::LogprobOf;
use crate::error::{Diagnostic, Kind, Result};
use crate::fit::named::Named;
use crate::forest::Pool;
use crate::model::decoder::{At, Intervention, Steering};
use crate::model::hub::Downloads;
use crate::model::settings::each_once;
use crate::run::capture::{CaptureOptions, Prepared};
use crate::run::progress::Progress;
use crate::steer::effect::{Comparison, Disturbance, Layered, Null, Outcome, Steered, estimate, mean};
use crate::steer::random::{Law, isotropic, with_covariance};
use crate::theory::base::dominant::Largest;
use crate::theory::{Estimate, Flag, Quantity};
use crate::units::{ByteSize, Layer, LayerList};
use clap::{Args, ValueEnum};
use ndarray::Array2;
use questionnaire::{Answers, Questionnaire};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ScaleName {
    /// The root mean square length of the residual stream of the responses at the layer
    Rms,
    /// The length of the stored direction
    Norm,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Tokens {
    /// Every token
    All,
    /// The response's tokens
    Response,
}

#[derive(Debug, Args)]
pub struct SteerArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub data: DataArgs,
    /// Direction: a run's folder or a directions.safetensors, and a name in it; @LAYER uses that layer's vector at
    /// every layer
    #[arg(long, value_name = "FILE:NAME[@LAYER]")]
    pub direction: String,
    /// Accept a direction that was fitted in another model of the same width, such as the one before training
    #[arg(long)]
    pub any_model: bool,
    /// Layers at which to intervene: `all`, or numbers and ranges [default: the direction's @LAYER, else the layer
    /// its run reported]
    #[arg(long, visible_alias = "layers")]
    pub layer: Option<LayerList>,
    /// Add this many times the unit given by --scale, along the direction
    #[arg(
        long,
        value_name = "ALPHA",
        allow_negative_numbers = true,
        conflicts_with = "ablate",
        required_unless_present = "ablate"
    )]
    pub add: Option<f64>,
    /// Project the direction out
    #[arg(long)]
    pub ablate: bool,
    /// Unit of --add
    #[arg(long, value_enum, default_value = "rms")]
    pub scale: ScaleName,
    /// Tokens of a response's text to intervene on; a judge's questions are changed at all tokens
    #[arg(long, value_enum, default_value = "all")]
    pub tokens: Tokens,
    /// Number of random directions of equal length to compare with, isotropic and as many with the covariance of h;
    /// below 39 no effect can be significant at .05
    /// be significant at .05
    #[arg(long, default_value_t = 39)]
    pub random: usize,
    /// Seed of the random directions
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Judge template, where constitutions are given [default: one that suits the model]
    #[arg(long)]
    pub judge: Option<String>,
    /// Maximum number of judged pairs per prompt [default: all whose labels differ]
    #[arg(long)]
    pub max_pairs: Option<usize>,
    /// Maximum memory of the forward pass in addition to the weights, such as 2GB
    #[arg(long)]
    pub memory: Option<ByteSize>,
    /// Folder for steer.json and steer.md
    #[arg(long)]
    pub out: PathBuf,
}

/// Runs the interventions, writes the results and prints them.
pub fn steer(args: SteerArgs) -> Result<()> {
    let capture = CaptureArgs {
        model: args.model,
        data: args.data,
        layers: LayerList::All,
        pool: Pool::Mean,
        memory: args.memory,
        logprob: LogprobOf::All,
        out: args.out.clone(),
    };
    let options = SteerOptions {
        capture: capture.options()?,
        direction: args.direction,
        any_model: args.any_model,
        layers: args.layer,
        act: args.add.map_or(Act::Ablate, Act::Add),
        scale: match args.scale {
            ScaleName::Rms => Scale::Rms,
            ScaleName::Norm => Scale::Norm,
        },
        at: match args.tokens {
            Tokens::All => At::Everywhere,
            Tokens::Response => At::Response,
        },
        random: args.random,
        seed: args.seed,
        judge: args.judge,
        most_pairs: args.max_pairs,
        out: args.out,
    };
    let steered = steer_into(&options, &mut Bars::new(), &mut Bars::new())?;
    result(|| serde_json::json!(steered.to_json()));
    println!("{}", steered.page().to_terminal());
    println!("findings in {}", options.out.join("steer.md").display());
    Ok(())
}

/// Intervention along the direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Act {
    /// Adds α times the unit given by the scale.
    Add(f64),
    /// Projects it out.
    Ablate,
}

/// Unit of α.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// A vector along the direction of length √(mean ‖h‖²) of the responses at the layer.
    Rms,
    /// The direction as stored.
    Norm,
}

/// Options of `vstar steer`.
#[derive(Debug, Clone)]
pub struct SteerOptions {
    /// Model, data and constitutions to judge under; `layers` is not read.
    pub capture: CaptureOptions,
    /// `FILE:NAME[@LAYER]`.
    pub direction: String,
    /// Whether a direction fitted in another model is accepted.
    pub any_model: bool,
    /// Layers; `None` uses the direction's pinned or reported one.
    pub layers: Option<LayerList>,
    /// Intervention.
    pub act: Act,
    /// Unit of α.
    pub scale: Scale,
    /// Tokens of a response's text to intervene on.
    pub at: At,
    /// Number of random directions from each distribution.
    pub random: usize,
    /// Seed of the random directions.
    pub seed: u64,
    /// Judge template.
    pub judge: Option<String>,
    /// Maximum number of judged pairs per prompt.
    pub most_pairs: Option<usize>,
    /// Folder for steer.json and steer.md.
    pub out: PathBuf,
}

/// Runs the interventions and writes `steer.json` and `steer.md`.
///
/// # Errors
/// Errors of reading direction, data and model; `Missing` if no layer is given or reported; errors of the forward
/// pass.
pub fn steer_into(
    options: &SteerOptions,
    downloads: &mut dyn Downloads,
    progress: &mut dyn Progress,
) -> Result<Steered> {
    let direction = Named::read(&options.direction)?;
    let mut capture = options.capture.clone();
    (capture.capture.layers, capture.bare) = (LayerList::These(vec![Layer(0)]), true);
    let mut prepared = Prepared::fetched(&capture, downloads)?;
    if !options.any_model {
        direction.check_model(&prepared.model.identity)?;
    }
    let blocks = prepared.model.decoder.config().num_blocks();
    let layers: Vec<Layer> = match (&options.layers, direction.pinned.or(direction.reported)) {
        (Some(list), _) => each_once(list.numbers().as_deref(), blocks),
        (None, Some(layer)) => vec![layer],
        (None, None) => {
            return Err(Diagnostic::new(Kind::Missing, "nothing says at which layer to intervene")
                .expected("--layer, FILE:NAME@LAYER, or a report.json beside the directions")
                .into());
        }
    };
    prepared.settings.layers = layers.clone();
    let vectors = layers.iter().map(|&l| direction.at(l)).collect::<Result<Vec<_>>>()?;
    // Fail here rather than after the first forward pass.
    acts(&layers, &vectors, &vec![1.0; layers.len()], Act::Ablate, At::Everywhere)?
        .check(prepared.model.decoder.config())?;
    let questionnaire = Questionnaire::new(options, &prepared)?;
    let largest: Vec<Option<Largest>> = vectors.iter().map(|v| Largest::coordinate(v)).collect();
    let rest = without_dominant(&vectors, &largest);
    let variants = 2 + 2 * options.random + usize::from(rest.is_some());
    let tokens: usize = questionnaire.requests().map(|r| r.tokens.len()).sum();
    progress.begin("steer", tokens * variants);
    let base = questionnaire.ask(&prepared, &Steering::default(), &Steering::default(), progress)?;
    let h = base.layers(layers.len());
    let rms: Vec<f64> = h.iter().map(rms).collect();
    let lengths: Vec<f64> = vectors
        .iter()
        .zip(&rms)
        .map(|(v, rms)| match (options.act, options.scale) {
            (Act::Ablate, _) => 1.0,
            (Act::Add(alpha), Scale::Rms) => alpha * rms,
            (Act::Add(alpha), Scale::Norm) => alpha * norm(v),
        })
        .collect();
    let mut ask = |vectors: &[Vec<f64>]| -> Result<Answers> {
        let responses = acts(&layers, vectors, &lengths, options.act, options.at)?;
        let questions = acts(&layers, vectors, &lengths, options.act, At::Everywhere)?;
        questionnaire.ask(&prepared, &responses, &questions, progress)
    };
    let steered = ask(&vectors)?;
    let rest = rest.map(|rest| ask(&rest)).transpose()?;
    let mut random: BTreeMap<usize, Vec<Answers>> = BTreeMap::new();
    let laws = [Law::Isotropic, Law::Covariance];
    for (which, law) in laws.iter().enumerate() {
        for i in 0..options.random {
            let draw = |h: &Array2<f32>| match law {
                Law::Isotropic => isotropic(options.seed, i, h.ncols()),
                Law::Covariance => with_covariance(options.seed, i, h.view(), &questionnaire.prompt),
            };
            let drawn: Vec<Vec<f64>> = h.iter().map(draw).collect();
            if drawn.iter().any(|u| norm(u) == 0.0) {
                continue;
            }
            random.entry(which).or_default().push(ask(&drawn)?);
        }
    }
    progress.end();
    let nulls = |effect: Option<f64>, of: &dyn Fn(&Answers) -> Option<f64>| -> Vec<Null> {
        let Some(effect) = effect else { return Vec::new() };
        let each = random.iter().filter_map(|(&w, all)| {
            Null::new(laws[w], effect, all.iter().filter_map(of).collect::<Vec<_>>())
        });
        each.collect()
    };
    let mut outcomes = Vec::new();
    for (value, list) in &questionnaire.comparisons {
        let change = |after: &Answers| mean(list, |c| Some(after.logprob(c) - base.logprob(c)));
        let what = "mean over prompts of the change of log P(better) − log P(worse)";
        let of = |after: &Answers| {
            let mut e = estimate(Quantity::SteerLogprob, what, change(after));
            (e.value, e.layer) = (Some(value.clone()), Some(layers[0]));
            e
        };
        let (e, without_coordinate) = with_rest(&of, &steered, rest.as_ref());
        let random = nulls(e.estimate, &|a| change(a).map(|m| m.value));
        let before = mean(list, |c| Some(base.logprob(c))).map(|m| m.value);
        outcomes.push(Outcome { estimate: e, before, random, without_coordinate });
        for (c, constitution) in prepared.judged().iter().enumerate() {
            let odds = |answers: &Answers, pair: &Comparison| questionnaire.odds(answers, c, pair);
            let change = |after: &Answers| mean(list, |pair| Some(odds(after, pair)? - odds(&base, pair)?));
            let what = "mean over prompts of the change of (ab − ba)/2 for the better response";
            let of = |after: &Answers| {
                let mut e = estimate(Quantity::SteerJudge, what, change(after)).under(&constitution.name);
                (e.value, e.layer) = (Some(value.clone()), Some(layers[0]));
                e
            };
            let (e, without_coordinate) = with_rest(&of, &steered, rest.as_ref());
            let random = nulls(e.estimate, &|a| change(a).map(|m| m.value));
            let before = mean(list, |pair| odds(&base, pair)).map(|m| m.value);
            outcomes.push(Outcome { estimate: e, before, random, without_coordinate });
        }
    }
    let mut warnings: Vec<String> = prepared.items.notes.clone();
    for (what, skipped) in
        [("responses", &questionnaire.job.skipped), ("judged pairs", &questionnaire.judge_batch.skipped)]
    {
        if let Some(first) = skipped.first() {
            warnings.push(format!("left out: {} {what}, the first: {}", skipped.len(), first.what));
        }
    }
    if options.at == At::Response && !prepared.judged().is_empty() {
        warnings.push("a judge's question has no response of its own: it is steered at all tokens".into());
    }
    let per_token = |after: &Answers| questionnaire.per_token(&base, after);
    let disturbance = per_token(&steered).map(|found| {
        let (lo, hi) = found.interval();
        let all: Vec<f64> = random.values().flatten().filter_map(|a| Some(per_token(a)?.mean)).collect();
        let square = all.iter().map(|v| v * v).sum::<f64>() / all.len() as f64;
        Disturbance { mean: found.mean, lo, hi, random_rms: (!all.is_empty()).then(|| square.sqrt()) }
    });
    let adds = matches!(options.act, Act::Add(_));
    let report = Steered {
        format: "vstar-steer/1",
        model: prepared.model.identity.name.clone(),
        direction: options.direction.clone(),
        action: if adds { "add" } else { "ablate" },
        alpha: if let Act::Add(alpha) = options.act { Some(alpha) } else { None },
        scale: adds.then_some(if options.scale == Scale::Rms { "rms" } else { "norm" }),
        tokens: if options.at == At::Response { "response" } else { "all" },
        layers: (0..layers.len())
            .map(|i| Layered {
                layer: layers[i],
                length: adds.then(|| lengths[i].abs()),
                rms: rms[i],
                direction_coordinate: largest[i],
                stream_coordinate: stream_coordinate(&h[i]),
            })
            .collect(),
        random: options.random,
        seed: options.seed,
        outcomes,
        disturbance,
        warnings,
    };
    let json = serde_json::to_string_pretty(&report.to_json()).expect("plain data serialises") + "\n";
    artifact::write_bytes(&options.out.join("steer.json"), json.as_bytes())?;
    artifact::write_bytes(&options.out.join("steer.md"), report.page().to_markdown().as_bytes())?;
    Ok(report)
}

/// The effect of the direction, flagged where one coordinate dominates it, and the effect without that coordinate.
fn with_rest(
    of: &dyn Fn(&Answers) -> Estimate,
    whole: &Answers,
    rest: Option<&Answers>,
) -> (Estimate, Option<Estimate>) {
    let whole = of(whole);
    match rest {
        Some(rest) => (whole.flag(Flag::DominantCoordinate), Some(of(rest))),
        None => (whole, None),
    }
}

/// The directions with each layer's dominant coordinate set to 0; `None` where no layer has one, or where a direction
/// would become 0.
fn without_dominant(vectors: &[Vec<f64>], largest: &[Option<Largest>]) -> Option<Vec<Vec<f64>>> {
    let dominant = |l: &Option<Largest>| l.filter(Largest::dominates).map(|l| l.index);
    largest.iter().any(|l| dominant(l).is_some()).then_some(())?;
    let rest: Vec<Vec<f64>> = vectors
        .iter()
        .zip(largest)
        .map(|(v, l)| {
            let mut v = v.clone();
            if let Some(index) = dominant(l) {
                v[index] = 0.0;
            }
            v
        })
        .collect();
    rest.iter().all(|v| norm(v) > 0.0).then_some(rest)
}

/// The coordinate with the largest share of the mean of ‖h‖².
fn stream_coordinate(h: &Array2<f32>) -> Option<Largest> {
    let squares: Vec<f64> =
        h.columns().into_iter().map(|c| c.iter().map(|&v| f64::from(v).powi(2)).sum()).collect();
    Largest::of(&squares)
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// √(mean over rows of ‖h‖²).
fn rms(h: &Array2<f32>) -> f64 {
    (h.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / h.nrows().max(1) as f64).sqrt()
}

/// The interventions: adding a vector of the given length along each layer's direction, or projecting each direction
/// out.
fn acts(layers: &[Layer], vectors: &[Vec<f64>], lengths: &[f64], act: Act, at: At) -> Result<Steering> {
    let each = layers.iter().zip(vectors).zip(lengths).map(|((&layer, v), length)| match act {
        Act::Ablate => Intervention::ablate(layer, v, at),
        Act::Add(_) => Intervention::add(layer, v, length / norm(v), at),
    });
    Ok(Steering::new(each.collect::<Result<Vec<_>>>()?))
}
