//! The coverage of every quantity that a report prints with an interval, against what a data set of the same population
//! many times as large gives.
//!
//! Most figures have no closed form under a planted population. But an estimator that is consistent says, of enough rows,
//! what it estimates: the population of a cell is drawn once, its figures are those of [`MANY`] times as many prompts, and
//! the intervals of fresh small data sets of that population are counted against them. The larger data set's own error is at
//! most 1/√[`MANY`] of theirs, which lowers a coverage of .95 by less than .003. Figures that say how well the fit at hand
//! predicts ([`of_the_fit`]) have another target: their mean over data sets of this size.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use rayon::prelude::*;

use crate::batch::problem::pose;
use crate::error::Result;
use crate::hypothesis::{Control, Estimate, Options, Quantity, analyse};
use crate::simulate::coverage::{Cell, cells_of_all};
use crate::simulate::simulate_rows;

/// How many times as many prompts the larger data set has.
pub const MANY: usize = 60;
/// Populations to a cell; the seeds are dealt among them.
pub const POPULATIONS: u64 = 4;
/// Data sets from which a coverage is shown.
const FEWEST: usize = 20;

/// What tells one figure of a report from another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    quantity: Quantity,
    names: [Option<String>; 4],
    k: Option<usize>,
    /// In thousandths.
    lambda: Option<u64>,
}

impl Key {
    fn of(e: &Estimate) -> Self {
        let names = [&e.value, &e.value2, &e.constitution, &e.constitution2].map(Clone::clone);
        let lambda = e.lambda_sd.map(|l| (1000.0 * l).round() as u64);
        Self { quantity: e.quantity, names, k: e.k, lambda }
    }
}

/// Whether a figure speaks of the predictions of the fit at hand, which a fit to more rows makes better.
pub fn of_the_fit(e: &Estimate) -> bool {
    match e.quantity {
        Quantity::Auc | Quantity::PairAccuracy | Quantity::NonlinearGain => true,
        // By the reading; by rewards it is a matter of the rewards alone.
        Quantity::MeasuredRegret => e.constitution.is_none(),
        _ => false,
    }
}

/// Whether the ends beside a figure are no interval of it: quantiles of a null.
fn no_interval(quantity: Quantity) -> bool {
    quantity == Quantity::ValueShareNull
}

/// How often the intervals of one figure held its target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Intervals counted.
    pub intervals: usize,
    /// Those that held the target.
    pub held: usize,
}

impl Tally {
    fn share(self) -> f64 {
        self.held as f64 / self.intervals as f64
    }
}

/// A quantity in a cell: all of its figures together, and the one that is held least often.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Covered {
    /// Over all figures of this name: constitutions, values, strengths.
    pub all: Tally,
    /// Figures with enough intervals.
    pub figures: usize,
    /// The one with the smallest share.
    pub least: Tally,
}

impl Covered {
    /// Whether a figure is clearly below .93: the least of several, at the level of one in twenty over all of them.
    pub fn is_low(&self) -> bool {
        use statrs::distribution::{ContinuousCDF, Normal};
        let reach = Normal::standard().inverse_cdf(0.975f64.powf(1.0 / self.figures.max(1) as f64));
        let se = (0.93 * 0.07 / self.least.intervals as f64).sqrt();
        self.least.share() < 0.93 - reach * se
    }
}

/// One cell with the coverage of every quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct CoveredCell {
    /// The cell.
    pub cell: Cell,
    /// By quantity, those with intervals in enough data sets.
    pub quantities: BTreeMap<Quantity, Covered>,
}

/// Estimates of a data set that may be quoted, without control, of judges that stand by themselves.
fn figures(cell: &Cell, prompts: usize, population: u64, rows: u64) -> Result<Vec<(Key, Estimate)>> {
    let design = crate::simulate::Design { prompts, ..cell.design.clone() };
    let data = simulate_rows(&design, population, rows)?;
    let roster = crate::batch::fit::roster(&data.observations, &[], &[])?;
    let posed = pose(&data.observations, None, &roster.placebos())?;
    let analysis = analyse(&posed.problem, &posed.source, &Options::default())?;
    let quotable = |e: &Estimate| e.control == Control::None && e.judge.is_none() && e.reportable;
    let estimates = analysis.estimates.into_iter().filter(quotable);
    Ok(estimates.map(|e| (Key::of(&e), e)).collect())
}

/// Counts a cell over data sets with these seeds of rows.
///
/// # Errors
/// What drawing or the analysis refuses.
pub fn count(cell: &Cell, seeds: Range<u64>) -> Result<CoveredCell> {
    let first = seeds.start;
    let mut tallies: BTreeMap<Key, Tally> = BTreeMap::new();
    for population in 0..POPULATIONS {
        let own = seeds.clone().filter(|seed| (seed - first) % POPULATIONS == population);
        let own: Vec<u64> = own.collect();
        if own.is_empty() {
            continue;
        }
        let large = figures(cell, cell.design.prompts * MANY, first + population, u64::MAX - population)?;
        let large: BTreeMap<Key, f64> =
            large.into_iter().filter_map(|(key, e)| Some((key, e.estimate?))).collect();
        let small: Vec<Vec<(Key, Estimate)>> = own
            .into_par_iter()
            .map(|seed| figures(cell, cell.design.prompts, first + population, seed))
            .collect::<Result<_>>()?;
        let mut means: BTreeMap<&Key, (f64, f64)> = BTreeMap::new();
        for (key, e) in small.iter().flatten() {
            let mean = means.entry(key).or_default();
            *mean = (mean.0 + e.estimate.unwrap_or(0.0), mean.1 + 1.0);
        }
        for (key, e) in small.iter().flatten() {
            if no_interval(e.quantity) || (e.lo.is_none() && e.hi.is_none()) {
                continue;
            }
            let target =
                if of_the_fit(e) { means.get(key).map(|m| m.0 / m.1) } else { large.get(key).copied() };
            let Some(target) = target else { continue };
            let tally = tallies.entry(key.clone()).or_default();
            tally.intervals += 1;
            let held = e.lo.is_none_or(|lo| lo <= target) && e.hi.is_none_or(|hi| target <= hi);
            tally.held += usize::from(held);
        }
    }
    let mut quantities: BTreeMap<Quantity, Covered> = BTreeMap::new();
    for (key, tally) in tallies.iter().filter(|(_, t)| t.intervals >= FEWEST) {
        let entry = quantities.entry(key.quantity).or_default();
        entry.all.intervals += tally.intervals;
        entry.all.held += tally.held;
        entry.figures += 1;
        if entry.figures == 1 || tally.share() < entry.least.share() {
            entry.least = *tally;
        }
    }
    Ok(CoveredCell { cell: cell.clone(), quantities })
}

/// Counts every cell; `done` is told after each.
///
/// # Errors
/// What drawing or the analysis refuses.
pub fn measure(first: u64, seeds: u64, mut done: impl FnMut(&CoveredCell)) -> Result<Vec<CoveredCell>> {
    let each = cells_of_all().into_iter().map(|cell| {
        let counted = count(&cell, first..first + seeds)?;
        done(&counted);
        Ok(counted)
    });
    each.collect()
}

impl CoveredCell {
    /// Quantities of which a figure is clearly below .93.
    pub fn low(&self) -> Vec<(Quantity, Covered)> {
        self.quantities.iter().filter(|(_, c)| c.is_low()).map(|(q, c)| (*q, *c)).collect()
    }
}

/// The table of the page: quantities down, cells across.
pub fn to_markdown(all: &[CoveredCell], seeds: u64) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "## Every quantity of the report\n\nThe same for everything that a report prints with an interval: two values, three \
         constitutions and four placebo texts (the last five columns: responses read under one constitution and six placebo \
         texts), {seeds} data sets of {POPULATIONS} populations. The target is what {MANY} times as many prompts of the same population \
         give, whose own error is at most {:.2} of a data set's; for `auc`, `pair_accuracy`, `nonlinear_gain` and the regret of \
         choosing by the reading, which say how well the fit at hand predicts, it is the mean over data sets of this size. An entry \
         is the share over all figures of the name; in **bold**, with the smallest share of any one figure (one value, \
         constitution, strength of the tilt), where that is below .93 by more than its number of figures explains. `–`: not \
         printed with an interval there.\n",
        1.0 / (MANY as f64).sqrt()
    );
    let head: Vec<String> = all.iter().map(|c| c.cell.name.replace('*', "\\*")).collect();
    let _ = writeln!(out, "| quantity | {} |", head.join(" | "));
    let _ = writeln!(out, "|---|{}", "--:|".repeat(head.len()));
    let quantities: std::collections::BTreeSet<Quantity> =
        all.iter().flat_map(|c| c.quantities.keys().copied()).collect();
    for quantity in quantities {
        let entry = |c: &CoveredCell| match c.quantities.get(&quantity) {
            None => "–".to_owned(),
            Some(c) if c.is_low() => format!("**{:.3} ({:.3})**", c.all.share(), c.least.share()),
            Some(c) => format!("{:.3}", c.all.share()),
        };
        let row: Vec<String> = all.iter().map(entry).collect();
        let _ = writeln!(out, "| `{}` | {} |", quantity.name(), row.join(" | "));
    }
    out
}
