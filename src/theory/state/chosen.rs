//! Selection of constitutions, and of the placebo texts each is compared with.

use std::collections::BTreeSet;

use super::finding::Missing;
use super::shift::{Shift, Sums};
use crate::error::Result;
use crate::theory::base::analysis::Options;
use crate::theory::base::problem::{LayerSource, Problem, StateText};
use crate::units::Layer;

/// Smallest share of the rows that must have been read under a constitution.
const PRESENT: f64 = 0.8;

/// The selected constitutions.
pub struct Participants<'a> {
    /// Indices among the source's texts.
    pub at: Vec<usize>,
    /// The texts.
    pub arms: Vec<&'a StateText>,
    /// Indices in `arms` of independent placebo texts.
    pub placebos: Vec<usize>,
}

impl<'a> Participants<'a> {
    /// Selects constitutions under which enough of the rows for which `keep` holds were read; the others are added to
    /// `missing`. Of placebo texts that are rewordings of one text, the first represents all.
    pub fn new(
        problem: &Problem,
        source: &'a dyn LayerSource,
        options: &Options,
        keep: &dyn Fn(usize) -> bool,
        missing: &mut Vec<Missing>,
    ) -> Self {
        let kept: Vec<usize> = (0..problem.rows()).filter(|&r| keep(r)).collect();
        let mut out = Self { at: Vec::new(), arms: Vec::new(), placebos: Vec::new() };
        let mut texts: BTreeSet<&str> = BTreeSet::new();
        for (at, arm) in source.texts().iter().enumerate() {
            let there = kept.iter().filter(|&&r| arm.present[r]).count();
            if (there as f64) < PRESENT * kept.len() as f64 {
                missing.push(Missing::FewRows { constitution: arm.name.clone() });
                continue;
            }
            if arm.placebo {
                let text = options.wordings.get(&arm.name).unwrap_or(&arm.name);
                if !texts.insert(text) {
                    continue;
                }
                out.placebos.push(out.arms.len());
            }
            out.at.push(at);
            out.arms.push(arm);
        }
        out
    }

    /// Whether a row was read under all selected constitutions.
    pub fn all_there(&self, row: usize) -> bool {
        self.arms.iter().all(|a| a.present[row])
    }

    /// Placebos that an arm is compared with: all, or all others if it is one itself.
    pub fn others(&self, arm: usize) -> Vec<usize> {
        self.placebos.iter().copied().filter(|&p| p != arm).collect()
    }

    /// Whether an arm is a placebo text.
    pub fn is_placebo(&self, arm: usize) -> bool {
        self.placebos.contains(&arm)
    }

    /// Whether there is no placebo text to compare with.
    pub fn has_no_placebo(&self) -> bool {
        self.placebos.is_empty()
    }
}

/// Δ of every constitution outside the placebo arm at a layer.
///
/// # Errors
/// If rows cannot be read.
pub fn shifts_of(
    problem: &Problem,
    source: &dyn LayerSource,
    chosen: &Participants<'_>,
    layer: Layer,
    there: &dyn Fn(usize) -> bool,
) -> Result<Vec<(String, Shift)>> {
    let wanted: Vec<usize> = (0..problem.rows()).filter(|&r| there(r)).collect();
    let mut sums = Vec::with_capacity(chosen.arms.len());
    for &at in &chosen.at {
        sums.push(Sums::new(source.text_resid(at, layer)?.view(), &wanted, &problem.block));
    }
    let own = (0..chosen.arms.len()).filter(|&a| !chosen.is_placebo(a));
    Ok(own
        .filter_map(|a| {
            let others: Vec<&Sums> = chosen.others(a).iter().map(|&p| &sums[p]).collect();
            Some((chosen.arms[a].name.clone(), Shift::new(&sums[a], &others)?))
        })
        .collect())
}
