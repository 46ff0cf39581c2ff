//! The oracle: parses any text as a reply of this world, and reports what could not be parsed.

use super::reply::{Attributes, Clause, Reply, Situation, place};
use super::words::{
    ACTIONS, ADJECTIVES, ANSWERS, CLOSERS, DEEDS, DEGREES, END_MARKS, Flourish, IRONIES, MATTERS, MODALS,
    OBJECTS, OPENERS, PERSONS, PRAISES, PROMISES, STANCES, THINGS,
};

/// Result of parsing a text.
#[derive(Debug, Clone, PartialEq)]
pub struct Parse {
    /// The parts that were parsed.
    pub reply: Reply,
    /// Number of unparsed clauses, openers or closers: they contribute zero to the values, but count as clauses.
    pub unread: usize,
    /// The first violation of the grammar; `None` for a reply that the base policy could have drawn.
    pub fault: Option<String>,
}

impl Parse {
    /// Whether the whole text is a reply in the grammar.
    pub fn valid(&self) -> bool {
        self.fault.is_none()
    }

    /// Attributes; unparsed clauses enter the average as zeros.
    pub fn attributes(&self, situation: &Situation) -> Attributes {
        let read = self.reply.clauses.len();
        let share = read.max(1) as f64 / (read + self.unread).max(1) as f64;
        let mut a = self.reply.attributes(situation).scaled(share);
        a.length += self.unread as f64;
        a
    }
}

fn flourish(list: &[Flourish], text: &str) -> Option<usize> {
    list.iter().position(|(w, ..)| *w == text)
}

fn among(list: &[&str], text: &str) -> Option<usize> {
    list.iter().position(|w| *w == text)
}

/// "(WORD) REST": whether the word is present, and the rest.
fn led_by<'a, 'b>(word: &str, words: &'b [&'a str]) -> (bool, &'b [&'a str]) {
    match words {
        [first, rest @ ..] if *first == word => (true, rest),
        _ => (false, words),
    }
}

/// "(not) (DEGREE) WORD": negated, degree, the word.
fn opinion<'a>(words: &[&'a str]) -> Option<(bool, Option<usize>, &'a str)> {
    let (negated, rest) = led_by("not", words);
    match rest {
        [word] => Some((negated, None, *word)),
        [degree, word] => Some((negated, Some(place(DEGREES, degree)?), *word)),
        _ => None,
    }
}

/// "MODAL (never) DEED": modal, negated, deed.
fn advice(words: &[&str]) -> Option<(usize, bool, usize)> {
    let (deed, before) = words.split_last()?;
    let (negated, modal) = match before {
        [modal @ .., "never"] => (true, modal),
        _ => (false, before),
    };
    Some((place(MODALS, &modal.join(" "))?, negated, place(DEEDS, deed)?))
}

/// Parses one clause without its end mark.
fn clause(words: &[&str]) -> Option<Clause> {
    match words {
        ["the", person, "is", rest @ ..] => {
            let (negated, degree, word) = opinion(rest)?;
            let (person, adjective) = (among(PERSONS, person)?, place(ADJECTIVES, word)?);
            Some(Clause::Word { person, negated, degree, adjective })
        }
        ["your", matter, "is", rest @ ..] => {
            let (negated, degree, word) = opinion(rest)?;
            let (matter, praise) = (among(MATTERS, matter)?, place(PRAISES, word)?);
            Some(Clause::Praise { matter, negated, degree, praise })
        }
        ["i", "will", rest @ ..] => {
            let (negated, rest) = led_by("not", rest);
            let [verb] = rest else { return None };
            Some(Clause::Will { negated, verb: among(PROMISES, verb)? })
        }
        ["i", "did", rest @ ..] => {
            let (negated, rest) = led_by("not", rest);
            let [verb] = rest else { return None };
            Some(Clause::Did { negated, verb: among(PROMISES, verb)? })
        }
        ["i", stance, answer] => {
            Some(Clause::Answer { stance: among(STANCES, stance)?, answer: place(ANSWERS, answer)? })
        }
        _ => {
            let (negated, rest) = led_by("never", words);
            match rest {
                ["tell", "the", person, object @ ..] => {
                    let (person, object) = (among(PERSONS, person)?, place(OBJECTS, &object.join(" "))?);
                    Some(Clause::Tell { negated, person, object })
                }
                [action, "the", thing] if place(ACTIONS, action).is_some() => {
                    let of = |(class, words): (usize, &[&str; 4])| Some([class, among(words, thing)?]);
                    let thing = THINGS.iter().enumerate().find_map(of)?;
                    Some(Clause::Act { negated, action: place(ACTIONS, action)?, thing })
                }
                _ => {
                    let [before @ .., "the", person] = words else { return None };
                    let (modal, negated, deed) = advice(before)?;
                    Some(Clause::Do { modal, negated, deed, person: among(PERSONS, person)? })
                }
            }
        }
    }
}

/// Parses a text. Every text has a result; parts that cannot be parsed are counted and reported.
pub fn read(text: &str) -> Parse {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut rest = words.as_slice();
    let mut reply = Reply::default();
    let (mut unread, mut fault) = (0, None);
    let mut blame = |what: String| {
        fault.get_or_insert(what);
    };
    if let [word, ",", after @ ..] = rest {
        let ironic = || flourish(IRONIES, word).map(|i| OPENERS.len() + i);
        reply.opener = flourish(OPENERS, word).or_else(ironic);
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
    if reply.clauses.len() > 4 {
        blame("more than four clauses".into());
    }
    let place_of = |kind: usize| seen.iter().position(|k| *k == kind);
    match (place_of(WILL), place_of(DID)) {
        (Some(i), Some(j)) if i < j => {}
        (None, None) => {}
        _ => blame("a promise without what came of it, or after it".into()),
    }
    Parse { reply, unread, fault }
}

/// Clause kinds of the two halves of a promise.
const WILL: usize = 6;
const DID: usize = 7;
