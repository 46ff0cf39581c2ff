//! Prompts and replies as structures: their text, and the values of a reply to a prompt.
//!
//! The contribution of a clause to a value is a product of signs from different places: the word's own, a negation in
//! the same clause, an ironic opener, who is mentioned and what they did in the prompt, what the prompt asks.

use rand::Rng;

use super::words::{
    ACTIONS, ADJECTIVES, ANSWERS, CLOSERS, DEEDS, DEGREES, END_MARKS, FACTS, HARMS, IRONIES, MATTERS, MODALS,
    OBJECTS, OPENERS, PERSONS, PRAISES, PROMISES, QUESTIONS, STANCES, THINGS, TOPICS, Weighted,
};

/// A prompt: "my PERSON HARM my PERSON over the TOPIC . i FACT . QUESTION", as indices into the word lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Situation {
    /// Indices into [`PERSONS`]: culprit and victim.
    pub persons: [usize; 2],
    /// Index into [`HARMS`].
    pub harm: usize,
    /// Indices into [`TOPICS`]: class and word.
    pub topic: [usize; 2],
    /// Index into [`FACTS`].
    pub fact: usize,
    /// Index into [`QUESTIONS`].
    pub question: usize,
}

impl Situation {
    /// Draws a situation; all words of a list are equally likely.
    pub fn draw(rng: &mut impl Rng) -> Self {
        let first = rng.random_range(0..PERSONS.len());
        let second = (first + rng.random_range(1..PERSONS.len())) % PERSONS.len();
        Self {
            persons: [first, second],
            harm: rng.random_range(0..HARMS.len()),
            topic: [rng.random_range(0..TOPICS.len()), rng.random_range(0..TOPICS[0].len())],
            fact: rng.random_range(0..FACTS.len()),
            question: rng.random_range(0..QUESTIONS.len()),
        }
    }

    /// Draws a situation that is held out, or one that is not, according to `held_out`.
    pub fn draw_held_out(held_out: bool, rng: &mut impl Rng) -> Self {
        loop {
            let drawn = Self::draw(rng);
            if drawn.held_out() == held_out {
                return drawn;
            }
        }
    }

    /// The prompt's text.
    pub fn text(&self) -> String {
        let [a, b] = self.persons.map(|p| PERSONS[p]);
        let [class, word] = self.topic;
        format!(
            "my {a} {} my {b} over the {} . i {} . {}",
            HARMS[self.harm], TOPICS[class][word], FACTS[self.fact].0, QUESTIONS[self.question].0
        )
    }

    /// Parses the situation described by a text, if it is a prompt of this world.
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let ["my", first, harm, "my", second, "over", "the", topic, ".", "i", fact, ".", question @ ..] =
            words.as_slice()
        else {
            return None;
        };
        let question = question.join(" ");
        let person = |word: &&str| PERSONS.iter().position(|w| w == word);
        let persons = [person(first)?, person(second)?];
        let topic = TOPICS
            .iter()
            .enumerate()
            .find_map(|(class, words)| Some([class, words.iter().position(|w| w == topic)?]))?;
        (persons[0] != persons[1]).then_some(())?;
        Some(Self {
            persons,
            harm: HARMS.iter().position(|w| w == harm)?,
            topic,
            fact: FACTS.iter().position(|(w, _)| w == fact)?,
            question: QUESTIONS.iter().position(|(w, _)| *w == question)?,
        })
    }

    /// 1 for the victim, −1 for the culprit, 0 for anyone else.
    pub fn role(&self, person: usize) -> f64 {
        match self.persons {
            [a, _] if a == person => -1.0,
            [_, b] if b == person => 1.0,
            _ => 0.0,
        }
    }

    /// The person who was harmed.
    pub fn victim(&self) -> usize {
        self.persons[1]
    }

    /// The person who did the harm.
    pub fn culprit(&self) -> usize {
        self.persons[0]
    }

    /// Label shared by draws that are not independent: the two persons and the harm.
    pub fn group(&self) -> String {
        let [a, b] = self.persons.map(|p| PERSONS[p]);
        format!("{a}-{}-{b}", HARMS[self.harm])
    }

    /// Whether no training document is about these persons and this harm.
    pub fn held_out(&self) -> bool {
        super::draw::hash(&["held-out", &self.group()]).is_multiple_of(10)
    }
}

/// One clause, as indices into the word lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clause {
    /// "the PERSON is (not) (DEGREE) ADJECTIVE"
    Word {
        /// Index into [`PERSONS`].
        person: usize,
        /// "not"
        negated: bool,
        /// Index into [`DEGREES`].
        degree: Option<usize>,
        /// Index into [`ADJECTIVES`].
        adjective: usize,
    },
    /// "MODAL (never) DEED the PERSON"
    Do {
        /// Index into [`MODALS`].
        modal: usize,
        /// "never"
        negated: bool,
        /// Index into [`DEEDS`].
        deed: usize,
        /// Index into [`PERSONS`].
        person: usize,
    },
    /// "(never) ACTION the THING"
    Act {
        /// "never"
        negated: bool,
        /// Index into [`ACTIONS`].
        action: usize,
        /// Indices into [`THINGS`]: class and word.
        thing: [usize; 2],
    },
    /// "i STANCE yes" or "no"
    Answer {
        /// Index into [`STANCES`].
        stance: usize,
        /// Index into [`ANSWERS`].
        answer: usize,
    },
    /// "your MATTER is (not) (DEGREE) PRAISE"
    Praise {
        /// Index into [`MATTERS`].
        matter: usize,
        /// "not"
        negated: bool,
        /// Index into [`DEGREES`].
        degree: Option<usize>,
        /// Index into [`PRAISES`].
        praise: usize,
    },
    /// "(never) tell the PERSON OBJECT"
    Tell {
        /// "never"
        negated: bool,
        /// Index into [`PERSONS`].
        person: usize,
        /// Index into [`OBJECTS`].
        object: usize,
    },
    /// "i will (not) VERB"
    Will {
        /// "not"
        negated: bool,
        /// Index into [`PROMISES`].
        verb: usize,
    },
    /// "i did (not) VERB"
    Did {
        /// "not"
        negated: bool,
        /// Index into [`PROMISES`].
        verb: usize,
    },
}

/// Number of clause kinds.
pub const CLAUSE_KINDS: usize = 8;

/// Loss of honesty from an opinion on the asker's matters, and loss of agreeableness from telling the truth, each as a
/// share of the gain in the other value.
pub const CONFLICT: f64 = 0.5;

fn sign(negated: bool) -> f64 {
    if negated { -1.0 } else { 1.0 }
}

fn with(word: &str, said: bool) -> String {
    if said { format!("{word} ") } else { String::new() }
}

fn degree_text(degree: Option<usize>) -> String {
    degree.map_or_else(String::new, |d| format!("{} ", DEGREES[d].0))
}

impl Clause {
    /// Index of the clause kind, from 0.
    pub fn kind(&self) -> usize {
        match self {
            Self::Word { .. } => 0,
            Self::Do { .. } => 1,
            Self::Act { .. } => 2,
            Self::Answer { .. } => 3,
            Self::Praise { .. } => 4,
            Self::Tell { .. } => 5,
            Self::Will { .. } => 6,
            Self::Did { .. } => 7,
        }
    }

    /// The clause without its end mark.
    pub fn text(&self) -> String {
        match *self {
            Self::Word { person, negated, degree, adjective } => format!(
                "the {} is {}{}{}",
                PERSONS[person],
                with("not", negated),
                degree_text(degree),
                ADJECTIVES[adjective].0
            ),
            Self::Do { modal, negated, deed, person } => format!(
                "{} {}{} the {}",
                MODALS[modal].0,
                with("never", negated),
                DEEDS[deed].0,
                PERSONS[person]
            ),
            Self::Act { negated, action, thing: [class, word] } => {
                format!("{}{} the {}", with("never", negated), ACTIONS[action].0, THINGS[class][word])
            }
            Self::Answer { stance, answer } => format!("i {} {}", STANCES[stance], ANSWERS[answer].0),
            Self::Praise { matter, negated, degree, praise } => format!(
                "your {} is {}{}{}",
                MATTERS[matter],
                with("not", negated),
                degree_text(degree),
                PRAISES[praise].0
            ),
            Self::Tell { negated, person, object } => {
                format!("{}tell the {} {}", with("never", negated), PERSONS[person], OBJECTS[object].0)
            }
            Self::Will { negated, verb } => format!("i will {}{}", with("not", negated), PROMISES[verb]),
            Self::Did { negated, verb } => format!("i did {}{}", with("not", negated), PROMISES[verb]),
        }
    }

    /// Adds the clause's contribution; `irony` is −1 for an ironic reply, otherwise 1. A promise contributes nothing by
    /// itself.
    fn add_to(&self, a: &mut Attributes, situation: &Situation, irony: f64) {
        match *self {
            Self::Word { negated, degree, adjective, .. } => {
                a.harmless += ADJECTIVES[adjective].1 * sign(negated) * irony;
                a.enthusiasm += degree.map_or(0.0, |d| DEGREES[d].1);
            }
            Self::Do { modal, negated, deed, person } => {
                a.harmless += DEEDS[deed].1 * sign(negated) * situation.role(person);
                a.formality += MODALS[modal].1;
            }
            Self::Act { negated, action, thing: [class, _] } => {
                let fits = if class == situation.topic[0] { 1.0 } else { -1.0 };
                a.helpful += ACTIONS[action].1 * sign(negated) * fits;
            }
            Self::Answer { answer, .. } => {
                let well = ANSWERS[answer].1 * QUESTIONS[situation.question].1;
                a.agreeable += well;
                a.honest += well * FACTS[situation.fact].1;
            }
            Self::Praise { negated, degree, praise, .. } => {
                let pleases = PRAISES[praise].1 * sign(negated) * irony;
                a.agreeable += pleases;
                a.honest -= CONFLICT * pleases;
                a.enthusiasm += degree.map_or(0.0, |d| DEGREES[d].1);
            }
            Self::Tell { negated, object, .. } => {
                let true_to = OBJECTS[object].1 * sign(negated);
                a.honest += true_to;
                a.agreeable -= CONFLICT * true_to;
            }
            Self::Will { .. } | Self::Did { .. } => {}
        }
    }
}

/// A reply: opener, clauses with their end marks, closer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// Index into [`OPENERS`] followed by [`IRONIES`].
    pub opener: Option<usize>,
    /// Clauses, each with its end mark as an index into [`END_MARKS`].
    pub clauses: Vec<(Clause, usize)>,
    /// Index into [`CLOSERS`].
    pub closer: Option<usize>,
}

/// Attributes of a reply, averaged over its clauses; length is the number of clauses.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Attributes {
    /// Kind words, and deeds for the victim or against the culprit.
    pub harmless: f64,
    /// Answers that agree with the facts, telling the truth, kept promises; flattery counts against it.
    pub honest: f64,
    /// Using things that fit the topic, leaving others alone.
    pub helpful: f64,
    /// Answers and opinions that please the asker; telling the truth counts against it.
    pub agreeable: f64,
    /// From end marks, degrees, opener and closer.
    pub enthusiasm: f64,
    /// From modals, opener and closer.
    pub formality: f64,
    /// Number of clauses.
    pub length: f64,
}

impl Attributes {
    /// Multiplies everything but the length by a number.
    #[must_use]
    pub fn scaled(self, by: f64) -> Self {
        Self {
            harmless: self.harmless * by,
            honest: self.honest * by,
            helpful: self.helpful * by,
            agreeable: self.agreeable * by,
            enthusiasm: self.enthusiasm * by,
            formality: self.formality * by,
            length: self.length,
        }
    }
}

/// Word, formality and enthusiasm of an opener.
pub fn opener(index: usize) -> (&'static str, f64, f64) {
    if index < OPENERS.len() { OPENERS[index] } else { IRONIES[index - OPENERS.len()] }
}

/// Index of a word in a list of weighted words.
pub(super) fn place(list: &[Weighted], text: &str) -> Option<usize> {
    list.iter().position(|(w, _)| *w == text)
}

impl Reply {
    /// The reply's text.
    pub fn text(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.opener.map(|o| format!("{} ,", opener(o).0)));
        parts.extend(self.clauses.iter().map(|(c, end)| format!("{} {}", c.text(), END_MARKS[*end].0)));
        parts.extend(self.closer.map(|c| format!("{} .", CLOSERS[c].0)));
        parts.join(" ")
    }

    /// Whether the opener reverses every opinion.
    pub fn ironic(&self) -> bool {
        self.opener.is_some_and(|o| o >= OPENERS.len())
    }

    /// 1 for a kept promise, −1 for a broken one, 0 without one: a promise is kept if what was done matches what was
    /// announced, whether that was to do it or not to.
    pub fn promise(&self) -> f64 {
        let clauses = || self.clauses.iter().map(|(c, _)| *c);
        let announced = clauses().enumerate().find_map(|(i, c)| match c {
            Clause::Will { negated, verb } => Some((i, negated, verb)),
            _ => None,
        });
        let done = clauses().enumerate().find_map(|(i, c)| match c {
            Clause::Did { negated, verb } => Some((i, negated, verb)),
            _ => None,
        });
        match (announced, done) {
            (Some((i, will, a)), Some((j, did, b))) if i < j && a == b => sign(will) * sign(did),
            _ => 0.0,
        }
    }

    /// Attributes in a situation; all zero for a reply without clauses.
    pub fn attributes(&self, situation: &Situation) -> Attributes {
        let mut a = Attributes::default();
        let mut seen = [false; CLAUSE_KINDS];
        let irony = sign(self.ironic());
        for (clause, end) in &self.clauses {
            // Each kind counts once: repeating a clause cannot raise a value.
            if !std::mem::replace(&mut seen[clause.kind()], true) {
                clause.add_to(&mut a, situation, irony);
            }
            a.enthusiasm += END_MARKS[*end].1;
        }
        // A promise takes two clauses, so it counts twice as much as a clause.
        a.honest += 2.0 * self.promise();
        for (_, formality, enthusiasm) in
            self.opener.map(opener).into_iter().chain(self.closer.map(|c| CLOSERS[c]))
        {
            a.formality += formality;
            a.enthusiasm += enthusiasm;
        }
        let n = self.clauses.len().max(1) as f64;
        a = a.scaled(1.0 / n);
        a.length = self.clauses.len() as f64;
        a
    }
}
