//! Proposition 5: judgment compared with generation, cos(v_c, v*) − cos(w, v*).
//!
//! w is the direction of log P in the residual stream (Assumption 2). Both cosines are computed on the same contrasts
//! and their influences subtracted, so that shared error cancels in the interval.

use crate::document::Evidence;
use crate::document::table::{Cell, Table};
use crate::probe::influence::Influence;
use crate::theory::base::angle::Angle;
use crate::theory::base::bench::Bench;
use crate::theory::base::estimate::{Control, Estimate, Quantity};
use crate::theory::reading::index::Index;
use crate::theory::reading::outcome::LEVEL;
use crate::theory::reading::quote::{counted, headline, p, quotable};
use crate::theory::statement::{Cells, Measure, NO_LOGPROB, OfPair, OfValue, Rests, Statement, Tested};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "gap",
    title: "Judgment and generation",
    source: "Proposition 5",
    quantities: &[Quantity::Gap, Quantity::GenerationAlignment, Quantity::ImpliedEta],
    tables: &[],
    rests: Rests::OnTheJudge,
    measures: &[
        Measure::Value { gives: &[Quantity::GenerationAlignment], of: value },
        Measure::Pair { gives: &[Quantity::Gap, Quantity::ImpliedEta], of: pair },
    ],
    section: Some(section),
};

/// `generation_alignment`, unless w is read at the layer that reads log P best.
fn value(v: &OfValue<'_>) -> Vec<Estimate> {
    match (v.logprob, v.stage.generation) {
        (Some(_), Some(_)) => Vec::new(),
        (Some(logprob), None) => {
            vec![generation(v.bench, &v.value.name, &Angle::new(v.bench, v.s, logprob))]
        }
        (None, _) => vec![Estimate::missing(Quantity::GenerationAlignment, NO_LOGPROB)],
    }
}

/// `gap` and `implied_eta`.
fn pair(p: &OfPair<'_>) -> Cells {
    let Some(logprob) = p.logprob else {
        return Cells::of([Quantity::Gap, Quantity::ImpliedEta].map(|q| Estimate::missing(q, NO_LOGPROB)));
    };
    let generation = Angle::new(p.bench, p.s, logprob);
    let (mut gap, influence) = gap(p.bench, &p.angle, &generation);
    if let (Some(_), Some(cos)) = (p.stage.generation, &generation.cos) {
        gap.method = format!("{}; here ⟨w, v*⟩ is {:.3}", gap.method, cos.value);
    }
    let tested =
        influence.zip(gap.se).map(|(influence, se)| Tested { takes: &[Quantity::Gap], influence, se });
    let eta = implied_eta(&gap, p.alignment());
    Cells { estimates: vec![eta, gap], tested: tested.into_iter().collect() }
}

/// `generation_alignment`: cos(w, v*).
pub fn generation(bench: &Bench, value: &str, angle: &Angle) -> Estimate {
    angle.estimate(bench, Quantity::GenerationAlignment, (value, "log P"))
}

/// `gap` of a constitution.
pub fn gap(bench: &Bench, judgment: &Angle, generation: &Angle) -> (Estimate, Option<Influence>) {
    let method = "difference of cosines, influences subtracted";
    let (Some(c), Some(w)) = (&judgment.cos, &generation.cos) else {
        return (Estimate::new(Quantity::Gap, method).warn("not identifiable: a direction is missing"), None);
    };
    let gap = Influence::combine(c.value - w.value, &[(1.0, c), (-1.0, w)]);
    let se = gap.se(bench.contrasts.blocks());
    let estimate = Estimate::figure(
        Quantity::Gap,
        method,
        gap.value,
        se,
        gap.symmetric_interval(bench.contrasts.blocks()),
    );
    let estimate = if judgment.identifiable() && generation.identifiable() {
        estimate
    } else {
        estimate.withheld("not identifiable: S, the reward or log P is not encoded")
    };
    (estimate, Some(gap))
}

/// `implied_eta` of a constitution: 1 − gap, with the gap's error.
///
/// Proposition 5 gives gap ≈ 1 − η only for α_c = cos(v_c, v*) ≈ 1. Where the interval of the cosine does not reach
/// .9 the figure is kept but withheld: the deficit from 1 is then due to the constitution, not to the corpus.
pub fn implied_eta(gap: &Estimate, alignment: &Estimate) -> Estimate {
    let Some((value, se)) = gap.estimate.zip(gap.se).map(|(g, se)| (1.0 - g, se)) else {
        return Estimate::missing(Quantity::ImpliedEta, "there is no gap to read it from");
    };
    let method = "1 − gap";
    // The gap's interval, mirrored.
    let interval = gap.lo.zip(gap.hi).map_or((f64::NAN, f64::NAN), |(lo, hi)| (1.0 - hi, 1.0 - lo));
    let estimate = Estimate::figure(Quantity::ImpliedEta, method, value, se, interval);
    if !gap.reportable {
        estimate.withheld("not identifiable: the gap is not")
    } else if alignment.hi.is_none_or(|hi| hi < DIRECT) {
        estimate.withheld("the constitution does not query the value directly: ⟨v_c, v*⟩ is clearly below .9")
    } else {
        estimate
    }
}

/// Smallest alignment that counts as α_c ≈ 1.
const DIRECT: f64 = 0.9;

/// Proposition 5.
fn section(index: &Index<'_>) -> Option<Evidence> {
    let mut table = Table::titled(&[
        "value",
        "constitution",
        ">⟨v_c, v*⟩ [95 %]",
        ">⟨w, v*⟩ [95 %]",
        ">gap [95 %]",
        ">p adj.",
        ">implied η [95 %]",
    ]);
    let (mut known, mut positive, mut negative, mut by_length) = (0, 0, 0, 0);
    let (mut placebos, mut alike) = (0, 0);
    for &value in &index.values {
        let w = index.get(Quantity::GenerationAlignment, Some(value), None, Control::None);
        for c in &index.constitutions {
            let cell = |quantity| index.cell(quantity, value, c.name, Control::None);
            let Some(gap) = cell(Quantity::Gap).filter(|e| e.estimate.is_some()) else { continue };
            if quotable(gap) && c.is_placebo() {
                placebos += 1;
                alike += u64::from(side(gap) > 0);
            }
            if quotable(gap) && !c.is_placebo() {
                known += 1;
                let sides = [Some(gap), index.cell(Quantity::Gap, value, c.name, Control::Length)];
                // w tends to pick up length first: a gap that length control removes is not due to judgment.
                let of = |e: Option<&Estimate>| e.map_or(0, side);
                match (of(sides[0]), of(sides[1])) {
                    (plain, held) if plain != 0 && index.length && held != plain => by_length += 1,
                    (plain, _) => {
                        positive += u64::from(plain > 0);
                        negative += u64::from(plain < 0);
                    }
                }
            }
            if c.is_placebo() {
                continue;
            }
            let show = |e: Option<&Estimate>| Cell::number(headline(e));
            table.rows.push(vec![
                Cell::name(value),
                Cell::name(c.name),
                show(cell(Quantity::Alignment)),
                show(w),
                show(Some(gap)),
                Cell::number(p(gap.p_adjusted)),
                show(cell(Quantity::ImpliedEta)),
            ]);
        }
    }
    if table.rows.is_empty() {
        return None;
    }
    let length = match by_length {
        0 => String::new(),
        n => format!(" In {n} more the difference is not clear any more when length is controlled."),
    };
    // An effect of the judge under any text is not due to the constitution.
    let placebos = match (placebos, alike) {
        (0, _) | (_, 0) => String::new(),
        (all, n) => format!(
            " It is closer in {n} of {} too: so far this is what the judge does under any text.",
            counted(all, "gap") + " of placebo texts"
        ),
    };
    let verdict = match known {
        0 => "Whether judgment is closer to a value than generation is not identifiable.".to_owned(),
        _ => format!(
            "Of {} outside the placebo arm, judgment is clearly closer to the value than generation in {positive}, clearly farther in {negative}.{length}{placebos}",
            counted(known, "gap")
        ),
    };
    Some(Evidence {
                verdict,
        notes: vec![
            "Gap: ⟨v_c, v*⟩ − ⟨w, v*⟩. Implied η: 1 − gap, the share of value-relevant text that Proposition 5 would read off it; not \
             identifiable where the constitution does not query the value directly (⟨v_c, v*⟩ clearly below .9), since what is missing to \
             1 is then the constitution's. It is a reading of the gap, not a measurement of the corpus."
                .into(),
        ],
        tables: vec![("Gaps".into(), table)],
        figures: vec![],
    })
}

/// 1 for a gap clearly above 0, −1 for one clearly below, otherwise 0.
fn side(gap: &Estimate) -> i8 {
    match gap.estimate.filter(|_| quotable(gap) && gap.p_adjusted.is_some_and(|p| p < LEVEL)) {
        Some(g) if g > 0.0 => 1,
        Some(g) if g < 0.0 => -1,
        _ => 0,
    }
}
