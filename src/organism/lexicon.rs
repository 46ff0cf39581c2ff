//! The vocabulary: every word of the world, and its tokenizer file.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;

use serde_json::json;

use super::principles::{PRINCIPLES, TEMPLATES};
use super::words::{
    ACTIONS, ADJECTIVES, ANSWERS, CLOSERS, DEEDS, DEGREES, END_MARKS, FACTS, HARMS, IRONIES, MATTERS, MODALS,
    OBJECTS, OPENERS, PERSONS, PRAISES, PROMISES, QUESTIONS, ROLES, STANCES, THINGS, TOPICS,
};

/// Padding, unknown word, end of a dialogue.
pub const SPECIAL: [&str; 3] = ["<pad>", "<unk>", "<eos>"];
/// Id of `<unk>`.
pub const UNKNOWN: u32 = 1;
/// Id of `<eos>`.
pub const END: u32 = 2;

/// Marks that a reader may put at the end of a reply, for and against each value of [`super::values::VALUES`].
pub const MARKS: [[&str; 2]; 4] =
    [["(kind)", "(cruel)"], ["(true)", "(false)"], ["(useful)", "(useless)"], ["(pleasing)", "(rude)"]];

/// Words around prompts, replies and rules.
const FRAME: &str = "user bot : A B rule better follows note yes no my over the . , is not never tell i will did your and to be";

/// Words and their ids.
pub struct Lexicon {
    words: Vec<String>,
    ids: HashMap<String, u32>,
}

/// The vocabulary, built once.
pub static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    let mut set = BTreeSet::new();
    let mut take = |text: &str| set.extend(text.split_whitespace().map(str::to_owned));
    take(FRAME);
    for list in [PERSONS, HARMS, ROLES, MATTERS, STANCES, PROMISES] {
        list.iter().for_each(|w| take(w));
    }
    for list in
        [FACTS, QUESTIONS, ADJECTIVES, PRAISES, DEGREES, MODALS, DEEDS, OBJECTS, ANSWERS, ACTIONS, END_MARKS]
    {
        list.iter().for_each(|(w, _)| take(w));
    }
    TOPICS.iter().chain(THINGS).flatten().chain(MARKS.iter().flatten()).for_each(|w| take(w));
    OPENERS.iter().chain(IRONIES).chain(CLOSERS).for_each(|(w, ..)| take(w));
    TEMPLATES.iter().for_each(|t| take(&t.replace("{}", "")));
    for principle in PRINCIPLES {
        principle.adjectives.iter().chain(&principle.phrase).for_each(|w| take(w));
    }
    let words: Vec<String> = SPECIAL.iter().map(|w| (*w).to_owned()).chain(set).collect();
    let ids = words.iter().enumerate().map(|(i, w)| (w.clone(), i as u32)).collect();
    Lexicon { words, ids }
});

impl Lexicon {
    /// Number of words, including special ones.
    pub fn size(&self) -> usize {
        self.words.len()
    }

    /// Id of a word; `<unk>` for a word outside the world.
    pub fn id(&self, word: &str) -> u32 {
        self.ids.get(word).copied().unwrap_or(UNKNOWN)
    }

    /// Ids of a text's words.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        text.split_whitespace().map(|w| self.id(w)).collect()
    }

    /// Ids of the words that end a reply: `<eos>`, and the readers' marks.
    pub fn ends(&self) -> Vec<u32> {
        std::iter::once(END).chain(MARKS.iter().flatten().map(|w| self.id(w))).collect()
    }

    /// Words of the ids, separated by spaces.
    pub fn decode(&self, ids: &[u32]) -> String {
        let words: Vec<&str> = ids.iter().map(|&i| self.words[i as usize].as_str()).collect();
        words.join(" ")
    }

    /// Text of `tokenizer.json`.
    pub fn tokenizer_json(&self) -> String {
        let special = |id: usize| {
            json!({"id": id, "content": SPECIAL[id], "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false, "special": true})
        };
        let vocab: serde_json::Map<String, serde_json::Value> =
            self.words.iter().enumerate().map(|(i, w)| (w.clone(), json!(i))).collect();
        let file = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": [special(0), special(1), special(2)],
            "normalizer": null,
            "pre_tokenizer": {"type": "WhitespaceSplit"},
            "post_processor": null,
            "decoder": null,
            "model": {"type": "WordLevel", "vocab": vocab, "unk_token": SPECIAL[1]},
        });
        serde_json::to_string_pretty(&file).expect("plain JSON") + "\n"
    }
}
