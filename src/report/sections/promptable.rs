//! Which bottleneck binds: what the residual stream encodes, or what the constitutions that were tried activate.

use super::{Statement, judge_by_itself};
use crate::document::table::{Cell, Table};
use crate::hypothesis::{Control, Quantity};
use crate::probe::influence::fisher_interval_for_all;
use crate::report::Report;
use crate::report::format::{NOTHING, detail, headline, number, quotable};
use crate::report::rows::Index;

/// Below this neither bottleneck is called one.
const NEAR_ONE: f64 = 0.95;

/// Proposition 25.
pub(super) fn section(_: &Report, index: &Index<'_>) -> Option<Statement> {
    let mut table = Table::titled(&[
        "value",
        ">ρ [95 %]",
        "best constitution",
        ">⟨v_c, v*⟩ [95 % for all]",
        ">best, chosen on other prompts",
        ">mean ⟨v_c, v*⟩ [95 %]",
        "limit",
    ]);
    let mut words = Vec::new();
    for &value in &index.values {
        let rho = index.get(Quantity::Rho, Some(value), None, Control::None).filter(|e| quotable(e));
        let tried: Vec<_> = index
            .constitutions
            .iter()
            .filter(|c| !c.is_placebo())
            .filter_map(|c| Some((c.name, index.cell(Quantity::Alignment, value, c.name, Control::None)?)))
            .filter(|(_, e)| quotable(e))
            .collect();
        let best =
            tried.iter().max_by(|a, b| a.1.estimate.unwrap_or(-2.0).total_cmp(&b.1.estimate.unwrap_or(-2.0)));
        let Some((rho, (name, best))) = rho.zip(best) else {
            words.push(format!("“{value}”: not identifiable"));
            table.rows.push(vec![
                Cell::name(value),
                Cell::number(NOTHING.into()),
                Cell::plain(NOTHING),
                Cell::number(NOTHING.into()),
                Cell::number(NOTHING.into()),
                Cell::number(NOTHING.into()),
                Cell::plain("not identifiable"),
            ]);
            continue;
        };
        let cos = best.estimate.unwrap_or_default();
        let (lo, hi) = fisher_interval_for_all(cos, best.se.unwrap_or(f64::INFINITY), tried.len());
        let (rlo, rhi) = (rho.lo.unwrap_or(0.0), rho.hi.unwrap_or(1.0));
        let get = |quantity| index.get(quantity, Some(value), None, Control::None);
        let held_out = get(Quantity::BestAlignment).filter(|e| quotable(e));
        let limit = limit((rlo, rhi), (lo, hi));
        words.push(match judge_by_itself(index, value) {
            itself if itself.is_empty() => format!("“{value}”: {limit}"),
            itself => format!("“{value}”: {limit} (best, “{name}”: {}{itself})", number(cos, Some(0.01))),
        });
        table.rows.push(vec![
            Cell::name(value),
            Cell::number(detail(rho)),
            Cell::name(name),
            Cell::number(format!(
                "{} [{}, {}]",
                number(cos, Some(0.01)),
                number(lo, Some(0.01)),
                number(hi, Some(0.01))
            )),
            Cell::number(headline(held_out)),
            Cell::number(headline(get(Quantity::MeanAlignment))),
            Cell::plain(limit),
        ]);
    }
    if table.rows.is_empty() || index.constitutions.iter().all(|c| c.is_placebo()) {
        return None;
    }
    Some(Statement {
        title: "What limits training on judgments",
        source: "Definition 24, Proposition 25",
        verdict: format!("{}.", words.join("; ")),
        notes: vec![format!(
            "Per unit of sd⟨h, v_c⟩ the encoded slope is ρ σ_S ⟨v_c, v*⟩, at most ρ σ_S (Cauchy–Schwarz). ρ-limited: the interval of ρ lies below \
             that of the best alignment; prompt-limited: above it; neither: both reach {NEAR_ONE}; otherwise it cannot be told. The \
             best of several is best by chance too: its interval is widened for the number of constitutions tried (Šidák), and beside it \
             stands the best one chosen on half of the blocks and measured on the other half, both ways, without an interval. It says \
             nothing of texts that were not tried. Mean: over the constitutions outside the placebo arm."
        )],
        tables: vec![("ρ against the best constitution".into(), table)],
        figures: vec![],
    })
}

fn limit(rho: (f64, f64), best: (f64, f64)) -> &'static str {
    if rho.0 >= NEAR_ONE && best.0 >= NEAR_ONE {
        "neither"
    } else if rho.1 < best.0 {
        "ρ-limited"
    } else if best.1 < rho.0 {
        "prompt-limited"
    } else {
        "cannot be told"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrower_of_two_clear_bottlenecks_is_named() {
        assert_eq!(limit((0.4, 0.6), (0.8, 0.95)), "ρ-limited");
        assert_eq!(limit((0.8, 0.9), (0.1, 0.4)), "prompt-limited");
        assert_eq!(limit((0.96, 0.99), (0.97, 1.0)), "neither");
        assert_eq!(limit((0.5, 0.8), (0.7, 0.9)), "cannot be told");
    }
}
