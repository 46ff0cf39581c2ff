//! Content and order of a comparison's page, written once for all writers.

use super::{Comparison, Ladder, Run, grids, label, maps, plots, rungs};
use crate::document::text::shortened;
use crate::document::{Block, Document};
use crate::report::export::{Image, images};
use crate::theory::Control;

/// Largest number of constitutions for which a terminal shows the matrix; more columns do not fit.
const MATRIX: usize = 12;
/// Maximum number of characters of a value's name in a title.
const NAME: usize = 60;

const ABOUT_COSINES: &str = "cos(v_a, v_b) in the metric of the within-prompt covariance, from leave-block-out \
predictions; n.i. where the residual stream does not predict the rewards of one of the two on left-out prompts.";

const ABOUT_LINES: &str = "The last column is the change of the quantity for each factor of 10 in parameters: least \
squares through the figures that may be quoted, with a t interval from the scatter about the line. Models differ in \
more than size.";

/// Text of `compare.md`.
pub fn to_markdown(comparison: &Comparison) -> String {
    page(comparison).to_markdown()
}

/// Text of `compare.html`.
pub fn to_html(comparison: &Comparison) -> String {
    page(comparison).to_html()
}

/// Summary for a terminal.
pub fn to_terminal(comparison: &Comparison) -> String {
    brief(comparison).to_terminal()
}

/// Every plot of a comparison as a separate image, in page order.
pub fn to_svgs(comparison: &Comparison) -> Vec<Image> {
    images(&page(comparison))
}

/// The whole comparison.
pub fn page(comparison: &Comparison) -> Document {
    let plots = comparison.values.iter().filter_map(|value| {
        let figures = Block::figures(plots::of_value(comparison, value))?;
        Some(Block::Section { title: quoted(value), blocks: vec![figures] })
    });
    document(comparison, plots.collect(), false)
}

/// The page for a terminal: matrices only if they fit, and angles without length control.
pub fn brief(comparison: &Comparison) -> Document {
    document(comparison, Vec::new(), true)
}

fn quoted(value: &str) -> String {
    format!("“{}”", shortened(value, NAME))
}

fn document(comparison: &Comparison, mut blocks: Vec<Block>, brief: bool) -> Document {
    if !comparison.series.is_empty() {
        let mut controls: Vec<Block> = grids::series_controls(comparison)
            .into_iter()
            .filter_map(|control| {
                let title = format!("Models side by side{}", under(control));
                Block::titled_table(title, grids::models(comparison, control))
            })
            .collect();
        if let Some(Block::Section { blocks, .. }) = controls.last_mut() {
            blocks.push(Block::Note(ABOUT_LINES.into()));
        }
        blocks.extend(controls);
    }
    blocks.extend(comparison.ladders.iter().map(|ladder| bits(ladder, &comparison.values)));
    for run in &comparison.runs {
        for value in &comparison.values {
            let title =
                format!("{}: constitutions by what training would do to {}", label(run), quoted(value));
            blocks.extend(Block::titled_table(title, grids::ranking(comparison, run, value, brief)));
        }
        blocks.extend(angles(run, brief));
        if let Some(words) = maps::sentence(run) {
            let title = format!("{}: constitutions by what they do to the state, cos(Δ_a, Δ_b)", label(run));
            let matrix = maps::matrix(run).filter(|t| !brief || t.rows.len() <= MATRIX);
            let mut inner = vec![Block::Paragraph(words)];
            inner.extend(matrix.map(|table| Block::table(title.clone(), table)));
            blocks.push(Block::Folded { title, blocks: inner });
        }
    }
    if !comparison.warnings.is_empty() {
        blocks.extend(Block::section("Warnings", vec![Block::List(comparison.warnings.clone())]));
    }
    let names: Vec<String> = comparison.runs.iter().map(label).collect();
    Document {
        title: names.join(", "),
        blocks,
        footer: "All figures, with more digits, are in compare.json beside this page.".into(),
        ..Document::default()
    }
}

/// A precision ladder: sentences, plots by bits per weight, and the table.
fn bits(ladder: &Ladder, values: &[String]) -> Block {
    let title = format!("{}: bits per weight", ladder.model);
    let mut blocks: Vec<Block> = rungs::sentences(ladder).into_iter().map(Block::Paragraph).collect();
    blocks.extend(Block::figures(plots::of_bits(ladder, values)));
    blocks.push(Block::table(title.clone(), rungs::table(ladder)));
    blocks.push(Block::Note(rungs::ABOUT.into()));
    if !ladder.warnings.is_empty() {
        blocks.push(Block::List(ladder.warnings.clone()));
    }
    Block::Section { title, blocks }
}

fn angles(run: &Run, brief: bool) -> Vec<Block> {
    let names = grids::names(run);
    let mut out = Vec::new();
    if names.len() < 2 {
        return out;
    }
    for control in grids::controls(run).into_iter().filter(|c| !brief || *c == Control::None) {
        let title = format!("{}: constitutions against each other{}", label(run), under(control));
        let mut blocks = Vec::new();
        if brief && names.len() > MATRIX {
            blocks.push(Block::Note(format!("{} constitutions: see the matrix in compare.md", names.len())));
        } else {
            blocks.push(Block::table(title.clone(), grids::matrix(run, control)));
            let pairs = grids::pairs(run, control);
            if !brief && !pairs.rows.is_empty() {
                blocks.push(Block::table(format!("{title}: pairs"), pairs));
            }
            if run.cosines.iter().any(|e| e.blocks.is_some()) {
                blocks.push(Block::Note(ABOUT_COSINES.into()));
            }
        }
        out.push(Block::Folded { title, blocks });
    }
    out
}

fn under(control: Control) -> &'static str {
    match control {
        Control::None => "",
        Control::Length => ", length controlled",
    }
}
