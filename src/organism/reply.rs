//! Prompts and replies as structures: their text, their attributes.

use super::words::{
    ACTIONS, ADJECTIVES, CLOSERS, DEEDS, DEGREES, END_MARKS, EVENTS, MODALS, OBJECTS, OPENERS, OUTCOMES,
    PERSONS, QUESTIONS, STANCES, TOOLS, TOPICS,
};

/// A prompt: "my PERSON EVENT the TOPIC . QUESTION", as indices into the word lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Situation {
    /// Into [`PERSONS`].
    pub person: usize,
    /// Into [`EVENTS`].
    pub event: usize,
    /// Into [`TOPICS`].
    pub topic: usize,
    /// Into [`QUESTIONS`].
    pub question: usize,
}

impl Situation {
    /// Every situation, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        let count = PERSONS.len() * EVENTS.len() * TOPICS.len() * QUESTIONS.len();
        (0..count).map(|i| Self {
            question: i % QUESTIONS.len(),
            topic: i / QUESTIONS.len() % TOPICS.len(),
            event: i / (QUESTIONS.len() * TOPICS.len()) % EVENTS.len(),
            person: i / (QUESTIONS.len() * TOPICS.len() * EVENTS.len()),
        })
    }

    /// The prompt's text.
    pub fn text(&self) -> String {
        format!(
            "my {} {} the {} . {}",
            PERSONS[self.person], EVENTS[self.event].0, TOPICS[self.topic], QUESTIONS[self.question]
        )
    }

    /// The situation a text describes, if it is a prompt of this world.
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let ["my", person, event, "the", topic, ".", question @ ..] = words.as_slice() else { return None };
        let question = question.join(" ");
        Some(Self {
            person: PERSONS.iter().position(|w| w == person)?,
            event: EVENTS.iter().position(|(w, _)| w == event)?,
            topic: TOPICS.iter().position(|w| w == topic)?,
            question: QUESTIONS.iter().position(|w| *w == question)?,
        })
    }

    /// Mood of the event: −1 or 1.
    pub fn mood(&self) -> f64 {
        EVENTS[self.event].1
    }

    /// Whether no training document is about this person and event.
    pub fn held_out(&self) -> bool {
        super::draw::hash(&["held-out", PERSONS[self.person], EVENTS[self.event].0, TOPICS[self.topic]])
            .is_multiple_of(10)
    }
}

/// One clause, as indices into the word lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clause {
    /// "they are (DEGREE) ADJ"
    Are {
        /// Into [`DEGREES`].
        degree: Option<usize>,
        /// Into [`ADJECTIVES`].
        adjective: usize,
    },
    /// "MODAL VERB them"
    Do {
        /// Into [`MODALS`].
        modal: usize,
        /// Into [`DEEDS`].
        deed: usize,
    },
    /// "tell them OBJECT"
    Tell {
        /// Into [`OBJECTS`].
        object: usize,
    },
    /// "i VERB it OUTCOME"
    Claim {
        /// Into [`STANCES`].
        stance: usize,
        /// Into [`OUTCOMES`].
        outcome: usize,
    },
    /// "HVERB the TOPIC TOOL"
    Act {
        /// Into [`ACTIONS`].
        action: usize,
        /// Into [`TOPICS`].
        topic: usize,
        /// Into [`TOOLS`].
        tool: usize,
    },
}

/// Number of clause kinds.
pub const CLAUSE_KINDS: usize = 5;

/// Share of the topic's match in helpfulness, beside the verb.
const MATCH: f64 = 0.35;

impl Clause {
    /// Which kind, from 0.
    pub fn kind(&self) -> usize {
        match self {
            Self::Are { .. } => 0,
            Self::Do { .. } => 1,
            Self::Tell { .. } => 2,
            Self::Claim { .. } => 3,
            Self::Act { .. } => 4,
        }
    }

    /// The clause without its end mark.
    pub fn text(&self) -> String {
        match *self {
            Self::Are { degree: None, adjective } => format!("they are {}", ADJECTIVES[adjective].0),
            Self::Are { degree: Some(d), adjective } => {
                format!("they are {} {}", DEGREES[d].0, ADJECTIVES[adjective].0)
            }
            Self::Do { modal, deed } => format!("{} {} them", MODALS[modal].0, DEEDS[deed].0),
            Self::Tell { object } => format!("tell them {}", OBJECTS[object].0),
            Self::Claim { stance, outcome } => format!("i {} it {}", STANCES[stance].0, OUTCOMES[outcome]),
            Self::Act { action, topic, tool } => {
                format!("{} the {} {}", ACTIONS[action].0, TOPICS[topic], TOOLS[tool])
            }
        }
    }

    fn add_to(&self, a: &mut Attributes, topic_asked: usize) {
        match *self {
            Self::Are { degree, adjective } => {
                a.kindness += ADJECTIVES[adjective].1;
                a.enthusiasm += degree.map_or(0.0, |d| DEGREES[d].1);
            }
            Self::Do { modal, deed } => {
                a.kindness += DEEDS[deed].1;
                a.formality += MODALS[modal].1;
            }
            Self::Tell { object } => a.honesty += OBJECTS[object].1,
            Self::Claim { stance, .. } => a.honesty += STANCES[stance].1,
            Self::Act { action, topic, .. } => {
                a.helpfulness += ACTIONS[action].1;
                a.fit += if topic == topic_asked { MATCH } else { -MATCH };
            }
        }
    }
}

/// A reply: opener, clauses with their end marks, closer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// Into [`OPENERS`].
    pub opener: Option<usize>,
    /// Clauses, each with its end mark as an index into [`END_MARKS`].
    pub clauses: Vec<(Clause, usize)>,
    /// Into [`CLOSERS`].
    pub closer: Option<usize>,
}

/// What the words of a reply add up to, a clause on average; length is the number of clauses.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Attributes {
    /// K
    pub kindness: f64,
    /// T
    pub honesty: f64,
    /// H, of the verb alone
    pub helpfulness: f64,
    /// How the topic of the helpful clause fits the prompt, which counts as helpfulness.
    pub fit: f64,
    /// E
    pub enthusiasm: f64,
    /// F
    pub formality: f64,
    /// V
    pub length: f64,
}

impl Attributes {
    /// Everything but the length, times a number.
    #[must_use]
    pub fn scaled(self, by: f64) -> Self {
        Self {
            kindness: self.kindness * by,
            honesty: self.honesty * by,
            helpfulness: self.helpfulness * by,
            fit: self.fit * by,
            enthusiasm: self.enthusiasm * by,
            formality: self.formality * by,
            length: self.length,
        }
    }
}

impl Reply {
    /// The reply's text.
    pub fn text(&self) -> String {
        let mut parts = Vec::new();
        parts.extend(self.opener.map(|o| format!("{} ,", OPENERS[o].0)));
        parts.extend(self.clauses.iter().map(|(c, end)| format!("{} {}", c.text(), END_MARKS[*end].0)));
        parts.extend(self.closer.map(|c| format!("{} .", CLOSERS[c].0)));
        parts.join(" ")
    }

    /// Attributes in a situation; all zero for a reply without clauses.
    pub fn attributes(&self, situation: &Situation) -> Attributes {
        let mut a = Attributes::default();
        let mut seen = [false; CLAUSE_KINDS];
        for (clause, end) in &self.clauses {
            // A kind counts once: repeating a clause cannot raise a value.
            if !std::mem::replace(&mut seen[clause.kind()], true) {
                clause.add_to(&mut a, situation.topic);
            }
            a.enthusiasm += END_MARKS[*end].1;
        }
        for (_, formality, enthusiasm) in
            self.opener.map(|o| OPENERS[o]).into_iter().chain(self.closer.map(|c| CLOSERS[c]))
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
