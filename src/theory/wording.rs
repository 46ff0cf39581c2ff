//! Section 9.2: how much the wording of a constitution matters.
//!
//! Rewordings of one principle form a group with the constitution they paraphrase. With a_i = cos(v_i, v*) and d_ij =
//! a_i − a_j, whose variance comes from the difference of influences, the spread over wordings free of sampling error
//! is τ² = mean over pairs of (d_ij² − Var d_ij)/2, and `wording_sd` = √max(0, τ²). Its p is that of the largest |z|
//! among the pairs, adjusted for their number and dependence (whether any two wordings differ at all), and then for
//! the false discovery rate over all groups and values, because the section is exploratory.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value as Json;

use crate::document::Evidence;
use crate::document::table::{Cell, Table};
use crate::error::Result;
use crate::input::roster::original;
use crate::probe::influence::Influence;
use crate::theory::base::analysis::Analysis;
use crate::theory::base::angle::Angle;
use crate::theory::base::estimate::{Control, Estimate, Mode, Quantity};
use crate::theory::base::multiplicity::{Statistic, adjusted, false_discovery};
use crate::theory::base::problem::Judged;
use crate::theory::base::stage::Stage;
use crate::theory::base::{moved, rows};
use crate::theory::reading::index::Index;
use crate::theory::reading::quote::{NOTHING, counted, number, optional, p, quotable};
use crate::theory::statement::{Measure, Rests, Statement};

/// The statement.
pub(crate) const STATEMENT: Statement = Statement {
    name: "wording",
    title: "Wording",
    source: "Section 9.2",
    quantities: &[Quantity::WordingSd],
    tables: &[TABLE],
    rests: Rests::OnTheJudge,
    measures: &[Measure::Uncontrolled(measure)],
    section: Some(section),
};

/// Name of the table in the report.
pub const TABLE: &str = "wordings";

/// One wording in a group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Wording {
    /// The constitution.
    pub constitution: String,
    /// cos(v_c, v*).
    pub alignment: f64,
    /// Standard error of the alignment.
    pub se: f64,
}

/// The wordings of one constitution and a value.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// The value.
    pub value: String,
    /// The constitution that the others paraphrase.
    pub constitution: String,
    /// Wordings with an identifiable alignment, the original first.
    pub wordings: Vec<Wording>,
    /// Smallest cos(v_i, v_j) over pairs of wordings.
    pub least_cos: f64,
}

/// Groups of constitutions, keyed by the name of the paraphrased one; groups of one member are left out.
fn groups<'a>(stage: &Stage<'a>) -> BTreeMap<&'a str, Vec<&'a Judged>> {
    let wordings = &stage.options.wordings;
    let mut out: BTreeMap<&str, Vec<&Judged>> = BTreeMap::new();
    for judged in stage.problem.judged.iter().filter(|j| !j.beside && j.mode != Mode::Implicit) {
        out.entry(original(wordings, &judged.name)).or_default().push(judged);
    }
    out.retain(|_, members| members.len() > 1);
    out.iter_mut().for_each(|(name, members)| members.sort_by_key(|j| j.name != *name));
    out
}

/// Measures `wording_sd` of each value and group.
pub(crate) fn measure(stage: &mut Stage<'_>, values: &[usize], out: &mut Analysis) -> Result<()> {
    let problem = stage.problem;
    let mut table: Vec<Group> = Vec::new();
    let mut tested: Vec<usize> = Vec::new();
    for (name, members) in groups(stage) {
        for &v in values {
            let value = &problem.values[v];
            let all = rows::of_value(problem, value, stage.keep);
            let wanted = all.filtered(|r| members.iter().all(|j| j.reward[r].is_finite()));
            let Some(bench) = stage.bench(wanted)? else { continue };
            let blocks = bench.contrasts.blocks();
            let mut labels = vec![rows::label(&bench, value)];
            labels.extend(members.iter().map(|j| bench.column(&j.reward)));
            let labels = bench.probe(labels);
            let (s, rewards) = labels.split_at(1);
            let found: Vec<(usize, Influence)> = rewards
                .iter()
                .enumerate()
                .filter_map(|(i, r)| {
                    let angle = Angle::new(&bench, &s[0], r);
                    angle.identifiable().then_some((i, angle.cos?))
                })
                .collect();
            let method = "spread of alignments over wordings, less their sampling error";
            let estimate = if found.len() < 2 {
                Estimate::missing(
                    Quantity::WordingSd,
                    "fewer than two wordings whose alignment is identifiable",
                )
            } else {
                let mut squares = Vec::new();
                let mut statistics = Vec::new();
                let mut least = 1.0f64;
                for (at, (i, a)) in found.iter().enumerate() {
                    for (j, b) in &found[at + 1..] {
                        let d = Influence::combine(a.value - b.value, &[(1.0, a), (-1.0, b)]);
                        let se = d.se(blocks);
                        squares.push((d.value * d.value - se * se) / 2.0);
                        if se > 0.0 && se.is_finite() {
                            let influence = moved(&bench, &d).by_block;
                            statistics.push(Statistic { z: d.value / se, influence });
                        }
                        let pair = Angle::new(&bench, &rewards[*i], &rewards[*j]);
                        least = pair.cos.map_or(least, |c| least.min(c.value));
                    }
                }
                let wording = |(i, cos): &(usize, Influence)| Wording {
                    constitution: members[*i].name.clone(),
                    alignment: cos.value,
                    se: cos.se(blocks),
                };
                table.push(Group {
                    value: value.name.clone(),
                    constitution: name.to_owned(),
                    wordings: found.iter().map(wording).collect(),
                    least_cos: least,
                });
                let square = squares.iter().sum::<f64>() / squares.len() as f64;
                let mut e = Estimate::bare(Quantity::WordingSd, method, square.max(0.0).sqrt());
                e.p_adjusted = adjusted(&statistics, stage.options.seed).into_iter().reduce(f64::min);
                e
            };
            if estimate.p_adjusted.is_some() {
                tested.push(out.estimates.len());
            }
            stage.push(out, Some(&bench), Some(&value.name), estimate.under(name));
        }
    }
    let p: Vec<f64> = tested.iter().filter_map(|&e| out.estimates[e].p_adjusted).collect();
    for (e, q) in tested.into_iter().zip(false_discovery(&p)) {
        out.estimates[e].p_adjusted = Some(q);
    }
    if let (false, Ok(table)) = (table.is_empty(), serde_json::to_value(table)) {
        out.tables.insert(TABLE.to_owned(), table);
    }
    Ok(())
}

/// Section 9.2.
fn section(index: &Index<'_>) -> Option<Evidence> {
    let groups = index.rows(TABLE)?;
    let placebo = |name: &str| index.constitutions.iter().any(|c| c.is_placebo() && c.name == name);
    let mut table = Table::titled(&[
        "constitution",
        "value",
        ">wordings",
        ">lowest ⟨v_c, v*⟩",
        ">highest ⟨v_c, v*⟩",
        ">spread, sd",
        ">p adj.",
        ">least ⟨v_i, v_j⟩",
    ]);
    let (mut differ, mut tested, mut widest) = (0u64, 0u64, None::<f64>);
    for group in groups {
        let (name, value) = (group["constitution"].as_str()?, group["value"].as_str()?);
        let spread = index.estimates.iter().find(|e| {
            e.quantity == Quantity::WordingSd
                && e.control == Control::None
                && e.value.as_deref() == Some(value)
                && e.constitution.as_deref() == Some(name)
        });
        let list = group["wordings"].as_array()?;
        let by = |w: &&Json| w["alignment"].as_f64().unwrap_or(f64::NAN);
        let lowest = list.iter().min_by(|a, b| by(a).total_cmp(&by(b)));
        let highest = list.iter().max_by(|a, b| by(a).total_cmp(&by(b)));
        let show = |w: Option<&Json>| -> String {
            let figure = w.and_then(|w| Some((w["alignment"].as_f64()?, w["se"].as_f64())));
            figure.map_or_else(|| NOTHING.to_owned(), |(a, se)| number(a, se))
        };
        let adjusted = spread.filter(|e| quotable(e)).and_then(|e| e.p_adjusted);
        // The spread of placebo texts is reported by their arm.
        if let Some(p) = adjusted.filter(|_| !placebo(name)) {
            tested += 1;
            differ += u64::from(p < 0.05);
            let range = highest.map(|w| by(&w)).zip(lowest.map(|w| by(&w))).map(|(hi, lo)| hi - lo);
            widest = widest.into_iter().chain(range.filter(|r| r.is_finite())).reduce(f64::max);
        }
        table.rows.push(vec![
            Cell::name(name),
            Cell::name(value),
            Cell::number(list.len().to_string()),
            Cell::number(show(lowest)),
            Cell::number(show(highest)),
            Cell::number(optional(spread.and_then(|e| e.estimate), Some(0.01))),
            Cell::number(p(adjusted)),
            Cell::number(optional(group["least_cos"].as_f64(), Some(0.01))),
        ]);
    }
    if table.rows.is_empty() {
        return None;
    }
    let all = counted(tested, "comparison") + " of a constitution’s wordings on a value";
    let range = widest.map_or_else(String::new, |w| {
        format!("; the widest range of alignments is {}, sampling error included", number(w, Some(0.01)))
    });
    Some(Evidence {
                verdict: match tested {
            0 => "Whether the wording matters could not be tested.".to_owned(),
            _ => format!("The wording clearly matters in {differ} of {all}{range}."),
        },
        notes: vec![
            "Paraphrases are the constitutions whose files say so (`paraphrase_of`). Spread: standard deviation of the alignments over \
             wordings less their sampling error; p: that any two differ, adjusted for the number of pairs, and for the false discovery rate over groups and values (this section explores). Only wordings whose alignment is \
             identifiable count."
                .into(),
        ],
        tables: vec![("Alignments over wordings".into(), table)],
        figures: vec![],
    })
}
