//! The finding in five sentences without jargon: the effect, the constitutions, the model's state, the uncertainty,
//! and what would invalidate it.

use super::counted::{deciding, groups, lower_model, real};
use super::obstacles::{judge_itself, obstacle};
use super::overall::{Encoded, ValueSummary, latent_rho2, summaries};
use super::{Report, glance};
use crate::theory::angles::conflict;
use crate::theory::answer::left_unsaid;
use crate::theory::base::arm::DRAWS_NEEDED;
use crate::theory::reading::index::Index;
use crate::theory::reading::outcome::{MATTERS, Outcome, Qualifier};
use crate::theory::reading::quote::{count, counted, p, percent, quotable};
use crate::theory::reading::validity::JudgeValidity;
use crate::theory::reading::verdict::{Verdict, placebo_texts, verdicts};
use crate::theory::reading::words::joined;
use crate::theory::reading::words::{NAMED_VALUES, quoted};
use crate::theory::state::without_a_judge;
use crate::theory::{Control, Quantity};

/// Maximum number of constitutions named in a sentence.
const NAMED: usize = 6;
/// Share of pairs with the same preference in both orders below which the reader is warned.
const AGREES: f64 = 0.75;
/// Number of blocks below which intervals are described as rough.
const FEW_BLOCKS: usize = 100;

/// Five lines of plain text, not escaped: the finding; the constitutions; what the model's state shows; the
/// uncertainty; what would invalidate it.
pub fn five_lines(report: &Report) -> [String; 5] {
    let index = report.index();
    let verdicts = verdicts(&index);
    lines(report, &index, &verdicts, &summaries(&index))
}

pub(super) fn lines(
    report: &Report,
    index: &Index<'_>,
    verdicts: &[Verdict],
    summaries: &[ValueSummary],
) -> [String; 5] {
    [
        finding(report, index, verdicts, summaries),
        which(index, verdicts),
        [Some(inner_state(index, summaries)), conflict(index), without_a_judge(index), left_unsaid(index)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" "),
        how_sure(index, verdicts),
        what_would_make_it_wrong(report, index, verdicts, summaries),
    ]
}

pub(super) fn values(index: &Index<'_>) -> String {
    let names: Vec<String> = index.values.iter().map(|v| quoted(v)).collect();
    if names.len() > NAMED_VALUES {
        return format!(
            "{} and {}",
            names[..NAMED_VALUES].join(", "),
            counted((names.len() - NAMED_VALUES) as u64, "more value")
        );
    }
    joined(&names, NAMED_VALUES)
}

fn finding(report: &Report, index: &Index<'_>, verdicts: &[Verdict], summaries: &[ValueSummary]) -> String {
    let model = report.model();
    let subject = if model == "this model" { "This model".to_owned() } else { model };
    if index.values.is_empty() {
        return format!("{subject}: nothing was measured that a value could be read from.");
    }
    if real(verdicts).next().is_none() {
        let seen: Vec<String> =
            summaries.iter().filter(|s| s.encoded == Encoded::Yes).map(|s| quoted(&s.value)).collect();
        return if seen.is_empty() {
            format!("{subject} gives no evidence that it represents {}.", values(index))
        } else {
            format!(
                "{subject} represents {}; what training on its own judgments would do was not measured.",
                joined(&seen, NAMED_VALUES)
            )
        };
    }
    if let Some(obstacle) = obstacle(&subject, index, &JudgeValidity::new(index), verdicts) {
        return obstacle;
    }
    if !real(verdicts).any(Verdict::is_signed) {
        let differs = real(verdicts).filter(|v| v.verdict == Outcome::DiffersFromZero);
        let moved = differs.clone().count();
        let named = |value: &&&str| differs.clone().any(|v| v.value == **value);
        let changed: Vec<String> = index.values.iter().filter(named).map(|v| quoted(v)).collect();
        if moved > 0 {
            return format!(
                "Training {} on its own judgments may change {} under {moved} of {}, but too few placebo texts (texts that name \
                 no value) were run to tell what the constitutions do from what the judge does by itself.",
                lower_model(&subject),
                joined(&changed, NAMED_VALUES),
                counted(real(verdicts).count() as u64, "pair") + " of a value and a constitution"
            );
        }
        let invalid = |value: &str| {
            real(verdicts).filter(|v| v.value == value).all(|v| v.verdict == Outcome::JudgeInvalid)
        };
        // Skip values that were never compared with a constitution.
        let judged = index.values.iter().filter(|v| real(verdicts).any(|own| own.value == **v));
        let (blind, seen): (Vec<&str>, Vec<&str>) = judged.partition(|v| invalid(v));
        let names = |of: &[&str]| joined(&of.iter().map(|v| quoted(v)).collect::<Vec<_>>(), NAMED_VALUES);
        let but = match blind.is_empty() {
            true => String::new(),
            false => format!("; for {} it cannot be used as a judge in this way", names(&blind)),
        };
        return format!(
            "{subject} gives no evidence that training it on its own judgments would change {}{but}.",
            names(&seen)
        );
    }
    glance::finding(&subject, index, verdicts)
}

fn which(index: &Index<'_>, verdicts: &[Verdict]) -> String {
    if real(verdicts).next().is_none() {
        return "No constitution (a text that says which of two answers to prefer) was put to it as a judge."
            .into();
    }
    let mut out = Vec::new();
    if let Some(advice) = JudgeValidity::new(index).advice {
        out.push(format!("What to try: {advice}."));
    }
    if index.values.len() > NAMED_VALUES {
        out.push(pairs(verdicts));
        out.extend(judge_itself(index));
        return out.join(" ");
    }
    let several = index.values.len() > 1;
    for value in &index.values {
        let of = real(verdicts).filter(|v| v.value == *value);
        let names = |outcome: Outcome| -> Vec<String> {
            of.clone()
                .filter(|v| v.verdict == outcome)
                .map(|v| match v.qualifier {
                    Some(Qualifier::LengthConfounded) => {
                        format!("{} (perhaps only by the answers' length)", quoted(&v.constitution))
                    }
                    _ => quoted(&v.constitution),
                })
                .collect()
        };
        let mut parts = Vec::new();
        let (up, down) = (names(Outcome::Improves), names(Outcome::Degrades));
        if !up.is_empty() {
            parts.push(format!("it would rise under {}", joined(&up, NAMED)));
        }
        if !down.is_empty() {
            parts.push(format!("it would fall under {}", joined(&down, NAMED)));
        }
        let differs = names(Outcome::DiffersFromZero);
        if !differs.is_empty() {
            parts.push(format!("it may move under {}, or by the judge’s own habit", joined(&differs, NAMED)));
        }
        let qualified = |outcome, which: &[Qualifier]| {
            of.clone()
                .filter(|v| v.verdict == outcome && v.qualifier.is_some_and(|q| which.contains(&q)))
                .count()
        };
        let total = [Qualifier::TotalPositive, Qualifier::TotalNegative];
        let small = qualified(Outcome::NoEvidence, &[Qualifier::TooSmall]);
        let told_apart = [
            (
                Qualifier::WithinPlacebo,
                "moved it no further than texts without content differ among themselves",
            ),
            (Qualifier::LengthExplains, "moved it only as far as the answers’ length does"),
            (
                Qualifier::Ordinary,
                "moved it along a direction no closer to its own than unrelated directions, which too few placebo texts leave \
                 open",
            ),
            (
                Qualifier::TotalDisagrees,
                "moved it in the inner state, where what was chosen in all does not agree",
            ),
        ];
        let told_apart = told_apart.map(|(q, what)| (qualified(Outcome::NoEvidence, &[q]), what));
        let apart: usize = told_apart.iter().map(|(n, _)| n).sum();
        let (silent, unread) =
            (qualified(Outcome::NoEvidence, &total), qualified(Outcome::NotIdentifiable, &total));
        let none = names(Outcome::NoEvidence).len() - small - silent - apart;
        let blind = names(Outcome::NotIdentifiable).len() - unread;
        let mut told = up.len() + down.len() + differs.len();
        let mut counted_as = |n: usize| {
            let first = told == 0;
            told += n;
            if first { counted(n as u64, "constitution") } else { format!("{} more", count(n as u64)) }
        };
        if none > 0 {
            parts.push(format!("{} had no effect that stands out from chance", counted_as(none)));
        }
        for (n, what) in told_apart.into_iter().filter(|(n, _)| *n > 0) {
            parts.push(format!("{} {what}", counted_as(n)));
        }
        if small > 0 {
            parts.push(format!(
                "{} would move it by less than {} of what is possible",
                counted_as(small),
                percent(MATTERS)
            ));
        }
        if silent + unread > 0 {
            parts.push(format!(
                "under {} the choices go with or against it by something that the inner state does not show",
                counted_as(silent + unread)
            ));
        }
        if blind > 0 {
            parts.push(format!("for {} the data cannot tell", counted_as(blind)));
        }
        let (invalid, little) = (names(Outcome::JudgeInvalid).len(), names(Outcome::TooLittleData).len());
        if invalid > 0 {
            parts.push(format!("for {} the judge is not valid", counted(invalid as u64, "constitution")));
        }
        if little > 0 {
            parts.push(format!("for {} there is too little data", counted(little as u64, "constitution")));
        }
        if parts.is_empty() {
            parts.push("it was not set against a constitution".into());
        }
        let text = parts.join("; ");
        out.push(if several { format!("{}: {text}.", quoted(value)) } else { capital(&text) + "." });
    }
    out.extend(judge_itself(index));
    out.join(" ")
}

/// Number of constitution–value pairs in each direction; the table shows which ones.
fn pairs(verdicts: &[Verdict]) -> String {
    let number = |outcomes: &[Outcome]| real(verdicts).filter(|v| outcomes.contains(&v.verdict)).count();
    let all = counted(real(verdicts).count() as u64, "pair");
    let parts: Vec<String> = [
        (number(&[Outcome::Improves]), "the value would rise"),
        (number(&[Outcome::Degrades]), "it would fall"),
        (number(&[Outcome::DiffersFromZero]), "it may move, or the judge’s own habit does it"),
        (number(&[Outcome::NoEvidence]), "nothing stands out from chance, placebo texts or length"),
        (number(&[Outcome::NotIdentifiable]), "the data cannot tell"),
        (number(&[Outcome::JudgeInvalid]), "the judge is not valid"),
        (number(&[Outcome::TooLittleData]), "there is too little data"),
    ]
    .into_iter()
    .filter(|(n, _)| *n > 0)
    .map(|(n, what)| format!("in {} {what}", count(n as u64)))
    .collect();
    format!("Of {all} of a value and a constitution, {}.", parts.join(", "))
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().collect::<String>() + chars.as_str(),
        None => String::new(),
    }
}

fn inner_state(index: &Index<'_>, summaries: &[ValueSummary]) -> String {
    if summaries.len() > NAMED_VALUES {
        return inner_states(index, summaries);
    }
    let mut out = Vec::new();
    for s in summaries {
        let value = index.values.iter().copied().find(|v| *v == s.value).unwrap_or_default();
        let own = |quantity| index.get(quantity, Some(value), None, Control::None);
        let latent = latent_rho2(index, value);
        let rho2 = latent.or(own(Quantity::Rho2));
        let what = if latent.is_some() { "the latent score behind the labels of " } else { "" };
        // Baselines on the scale of the sentence: conversion to the latent scale multiplies every ρ² of a value by
        // the same factor.
        let scale = match (latent.and_then(|e| e.estimate), own(Quantity::Rho2).and_then(|e| e.estimate)) {
            (Some(latent), Some(own)) if own > 0.0 => Some(latent / own),
            (Some(_), _) => None,
            (None, _) => Some(1.0),
        };
        let baseline = |quantity, what: &str| {
            let (e, scale) = own(quantity).filter(|e| e.estimate.is_some()).zip(scale)?;
            // A figure below its gate is not reported as a share.
            let share =
                e.estimate.filter(|_| quotable(e)).map(|share| percent((scale * share).clamp(0.0, 1.0)));
            let told =
                share.map_or_else(|| "are not seen to tell any of it".to_owned(), |s| format!("tell {s}"));
            Some(format!("; {what} alone, the text and not the model, {told}"))
        };
        let text_alone: String = [
            baseline(Quantity::Rho2Embeddings, "its token embeddings"),
            baseline(Quantity::Rho2Words, "counts of the words"),
        ]
        .into_iter()
        .flatten()
        .collect();
        let name = quoted(&s.value);
        out.push(match (s.encoded, rho2) {
            (Encoded::Yes, Some(e)) => {
                // If there is only a one-sided bound, use it.
                let bound = e.lo.filter(|_| s.lower_estimate);
                let share = percent(bound.or(e.estimate).unwrap_or_default().clamp(0.0, 1.0));
                let about = match (s.lower_estimate, bound) {
                    (true, Some(_)) => "at least",
                    (true, None) => "perhaps",
                    (false, _) => "about",
                };
                let range = match (e.lo, e.hi) {
                    (Some(lo), Some(hi)) if !s.lower_estimate => {
                        format!(
                            " (between {} and {})",
                            percent(lo.clamp(0.0, 1.0)),
                            percent(hi.clamp(0.0, 1.0))
                        )
                    }
                    _ => String::new(),
                };
                format!(
                    "The model's inner state tells {about} {share}{range} of how answers to one prompt differ in {what}{name}{text_alone}."
                )
            }
            (Encoded::NotSeen, _) => {
                format!("The model's inner state does not tell, as far as these data show, which of two answers is better in {name}.")
            }
            _ => format!("How much of {name} the model's inner state tells could not be measured."),
        });
    }
    if out.is_empty() { "There is no label of any value to compare with.".into() } else { out.join(" ") }
}

/// Summary for more values than a sentence can name: the range over encoded values, and the values not encoded.
fn inner_states(index: &Index<'_>, summaries: &[ValueSummary]) -> String {
    let of =
        |which: Encoded| -> Vec<&ValueSummary> { summaries.iter().filter(|s| s.encoded == which).collect() };
    let share = |s: &ValueSummary, quantity| {
        let value = index.values.iter().copied().find(|v| *v == s.value)?;
        let e = index.get(quantity, Some(value), None, Control::None).filter(|e| quotable(e))?;
        let bound = e.lo.filter(|_| s.lower_estimate && quantity != Quantity::Rho2Words);
        bound.or(e.estimate).map(|share| share.clamp(0.0, 1.0))
    };
    let range = |all: &[f64]| {
        let (lo, hi) = all.iter().fold((1.0f64, 0.0f64), |(lo, hi), &x| (lo.min(x), hi.max(x)));
        let (lo, hi) = (percent(lo), percent(hi));
        if lo == hi { lo } else { format!("{lo} to {hi}") }
    };
    let names =
        |of: &[&ValueSummary]| joined(&of.iter().map(|s| quoted(&s.value)).collect::<Vec<_>>(), NAMED);
    let encoded = of(Encoded::Yes);
    let mut out = Vec::new();
    if !encoded.is_empty() {
        let told = |s: &&ValueSummary| share(s, Quantity::Rho2Latent).or_else(|| share(s, Quantity::Rho2));
        let told: Vec<f64> = encoded.iter().filter_map(told).collect();
        let words: Vec<f64> = encoded.iter().filter_map(|s| share(s, Quantity::Rho2Words)).collect();
        let least = if encoded.iter().any(|s| s.lower_estimate) { "at least " } else { "" };
        let words = match words.is_empty() {
            true => String::new(),
            false => {
                format!("; counts of the words alone, the text and not the model, tell {}", range(&words))
            }
        };
        out.push(format!(
            "The model's inner state tells {least}{} of how answers to one prompt differ in {}{words}.",
            range(&told),
            names(&encoded)
        ));
    }
    let (blind, unknown) = (of(Encoded::NotSeen), of(Encoded::NotMeasured));
    if !blind.is_empty() {
        out.push(format!(
            "The model's inner state does not tell, as far as these data show, which of two answers is better in {}.",
            names(&blind)
        ));
    }
    if !unknown.is_empty() {
        out.push(format!(
            "How much of {} the model's inner state tells could not be measured.",
            names(&unknown)
        ));
    }
    out.join(" ")
}

fn how_sure(index: &Index<'_>, verdicts: &[Verdict]) -> String {
    let blocks = groups(index, verdicts);
    let data = match blocks.or_else(|| {
        index
            .values
            .iter()
            .filter_map(|v| index.get(Quantity::Rho2, Some(v), None, Control::None)?.blocks)
            .max()
    }) {
        Some(blocks) => format!("{} of answers", counted(blocks as u64, "independent group")),
        None => "an unknown number of prompts".into(),
    };
    let clear: Vec<&Verdict> = real(verdicts).filter(|v| v.is_signed()).collect();
    let weakest = clear.iter().filter_map(|v| deciding(index, v)?.p_adjusted).reduce(f64::max);
    let Some(weakest) = weakest else {
        let could = |v: &&Verdict| {
            matches!(v.verdict, Outcome::NoEvidence | Outcome::DiffersFromZero) || v.is_signed()
        };
        let tested = real(verdicts).filter(could).count();
        return format!(
            "How sure: this rests on {data}; {} could be tested, and an effect too small for these data may exist all the same.",
            counted(tested as u64, "value–constitution pair")
        );
    };
    let chance = if weakest < 0.001 {
        "less than once in 1000".to_owned()
    } else {
        format!("about once in {}", count((1.0 / weakest).round().max(1.0) as u64))
    };
    let ordinary = clear.iter().filter(|v| v.ordinary == Some(true)).count();
    let ordinary = match (ordinary, clear.len()) {
        (0, _) => String::new(),
        (o, all) if o == all => {
            " None of the agreements is closer than unrelated features of this model often come.".into()
        }
        (o, all) => {
            format!(" Of these {all}, {o} agree no closer than unrelated features of this model often do.")
        }
    };
    let lead = glance::lead(index, verdicts).map_or_else(String::new, |lead| format!(" {lead}"));
    format!(
        "How sure: if no constitution did more than texts without content do, chance alone would produce the weakest of these effects {chance} (p {}), counting all constitutions and values, on {data}.{ordinary}{lead}",
        if weakest < 0.001 { p(Some(weakest)) } else { format!("= {}", p(Some(weakest))) }
    )
}

fn what_would_make_it_wrong(
    report: &Report,
    index: &Index<'_>,
    verdicts: &[Verdict],
    summaries: &[ValueSummary],
) -> String {
    let mut risks: Vec<String> = Vec::new();
    let texts = placebo_texts(index);
    if !verdicts.is_empty() && texts == 0 {
        risks.push(
            "no placebo constitution was run, so the mere form of the question may do all of it".into(),
        );
    } else if !verdicts.is_empty() && texts < DRAWS_NEEDED {
        risks.push(format!(
            "only {} without content {} run, where {DRAWS_NEEDED} are needed to know what such texts do",
            counted(texts as u64, "independent text"),
            if texts == 1 { "was" } else { "were" }
        ));
    }
    let judge = JudgeValidity::new(index);
    if judge.is_valid() && !judge.at_chance.is_empty() {
        let names: Vec<String> = judge.at_chance.iter().map(|v| quoted(v)).collect();
        risks.push(format!(
            "the judge is not seen to tell better from worse answers in {} more often than a coin",
            joined(&names, NAMED_VALUES)
        ));
    }
    if !index.length && !index.values.is_empty() {
        risks.push("answer length was not known and may be what was measured".into());
    }
    let confounded = real(verdicts).filter(|v| v.qualifier == Some(Qualifier::LengthConfounded)).count();
    if confounded > 0 {
        risks.push(format!("{confounded} of the effects may be answer length"));
    }
    if summaries.iter().any(|s| s.lower_estimate) {
        risks.push(
            "there are fewer comparisons than the model has dimensions, so part of it cannot be seen, and what is told is of the rest"
                .into(),
        );
    }
    let blocks = report.estimates.iter().filter_map(|e| e.blocks).max();
    if let Some(blocks) = blocks.filter(|&b| b < FEW_BLOCKS) {
        risks.push(format!(
            "{} of answers {} few",
            counted(blocks as u64, "independent group"),
            if blocks == 1 { "is" } else { "are" }
        ));
    }
    let skipped = report.skipped();
    if skipped > 0 {
        let were = if skipped == 1 { "was" } else { "were" };
        risks.push(format!("{} {were} left out", counted(skipped, "text")));
    }
    if let (true, Some(agree)) = (judge.is_valid(), judge.order_agreement.filter(|a| *a < AGREES)) {
        risks.push(format!(
            "the judge prefers the same answer in both orders on only {} of pairs (a coin: 50 %)",
            percent(agree)
        ));
    }
    let general = "It would be wrong if the labels do not measure what their name says, or if the model's own answers differ from those compared here";
    if risks.is_empty() { format!("{general}.") } else { format!("{general}; and {}.", risks.join("; ")) }
}
