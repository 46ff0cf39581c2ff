//! The overview: the most beneficial constitution, the effect of every constitution on every value, and the basis of
//! the answer.

use super::counted::{deciding, groups, lower_model, real};
use super::overall::{Generation, ValueSummary, latent_rho2};
use super::ranking::decisive;
use crate::document::table::{Cell, Column, Table, Tone};
use crate::document::text::shortened;
use crate::probe::influence::Z95;
use crate::theory::reading::index::{Index, Named};
use crate::theory::reading::outcome::Outcome;
use crate::theory::reading::quote::{counted, headline, headline_figure, number, percent, quotable};
use crate::theory::reading::validity::JudgeValidity;
use crate::theory::reading::verdict::{Verdict, placebo_texts};
use crate::theory::reading::words::{NAMED_VALUES, joined, quoted};
use crate::theory::{Control, Estimate, Quantity};

/// Maximum number of characters of a value's name in a column header.
const NAME: usize = 24;
/// Maximum number of constitutions named in a sentence.
const NAMED: usize = 3;

/// Effect of a constitution on a value, as a share of the best possible slope.
struct Gain<'a> {
    value: &'a str,
    share: &'a Estimate,
}

/// A constitution that raises at least one value, with no evidence that it lowers another.
struct Candidate<'a> {
    name: &'a str,
    /// Values it raises, largest gain first; never empty.
    gains: Vec<Gain<'a>>,
}

impl Candidate<'_> {
    fn most(&self) -> f64 {
        self.gains.first().and_then(|g| g.share.estimate).unwrap_or(f64::NEG_INFINITY)
    }
}

/// Constitutions that raise a value and lower none, ordered by the largest share of the best possible slope.
fn candidates<'a>(index: &Index<'a>, verdicts: &[Verdict]) -> Vec<Candidate<'a>> {
    let of = |named: &Named<'a>| -> Option<Candidate<'a>> {
        let own = || real(verdicts).filter(|v| v.constitution == named.name);
        if own().any(|v| v.verdict == Outcome::Degrades) {
            return None;
        }
        let gain = |v: &Verdict| -> Option<Gain<'a>> {
            let value = index.values.iter().copied().find(|name| *name == v.value)?;
            let share = index.cell(v.share_quantity(), value, named.name, Control::None);
            let share = share.filter(|e| quotable(e))?;
            Some(Gain { value, share })
        };
        let mut gains: Vec<Gain<'a>> =
            own().filter(|v| v.verdict == Outcome::Improves).filter_map(gain).collect();
        let size = |g: &Gain<'_>| g.share.estimate.unwrap_or(f64::NEG_INFINITY);
        gains.sort_by(|a, b| size(b).total_cmp(&size(a)));
        (!gains.is_empty()).then_some(Candidate { name: named.name, gains })
    };
    let mut all: Vec<Candidate<'a>> = index.constitutions.iter().filter_map(of).collect();
    all.sort_by(|a, b| b.most().total_cmp(&a.most()));
    all
}

/// The finding if some verdict has a sign: the constitution that raises a value most and lowers none; or that every
/// rise comes with a fall; or which values fall.
pub(super) fn finding(subject: &str, index: &Index<'_>, verdicts: &[Verdict]) -> String {
    let subject = lower_model(subject);
    let tried = index.constitutions.iter().filter(|c| !c.is_placebo()).count();
    let raised = |g: &Gain<'_>| {
        let share = g.share.estimate.unwrap_or_default().clamp(0.0, 1.0);
        format!("{} by {} of what is possible", quoted(g.value), percent(share))
    };
    if let Some(best) = candidates(index, verdicts).first() {
        let parts: Vec<String> = best.gains.iter().take(NAMED_VALUES).map(raised).collect();
        let more = best.gains.len().saturating_sub(NAMED_VALUES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let price = if index.values.len() > 1 { ", and is not seen to lower another value" } else { "" };
        let name = quoted(best.name);
        let what = format!("would at first raise {}{more}{price}", parts.join(" and "));
        return match tried {
            1 => format!("Training {subject} on its own judgments under {name} {what}."),
            _ => {
                format!(
                    "Of {tried} constitutions {name} does most good: training {subject} on its judgments under it {what}."
                )
            }
        };
    }
    let signed = |outcome| {
        let of = |v: &&Verdict| v.verdict == outcome;
        real(verdicts).filter(of).map(|v| (v.constitution.as_str(), v.value.as_str())).collect::<Vec<_>>()
    };
    let (up, down) = (signed(Outcome::Improves), signed(Outcome::Degrades));
    let pairs = |of: &[(&str, &str)]| {
        let named: Vec<String> =
            of.iter().map(|(c, value)| format!("{} under {}", quoted(value), quoted(c))).collect();
        joined(&named, NAMED)
    };
    let lowers = |constitution: &str| down.iter().any(|(c, _)| *c == constitution);
    let free: Vec<(&str, &str)> = up.iter().copied().filter(|(c, _)| !lowers(c)).collect();
    match (free.is_empty(), up.is_empty()) {
        (false, _) => {
            format!("Training {subject} on its own judgments would at first raise {}.", pairs(&free))
        }
        (true, false) => format!(
            "Training {subject} on its own judgments would at first raise {}, and lower another value under each of these.",
            pairs(&up)
        ),
        (true, true) => format!(
            "Training {subject} on its own judgments would at first raise no value; it would lower {}.",
            pairs(&down)
        ),
    }
}

/// The lead of the best constitution over the next one, and whether it may be due to chance: the difference of their
/// shares of the best possible slope, with errors combined as if independent, which overstates them on the same
/// prompts.
pub(super) fn lead(index: &Index<'_>, verdicts: &[Verdict]) -> Option<String> {
    let all = candidates(index, verdicts);
    let [first, second, ..] = &all[..] else { return None };
    let (a, b) = (first.gains.first()?.share, second.gains.first()?.share);
    let lead = a.estimate? - b.estimate?;
    let reach = Z95 * a.se?.hypot(b.se?);
    let (name, next) = (quoted(first.name), quoted(second.name));
    Some(if lead - reach > 0.0 {
        format!("{name} leads {next}, the next, by more than chance explains.")
    } else {
        format!(
            "{name} leads {next}, the next, by no more than chance explains: either may be the better one."
        )
    })
}

/// Effects of training, constitutions by values. Most beneficial first; the placebo arm is left out.
pub(super) fn matrix<'a>(index: &Index<'a>, verdicts: &[Verdict]) -> Table {
    let mut out = Table::titled(&["constitution"]);
    let head = |value: &&str| Column { title: shortened(value, NAME).into(), right: true };
    out.columns.extend(index.values.iter().map(head));
    // Sum of the signed shares of the predicted rises and falls.
    let net = |named: &Named<'a>| -> f64 {
        let own = verdicts.iter().filter(|v| v.constitution == named.name && v.is_signed());
        own.filter_map(|v| v.share).sum()
    };
    let harmless: Vec<&str> = candidates(index, verdicts).iter().map(|c| c.name).collect();
    let mut rows: Vec<&Named<'a>> = index.constitutions.iter().filter(|c| !c.is_placebo()).collect();
    rows.sort_by(|a, b| {
        let place = |c: &Named<'_>| harmless.iter().position(|n| *n == c.name).unwrap_or(usize::MAX);
        place(a).cmp(&place(b)).then(net(b).total_cmp(&net(a)))
    });
    for named in rows {
        let cells = index.values.iter().map(|value| {
            let verdict = verdicts.iter().find(|v| v.value == *value && v.constitution == named.name);
            verdict
                .map_or_else(|| Cell::number("not tested".into()), |v| cell(index, verdicts, v, value, named))
        });
        out.rows.push(std::iter::once(Cell::name(named.name)).chain(cells).collect());
    }
    out
}

fn cell<'a>(
    index: &Index<'a>,
    verdicts: &[Verdict],
    verdict: &Verdict,
    value: &'a str,
    named: &Named<'a>,
) -> Cell {
    let with_gain = |word: &str| {
        let gain = headline(decisive(index, verdicts, value, named));
        if word.is_empty() { gain } else { format!("{word} {gain}") }
    };
    let (text, tone) = match verdict.verdict {
        Outcome::Improves => (with_gain("rises"), Tone::Up),
        Outcome::Degrades => (with_gain("falls"), Tone::Down),
        Outcome::DiffersFromZero => (with_gain("moves?"), Tone::Plain),
        Outcome::PlaceboEffect => (with_gain("placebo effect"), Tone::Plain),
        Outcome::NoEvidence => (with_gain(""), Tone::Muted),
        Outcome::NotIdentifiable => ("cannot tell".to_owned(), Tone::Muted),
        Outcome::JudgeInvalid => ("judge not valid".to_owned(), Tone::Muted),
        Outcome::TooLittleData => ("too little data".to_owned(), Tone::Muted),
    };
    Cell { text, tone }
}

/// What the model's state encodes of every value, compared with the text alone, and the tendency of generation.
pub(super) fn state(index: &Index<'_>, summaries: &[ValueSummary]) -> Table {
    let mut out = Table::titled(&[
        "value",
        ">share the state tells [95 %]",
        ">its token embeddings alone",
        ">counts of the words alone",
        "generation by itself",
    ]);
    for s in summaries {
        let Some(value) = index.values.iter().copied().find(|v| *v == s.value) else { continue };
        let own = |quantity| index.get(quantity, Some(value), None, Control::None);
        let generation = match s.generation {
            Generation::Favours => "favours it",
            Generation::Opposes => "works against it",
            Generation::Neither => "neither",
            Generation::NotIdentifiable => "cannot tell",
        };
        out.rows.push(vec![
            Cell::name(value),
            Cell::number(headline(latent_rho2(index, value).or(own(Quantity::Rho2)))),
            Cell::number(headline_figure(own(Quantity::Rho2Embeddings))),
            Cell::number(headline_figure(own(Quantity::Rho2Words))),
            Cell::plain(generation),
        ]);
    }
    out
}

/// Legend of the table of the state.
pub(super) const STATE_KEY: &str = "Share of the difference between answers to one prompt, 1 being all of it: of the latent score where labels \
take few levels, in the first column. The two baselines know the text and nothing of what the model makes of it.";

/// Legend of the matrix.
pub(super) const KEY: &str = "First-order gain in the value per unit of training on the constitution’s judgments, beyond texts without \
content where four or more were run, in units of the value × nats, with its 95 % interval. “rises” and “falls” have passed every \
check (chance over all pairs, placebo texts, length, size); a figure alone has not. Constitutions that raise a value and lower \
none come first, the largest gain at the top.";

/// Basis of the answer: the judge, the layer, the data, the placebo texts.
pub(super) fn facts(index: &Index<'_>, verdicts: &[Verdict], layer_note: Option<&str>) -> Vec<String> {
    let mut out = Vec::new();
    if !verdicts.is_empty() {
        out.push(judge(index));
    }
    if let Some(groups) = groups(index, verdicts) {
        let n = verdicts.iter().filter_map(|v| deciding(index, v)?.n).max();
        let contrasts = n.map_or_else(String::new, |n| {
            format!(", {} between answers to one prompt", counted(n as u64, "comparison"))
        });
        out.push(format!(
            "Data: {} (prompts; copies and near-copies count as one){contrasts}.",
            counted(groups as u64, "independent group")
        ));
    }
    if let Some(note) = layer_note {
        out.push(format!("Layer: {note}."));
    }
    if !verdicts.is_empty() {
        out.push(format!(
            "Placebo texts: {}; what a text without content does too is not the constitution’s.",
            placebo_texts(index)
        ));
    }
    out
}

/// Validity of the judge.
fn judge(index: &Index<'_>) -> String {
    let validity = JudgeValidity::new(index);
    let checked = validity.order_agreement.is_some()
        || validity.constitution_share.is_some()
        || validity.position_bias.is_some() && validity.spread.is_some();
    let mut parts = vec![match validity.complaint() {
        Some(complaint) => format!("Judge: not valid, it {complaint}"),
        None if checked => "Judge: passes its checks".to_owned(),
        None => "Judge: could not be checked".to_owned(),
    }];
    if let Some(agree) = validity.order_agreement {
        parts.push(format!("the same answer in both orders on {} of pairs", percent(agree)));
    }
    if let (Some(bias), Some(spread)) = (validity.position_bias, validity.spread) {
        let place = if bias < 0.0 { "second" } else { "first" };
        parts.push(format!(
            "prefers the {place} place by {} nats, where its preferences spread by {}",
            number(bias.abs(), Some(0.01)),
            number(spread, Some(0.01))
        ));
    }
    if let Some(share) = validity.constitution_share {
        let placebo = validity.placebo_share.map_or_else(String::new, |p| {
            format!(", another text without content {} times", number(p, Some(0.01)))
        });
        parts.push(format!(
            "a constitution changes its rewards by up to {} times their own variance{placebo}",
            number(share, Some(0.01))
        ));
    }
    if !validity.at_chance.is_empty() {
        let names: Vec<String> = validity.at_chance.iter().map(|v| quoted(v)).collect();
        parts.push(format!("right no more often than a coin in {}", joined(&names, NAMED_VALUES)));
    }
    parts.join("; ") + "."
}
