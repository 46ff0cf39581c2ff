//! How often verdicts are given on planted truth: false ones among texts without content, and found effects.

use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;

use super::fit::{cards, roster};
use super::problem::pose;
use crate::error::Result;
use crate::hypothesis::{Control, Estimate, Options, analyse};
use crate::observations::Observations;
use crate::report::verdict::{LEVEL, verdicts};
use crate::report::{Outcome, Provenance, Report, Verdict};
use crate::simulate::{Design, simulate};

/// Verdicts over seeds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rates {
    /// Data sets.
    pub seeds: usize,
    /// Data sets in which a text without content (cosine 0, outside the placebo arm) is said to raise or lower a value.
    pub any_false: usize,
    /// Data sets in which the slope that decides on such a text has an adjusted p below .05, whatever else the verdict
    /// needs.
    pub any_small_p: usize,
    /// How often each word was said of each constitution, over values.
    pub words: BTreeMap<(String, Outcome), usize>,
}

impl Rates {
    /// How often a word was said of a constitution.
    pub fn of(&self, constitution: &str, outcome: Outcome) -> usize {
        self.words.get(&(constitution.to_owned(), outcome)).copied().unwrap_or(0)
    }

    /// A number of data sets as a share, and its 95 % interval (Wilson 1927).
    pub fn share(&self, times: usize) -> (f64, f64, f64) {
        let (n, z) = (self.seeds as f64, crate::probe::influence::Z95);
        let share = times as f64 / n;
        let centre = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
        (share, (centre - half).max(0.0), (centre + half).min(1.0))
    }
}

/// The core of the report of observations, as `vstar fit` makes it, without files. `placebos`: names after `--placebo`.
///
/// # Errors
/// What the observations or the analysis refuse.
pub fn report_of(observations: &Observations, placebos: &[String]) -> Result<Report> {
    let roster = roster(observations, &[], placebos)?;
    let posed = pose(observations, None, &roster.placebos())?;
    let options = Options { wordings: roster.paraphrases(), core_only: true, ..Options::default() };
    let analysis = analyse(&posed.problem, &posed.source, &options)?;
    Ok(Report::new(Provenance::new(), &analysis, cards(observations, &roster, &[])))
}

/// Verdicts on fresh draws of a design.
///
/// # Errors
/// What drawing or the analysis refuses.
pub fn over_seeds(design: &Design, seeds: Range<u64>) -> Result<Rates> {
    let empty = |name: &str| design.judges.iter().any(|j| j.name == name && !j.placebo && j.cos == 0.0);
    let each: Vec<(Vec<Verdict>, bool)> = seeds
        .into_par_iter()
        .map(|seed| {
            let report = report_of(&simulate(design, seed)?.observations, &[])?;
            let verdicts = verdicts(&report);
            let small = |e: &Estimate| {
                e.control == Control::None
                    && e.p_adjusted.is_some_and(|p| p < LEVEL)
                    && verdicts.iter().any(|v| {
                        v.slope == e.quantity
                            && e.value.as_ref() == Some(&v.value)
                            && e.constitution.as_ref() == Some(&v.constitution)
                            && empty(&v.constitution)
                    })
            };
            let any = report.estimates.iter().any(small);
            Ok((verdicts, any))
        })
        .collect::<Result<_>>()?;
    let mut rates = Rates { seeds: each.len(), ..Rates::default() };
    for (verdicts, small) in each {
        rates.any_small_p += usize::from(small);
        rates.any_false += usize::from(verdicts.iter().any(|v| v.is_signed() && empty(&v.constitution)));
        for v in verdicts {
            *rates.words.entry((v.constitution, v.verdict)).or_default() += 1;
        }
    }
    Ok(rates)
}
