//! Precision ladders as tables and sentences.

use super::ladder::{Fate, Finding, Ladder, Rung};
use crate::document::table::Table;
use crate::theory::reading::quote::{NOTHING, headline, number};
use crate::theory::{Estimate, Quantity};

/// Label of a rung.
pub(super) fn rung(rung: &Rung) -> String {
    let how = rung.quantize.as_deref().unwrap_or("as stored");
    format!("{} bits ({how})", number(rung.bits, Some(0.1)))
}

/// Every quantity along a ladder; the last column is the change from the first rung to the last.
pub(super) fn table(ladder: &Ladder) -> Table {
    let mut head = vec!["quantity".to_owned(), "value".to_owned(), "constitution".to_owned()];
    head.extend(ladder.rungs.iter().map(rung));
    head.push("change, first to last [95 %]".to_owned());
    let rows = ladder.along.iter().map(|a| {
        let placebo = if a.placebo { " (placebo)" } else { "" };
        let mut row = vec![
            name(a.quantity).to_owned(),
            a.value.clone().unwrap_or_default(),
            a.constitution.as_ref().map_or_else(String::new, |c| format!("{c}{placebo}")),
        ];
        row.extend(a.estimates.iter().map(|e| headline(e.as_ref())));
        row.push(a.changes.last().copied().flatten().map_or_else(
            || NOTHING.to_owned(),
            |c| {
                let (show, (lo, hi)) = (|v| number(v, Some(c.se)), c.interval(1.96));
                format!("{} [{}, {}]", show(c.value), show(lo), show(hi))
            },
        ));
        row
    });
    Table::of(head, 3, rows.collect())
}

pub(super) fn name(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::DEff => "effective dimension",
        Quantity::Rho2 => "ρ²",
        Quantity::Rho2Latent => "ρ², latent scale",
        Quantity::Alignment => "⟨v_c, v*⟩",
        Quantity::JudgeAccuracy => "judge's accuracy",
        Quantity::PositionBias => "position bias, nats",
        _ => NOTHING,
    }
}

/// Sentences on a ladder: one for each value whose ρ² is kept or lost, and one for the judge.
pub(super) fn sentences(ladder: &Ladder) -> Vec<String> {
    let (Some(first), Some(last)) = (ladder.rungs.first(), ladder.rungs.last()) else { return Vec::new() };
    let range = format!("from {} to {}", rung(first), rung(last));
    let ends = |f: &Finding| -> (Option<&Estimate>, Option<&Estimate>) {
        let all = &ladder.along[f.at].estimates;
        (all.first().and_then(Option::as_ref), all.last().and_then(Option::as_ref))
    };
    let figures = |f: &Finding| {
        let (a, b) = ends(f);
        format!("{} to {}", headline(a), headline(b))
    };
    let of = |quantity: Quantity, fate: Fate| -> Vec<&Finding> {
        ladder.findings.iter().filter(|f| f.quantity == quantity && f.fate == fate).collect()
    };
    let mut out = Vec::new();
    let (kept, lost) = (of(Quantity::Rho2, Fate::Kept), of(Quantity::JudgeAccuracy, Fate::Lost));
    for (findings, what) in
        [(&kept, "keeps at least three quarters of its ρ²"), (&of(Quantity::Rho2, Fate::Lost), "loses ρ²")]
    {
        for f in findings {
            out.push(format!("“{}” {what} {range}: {}.", f.value.as_deref().unwrap_or(""), figures(f)));
        }
    }
    if !lost.is_empty() {
        let each: Vec<String> = lost
            .iter()
            .map(|f| {
                let constitution = f.constitution.as_deref().unwrap_or("");
                format!("{constitution} on “{}” {}", f.value.as_deref().unwrap_or(""), figures(f))
            })
            .collect();
        out.push(format!("The judge agrees less with the labels {range}: {}.", each.join("; ")));
    }
    let both: Vec<&str> = kept
        .iter()
        .filter(|k| lost.iter().any(|l| l.value == k.value))
        .filter_map(|k| k.value.as_deref())
        .collect();
    if !both.is_empty() {
        let list: Vec<String> = both.iter().map(|v| format!("“{v}”")).collect();
        out.push(format!(
            "So {} stays readable in the residual stream where the judge agrees less with its labels.",
            list.join(", ")
        ));
    }
    out
}

/// Explanation of a ladder.
pub(super) const ABOUT: &str = "One model whose weights take fewer and fewer bits, from the left. Changes are against the \
first column; their intervals are those of independent runs, which is too long since all runs read the same prompts.";
