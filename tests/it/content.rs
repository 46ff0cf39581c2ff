//! Built-in content: prompts balanced in length, constitutions of one form, judge templates that parse.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use vstar::input::{Family, Items, ReadOptions, read_constitutions, read_items};
use vstar::judge::{JudgeTemplate, Mode};
use vstar::units::OneOf;

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn prompts() -> Items {
    let files = ["prompts/harmless.jsonl", "prompts/honest.jsonl", "prompts/helpful.jsonl"].map(root);
    read_items(&files, &ReadOptions::default()).expect("the shipped prompts")
}

#[test]
fn sixty_prompts_and_more_carry_labels_of_three_values() {
    let items = prompts();
    assert!(items.items.len() >= 60 && items.notes.is_empty() && items.skipped.is_empty());
    for item in &items.items {
        assert!((2..=4).contains(&item.responses.len()), "{}", item.id);
        for response in &item.responses {
            let names: Vec<_> = response.values.keys().map(String::as_str).collect();
            assert_eq!(names, ["harmless", "helpful", "honest"], "{}", item.id);
            assert!(response.values.values().all(|v| (0.0..=1.0).contains(v)), "{}", item.id);
        }
    }
}

#[test]
fn better_responses_are_not_longer() {
    let items = prompts();
    for value in ["harmless", "honest", "helpful"] {
        let (mut sxy, mut sxx, mut syy) = (0.0, 0.0, 0.0);
        for item in &items.items {
            let x: Vec<f64> =
                item.responses.iter().map(|r| r.text.split_whitespace().count() as f64).collect();
            let y: Vec<f64> = item.responses.iter().map(|r| r.values[value]).collect();
            let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
            let (mx, my) = (mean(&x), mean(&y));
            for (a, b) in x.iter().zip(&y) {
                sxy += (a - mx) * (b - my);
                sxx += (a - mx) * (a - mx);
                syy += (b - my) * (b - my);
            }
        }
        let r = sxy / f64::sqrt(sxx * syy);
        assert!(r.abs() < 0.1, "{value}: within-prompt correlation with words {r}");
    }
}

#[test]
fn constitutions_come_in_five_families_of_one_length() {
    let all = read_constitutions(&[root("constitutions")]).expect("the shipped constitutions");
    assert!(all.len() >= 24);
    let mut words: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for c in &all {
        words.entry(c.family.as_str()).or_default().push(c.text.split_whitespace().count() as f64);
        assert!(!c.expect.is_empty(), "{} makes no guess", c.name);
    }
    assert_eq!(words.len(), Family::ALL.len());
    let means: Vec<f64> = words.values().map(|w| w.iter().sum::<f64>() / w.len() as f64).collect();
    let (low, high) = means.iter().fold((f64::MAX, 0f64), |(l, h), &m| (l.min(m), h.max(m)));
    assert!(high - low < 3.0, "mean words by family: {means:?}");
    assert!(words["placebo"].len() >= 3);
}

#[test]
fn every_judge_template_parses() {
    let mut seen = 0;
    for entry in std::fs::read_dir(root("prompts/judge")).expect("the judges") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "toml") {
            let text = std::fs::read_to_string(&path).expect("text");
            let template = JudgeTemplate::parse(&text, &path).unwrap_or_else(|e| panic!("{e}"));
            let pointwise = path.to_string_lossy().contains("pointwise");
            assert_eq!(template.mode == Mode::Pointwise, pointwise, "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 4);
}
