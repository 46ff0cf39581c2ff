//! Section: loss of best-of-two selection: the bound, the formula for each constitution, and the measured regret.

use crate::document::Evidence;
use crate::document::table::{Cell, Table};
use crate::theory::base::estimate::{Control, Estimate, Quantity};
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::{NOTHING, counted, detail, quotable};
use crate::theory::reading::together::z_for_all;

/// Theorem 6.
pub(crate) fn section(index: &Index<'_>) -> Option<Evidence> {
    let mut table = Table::titled(&[
        "value",
        "chosen by",
        ">regret counted [95 %]",
        ">regret by the formula [95 %]",
        ">bound for all [95 %]",
        "bound",
    ]);
    let (mut bounds, mut apart, mut why) = (0, 0, None);
    let mut lines: Vec<Line<'_>> = Vec::new();
    for &value in &index.values {
        let get = |quantity| index.get(quantity, Some(value), None, Control::None);
        // Measured regrets are in units of the label, these bounds in those of the latent score.
        let latent = get(Quantity::Rho2Latent).is_some();
        let bound = get(Quantity::CeilingRegret);
        why = why.or(bound.filter(|e| !quotable(e)).map(|e| e.warnings.first()));
        let bound = bound.filter(|e| quotable(e));
        bounds += usize::from(bound.is_some());
        apart += usize::from(latent && bound.is_some());
        let line = Line { value, latent, bound, ..Line::default() };
        lines.push(Line { name: "⟨h, v*⟩, left out", counted: get(Quantity::MeasuredRegret), ..line });
        for c in index.constitutions.iter().filter(|c| !c.is_placebo()) {
            let cell = |quantity| index.cell(quantity, value, c.name, Control::None);
            let (counted, formula) = (cell(Quantity::MeasuredRegret), cell(Quantity::AttainedRegret));
            lines.push(Line { name: c.name, tried: true, counted, formula, ..line });
        }
    }
    lines.retain(|l| l.counted.is_some() || l.formula.is_some());
    let judged = lines.iter().filter(|l| l.tried && l.compared().is_some()).count();
    let limit = z_for_all(judged);
    let below: Vec<&Line<'_>> = lines.iter().filter(|l| l.tried && l.is_below(limit)).collect();
    for l in &lines {
        let show = |e: Option<&Estimate>| Cell::number(e.map_or_else(|| NOTHING.to_owned(), detail));
        table.rows.push(vec![
            Cell::name(l.value),
            Cell::name(l.name),
            show(l.counted),
            show(l.formula),
            show(l.bound),
            Cell::plain(match l.bound {
                None => "not identifiable",
                Some(_) if l.latent => "latent scale: not compared",
                Some(_) if l.compared().is_none() => NOTHING,
                Some(_) if l.is_below(limit) => "below it",
                Some(_) => "holds",
            }),
        ]);
    }
    if table.rows.is_empty() {
        return None;
    }
    let mut all = Table::titled(&[
        "value",
        "chosen by",
        ">K",
        ">regret counted [95 %]",
        ">bound [95 %]",
        ">tilted: share of the oracle’s gain [95 %]",
    ]);
    for &value in &index.values {
        let bound = index.get(Quantity::BestOfCeiling, Some(value), None, Control::None);
        for c in &index.constitutions {
            let Some(counted) = index.cell(Quantity::BestOfRegret, value, c.name, Control::None) else {
                continue;
            };
            let share = index.estimates.iter().find(|e| {
                e.quantity == Quantity::OracleShare
                    && e.lambda_sd == Some(1.0)
                    && e.judge.is_none()
                    && e.value.as_deref() == Some(value)
                    && e.constitution.as_deref() == Some(c.name)
            });
            let show = |e: Option<&Estimate>| Cell::number(e.map_or_else(|| NOTHING.to_owned(), detail));
            all.rows.push(vec![
                Cell::name(value),
                Cell::name(c.name),
                Cell::number(counted.k.map_or_else(String::new, |k| k.to_string())),
                show(Some(counted)),
                show(bound),
                show(share),
            ]);
        }
    }
    let comparisons = counted(judged as u64, "comparison");
    let verdict = if judged == 0 && apart > 0 {
        "The bound is on the scale of the latent score behind the labels; counts of labels of few levels are not compared with it."
            .to_owned()
    } else if judged == 0 && bounds > 0 {
        "No constitution’s choices could be counted against the bound.".to_owned()
    } else if judged == 0 {
        match why {
            Some(Some(why)) => format!("The bound is not identifiable: {why}."),
            Some(None) => "The bound is not identifiable.".to_owned(),
            None => "The bound was not measured.".to_owned(),
        }
    } else if below.is_empty() {
        format!("No constitution clearly loses less than the bound allows, in {comparisons}.")
    } else {
        let names: Vec<String> = below.iter().map(|l| format!("“{}” on “{}”", l.name, l.value)).collect();
        format!("The bound is broken in {} of {comparisons}: {}.", below.len(), names.join(", "))
    };
    Some(Evidence {
                verdict,
        notes: vec![
            "Regret of choosing the better of two responses, in units of the value. Counted: over all pairs of a prompt. By the \
             formula: (1 − corr(S, r_c))σ_S/√π, right for normal values. Bound: (1 − ρ)σ_S/√π. Below it: by more joint \
             standard errors than chance reaches once in twenty reports (Bonferroni); then ρ is underestimated, the noise is not normal, or the judge knows what this layer does not. For \
             labels of few levels and preferences formula and bound are those of the latent score, in its within-prompt standard \
             deviations, and the count, in units of the label, is not compared with them."
                .into(),
            "Best of K: of all candidates of a prompt; bound (1 − ρ)σ_S m_K. Tilted: gain at λ·sd(r_c) = 1 over that of an oracle \
             at equal divergence."
                .into(),
        ],
        tables: [("Regret", table), ("All candidates", all)]
            .into_iter()
            .filter(|(_, grid)| !grid.rows.is_empty())
            .map(|(title, grid)| (title.to_owned(), grid))
            .collect(),
        figures: vec![],
    })
}

/// Loss when selecting by one reading, beside the bound.
#[derive(Clone, Copy, Default)]
struct Line<'a> {
    value: &'a str,
    name: &'a str,
    /// Whether it belongs to a constitution.
    tried: bool,
    latent: bool,
    counted: Option<&'a Estimate>,
    formula: Option<&'a Estimate>,
    bound: Option<&'a Estimate>,
}

impl Line<'_> {
    /// Bound minus measured regret, with a standard error that treats them as independent, where both are in one
    /// unit.
    fn compared(&self) -> Option<(f64, f64)> {
        let (counted, bound) = (self.counted.filter(|e| quotable(e))?, self.bound?);
        let se = counted.se?.hypot(bound.se?);
        (!self.latent).then_some((bound.estimate? - counted.estimate?, se))
    }

    /// Whether the measured regret lies more than `limit` standard errors below the bound.
    fn is_below(&self, limit: f64) -> bool {
        self.compared().is_some_and(|(below, se)| below > limit * se)
    }
}
