//! Coverage of every quantity that a report prints with an interval, against the estimates from a many times larger
//! data set of the same population.
//!
//! Most quantities have no closed form under a planted population. But a consistent estimator converges to its target:
//! the population of a cell is drawn once, the targets are the estimates from many times as many prompts, and the
//! intervals of fresh small data sets of that population are compared with them. The larger data set's own error is
//! 1/√many of theirs. Quantities that describe how well the fit at hand predicts ([`of_the_fit`]) have another target:
//! their mean over data sets of this size.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::ops::Range;

use rayon::prelude::*;
use statrs::distribution::{ContinuousCDF, Normal};

use super::{FEWEST, name_of};
use crate::error::Result;
use crate::fit::problem::pose;
use crate::fit::roster::roster;
use crate::simulate::coverage::{Cell, cells_of_all};
use crate::simulate::{Design, simulate_rows};
use crate::theory::{Control, Estimate, Options, Quantity, analyse};

/// Settings for computing the targets of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Targets {
    /// Number of prompts in the larger data set, as a multiple.
    pub many: usize,
    /// Number of populations per cell; the seeds are divided among them.
    pub populations: u64,
}

/// Settings of the page: the larger data set's own error lowers a coverage of .95 by .005.
pub const TARGETS: Targets = Targets { many: 25, populations: 2 };

/// Identifies an estimate in a report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    control: Control,
    quantity: Quantity,
    names: [Option<String>; 4],
    k: Option<usize>,
    /// λ in thousandths.
    lambda: Option<u64>,
}

impl Key {
    fn of(e: &Estimate) -> Self {
        let names = [&e.value, &e.value2, &e.constitution, &e.constitution2].map(Clone::clone);
        let lambda = e.lambda_sd.map(|l| (1000.0 * l).round() as u64);
        Self { control: e.control, quantity: e.quantity, names, k: e.k, lambda }
    }
}

/// Whether a quantity describes the predictions of the fit at hand, which improve when fitting more rows.
pub fn of_the_fit(e: &Estimate) -> bool {
    match e.quantity {
        Quantity::Auc | Quantity::PairAccuracy | Quantity::NonlinearGain => true,
        // For the probe; for rewards it depends on the rewards alone.
        Quantity::MeasuredRegret => e.constitution.is_none(),
        _ => false,
    }
}

/// Whether the bounds printed with a quantity are not an interval of it but quantiles of a null.
fn no_interval(quantity: Quantity) -> bool {
    quantity == Quantity::ValueShareNull
}

/// Counts of intervals that contain their target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Number of intervals.
    pub intervals: usize,
    /// Number of intervals that contain the target.
    pub held: usize,
}

impl Tally {
    /// Share of intervals that contain the target.
    pub fn share(self) -> f64 {
        self.held as f64 / self.intervals as f64
    }
}

/// Coverage of a quantity in a cell: of all its estimates together, and of the one with the lowest coverage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuantityCoverage {
    /// Over all estimates of this quantity: constitutions, values, strengths.
    pub all: Tally,
    /// Number of estimates with enough intervals.
    pub figures: usize,
    /// The estimate with the lowest coverage.
    pub least: Tally,
    /// The same estimate on fresh data sets, if its first coverage was below .93: among thousands of estimates some are
    /// low by chance.
    pub again: Option<Tally>,
}

impl QuantityCoverage {
    /// Whether the coverage is clearly below .93: the lowest of several, at level 1/40 over all of them, and by itself
    /// on the fresh data sets if it was counted again.
    pub fn is_low(&self) -> bool {
        let below = |tally: Tally, figures: usize| {
            let reach = Normal::standard().inverse_cdf(0.975f64.powf(1.0 / figures.max(1) as f64));
            tally.share() < 0.93 - reach * (0.93 * 0.07 / tally.intervals as f64).sqrt()
        };
        below(self.least, self.figures) && self.again.is_none_or(|again| below(again, 1))
    }
}

/// One cell with the coverage of every quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct CoveredCell {
    /// The cell's design.
    pub cell: Cell,
    /// Coverage of the quantities with intervals in enough data sets.
    pub quantities: BTreeMap<(Control, Quantity), QuantityCoverage>,
}

/// A data set's estimates that may be quoted, for judges that stand on their own.
fn figures(design: &Design, population: u64, rows: u64) -> Result<Vec<(Key, Estimate)>> {
    let data = simulate_rows(design, population, rows)?;
    let roster = roster(&data.observations, &[], &[])?;
    let posed = pose(&data.observations, None, &roster.placebos())?;
    let analysis = analyse(&posed.problem, &posed.source, &Options::default())?;
    let quotable = |e: &Estimate| e.judge.is_none() && e.reportable;
    let estimates = analysis.estimates.into_iter().filter(quotable);
    Ok(estimates.map(|e| (Key::of(&e), e)).collect())
}

/// Computes a cell's coverage over data sets whose rows have these seeds; estimates below .93 are counted again on
/// equally many others.
///
/// # Errors
/// Errors of drawing and of the analysis.
pub fn count(cell: &Cell, seeds: Range<u64>, targets: Targets) -> Result<CoveredCell> {
    let tallies = tallies(cell, seeds.clone(), targets)?;
    let mut quantities: BTreeMap<(Control, Quantity), QuantityCoverage> = BTreeMap::new();
    let mut least: BTreeMap<(Control, Quantity), Key> = BTreeMap::new();
    for (key, tally) in tallies.iter().filter(|(_, t)| t.intervals >= FEWEST) {
        let of = (key.control, key.quantity);
        let entry = quantities.entry(of).or_default();
        entry.all.intervals += tally.intervals;
        entry.all.held += tally.held;
        entry.figures += 1;
        if entry.figures == 1 || tally.share() < entry.least.share() {
            entry.least = *tally;
            least.insert(of, key.clone());
        }
    }
    if quantities.values().any(QuantityCoverage::is_low) {
        let fresh = self::tallies(cell, seeds.end..2 * seeds.end - seeds.start, targets)?;
        for (of, kept) in quantities.iter_mut().filter(|(_, kept)| kept.is_low()) {
            kept.again = least.get(of).and_then(|key| fresh.get(key)).copied();
        }
    }
    Ok(CoveredCell { cell: cell.clone(), quantities })
}

/// Counts how often the intervals of each estimate contain their target.
fn tallies(cell: &Cell, seeds: Range<u64>, targets: Targets) -> Result<BTreeMap<Key, Tally>> {
    let first = seeds.start;
    let large = Design { prompts: cell.design.prompts * targets.many, ..cell.design.clone() };
    let mut tallies: BTreeMap<Key, Tally> = BTreeMap::new();
    for population in 0..targets.populations {
        let own: Vec<u64> =
            seeds.clone().filter(|seed| (seed - first) % targets.populations == population).collect();
        if own.is_empty() {
            continue;
        }
        let population = first + population;
        // Rows with a seed that no small data set uses.
        let large: BTreeMap<Key, f64> = figures(&large, population, u64::MAX - population)?
            .into_iter()
            .filter_map(|(key, e)| Some((key, e.estimate?)))
            .collect();
        let small: Vec<Vec<(Key, Estimate)>> =
            own.into_par_iter().map(|seed| figures(&cell.design, population, seed)).collect::<Result<_>>()?;
        let mut means: BTreeMap<&Key, (f64, f64)> = BTreeMap::new();
        for (key, estimate) in small.iter().flatten().filter_map(|(key, e)| Some((key, e.estimate?))) {
            let mean = means.entry(key).or_default();
            *mean = (mean.0 + estimate, mean.1 + 1.0);
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
    for (key, tally) in tallies.iter().filter(|(_, t)| t.intervals >= FEWEST) {
        tracing::debug!(
            cell = cell.name,
            ?key,
            share = tally.share(),
            intervals = tally.intervals,
            "coverage"
        );
    }
    Ok(tallies)
}

/// Computes the coverage of every cell; `done` is called after each.
///
/// # Errors
/// Errors of drawing and of the analysis.
pub fn measure(
    first: u64,
    seeds: u64,
    mut done: impl FnMut(&CoveredCell) -> Result<()>,
) -> Result<Vec<CoveredCell>> {
    let mut out = Vec::new();
    for cell in cells_of_all() {
        let counted = count(&cell, first..first + seeds, TARGETS)?;
        done(&counted)?;
        out.push(counted);
    }
    Ok(out)
}

impl CoveredCell {
    /// Quantities with an estimate whose coverage is clearly below .93.
    pub fn low(&self) -> Vec<(Control, Quantity, QuantityCoverage)> {
        let low = self.quantities.iter().filter(|(_, kept)| kept.is_low());
        low.map(|((control, quantity), kept)| (*control, *quantity, *kept)).collect()
    }
}

/// The tables of the page: one row per quantity, one column per cell.
pub fn to_markdown(all: &[CoveredCell], seeds: u64) -> String {
    let Targets { many, populations } = TARGETS;
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "## Every quantity of the report\n\nThe same for everything that a report prints with an interval: two values, three \
         constitutions and four placebo texts (the last five columns: responses read under one constitution and six placebo \
         texts), {seeds} data sets of {populations} populations. The target is what {many} times as many prompts of the same \
         population give, whose own error is {:.2} of a data set's; for `auc`, `pair_accuracy`, `nonlinear_gain`, the regret \
         of choosing by the reading, which say how well the fit at hand predicts, it is the mean over data sets of this size. An \
         entry is the share over all figures of the name; in **bold**, with the smallest share of any one figure (one value, \
         constitution, strength of the tilt), where that is below .93 by more than its number of figures explains and again \
         on as many fresh data sets. Shares near 1 are of figures whose truth lies at the end of their range, or whose interval is \
         wider than it need be. `–`: not \
         printed with an interval there, or in fewer than {FEWEST} data sets. The interval of `own_slope` is over prompts for the \
         placebo texts at hand, which stay the same here.",
        1.0 / (many as f64).sqrt()
    );
    let head: Vec<String> = all.iter().map(|c| c.cell.name.replace('*', "\\*")).collect();
    for control in [Control::None, Control::Length] {
        let _ = writeln!(
            out,
            "\n### {}\n\n| quantity | {} |\n|---|{}",
            name_of(control),
            head.join(" | "),
            "--:|".repeat(head.len())
        );
        let keys = all.iter().flat_map(|c| c.quantities.keys());
        let quantities: BTreeSet<Quantity> = keys.filter(|key| key.0 == control).map(|key| key.1).collect();
        for quantity in quantities {
            let entry = |c: &CoveredCell| match c.quantities.get(&(control, quantity)) {
                None => "–".to_owned(),
                Some(kept) if kept.is_low() => {
                    let least = kept.again.unwrap_or(kept.least);
                    format!("**{:.3} ({:.3})**", kept.all.share(), least.share())
                }
                Some(kept) => format!("{:.3}", kept.all.share()),
            };
            let row: Vec<String> = all.iter().map(entry).collect();
            let _ = writeln!(out, "| `{}` | {} |", quantity.name(), row.join(" | "));
        }
    }
    out
}
