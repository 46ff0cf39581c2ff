//! Rates of verdicts on planted truth: false ones for texts without content, and detected effects.

use std::collections::BTreeMap;
use std::ops::Range;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::error::Result;
use crate::fit::problem::pose;
use crate::fit::roster::{cards, roster};
use crate::observations::Observations;
use crate::report::{Outcome, Provenance, Report, Verdict};
use crate::simulate::coverage::Null;
use crate::simulate::{Design, simulate};
use crate::theory::reading::outcome::LEVEL;
use crate::theory::{Control, Estimate, Options, analyse};

/// Counts of verdicts over seeds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rates {
    /// Number of data sets.
    pub seeds: usize,
    /// Number of data sets with a false verdict ([`Null`]) that a constitution outside the placebo arm raises or lowers
    /// a value.
    pub any_false: usize,
    /// Number of data sets in which the slope that decides on such a constitution has an adjusted p below .05, whatever
    /// else the verdict requires.
    pub any_small_p: usize,
    /// The same with length projected out.
    pub any_small_p_length: usize,
    /// Counts of each verdict on each constitution, over values.
    pub words: BTreeMap<(String, Outcome), usize>,
    /// Effect sizes of each constitution, one per data set that has one: its slope over the best possible one.
    pub sizes: BTreeMap<String, Vec<f64>>,
}

impl Rates {
    /// Count of a verdict on a constitution.
    pub fn of(&self, constitution: &str, outcome: Outcome) -> usize {
        self.words.get(&(constitution.to_owned(), outcome)).copied().unwrap_or(0)
    }

    /// A number of data sets as a share, and its 95 % interval.
    pub fn share(&self, times: usize) -> (f64, f64, f64) {
        wilson(times, self.seeds)
    }

    /// The median effect size of a constitution; `None` if no data set has one.
    pub fn size(&self, constitution: &str) -> Option<f64> {
        let mut sizes = self.sizes.get(constitution)?.clone();
        sizes.sort_unstable_by(f64::total_cmp);
        sizes.get(sizes.len() / 2).copied()
    }
}

/// `times` out of `of` as a share with its 95 % interval (Wilson 1927).
pub fn wilson(times: usize, of: usize) -> (f64, f64, f64) {
    let (n, z) = (of as f64, crate::probe::influence::Z95);
    let share = times as f64 / n;
    let centre = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
    let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    (share, (centre - half).max(0.0), (centre + half).min(1.0))
}

/// Computes the core of a report from observations as `vstar fit` does, without files. `placebos`: names after
/// `--placebo`.
///
/// # Errors
/// Errors of the observations and of the analysis.
pub fn report_of(observations: &Observations, placebos: &[String]) -> Result<Report> {
    let roster = roster(observations, &[], placebos)?;
    let posed = pose(observations, None, &roster.placebos())?;
    let options = Options { wordings: roster.paraphrases(), core_only: true, ..Options::default() };
    let analysis = analyse(&posed.problem, &posed.source, &options)?;
    Ok(Report::new(Provenance::new(), &analysis, cards(observations, &roster, &[])))
}

/// The observations with the labels of each value independently shuffled over all rows.
fn shuffled(observations: Observations, seed: u64) -> Result<Observations> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut columns = observations.columns().clone();
    for labels in columns.values.values_mut() {
        labels.shuffle(&mut rng);
    }
    observations.with_columns(columns)
}

/// Verdicts on fresh draws of a design; those on texts without content are false.
///
/// # Errors
/// Errors of drawing and of the analysis.
pub fn over_seeds(design: &Design, seeds: Range<u64>) -> Result<Rates> {
    under(design, Null::ContentFree, seeds)
}

/// As [`over_seeds`], with another reason why verdicts are false.
///
/// # Errors
/// Errors of drawing and of the analysis.
pub fn under(design: &Design, null: Null, seeds: Range<u64>) -> Result<Rates> {
    let empty = |name: &str| {
        let of = design.judges.iter().find(|j| j.name == name && !j.placebo);
        of.is_some_and(|j| null != Null::ContentFree || j.cos == 0.0)
    };
    let each: Vec<(Vec<Verdict>, [bool; 2])> = seeds
        .into_par_iter()
        .map(|seed| {
            let mut observations = simulate(design, seed)?.observations;
            if null == Null::Shuffled {
                observations = shuffled(observations, seed)?;
            }
            let report = report_of(&observations, &[])?;
            let verdicts = report.verdicts();
            let small = |e: &Estimate, control: Control| {
                e.control == control
                    && e.p_adjusted.is_some_and(|p| p < LEVEL)
                    && verdicts.iter().any(|v| {
                        v.slope == e.quantity
                            && e.value.as_ref() == Some(&v.value)
                            && e.constitution.as_ref() == Some(&v.constitution)
                            && empty(&v.constitution)
                    })
            };
            let any = [Control::None, Control::Length].map(|c| report.estimates.iter().any(|e| small(e, c)));
            Ok((verdicts, any))
        })
        .collect::<Result<_>>()?;
    let mut rates = Rates { seeds: each.len(), ..Rates::default() };
    for (verdicts, [small, small_length]) in each {
        rates.any_small_p += usize::from(small);
        rates.any_small_p_length += usize::from(small_length);
        rates.any_false += usize::from(verdicts.iter().any(|v| v.is_signed() && empty(&v.constitution)));
        for v in verdicts {
            if let Some(share) = v.share {
                rates.sizes.entry(v.constitution.clone()).or_default().push(share);
            }
            *rates.words.entry((v.constitution, v.verdict)).or_default() += 1;
        }
    }
    Ok(rates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_of_a_share_is_wilsons() {
        // Computed by hand from the formula: 5 of 100.
        let (share, lo, hi) = wilson(5, 100);
        assert!((share - 0.05).abs() < 1e-12 && (lo - 0.021_543_7).abs() < 1e-6, "{lo}");
        assert!((hi - 0.111_750_5).abs() < 1e-6, "{hi}");
        assert_eq!(wilson(0, 50).1, 0.0);
        assert!((wilson(0, 50).2 - 0.071_347_6).abs() < 1e-6);
    }

    #[test]
    fn shuffled_labels_are_the_same_labels_and_say_nothing_of_h() {
        let design = Design { hidden_size: 24, prompts: 60, rho2: 0.9, ..Design::default() };
        let data = simulate(&design, 3).expect("a data set").observations;
        let before = data.columns().values["S"].clone();
        let after = shuffled(data, 3).expect("shuffled");
        let labels = &after.columns().values["S"];
        let sorted = |v: &[f64]| {
            let mut v = v.to_vec();
            v.sort_by(f64::total_cmp);
            v
        };
        assert!(sorted(labels) == sorted(&before) && *labels != before);
        let report = report_of(&after, &[]).expect("a report");
        let rho2 = report.estimates.iter().find(|e| e.quantity == crate::theory::Quantity::Rho2);
        let (rho2, se) = rho2.and_then(|e| e.estimate.zip(e.se)).expect("a figure");
        assert!(rho2.abs() < 3.5 * se, "{rho2} ± {se}");
    }
}
