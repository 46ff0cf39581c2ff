//! Definition 24 and Proposition 25: the best of the constitutions tried, corrected for selection.
//!
//! Per unit of sd⟨h, v_c⟩ the encoded slope is ρ σ_S cos(v_c, v*), at most ρ σ_S. The largest of several estimated
//! cosines is biased upwards, because it is selected partly for its error. The best is therefore chosen on one half
//! of the blocks and measured on the other, and vice versa; `best_alignment` is the mean of the two figures,
//! `mean_alignment` the mean over constitutions. Each half has its own fits: leave-block-out predictions from all
//! blocks would leak the choosing half into the measuring half.
//!
//! Half of the blocks has less power than all of them: a constitution is a candidate only if value and rewards pass
//! the gate of a cosine on both halves. The standard error of the mean of the two figures is the larger of the one
//! from influences on disjoint blocks and half the difference between the figures, which also covers the variation
//! due to the choice.

use std::ops::Range;

use serde::Serialize;

use crate::document::Evidence;
use crate::document::table::{Cell, Table};
use crate::error::Result;
use crate::probe::influence::{Influence, cosine, fisher_interval, fisher_interval_for_all, theta};
use crate::probe::twicing::twicing_on;
use crate::theory::base::analysis::Analysis;
use crate::theory::base::angle::{Angle, GATE};
use crate::theory::base::bench::{Bench, Label};
use crate::theory::base::estimate::{Control, Estimate, Mode, Quantity};
use crate::theory::base::problem::Judged;
use crate::theory::base::rows::{self, Rows};
use crate::theory::base::stage::Stage;
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::{NOTHING, detail, headline, number, quotable};
use crate::theory::reading::words::judge_by_itself;
use crate::theory::statement::{Measure, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "promptable",
    title: "What limits training on judgments",
    source: "Definition 24, Proposition 25",
    quantities: &[Quantity::BestAlignment, Quantity::MeanAlignment],
    tables: &[TABLE],
    rests: Rests::OnTheJudge,
    measures: &[Measure::Uncontrolled(measure)],
    section: Some(section),
};

/// Name of the table in the report.
pub const TABLE: &str = "best_constitution";

/// Constitutions chosen for a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Best {
    /// The value.
    pub value: String,
    /// Constitution chosen on each half of the blocks.
    pub chosen: [String; 2],
}

/// Half of a bench's blocks, with its own fits.
struct Half {
    /// Rewards, then values.
    labels: Vec<Label>,
    blocks: Vec<Range<usize>>,
}

impl Half {
    /// Every second block, starting from the first or the second: labels with leave-block-out predictions from fits
    /// that use nothing of the other half.
    fn new(bench: &Bench, odd: bool, labels: &[Vec<f64>]) -> Self {
        let (rows, blocks) = bench.contrasts.part(|block, _| block % 2 == usize::from(odd));
        let y: Vec<Vec<f64>> = labels.iter().map(|l| rows.iter().map(|&i| l[i]).collect()).collect();
        let df = (rows.len() as f64 / 2.0).min(0.9 * bench.spectrum.rank() as f64);
        let lambda = bench.spectrum.penalty(df);
        let views: Vec<&[f64]> = y.iter().map(Vec::as_slice).collect();
        let predicted = twicing_on(&bench.spectrum, &rows, &blocks, lambda, &views);
        let labels = y.into_iter().zip(predicted).map(|(y, yhat)| Label { y, yhat }).collect();
        Self { labels, blocks }
    }

    /// cos of two of the labels; `None` where either fails its gate on this half.
    fn cos(&self, a: usize, b: usize) -> Option<Influence> {
        let (a, b) = (self.labels[a].probed(), self.labels[b].probed());
        let t = |a, b| theta(a, b, &self.blocks);
        let (aa, bb) = (t(a, a), t(b, b));
        let seen = |t: &Influence| t.value > GATE * t.se(&self.blocks);
        if seen(&aa) && seen(&bb) { cosine(&t(a, b), &aa, &bb) } else { None }
    }
}

/// `best_alignment` and `mean_alignment` of each value over the constitutions outside the placebo arm.
pub(crate) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    let tried: Vec<&Judged> =
        problem.judged.iter().filter(|j| !j.placebo && !j.beside && j.mode != Mode::Implicit).collect();
    if tried.is_empty() {
        return Ok(());
    }
    let mut table: Vec<Best> = Vec::new();
    // Values on the same rows share the fits of the halves.
    let mut known: Vec<(Rows, Vec<usize>, [Half; 2])> = Vec::new();
    let columns = |bench: &Bench| tried.iter().map(|j| bench.column(&j.reward)).collect::<Vec<_>>();
    let keep = stage.keep;
    let judged_rows = |v: usize| {
        let all = rows::of_value(problem, &problem.values[v], keep);
        all.filtered(|r| tried.iter().all(|j| j.reward[r].is_finite()))
    };
    for &v in values {
        let value = &problem.values[v];
        let wanted = judged_rows(v);
        let Some(bench) = stage.bench(wanted.clone())? else { continue };
        let mut labels = vec![rows::label(&bench, value)];
        labels.extend(columns(&bench));
        let labels = bench.probe(labels);
        let (s, rewards) = labels.split_at(1);
        let s = &s[0];
        // A constitution whose direction is not identifiable is not a candidate.
        let seen: Vec<usize> =
            (0..tried.len()).filter(|&c| Angle::new(&bench, s, &rewards[c]).identifiable()).collect();
        let own = theta(s.probed(), s.probed(), bench.contrasts.blocks());
        let why = if own.value.is_nan() || own.value <= GATE * own.se(bench.contrasts.blocks()) {
            Some("not identifiable: the value is not encoded")
        } else if seen.is_empty() {
            Some("not identifiable: no constitution's rewards are encoded")
        } else if bench.blocks() < 20 {
            Some("fewer than 20 blocks: none to choose on")
        } else {
            None
        };
        let name = Some(value.name.as_str());
        if let Some(why) = why {
            for quantity in [Quantity::BestAlignment, Quantity::MeanAlignment] {
                stage.push(out, Some(&bench), name, Estimate::missing(quantity, why));
            }
            continue;
        }
        let cosines: Vec<Influence> =
            seen.iter().filter_map(|&c| Angle::new(&bench, s, &rewards[c]).cos).collect();
        let share = 1.0 / cosines.len() as f64;
        let parts: Vec<(f64, &Influence)> = cosines.iter().map(|c| (share, c)).collect();
        let mean = Influence::combine(share * cosines.iter().map(|c| c.value).sum::<f64>(), &parts);
        let se = mean.se(bench.contrasts.blocks());
        let method = "mean of the cosines, influences averaged";
        let interval = mean.cosine_interval(bench.contrasts.blocks());
        let estimate = Estimate::figure(Quantity::MeanAlignment, method, mean.value, se, interval);
        stage.push(out, Some(&bench), name, estimate);
        if !known.iter().any(|(rows, ..)| *rows == wanted) {
            let alike: Vec<usize> = values.iter().copied().filter(|&v| judged_rows(v) == wanted).collect();
            let mut labels = columns(&bench);
            labels.extend(alike.iter().map(|&v| rows::label(&bench, &problem.values[v])));
            let halves = [false, true].map(|odd| Half::new(&bench, odd, &labels));
            known.push((wanted.clone(), alike, halves));
        }
        let Some((_, alike, halves)) = known.iter().find(|(rows, ..)| *rows == wanted) else { continue };
        let Some(place) = alike.iter().position(|&other| other == v) else { continue };
        let cos = |half: &Half, c: usize| half.cos(tried.len() + place, c);
        let candidates: Vec<usize> =
            seen.iter().copied().filter(|&c| halves.iter().all(|half| cos(half, c).is_some())).collect();
        let best = |half: &Half| {
            let of = |&c: &usize| Some((c, cos(half, c)?.value));
            candidates.iter().filter_map(of).max_by(|a, b| a.1.total_cmp(&b.1)).map(|(c, _)| c)
        };
        let chosen = best(&halves[0]).zip(best(&halves[1]));
        let told = chosen.and_then(|(first, second)| {
            // Choose on one half, measure on the other.
            let (a, b) = (cos(&halves[1], first)?, cos(&halves[0], second)?);
            let (sa, sb) = (a.se(&halves[1].blocks), b.se(&halves[0].blocks));
            let se = (sa.hypot(sb) / 2.0).max((a.value - b.value).abs() / 2.0);
            Some(((a.value + b.value) / 2.0, se))
        });
        let method = "chosen on half of the blocks, measured on the other half, both ways";
        let estimate = match told {
            None => Estimate::missing(
                Quantity::BestAlignment,
                "not identifiable on half of the blocks: no constitution passes its gate on both halves",
            ),
            Some((value, se)) => {
                // The two halves may have chosen differently, and two figures are too few for an interval: one built
                // from their errors covers only 82 to 90 %.
                let figure =
                    Estimate::figure(Quantity::BestAlignment, method, value, se, fisher_interval(value, se));
                Estimate { lo: None, hi: None, ..figure }
            }
        };
        stage.push(out, Some(&bench), name, estimate);
        if let Some((a, b)) = chosen {
            let chosen = [tried[a].name.clone(), tried[b].name.clone()];
            table.push(Best { value: value.name.clone(), chosen });
        }
    }
    if let (false, Ok(table)) = (table.is_empty(), serde_json::to_value(table)) {
        out.tables.insert(TABLE.to_owned(), table);
    }
    Ok(())
}

/// A factor below this counts as a bottleneck.
const NEAR_ONE: f64 = 0.95;

/// Proposition 25.
fn section(index: &Index<'_>) -> Option<Evidence> {
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
    Some(Evidence {
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
