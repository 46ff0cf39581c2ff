//! Section: where the judge's verdict arises, by layer and direction.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::Evidence;
use crate::document::table::{Cell, Table};
use crate::theory::answer::{Lens, TABLE};
use crate::theory::base::estimate::{Control, Estimate, Quantity};
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::{NOTHING, counted, headline, number, percent, quotable};
use crate::theory::reading::together::{interval_for_all, z_for_all};
use crate::theory::reading::words::{NAMED_VALUES, joined, quoted};
use crate::units::Layer;

/// Lens share above which a verdict counts as formed.
const MADE: f64 = 0.5;

/// Largest width of a share's interval at which it is shown.
const WIDEST: f64 = 1.0;

/// 95 % point of the normal distribution, one-sided.
const Z90: f64 = 1.644_853_626_951_472_2;

/// Assumption 3, at the answer.
pub(crate) fn section(index: &Index<'_>) -> Option<Evidence> {
    let lenses: Vec<Lens> = index.table(TABLE)?;
    let mut tables = Vec::new();
    let by_constitution = constitutions(index);
    if !by_constitution.rows.is_empty() {
        tables.push(("By constitution".to_owned(), by_constitution));
    }
    let by_value = values(index);
    if !by_value.rows.is_empty() {
        tables.push(("What the state at the answer tells of the value".to_owned(), by_value));
    }
    tables.push(("Share of the verdict that the unembedding reads, by layer".to_owned(), by_layer(&lenses)));
    let mut parts = vec![made(&lenses)];
    parts.extend(transfer(index));
    parts.extend(knows_more(index));
    Some(Evidence {
                verdict: parts.join(" "),
        notes: vec![
            "z: the judge’s residual stream at the last token before its answer, half the difference of the two orders of a \
             pair, so that no liking for a place is in it. ρ² of the verdict: how much of the rewards r_c a probe reads from \
             z. Lens: what final norm and head read of the two answers at a layer, per nat of the final verdict. v_c at the \
             answer: the cosine, in the covariance of z, of the direction fitted on the responses and the direction fitted \
             on z."
                .into(),
        ],
        tables,
        figures: vec![],
    })
}

/// Lenses by constitution and judge, without placebos.
fn judges(lenses: &[Lens]) -> BTreeMap<(&str, &'static str), Vec<&Lens>> {
    let mut out: BTreeMap<(&str, &'static str), Vec<&Lens>> = BTreeMap::new();
    for lens in lenses.iter().filter(|l| !l.placebo) {
        out.entry((&lens.constitution, lens.judge.as_str())).or_default().push(lens);
    }
    out
}

/// Stored layers, ascending.
fn layers(lenses: &[Lens]) -> Vec<Layer> {
    lenses.iter().map(|l| l.layer).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Sentence: the layer from which half of the verdict is read out.
fn made(lenses: &[Lens]) -> String {
    let judges = judges(lenses);
    let kept = layers(lenses);
    let (Some(last), false) = (kept.last(), judges.is_empty()) else {
        return "No constitution’s verdict varies.".into();
    };
    // First layer from which the share stays clearly above the threshold.
    let first = |own: &Vec<&Lens>| -> Layer {
        let below = own.iter().filter(|l| l.share.lo < MADE).map(|l| l.layer).max();
        kept.iter().copied().find(|l| below.is_none_or(|b| *l > b)).unwrap_or(*last)
    };
    let mut from: Vec<Layer> = judges.values().map(first).collect();
    from.sort_unstable();
    let of = counted(from.len() as u64, "constitution");
    let (least, most) = (from[0], from[from.len() - 1]);
    if least == *last && kept.len() > 1 {
        return format!(
            "Before the last kept layer ({last}) the unembedding does not clearly read half of the verdict, under {of}."
        );
    }
    let range = if least == most { format!("layer {least}") } else { format!("layers {least} to {most}") };
    format!("From {range} on the unembedding clearly reads at least half of the verdict, under {of}.")
}

/// An estimate under a constitution in both controls, where both are reportable; the plain one where there is no
/// length control.
fn both<'a>(
    index: &Index<'a>,
    quantity: Quantity,
    value: Option<&'a str>,
    c: &'a str,
) -> Option<Vec<&'a Estimate>> {
    let of = |control| index.get(quantity, value, Some(c), control);
    let plain = of(Control::None).filter(|e| quotable(e))?;
    match of(Control::Length) {
        None => Some(vec![plain]),
        Some(length) if quotable(length) => Some(vec![plain, length]),
        Some(_) => None,
    }
}

/// Sentence: for how many constitutions, without placebos, v_c is clearly a direction of the verdict at the answer.
fn transfer(index: &Index<'_>) -> Option<String> {
    let tested: Vec<Vec<&Estimate>> =
        real(index).filter_map(|c| both(index, Quantity::VerdictTransfer, None, c)).collect();
    let clear =
        |list: &Vec<&Estimate>| list.iter().all(|e| least(e, tested.len()).is_some_and(|lo| lo > 0.0));
    let found = tested.iter().filter(|list| clear(list)).count();
    (!tested.is_empty()).then(|| {
        format!(
            "The direction v_c that is fitted on responses clearly reads the verdict at the answer too under {found} of {}.",
            counted(tested.len() as u64, "constitution")
        )
    })
}

/// For a value: the number of constitutions (without placebos, among those with both figures) for which the state at
/// the answer clearly explains more of the value than the verdict does.
struct More<'a> {
    value: &'a str,
    clear: usize,
    compared: usize,
}

fn more<'a>(index: &'a Index<'a>) -> Vec<More<'a>> {
    let of = |value: &'a str| -> Vec<(Vec<&Estimate>, &Estimate)> {
        let compared = real(index).filter_map(|c| {
            // What the verdict explains is measured without length control only.
            let said = index.cell(Quantity::ExplainedByJudge, value, c, Control::None);
            let state = both(index, Quantity::VerdictValueRho2, Some(value), c)?;
            Some((state, said.filter(|e| quotable(e))?))
        });
        compared.collect()
    };
    let compared: Vec<(&str, Vec<_>)> = index.values.iter().map(|&value| (value, of(value))).collect();
    let all: usize = compared.iter().map(|(_, own)| own.len()).sum();
    let clear = |(state, said): &(Vec<&Estimate>, &Estimate)| {
        let most = interval_for_all(said, all).map(|(_, hi)| hi);
        state.iter().all(|e| least(e, all).zip(most).is_some_and(|(lo, hi)| lo > hi))
    };
    let more = |(value, own): (&'a str, Vec<(Vec<&Estimate>, &Estimate)>)| {
        let clear = own.iter().filter(|pair| clear(pair)).count();
        (clear > 0).then_some(More { value, clear, compared: own.len() })
    };
    compared.into_iter().filter_map(more).collect()
}

/// Lower end of a figure's interval such that those of `of` figures hold simultaneously; also for a one-sided bound,
/// which lies 1.645 standard errors below the estimate.
fn least(e: &Estimate, of: usize) -> Option<f64> {
    let bound = || {
        let (value, lo) = (e.estimate.filter(|_| e.hi.is_none())?, e.lo?);
        Some(value - z_for_all(of) / Z90 * (value - lo))
    };
    interval_for_all(e, of).map(|(lo, _)| lo).or_else(bound)
}

/// Sentence: the values of which the state at the answer explains more than the verdict does, and for how many
/// constitutions.
fn knows_more(index: &Index<'_>) -> Option<String> {
    let values: Vec<String> = more(index)
        .iter()
        .map(|m| format!("“{}” ({} of {})", m.value, m.clear, counted(m.compared as u64, "constitution")))
        .collect();
    (!values.is_empty()).then(|| {
        format!("The state at the answer tells more than the verdict does of {}.", values.join(", "))
    })
}

/// The same for the summary: values for which this holds under more than half of the constitutions.
pub(crate) fn left_unsaid(index: &Index<'_>) -> Option<String> {
    let values: Vec<String> =
        more(index).iter().filter(|m| 2 * m.clear > m.compared).map(|m| quoted(m.value)).collect();
    (!values.is_empty()).then(|| {
        format!(
            "Where the judge answers, its state tells more of {} than its answers do.",
            joined(&values, NAMED_VALUES)
        )
    })
}

/// Names of the constitutions outside the placebo arm.
fn real<'a>(index: &'a Index<'a>) -> impl Iterator<Item = &'a str> {
    index.constitutions.iter().filter(|c| !c.is_placebo()).map(|c| c.name)
}

fn constitutions(index: &Index<'_>) -> Table {
    let mut table = Table::titled(&[
        "constitution",
        ">ρ² of the verdict [95 %]",
        ">lens [95 %]",
        ">v_c at the answer [95 %]",
        ">the same, length controlled",
    ]);
    for c in &index.constitutions {
        let of = |q, control| index.get(q, None, Some(c.name), control);
        if of(Quantity::VerdictRho2, Control::None).is_none() {
            continue;
        }
        let show = |q, control| Cell::number(headline(of(q, control)));
        table.rows.push(vec![
            Cell::name(c.name),
            show(Quantity::VerdictRho2, Control::None),
            show(Quantity::LensShare, Control::None),
            show(Quantity::VerdictTransfer, Control::None),
            show(Quantity::VerdictTransfer, Control::Length),
        ]);
    }
    table
}

fn values(index: &Index<'_>) -> Table {
    let mut table = Table::titled(&[
        "value",
        "constitution",
        ">ρ² of the value at the answer [95 %]",
        ">told by the verdict [95 %]",
        ">angle to the verdict, cosine [95 %]",
    ]);
    for &value in &index.values {
        for c in index.constitutions.iter().filter(|c| !c.is_placebo()) {
            let of = |q| index.get(q, Some(value), Some(c.name), Control::None);
            if of(Quantity::VerdictValueRho2).is_none() {
                continue;
            }
            let show = |q| Cell::number(headline(of(q)));
            table.rows.push(vec![
                Cell::name(value),
                Cell::name(c.name),
                show(Quantity::VerdictValueRho2),
                show(Quantity::ExplainedByJudge),
                show(Quantity::VerdictAlignment),
            ]);
        }
    }
    table
}

/// One row per stored layer: over constitutions, and over placebos.
fn by_layer(lenses: &[Lens]) -> Table {
    let mut table = Table::titled(&[
        ">layer",
        ">share, median",
        ">least to most",
        ">placebos, median",
        ">correlation with the verdict, median",
    ]);
    for layer in layers(lenses) {
        let of = |placebo: bool| lenses.iter().filter(move |l| l.layer == layer && l.placebo == placebo);
        // Where a text hardly moves the verdict, the share is a ratio of noise.
        let known = |l: &&Lens| l.share.hi - l.share.lo <= WIDEST;
        let shares =
            |placebo: bool| -> Vec<f64> { of(placebo).filter(known).map(|l| l.share.value).collect() };
        let (own, placebos) = (shares(false), shares(true));
        let correlations: Vec<f64> = of(false).filter_map(|l| l.correlation).collect();
        let show = |v: Option<f64>| v.map_or_else(|| NOTHING.to_owned(), percent);
        let ends = own.iter().fold(None, |ends: Option<(f64, f64)>, &v| {
            Some(ends.map_or((v, v), |(lo, hi)| (lo.min(v), hi.max(v))))
        });
        let range =
            ends.map_or_else(|| NOTHING.to_owned(), |(lo, hi)| format!("{} to {}", percent(lo), percent(hi)));
        let correlation = median(correlations).map_or_else(|| NOTHING.to_owned(), |c| number(c, Some(0.01)));
        table.rows.push(vec![
            Cell::number(layer.to_string()),
            Cell::number(show(median(own))),
            Cell::number(range),
            Cell::number(show(median(placebos))),
            Cell::number(correlation),
        ]);
    }
    table
}

/// Median; for an even number of values, the mean of the two middle ones.
fn median(mut of: Vec<f64>) -> Option<f64> {
    of.sort_by(f64::total_cmp);
    let n = of.len();
    (n > 0).then(|| 0.5 * (of[(n - 1) / 2] + of[n / 2]))
}
