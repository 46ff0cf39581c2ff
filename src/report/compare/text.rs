//! A comparison as Markdown and for a terminal.

use super::grids::{self, Table};
use super::{Comparison, Run, label, maps, rungs};
use crate::hypothesis::Control;
use crate::report::text::{fitted, markdown as escaped, width, wrapped};

/// Constitutions up to which a terminal shows the matrix; more columns do not fit.
const MATRIX: usize = 12;

/// Columns of a terminal.
const COLUMNS: usize = 110;

const ABOUT_COSINES: &str = "cos(v_a, v_b) in the metric of the within-prompt covariance, from leave-block-out \
predictions; n.i. where the residual stream does not predict the rewards of one of the two on left-out prompts.";

const ABOUT_LINES: &str = "The last column is the change of the quantity for each factor of 10 in parameters: least \
squares through the figures that may be quoted, with a t interval from the scatter about the line. Models differ in \
more than size.";

/// What one part of a comparison holds.
enum Part {
    Title(String),
    Words(String),
    Table(Table),
}

fn parts(comparison: &Comparison, brief: bool) -> Vec<Part> {
    let mut out = Vec::new();
    if !comparison.series.is_empty() {
        for control in grids::series_controls(comparison) {
            out.push(Part::Title(format!("Models side by side{}", under(control))));
            out.push(Part::Table(grids::models(comparison, control)));
        }
        out.push(Part::Words(ABOUT_LINES.to_owned()));
    }
    for ladder in &comparison.ladders {
        out.push(Part::Title(format!("{}: bits per weight", ladder.model)));
        out.extend(rungs::sentences(ladder).into_iter().map(Part::Words));
        out.push(Part::Table(rungs::table(ladder)));
        out.push(Part::Words(rungs::ABOUT.to_owned()));
        out.extend(ladder.warnings.iter().map(|w| Part::Words(format!("- {w}"))));
    }
    for run in &comparison.runs {
        for value in &comparison.values {
            out.push(Part::Title(format!(
                "{}: constitutions by what training would do to “{value}”",
                label(run)
            )));
            out.push(Part::Table(grids::ranking(comparison, run, value)));
        }
        angles(&mut out, run, brief);
        if let Some(words) = maps::sentence(run) {
            out.push(Part::Title(format!("{}: constitutions by what they do to the state", label(run))));
            out.extend(maps::matrix(run).filter(|t| !brief || t.rows.len() <= MATRIX).map(Part::Table));
            out.push(Part::Words(words));
        }
    }
    for (i, warning) in comparison.warnings.iter().enumerate() {
        if i == 0 {
            out.push(Part::Title("Warnings".to_owned()));
        }
        out.push(Part::Words(format!("- {warning}")));
    }
    out
}

fn angles(out: &mut Vec<Part>, run: &Run, brief: bool) {
    let names = grids::names(run);
    if names.len() < 2 {
        return;
    }
    for control in grids::controls(run) {
        if brief && control == Control::Length {
            continue;
        }
        out.push(Part::Title(format!("{}: constitutions against each other{}", label(run), under(control))));
        if brief && names.len() > MATRIX {
            out.push(Part::Words(format!("{} constitutions: see the matrix in compare.md", names.len())));
            continue;
        }
        out.push(Part::Table(grids::matrix(run, control)));
        let pairs = grids::pairs(run, control);
        if !brief && !pairs.rows.is_empty() {
            out.push(Part::Table(pairs));
        }
    }
    if run.cosines.iter().any(|e| e.blocks.is_some()) {
        out.push(Part::Words(ABOUT_COSINES.to_owned()));
    }
}

fn under(control: Control) -> &'static str {
    match control {
        Control::None => "",
        Control::Length => ", length controlled",
    }
}

/// `compare.md`.
pub fn to_markdown(comparison: &Comparison) -> String {
    let names: Vec<String> = comparison.runs.iter().map(label).collect();
    let mut out = format!("# {}\n", escaped(&names.join(", ")));
    for part in parts(comparison, false) {
        out.push('\n');
        match part {
            Part::Title(text) => out += &format!("## {}\n", escaped(&text)),
            Part::Words(text) => {
                out += &format!(
                    "{}\n",
                    text.strip_prefix("- ").map_or_else(|| escaped(&text), |t| format!("- {}", escaped(t)))
                )
            }
            Part::Table(table) => markdown(&mut out, &table),
        }
    }
    out
}

/// A table as Markdown, at the end of `out`.
pub fn markdown(out: &mut String, table: &Table) {
    let mut write = |cells: Vec<String>| *out += &format!("| {} |\n", cells.join(" | "));
    write(table.head.iter().map(|h| escaped(h)).collect());
    write((0..table.head.len()).map(|c| if c < table.left { "---" } else { "---:" }.to_owned()).collect());
    for row in &table.rows {
        // Columns of numbers hold nothing from outside, and brackets that are no links.
        let cell = |(c, t): (usize, &String)| if c < table.left { escaped(t) } else { t.replace('*', "\\*") };
        write(row.iter().enumerate().map(cell).collect());
    }
}

/// The summary that a terminal shows. Plain text, nothing in it steers a terminal.
pub fn to_terminal(comparison: &Comparison) -> String {
    let mut out = String::new();
    for part in parts(comparison, true) {
        match part {
            Part::Title(text) => out += &format!("\n{}\n", fitted(&text, COLUMNS)),
            Part::Words(text) => {
                for line in wrapped(&text, COLUMNS - 2) {
                    out += &format!("  {}\n", fitted(&line, COLUMNS - 2));
                }
            }
            Part::Table(table) => terminal(&mut out, &table),
        }
    }
    out
}

/// A table for a terminal, at the end of `out`.
pub fn terminal(out: &mut String, table: &Table) {
    // A long name gives way, not a figure.
    const NAME: usize = 32;
    let cell = |c: usize, text: &str| if c < table.left { fitted(text, NAME) } else { fitted(text, COLUMNS) };
    let lines: Vec<Vec<String>> = std::iter::once(&table.head)
        .chain(&table.rows)
        .map(|row| row.iter().enumerate().map(|(c, t)| cell(c, t)).collect())
        .collect();
    let widths: Vec<usize> =
        (0..table.head.len()).map(|c| lines.iter().map(|l| width(&l[c])).max().unwrap_or(0)).collect();
    for line in lines {
        let mut text = String::new();
        for (c, (cell, &most)) in line.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(most - width(cell));
            text += "  ";
            text += &if c < table.left { format!("{cell}{pad}") } else { format!("{pad}{cell}") };
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
}
