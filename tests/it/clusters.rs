//! Clusters of near-duplicates compared with the definition, and their cost.

use proptest::prelude::*;
use vstar::input::{Items, ReadOptions, cluster};

use crate::input::{read, read_bytes};

fn prompts(texts: &[String]) -> Items {
    let rows: String = texts
        .iter()
        .map(|text| format!("{}\n", serde_json::json!({"prompt": text, "responses": ["a"]})))
        .collect();
    read_bytes("prompts.jsonl", rows.as_bytes(), &ReadOptions::default()).expect("reads")
}

/// Clusters by comparing all pairs, straight from the definition.
fn brute_force(texts: &[String]) -> Vec<usize> {
    let sets: Vec<std::collections::BTreeSet<Vec<String>>> = texts
        .iter()
        .map(|text| {
            let words: Vec<_> = text.split_whitespace().map(str::to_lowercase).collect();
            if words.len() < 3 { [words].into() } else { words.windows(3).map(<[_]>::to_vec).collect() }
        })
        .collect();
    let mut cluster: Vec<usize> = (0..texts.len()).collect();
    for a in 0..texts.len() {
        for b in 0..a {
            let both = sets[a].intersection(&sets[b]).count() as f64;
            if both / (sets[a].union(&sets[b]).count() as f64) >= 0.8 - 1e-12 {
                let (from, to) = (cluster[a], cluster[b]);
                cluster.iter_mut().filter(|c| **c == from).for_each(|c| *c = to);
            }
        }
    }
    cluster
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn clusters_are_those_of_comparing_all_pairs(
        bases in proptest::collection::vec(proptest::collection::vec(0u8..6, 1..40), 1..5),
        edits in proptest::collection::vec((0usize..5, 0usize..40, 0u8..6, any::<bool>()), 1..25),
    ) {
        let texts: Vec<String> = edits
            .iter()
            .map(|(base, at, word, edit)| {
                let mut words = bases[base % bases.len()].clone();
                let at = at % words.len();
                if *edit { words[at] = *word } else { words.insert(at, *word) }
                words.iter().map(|w| format!("w{w}")).collect::<Vec<_>>().join(" ")
            })
            .collect();
        let (ours, reference) = (cluster(&prompts(&texts)), brute_force(&texts));
        for a in 0..texts.len() {
            for b in 0..a {
                prop_assert_eq!(
                    ours.of_item[a] == ours.of_item[b],
                    reference[a] == reference[b],
                    "{:?} / {:?}", texts[a], texts[b]
                );
            }
        }
    }
}

#[test]
fn copies_that_differ_in_case_and_punctuation_are_one_cluster_and_groups_join_clusters() {
    let texts = [
        "Please tell me how to bake a good loaf of rye bread at home today, thanks.",
        "please tell me how to bake a good loaf of rye bread at home today - thanks",
        // Three of its fourteen shingles differ: 11 / 17 are shared.
        "Please tell me how to bake a good loaf of rye bread at home tonight, thanks.",
        "What does a lighthouse keeper do all day?",
    ]
    .map(str::to_owned);
    let clusters = cluster(&prompts(&texts));
    assert_eq!(clusters.of_item, [0, 0, 1, 2]);
    assert_eq!((clusters.groups, clusters.count, clusters.joined_groups, clusters.largest), (4, 3, 2, 2));
    // Rows of one group form one cluster, and so do rows with equal prompts in different groups.
    let clusters = cluster(&read("native.jsonl"));
    assert_eq!(
        (clusters.of_item.as_slice(), clusters.count, clusters.joined_groups),
        ([0, 1, 1].as_slice(), 2, 0)
    );
    let rows = "{\"prompt\": \"same here\", \"group\": \"a\", \"responses\": [\"x\"]}\n{\"prompt\": \"same here\", \"responses\": [\"x\"]}\n";
    let items = read_bytes("x.jsonl", rows.as_bytes(), &ReadOptions::default()).expect("reads");
    assert_eq!((items.groups(), cluster(&items).of_item), (vec![0, 1], vec![0, 0]));
}

#[test]
fn many_prompts_of_one_pattern_are_one_cluster_and_do_not_take_quadratic_time() {
    let texts: Vec<String> = (0..20_000)
        .map(|n| format!("Write a short and friendly letter of thanks to my neighbour number {n} who looked after the cat and the plants while we were away for two weeks in July"))
        .collect();
    let items = prompts(&texts);
    let start = std::time::Instant::now();
    let clusters = cluster(&items);
    assert_eq!(clusters.count, 1);
    assert!(start.elapsed().as_secs() < 60, "{:?}", start.elapsed());
}
