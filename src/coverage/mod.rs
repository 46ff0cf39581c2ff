//! Generates `docs/coverage.md`: the share of 95 % intervals that contain the planted truth, for each cell of a grid;
//! false verdicts and power.

pub mod every;
pub mod rates;
pub mod table;
pub mod verdicts;

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::coverage::table::over_seeds;
use crate::error::Result;
use crate::simulate::coverage::{Cell, cells};
use crate::simulate::{Line, Table};
use crate::theory::Control;

/// Columns: heading, and candidate quantities (without control, by the names of the truth), of which the first that a
/// cell has is shown.
const COLUMNS: &[(&str, &[&str])] = &[
    ("ρ²", &["rho2 S", "rho2 S_bin"]),
    ("latent ρ²", &["rho2_latent S_bin", "rho2_latent S_lev", "rho2_latent S_pref"]),
    (
        "ceiling",
        &[
            "ceiling_regret_best_of_2",
            "ceiling_latent S_bin",
            "ceiling_latent S_lev",
            "ceiling_latent S_pref",
        ],
    ),
    ("attained regret", &["attained_regret S|J:good"]),
    ("⟨v_c, v*⟩", &["cos S|J:good", "cos S_bin|J:good", "cos S_lev|J:good", "cos S_pref|J:good"]),
    ("encoded slope", &["slope_encoded S|J:good", "slope_encoded S_bin|J:good"]),
    ("total slope", &["total_slope S|J:good", "total_slope S_bin|J:good"]),
    ("⟨w, v*⟩", &["cos S|logp", "cos S_bin|logp", "cos S_lev|logp", "cos S_pref|logp"]),
    ("gap", &["gap S|J:good", "gap S_bin|J:good", "gap S_lev|J:good", "gap S_pref|J:good"]),
    ("judge ρ²", &["rho2 J:good"]),
    ("d_eff", &["d_eff_within"]),
];

/// Minimum number of draws for showing a cell's coverage.
const FEWEST: usize = 20;

/// A cell of the grid with its table.
#[derive(Debug, Clone, PartialEq)]
pub struct Covered {
    /// The cell's design.
    pub cell: Cell,
    /// Its estimates over all seeds.
    pub table: Table,
}

/// Draws every cell of the grid with seeds `first` to `first + seeds − 1`; `done` is called after each.
///
/// # Errors
/// Errors of drawing and of the analysis.
pub fn measure(first: u64, seeds: u64, mut done: impl FnMut(&Covered) -> Result<()>) -> Result<Vec<Covered>> {
    let mut out = Vec::new();
    for cell in cells() {
        let table = over_seeds(&cell.design, first..first + seeds)?;
        let covered = Covered { cell, table };
        done(&covered)?;
        out.push(covered);
    }
    Ok(out)
}

impl Covered {
    /// The table line shown under a heading.
    pub fn line(&self, heading: &str, control: Control) -> Option<&Line> {
        let (_, names) = COLUMNS.iter().find(|(h, _)| *h == heading)?;
        // The truth's unprefixed names refer to estimates with length projected out.
        let prefix = if control == Control::None { "uncontrolled " } else { "" };
        names.iter().find_map(|name| self.table.line(&format!("{prefix}{name}")))
    }

    /// Coverage and number of intervals under a heading; `None` if there are too few.
    fn coverage(&self, heading: &str, control: Control) -> Option<(f64, usize)> {
        let line = self.line(heading, control)?;
        (line.intervals >= FEWEST).then_some((line.coverage?, line.intervals))
    }
}

/// Headings whose coverage is clearly below .93, by more than 1.96 of its standard errors.
pub fn undercovered(covered: &Covered, control: Control) -> Vec<(&'static str, f64)> {
    let low = |(heading, _): &(&'static str, &[&str])| {
        let (share, n) = covered.coverage(heading, control)?;
        let se = (0.93 * 0.07 / n as f64).sqrt();
        (share < 0.93 - 1.96 * se).then_some((*heading, share))
    };
    COLUMNS.iter().filter_map(low).collect()
}

/// The first tables of the page.
pub fn to_markdown(all: &[Covered], seeds: u64) -> String {
    let mut out = String::new();
    let head: Vec<&str> = COLUMNS.iter().map(|(h, _)| *h).collect();
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "The share of {seeds} fresh data sets in which the 95 % interval holds the planted truth. With {seeds} seeds a share \
         of .95 has a standard error of {:.3}. `–`: no interval is printed there (the figure is withheld, or there is none), or \
         in fewer than {FEWEST} data sets. `≥`: a one-sided bound. `∗`: with fewer than 1.5 contrasts a dimension the interval is \
         of the part of the residual stream that these resolve, and is compared with the same estimate from labels without \
         noise. **Bold**: below .93 by more than 1.96 standard errors. Data sets have four responses to a prompt unless the row \
         says otherwise.",
        (0.05 * 0.95 / seeds as f64).sqrt()
    );
    for control in [Control::None, Control::Length] {
        let _ = writeln!(
            out,
            "\n### {}\n\n| data | N/d | {} |\n|---|--:|{}",
            name_of(control),
            head.join(" | ").replace('*', "\\*"),
            "--:|".repeat(head.len())
        );
        for covered in all {
            let low: BTreeMap<&str, f64> = undercovered(covered, control).into_iter().collect();
            let entry =
                |heading: &&str| match (covered.line(heading, control), covered.coverage(heading, control)) {
                    (Some(line), Some((share, _))) => {
                        let mark = if line.one_sided { "≥ " } else { "" };
                        let part = if line.targeted { " ∗" } else { "" };
                        let text = format!("{mark}{share:.3}{part}");
                        if low.contains_key(*heading) { format!("**{text}**") } else { text }
                    }
                    _ => "–".to_owned(),
                };
            let cells: Vec<String> = head.iter().map(entry).collect();
            let name = covered.cell.name.replace('*', "\\*");
            let _ = writeln!(out, "| {name} | {:.2} | {} |", covered.cell.per_dimension, cells.join(" | "));
        }
    }
    out
}

fn name_of(control: Control) -> &'static str {
    match control {
        Control::None => "Without control",
        Control::Length => "With length projected out",
    }
}

/// Seeds used for the page.
#[derive(Debug, Clone, Copy)]
pub struct Seeds {
    /// First seed of each part.
    pub first: u64,
    /// Number of data sets per cell with known truth or possible false verdicts; a quarter of it if a full report is
    /// computed or power is counted, which is slower.
    pub each: u64,
}

/// The whole page; `done` is called with each result, line by line.
///
/// # Errors
/// Errors of drawing, of the analysis and of `done`.
pub fn page(seeds: Seeds, mut done: impl FnMut(&str, &str) -> Result<()>) -> Result<String> {
    let Seeds { first, each } = seeds;
    let low = |names: Vec<String>| match names.as_slice() {
        [] => "covered".to_owned(),
        names => format!("below .93: {}", names.join(", ")),
    };
    let mut page = format!(
        "# Coverage of the intervals, false verdicts and power\n\nMade by `vstar simulate all --table {each} --out \
         docs/coverage.md`: {each} data sets to a row of the first tables and \
         of that of false verdicts, a quarter of them where the whole report is made and where power is counted.\n\n## Figures with a known truth\n\n"
    );
    let covered = measure(first, each, |covered| {
        let of = |control| undercovered(covered, control).into_iter().map(move |(h, s)| (control, h, s));
        let names = [Control::None, Control::Length].into_iter().flat_map(of);
        let names = names.map(|(control, heading, share)| match control {
            Control::None => format!("{heading} {share:.3}"),
            Control::Length => format!("{heading} (length) {share:.3}"),
        });
        done(covered.cell.name, &low(names.collect()))
    })?;
    page += &to_markdown(&covered, each);
    let all = every::measure(first, (each / 4).max(1), |cell| {
        let names = cell.low().into_iter().map(|(control, quantity, kept)| {
            let length = if control == Control::Length { " (length)" } else { "" };
            format!("{}{length} {:.3}", quantity.name(), kept.least.share())
        });
        done(&format!("every quantity, {}", cell.cell.name), &low(names.collect()))
    })?;
    page += "\n";
    page += &every::to_markdown(&all, (each / 4).max(1));
    let verdicts = verdicts::measure(Seeds { first, each }, |name, share| {
        done(&format!("verdicts, {name}"), &format!("{share:.3}"))
    })?;
    page += "\n";
    page += &verdicts::to_markdown(&verdicts);
    Ok(page)
}
