//! `vstar organism`: the known-answer model.

mod args;

use std::path::Path;
use std::time::Instant;

use candle_core::Device;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

pub use args::OrganismArgs;
use args::{EngineName, OrganismCommand};

use super::terminal::bars::Bars;
use crate::error::{Diagnostic, Kind, Result};
use crate::input::{ReadOptions, read_items};
use crate::model::{DeviceName, Dtype, LoadOptions, Model, ModelSource};
use crate::organism::card::{self, METRICS, TRAINING, Training};
use crate::organism::corpus::{Corpus, Mix};
use crate::organism::curriculum::JUDGED;
use crate::organism::engine::Engine;
use crate::organism::metrics::{Metrics, Scope, measure};
use crate::organism::net::Shape;
use crate::organism::principles::{PRINCIPLES, last_stage};
use crate::organism::reply::Situation;
use crate::organism::rlaif::{Mean, Settings, rlaif};
use crate::organism::sample::{Options, sample};
use crate::organism::score::{score_items, write_rows};
use crate::organism::train::{Recipe, State};
use crate::organism::values::VALUES;
use crate::organism::{checkpoint, export, folder};
use crate::run::progress::Progress;

/// Runs the given command.
pub fn organism(args: &OrganismArgs) -> Result<()> {
    match &args.command {
        OrganismCommand::Corpus { seed, documents, eta, out } => corpus(*seed, *documents, *eta, out),
        OrganismCommand::Train { size, eta, steps, minutes, seed, engine, device: name, out } => {
            let engine = engine_on(*engine, &DeviceName::open(Some(*name))?)?;
            let mut recipe =
                Recipe { size: size.clone(), seed: *seed, steps: *steps, eta: *eta, engine: engine.name() };
            if let Some(minutes) = minutes {
                // Resumes an interrupted training regardless of the machine's present speed.
                let begun =
                    checkpoint::recipe(out)?.filter(|r| Recipe { steps: r.steps, ..recipe.clone() } == *r);
                recipe.steps = match begun {
                    Some(begun) => begun.steps,
                    None => steps_in(&recipe, &engine, *minutes)?,
                };
                println!("{} steps", recipe.steps);
            }
            train(recipe, &engine, out)
        }
        OrganismCommand::Sample { model, data, temperature, replies, rule, seed, out } => {
            let options = Options { replies: *replies, temperature: *temperature, longest: 40, seed: *seed };
            sample_to(model, data, rule.as_deref(), options, out)
        }
        OrganismCommand::Score { file, out } => score(file, out.as_deref()),
        OrganismCommand::Evaluate { model, prompts, replies, seed, card } => {
            evaluate(model, Scope { prompts: *prompts, replies: *replies, seed: *seed }, *card)
        }
        OrganismCommand::Rlaif { model, rule, lambda, pairs, steps, prompts, replies, seed, out } => {
            let settings = Settings {
                rule: rule.clone(),
                lambda_sd: *lambda,
                pairs: *pairs,
                steps: *steps,
                prompts: *prompts,
                replies: *replies,
                seed: *seed,
            };
            train_on_judgments(model, &settings, out)
        }
        OrganismCommand::Data { model, count, seed, prompts, constitutions } => {
            let loaded = load(model)?;
            let written = with_bar("sample", *count, "prompts", |bars| {
                export::prompts(&loaded, *count, *seed, prompts, &mut |n| bars.advance(n))
            })?;
            println!("{written} prompts in {}", prompts.display());
            let written = export::write_constitutions(constitutions)?;
            println!("{written} constitutions in {}", constitutions.display());
            Ok(())
        }
    }
}

/// The requested engine, or the default for the device.
fn engine_on(name: Option<EngineName>, device: &Device) -> Result<Engine> {
    match (name, device.is_cpu()) {
        (Some(EngineName::Own) | None, true) => Ok(Engine::Own),
        (Some(EngineName::Own), false) => Err(Diagnostic::new(Kind::Unsupported, "--engine own on a GPU")
            .expected("--engine candle, or --device cpu")
            .into()),
        _ => Ok(Engine::Candle(device.clone())),
    }
}

fn load(name: &str) -> Result<Model> {
    let options = LoadOptions {
        dtype: Dtype::F32.candle(),
        device: DeviceName::open(Some(DeviceName::Cpu))?,
        stream: false,
        quantize: None,
        adapter: None,
    };
    Model::load(&ModelSource::parse(name, None)?, name, &options)
}

fn with_bar<T>(
    step: &str,
    total: usize,
    unit: &'static str,
    work: impl FnOnce(&mut Bars) -> Result<T>,
) -> Result<T> {
    let mut bars = Bars::new();
    bars.start(step, total, unit);
    let out = work(&mut bars);
    bars.end();
    out
}

fn corpus(seed: u64, documents: usize, eta: f64, out: &Path) -> Result<()> {
    let corpus = Corpus::default();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let emphasis = vec![1.0; PRINCIPLES.len()];
    let eta = eta.clamp(0.0, 1.0);
    let mix = Mix { eta, judged: JUDGED, stage: last_stage(), emphasis: &emphasis, tails: 8 };
    let rows = (0..documents).map(|_| {
        let d = corpus.draw(&mix, &mut rng);
        let tails: Vec<_> = d.tails.iter().map(|t| json!({"text": t.text, "answers": t.answers})).collect();
        json!({"kind": d.kind, "text": d.text, "ending": d.ending, "tails": tails})
    });
    write_rows(out, rows)?;
    println!("{documents} documents in {}", out.display());
    Ok(())
}

/// Number of steps that this machine computes in some minutes, from the time of twenty steps after the first.
fn steps_in(recipe: &Recipe, engine: &Engine, minutes: f64) -> Result<usize> {
    const PROBE: u32 = 20;
    let corpus = Corpus::default();
    let mut state = State::new(Recipe { steps: usize::MAX / 8, ..recipe.clone() })?;
    state.advance(&corpus, engine)?;
    let begun = Instant::now();
    for _ in 0..PROBE {
        state.advance(&corpus, engine)?;
    }
    let step = begun.elapsed().as_secs_f64() / f64::from(PROBE);
    Ok(((minutes * 60.0 / step) as usize).max(1))
}

/// Seconds between checkpoints.
const CHECKPOINT_SECONDS: u64 = 30;

fn train(recipe: Recipe, engine: &Engine, out: &Path) -> Result<()> {
    let corpus = Corpus::default();
    let mut state = match checkpoint::read(out, &recipe)? {
        Some(state) => state,
        None => State::new(recipe)?,
    };
    println!("{}: {} parameters, at step {}", state.recipe, state.shape.parameters(), state.step);
    let steps = state.recipe.steps;
    let mut bars = Bars::new();
    bars.start("train", steps, "steps");
    bars.advance(state.step)?;
    let mut written = Instant::now();
    while state.step < steps {
        let point = state.advance_to_point(&corpus, engine, &mut |_| bars.advance(1))?;
        let learned: Vec<String> = PRINCIPLES
            .iter()
            .zip(&state.curriculum.accuracy)
            .filter(|(p, _)| p.stage <= point.stage && p.prefers.iter().any(|c| *c != 0.0))
            .map(|(p, a)| format!("{} {a:.2}", p.name))
            .collect();
        bars.say(&format!(
            "step {}: loss {:.3}, answers {:.3}, right {:.3}, stage {}: {}",
            point.step,
            point.loss,
            point.answer_loss,
            point.accuracy,
            point.stage,
            learned.join(", ")
        ));
        if written.elapsed().as_secs() >= CHECKPOINT_SECONDS || state.step == steps {
            checkpoint::write(out, &state)?;
            written = Instant::now();
        }
    }
    bars.end();
    folder::write(out, &state.shape, &state.parameters)?;
    card::write_json(&out.join(TRAINING), &Training::of(&state))?;
    println!("the model is in {}", out.display());
    Ok(())
}

fn sample_to(model: &str, data: &Path, rule: Option<&str>, options: Options, out: &Path) -> Result<()> {
    let items = read_items(&[data.to_owned()], &ReadOptions::default())?.items;
    let model = load(model)?;
    let prompts: Vec<String> = items
        .iter()
        .map(|item| item.prompt.messages().last().map(|m| m.content.clone()).unwrap_or_default())
        .collect();
    let rule = rule.map_or_else(String::new, |r| format!("rule : {r} . "));
    let contexts: Vec<String> = prompts.iter().map(|p| format!("{rule}user : {p} bot :")).collect();
    let replies = with_bar("sample", contexts.len(), "prompts", |bars| {
        sample(&model, &contexts, options, &mut |n| bars.advance(n))
    })?;
    let rows = items.iter().zip(&prompts).zip(replies).map(|((item, prompt), replies)| {
        let situation = Situation::parse(prompt);
        let responses: Vec<_> = replies
            .into_iter()
            .filter(|text| !text.is_empty())
            .map(|text| match &situation {
                Some(situation) => {
                    let values = crate::organism::values::score(situation, &text).values;
                    let values: serde_json::Map<_, _> =
                        VALUES.iter().zip(values).map(|(v, s)| ((*v).to_owned(), json!(s))).collect();
                    json!({"text": text, "values": values})
                }
                None => json!({"text": text}),
            })
            .collect();
        json!({"id": item.id, "prompt": prompt, "responses": responses})
    });
    write_rows(out, rows)?;
    println!("replies in {}", out.display());
    Ok(())
}

fn train_on_judgments(name: &str, settings: &Settings, out: &Path) -> Result<()> {
    let base = load(name)?;
    let made = |shape: &Shape, parameters: &[f32]| {
        folder::write(out, shape, parameters)?;
        load(&out.to_string_lossy())
    };
    let trained = with_bar("train", settings.steps, "steps", |bars| {
        rlaif(&base, settings, &made, &mut |_| bars.advance(0))
    })?;
    let o = &trained.outcome;
    card::write_json(&out.join("rlaif.json"), o)?;
    println!(
        "rule `{}`, λ·sd(r) {}, sd(r) {:.3} nats; what the optimum lacks {:.3}; KL {:.3} ± {:.3} nats a reply",
        settings.rule, settings.lambda_sd, o.reward_sd, o.miss, o.kl.mean, o.kl.se
    );
    println!("{:<10} {:>19} {:>19} {:>19}", "value", "predicted", "at the reached KL", "measured");
    for c in &o.changes {
        let show = |m: &Mean| format!("{:.3} ± {:.3}", m.mean, m.se);
        println!(
            "{:<10} {:>19} {:>19} {:>19}",
            c.value,
            show(&c.predicted),
            show(&c.predicted_at_kl),
            show(&c.measured)
        );
    }
    println!("the trained model is in {}", out.display());
    Ok(())
}

fn score(file: &Path, out: Option<&Path>) -> Result<()> {
    let items = read_items(&[file.to_owned()], &ReadOptions::default())?;
    let (summary, rows) = score_items(&items);
    println!("{} responses, {} with values", summary.responses, summary.scored);
    if summary.scored > 0 {
        for (value, mean) in VALUES.iter().zip(summary.means) {
            println!("mean S, {value}: {mean:.3}");
        }
    }
    println!("not wholly of the grammar: {:.1} %", 100.0 * summary.unparseable());
    let mut faults: Vec<_> = summary.faults.iter().collect();
    faults.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
    for (fault, n) in faults.into_iter().take(8) {
        println!("  {n} × {}", crate::error::Excerpt(fault));
    }
    if let Some(out) = out {
        write_rows(out, rows)?;
        println!("the items with their values are in {}", out.display());
    }
    Ok(())
}

fn evaluate(name: &str, scope: Scope, write_card: bool) -> Result<()> {
    let model = load(name)?;
    let mut bars = Bars::new();
    // A model without a training record is compared with the base policy.
    let eta = card::read_training(Path::new(name)).map_or(0.0, |t| t.recipe.eta);
    let metrics = measure(&model, scope, eta, &mut |_| bars.advance(0))?;
    print_metrics(&metrics);
    if write_card {
        let folder = Path::new(name);
        card::write_json(&folder.join(METRICS), &metrics)?;
        let training = card::read_training(folder)?;
        let title = folder.file_name().map_or_else(|| "model".into(), |n| n.to_string_lossy().into_owned());
        let text = card::text(&title, &training, &metrics);
        crate::artifact::write_bytes(&folder.join("README.md"), text.as_bytes())?;
        println!("the card is in {}", folder.join("README.md").display());
    }
    Ok(())
}

fn print_metrics(m: &Metrics) {
    println!("replies of the grammar {:.3}, distinct {:.3}, {:.1} words", m.valid, m.distinct, m.words);
    for (value, l) in &m.generation {
        println!(
            "leans towards {value}: {:.3} ± {:.3} nats a standard deviation, {:.3} expected; correlation {:.3}, {:.3} expected",
            l.measured, l.se, l.expected, l.correlation, l.expected_correlation
        );
    }
    let line = |name: &str, c: &crate::organism::metrics::Choice| {
        println!(
            "{name:<14} {:<32} {:>4} pairs  {:.2} {:.2} {:.2}  bias {:.2}  rms {:.2}",
            c.rule, c.clear, c.first, c.second, c.debiased, c.position_bias, c.strength
        );
    };
    m.principles.iter().for_each(|(name, c)| line(name, c));
    m.placebos.iter().for_each(|(name, c)| line(name, c));
    for (new, choices) in &m.held_out {
        choices.iter().for_each(|c| line(new, c));
    }
    println!("held-out wordings {:.3}, position bias {:.2}", m.held_out_mean, m.position_bias);
}
