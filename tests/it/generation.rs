//! Generated text: greedy continuations against transformers' `generate` for every family, replies that do not depend on
//! what they are sampled with, and the file of items that `vstar sample` writes.
//!
//! `scripts/fixtures/make_generations.py` writes the references.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device};
use serde::Deserialize;
use vstar::error::{Kind, Place};
use vstar::generation::batches::{Size, batches};
use vstar::generation::{Choice, Context, End, Options, Reply, generate, seed_of};
use vstar::model::decoder::{Engine, Steering};
use vstar::model::weights::Checkpoint;
use vstar::model::{Config, Decoder};

use crate::stories::fixture;

#[derive(Deserialize)]
struct Reference {
    prompt: Vec<u32>,
    tokens: Vec<u32>,
    log_probs: Vec<f64>,
    margins: Vec<f64>,
}

fn references() -> BTreeMap<String, Vec<Reference>> {
    let text = std::fs::read_to_string(fixture("generations.json")).expect("the references");
    serde_json::from_str(&text).expect("JSON")
}

fn decoder(folder: &Path, engine: Engine) -> Decoder {
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).expect("config.json");
    let config = Config::from_json(&text, &path).expect("a supported config");
    let checkpoint = Checkpoint::open(folder, DType::F32, &Device::Cpu).expect("a checkpoint");
    Decoder::load(config, &checkpoint).expect("weights").with_engine(engine)
}

fn contexts(prompts: &[&[u32]], replies: usize) -> Vec<Context> {
    prompts
        .iter()
        .enumerate()
        .map(|(i, tokens)| Context {
            tokens: tokens.to_vec(),
            seeds: (0..replies).map(|r| seed_of(5, &i.to_string(), r)).collect(),
            place: Place::default(),
        })
        .collect()
}

fn options(choice: Choice, replies: usize, longest: usize, memory: Option<usize>) -> Options<'static> {
    Options { choice, size: Size { replies, longest, memory }, ends: &[], finished: None }
}

fn replies(decoder: &Decoder, contexts: &[Context], options: Options<'_>) -> Vec<Vec<Reply>> {
    let mut out = Vec::new();
    let mut done = |context: usize, replies: Vec<Reply>| {
        assert_eq!(context, out.len(), "contexts are finished in order");
        out.push(replies);
        Ok(())
    };
    generate(decoder, contexts, options, &mut done, &mut |_| Ok(())).expect("replies");
    out
}

#[test]
fn greedy_continuations_are_those_of_transformers_in_every_family_and_engine() {
    // Beyond this distance of the two likeliest tokens, rounding cannot change the choice.
    const CLEAR: f64 = 1e-3;
    let all = references();
    assert!(all.len() >= 30, "{} models", all.len());
    let (mut compared, mut skipped) = (0, 0);
    for (name, rows) in &all {
        for engine in [Engine::Auto, Engine::Batched, Engine::Plain] {
            let decoder = decoder(&fixture("models").join(name), engine);
            // Together where their greatest lengths agree, so that prefixes are shared.
            let mut by_length: BTreeMap<usize, Vec<&Reference>> = BTreeMap::new();
            for row in rows {
                by_length.entry(row.tokens.len()).or_default().push(row);
            }
            for (longest, rows) in by_length {
                let prompts: Vec<&[u32]> = rows.iter().map(|row| row.prompt.as_slice()).collect();
                let regime = |len: usize| decoder.config().rope_regime(len);
                if prompts.iter().any(|p| regime(p.len()) != regime(p.len() + longest)) {
                    let options = options(Choice::GREEDY, 1, longest, None);
                    let refused =
                        generate(&decoder, &contexts(&prompts, 1), options, &mut |_, _| Ok(()), &mut |_| {
                            Ok(())
                        });
                    assert_eq!(refused.expect_err("refused").kind(), Some(Kind::TooLong), "{name}");
                    skipped += 1;
                    continue;
                }
                let found =
                    replies(&decoder, &contexts(&prompts, 1), options(Choice::GREEDY, 1, longest, None));
                for (row, found) in rows.iter().zip(&found) {
                    let unclear = row.margins.iter().position(|m| *m < CLEAR).unwrap_or(row.tokens.len());
                    assert_eq!(
                        found[0].tokens[..unclear],
                        row.tokens[..unclear],
                        "{name}, {engine:?}, {:?}",
                        row.prompt
                    );
                    for (i, (ours, theirs)) in
                        found[0].log_probs[..unclear].iter().zip(&row.log_probs).enumerate()
                    {
                        assert!(
                            (ours - theirs).abs() < 1e-4,
                            "{name}, {engine:?}, token {i}: {ours} for {theirs}"
                        );
                        compared += 1;
                    }
                }
            }
        }
    }
    assert!(compared > 5000, "{compared} tokens compared");
    assert!(skipped <= 12, "{skipped} groups refused");
}

#[test]
fn a_reply_is_the_same_to_the_bit_whatever_it_is_sampled_with() {
    let decoder = decoder(&fixture("models/gemma2"), Engine::Auto);
    let prompts: [&[u32]; 3] = [&[3, 4, 5, 6], &[3, 4, 5, 9, 10], &[7]];
    let (n, longest) = (5, 12);
    let all = contexts(&prompts, n);
    let together = replies(&decoder, &all, options(Choice::OWN, n, longest, None));
    // A token of memory: each reply is a batch of its own.
    let split = options(Choice::OWN, n, longest, Some(1));
    assert_eq!(batches(&decoder, &all, split.size).len(), 3 * n);
    assert_eq!(replies(&decoder, &all, split), together);
    for (context, expected) in all.iter().zip(&together) {
        let alone = replies(&decoder, std::slice::from_ref(context), options(Choice::OWN, n, longest, None));
        assert_eq!(&alone[0], expected);
    }
    let distinct: std::collections::BTreeSet<&[u32]> =
        together.iter().flatten().map(|r| r.tokens.as_slice()).collect();
    assert!(distinct.len() > 12, "{} distinct replies of 15", distinct.len());
}

#[test]
fn log_p_of_sampled_tokens_is_that_of_the_whole_text() {
    use vstar::forest::{Pool, Request, Settings, run};
    use vstar::units::{Layer, TokenSpan};
    let decoder = decoder(&fixture("models/qwen3"), Engine::Auto);
    let prompt: &[u32] = &[3, 14, 15, 9];
    let found = replies(&decoder, &contexts(&[prompt], 6), options(Choice::OWN, 6, 10, None));
    let requests: Vec<Request> = found[0]
        .iter()
        .map(|reply| Request {
            tokens: [prompt, &reply.tokens].concat(),
            response: Some(TokenSpan { start: prompt.len(), end: prompt.len() + reply.tokens.len() }),
            logprob: true,
            answers: None,
        })
        .collect();
    let settings = Settings {
        layers: vec![Layer(0)],
        pool: Pool::Mean,
        chunk_tokens: 64,
        memory: None,
        steering: Steering::default(),
    };
    let read =
        run(&decoder, &requests, &settings, &|_| Place::default(), &mut |_| Ok(())).expect("a capture");
    for (reply, read) in found[0].iter().zip(&read) {
        let sampled: f64 = reply.log_probs.iter().sum();
        assert!((sampled - read.logprob).abs() < 1e-4, "{sampled} for {:?}", read.logprob);
    }
}

#[test]
fn an_end_is_no_token_of_the_reply_and_stops_it() {
    let decoder = decoder(&fixture("models/llama"), Engine::Auto);
    let prompt: &[u32] = &[3, 4, 5];
    let free = replies(&decoder, &contexts(&[prompt], 40), options(Choice::OWN, 40, 20, None));
    let ends: Vec<u32> = (0..24).collect();
    let ended = replies(
        &decoder,
        &contexts(&[prompt], 40),
        Options { ends: &ends, ..options(Choice::OWN, 40, 20, None) },
    );
    let mut by_token = 0;
    for (free, ended) in free[0].iter().zip(&ended[0]) {
        let first = free.tokens.iter().position(|t| ends.contains(t));
        let expected = first.unwrap_or(free.tokens.len());
        assert_eq!(ended.tokens, free.tokens[..expected]);
        assert_eq!(ended.log_probs, free.log_probs[..expected]);
        match first {
            Some(at) => {
                let (id, log_prob) = (free.tokens[at], free.log_probs[at]);
                assert_eq!(ended.end, End::Token { id, log_prob });
                by_token += 1;
            }
            None => assert_eq!(ended.end, End::Length),
        }
    }
    assert!(by_token > 20, "{by_token}");
}

#[test]
fn what_cannot_be_continued_is_refused_before_anything_is_computed() {
    let decoder = decoder(&fixture("models/gpt2"), Engine::Auto);
    let most = decoder.config().context;
    let long: Vec<u32> = vec![3; most - 2];
    let none: &mut dyn FnMut(usize, Vec<Reply>) -> vstar::error::Result<()> = &mut |_, _| Ok(());
    let mut kind = |prompt: &[u32], options: Options<'_>| {
        let mut computed = 0;
        let refused = generate(&decoder, &contexts(&[prompt], 1), options, none, &mut |n| {
            computed += n;
            Ok(())
        });
        assert_eq!(computed, 0);
        refused.expect_err("refused").kind()
    };
    assert_eq!(kind(&long, options(Choice::OWN, 1, 3, None)), Some(Kind::TooLong));
    assert_eq!(kind(&[], options(Choice::OWN, 1, 3, None)), Some(Kind::Invalid));
    assert_eq!(kind(&[3], options(Choice::OWN, 1, 0, None)), Some(Kind::Invalid));
    assert_eq!(kind(&[3], options(Choice { top_p: 0.0, ..Choice::OWN }, 1, 3, None)), Some(Kind::Invalid));
}
