//! The oracle: reads any text as a reply of this world, and says what could not be read.

use super::reply::{Attributes, Clause, Reply, Situation};
use super::words::{
    ACTIONS, ADJECTIVES, CLOSERS, DEEDS, DEGREES, END_MARKS, Flourish, MODALS, OBJECTS, OPENERS, OUTCOMES,
    STANCES, TOOLS, TOPICS, Weighted,
};

/// What the oracle read in a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The parts that could be read.
    pub reply: Reply,
    /// Clauses, openers or ends that could not: they count zero in the values, but as clauses.
    pub unread: usize,
    /// The first thing that is off the grammar; none for a reply that the base policy could have drawn.
    pub fault: Option<String>,
}

impl Reading {
    /// Whether the whole text is a reply of the grammar.
    pub fn valid(&self) -> bool {
        self.fault.is_none()
    }

    /// Attributes, with unreadable clauses in the average as zeros.
    pub fn attributes(&self, situation: &Situation) -> Attributes {
        let read = self.reply.clauses.len();
        let share = read.max(1) as f64 / (read + self.unread).max(1) as f64;
        let mut a = self.reply.attributes(situation).scaled(share);
        a.length += self.unread as f64;
        a
    }
}

fn place(list: &[Weighted], text: &str) -> Option<usize> {
    list.iter().position(|(w, _)| *w == text)
}

fn flourish(list: &[Flourish], text: &str) -> Option<usize> {
    list.iter().position(|(w, ..)| *w == text)
}

/// One clause without its end mark.
fn clause(words: &[&str]) -> Option<Clause> {
    match words {
        ["they", "are", adjective] => {
            Some(Clause::Are { degree: None, adjective: place(ADJECTIVES, adjective)? })
        }
        ["they", "are", degree, adjective] => Some(Clause::Are {
            degree: Some(place(DEGREES, degree)?),
            adjective: place(ADJECTIVES, adjective)?,
        }),
        ["tell", "them", object @ ..] => Some(Clause::Tell { object: place(OBJECTS, &object.join(" "))? }),
        ["i", stance, "it", outcome] => Some(Clause::Claim {
            stance: place(STANCES, stance)?,
            outcome: OUTCOMES.iter().position(|w| w == outcome)?,
        }),
        [modal @ .., deed, "them"] => {
            Some(Clause::Do { modal: place(MODALS, &modal.join(" "))?, deed: place(DEEDS, deed)? })
        }
        [action, "the", topic, tool] => Some(Clause::Act {
            action: place(ACTIONS, action)?,
            topic: TOPICS.iter().position(|w| w == topic)?,
            tool: TOOLS.iter().position(|w| w == tool)?,
        }),
        _ => None,
    }
}

/// Reads a text. Every text has a reading; what cannot be read is counted and named.
pub fn read(text: &str) -> Reading {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut rest = words.as_slice();
    let mut reply = Reply::default();
    let (mut unread, mut fault) = (0, None);
    let mut blame = |what: String| {
        fault.get_or_insert(what);
    };
    if let [word, ",", after @ ..] = rest {
        reply.opener = flourish(OPENERS, word);
        if reply.opener.is_none() {
            blame(format!("`{word}` opens no reply"));
        }
        rest = after;
    }
    let mut seen: Vec<usize> = Vec::new();
    while !rest.is_empty() {
        let length = rest.iter().position(|w| place(END_MARKS, w).is_some());
        let (body, end) = match length {
            Some(n) => (&rest[..n], place(END_MARKS, rest[n])),
            None => (rest, None),
        };
        rest = &rest[length.map_or(rest.len(), |n| n + 1)..];
        if let ([word], Some(0), true) = (body, end, rest.is_empty())
            && let Some(closer) = flourish(CLOSERS, word)
        {
            reply.closer = Some(closer);
            break;
        }
        match (clause(body), end) {
            (Some(c), Some(end)) => {
                if seen.contains(&c.kind()) {
                    blame(format!("a second clause like `{}`", c.text()));
                }
                seen.push(c.kind());
                reply.clauses.push((c, end));
            }
            (Some(_), None) => {
                unread += 1;
                blame("a clause without an end mark".into());
            }
            (None, _) => {
                unread += 1;
                blame(format!("`{}` is no clause", body.join(" ")));
            }
        }
    }
    if reply.clauses.is_empty() {
        blame("no clause".into());
    }
    if reply.clauses.len() > 3 {
        blame("more than three clauses".into());
    }
    Reading { reply, unread, fault }
}
