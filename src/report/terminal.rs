//! The summary that a terminal shows: the finding in words and a table of at most 120 columns.

use super::grid::Grid;
use super::overall::summaries;
use super::ranking;
use super::rows::Index;
use super::tables;
use super::text::{fitted, shortened, width, wrapped};
use super::verdict::verdicts_of;
use super::{Report, markdown, words};

/// Columns of the widest line.
pub const COLUMNS: usize = 120;

/// What the columns of the main table are.
const KEY: &str = "own slope: first-order gain beyond the placebo arm, units of the value × nats (slope: in all, where there is no \
arm of four texts); p for all constitutions and values; of best: over the best possible slope; ⟨v_c, v*⟩ of the same; gap: \
⟨v_c, v*⟩ less ⟨w, v*⟩; judge: share judged as the labels say; first: nats for the first place.";

/// The finding, then for each value the table of constitutions, what the model shows, and the warnings.
/// Plain text without colour; every line is at most [`COLUMNS`] wide, and nothing in it steers a terminal.
pub fn terminal(report: &Report) -> String {
    let index = Index::new(report);
    let verdicts = verdicts_of(report, &index);
    let summaries = summaries(&index);
    let mut out = String::new();
    for sentence in words::lines(report, &index, &verdicts, &summaries) {
        paragraph(&mut out, &sentence, "");
    }
    for (&value, summary) in index.values.iter().zip(&summaries) {
        out.push('\n');
        paragraph(&mut out, &format!("“{}”", shortened(value, 60)), "");
        let main = ranking::narrow(&index, &verdicts, value);
        if !main.rows.is_empty() {
            grid(&mut out, &main);
            paragraph(&mut out, KEY, "  ");
            for note in markdown::main_notes(report, &index, &verdicts, value, summary).iter().skip(1) {
                paragraph(&mut out, note, "  ");
            }
        }
        grid(&mut out, &tables::model(&index, value));
        for note in markdown::model_notes(summary) {
            paragraph(&mut out, &note, "  ");
        }
    }
    if !report.warnings.is_empty() {
        out.push_str("\nWarnings\n");
        for warning in &report.warnings {
            paragraph(&mut out, &format!("- {}", shortened(warning, 600)), "  ");
        }
    }
    out
}

fn paragraph(out: &mut String, text: &str, indent: &str) {
    for line in wrapped(text, COLUMNS - indent.len()) {
        out.push_str(indent);
        out.push_str(&fitted(&line, COLUMNS - indent.len()));
        out.push('\n');
    }
}

/// Columns as wide as they need; the first gives way, down to a floor, then the last.
fn grid(out: &mut String, grid: &Grid) {
    const GAP: usize = 2;
    const FLOOR: usize = 12;
    if grid.rows.is_empty() {
        return;
    }
    let mut widths: Vec<usize> = grid
        .columns
        .iter()
        .enumerate()
        .map(|(c, column)| {
            grid.rows.iter().map(|r| width(&r[c].text)).max().unwrap_or(0).max(width(column.title))
        })
        .collect();
    let used = |widths: &[usize]| widths.iter().sum::<usize>() + GAP * widths.len();
    let last = widths.len() - 1;
    for give in [0, last] {
        let over = used(&widths).saturating_sub(COLUMNS);
        widths[give] = widths[give].saturating_sub(over).max(FLOOR.min(widths[give]));
    }
    let mut write = |cells: &[&str]| {
        let mut text = String::new();
        for ((cell, column), &most) in cells.iter().zip(&grid.columns).zip(&widths) {
            let cell = fitted(cell, most);
            let pad = " ".repeat(most - width(&cell));
            text += &" ".repeat(GAP);
            text += &if column.right { pad + &cell } else { cell + &pad };
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    write(&grid.columns.iter().map(|c| c.title).collect::<Vec<_>>());
    for row in &grid.rows {
        write(&row.iter().map(|c| c.text.as_str()).collect::<Vec<_>>());
    }
}
