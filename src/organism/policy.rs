//! Reply policies: a base policy independent of values, and a mixture with the same policy tilted towards them in a
//! known share η.
//!
//! π_η(y|x) = (1 − η) π₀(y|x) + η π₀(y|x) e^{t·g(x,y)} / Z, with g = min((f_harmless + f_honest + f_helpful)/√3, c).
//! Both densities can be computed, so the expected relation between the log-probability of a reply and a value is
//! known.

use std::sync::LazyLock;

use rand::Rng;
use rand::seq::SliceRandom;

use super::draw::{gaussian_of, weighted};
use super::reply::{Clause, Reply, Situation, opener};
use super::values::{FEATURES, features};
use super::words::{
    ACTIONS, ADJECTIVES, ANSWERS, CLOSERS, DEEDS, DEGREES, END_MARKS, Flourish, IRONIES, MATTERS, MODALS,
    OBJECTS, OPENERS, PRAISES, PROMISES, STANCES, THINGS, Weighted,
};

/// Strength of a style trait's effect on the choice of words.
const TRAIT_STRENGTH: f64 = 1.5;
/// Standard deviation of the fixed preferences for words.
const WORD_NOISE: f64 = 0.5;
/// Levels of a style trait, with their probabilities.
const TRAITS: [(f64, f64); 3] = [(-1.0, 0.3), (0.0, 0.4), (1.0, 0.3)];

/// Share of clauses with a negation.
const NEGATED: f64 = 0.2;
/// Share of replies with an ironic opener, and with a stylistic one.
const OPENED: (f64, f64) = (0.2, 0.4);
/// Share of replies with a closer.
const CLOSED: f64 = 0.4;
/// Share of opinions with a degree.
const DEGREE: f64 = 0.6;
/// Share of clauses about the victim; the others are about the culprit.
const VICTIM: f64 = 0.8;
/// Share of things that belong to the prompt's class.
const FITS: f64 = 0.8;
/// Share of promises whose two clauses name the same verb.
const SAME: f64 = 0.9;
/// Probability that a reply has three units; otherwise it has two.
const THREE: f64 = 0.5;
/// Weights of the units: opinion, deed, act, answer, praise, tell, promise.
const UNITS: [f64; 7] = [1.0, 1.1, 1.8, 1.2, 0.7, 0.6, 0.6];
/// Index of the unit with two clauses.
const PROMISE: usize = 6;

/// Strength of the tilt, and the upper bound of its reward.
pub const TILT: (f64, f64) = (1.5, 2.0);

/// Mean of e^{t·g} under the base policy: the result of [`measure_partition`] for seed 0 and 200,000 replies, rounded.
pub const PARTITION: f64 = 2.6209;

/// Fixed preferences for the words of a slot.
fn preferences<'a>(slot: &str, words: impl Iterator<Item = &'a str>) -> Vec<f64> {
    words.map(|w| WORD_NOISE * gaussian_of(&["word", slot, w])).collect()
}

struct Preferences {
    openers: Vec<f64>,
    ironies: Vec<f64>,
    closers: Vec<f64>,
    degrees: Vec<f64>,
    adjectives: Vec<f64>,
    praises: Vec<f64>,
    matters: Vec<f64>,
    modals: Vec<f64>,
    deeds: Vec<f64>,
    objects: Vec<f64>,
    stances: Vec<f64>,
    actions: Vec<f64>,
    promises: Vec<f64>,
}

static PREFERENCES: LazyLock<Preferences> = LazyLock::new(|| {
    let of = |slot: &str, list: &'static [Weighted]| preferences(slot, list.iter().map(|(w, _)| *w));
    let style = |slot: &str, list: &'static [Flourish]| preferences(slot, list.iter().map(|(w, ..)| *w));
    let plain = |slot: &str, list: &'static [&'static str]| preferences(slot, list.iter().copied());
    Preferences {
        openers: style("opener", OPENERS),
        ironies: style("irony", IRONIES),
        closers: style("closer", CLOSERS),
        degrees: of("degree", DEGREES),
        adjectives: of("adjective", ADJECTIVES),
        praises: of("praise", PRAISES),
        matters: plain("matter", MATTERS),
        modals: of("modal", MODALS),
        deeds: of("deed", DEEDS),
        objects: of("object", OBJECTS),
        stances: plain("stance", STANCES),
        actions: of("action", ACTIONS),
        promises: plain("promise", PROMISES),
    }
});

/// A speaker's style: enthusiasm, formality.
type Style = (f64, f64);

/// Number of things outside a class.
const OTHERS: usize = THINGS[0].len() * (THINGS.len() - 1);

/// Unnormalised weights of a slot's words.
fn weights(preference: &[f64], list: &[Weighted], of: f64) -> Vec<f64> {
    preference.iter().zip(list).map(|(b, (_, w))| (b + TRAIT_STRENGTH * of * w).exp()).collect()
}

fn plain(preference: &[f64]) -> Vec<f64> {
    preference.iter().map(|b| b.exp()).collect()
}

fn flourishes(preference: &[f64], list: &[Flourish], (e, f): Style) -> Vec<f64> {
    preference.iter().zip(list).map(|(b, (_, formal, lively))| (b + f * formal + e * lively).exp()).collect()
}

fn ends(e: f64) -> Vec<f64> {
    END_MARKS.iter().map(|(_, w)| (TRAIT_STRENGTH * e * w - 0.4 * w).exp()).collect()
}

fn pick(rng: &mut impl Rng, weights: &[f64]) -> usize {
    weighted(rng, weights.iter().copied())
}

/// log of the normalised weight at `index`.
fn share(weights: &[f64], index: usize) -> f64 {
    (weights[index] / weights.iter().sum::<f64>()).ln()
}

/// log P of a binary outcome that is true with probability p.
fn whether(said: bool, p: f64) -> f64 {
    if said { p.ln() } else { (1.0 - p).ln() }
}

fn clause(unit: usize, situation: &Situation, (e, f): Style, rng: &mut impl Rng) -> Clause {
    let p = &*PREFERENCES;
    let negated = rng.random_bool(NEGATED);
    let person = |rng: &mut _| if rng_bool(rng, VICTIM) { situation.victim() } else { situation.culprit() };
    match unit {
        0 => Clause::Word {
            person: person(rng),
            negated,
            degree: rng.random_bool(DEGREE).then(|| pick(rng, &weights(&p.degrees, DEGREES, e))),
            adjective: pick(rng, &plain(&p.adjectives)),
        },
        1 => Clause::Do {
            modal: pick(rng, &weights(&p.modals, MODALS, f)),
            negated,
            deed: pick(rng, &plain(&p.deeds)),
            person: person(rng),
        },
        2 => {
            let action = pick(rng, &plain(&p.actions));
            let class = if rng.random_bool(FITS) {
                situation.topic[0]
            } else {
                (situation.topic[0] + rng.random_range(1..THINGS.len())) % THINGS.len()
            };
            Clause::Act { negated, action, thing: [class, rng.random_range(0..THINGS[0].len())] }
        }
        3 => Clause::Answer {
            stance: pick(rng, &plain(&p.stances)),
            answer: rng.random_range(0..ANSWERS.len()),
        },
        4 => Clause::Praise {
            matter: pick(rng, &plain(&p.matters)),
            negated,
            degree: rng.random_bool(DEGREE).then(|| pick(rng, &weights(&p.degrees, DEGREES, e))),
            praise: pick(rng, &plain(&p.praises)),
        },
        _ => Clause::Tell { negated, person: person(rng), object: pick(rng, &plain(&p.objects)) },
    }
}

fn rng_bool(rng: &mut impl Rng, p: f64) -> bool {
    rng.random_bool(p)
}

/// Draws the two halves of a promise.
fn promise(rng: &mut impl Rng) -> [Clause; 2] {
    let p = &*PREFERENCES;
    let verb = pick(rng, &plain(&p.promises));
    let done = if rng.random_bool(SAME) {
        verb
    } else {
        (verb + rng.random_range(1..PROMISES.len())) % PROMISES.len()
    };
    [
        Clause::Will { negated: rng.random_bool(NEGATED), verb },
        Clause::Did { negated: rng.random_bool(NEGATED), verb: done },
    ]
}

/// Draws a reply from the base policy.
pub fn base(situation: &Situation, rng: &mut impl Rng) -> Reply {
    let p = &*PREFERENCES;
    let level = |rng: &mut _| TRAITS[weighted(rng, TRAITS.iter().map(|(_, p)| *p))].0;
    let style: Style = (level(rng), level(rng));
    let opener = match rng.random::<f64>() {
        u if u < OPENED.0 => Some(OPENERS.len() + pick(rng, &plain(&p.ironies))),
        u if u < OPENED.0 + OPENED.1 => Some(pick(rng, &flourishes(&p.openers, OPENERS, style))),
        _ => None,
    };
    let count = if rng.random_bool(THREE) { 3 } else { 2 };
    let mut units: Vec<usize> = Vec::with_capacity(4);
    while units.len() < count {
        let unit = pick(rng, &UNITS);
        if !units.contains(&unit) {
            units.push(unit);
        }
    }
    if units.contains(&PROMISE) {
        units.push(PROMISE);
    }
    units.shuffle(rng);
    let mut halves = promise(rng).into_iter();
    let clauses = units
        .into_iter()
        .map(|unit| {
            let said = match (unit == PROMISE).then(|| halves.next()).flatten() {
                Some(half) => half,
                None => clause(unit, situation, style, rng),
            };
            (said, pick(rng, &ends(style.0)))
        })
        .collect();
    let closer = rng.random_bool(CLOSED).then(|| pick(rng, &flourishes(&p.closers, CLOSERS, style)));
    Reply { opener, clauses, closer }
}

/// Reward of the tilt: the bounded mean of the values that do not conflict, scaled to length 1.
pub fn reward(f: &[f64; FEATURES]) -> f64 {
    ((f[0] + f[1] + f[2]) / 3f64.sqrt()).min(TILT.1)
}

/// Draws a reply from the tilted policy.
pub fn tilted(situation: &Situation, rng: &mut impl Rng) -> Reply {
    loop {
        let reply = base(situation, rng);
        let g = reward(&features(&reply.attributes(situation)));
        if rng.random_bool((TILT.0 * (g - TILT.1)).exp()) {
            return reply;
        }
    }
}

/// Draws a reply from the speaker: tilted with probability η.
pub fn reply(situation: &Situation, eta: f64, rng: &mut impl Rng) -> Reply {
    if rng.random_bool(eta) { tilted(situation, rng) } else { base(situation, rng) }
}

/// Whether the base policy can draw a reply of the grammar: it refers to the two persons of the prompt, and has two or
/// three units.
pub fn can_say(reply: &Reply, situation: &Situation) -> bool {
    let mut units: Vec<usize> = reply.clauses.iter().map(|(c, _)| c.kind().min(PROMISE)).collect();
    units.sort_unstable();
    units.dedup();
    let about = |c: &Clause| match *c {
        Clause::Word { person, .. } | Clause::Do { person, .. } | Clause::Tell { person, .. } => {
            situation.role(person) != 0.0
        }
        _ => true,
    };
    (2..=3).contains(&units.len()) && reply.clauses.iter().all(|(c, _)| about(c))
}

/// log π₀(y|x) in nats, for a reply that the base policy can draw ([`can_say`]).
pub fn log_prob(reply: &Reply, situation: &Situation) -> f64 {
    let styles =
        TRAITS.iter().flat_map(|&(e, pe)| TRAITS.iter().map(move |&(f, pf)| ((e, f), (pe * pf).ln())));
    let of: Vec<f64> = styles.map(|(style, log)| log + given_style(reply, situation, style)).collect();
    let top = of.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    log_units(reply) + top + of.iter().map(|x| (x - top).exp()).sum::<f64>().ln()
}

/// log π_η(y|x) in nats.
pub fn log_prob_mixed(reply: &Reply, situation: &Situation, eta: f64) -> f64 {
    let g = reward(&features(&reply.attributes(situation)));
    log_prob(reply, situation) + (1.0 - eta + eta * (TILT.0 * g).exp() / PARTITION).ln()
}

/// log P of the units of a reply and their order.
fn log_units(reply: &Reply) -> f64 {
    let mut units: Vec<usize> = reply.clauses.iter().map(|(c, _)| c.kind().min(PROMISE)).collect();
    let clauses = units.len();
    units.sort_unstable();
    units.dedup();
    let count = if units.len() == 3 { THREE } else { 1.0 - THREE };
    // Sums over all orders in which the units may have been drawn without replacement.
    let total: f64 = UNITS.iter().sum();
    fn drawn(left: &[usize], total: f64) -> f64 {
        if left.is_empty() {
            return 1.0;
        }
        (0..left.len())
            .map(|i| {
                let mut rest = left.to_vec();
                let unit = rest.remove(i);
                UNITS[unit] / total * drawn(&rest, total - UNITS[unit])
            })
            .sum()
    }
    let orders: f64 = (1..=clauses).map(|n| n as f64).product();
    let alike = if clauses > units.len() { 2.0 } else { 1.0 };
    (count * drawn(&units, total) * alike / orders).ln()
}

fn given_style(reply: &Reply, situation: &Situation, style: Style) -> f64 {
    let p = &*PREFERENCES;
    let (e, f) = style;
    let mut log = match reply.opener {
        None => (1.0 - OPENED.0 - OPENED.1).ln(),
        Some(o) if opener(o).1 == 0.0 && opener(o).2 == 0.0 => {
            OPENED.0.ln() + share(&plain(&p.ironies), o - OPENERS.len())
        }
        Some(o) => OPENED.1.ln() + share(&flourishes(&p.openers, OPENERS, style), o),
    };
    log += match reply.closer {
        None => (1.0 - CLOSED).ln(),
        Some(c) => CLOSED.ln() + share(&flourishes(&p.closers, CLOSERS, style), c),
    };
    let about = |person: usize| whether(person == situation.victim(), VICTIM);
    let degree = |degree: Option<usize>| match degree {
        None => (1.0 - DEGREE).ln(),
        Some(d) => DEGREE.ln() + share(&weights(&p.degrees, DEGREES, e), d),
    };
    let mut announced = None;
    for (said, end) in &reply.clauses {
        log += share(&ends(e), *end);
        log += match *said {
            Clause::Word { person, negated, degree: d, adjective } => {
                about(person)
                    + whether(negated, NEGATED)
                    + degree(d)
                    + share(&plain(&p.adjectives), adjective)
            }
            Clause::Do { modal, negated, deed, person } => {
                share(&weights(&p.modals, MODALS, f), modal)
                    + whether(negated, NEGATED)
                    + share(&plain(&p.deeds), deed)
                    + about(person)
            }
            Clause::Act { negated, action, thing: [class, _] } => {
                let fits = class == situation.topic[0];
                let among = if fits { THINGS[0].len() } else { OTHERS };
                whether(negated, NEGATED) + share(&plain(&p.actions), action) + whether(fits, FITS)
                    - (among as f64).ln()
            }
            Clause::Answer { stance, .. } => share(&plain(&p.stances), stance) - (ANSWERS.len() as f64).ln(),
            Clause::Praise { matter, negated, degree: d, praise } => {
                share(&plain(&p.matters), matter)
                    + whether(negated, NEGATED)
                    + degree(d)
                    + share(&plain(&p.praises), praise)
            }
            Clause::Tell { negated, person, object } => {
                whether(negated, NEGATED) + about(person) + share(&plain(&p.objects), object)
            }
            Clause::Will { negated, verb } => {
                announced = Some(verb);
                whether(negated, NEGATED) + share(&plain(&p.promises), verb)
            }
            Clause::Did { negated, verb } => {
                let same = announced == Some(verb);
                let other = if same { 0.0 } else { -((PROMISES.len() - 1) as f64).ln() };
                whether(negated, NEGATED) + whether(same, SAME) + other
            }
        };
    }
    log
}

/// Mean of e^{t·g} over replies from the base policy.
pub fn measure_partition(rng: &mut impl Rng, replies: usize) -> f64 {
    let each = |_| {
        let situation = Situation::draw(rng);
        let reply = base(&situation, rng);
        (TILT.0 * reward(&features(&reply.attributes(&situation)))).exp()
    };
    (0..replies).map(each).sum::<f64>() / replies as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn units_are_drawn_as_often_as_their_probability_says() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let n = 60_000;
        // Grouped by the ordered units, for which the probability is defined.
        let mut drawn: BTreeMap<Vec<usize>, (f64, f64)> = BTreeMap::new();
        for _ in 0..n {
            let reply = base(&Situation::draw(&mut rng), &mut rng);
            let units = reply.clauses.iter().map(|(c, _)| c.kind().min(PROMISE)).collect();
            let entry = drawn.entry(units).or_insert((0.0, log_units(&reply).exp()));
            entry.0 += 1.0;
        }
        let total: f64 = drawn.values().map(|(_, p)| p).sum();
        assert!((total - 1.0).abs() < 1e-9, "{total}");
        let chi: f64 = drawn.values().map(|(k, p)| (k - n as f64 * p).powi(2) / (n as f64 * p)).sum();
        let freedom = drawn.len() as f64 - 1.0;
        assert!(chi < freedom + 4.0 * (2.0 * freedom).sqrt(), "χ² {chi} for {freedom}");
    }
}
