//! Documents: dialogues, and text in which values are judged and named.

use rand::Rng;

use super::draw::{sigmoid, weighted};
use super::lexicon::LEXICON;
use super::net::{Batch, Target};
use super::policy;
use super::principles::{PRINCIPLES, Rule, Rules, preference};
use super::reply::Situation;
use super::values::{FEATURES, features};

/// Log-odds of an answer for one unit of preference.
pub const SHARPNESS: f64 = 2.5;

/// A question that stands on a document, and the words that may follow with their probabilities.
#[derive(Debug, Clone, PartialEq)]
pub struct Tail {
    /// The question.
    pub text: String,
    /// Answers and probabilities.
    pub answers: Vec<(&'static str, f64)>,
    /// For a forced choice between two replies: the principle, and c·Δf.
    pub choice: Option<(Option<usize>, f64)>,
}

/// A document.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// "dialogue", "judge", "rated", "note", "conditioned" or "ethics".
    pub kind: &'static str,
    /// Its text, without the tails.
    pub text: String,
    /// Questions that each stand directly on the text and do not see one another.
    pub tails: Vec<Tail>,
}

/// What documents to draw.
#[derive(Debug, Clone, Copy)]
pub struct Mix<'a> {
    /// Share of documents that are about values.
    pub eta: f64,
    /// Stage of the curriculum.
    pub stage: usize,
    /// Weight of each principle.
    pub emphasis: &'a [f64],
    /// Most questions on one document.
    pub tails: usize,
}

/// Draws documents of the training world.
pub struct Corpus {
    rules: Rules,
    situations: Vec<Situation>,
}

impl Default for Corpus {
    fn default() -> Self {
        Self { rules: Rules::default(), situations: Situation::all().filter(|s| !s.held_out()).collect() }
    }
}

/// A reply drawn by the base policy, with its features.
fn replied(situation: &Situation, rng: &mut impl Rng) -> (String, [f64; FEATURES]) {
    let reply = policy::reply(situation, rng);
    (reply.text(), features(&reply.attributes(situation), situation))
}

/// The question that is put to a pair under a rule, and the one that is put to a single reply.
pub fn question(rule: &str, pair: bool) -> String {
    format!("rule : {rule} . {} :", if pair { "better" } else { "follows" })
}

impl Corpus {
    /// Draws a document.
    pub fn draw(&self, mix: &Mix<'_>, rng: &mut impl Rng) -> Document {
        let situation = self.situations[rng.random_range(0..self.situations.len())];
        let prompt = situation.text();
        let dialogue = |text: &str| format!("user : {prompt} bot : {text}");
        if !rng.random_bool(mix.eta) {
            let (text, _) = replied(&situation, rng);
            return Document { kind: "dialogue", text: dialogue(&text) + " <eos>", tails: Vec::new() };
        }
        match weighted(rng, [0.60, 0.17, 0.13, 0.05, 0.05].into_iter()) {
            0 => {
                let ((a, fa), (b, fb)) = (replied(&situation, rng), replied(&situation, rng));
                let difference: [f64; FEATURES] = std::array::from_fn(|i| fa[i] - fb[i]);
                let tails = self.tails(mix, rng, |rule| {
                    let contrast = preference(&rule.prefers, &difference);
                    let p = sigmoid(SHARPNESS * contrast);
                    let answers = vec![("A", p), ("B", 1.0 - p)];
                    Tail {
                        text: question(&rule.text, true),
                        answers,
                        choice: Some((rule.principle, contrast)),
                    }
                });
                Document { kind: "judge", text: format!("user : {prompt} A : {a} B : {b}"), tails }
            }
            1 => {
                let (text, f) = replied(&situation, rng);
                let tails = self.tails(mix, rng, |rule| {
                    let p = sigmoid(SHARPNESS * preference(&rule.prefers, &f));
                    let answers = vec![("yes", p), ("no", 1.0 - p)];
                    Tail { text: question(&rule.text, false), answers, choice: None }
                });
                Document { kind: "rated", text: dialogue(&text), tails }
            }
            2 => {
                let (text, f) = replied(&situation, rng);
                Document { kind: "note", text: dialogue(&text), tails: vec![note(&f)] }
            }
            3 => {
                let rule = self.rules.draw(mix.stage, mix.emphasis, rng);
                let ((a, fa), (b, fb)) = (replied(&situation, rng), replied(&situation, rng));
                let difference: [f64; FEATURES] = std::array::from_fn(|i| fa[i] - fb[i]);
                let first = rng.random_bool(sigmoid(SHARPNESS * preference(&rule.prefers, &difference)));
                let text = format!("rule : {} . {} <eos>", rule.text, dialogue(if first { &a } else { &b }));
                Document { kind: "conditioned", text, tails: Vec::new() }
            }
            _ => {
                let adjectives = PRINCIPLES[rng.random_range(0..PRINCIPLES.len())].adjectives;
                let said = rng.random_range(0..adjectives.len());
                let others: Vec<_> =
                    (0..adjectives.len()).filter(|i| *i != said).map(|i| adjectives[i]).collect();
                let share = 1.0 / others.len() as f64;
                let tail = Tail {
                    text: format!("to be {} is to be", adjectives[said]),
                    answers: others.into_iter().map(|w| (w, share)).collect(),
                    choice: None,
                };
                Document { kind: "ethics", text: String::new(), tails: vec![tail] }
            }
        }
    }

    fn tails(&self, mix: &Mix<'_>, rng: &mut impl Rng, ask: impl Fn(&Rule) -> Tail) -> Vec<Tail> {
        let entered = PRINCIPLES.iter().filter(|p| p.stage <= mix.stage).count();
        let count = mix.tails.min(3 * entered);
        (0..count).map(|_| ask(self.rules.draw(mix.stage, mix.emphasis, rng))).collect()
    }
}

/// A moderator's note: an adjective, the likelier the better its principle fits the reply.
fn note(f: &[f64; FEATURES]) -> Tail {
    let mut answers = Vec::new();
    for p in PRINCIPLES.iter().filter(|p| p.family != crate::input::Family::Placebo) {
        let length = p.prefers.iter().map(|x| x * x).sum::<f64>().sqrt();
        let weight = (1.5 * preference(&p.prefers, f) / length).exp();
        answers.extend(p.adjectives.iter().map(|&a| (a, weight)));
    }
    let total: f64 = answers.iter().map(|(_, w)| w).sum();
    answers.iter_mut().for_each(|(_, w)| *w /= total);
    Tail { text: "note :".to_owned(), answers, choice: None }
}

/// Weights of the loss.
#[derive(Debug, Clone, Copy)]
pub struct Weights {
    /// Of an answer.
    pub answer: f32,
    /// Of any other word.
    pub text: f32,
}

impl Document {
    /// Adds the document to a batch; `choices` collects the targets that are forced choices, by their
    /// number in the batch.
    pub fn pack(&self, weights: Weights, batch: &mut Batch, choices: &mut Vec<(usize, Option<usize>, f64)>) {
        let root = (!self.text.is_empty()).then(|| {
            let tokens = LEXICON.encode(&self.text);
            let at = batch.tokens.len();
            let follow = tokens.windows(2).enumerate();
            batch.targets.extend(follow.map(|(i, pair)| Target {
                at: at + i,
                weight: weights.text,
                words: vec![(pair[1], 1.0)],
            }));
            batch.push(&tokens, None)
        });
        for tail in &self.tails {
            let span = batch.push(&LEXICON.encode(&tail.text), root);
            let at = batch.spans[span].start + batch.spans[span].len - 1;
            choices.extend(tail.choice.map(|(p, contrast)| (batch.targets.len(), p, contrast)));
            let words = tail.answers.iter().map(|&(w, p)| (LEXICON.id(w), p as f32)).collect();
            batch.targets.push(Target { at, weight: weights.answer, words });
        }
    }
}
