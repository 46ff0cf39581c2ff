//! Detects unmarked duplicates: equivalent placebo texts, and prompts with the same responses.
//!
//! Placebo texts are a sample of texts, and prompts a sample of prompts: a duplicate that counts as another draw
//! makes every interval and every p too small. Before anything is estimated,
//!
//! - a placebo text counts as a rewording of an earlier one if the root mean square distance of their rewards within
//!   prompts is at most [`ALIKE`] of the largest distance between a placebo's rewards and a constitution's, and at most
//!   [`CLOSE`] of their own size. A judge that ignores texts gives all of them nearly the same rewards, constitutions
//!   too; one that has no preference without a constitution gives placebo texts small rewards that differ: placebos of
//!   both stay separate;
//! - so does a placebo text under which the root mean square distance of the residual streams over responses to those
//!   under an earlier one is at most [`CLOSE`] of its distance from the bare state;
//! - prompts whose responses have bit-identical residual streams form one block.

use crate::theory::base::layers::eligible;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use ndarray::{Array2, ArrayView1, Axis};

use crate::error::Result;
use crate::input::roster::original;
use crate::theory::base::estimate::Mode;
use crate::theory::base::problem::{Judged, LayerSource, Problem, joined};
use crate::theory::base::rows;

/// Largest distance of two equivalent placebo texts' rewards, over the largest distance from a constitution's.
pub const ALIKE: f64 = 0.01;
/// Largest distance of two equivalent placebo texts' rewards over their size, and of two states over the distance
/// from the bare state.
pub const CLOSE: f64 = 0.03;
/// Number of responses on which two states are compared.
const COMPARED: usize = 2000;
/// Maximum number of names in a warning.
const NAMED: usize = 3;

/// A problem with duplicates merged, the rewordings, and warnings.
pub(crate) struct Distinct<'a> {
    /// The problem, with duplicate prompts in one block.
    pub problem: Cow<'a, Problem>,
    /// Maps each rewording to the constitution it rewords, detected duplicates included.
    pub wordings: BTreeMap<String, String>,
    /// Warnings for the reader.
    pub warnings: Vec<String>,
}

/// Looks for duplicates at the last layer that may be reported.
///
/// # Errors
/// If rows cannot be read.
pub(crate) fn find<'a>(
    problem: &'a Problem,
    source: &dyn LayerSource,
    wordings: &BTreeMap<String, String>,
) -> Result<Distinct<'a>> {
    let (mut wordings, mut warnings) = (wordings.clone(), Vec::new());
    by_rewards(problem, &mut wordings, &mut warnings);
    let eligible = eligible(source.layers());
    let Some(&layer) = eligible.last().or(source.layers().last()) else {
        return Ok(Distinct { problem: Cow::Borrowed(problem), wordings, warnings });
    };
    let bare = source.resid(layer)?;
    let placebos: Vec<usize> = (0..source.texts().len()).filter(|&t| source.texts()[t].placebo).collect();
    let every = problem.rows().div_ceil(COMPARED).max(1);
    let sample: Vec<usize> = (0..problem.rows()).step_by(every).collect();
    let mut kept: Vec<(usize, Array2<f32>)> = Vec::new();
    for &t in placebos.iter().filter(|_| placebos.len() > 1) {
        let text = &source.texts()[t];
        if original(&wordings, &text.name) != text.name {
            continue;
        }
        let state = source.text_resid(t, layer)?.select(Axis(0), &sample);
        let same = kept.iter().find(|(first, other)| {
            let there = |r: usize| text.present[r] && source.texts()[*first].present[r];
            let rows: Vec<usize> = (0..sample.len()).filter(|&i| there(sample[i])).collect();
            let bare = |i: usize| bare.row(sample[i]);
            let apart = distance(&rows, |i| state.row(i), |i| other.row(i));
            !rows.is_empty() && apart <= CLOSE * distance(&rows, |i| state.row(i), bare)
        });
        match same {
            Some((first, _)) => {
                let first = &source.texts()[*first].name;
                warnings.push(format!(
                    "the residual streams under the placebo texts {} and {first} are the same to {:.0} % of their distance from \
                     the bare state: they count as one text",
                    text.name,
                    100.0 * CLOSE
                ));
                wordings.insert(text.name.clone(), first.clone());
            }
            None => kept.push((t, state)),
        }
    }
    let mut problem = Cow::Borrowed(problem);
    if let Some((block, prompts)) = same_responses(&problem, &bare) {
        warnings.push(format!(
            "{prompts} prompts have the same responses as an earlier one (residual streams equal to the bit): each such group \
             counts as one block, as near-copies do"
        ));
        problem.to_mut().block = block;
    }
    Ok(Distinct { problem, wordings, warnings })
}

/// Root mean square distance over some rows.
fn distance<'a>(
    rows: &[usize],
    a: impl Fn(usize) -> ArrayView1<'a, f32>,
    b: impl Fn(usize) -> ArrayView1<'a, f32>,
) -> f64 {
    let square = |&r: &usize| -> f64 {
        let pairs = a(r).into_iter().zip(b(r));
        pairs.map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum()
    };
    (rows.iter().map(square).sum::<f64>() / rows.len().max(1) as f64).sqrt()
}

/// Finds placebo texts with the same rewards as an earlier one of their mode.
fn by_rewards(problem: &Problem, wordings: &mut BTreeMap<String, String>, warnings: &mut Vec<String>) {
    for mode in [Mode::Pairwise, Mode::Pointwise, Mode::Implicit, Mode::Scores] {
        let own = |placebo: bool| {
            let of = move |j: &&Judged| j.placebo == placebo && !j.beside && j.mode == mode;
            problem.judged.iter().filter(of).collect::<Vec<_>>()
        };
        let (arm, rest) = (own(true), own(false));
        if arm.len() < 2 {
            continue;
        }
        let complete = |r: usize| arm.iter().chain(&rest).all(|j| j.reward[r].is_finite());
        let contrasts = rows::all(problem, &complete).contrasts(problem);
        if contrasts.is_empty() {
            continue;
        }
        let columns = |of: &[&Judged]| of.iter().map(|j| contrasts.column(&j.reward)).collect::<Vec<_>>();
        let (columns, rest) = (columns(&arm), columns(&rest));
        let apart = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
        let pairs = columns.iter().flat_map(|a| rest.iter().map(move |b| apart(a, b)));
        let close = ALIKE * pairs.fold(0.0, f64::max);
        let size = |a: &[f64]| a.iter().map(|x| x * x).sum::<f64>().sqrt();
        let alike_to = |a: &[f64], b: &[f64]| apart(a, b) <= close.min(CLOSE * size(a).min(size(b)));
        let mut alike: Vec<(&str, &str)> = Vec::new();
        for (i, text) in arm.iter().enumerate() {
            if original(wordings, &text.name) != text.name {
                continue;
            }
            let earlier = (0..i).find(|&e| {
                original(wordings, &arm[e].name) == arm[e].name && alike_to(&columns[e], &columns[i])
            });
            if let Some(e) = earlier {
                wordings.insert(text.name.clone(), arm[e].name.clone());
                alike.push((&text.name, &arm[e].name));
            }
        }
        if !alike.is_empty() {
            let pairs: Vec<String> =
                alike.iter().take(NAMED).map(|(text, first)| format!("{text} those of {first}")).collect();
            let more = alike.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            warnings.push(format!(
                "placebo texts whose rewards are those of another one to {:.0} % of what constitutions move them count as one text \
                 with it: {}{more}",
                100.0 * ALIKE,
                pairs.join(", ")
            ));
        }
    }
}

/// Blocks after merging prompts with the same responses, and the number of duplicate prompts; `None` if every
/// duplicate already shares a block with its original.
fn same_responses(problem: &Problem, h: &Array2<f32>) -> Option<(Vec<i32>, usize)> {
    if !problem.grouped {
        return None;
    }
    let mut prompts: BTreeMap<i32, Vec<u64>> = BTreeMap::new();
    let mut block_of: HashMap<i32, i32> = HashMap::new();
    for (row, &prompt) in problem.prompt.iter().enumerate() {
        let mut hasher = DefaultHasher::new();
        h.row(row).iter().for_each(|v| v.to_bits().hash(&mut hasher));
        prompts.entry(prompt).or_default().push(hasher.finish());
        block_of.insert(prompt, problem.block[row]);
    }
    let (mut first, mut union, mut copies) = (HashMap::new(), HashMap::new(), 0);
    for (prompt, mut hashes) in prompts {
        hashes.sort_unstable();
        hashes.dedup();
        // One equal state is weak evidence: short answers may coincide.
        if hashes.len() < 2 {
            continue;
        }
        let known = *first.entry(hashes).or_insert(prompt);
        if block_of[&known] != block_of[&prompt] {
            union.insert(prompt, known);
            copies += 1;
        }
    }
    if copies == 0 {
        return None;
    }
    let key: Vec<i32> = problem.prompt.iter().map(|p| union.get(p).copied().unwrap_or(*p)).collect();
    Some((joined(&key, &problem.block), copies))
}
