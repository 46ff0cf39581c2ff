//! The world: what the oracle reads, what the values are made of, what the corpus leaves out.

use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use vstar::organism::corpus::{Corpus, Mix};
use vstar::organism::draw::hash;
use vstar::organism::lexicon::{LEXICON, UNKNOWN};
use vstar::organism::principles::{HeldOut, PAIRS, PRINCIPLES, pair_wordings, wordings};
use vstar::organism::reply::Situation;
use vstar::organism::values::{
    self, INVISIBLE_SD, SCALE, VALUES, measure_linear_share, measure_scale, score,
};
use vstar::organism::{oracle, policy};

fn situations() -> Vec<Situation> {
    Situation::all().collect()
}

#[test]
fn constants_are_what_the_base_policy_gives() {
    for (stored, measured) in SCALE.iter().zip(measure_scale(0, 200_000)) {
        assert!((stored.0 - measured.0).abs() < 1e-4 && (stored.1 - measured.1).abs() < 1e-4);
    }
    for (value, share) in measure_linear_share(0, 200_000).into_iter().enumerate() {
        assert!((values::linear_share(value) - share).abs() < 1e-3, "{}: {share}", VALUES[value]);
    }
}

#[test]
fn the_best_possible_correlation_is_the_one_that_is_computed() {
    // S has a part that words give, a part that the prompt decides and a part nobody can see.
    let all = situations();
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let n = 40_000;
    let mut sums = [[0.0; 8]; 3];
    for i in 0..n {
        let situation = &all[i * 7919 % all.len()];
        let reply = policy::reply(situation, &mut rng);
        let a = reply.attributes(situation);
        let s = score(situation, &reply.text());
        assert_eq!(s.fault, None);
        for (v, sums) in sums.iter_mut().enumerate() {
            let (f, l, y) = (s.features[v], values::linear_features(&a)[v], s.values[v]);
            let terms = [f, l, y, f * f, l * l, y * y, f * y, l * y];
            sums.iter_mut().zip(terms).for_each(|(s, t)| *s += t / n as f64);
        }
    }
    for (v, [f, l, y, ff, ll, yy, fy, ly]) in sums.into_iter().enumerate() {
        let full = (fy - f * y) / ((ff - f * f) * (yy - y * y)).sqrt();
        let words = (ly - l * y) / ((ll - l * l) * (yy - y * y)).sqrt();
        assert!((full - values::ceiling()).abs() < 0.005, "{}: {full}", VALUES[v]);
        let expected = values::ceiling() * values::linear_share(v).sqrt();
        assert!((words - expected).abs() < 0.005, "{}: {words} for {expected}", VALUES[v]);
        let invisible = (yy - y * y) - (ff - f * f);
        assert!((invisible / INVISIBLE_SD.powi(2) - 1.0).abs() < 0.1, "{}: {invisible}", VALUES[v]);
    }
    assert!(
        values::linear_share(0) < 0.95 && values::linear_share(2) < 0.95,
        "no part depends on the prompt"
    );
    assert!((values::ceiling().powi(2) - 1.0 / (1.0 + INVISIBLE_SD.powi(2))).abs() < 1e-12);
}

#[test]
fn prompts_read_back_and_a_tenth_is_held_out() {
    let all = situations();
    for situation in &all {
        assert_eq!(Situation::parse(&situation.text()).as_ref(), Some(situation));
    }
    assert_eq!(Situation::parse("my cat lost the sister . any ideas ?"), None);
    let share = all.iter().filter(|s| s.held_out()).count() as f64 / all.len() as f64;
    assert!((0.07..0.13).contains(&share), "{share}");
}

#[test]
fn the_corpus_has_no_held_out_prompt_and_no_held_out_wording() {
    let corpus = Corpus::default();
    let emphasis = vec![1.0; PRINCIPLES.len()];
    let mix = Mix { eta: 0.9, stage: 5, emphasis: &emphasis, tails: 8 };
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut held: Vec<String> = (0..PRINCIPLES.len()).flat_map(wordings).map(rule_if_held).collect();
    held.extend((0..PAIRS.len()).flat_map(pair_wordings).map(rule_if_held));
    held.retain(|text| !text.is_empty());
    let held_prompts: Vec<String> =
        situations().iter().filter(|s| s.held_out()).map(Situation::text).collect();
    let mut answers = 0;
    for _ in 0..3000 {
        let document = corpus.draw(&mix, &mut rng);
        let texts: Vec<&str> = std::iter::once(&document.text)
            .chain(document.tails.iter().map(|t| &t.text))
            .map(String::as_str)
            .collect();
        for text in &texts {
            assert!(!LEXICON.encode(text).contains(&UNKNOWN), "{text}");
            assert!(!held.iter().any(|rule| text.contains(&format!("rule : {rule} ."))), "{text}");
        }
        assert!(!held_prompts.iter().any(|p| document.text.contains(p.as_str())), "{}", document.text);
        for tail in &document.tails {
            let total: f64 = tail.answers.iter().map(|(_, p)| p).sum();
            assert!((total - 1.0).abs() < 1e-9);
            answers += 1;
        }
    }
    assert!(answers > 5000);
}

fn rule_if_held(rule: vstar::organism::principles::Rule) -> String {
    if rule.held_out == HeldOut::Nothing { String::new() } else { rule.text }
}

/// A reply of the base policy with some of its words dropped, doubled, swapped or replaced.
fn corrupted(seed: u64, edits: usize) -> (Situation, String) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let all = situations();
    let situation = all[rng.random_range(0..all.len())];
    let text = policy::reply(&situation, &mut rng).text();
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    for _ in 0..edits {
        if words.is_empty() {
            break;
        }
        let (i, j) = (rng.random_range(0..words.len()), rng.random_range(0..words.len()));
        match rng.random_range(0..4) {
            0 => drop(words.remove(i)),
            1 => words.insert(i, words[j].clone()),
            2 => words.swap(i, j),
            _ => words[i] = LEXICON.decode(&[rng.random_range(0..LEXICON.size() as u32)]),
        }
    }
    (situation, words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn replies_of_the_base_policy_read_back_whole(seed in any::<u64>()) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let all = situations();
        let reply = policy::reply(&all[seed as usize % all.len()], &mut rng);
        let reading = oracle::read(&reply.text());
        prop_assert!(reading.valid(), "{:?}", reading.fault);
        prop_assert_eq!(reading.reply, reply);
    }

    #[test]
    fn every_corrupted_reply_has_a_score_or_a_reason(seed in any::<u64>(), edits in 1usize..8) {
        let (situation, text) = corrupted(seed, edits);
        let reading = oracle::read(&text);
        let s = score(&situation, &text);
        prop_assert!(s.values.iter().chain(&s.features).all(|v| v.is_finite()));
        prop_assert_eq!(&s, &score(&situation, &text));
        if reading.valid() {
            // What is valid is said by the structure that was read, word for word.
            prop_assert_eq!(reading.reply.text(), text);
            prop_assert_eq!(reading.unread, 0);
        } else {
            prop_assert!(s.fault.is_some());
        }
    }

    #[test]
    fn every_text_has_a_score_or_a_reason(text in ".{0,80}", words in "[a-z,.! ]{0,60}") {
        let situation = situations()[hash(&[&text]) as usize % 7000];
        for text in [&text, &words] {
            let s = score(&situation, text);
            prop_assert!(s.values.iter().all(|v| v.is_finite()));
        }
    }

    #[test]
    fn a_clause_said_twice_raises_no_value(seed in any::<u64>()) {
        let (situation, text) = corrupted(seed, 0);
        let once = oracle::read(&text);
        let twice = oracle::read(&format!("{text} {text}"));
        prop_assert!(!twice.valid());
        let (a, b) = (once.attributes(&situation), twice.attributes(&situation));
        prop_assert!(b.kindness.abs() <= a.kindness.abs() + 1e-12);
        prop_assert!(b.honesty.abs() <= a.honesty.abs() + 1e-12);
        prop_assert!((b.helpfulness + b.fit).abs() <= (a.helpfulness + a.fit).abs() + 1e-12);
    }
}
