//! The finding in five sentences without jargon: what was found, where, how sure it is, and what would
//! make it wrong.

use super::Report;
use super::format::{count, counted, p, percent};
use super::overall::{Encoded, ValueSummary, summaries};
use super::rows::Index;
use super::sections::state::without_a_judge;
use super::text::shortened;
use super::verdict::{Outcome, Qualifier, Verdict, verdicts_of};
use crate::hypothesis::{Control, Quantity};

/// Values that the first sentence names.
const NAMED_VALUES: usize = 2;
/// Constitutions that a sentence names.
const NAMED: usize = 6;
/// Blocks below which intervals are called rough.
const FEW_BLOCKS: usize = 100;

/// Five lines of plain text, not escaped: the finding; under which constitutions; what the model's inner
/// state shows; how sure; what would make it wrong.
pub fn five_lines(report: &Report) -> [String; 5] {
    let index = Index::new(report);
    let verdicts = verdicts_of(report, &index);
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
        inner_state(index, summaries) + &without_a_judge(report).map(|s| format!(" {s}")).unwrap_or_default(),
        how_sure(index, verdicts),
        what_would_make_it_wrong(report, index, verdicts, summaries),
    ]
}

fn quoted(name: &str) -> String {
    format!("“{}”", shortened(name, 40))
}

fn joined(names: &[String], most: usize) -> String {
    let shown = names.len().min(most);
    let mut text = match &names[..shown] {
        [] => return "none".into(),
        [one] => one.clone(),
        [head @ .., last] if shown == names.len() => format!("{} and {last}", head.join(", ")),
        some => some.join(", "),
    };
    if names.len() > shown {
        text += &format!(" and {} more", names.len() - shown);
    }
    text
}

fn values(index: &Index<'_>) -> String {
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

/// Verdicts outside the placebo arm.
fn real(verdicts: &[Verdict]) -> impl Iterator<Item = &Verdict> + Clone {
    verdicts.iter().filter(|v| !v.placebo)
}

fn signed(v: &Verdict) -> bool {
    matches!(v.verdict, Outcome::Improves | Outcome::Degrades)
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
    if !real(verdicts).any(signed) {
        return format!(
            "{subject} gives no evidence that training it on its own judgments would change {}.",
            values(index)
        );
    }
    let mut parts = Vec::new();
    for value in &index.values {
        let of = real(verdicts).filter(|v| v.value == *value);
        let all = of.clone().count();
        let number = |outcome| of.clone().filter(|v| v.verdict == outcome).count();
        let (up, down) = (number(Outcome::Improves), number(Outcome::Degrades));
        let of_all = counted(all as u64, "constitution");
        match (up, down) {
            (0, 0) => {}
            (up, 0) => parts.push(format!("raise {} under {up} of {of_all}", quoted(value))),
            (0, down) => parts.push(format!("lower {} under {down} of {of_all}", quoted(value))),
            (up, down) => {
                parts.push(format!(
                    "raise {} under {up} and lower it under {down} of {of_all}",
                    quoted(value)
                ));
            }
        }
    }
    let more = parts.len().saturating_sub(NAMED_VALUES);
    parts.truncate(NAMED_VALUES);
    let more = if more > 0 { format!(", and change {more} more") } else { String::new() };
    format!(
        "Training {} on its own judgments would at first {}{more}.",
        lower_model(&subject),
        parts.join(" and ")
    )
}

fn lower_model(subject: &str) -> String {
    if subject == "This model" { "this model".into() } else { subject.into() }
}

fn which(index: &Index<'_>, verdicts: &[Verdict]) -> String {
    if real(verdicts).next().is_none() {
        return "No constitution (a text that says which of two answers to prefer) was put to it.".into();
    }
    let mut out = Vec::new();
    let several = index.values.len() > 1;
    for value in index.values.iter().take(NAMED_VALUES + 1) {
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
        let (none, blind) = (names(Outcome::NoEvidence).len(), names(Outcome::NotIdentifiable).len());
        let clear = up.len() + down.len() > 0;
        if none > 0 {
            let constitutions = counted(none as u64, if clear { "other" } else { "constitution" });
            parts.push(format!(
                "{constitutions} had no effect that stands out from chance, placebos or length"
            ));
        }
        if blind > 0 {
            let constitutions = if none > 0 || clear {
                format!("{blind} more")
            } else {
                counted(blind as u64, "constitution")
            };
            parts.push(format!("for {constitutions} the data cannot tell"));
        }
        let text = parts.join("; ");
        out.push(if several { format!("{}: {text}.", quoted(value)) } else { capital(&text) + "." });
    }
    out.join(" ")
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().collect::<String>() + chars.as_str(),
        None => String::new(),
    }
}

fn inner_state(index: &Index<'_>, summaries: &[ValueSummary]) -> String {
    let mut out = Vec::new();
    for s in summaries.iter().take(NAMED_VALUES + 1) {
        let value = index.values.iter().copied().find(|v| *v == s.value).unwrap_or_default();
        let own = |quantity| index.get(quantity, Some(value), None, Control::None);
        // Of labels of few levels, the latent score behind them: they lose variance that no reading could tell.
        let latent = own(Quantity::Rho2Latent).filter(|e| e.estimate.is_some());
        let rho2 = latent.or(own(Quantity::Rho2));
        let what = if latent.is_some() { "the latent score behind the labels of " } else { "" };
        let text_alone = own(Quantity::Rho2Embeddings).filter(|e| e.estimate.is_some() && latent.is_none());
        let text_alone = text_alone.map_or_else(String::new, |e| {
            let share = percent(e.estimate.unwrap_or_default().clamp(0.0, 1.0));
            format!("; its token embeddings alone, the text and not the model, tell {share}")
        });
        let name = quoted(&s.value);
        out.push(match (s.encoded, rho2) {
            (Encoded::Yes, Some(e)) => {
                // With a one-sided bound alone, that bound.
                let told = if s.lower_estimate { e.lo.or(e.estimate) } else { e.estimate };
                let share = percent(told.unwrap_or_default().clamp(0.0, 1.0));
                let about = if s.lower_estimate { "at least" } else { "about" };
                let range = match (e.lo, e.hi) {
                    (Some(lo), Some(hi)) if !s.lower_estimate => {
                        format!(" (between {} and {})", percent(lo.max(0.0)), percent(hi.min(1.0)))
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

fn how_sure(index: &Index<'_>, verdicts: &[Verdict]) -> String {
    let slope = |v: &Verdict| {
        let value = index.values.iter().copied().find(|name| *name == v.value)?;
        let named = index.constitutions.iter().find(|c| c.name == v.constitution)?;
        index.cell(Quantity::EncodedSlope, value, named.name, Control::None)
    };
    let blocks = verdicts.iter().filter_map(|v| slope(v)?.blocks).max();
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
    let clear: Vec<&Verdict> = real(verdicts).filter(|v| signed(v)).collect();
    let weakest = clear.iter().filter_map(|v| slope(v)?.p_adjusted).reduce(f64::max);
    let Some(weakest) = weakest else {
        let tested = real(verdicts).filter(|v| v.verdict != Outcome::NotIdentifiable).count();
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
    format!(
        "How sure: if no constitution did anything, chance alone would produce the weakest of these effects {chance} (p {}), all constitutions counted, on {data}.{ordinary}",
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
    let has_verdicts = !verdicts.is_empty();
    if has_verdicts && !verdicts.iter().any(|v| v.placebo) {
        risks.push(
            "no placebo constitution was run, so the mere form of the question may do part of it".into(),
        );
    }
    if !index.length && !index.values.is_empty() {
        risks.push("answer length was not known and may be what was measured".into());
    }
    let confounded = verdicts.iter().filter(|v| v.qualifier == Some(Qualifier::LengthConfounded)).count();
    if confounded > 0 {
        risks.push(format!("{confounded} of the effects may be answer length"));
    }
    if summaries.iter().any(|s| s.lower_estimate) {
        risks.push(
            "there are fewer comparisons than the model has dimensions, so part of it cannot be seen".into(),
        );
    }
    let blocks = report.estimates.iter().filter_map(|e| e.blocks).max();
    if let Some(blocks) = blocks.filter(|&b| b < FEW_BLOCKS) {
        risks.push(format!("{blocks} groups of answers are few"));
    }
    let skipped = report.skipped();
    if skipped > 0 {
        let were = if skipped == 1 { "was" } else { "were" };
        risks.push(format!("{} {were} left out", counted(skipped, "text")));
    }
    let general = "It would be wrong if the labels do not measure what their name says, or if the model's own answers differ from those compared here";
    if risks.is_empty() { format!("{general}.") } else { format!("{general}; and {}.", risks.join("; ")) }
}
