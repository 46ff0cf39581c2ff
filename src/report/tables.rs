//! Contents of the report's tables.

use serde_json::Value as Json;

use super::Report;
use super::overall::is_lower_estimate;
use crate::document::table::{Cell, NAME, Table, Tone};
use crate::document::text::{self, shortened};
use crate::theory::reading::index::{Index, Named};
use crate::theory::reading::outcome::{Outcome, Z95};
use crate::theory::reading::quote::{self, NOTHING, detail, headline, headline_figure, quotable};
use crate::theory::reading::verdict::Verdict;
use crate::theory::{Control, Estimate, Flag, Quantity};
use crate::units::OneOf;

/// Formats a verdict as a cell.
pub(super) fn verdict_cell(verdict: &Verdict) -> Cell {
    let tone = match verdict.verdict {
        Outcome::Improves => Tone::Up,
        Outcome::Degrades => Tone::Down,
        _ => Tone::Muted,
    };
    Cell { text: verdict.label(), tone }
}

pub(super) fn family(named: &Named<'_>) -> &'static str {
    named.card.and_then(|c| c.family).map_or(NOTHING, |f| f.as_str())
}

/// Figures of the model for a value, without and with length control.
pub(super) fn model<'a>(index: &Index<'a>, value: &'a str) -> Table {
    let titles: &[&str] = if index.length {
        &["quantity", ">figure [95 %]", ">length controlled"]
    } else {
        &["quantity", ">figure [95 %]"]
    };
    let mut out = Table::titled(titles);
    let rho2 = index.get(Quantity::Rho2, Some(value), None, Control::None);
    let lower = rho2.is_some_and(is_lower_estimate);
    let mut row =
        |name: &str, of: &dyn Fn(Control) -> Option<&'a Estimate>, show: &dyn Fn(&Estimate) -> String| {
            let both = [of(Control::None), of(Control::Length)];
            if both.iter().all(Option::is_none) {
                return;
            }
            let mut cells = vec![Cell::plain(name)];
            let columns = if index.length { 2 } else { 1 };
            cells.extend(
                both.iter().take(columns).map(|e| Cell::number(e.map_or_else(|| NOTHING.to_owned(), show))),
            );
            out.rows.push(cells);
        };
    let own = |quantity| move |control| index.get(quantity, Some(value), None, control);
    let shared = |quantity| move |control| index.get(quantity, None, None, control);
    let plain = |e: &Estimate| headline(Some(e));
    // Neither unidentifiable nor reportable: the assumptions of its model do not hold.
    let quoted = |e: &Estimate| {
        if e.has(Flag::LeadingComponent) { "withheld: one component dominates".to_owned() } else { plain(e) }
    };
    if lower {
        row("ρ², lower estimate (N < 1.5 d)", &own(Quantity::Rho2), &plain);
        row("ρ², model-based (maximum likelihood)", &own(Quantity::Rho2Model), &quoted);
        row("ρ, lower estimate", &own(Quantity::Rho), &plain);
    } else {
        row("ρ², share of the value encoded", &own(Quantity::Rho2), &plain);
        row("ρ", &own(Quantity::Rho), &plain);
    }
    row("ρ² at layer 0, token embeddings: the text, not the model", &own(Quantity::Rho2Embeddings), &plain);
    row("ρ² of counts of its tokens: the text, not the model", &own(Quantity::Rho2Words), &plain);
    row("ρ² on the latent scale of the labels", &own(Quantity::Rho2Latent), &plain);
    row("pairs ordered rightly by ⟨h, v*⟩, left out", &own(Quantity::PairAccuracy), &plain);
    row("area under the ROC curve, left out", &own(Quantity::Auc), &plain);
    row("ceiling: least regret, units of the value", &own(Quantity::CeilingRegret), &plain);
    row("⟨w, v*⟩, alignment of generation", &own(Quantity::GenerationAlignment), &plain);
    row("|cos| of unrelated directions, 95 %", &own(Quantity::GeometryNull), &|e| match e.estimate {
        Some(sd) if quotable(e) => format!("≤ {}", quote::number(Z95 * sd, None)),
        _ => quote::NOT_IDENTIFIABLE.to_owned(),
    });
    row("effective dimension within prompts, d_eff", &shared(Quantity::DEff), &plain);
    row("the same of prompts' means", &shared(Quantity::DEffBetween), &plain);
    row("the same of E[hhᵀ], uncentred", &shared(Quantity::DEffUncentred), &plain);
    row("ρ² of log P (Assumption 2)", &shared(Quantity::LogprobRho2), &plain);
    out
}

/// Quality of the judge: one row per constitution.
pub(super) fn judge(index: &Index<'_>) -> Table {
    let mut out = Table::titled(&[
        "constitution",
        "family",
        ">ρ² of its rewards [95 %]",
        ">inconsistency",
        ">orders agree [95 %]",
        ">position bias [95 %], nats",
        ">its sd, nats",
        ">spread of preferences, nats",
    ]);
    for named in &index.constitutions {
        let at = |quantity| index.get(quantity, None, Some(named.name), Control::None);
        if at(Quantity::JudgeRho2).is_none() && at(Quantity::PositionBias).is_none() {
            continue;
        }
        out.rows.push(vec![
            Cell::name(named.name),
            Cell::plain(family(named)),
            Cell::number(headline(at(Quantity::JudgeRho2))),
            Cell::number(headline_figure(at(Quantity::JudgeInconsistency))),
            Cell::number(headline(at(Quantity::OrderAgreement))),
            Cell::number(headline(at(Quantity::PositionBias))),
            Cell::number(headline_figure(at(Quantity::PositionBiasSd))),
            Cell::number(headline_figure(at(Quantity::JudgeSpread))),
        ]);
    }
    out
}

/// Rewards in further modes beside forced choices under the same constitutions: one row per value, constitution and
/// mode.
pub(super) fn other_judges(report: &Report) -> Table {
    let mut out = Table::titled(&[
        "value",
        "constitution",
        "rewards",
        ">⟨v_c, v*⟩ [95 %]",
        ">length controlled",
        ">encoded slope [95 %]",
        ">p adj.",
        ">total slope [95 %]",
        ">agrees with the labels [95 %]",
    ]);
    let of = |e: &Estimate, quantity, control| {
        let same = |o: &&Estimate| {
            o.quantity == quantity
                && o.control == control
                && (&o.value, &o.constitution, o.judge) == (&e.value, &e.constitution, e.judge)
        };
        report.estimates.iter().find(same)
    };
    let every = report
        .estimates
        .iter()
        .filter(|e| e.judge.is_some() && e.quantity == Quantity::EncodedSlope && e.control == Control::None);
    for e in every {
        let show = |quantity, control| Cell::number(headline(of(e, quantity, control)));
        out.rows.push(vec![
            Cell::name(e.value.as_deref().unwrap_or(NOTHING)),
            Cell::name(e.constitution.as_deref().unwrap_or(NOTHING)),
            Cell::plain(e.judge.map_or(NOTHING, |m| m.as_str())),
            show(Quantity::Alignment, Control::None),
            show(Quantity::Alignment, Control::Length),
            Cell::number(detail(e)),
            Cell::number(quote::p(e.p_adjusted)),
            show(Quantity::TotalSlope, Control::None),
            show(Quantity::JudgeAccuracy, Control::None),
        ]);
    }
    out
}

/// Name of a quantity in `report.json`.
pub fn quantity_name(quantity: Quantity) -> String {
    // A unit variant serialises to its name.
    serde_json::to_value(quantity).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Constitutions with the beginning of their texts and the expected signs.
pub(super) fn constitutions(report: &Report) -> Table {
    let mut out = Table::titled(&["constitution", "family", "guess", "text"]);
    for card in &report.constitutions {
        let guess = card.expect.iter().map(|(value, sign)| format!("{} {sign}", shortened(value, NAME)));
        let guess = guess.collect::<Vec<_>>().join(", ");
        out.rows.push(vec![
            Cell::name(&card.name),
            Cell::plain(card.family.map_or(NOTHING, |f| f.as_str())),
            Cell::plain(if guess.is_empty() { NOTHING.to_owned() } else { guess }),
            Cell::plain(text::clean(&card.excerpt)),
        ]);
    }
    out
}

/// Provenance, one row per scalar key.
pub(super) fn provenance(report: &Report) -> Table {
    spelled(report.provenance.iter().filter(|(_, value)| !value.is_object()))
}

/// Remaining provenance: nested objects, flattened to `outer.inner`. Excludes the manifest's copy of the
/// observations' recipe.
pub(super) fn recipe(report: &Report) -> Table {
    let repeated = |key: &str| key == "manifest" && report.provenance.contains_key("recipe");
    spelled(report.provenance.iter().filter(|(key, value)| value.is_object() && !repeated(key)))
}

fn spelled<'j>(of: impl Iterator<Item = (&'j String, &'j Json)>) -> Table {
    fn walk(key: &str, value: &Json, out: &mut Table) {
        match value {
            Json::Object(inner) => inner.iter().for_each(|(k, v)| walk(&format!("{key}.{k}"), v, out)),
            Json::String(s) => out.rows.push(vec![Cell::name(key), Cell::plain(text::clean(s))]),
            other => out.rows.push(vec![Cell::name(key), Cell::plain(text::clean(&other.to_string()))]),
        }
    }
    let mut out = Table::titled(&["key", "value"]);
    of.for_each(|(key, value)| walk(key, value, &mut out));
    out
}

/// Counts of the authors' expected signs: correct, wrong, undecided (no sign in the verdict).
pub(super) fn guesses(index: &Index<'_>, verdicts: &[Verdict]) -> Option<(usize, usize, usize)> {
    let guessed = |v: &&Verdict| {
        // The expected sign of a placebo is not a prediction about a constitution.
        if v.placebo {
            return false;
        }
        let card = index.constitutions.iter().find(|c| c.name == v.constitution).and_then(|c| c.card);
        card.and_then(|c| c.expected(&v.value)).is_some_and(|g| g != crate::input::Sign::Zero)
    };
    let all: Vec<&Verdict> = verdicts.iter().filter(guessed).collect();
    let held = all.iter().filter(|v| v.guess_held == Some(true)).count();
    let failed = all.iter().filter(|v| v.guess_held == Some(false)).count();
    (!all.is_empty()).then(|| (held, failed, all.len() - held - failed))
}
