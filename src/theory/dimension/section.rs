//! Section: figures dominated by a single coordinate or prompt, and their values without it.

use crate::document::Evidence;
use crate::document::table::{Cell, Table};
use crate::theory::base::dominant::{Dominance, What, percent};
use crate::theory::base::estimate::{Control, Quantity};
use crate::theory::dimension::dominance::TABLE;
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::{NOTHING, headline, number, optional};

/// Definition 8, and the null of unrelated directions.
pub(crate) fn section(index: &Index<'_>) -> Option<Evidence> {
    let rows: Vec<Dominance> = index.table(TABLE)?;
    let dominant: Vec<&Dominance> = rows.iter().filter(|d| d.dominates).collect();
    if dominant.is_empty() {
        return None;
    }
    let mut table = Table::titled(&["figure", "value", "largest", ">share", ">figure", ">without it [95 %]"]);
    for d in &rows {
        let without = match (d.without, d.without_interval) {
            (Some(v), Some((lo, hi))) => {
                let show = |v| number(v, Some((hi - lo) / 4.0));
                format!("{} [{}, {}]", show(v), show(lo), show(hi))
            }
            (v, _) => optional(v, None),
        };
        table.rows.push(vec![
            Cell::plain(name(d.quantity)),
            d.value.as_deref().map_or_else(|| Cell::plain(""), Cell::name),
            Cell::plain(match d.what {
                What::Coordinate => format!("coordinate {}", d.index),
                What::Prompt => format!("prompt {}", d.index),
            }),
            Cell::number(percent(d.share)),
            Cell::number(match d.quantity {
                Quantity::GeometryNull => optional(d.estimate, None),
                quantity => headline(index.get(quantity, None, None, Control::None)),
            }),
            Cell::number(if d.dominates { without } else { NOTHING.to_owned() }),
        ]);
    }
    let clause = |d: &&Dominance| {
        let who = match d.what {
            What::Coordinate => format!("coordinate {}", d.index),
            What::Prompt => format!("prompt {}", d.index),
        };
        format!("{who} carries {} of {}", percent(d.share), whole(d.quantity))
    };
    let (null, own): (Vec<&Dominance>, Vec<&Dominance>) =
        dominant.iter().partition(|d| d.quantity == Quantity::GeometryNull);
    // The null of random directions is described once, for the value with the largest share.
    let most = null.into_iter().max_by(|a, b| a.share.total_cmp(&b.share)).filter(|_| own.is_empty());
    let said: Vec<String> = own.iter().chain(most.as_ref()).map(clause).collect();
    let mut verdict = said.join("; ") + ".";
    verdict[..1].make_ascii_uppercase();
    Some(Evidence {
                verdict,
        notes: vec![
            "Trained models hold a few coordinates, and a few texts, whose activations exceed all others. A figure that rests on one \
             of them says little about the rest, so it stands beside what is left without it. A coordinate dominates with a quarter \
             of the sum or more, a prompt with a tenth. Coordinates are counted from 0, prompts as in the observations."
                .into(),
        ],
        tables: vec![("Largest shares".into(), table)],
        figures: vec![],
    })
}

fn name(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::DEff => "d_eff within prompts",
        Quantity::DEffUncentred => "d_eff, uncentred",
        Quantity::DEffBetween => "d_eff between prompts",
        Quantity::GeometryNull => "sd of unrelated directions' cosines",
        _ => NOTHING,
    }
}

fn whole(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::DEffUncentred => "the mean square of the residual stream",
        Quantity::DEffBetween => "the variance between prompts",
        Quantity::GeometryNull => "what random directions read at most",
        _ => "the variance within prompts",
    }
}
