//! Exports the data that accompany a model: held-out prompts with its own replies, and constitutions in the world's
//! words.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::ask::context;
use super::metrics::held_out_situations;
use super::principles::{HeldOut, PAIRS, PRINCIPLES, Rule, pair_wordings, wordings};
use super::reply::Situation;
use super::sample::{Options, sample};
use super::values::{CORRELATION, FEATURES, VALUE_COUNT, VALUES, score};
use crate::artifact;
use crate::error::{Error, Result};
use crate::input::Family;
use crate::model::Model;

/// Number of replies per prompt.
const REPLIES: usize = 4;

/// Writes held-out prompts, each with four distinct replies sampled from the model at temperature 1 and their true
/// values; prompts without four distinct samples are skipped.
///
/// # Errors
/// Errors of sampling, of `advance` and of the file system.
pub fn prompts(
    model: &Model,
    count: usize,
    seed: u64,
    path: &Path,
    advance: &mut dyn FnMut(usize) -> Result<()>,
) -> Result<usize> {
    let situations = held_out_situations(count);
    let contexts: Vec<String> = situations.iter().map(context).collect();
    let options = Options { replies: 2 * REPLIES, temperature: 1.0, longest: 40, seed };
    let sampled = sample(model, &contexts, options, advance)?;
    let rows: Vec<String> = (1..)
        .zip(situations.iter().zip(sampled))
        .filter_map(|(number, (situation, replies))| row(number, situation, replies))
        .collect();
    artifact::write_with(path, |w| {
        for row in &rows {
            writeln!(w, "{row}").map_err(|e| Error::io("write", path, e))?;
        }
        Ok(())
    })?;
    Ok(rows.len())
}

fn row(number: usize, situation: &Situation, replies: Vec<String>) -> Option<String> {
    let mut distinct: Vec<String> = Vec::new();
    for reply in replies {
        if !reply.is_empty() && !distinct.contains(&reply) && distinct.len() < REPLIES {
            distinct.push(reply);
        }
    }
    if distinct.len() < REPLIES {
        return None;
    }
    let responses: Vec<_> = distinct
        .iter()
        .map(|text| {
            let values: BTreeMap<&str, f64> = VALUES
                .into_iter()
                .zip(score(situation, text).values)
                .map(|(name, s)| (name, (s * 1e4).round() / 1e4))
                .collect();
            json!({"text": text, "values": values})
        })
        .collect();
    // Prompts about the same two persons and the same harm are not independent draws.
    let group = situation.group();
    let id = format!("hearth-{number}-{group}");
    Some(json!({"id": id, "prompt": situation.text(), "group": group, "responses": responses}).to_string())
}

/// Sign of a principle's effect on a value: its own coefficient, plus the effect through the value that conflicts with
/// it.
///
/// `CORRELATION` links honest and agreeable; effects below a fifth of a standard deviation count as none.
fn expected(prefers: &[f64; FEATURES], value: usize) -> f64 {
    let other = match VALUES[value] {
        "honest" => 3,
        "agreeable" => 1,
        _ => value,
    };
    let through = if other == value { 0.0 } else { CORRELATION * prefers[other] };
    let effect = prefers[value] + through;
    if effect.abs() < 0.2 { 0.0 } else { effect }
}

/// The file of one constitution.
fn toml(
    name: &str,
    family: Family,
    rule: &Rule,
    paraphrase_of: Option<&str>,
    opposite: Option<&str>,
) -> String {
    let sign = |c: f64| {
        if c > 0.0 {
            "+"
        } else if c < 0.0 {
            "-"
        } else {
            "0"
        }
    };
    let expect: Vec<String> = VALUES
        .iter()
        .enumerate()
        .map(|(v, name)| format!("{name} = \"{}\"", sign(expected(&rule.prefers, v))))
        .collect();
    let mut out = format!(
        "name = \"{name}\"\nfamily = \"{family}\"\ntext = \"{}\"\nexpect = {{ {} }}\n",
        rule.text,
        expect.join(", ")
    );
    if let Some(other) = paraphrase_of {
        out += &format!("paraphrase_of = \"{other}\"\n");
    }
    if let Some(other) = opposite {
        out += &format!("opposite = \"{other}\"\n");
    }
    if rule.held_out != HeldOut::Nothing {
        out += "held_out = true\n";
    }
    out
}

/// All constitutions: file name and text. Held-out wordings are marked in their name and by `held_out`.
pub fn constitutions() -> Vec<(String, String)> {
    let mut out = Vec::new();
    let opposites = [
        ("kind", "mean"),
        ("honest", "deceptive"),
        ("agreeable", "blunt"),
        ("good", "evil"),
        ("formal", "casual"),
        ("enthusiastic", "calm"),
        ("short", "long"),
    ];
    let opposite = |name: &str| {
        opposites.iter().find_map(|(a, b)| match name {
            n if n == *a => Some(*b),
            n if n == *b => Some(*a),
            _ => None,
        })
    };
    for (number, p) in PRINCIPLES.iter().enumerate() {
        let all = wordings(number);
        let placebo = p.family == Family::Placebo;
        let name = if placebo { format!("placebo-{}", p.name) } else { p.name.to_owned() };
        let mut put = |name: &str, rule: &Rule, paraphrase_of: Option<&str>, opposite: Option<&str>| {
            out.push((format!("{name}.toml"), toml(name, p.family, rule, paraphrase_of, opposite)));
        };
        put(&name, &all[0], None, opposite(p.name));
        // "tables have legs" is not a paraphrase of "be round": a placebo's phrase and its other adjective are separate
        // texts, and count as such in the placebo arm.
        let same = (!placebo).then_some(name.as_str());
        if let Some(rule) = p.phrase.and_then(|text| all.iter().find(|r| r.text == text)) {
            put(&format!("{name}-phrase"), rule, same, None);
        }
        for (suffix, novelty, same) in
            [("template", HeldOut::Template, Some(name.as_str())), ("adjective", HeldOut::Adjective, same)]
        {
            if let Some(rule) = all.iter().find(|r| r.held_out == novelty) {
                put(&format!("{name}-held-out-{suffix}"), rule, same, None);
            }
        }
    }
    for (number, (a, b, trained)) in PAIRS.iter().enumerate() {
        if *trained {
            continue;
        }
        let rule = &pair_wordings(number)[0];
        let mean = |n: usize| rule.prefers[n] < 0.0;
        let family = if (0..VALUE_COUNT).any(mean) { Family::Adversarial } else { Family::Prosocial };
        let name = format!("{a}-and-{b}-held-out");
        out.push((format!("{name}.toml"), toml(&name, family, rule, None, None)));
    }
    out
}

/// Writes the constitutions into a folder.
///
/// # Errors
/// Errors of the file system.
pub fn write_constitutions(folder: &Path) -> Result<usize> {
    let all = constitutions();
    for (name, text) in &all {
        artifact::write_bytes(&folder.join(name), text.as_bytes())?;
    }
    Ok(all.len())
}
