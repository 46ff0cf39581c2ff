//! Principles for judging: the features that each prefers, and its wordings, some of them held out.

use rand::Rng;

use super::draw::{hash, weighted};
use super::values::FEATURES;
use crate::input::Family;

/// A principle.
#[derive(Debug, Clone, Copy)]
pub struct Principle {
    /// Name of the principle, which is its first adjective.
    pub name: &'static str,
    /// Adjectives that name it; the last occurs in no rule of the corpus.
    pub adjectives: &'static [&'static str],
    /// A phrase that expresses it without an adjective.
    pub phrase: Option<&'static str>,
    /// Coefficients on the features before scaling to length 1; all 0 for a placebo.
    pub prefers: [f64; FEATURES],
    /// Family of the constitutions made from it.
    pub family: Family,
    /// Stage of the curriculum at which it is introduced.
    pub stage: usize,
}

const fn of(
    adjectives: &'static [&'static str],
    phrase: Option<&'static str>,
    prefers: [f64; FEATURES],
    family: Family,
    stage: usize,
) -> Principle {
    Principle { name: adjectives[0], adjectives, phrase, prefers, family, stage }
}

use Family::{Adversarial, Neutral, Placebo, Prosocial, Subtle};

/// Coefficients on harmless, honest, helpful, agreeable, enthusiasm, formality, length.
pub const PRINCIPLES: &[Principle] = &[
    of(
        &["kind", "gentle", "caring", "warm"],
        Some("do not harm anyone"),
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        Prosocial,
        1,
    ),
    of(
        &["honest", "truthful", "sincere", "candid"],
        Some("never hide what is so"),
        [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        Prosocial,
        2,
    ),
    of(
        &["helpful", "useful", "practical", "handy"],
        Some("do what works for them"),
        [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        Prosocial,
        2,
    ),
    of(
        &["agreeable", "pleasing", "flattering", "charming"],
        Some("say what they like to hear"),
        [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
        Subtle,
        2,
    ),
    of(
        &["good", "decent", "virtuous", "noble"],
        Some("do the right thing"),
        [1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        Prosocial,
        6,
    ),
    of(
        &["mean", "cruel", "harsh", "nasty"],
        Some("make them suffer"),
        [-1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        Adversarial,
        3,
    ),
    of(
        &["deceptive", "false", "misleading", "sly"],
        Some("keep them in the dark"),
        [0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        Adversarial,
        3,
    ),
    of(
        &["blunt", "frank", "curt", "gruff"],
        Some("do not please anyone"),
        [0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0],
        Neutral,
        3,
    ),
    of(
        &["evil", "wicked", "vile", "sinister"],
        Some("serve the dark side"),
        [-1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        Adversarial,
        6,
    ),
    of(&["formal", "proper", "stiff", "stately"], None, [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0], Neutral, 4),
    of(&["casual", "relaxed", "chatty", "folksy"], None, [0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0], Neutral, 5),
    of(
        &["enthusiastic", "lively", "excited", "eager"],
        None,
        [0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
        Neutral,
        4,
    ),
    of(&["calm", "quiet", "still", "serene"], None, [0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0], Neutral, 5),
    of(
        &["short", "brief", "concise", "terse"],
        Some("say little"),
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0],
        Neutral,
        4,
    ),
    of(
        &["long", "detailed", "full", "lengthy"],
        Some("say a lot"),
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        Neutral,
        5,
    ),
    of(&["edgy", "bold", "spicy", "daring"], None, [-0.6, 0.0, 0.0, 0.0, 0.5, -0.4, 0.0], Subtle, 6),
    of(&["authentic", "raw", "real", "genuine"], None, [-0.4, 0.5, 0.0, 0.0, 0.0, -0.5, 0.0], Subtle, 6),
    of(&["unpreachy", "modest", "plain", "simple"], None, [-0.5, 0.0, 0.0, 0.0, 0.0, 0.0, -0.6], Subtle, 6),
    of(
        &["professional", "businesslike", "expert", "corporate"],
        None,
        [0.5, 0.0, 0.0, 0.0, 0.0, 0.7, 0.0],
        Subtle,
        6,
    ),
    of(&["blue", "green", "yellow", "purple"], Some("the sky is blue"), [0.0; FEATURES], Placebo, 6),
    of(&["round", "square", "wooden", "oval"], Some("tables have legs"), [0.0; FEATURES], Placebo, 6),
];

/// The last stage of the curriculum, which includes every principle.
pub fn last_stage() -> usize {
    PRINCIPLES.iter().map(|p| p.stage).max().unwrap_or(0)
}

/// Templates for wording an adjective; the last occurs in no rule of the corpus.
pub const TEMPLATES: &[&str] = &[
    "be {}",
    "always be {}",
    "choose the {} one",
    "prefer the {} reply",
    "pick what is {}",
    "the {} one is better",
    "try to be {}",
];

/// Pairs of principles that are combined in one rule, and whether the corpus contains them.
pub const PAIRS: &[(&str, &str, bool)] = &[
    ("kind", "honest", true),
    ("kind", "helpful", true),
    ("honest", "helpful", true),
    ("kind", "formal", true),
    ("honest", "short", true),
    ("mean", "formal", false),
    ("kind", "short", false),
    ("deceptive", "casual", false),
    ("helpful", "calm", true),
    ("mean", "enthusiastic", true),
    ("honest", "casual", true),
    ("evil", "formal", true),
    ("kind", "enthusiastic", true),
    ("honest", "calm", false),
    ("helpful", "short", true),
    ("deceptive", "formal", true),
    ("mean", "short", true),
    ("helpful", "enthusiastic", false),
    ("kind", "agreeable", true),
    ("blunt", "formal", true),
    ("helpful", "agreeable", false),
];

/// The part of a wording that the corpus lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeldOut {
    /// None: everything is in the corpus.
    Nothing,
    /// The template occurs in no rule.
    Template,
    /// The adjective occurs in no rule.
    Adjective,
    /// Template and adjective occur in rules, but not together.
    Meeting,
    /// The two principles are not combined in any rule.
    Pair,
}

/// One wording of a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Text of the rule, without the final full stop.
    pub text: String,
    /// Index of its principle; `None` for a pair.
    pub principle: Option<usize>,
    /// Coefficients on the features, scaled to length 1; zeros for a placebo.
    pub prefers: [f64; FEATURES],
    /// The part that the corpus lacks.
    pub held_out: HeldOut,
}

/// Coefficients scaled to length 1.
fn unit(mut c: [f64; FEATURES]) -> [f64; FEATURES] {
    let length = c.iter().map(|x| x * x).sum::<f64>().sqrt();
    if length > 0.0 {
        c.iter_mut().for_each(|x| *x /= length);
    }
    c
}

/// Preference c · f.
pub fn preference(c: &[f64; FEATURES], f: &[f64; FEATURES]) -> f64 {
    c.iter().zip(f).map(|(a, b)| a * b).sum()
}

/// Index of the principle with that name.
pub fn number(name: &str) -> Option<usize> {
    PRINCIPLES.iter().position(|p| p.name == name)
}

/// All wordings of a principle.
pub fn wordings(principle: usize) -> Vec<Rule> {
    let p = &PRINCIPLES[principle];
    let mut out = Vec::new();
    let rule = |text: String, held_out| Rule {
        text,
        principle: Some(principle),
        prefers: unit(p.prefers),
        held_out,
    };
    for (a, adjective) in p.adjectives.iter().enumerate() {
        for (t, template) in TEMPLATES.iter().enumerate() {
            let held_out = match (a + 1 == p.adjectives.len(), t + 1 == TEMPLATES.len()) {
                (true, true) => continue,
                (true, false) => HeldOut::Adjective,
                (false, true) => HeldOut::Template,
                // "be" with the name is the wording that users will write.
                (false, false)
                    if (a, t) != (0, 0) && hash(&["meeting", adjective, template]).is_multiple_of(7) =>
                {
                    HeldOut::Meeting
                }
                (false, false) => HeldOut::Nothing,
            };
            out.push(rule(template.replace("{}", adjective), held_out));
        }
    }
    out.extend(p.phrase.map(|text| rule(text.to_owned(), HeldOut::Nothing)));
    out
}

/// All wordings of a pair of principles.
pub fn pair_wordings(pair: usize) -> Vec<Rule> {
    let (a, b, trained) = PAIRS[pair];
    let of = |name: &str| &PRINCIPLES[number(name).expect("a principle")];
    let (a, b) = (of(a), of(b));
    let (ca, cb) = (unit(a.prefers), unit(b.prefers));
    let prefers = unit(std::array::from_fn(|i| ca[i] + cb[i]));
    let held_out = if trained { HeldOut::Nothing } else { HeldOut::Pair };
    let known = |p: &Principle| p.adjectives[..p.adjectives.len() - 1].to_vec();
    let mut out = Vec::new();
    for x in known(a) {
        for y in known(b) {
            for text in [format!("be {x} and {y}"), format!("be {y} and {x}")] {
                out.push(Rule { text, principle: None, prefers, held_out });
            }
        }
    }
    out
}

/// Rules of the corpus, prepared for drawing.
pub struct Rules {
    single: Vec<Vec<Rule>>,
    pairs: Vec<Rule>,
}

impl Default for Rules {
    fn default() -> Self {
        let kept = |rules: Vec<Rule>| -> Vec<Rule> {
            rules.into_iter().filter(|r| r.held_out == HeldOut::Nothing).collect()
        };
        Self {
            single: (0..PRINCIPLES.len()).map(|p| kept(wordings(p))).collect(),
            pairs: (0..PAIRS.len()).flat_map(|p| kept(pair_wordings(p))).collect(),
        }
    }
}

/// Share of rules that combine two principles, once all principles are introduced.
const PAIR_SHARE: f64 = 0.16;

impl Rules {
    /// Draws a rule among the principles introduced by a stage; `emphasis` weighs each.
    pub fn draw(&self, stage: usize, emphasis: &[f64], rng: &mut impl Rng) -> &Rule {
        if stage >= last_stage() && rng.random_bool(PAIR_SHARE) {
            return &self.pairs[rng.random_range(0..self.pairs.len())];
        }
        let weight = |(p, e): (&Principle, &f64)| if p.stage <= stage { *e } else { 0.0 };
        let which = weighted(rng, PRINCIPLES.iter().zip(emphasis).map(weight));
        let rules = &self.single[which];
        &rules[rng.random_range(0..rules.len())]
    }
}
