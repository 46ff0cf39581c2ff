//! The main table of a value: constitutions ordered by effect of training, and the reasons for their verdicts.

use super::tables::verdict_cell;
use crate::document::table::{Cell, Table};
use crate::theory::reading::index::{Index, Named};
use crate::theory::reading::quote::{self, NOTHING, detail, headline, headline_figure};
use crate::theory::reading::verdict::Verdict;
use crate::theory::{Control, Estimate, Quantity};

/// Constitutions of a value by effect of training: from the largest rise to the largest fall, by the slope that
/// decides the verdict and then by the lower end of its interval; then the placebo arm.
pub(super) fn ordered<'a>(index: &Index<'a>, verdicts: &[Verdict], value: &'a str) -> Vec<Named<'a>> {
    let mut named: Vec<Named<'a>> = index.constitutions.clone();
    let key = |c: &Named<'a>| {
        let slope = decisive(index, verdicts, value, c);
        let figure = |v: Option<f64>| v.filter(|v| v.is_finite()).unwrap_or(f64::NEG_INFINITY);
        (figure(slope.and_then(|e| e.estimate)), figure(slope.and_then(|e| e.lo)))
    };
    named.sort_by(|a, b| {
        let ((a_slope, a_lo), (b_slope, b_lo)) = (key(a), key(b));
        let falling = b_slope.total_cmp(&a_slope).then(b_lo.total_cmp(&a_lo));
        a.is_placebo().cmp(&b.is_placebo()).then(falling)
    });
    named
}

/// The slope that decides the verdict on a constitution.
pub(super) fn decisive<'a>(
    index: &Index<'a>,
    verdicts: &[Verdict],
    value: &'a str,
    named: &Named<'a>,
) -> Option<&'a Estimate> {
    let quantity = of(verdicts, value, named.name).map_or(Quantity::EncodedSlope, |v| v.slope);
    index.cell(quantity, value, named.name, Control::None)
}

/// Whether the verdicts on a value are decided by differences from a placebo arm.
pub(super) fn against_arm(verdicts: &[Verdict], value: &str) -> bool {
    verdicts.iter().any(|v| v.value == value && v.slope == Quantity::OwnSlope)
}

fn of<'v>(verdicts: &'v [Verdict], value: &str, constitution: &str) -> Option<&'v Verdict> {
    verdicts.iter().find(|v| v.value == value && v.constitution == constitution)
}

/// The main table of a value, deciding figures first; one row per constitution, and one for the judge itself where
/// there is a placebo arm. The gap is length-controlled where possible, because w tends to pick up length first.
pub(super) fn main<'a>(index: &Index<'a>, verdicts: &[Verdict], value: &'a str) -> Table {
    let arm = against_arm(verdicts, value);
    let mut titles = vec!["constitution", "verdict"];
    titles.push(if arm { ">gain beyond the placebos [95 %]" } else { ">encoded slope [95 %]" });
    titles.extend([">adjusted p", ">share of the best [95 %]"]);
    titles.push(if arm { ">own ⟨v_c, v*⟩ [95 %]" } else { ">⟨v_c, v*⟩ [95 %]" });
    titles.extend([">gap [95 %]", ">judge accuracy [95 %]"]);
    let mut out = Table::titled(&titles);
    let gap_control = if index.length { Control::Length } else { Control::None };
    let named = ordered(index, verdicts, value);
    let mut itself = judge_itself(index, value).filter(|_| arm);
    for named in named {
        let Some(verdict) = of(verdicts, value, named.name) else { continue };
        if named.is_placebo() {
            out.rows.extend(itself.take());
        }
        let at = |quantity, control| index.cell(quantity, value, named.name, control);
        let slope = decisive(index, verdicts, value, &named);
        let own = verdict.slope == Quantity::OwnSlope;
        let mut row = vec![
            Cell::name(named.name),
            verdict_cell(verdict),
            Cell::number(if own || !arm { headline(slope) } else { NOTHING.to_owned() }),
            Cell::number(quote::p(slope.and_then(|e| e.p_adjusted))),
            Cell::number(headline(at(verdict.share_quantity(), Control::None))),
        ];
        let alignment = if arm { Quantity::OwnAlignment } else { Quantity::Alignment };
        row.extend([
            Cell::number(headline(at(alignment, Control::None))),
            Cell::number(headline(at(Quantity::Gap, gap_control))),
            Cell::number(headline(at(Quantity::JudgeAccuracy, Control::None))),
        ]);
        out.rows.push(row);
    }
    out
}

/// Row of the effect common to all constitutions: the mean of the placebo arm.
fn judge_itself<'a>(index: &Index<'a>, value: &'a str) -> Option<Vec<Cell>> {
    let of = |quantity, control| index.get(quantity, Some(value), None, control);
    let nothing = || Cell::number(NOTHING.to_owned());
    let slope = of(Quantity::JudgeSlope, Control::None);
    slope?;
    let share = of(Quantity::JudgeShare, Control::None);
    Some(vec![
        Cell::plain("(the judge itself)"),
        Cell::plain("in every constitution"),
        Cell::number(headline(slope)),
        Cell::number(quote::p(slope.and_then(|e| e.p_adjusted))),
        Cell::number(headline(share)),
        Cell::number(headline(of(Quantity::JudgeAlignment, Control::None))),
        nothing(),
        nothing(),
    ])
}

/// The main table in a narrow form for a terminal.
pub(super) fn narrow<'a>(index: &Index<'a>, verdicts: &[Verdict], value: &'a str) -> Table {
    let arm = against_arm(verdicts, value);
    let slope_title = if arm { ">own slope [95 %]" } else { ">slope [95 %]" };
    let mut out = Table::titled(&[
        "constitution",
        slope_title,
        ">p adj.",
        ">of best",
        ">⟨v_c, v*⟩",
        ">gap",
        ">judge",
        ">first",
        "verdict",
    ]);
    for named in ordered(index, verdicts, value) {
        let Some(verdict) = of(verdicts, value, named.name) else { continue };
        let at = |quantity, control| index.cell(quantity, value, named.name, control);
        let gap = at(Quantity::Gap, Control::Length).or(at(Quantity::Gap, Control::None));
        let bias = index.get(Quantity::PositionBias, None, Some(named.name), Control::None);
        let plain = |quantity| Cell::number(headline_figure(at(quantity, Control::None)));
        let slope = decisive(index, verdicts, value, &named);
        let own = verdict.slope == Quantity::OwnSlope;
        out.rows.push(vec![
            Cell::name(named.name),
            Cell::number(if own || !arm { headline(slope) } else { NOTHING.to_owned() }),
            Cell::number(quote::p(slope.and_then(|e| e.p_adjusted))),
            plain(verdict.share_quantity()),
            plain(if own { Quantity::OwnAlignment } else { Quantity::Alignment }),
            Cell::number(headline_figure(gap)),
            plain(Quantity::JudgeAccuracy),
            Cell::number(headline_figure(bias)),
            Cell { text: verdict.short_label(), ..verdict_cell(verdict) },
        ]);
    }
    out
}

/// Both controls side by side and the reason for each verdict; withheld figures are in parentheses.
pub(super) fn details<'a>(index: &Index<'a>, verdicts: &[Verdict], value: &'a str) -> Table {
    const SHOWN: [(Quantity, &str, &str); 4] = [
        (Quantity::OwnSlope, ">own slope [95 %]", ">length controlled"),
        (Quantity::EncodedSlope, ">encoded slope [95 %]", ">length controlled"),
        (Quantity::TotalSlope, ">total slope [95 %]", ">length controlled"),
        (Quantity::Alignment, ">⟨v_c, v*⟩ [95 %]", ">length controlled"),
    ];
    let mut titles = vec!["constitution"];
    for (_, without, with) in SHOWN {
        titles.push(without);
        titles.extend(index.length.then_some(with));
    }
    titles.push(">attained regret");
    let mut out = Table::titled(&titles);
    for named in ordered(index, verdicts, value) {
        if of(verdicts, value, named.name).is_none() {
            continue;
        }
        let show = |quantity, control| {
            let cell = index.cell(quantity, value, named.name, control);
            Cell::number(cell.map_or_else(|| NOTHING.to_owned(), detail))
        };
        let mut row = vec![Cell::name(named.name)];
        for (quantity, ..) in SHOWN {
            row.push(show(quantity, Control::None));
            row.extend(index.length.then(|| show(quantity, Control::Length)));
        }
        row.push(show(Quantity::AttainedRegret, Control::None));
        out.rows.push(row);
    }
    out
}
