//! How often something is found where nothing is, and where something is.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use rayon::prelude::*;

use crate::batch::problem::pose;
use crate::batch::rates::{Drawn, Rates, over, wilson};
use crate::error::Result;
use crate::hypothesis::{Control, Options, analyse, state};
use crate::report::Outcome;
use crate::simulate::coverage::{NullCell, null_cells, power_cells};
use crate::simulate::{CONSTITUTION, Design, Regime, simulate};

/// The constitution whose effect is planted, in [`power_cells`].
const IMPROVER: &str = "improver";

/// Data sets in which a figure of the state was said to be above or below what placebo texts do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateRates {
    /// Data sets.
    pub seeds: usize,
    /// Those with any figure said to be so.
    pub any: usize,
    /// Those with each figure said to be above, and below.
    pub each: BTreeMap<&'static str, [usize; 2]>,
}

/// What is said of the state under the constitution on fresh draws of a design with texts.
///
/// # Errors
/// What drawing or the analysis refuses.
pub fn of_state(design: &Design, seeds: Range<u64>) -> Result<StateRates> {
    type Get = fn(&state::Cell) -> &state::Reading;
    const FIGURES: [(&str, Get); 6] = [
        ("activation_alignment", |c| &c.alignment),
        ("activation_gain", |c| &c.gain),
        ("retrieval_gain", |c| &c.retrieval),
        ("value_turn", |c| &c.turn),
        ("transfer", |c| &c.transfer),
        ("conditioned_gap", |c| &c.conditioned),
    ];
    let each: Vec<BTreeMap<&str, i8>> = seeds
        .into_par_iter()
        .map(|seed| {
            let data = simulate(design, seed)?;
            let roster = crate::batch::fit::roster(&data.observations, &[], &[])?;
            let posed = pose(&data.observations, None, &roster.placebos())?;
            let analysis = analyse(&posed.problem, &posed.source, &Options::default())?;
            let table = analysis.tables.get(state::TABLE).cloned().unwrap_or_default();
            let findings: Vec<state::Finding> = serde_json::from_value(table).unwrap_or_default();
            let cells = findings.iter().filter(|f| f.control == Control::None).flat_map(|f| &f.cells);
            let named = cells.filter(|c| c.constitution == CONSTITUTION);
            let said =
                named.flat_map(|c| FIGURES.map(|(name, get)| (name, get(c).outcome.sign().unwrap_or(0))));
            Ok(said.collect())
        })
        .collect::<Result<_>>()?;
    let mut rates = StateRates { seeds: each.len(), ..StateRates::default() };
    for said in each {
        rates.any += usize::from(said.values().any(|s| *s != 0));
        for (name, sign) in said {
            let [above, below] = rates.each.entry(name).or_default();
            *above += usize::from(sign > 0);
            *below += usize::from(sign < 0);
        }
    }
    Ok(rates)
}

/// Everything that the page says of verdicts.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Where nothing may be found.
    pub null: Vec<(NullCell, Rates)>,
    /// Where a constitution raises S: its own size in nats, placebo texts.
    pub power: Vec<(f64, usize, Rates)>,
    /// The state: the regime.
    pub state: Vec<(Regime, StateRates)>,
}

/// Counts verdicts on a data set in which nothing may be found.
///
/// # Errors
/// What drawing or the analysis refuses.
pub fn of_null(cell: &NullCell, seeds: Range<u64>) -> Result<Rates> {
    let drawn = match (cell.shuffled, cell.nothing) {
        (true, _) => Drawn::Shuffled,
        (false, true) => Drawn::NothingPlanted,
        (false, false) => Drawn::AsPlanted,
    };
    over(&cell.design, drawn, seeds)
}

/// Counts all; `done` is told each name and the share of data sets with something found.
///
/// # Errors
/// What drawing or the analysis refuses.
pub fn measure(first: u64, seeds: u64, mut done: impl FnMut(&str, f64)) -> Result<Measured> {
    let range = || first..first + seeds;
    let mut out = Measured { null: Vec::new(), power: Vec::new(), state: Vec::new() };
    for cell in null_cells() {
        let rates = of_null(&cell, range())?;
        done(cell.name, rates.share(rates.any_false).0);
        out.null.push((cell, rates));
    }
    for (sd, placebos, design) in power_cells() {
        let rates = over(&design, Drawn::AsPlanted, range())?;
        done(
            &format!("improver of {sd} nats, {placebos} placebos"),
            rates.share(rates.of(IMPROVER, Outcome::Improves)).0,
        );
        out.power.push((sd, placebos, rates));
    }
    for regime in [
        Regime::StateNothing,
        Regime::StateShift,
        Regime::StateGain,
        Regime::StateGainElsewhere,
        Regime::StateRotation,
    ] {
        let rates = of_state(&regime.design(), range())?;
        done(regime.name(), rates.any as f64 / rates.seeds as f64);
        out.state.push((regime, rates));
    }
    Ok(out)
}

/// The tables of the page.
pub fn to_markdown(measured: &Measured, seeds: u64) -> String {
    let show = |(share, lo, hi): (f64, f64, f64)| format!("{share:.3} [{lo:.3}, {hi:.3}]");
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "## False verdicts\n\nShare of {seeds} data sets in which *any* constitution outside the placebo arm is said to raise or \
         lower *any* value although none does, with its 95 % interval (Wilson); in the last column those in which the p that decides on \
         such a pair, adjusted for all of them, is below .05, whatever else the verdict needs. The aim is .05 at most.\n\n\
         | data | any false verdict | any adjusted p < .05 |\n|---|--:|--:|"
    );
    for (cell, rates) in &measured.null {
        let (any, small) = (rates.share(rates.any_false), rates.share(rates.any_small_p));
        let mark = if any.1 > 0.05 { "**" } else { "" };
        let _ = writeln!(out, "| {} | {mark}{}{mark} | {} |", cell.name, show(any), show(small));
    }
    let _ = writeln!(
        out,
        "\nBelow four placebo texts there is no verdict beyond \"differs from 0\", which is true of texts without content too: they \
         share the judge's own direction. The last column is high there for that reason.\n\n## Power\n\nOne constitution whose own \
         direction has a cosine of .8 with v\\*, three texts without content, 120 prompts of four responses; the reward that all share \
         has 3 nats. Size: the median over data sets of its own slope over the best slope a reward as loud as the loudest could have.\n\n\
         | own reward, nats | placebo texts | size | said to raise S | said to lower S | any false verdict beside it |\n\
         |--:|--:|--:|--:|--:|--:|"
    );
    for (sd, placebos, rates) in &measured.power {
        let said = |outcome| rates.share(rates.of(IMPROVER, outcome));
        let size = rates.size(IMPROVER).map_or_else(|| "–".to_owned(), |s| format!("{s:.2}"));
        let _ = writeln!(
            out,
            "| {sd} | {placebos} | {size} | {} | {:.3} | {} |",
            show(said(Outcome::Improves)),
            said(Outcome::Degrades).0,
            show(rates.share(rates.any_false))
        );
    }
    let _ = writeln!(
        out,
        "\n## The state under a constitution\n\nShare of {seeds} data sets in which a figure of the state under the constitution is \
         called higher / lower than under placebo texts (six of them), by what is planted.\n\n| planted | any | {} |\n|---|--:|{}",
        FIGURE_NAMES.map(|n| format!("`{n}`")).join(" | "),
        "--:|".repeat(FIGURE_NAMES.len())
    );
    for (regime, rates) in &measured.state {
        let cell = |name: &&str| {
            let [above, below] = rates.each.get(*name).copied().unwrap_or_default();
            format!("{:.3} / {:.3}", above as f64 / rates.seeds as f64, below as f64 / rates.seeds as f64)
        };
        let cells: Vec<String> = FIGURE_NAMES.iter().map(cell).collect();
        let any = show(wilson(rates.any, rates.seeds));
        let _ = writeln!(out, "| {} | {any} | {} |", regime.about(), cells.join(" | "));
    }
    out
}

/// The figures in the order of the page.
const FIGURE_NAMES: [&str; 6] = [
    "activation_alignment",
    "activation_gain",
    "retrieval_gain",
    "value_turn",
    "transfer",
    "conditioned_gap",
];
