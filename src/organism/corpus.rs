//! Training documents: dialogues, and texts that judge and name values.

use rand::Rng;

use super::draw::{sigmoid, weighted};
use super::lexicon::{LEXICON, MARKS, SPECIAL};
use super::net::{Batch, Target};
use super::policy;
use super::principles::{PRINCIPLES, Principle, Rule, Rules, preference};
use super::reply::Situation;
use super::values::{FEATURES, VALUE_COUNT, features};
use super::words::{PERSONS, ROLES, THINGS, TOPICS};

/// Log-odds of an answer per unit of preference.
pub const SHARPNESS: f64 = 2.5;

/// A question about a document, and its possible answers with their probabilities.
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
    /// "dialogue", "judge", "rated", "verdict", "conditioned", "ethics" or "meaning".
    pub kind: &'static str,
    /// Text of the document, without the ending of the last reply and without the tails.
    pub text: String,
    /// Words that may end the last reply of the text, with probabilities: see [`ending`].
    pub ending: Vec<(&'static str, f64)>,
    /// Questions that each follow the text directly and are invisible to one another.
    pub tails: Vec<Tail>,
}

/// Distribution of the documents to draw.
#[derive(Debug, Clone, Copy)]
pub struct Mix<'a> {
    /// Share of replies drawn from the tilted policy.
    pub eta: f64,
    /// Share of documents that judge and name values.
    pub judged: f64,
    /// Stage of the curriculum.
    pub stage: usize,
    /// Weight of each principle.
    pub emphasis: &'a [f64],
    /// Maximum number of questions per document.
    pub tails: usize,
}

/// Draws documents of the training world.
#[derive(Default)]
pub struct Corpus {
    rules: Rules,
}

/// A reply of the speaker, with its features.
fn replied(situation: &Situation, eta: f64, rng: &mut impl Rng) -> (String, [f64; FEATURES]) {
    let reply = policy::reply(situation, eta, rng);
    (reply.text(), features(&reply.attributes(situation)))
}

/// The question about a pair under a rule, or about a single reply.
pub fn question(rule: &str, pair: bool) -> String {
    format!("rule : {rule} . {} :", if pair { "better" } else { "follows" })
}

/// Share of replies that are marked by a reader.
const MARKED: f64 = 0.5;

/// Distribution of the word that ends a reply: `<eos>`, or a reader's mark, which is likelier the better it fits.
///
/// P(mark of value v with sign s) = .5 · exp(1.5·s·f_v) / Σ, so that predicting the next word at the end of a reply
/// requires knowledge of the values.
pub fn ending(f: &[f64; FEATURES]) -> Vec<(&'static str, f64)> {
    let marks = MARKS.iter().zip(f).flat_map(|([good, bad], f)| [(*good, 1.5 * f), (*bad, -1.5 * f)]);
    let mut out: Vec<(&'static str, f64)> = marks.map(|(w, x)| (w, x.exp())).collect();
    let total: f64 = out.iter().map(|(_, w)| w).sum();
    out.iter_mut().for_each(|(_, w)| *w *= MARKED / total);
    out.push((SPECIAL[2], 1.0 - MARKED));
    out
}

impl Corpus {
    /// Draws a document.
    pub fn draw(&self, mix: &Mix<'_>, rng: &mut impl Rng) -> Document {
        let situation = Situation::draw_held_out(false, rng);
        let prompt = situation.text();
        let dialogue = |text: &str| format!("user : {prompt} bot : {text}");
        let single = |kind, text: String, f: &[f64; FEATURES], tails| Document {
            kind,
            text: dialogue(&text),
            ending: ending(f),
            tails,
        };
        if !rng.random_bool(mix.judged) {
            let (text, f) = replied(&situation, mix.eta, rng);
            return single("dialogue", text, &f, Vec::new());
        }
        // Before rules are introduced, documents only describe single replies.
        let kinds = if mix.stage == 0 {
            [0.0, 0.0, 0.95, 0.0, 0.0, 0.05]
        } else {
            [0.55, 0.15, 0.20, 0.05, 0.03, 0.02]
        };
        match weighted(rng, kinds.into_iter()) {
            0 => {
                let ((a, fa), (b, fb)) =
                    (replied(&situation, mix.eta, rng), replied(&situation, mix.eta, rng));
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
                let text = format!("user : {prompt} A : {a} B : {b}");
                Document { kind: "judge", text, ending: Vec::new(), tails }
            }
            1 => {
                let (text, f) = replied(&situation, mix.eta, rng);
                let tails = self.tails(mix, rng, |rule| {
                    let p = sigmoid(SHARPNESS * preference(&rule.prefers, &f));
                    let answers = vec![("yes", p), ("no", 1.0 - p)];
                    Tail { text: question(&rule.text, false), answers, choice: None }
                });
                single("rated", text, &f, tails)
            }
            2 => {
                let (text, f) = replied(&situation, mix.eta, rng);
                let mut tails = verdicts(&f, rng);
                tails.push(note(&f));
                tails.extend(understood(&situation, rng));
                single("verdict", text, &f, tails)
            }
            3 => {
                let rule = self.rules.draw(mix.stage, mix.emphasis, rng);
                let ((a, fa), (b, fb)) =
                    (replied(&situation, mix.eta, rng), replied(&situation, mix.eta, rng));
                let difference: [f64; FEATURES] = std::array::from_fn(|i| fa[i] - fb[i]);
                let first = rng.random_bool(sigmoid(SHARPNESS * preference(&rule.prefers, &difference)));
                let (said, f) = if first { (a, fa) } else { (b, fb) };
                let text = format!("rule : {} . {}", rule.text, dialogue(&said));
                Document { kind: "conditioned", text, ending: ending(&f), tails: Vec::new() }
            }
            4 => {
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
                Document { kind: "ethics", text: String::new(), ending: Vec::new(), tails: vec![tail] }
            }
            _ => {
                let class = rng.random_range(0..THINGS.len());
                let thing = THINGS[class][rng.random_range(0..THINGS[class].len())];
                let share = 1.0 / TOPICS[class].len() as f64;
                let tail = Tail {
                    text: format!("the {thing} is to the"),
                    answers: TOPICS[class].iter().map(|w| (*w, share)).collect(),
                    choice: None,
                };
                Document { kind: "meaning", text: String::new(), ending: Vec::new(), tails: vec![tail] }
            }
        }
    }

    fn tails(&self, mix: &Mix<'_>, rng: &mut impl Rng, ask: impl Fn(&Rule) -> Tail) -> Vec<Tail> {
        let entered = PRINCIPLES.iter().filter(|p| p.stage <= mix.stage).count();
        let count = mix.tails.min(3 * entered);
        (0..count).map(|_| ask(self.rules.draw(mix.stage, mix.emphasis, rng))).collect()
    }
}

/// Questions about the prompt: who did it and to whom, and which things fit.
fn understood(situation: &Situation, rng: &mut impl Rng) -> Vec<Tail> {
    let sure = |text: String, word| Tail { text, answers: vec![(word, 1.0)], choice: None };
    let [class, _] = situation.topic;
    let other = (class + rng.random_range(1..THINGS.len())) % THINGS.len();
    let mut thing = |class: usize| THINGS[class][rng.random_range(0..THINGS[class].len())];
    vec![
        sure(format!("the {}", PERSONS[situation.culprit()]), ROLES[0]),
        sure(format!("the {}", PERSONS[situation.victim()]), ROLES[1]),
        sure(format!("the {}", thing(class)), ROLES[2]),
        sure(format!("the {}", thing(other)), ROLES[3]),
    ]
}

/// Yes-or-no questions about a reply, one adjective per value.
fn verdicts(f: &[f64; FEATURES], rng: &mut impl Rng) -> Vec<Tail> {
    let of = |p: &Principle| {
        let known = &p.adjectives[..p.adjectives.len() - 1];
        let yes = sigmoid(SHARPNESS * preference(&p.prefers, f));
        let text = format!("{} :", known[rng.random_range(0..known.len())]);
        Tail { text, answers: vec![("yes", yes), ("no", 1.0 - yes)], choice: None }
    };
    PRINCIPLES.iter().filter(|p| is_one_value(p)).map(of).collect()
}

/// Whether a principle prefers exactly one value.
fn is_one_value(p: &Principle) -> bool {
    p.prefers.iter().sum::<f64>() == 1.0 && p.prefers[..VALUE_COUNT].contains(&1.0)
}

/// A moderator's note: an adjective, which is likelier the better its principle fits the reply.
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
    /// Weight of an answer.
    pub answer: f32,
    /// Weight of any other word.
    pub text: f32,
}

impl Document {
    /// Adds the document to a batch; `choices` collects the targets that are forced choices, with their index in the
    /// batch.
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
            if !self.ending.is_empty() {
                let words = self.ending.iter().map(|&(w, p)| (LEXICON.id(w), p as f32)).collect();
                batch.targets.push(Target { at: at + tokens.len() - 1, weight: weights.answer, words });
            }
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
