//! What best-of-two selection loses: the bound, what each constitution attains by the formula, and the count.

use super::Section;
use crate::hypothesis::{Control, Estimate, Quantity};
use crate::report::Report;
use crate::report::format::{NOTHING, detail, quotable};
use crate::report::grid::{Cell, grid};
use crate::report::rows::Index;

/// Theorem 6.
pub(super) fn section(report: &Report, index: &Index<'_>) -> Option<Section> {
    let mut table = grid(&[
        "value",
        "chosen by",
        ">regret counted [95 %]",
        ">regret by the formula [95 %]",
        ">bound for all [95 %]",
        "bound",
    ]);
    let (mut judged, mut broken, mut apart) = (0, Vec::new(), 0);
    for &value in &index.values {
        let get = |quantity| index.get(quantity, Some(value), None, Control::None);
        // Counts are in units of the label, these bounds in those of the latent score.
        let latent = get(Quantity::Rho2Latent).is_some();
        let bound = get(Quantity::CeilingRegret).filter(|e| quotable(e));
        apart += usize::from(latent && bound.is_some());
        let mut line =
            |name: &str, counted: Option<&Estimate>, formula: Option<&Estimate>, constitution: bool| {
                if counted.is_none() && formula.is_none() {
                    return;
                }
                let compared = counted.zip(bound).filter(|_| !latent);
                let below = compared.is_some_and(|(counted, b)| clearly_below(counted, b));
                judged += usize::from(constitution && compared.is_some_and(|(counted, _)| quotable(counted)));
                if constitution && below {
                    broken.push(format!("“{name}” on “{value}”"));
                }
                let show = |e: Option<&Estimate>| Cell::number(e.map_or_else(|| NOTHING.to_owned(), detail));
                table.rows.push(vec![
                    Cell::name(value),
                    Cell::name(name),
                    show(counted),
                    show(formula),
                    show(bound),
                    Cell::plain(match (bound, below) {
                        (None, _) => "not identifiable",
                        _ if latent => "latent scale: not compared",
                        (_, true) => "below it",
                        _ => "holds",
                    }),
                ]);
            };
        line("⟨h, v*⟩, left out", get(Quantity::MeasuredRegret), None, false);
        for c in &index.constitutions {
            let cell = |quantity| index.cell(quantity, value, c.name, Control::None);
            line(c.name, cell(Quantity::MeasuredRegret), cell(Quantity::AttainedRegret), true);
        }
    }
    if table.rows.is_empty() {
        return None;
    }
    let mut all = grid(&[
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
            let share = report.estimates.iter().find(|e| {
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
    let verdict = if judged == 0 && apart > 0 {
        "The bound is on the scale of the latent score behind the labels; counts of labels of few levels are not compared with it."
            .to_owned()
    } else if judged == 0 {
        "The bound is not identifiable: no value is encoded clearly enough.".to_owned()
    } else if broken.is_empty() {
        format!("No constitution loses less than the bound allows, in {judged} comparisons.")
    } else {
        format!("The bound is broken {} times in {judged}: {}.", broken.len(), broken.join(", "))
    };
    Some(Section {
        title: "The ceiling",
        source: "Theorem 6, Appendix A",
        verdict,
        notes: vec![
            "Regret of choosing the better of two responses, in units of the value. Counted: over all pairs of a prompt. By the \
             formula: (1 − corr(S, r_c))σ_S/√π, right for normal values. Bound: (1 − ρ)σ_S/√π. Below it: by more than 1.96 joint \
             standard errors; then ρ is underestimated, the noise is not normal, or the judge knows what this layer does not. For \
             labels of few levels and preferences formula and bound are those of the latent score, in its within-prompt standard \
             deviations, and the count, in units of the label, is not compared with them."
                .into(),
            "Best of K: of all candidates of a prompt; bound (1 − ρ)σ_S m_K. Tilted: gain at λ·sd(r_c) = 1 over that of an oracle \
             at equal divergence."
                .into(),
        ],
        grids: [("Regret", table), ("All candidates", all)]
            .into_iter()
            .filter(|(_, grid)| !grid.rows.is_empty())
            .map(|(title, grid)| (title.to_owned(), grid))
            .collect(),
        figures: vec![],
    })
}

fn clearly_below(counted: &Estimate, bound: &Estimate) -> bool {
    let (Some(c), Some(b), Some(cs), Some(bs)) = (counted.estimate, bound.estimate, counted.se, bound.se)
    else {
        return false;
    };
    b - c > 1.96 * cs.hypot(bs)
}
