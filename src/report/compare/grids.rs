//! Tables of a comparison.

use std::collections::BTreeSet;

use super::{Comparison, Run, Series, label};
use crate::document::table::Table;
use crate::theory::reading::quote::{NOTHING, headline, headline_figure, number, p, quotable};
use crate::theory::{Control, Estimate, Quantity};

/// Constitutions of a run and value by effect of training; `brief` omits the last interval.
pub(super) fn ranking(comparison: &Comparison, run: &Run, value: &str, brief: bool) -> Table {
    let own: Vec<_> = comparison.ranking.iter().filter(|r| r.run == run.name && r.value == value).collect();
    let arm = own.iter().any(|r| r.verdict.slope == Quantity::OwnSlope);
    let gain = if arm { "gain beyond the placebos [95 %]" } else { "encoded slope [95 %]" };
    let cosine = if arm { "own ⟨v_c, v*⟩ [95 %]" } else { "⟨v_c, v*⟩ [95 %]" };
    let head = [
        "rank",
        "constitution",
        "verdict",
        gain,
        "adjusted p",
        "share of the best",
        cosine,
        "length controlled",
    ];
    let rows = own.into_iter().map(|r| {
        // A placebo's slope and cosine are not gains beyond the placebos.
        let comparable = !(arm && r.verdict.slope != Quantity::OwnSlope);
        let shown = |e: &Option<Estimate>| headline(e.as_ref().filter(|_| comparable));
        vec![
            r.rank.map_or_else(|| NOTHING.to_owned(), |n| n.to_string()),
            r.verdict.constitution.clone() + if r.placebo { " (placebo)" } else { "" },
            r.verdict.label(),
            shown(&r.slope),
            p(r.slope.as_ref().and_then(|e| e.p_adjusted)),
            r.verdict.share.map_or_else(|| NOTHING.to_owned(), |s| number(s, Some(0.1))),
            shown(&r.alignment),
            if brief { headline_figure(r.length_controlled.as_ref()) } else { shown(&r.length_controlled) },
        ]
    });
    Table::of(head, 3, rows.collect())
}

/// Constitutions of a run in the order of the table of cosines.
pub(super) fn names(run: &Run) -> Vec<&str> {
    let mut out: Vec<&str> = Vec::new();
    for e in &run.cosines {
        for name in [&e.constitution, &e.constitution2].into_iter().flatten() {
            if !out.contains(&name.as_str()) {
                out.push(name);
            }
        }
    }
    out
}

/// The controls under which a run's angles were computed.
pub(super) fn controls(run: &Run) -> Vec<Control> {
    let there = |control: &Control| run.cosines.iter().any(|e| e.control == *control);
    [Control::None, Control::Length].into_iter().filter(there).collect()
}

/// The matrix of cosines between a run's constitutions; columns are numbered like the rows.
pub(super) fn matrix(run: &Run, control: Control) -> Table {
    let names = names(run);
    let find = |a: &str, b: &str| {
        let is = |e: &&Estimate, x: &str, y: &str| {
            e.control == control
                && e.constitution.as_deref() == Some(x)
                && e.constitution2.as_deref() == Some(y)
        };
        run.cosines.iter().find(|e| is(e, a, b) || is(e, b, a))
    };
    let mut head = vec![String::new(), "constitution".to_owned()];
    head.extend((1..=names.len()).map(|n| n.to_string()));
    let rows = names.iter().enumerate().map(|(i, a)| {
        let mut row = vec![(i + 1).to_string(), (*a).to_owned()];
        row.extend(names.iter().map(|b| {
            if a == b {
                return "1".to_owned();
            }
            let e = find(a, b);
            // Two decimals suffice for a matrix, which is read as a whole; intervals are in the list of pairs.
            match e.filter(|e| quotable(e)).and_then(|e| e.estimate) {
                Some(cos) => number(cos, Some(0.1)),
                None => headline_figure(e),
            }
        }));
        row
    });
    Table::of(head, 2, rows.collect())
}

/// Every pair of constitutions of a run with its interval, most similar first.
pub(super) fn pairs(run: &Run, control: Control) -> Table {
    let mut cells: Vec<&Estimate> =
        run.cosines.iter().filter(|e| e.control == control && quotable(e)).collect();
    cells.sort_by(|a, b| b.estimate.unwrap_or(0.0).total_cmp(&a.estimate.unwrap_or(0.0)));
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    let rows = cells.iter().map(|e| vec![text(&e.constitution), text(&e.constitution2), headline(Some(e))]);
    let head = ["constitution", "and", "cos [95 %]"];
    Table::of(head, 2, rows.collect())
}

/// Runs side by side: parameters and each quantity under one control, one column per run; the slope last.
pub(super) fn models(comparison: &Comparison, control: Control) -> Table {
    let mut head = vec!["quantity".to_owned(), "value".to_owned(), "constitution".to_owned()];
    head.extend(comparison.runs.iter().map(label));
    head.push("per 10 × parameters [95 %]".to_owned());
    let mut sizes = vec!["parameters".to_owned(), String::new(), String::new()];
    sizes.extend(comparison.runs.iter().map(|r| r.parameters().map_or_else(|| NOTHING.to_owned(), size)));
    sizes.push(String::new());
    let mut rows = vec![sizes];
    if let Some(eta) = &comparison.eta {
        let mut shares = vec!["η, as told".to_owned(), String::new(), String::new()];
        shares.extend(eta.iter().map(|e| number(*e, Some(0.001))));
        shares.push(String::new());
        rows.push(shares);
    }
    rows.extend(comparison.series.iter().filter(|s| s.control == control).map(row));
    Table::of(head, 3, rows)
}

fn row(series: &Series) -> Vec<String> {
    let mut row = vec![
        quantity(series.quantity).to_owned(),
        series.value.clone().unwrap_or_default(),
        series.constitution.clone().unwrap_or_default(),
    ];
    row.extend(series.estimates.iter().map(|e| headline(e.as_ref())));
    row.push(series.line.as_ref().map_or_else(
        || NOTHING.to_owned(),
        |l| {
            let show = |v| number(v, Some(l.se));
            format!("{} [{}, {}]", show(l.slope), show(l.lo), show(l.hi))
        },
    ));
    row
}

fn quantity(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::DEff => "effective dimension",
        Quantity::Rho => "ρ",
        Quantity::GenerationAlignment => "⟨w, v*⟩",
        Quantity::CeilingRegret => "ceiling (least regret)",
        Quantity::OwnAlignment => "own ⟨v_c, v*⟩",
        Quantity::OwnShare => "own slope, share of the best",
        Quantity::JudgeAlignment => "⟨v, v*⟩ of the judge itself",
        Quantity::Alignment => "⟨v_c, v*⟩",
        Quantity::JudgeAccuracy => "judge's accuracy",
        Quantity::Gap => "gap",
        Quantity::ImpliedEta => "implied η",
        _ => NOTHING,
    }
}

/// `260 K`, `1.10 B`.
fn size(parameters: u64) -> String {
    let n = parameters as f64;
    let (unit, letter) =
        [(1e9, "B"), (1e6, "M"), (1e3, "K")].into_iter().find(|(u, _)| n >= *u).unwrap_or((1.0, ""));
    let digits = if n / unit < 10.0 && unit > 1.0 { 2 } else { 0 };
    format!("{:.digits$} {letter}", n / unit).trim_end().to_owned()
}

/// Controls for which there are series.
pub(super) fn series_controls(comparison: &Comparison) -> BTreeSet<Control> {
    comparison.series.iter().map(|s| s.control).collect()
}
