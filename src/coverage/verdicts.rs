//! Rates of detections with and without a planted effect.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use rayon::prelude::*;

use super::{Seeds, name_of};
use crate::coverage::rates::{Rates, over_seeds, under, wilson};
use crate::error::Result;
use crate::fit::problem::pose;
use crate::fit::roster::roster;
use crate::report::Outcome;
use crate::simulate::coverage::{IMPROVER, NullCell, PowerCell, null_cells, power_cells};
use crate::simulate::{CONSTITUTION, Design, Regime, simulate};
use crate::theory::{Control, Options, analyse, state};

/// Counts of data sets in which quantities of the state are reported as above or below those of placebo texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateRates {
    /// Number of data sets.
    pub seeds: usize,
    /// Number of data sets with at least one such report.
    pub any: BTreeMap<Control, usize>,
    /// Number of data sets in which each quantity is reported as above, and as below.
    pub each: BTreeMap<(Control, &'static str), [usize; 2]>,
}

type Get = fn(&state::Cell) -> &state::Reading;

/// The state's quantities that are compared with placebo texts, in page order.
const FIGURES: [(&str, Get); 6] = [
    ("activation_alignment", |c| &c.alignment),
    ("activation_gain", |c| &c.gain),
    ("retrieval_gain", |c| &c.retrieval),
    ("value_turn", |c| &c.turn),
    ("transfer", |c| &c.transfer),
    ("conditioned_gap", |c| &c.conditioned),
];

const CONTROLS: [Control; 2] = [Control::None, Control::Length];

/// Verdicts on the constitution's state on fresh draws of a design with texts.
///
/// # Errors
/// Errors of drawing and of the analysis.
pub fn of_state(design: &Design, seeds: Range<u64>) -> Result<StateRates> {
    let each: Vec<BTreeMap<(Control, &str), i8>> = seeds
        .into_par_iter()
        .map(|seed| {
            let data = simulate(design, seed)?;
            let roster = roster(&data.observations, &[], &[])?;
            let posed = pose(&data.observations, None, &roster.placebos())?;
            let analysis = analyse(&posed.problem, &posed.source, &Options::default())?;
            let table = analysis.tables.get(state::TABLE).cloned().unwrap_or_default();
            let findings: Vec<state::Finding> = serde_json::from_value(table).unwrap_or_default();
            let said = findings.iter().flat_map(|finding| {
                let named = finding.cells.iter().filter(|c| c.constitution == CONSTITUTION);
                named.flat_map(|c| {
                    let sign = |get: Get| get(c).outcome.sign().unwrap_or(0);
                    FIGURES.map(|(name, get)| ((finding.control, name), sign(get)))
                })
            });
            Ok(said.collect())
        })
        .collect::<Result<_>>()?;
    let mut rates = StateRates { seeds: each.len(), ..StateRates::default() };
    for said in each {
        for control in CONTROLS {
            let any = said.iter().any(|((c, _), sign)| *c == control && *sign != 0);
            *rates.any.entry(control).or_default() += usize::from(any);
        }
        for (figure, sign) in said {
            let [above, below] = rates.each.entry(figure).or_default();
            *above += usize::from(sign > 0);
            *below += usize::from(sign < 0);
        }
    }
    Ok(rates)
}

/// All verdict rates of the page.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Measured {
    /// Data sets without any true effect.
    pub null: Vec<(NullCell, Rates)>,
    /// Data sets with a constitution that raises S.
    pub power: Vec<(PowerCell, Rates)>,
    /// Data sets with state effects, by regime.
    pub state: Vec<(Regime, StateRates)>,
}

/// Counts verdicts on data sets without any true effect.
///
/// # Errors
/// Errors of drawing and of the analysis.
pub fn of_null(cell: &NullCell, seeds: Range<u64>) -> Result<Rates> {
    under(&cell.design, cell.null, seeds)
}

/// Counts all verdicts; `done` receives each name and the share of data sets with a detection.
///
/// # Errors
/// Errors of drawing, of the analysis and of `done`.
pub fn measure(seeds: Seeds, mut done: impl FnMut(&str, f64) -> Result<()>) -> Result<Measured> {
    let range = |share: u64| seeds.first..seeds.first + (seeds.each / share).max(1);
    let mut out = Measured::default();
    for cell in null_cells() {
        let rates = of_null(&cell, range(1))?;
        done(cell.name, rates.share(rates.any_false).0)?;
        out.null.push((cell, rates));
    }
    for cell in power_cells() {
        let rates = over_seeds(&cell.design, range(4))?;
        let name = format!(
            "improver of {} nats, {} placebos, {} prompts",
            cell.sd,
            cell.placebos(),
            cell.design.prompts
        );
        done(&name, rates.share(rates.of(IMPROVER, Outcome::Improves)).0)?;
        out.power.push((cell, rates));
    }
    for regime in [
        Regime::StateNothing,
        Regime::StateShift,
        Regime::StateGain,
        Regime::StateGainElsewhere,
        Regime::StateRotation,
    ] {
        let rates = of_state(&regime.design(), range(4))?;
        let any = rates.any.get(&Control::None).copied().unwrap_or(0);
        done(regime.name(), wilson(any, rates.seeds).0)?;
        out.state.push((regime, rates));
    }
    Ok(out)
}

/// The tables of the page.
pub fn to_markdown(measured: &Measured) -> String {
    let show = |(share, lo, hi): (f64, f64, f64)| format!("{share:.3} [{lo:.3}, {hi:.3}]");
    let of = |rates: Option<usize>| rates.unwrap_or(0);
    let null_seeds = of(measured.null.first().map(|m| m.1.seeds));
    let power_seeds = of(measured.power.first().map(|m| m.1.seeds));
    let state_seeds = of(measured.state.first().map(|m| m.1.seeds));
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "## False verdicts\n\nThe share of {null_seeds} data sets in which *any* constitution outside the placebo arm is said to raise \
         or lower *any* value although none does, with its 95 % interval (Wilson). The other columns count data sets in which the \
         p that decides on such a pair, adjusted for all of them, is below .05 whatever else the verdict needs, without control \
         and with length projected out. The aim is .05 at most; **bold**: more than .05 by the whole interval. Texts without \
         content raise or lower S by what all constitutions of this judge have in common; below four placebo texts the tests are \
         of that sum, which does differ from 0, and the verdict says no more than \"differs from 0\".\n\n\
         | data | any false verdict | adjusted p < .05 | the same, length projected out |\n|---|--:|--:|--:|"
    );
    for (cell, rates) in &measured.null {
        let entry = |times: usize| {
            let share = rates.share(times);
            let mark = if share.1 > 0.05 { "**" } else { "" };
            format!("{mark}{}{mark}", show(share))
        };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            cell.name,
            entry(rates.any_false),
            entry(rates.any_small_p),
            entry(rates.any_small_p_length)
        );
    }
    let _ = writeln!(
        out,
        "\n## Power\n\nOne constitution whose own direction has a cosine of .8 with v\\*, and three texts without content; {power_seeds} data sets, four \
         responses to a prompt; the reward that all share has 3 nats and a slope of 1.8. Own slope: as planted, in nats times \
         standard deviations of the encoded value. Share: the median over data sets of its own slope over the best slope that a \
         reward as loud as the loudest could have.\n\n\
         | own slope | prompts | placebo texts | share of the best | said to raise S | said to lower S | any false verdict \
         beside it |\n|--:|--:|--:|--:|--:|--:|--:|"
    );
    for (cell, rates) in &measured.power {
        let said = |outcome| rates.share(rates.of(IMPROVER, outcome));
        let size = rates.size(IMPROVER).map_or_else(|| "–".to_owned(), |s| format!("{s:.2}"));
        let _ = writeln!(
            out,
            "| {:.1} | {} | {} | {size} | {} | {:.3} | {} |",
            cell.slope(),
            cell.design.prompts,
            cell.placebos(),
            show(said(Outcome::Improves)),
            said(Outcome::Degrades).0,
            show(rates.share(rates.any_false))
        );
    }
    let _ = writeln!(
        out,
        "\n## The state under a constitution\n\nThe share of {state_seeds} data sets in which a figure of the state under the \
         constitution is called higher / lower than under placebo texts (six of them), by what is planted. p is \
         adjusted for constitutions, values and the six figures."
    );
    for control in CONTROLS {
        let _ = writeln!(
            out,
            "\n### {}\n\n| planted | any | {} |\n|---|--:|{}",
            name_of(control),
            FIGURES.map(|(name, _)| format!("`{name}`")).join(" | "),
            "--:|".repeat(FIGURES.len())
        );
        for (regime, rates) in &measured.state {
            let cell = |(name, _): &(&'static str, Get)| {
                let [above, below] = rates.each.get(&(control, *name)).copied().unwrap_or_default();
                let share = |times: usize| times as f64 / rates.seeds as f64;
                format!("{:.3} / {:.3}", share(above), share(below))
            };
            let cells: Vec<String> = FIGURES.iter().map(cell).collect();
            let any = show(wilson(rates.any.get(&control).copied().unwrap_or(0), rates.seeds));
            let _ = writeln!(out, "| {} | {any} | {} |", regime.about(), cells.join(" | "));
        }
    }
    out
}
