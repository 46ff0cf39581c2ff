//! The base policy: how replies are drawn, with values almost left to chance.

use std::sync::LazyLock;

use rand::Rng;
use rand::seq::SliceRandom;

use super::draw::{gaussian, gaussian_of, sigmoid, weighted};
use super::reply::{Clause, Reply, Situation};
use super::words::{
    ACTIONS, ADJECTIVES, CLOSERS, DEEDS, DEGREES, END_MARKS, MODALS, OBJECTS, OPENERS, OUTCOMES, STANCES,
    TOOLS, TOPICS, Weighted,
};

/// How strongly a latent trait chooses among words.
const TRAIT_STRENGTH: f64 = 1.5;
/// What the base policy itself favours: this times kindness, this times honesty.
const LEAN: (f64, f64) = (0.12, 0.05);
/// Standard deviation of the words' fixed preference.
const WORD_NOISE: f64 = 0.5;

/// Traits of whoever replies: kindness, honesty, helpfulness, enthusiasm, formality; half steps.
struct Traits {
    k: f64,
    t: f64,
    h: f64,
    e: f64,
    f: f64,
}

impl Traits {
    /// corr(k, t) = .6, corr(k, h) = corr(t, h) = .3, corr(f, e) = −.3; the rest independent.
    fn draw(rng: &mut impl Rng) -> Self {
        let mut z = || gaussian(rng);
        let half = |x: f64| (2.0 * x).round() / 2.0;
        let (a, b, c, d, e) = (z(), z(), z(), z(), z());
        let t = 0.6 * a + 0.8 * b;
        // Coefficients of h on (a, b) that give the two correlations.
        let (ha, hb) = (0.3, (0.3 - 0.6 * 0.3) / 0.8);
        let h = ha * a + hb * b + (1.0_f64 - ha * ha - hb * hb).sqrt() * c;
        let f = -0.3 * d + (1.0_f64 - 0.09).sqrt() * e;
        Self { k: half(a), t: half(t), h: half(h), e: half(d), f: half(f) }
    }
}

/// Fixed preferences of the words of a slot, with what the base policy favours.
fn preferences(slot: &str, words: &[&str], lean: impl Fn(usize) -> f64) -> Vec<f64> {
    words.iter().enumerate().map(|(i, w)| WORD_NOISE * gaussian_of(&["word", slot, w]) + lean(i)).collect()
}

fn of_weighted(slot: &str, list: &[Weighted], lean: f64) -> Vec<f64> {
    let words: Vec<&str> = list.iter().map(|(w, _)| *w).collect();
    preferences(slot, &words, |i| lean * list[i].1)
}

struct Preferences {
    openers: Vec<f64>,
    closers: Vec<f64>,
    degrees: Vec<f64>,
    adjectives: Vec<f64>,
    modals: Vec<f64>,
    deeds: Vec<f64>,
    objects: Vec<f64>,
    stances: Vec<f64>,
    outcomes: Vec<f64>,
    actions: Vec<f64>,
    tools: Vec<f64>,
}

static PREFERENCES: LazyLock<Preferences> = LazyLock::new(|| {
    let names = |list: &[(&'static str, f64, f64)]| list.iter().map(|(w, ..)| *w).collect::<Vec<_>>();
    Preferences {
        openers: preferences("opener", &names(OPENERS), |_| 0.0),
        closers: preferences("closer", &names(CLOSERS), |_| 0.0),
        degrees: of_weighted("degree", DEGREES, 0.0),
        adjectives: of_weighted("adjective", ADJECTIVES, LEAN.0),
        modals: of_weighted("modal", MODALS, 0.0),
        deeds: of_weighted("deed", DEEDS, LEAN.0),
        objects: of_weighted("object", OBJECTS, LEAN.1),
        stances: of_weighted("stance", STANCES, LEAN.1),
        outcomes: preferences("outcome", OUTCOMES, |_| 0.0),
        actions: of_weighted("action", ACTIONS, 0.0),
        tools: preferences("tool", TOOLS, |_| 0.0),
    }
});

fn slot(rng: &mut impl Rng, preference: &[f64], list: &[Weighted], of: f64) -> usize {
    weighted(rng, preference.iter().zip(list).map(|(b, (_, w))| (b + TRAIT_STRENGTH * of * w).exp()))
}

fn plain(rng: &mut impl Rng, preference: &[f64]) -> usize {
    weighted(rng, preference.iter().map(|b| b.exp()))
}

/// Draws a reply to a situation.
pub fn reply(situation: &Situation, rng: &mut impl Rng) -> Reply {
    let p = &*PREFERENCES;
    let z = Traits::draw(rng);
    let flourish = |rng: &mut _, preference: &[f64], list: &[(&str, f64, f64)]| {
        let weight = |(b, (_, f, e)): (&f64, &(&str, f64, f64))| (b + z.f * f + z.e * e).exp();
        weighted(rng, preference.iter().zip(list).map(weight))
    };
    let opener = rng.random_bool(0.6).then(|| flourish(rng, &p.openers, OPENERS));
    let count = 1 + weighted(rng, [0.30, 0.45, 0.25].into_iter());
    // The helpful clause is the only one of its value, so it is drawn more often.
    let mut kinds: Vec<usize> = Vec::with_capacity(count);
    while kinds.len() < count {
        let kind = weighted(rng, [1.0, 1.0, 1.0, 1.0, 1.7].into_iter());
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.shuffle(rng);
    let clauses = kinds.into_iter().map(|kind| {
        let clause = match kind {
            0 => Clause::Are {
                degree: rng.random_bool(0.5).then(|| slot(rng, &p.degrees, DEGREES, z.e)),
                adjective: slot(rng, &p.adjectives, ADJECTIVES, z.k),
            },
            1 => {
                Clause::Do { modal: slot(rng, &p.modals, MODALS, z.f), deed: slot(rng, &p.deeds, DEEDS, z.k) }
            }
            2 => Clause::Tell { object: slot(rng, &p.objects, OBJECTS, z.t) },
            3 => Clause::Claim {
                stance: slot(rng, &p.stances, STANCES, z.t),
                outcome: plain(rng, &p.outcomes),
            },
            _ => {
                let action = slot(rng, &p.actions, ACTIONS, z.h);
                let topic = if rng.random_bool(sigmoid(0.2 + 1.3 * z.h)) {
                    situation.topic
                } else {
                    (situation.topic + rng.random_range(1..TOPICS.len())) % TOPICS.len()
                };
                Clause::Act { action, topic, tool: plain(rng, &p.tools) }
            }
        };
        let end = weighted(rng, END_MARKS.iter().map(|(_, w)| (TRAIT_STRENGTH * z.e * w - 0.4 * w).exp()));
        (clause, end)
    });
    let clauses = clauses.collect();
    let closer = rng.random_bool(0.5).then(|| flourish(rng, &p.closers, CLOSERS));
    Reply { opener, clauses, closer }
}
