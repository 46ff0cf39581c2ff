//! Clusters of copies and near-copies of prompts: the blocks for leave-out and intervals, because prompts with the same
//! content are not independent draws.
//!
//! A prompt is represented by the set of its shingles: runs of three words, lower-cased, punctuation left out (a
//! shorter prompt is one shingle). Two prompts are near-copies if the Jaccard similarity of their sets, |A ∩ B| / |A ∪
//! B|, is at least 0.8. Clusters are the connected components of: near-copies, equal prompts, rows of one `group`.
//!
//! The pairs are found exactly by prefix filtering (Bayardo, Ma & Srikant 2007; Xiao et al. 2008): with shingles
//! ordered from rare to common, two sufficiently similar sets share one of their first |A| − ⌈0.8 |A|⌉ + 1 shingles.
//! One exception: among prompts whose prefixes share a shingle, each is compared only with the 2000 preceding ones, so
//! that a hundred thousand prompts from one pattern stay affordable.
//! last 2000 before it, so that a hundred thousand prompts cut from one pattern stay affordable.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use rayon::prelude::*;

use super::item::{Items, number};
use crate::sets::DisjointSets;

/// Number of words in a shingle.
const WORDS: usize = 3;

/// Maximum number of candidates per shingle that a prompt is compared with.
const MOST_PROPOSED: usize = 2000;

/// Partition of the items into clusters of copies and near-copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clusters {
    /// Cluster number of each item, from 0 in order of appearance.
    pub of_item: Vec<i32>,
    /// Number of clusters.
    pub count: usize,
    /// Number of groups ([`Items::groups`]).
    pub groups: usize,
    /// Number of groups that share their cluster with another group; reported in a warning.
    pub joined_groups: usize,
    /// Number of groups in the largest cluster.
    pub largest: usize,
}

/// Clusters the prompts of all items. Empty for no items.
pub fn cluster(items: &Items) -> Clusters {
    let (groups, prompts) = (items.groups(), items.prompt_numbers());
    let mut first_of_prompt: Vec<usize> = Vec::new();
    for (item, prompt) in prompts.iter().enumerate() {
        if usize::try_from(*prompt).is_ok_and(|p| p == first_of_prompt.len()) {
            first_of_prompt.push(item);
        }
    }
    let text = |item: &usize| {
        let messages = items.items[*item].prompt.messages();
        messages.into_iter().map(|m| m.content).collect::<Vec<_>>().join("\n")
    };
    let texts: Vec<_> = first_of_prompt.iter().map(text).collect();
    let mut sets = DisjointSets::new(items.items.len());
    join_equal(&mut sets, &groups);
    join_equal(&mut sets, &prompts);
    near_copies(&texts, &first_of_prompt, &mut sets);
    summarize(&mut sets, &groups)
}

fn summarize(sets: &mut DisjointSets, groups: &[i32]) -> Clusters {
    let of_item = number((0..groups.len()).map(|item| sets.find(item)));
    let mut members: HashMap<i32, HashSet<i32>> = HashMap::new();
    for (cluster, group) in of_item.iter().zip(groups) {
        members.entry(*cluster).or_default().insert(*group);
    }
    let sizes = || members.values().map(HashSet::len);
    Clusters {
        count: members.len(),
        groups: sizes().sum(),
        joined_groups: sizes().filter(|n| *n > 1).sum(),
        largest: sizes().max().unwrap_or(0),
        of_item,
    }
}

fn join_equal(sets: &mut DisjointSets, numbers: &[i32]) {
    let mut first = HashMap::new();
    for (item, number) in numbers.iter().enumerate() {
        let root = *first.entry(*number).or_insert(item);
        sets.join(root, item);
    }
}

/// A text's shingles. Those that no other text has are counted but not stored.
struct Shingles {
    /// Number of all shingles.
    count: usize,
    /// Shingles shared with another text, as ranks from the rarest to the most common, sorted.
    shared: Vec<u32>,
}

impl Shingles {
    /// The shared shingles among the first |A| − ⌈0.8 |A|⌉ + 1; all unshared ones come first.
    fn prefix(&self) -> &[u32] {
        let length = self.count - (4 * self.count).div_ceil(5) + 1;
        let unshared = self.count - self.shared.len();
        &self.shared[..length.saturating_sub(unshared).min(self.shared.len())]
    }

    /// Whether the Jaccard similarity is at least 0.8.
    fn is_near(&self, other: &Self) -> bool {
        let (a, b) = (&self.shared, &other.shared);
        let (mut i, mut j, mut both) = (0, 0, 0);
        while i < a.len() && j < b.len() {
            match a[i].cmp(&b[j]) {
                Ordering::Less => i += 1,
                Ordering::Greater => j += 1,
                Ordering::Equal => (i, j, both) = (i + 1, j + 1, both + 1),
            }
        }
        5 * both >= 4 * (self.count + other.count - both)
    }
}

/// Joins all near-copies among the texts; `owner` maps each text to its component.
fn near_copies(texts: &[String], owner: &[usize], components: &mut DisjointSets) {
    let sets = shared(texts.par_iter().map(|text| shingles(text)).collect());
    // In increasing size: a candidate found in the index is never the larger of the two.
    let mut order: Vec<usize> = (0..sets.len()).collect();
    order.sort_by_key(|at| sets[*at].count);
    let mut index: HashMap<u32, Vec<usize>> = HashMap::new();
    let mut seen_by = vec![usize::MAX; sets.len()];
    for &at in &order {
        let set = &sets[at];
        for shingle in set.prefix() {
            let before = index.entry(*shingle).or_default();
            for &other in before.iter().rev().take(MOST_PROPOSED) {
                if 5 * sets[other].count < 4 * set.count {
                    // Earlier ones are even smaller.
                    break;
                }
                if std::mem::replace(&mut seen_by[other], at) == at {
                    continue;
                }
                let (a, b) = (owner[at], owner[other]);
                if components.find(a) != components.find(b) && set.is_near(&sets[other]) {
                    components.join(a, b);
                }
            }
            before.push(at);
        }
    }
}

/// Keeps the shingles that occur in several sets, ranked by the number of sets.
fn shared(sets: Vec<Vec<u64>>) -> Vec<Shingles> {
    let mut all: Vec<u64> = sets.iter().flatten().copied().collect();
    all.par_sort_unstable();
    let mut counted: Vec<(usize, u64)> =
        all.chunk_by(|a, b| a == b).filter(|same| same.len() > 1).map(|same| (same.len(), same[0])).collect();
    drop(all);
    counted.sort_unstable();
    let ranks: HashMap<u64, u32> =
        counted.iter().zip(0..).map(|((_, shingle), rank)| (*shingle, rank)).collect();
    sets.into_par_iter()
        .map(|set| {
            let mut shared: Vec<u32> = set.iter().filter_map(|shingle| ranks.get(shingle).copied()).collect();
            shared.sort_unstable();
            Shingles { count: set.len(), shared }
        })
        .collect()
}

/// Hashes of a text's distinct shingles.
fn shingles(text: &str) -> Vec<u64> {
    let words = words(text);
    let mut hashes: Vec<u64> = match words.len() {
        // A text without words is hashed as a whole.
        0 => vec![hash(&[text.trim().to_owned()])],
        1..WORDS => vec![hash(&words)],
        _ => words.windows(WORDS).map(hash).collect(),
    };
    hashes.sort_unstable();
    hashes.dedup();
    hashes
}

fn hash(words: &[String]) -> u64 {
    let mut hasher = DefaultHasher::new();
    words.hash(&mut hasher);
    hasher.finish()
}

/// Words, lower-cased: runs of letters and digits. In scripts written without spaces (assumed for all characters above
/// U+0E00) each character is a word.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        let alone = c >= '\u{0E00}' && c.is_alphanumeric();
        if (alone || !c.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if alone {
            words.push(c.to_string());
        } else if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
