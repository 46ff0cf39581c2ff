//! Definition 24 and Proposition 25: the best of the constitutions that were tried, without the luck of being chosen.
//!
//! Per unit of sd⟨h, v_c⟩ the encoded slope is ρ σ_S cos(v_c, v*), at most ρ σ_S. The largest of several estimated cosines
//! lies above the cosine of the constitution it belongs to: it was chosen for its error too. So the best is chosen on one
//! half of the blocks and measured on the other, and the other way round; `best_alignment` is the mean of the two
//! figures (their errors are those of disjoint blocks), `mean_alignment` the mean over constitutions. Predictions come
//! from fits without the block itself, as everywhere, so that halves of the blocks need no fits of their own.

use std::ops::Range;

use serde::Serialize;

use super::analysis::Analysis;
use super::bench::{Bench, Label};
use super::estimate::{Estimate, Mode, Quantity};
use super::improvement::{Angle, GATE};
use super::problem::Judged;
use super::rows;
use super::stage::Stage;
use crate::error::Result;
use crate::probe::Probed;
use crate::probe::influence::{Influence, cosine, fisher_interval, theta};

/// Name of the table in the report.
pub const TABLE: &str = "best_constitution";

/// The constitutions that were chosen for a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Best {
    /// The value.
    pub value: String,
    /// The one chosen on each half of the blocks.
    pub chosen: [String; 2],
}

/// Rows and blocks of a part of a bench's contrasts.
struct Part {
    rows: Vec<usize>,
    blocks: Vec<Range<usize>>,
}

impl Part {
    /// Every second block, from the first or the second on.
    fn of(bench: &Bench, odd: bool) -> Self {
        let mut part = Self { rows: Vec::new(), blocks: Vec::new() };
        for block in bench.contrasts.blocks().iter().skip(usize::from(odd)).step_by(2) {
            let start = part.rows.len();
            part.rows.extend(block.clone());
            part.blocks.push(start..part.rows.len());
        }
        part
    }

    fn cos(&self, a: &Label, b: &Label) -> Option<Influence> {
        let cut = |v: &[f64]| -> Vec<f64> { self.rows.iter().map(|&i| v[i]).collect() };
        let (ay, ah, by, bh) = (cut(&a.y), cut(&a.yhat), cut(&b.y), cut(&b.yhat));
        let (a, b) = (Probed { y: &ay, yhat: &ah }, Probed { y: &by, yhat: &bh });
        let (aa, bb) = (theta(a, a, &self.blocks), theta(b, b, &self.blocks));
        cosine(&theta(a, b, &self.blocks), &aa, &bb)
    }
}

/// `best_alignment` and `mean_alignment` of each value over the constitutions outside the placebo arm.
pub(super) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    let tried: Vec<&Judged> =
        problem.judged.iter().filter(|j| !j.placebo && !j.beside && j.mode != Mode::Implicit).collect();
    if tried.is_empty() {
        return Ok(());
    }
    let mut table: Vec<Best> = Vec::new();
    for &v in values {
        let value = &problem.values[v];
        let all = rows::of_value(problem, value, stage.keep);
        let wanted = all.filtered(|r| tried.iter().all(|j| j.reward[r].is_finite()));
        let Some(bench) = stage.bench(wanted)? else { continue };
        let mut labels = vec![rows::label(&bench, value)];
        labels.extend(tried.iter().map(|j| bench.column(&j.reward)));
        let labels = bench.probe(labels);
        let (s, rewards) = labels.split_at(1);
        let s = &s[0];
        // A constitution whose direction cannot be told is not tried.
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
        let interval = fisher_interval(mean.value, se);
        let estimate = Estimate::figure(Quantity::MeanAlignment, method, mean.value, se, interval);
        stage.push(out, Some(&bench), name, estimate);
        let halves = [Part::of(&bench, false), Part::of(&bench, true)];
        let best = |half: &Part| {
            let of = |&c: &usize| Some((c, half.cos(s, &rewards[c])?.value));
            seen.iter().filter_map(of).max_by(|a, b| a.1.total_cmp(&b.1)).map(|(c, _)| c)
        };
        let chosen = best(&halves[0]).zip(best(&halves[1]));
        let told = chosen.and_then(|(first, second)| {
            // Chosen on one half, measured on the other.
            let (a, b) = (halves[1].cos(s, &rewards[first])?, halves[0].cos(s, &rewards[second])?);
            let (sa, sb) = (a.se(&halves[1].blocks), b.se(&halves[0].blocks));
            Some(((a.value + b.value) / 2.0, (sa * sa + sb * sb).sqrt() / 2.0))
        });
        let method = "chosen on half of the blocks, measured on the other half, both ways";
        let estimate = match told {
            None => Estimate::missing(Quantity::BestAlignment, "not identifiable on half of the blocks"),
            Some((value, se)) => {
                Estimate::figure(Quantity::BestAlignment, method, value, se, fisher_interval(value, se))
            }
        };
        stage.push(out, Some(&bench), name, estimate);
        if let (false, Some((a, b))) = (stage.length, chosen) {
            let chosen = [tried[a].name.clone(), tried[b].name.clone()];
            table.push(Best { value: value.name.clone(), chosen });
        }
    }
    if let (false, Ok(table)) = (table.is_empty(), serde_json::to_value(table)) {
        out.tables.insert(TABLE.to_owned(), table);
    }
    Ok(())
}
