//! Cards of the listed responses: text by token, coloured by the readings of directions, with label and choices.

use serde_json::Value as Json;

use super::TABLE;
use super::readings::{Choice, Readings, Response, TABLE as READINGS};
use crate::document::cards::{Card, Deck, Passage, Shade};
use crate::document::text::shortened;
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::optional;

/// Maximum number of characters of a prompt.
const PROMPT: usize = 600;
/// Maximum number of choices on a card under one constitution.
const CHOICES: usize = 6;

/// One deck per value, for values with listed responses.
pub(crate) fn decks(index: &Index<'_>) -> Vec<(String, Deck)> {
    let Some(rows) = index.rows(TABLE) else { return Vec::new() };
    let readings: Readings = index.table(READINGS).unwrap_or_default();
    let of_value = |value: &&str| {
        let of: Vec<&Json> = rows.iter().filter(|r| r["value"] == **value).collect();
        (!of.is_empty()).then(|| ((*value).to_owned(), deck(&of, &readings, value)))
    };
    index.values.iter().filter_map(of_value).collect()
}

fn deck(rows: &[&Json], readings: &Readings, value: &str) -> Deck {
    let read = |at: &Json| readings.of(at["item"].as_str()?, usize::try_from(at["response"].as_u64()?).ok()?);
    // v* first, because the cards are selected by it.
    let own = format!("v_star.{value}");
    let mut names: Vec<String> = Vec::new();
    for name in rows.iter().filter_map(|r| read(&r["row"])).flat_map(|r| r.scores.keys()) {
        if !names.contains(name) && (*name == own || !name.starts_with("v_star.")) {
            names.push(name.clone());
        }
    }
    names.sort_by_key(|name| (*name != own, name == "w", name.clone()));
    let shown: Vec<&Response> =
        rows.iter().flat_map(|r| [read(&r["row"]), r.get("against").and_then(read)]).flatten().collect();
    let units: Vec<f64> = names.iter().map(|name| unit(&shown, name)).collect();
    let passage = |caption: &'static str, at: &Json| {
        let response = read(at);
        let shades = response.map(|r| {
            let of = names.iter().zip(&units);
            of.map(|(name, unit)| Shade::of(r.scores.get(name).map_or(&[][..], Vec::as_slice), *unit))
                .collect()
        });
        let pieces = match response {
            Some(r) => r.pieces.clone(),
            None => listed(at),
        };
        Passage {
            caption,
            pieces,
            left_out: response.map_or(0, |r| r.left_out),
            shades: shades.unwrap_or_default(),
        }
    };
    let cards = rows.iter().map(|row| {
        let at = &row["row"];
        let response = read(at);
        let pair = row.get("against");
        let mut passages = vec![passage(if pair.is_some() { "better" } else { "" }, at)];
        passages.extend(pair.map(|worse| passage("worse", worse)));
        let figure = |key: &str| row[key].as_f64();
        Card {
            why: match row["end"].as_str() {
                Some("highest") => "highest score",
                Some("lowest") => "lowest score",
                _ => "label missed most",
            },
            title: title(at),
            context: response.map(|r| shortened(&r.prompt, PROMPT)).unwrap_or_default(),
            figures: vec![
                ("score", optional(figure("score"), Some(0.1)), figure("score")),
                ("label", optional(figure("label"), Some(0.1)), figure("label")),
            ],
            passages,
            notes: response.map(|r| choices(&r.choices)).unwrap_or_default(),
        }
    });
    Deck { colours: names.iter().map(|name| named(name)).collect(), cards: cards.collect() }
}

/// Score of one step of colour: half the root mean square of the scores of all shown tokens.
fn unit(shown: &[&Response], name: &str) -> f64 {
    let all = || shown.iter().filter_map(|r| r.scores.get(name)).flatten();
    let (n, squares) = all().fold((0usize, 0.0), |(n, sum), s| (n + 1, sum + s * s));
    if n == 0 { 0.0 } else { (squares / n as f64).sqrt() / 2.0 }
}

/// Description of a direction.
fn named(name: &str) -> String {
    match name.split_once('.') {
        Some(("v_star", value)) => format!("v* of {value}"),
        Some(("v_c", constitution)) => format!("v_c of {constitution}"),
        _ => format!("{name}, generation"),
    }
}

fn title(at: &Json) -> String {
    let item = match at["item"].as_str() {
        Some(id) => shortened(id, 60),
        None => format!("row {}", at.get("row").unwrap_or(at)),
    };
    match at["response"].as_u64() {
        Some(r) => format!("{item}, response {r}"),
        None => item,
    }
}

/// The text pieces quoted by the list of rows.
fn listed(at: &Json) -> Vec<String> {
    let pieces = at["pooled"].as_array().map(Vec::as_slice).unwrap_or_default();
    pieces.iter().filter_map(Json::as_str).map(str::to_owned).collect()
}

/// One sentence per constitution: log-odds (nats) for the response when shown first and when shown second.
fn choices(all: &[Choice]) -> Vec<String> {
    let nats = |v: Option<f64>| optional(v, Some(0.1));
    let under = |of: &[Choice]| {
        let against = |c: &Choice| format!("{}: {}, {}", c.against, nats(c.first), nats(c.second));
        let shown: Vec<String> = of.iter().take(CHOICES).map(against).collect();
        let more = if of.len() > CHOICES { "; …" } else { "" };
        format!("{}: against {}{more}", shortened(&of[0].constitution, 40), shown.join("; "))
    };
    all.chunk_by(|a, b| a.constitution == b.constitution).map(under).collect()
}
