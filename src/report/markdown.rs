//! `report.md`: the finding in its first five lines, then the tables, then what reproduces them.

use std::fmt::Write;

use super::format::count;
use super::grid::{self, Grid, Tone};
use super::overall::{Generation, ValueSummary, summaries};
use super::ranking;
use super::rows::Index;
use super::sections::{self, Section};
use super::tables;
use super::text::{markdown as escaped, width};
use super::verdict::{Outcome, Tables, Verdict, Z95, placebo_texts, verdicts_of};
use super::{
    LAYER_ALIGNMENTS, LAYER_CHOICE, LAYER_NOTE, LAYER_PROFILE, PLACEBO, Report, SKIPPED, format, words,
};
use crate::hypothesis::arm::{self, DRAWS_NEEDED};
use crate::hypothesis::{Flag, Quantity};

/// The report as Markdown. Lines 1 to 5 are the finding in words.
pub fn to_markdown(report: &Report) -> String {
    let index = Index::new(report);
    let verdicts = verdicts_of(report, &index);
    let summaries = summaries(&index);
    let mut out = String::new();
    let [finding, rest @ ..] = words::lines(report, &index, &verdicts, &summaries);
    line(&mut out, &format!("# {}", escaped(&finding)));
    for sentence in rest {
        line(&mut out, &escaped(&sentence));
    }
    for (&value, summary) in index.values.iter().zip(&summaries) {
        section(&mut out, 2, &format!("“{}”", escaped(&super::text::shortened(value, 60))));
        let main = ranking::main(&index, &verdicts, value);
        if main.rows.is_empty() {
            line(&mut out, "No constitution was judged against this value.");
        } else {
            table(&mut out, &main);
            for note in main_notes(report, &index, &verdicts, value, summary) {
                line(&mut out, &format!("\n{}", escaped(&note)));
            }
        }
        section(&mut out, 3, &format!("The model and “{}”", escaped(&super::text::shortened(value, 60))));
        table(&mut out, &tables::model(&index, value));
        for note in model_notes(summary) {
            line(&mut out, &format!("\n{}", escaped(&note)));
        }
    }
    statements(&mut out, &sections::all(report, &index));
    grid_section(&mut out, 2, "The judge", &tables::judge(&index));
    grid_section(&mut out, 2, OTHER_JUDGES, &tables::other_judges(report));
    warnings(&mut out, report);
    section(&mut out, 2, "Details");
    line(&mut out, DETAILS);
    for &value in &index.values {
        let title = format!("“{}”, with and without length control", super::text::shortened(value, 60));
        grid_section(&mut out, 3, &title, &ranking::details(&index, &verdicts, value));
    }
    let withheld = tables::estimates(report, &|e| !e.reportable && e.estimate.is_some());
    grid_section(&mut out, 3, "Figures that must not be quoted", &withheld);
    let missing = tables::estimates(report, &|e| e.estimate.is_none());
    grid_section(&mut out, 3, "What could not be computed", &missing);
    let concentration = tables::keyed(report, Quantity::ValueConcentration);
    grid_section(&mut out, 3, "Value in the leading principal components", &concentration);
    grid_section(&mut out, 3, "Gain of the tilted policy", &tables::keyed(report, Quantity::TiltGain));
    grid_section(&mut out, 2, "Constitutions", &tables::constitutions(report));
    other_tables(&mut out, report);
    section(&mut out, 2, "Provenance");
    if report.provenance.is_empty() {
        line(&mut out, "None was recorded: this report cannot be reproduced from itself.");
    } else {
        table(&mut out, &tables::provenance(report));
    }
    out
}

/// Title of the sections on single statements.
pub(super) const STATEMENTS: &str = "What the theory’s statements come to";

/// The verdicts as a list, then the evidence for each.
fn statements(out: &mut String, sections: &[Section]) {
    if sections.is_empty() {
        return;
    }
    section(out, 2, STATEMENTS);
    for s in sections {
        line(out, &format!("- **{}** ({}): {}", escaped(s.title), escaped(s.source), escaped(&s.verdict)));
    }
    for s in sections {
        section(out, 3, &escaped(s.title));
        line(out, &escaped(&s.verdict));
        for note in &s.notes {
            line(out, &format!("\n{}", escaped(note)));
        }
        for (title, grid) in &s.grids {
            grid_section(out, 4, title, grid);
        }
    }
}

/// Title of what stands beside forced choices.
pub(super) const OTHER_JUDGES: &str = "The same constitutions, asked in other ways";

const DETAILS: &str = "Figures in parentheses did not pass their gate: they are shown so that nothing is hidden, \
and must not be quoted.";

/// What the reader of the main table has to know.
pub(super) fn main_notes(
    report: &Report,
    index: &Index<'_>,
    verdicts: &[Verdict],
    value: &str,
    summary: &ValueSummary,
) -> Vec<String> {
    let own: Vec<&Verdict> = verdicts.iter().filter(|v| v.value == value).collect();
    let mut notes = vec![
        "Intervals are 95 %. Slopes are in units of the value times nats of log-odds, position bias in nats of \
         log-odds. p is adjusted for all constitutions and values of the report. Share of the best: the slope over the best \
         possible one of a reward as loud as the loudest here; below 5 % nothing is called a change. The gap is under length \
         control where token counts are known. n.i.: not identifiable (it failed its gate; the figure stands under Details). \
         Rows run from the largest rise to the largest fall, the placebo arm last."
            .to_owned(),
    ];
    if own.iter().any(|v| v.slope == Quantity::OwnSlope) {
        notes.push(
            "Beyond the placebos: the interval is over prompts, for the placebo texts that were run; p counts the choice of these \
             texts too, so that an interval beside 0 may have a p above .05."
                .into(),
        );
    }
    if own.iter().any(|v| words::deciding(index, v).is_some_and(|e| e.has(Flag::ResolvedPart))) {
        notes.push(
            "There are fewer than 1.5 contrasts a dimension: slopes are of the part of the residual stream that these resolve, as a \
             rule smaller than the whole, and have no interval; whether they are 0 can be told, how large they are cannot. Angles \
             are of that part too."
                .into(),
        );
    }
    notes.push(match summary.ordinary_below {
        None => "Geometry null: not identifiable, so no alignment can be compared with unrelated directions.".into(),
        Some(limit) => {
            let with: Vec<_> = own.iter().filter(|v| !v.placebo).filter_map(|v| v.ordinary).collect();
            let ordinary = with.iter().filter(|o| **o).count();
            let verdict = match (ordinary, with.len()) {
                (_, 0) => "no alignment here is identifiable".to_owned(),
                (o, all) => format!(
                    "{o} of the {} here {} ordinary for unrelated directions in this geometry",
                    format::counted(all as u64, "alignment"),
                    if o == 1 { "is" } else { "are" }
                ),
            };
            format!(
                "Geometry null: 95 % of unrelated directions have |cos| ≤ {} with v* ({Z95} sd over 200 random directions); {verdict}.",
                format::number(limit, None)
            )
        }
    });
    notes.push(arm_note(report, index, &own, value));
    let one_value: Vec<Verdict> = own.into_iter().cloned().collect();
    if let Some((held, failed, undecided)) = tables::guesses(index, &one_value) {
        notes.push(format!(
            "The authors' guesses about signs: {held} right, {failed} wrong, {undecided} undecided by these data."
        ));
    }
    notes
}

/// What the placebo arm is, how far it reaches, and what it moves.
fn arm_note(report: &Report, index: &Index<'_>, own: &[&Verdict], value: &str) -> String {
    let moved: Vec<f64> = own
        .iter()
        .filter(|v| v.verdict == Outcome::PlaceboEffect)
        .map(|v| v.share.unwrap_or(f64::NAN).abs())
        .collect();
    let largest = |shares: &[f64]| shares.iter().copied().filter(|s| s.is_finite()).reduce(f64::max);
    let size = |share: Option<f64>| {
        share
            .map_or_else(String::new, |s| format!(" ({} of the best possible slope at most", format::size(s)))
    };
    let real: Vec<f64> = own.iter().filter(|v| !v.placebo).filter_map(|v| v.share).map(f64::abs).collect();
    let beside = match (moved.len(), size(largest(&moved))) {
        (0, _) => String::new(),
        (n, size) => {
            let compared = match (size.is_empty(), largest(&real)) {
                (false, Some(real)) => {
                    format!("{size}; the largest slope of a constitution is {})", format::size(real))
                }
                (false, None) => format!("{size})"),
                (true, _) => String::new(),
            };
            match n {
                1 => format!(" 1 of its texts moves the value by itself{compared}."),
                n => format!(" {n} of its texts move the value by themselves{compared}."),
            }
        }
    };
    match (Tables::new(report).arm(value), placebo_texts(index)) {
        (Some(arm), _) => match arm.band {
            Some((lo, hi)) => {
                let off = |x: f64| format::number(x - arm.mean, Some(hi - lo));
                format!(
                    "Placebo arm ({}): verdicts are on the difference from its mean slope, {}, which is the judge’s own. One \
                     more text without content is expected within {} to {} of it (95 %, {} degrees of freedom).{beside}",
                    format::counted(arm.draws as u64, "independent text"),
                    format::number(arm.mean, arm.sd),
                    off(lo),
                    off(hi),
                    arm.draws - 1
                )
            }
            None => format!(
                "Placebo arm: {}. With fewer than {DRAWS_NEEDED} it is not known what texts without content do, and no \
                 verdict goes beyond “differs from 0”.{beside}",
                format::counted(arm.draws as u64, "independent text")
            ),
        },
        (None, 0) => format!(
            "No placebo arm was run: what the form of a constitution does by itself is not known, and no verdict goes beyond \
             “differs from 0”. Add {DRAWS_NEEDED} constitutions that name no value (family `placebo`, or `--placebo NAME`)."
        ),
        (None, n) => format!(
            "Placebo arm: {}, on no rows in common; no verdict goes beyond “differs from 0”.{beside}",
            format::counted(n as u64, "text")
        ),
    }
}

/// What the reader of the model's table has to know.
pub(super) fn model_notes(summary: &ValueSummary) -> Vec<String> {
    let control =
        if summary.generation_length_controlled { "length controlled" } else { "length not controlled" };
    let generation = match summary.generation {
        Generation::Favours => format!("Generation by itself favours the value ({control})."),
        Generation::Opposes => format!("Generation by itself works against the value ({control})."),
        Generation::Neither => {
            format!(
                "Generation by itself neither favours nor opposes the value within the interval ({control})."
            )
        }
        Generation::NotIdentifiable => {
            "Whether generation by itself favours the value is not identifiable.".to_owned()
        }
    };
    let mut notes = vec![generation];
    if summary.lower_estimate {
        notes.push(
            "With fewer than 1.5 contrasts a dimension the ridge sees part of the value only: its ρ² is a lower \
             estimate with a one-sided bound (95 %), the least regret has no lower bound, and the model-based one assumes that v* is spread evenly. The truth may lie between or \
             outside; neither is to be quoted alone."
                .into(),
        );
    }
    notes
}

fn warnings(out: &mut String, report: &Report) {
    section(out, 2, "Warnings");
    let skipped = report.skipped();
    line(out, &format!("Texts left out: {}.\n", count(skipped)));
    if let Some(note) = report.tables.get(LAYER_NOTE).and_then(|n| n.as_str()) {
        line(out, &format!("Layer: {}.\n", escaped(note)));
    }
    if report.warnings.is_empty() {
        line(out, "None beside those at single figures.");
    }
    for warning in &report.warnings {
        line(out, &format!("- {}", escaped(warning)));
    }
}

/// Tables that have no place of their own are named, with their size.
fn other_tables(out: &mut String, report: &Report) {
    let known = [LAYER_ALIGNMENTS, LAYER_CHOICE, LAYER_NOTE, PLACEBO, arm::TABLE, SKIPPED, LAYER_PROFILE];
    let others: Vec<_> = report
        .tables
        .iter()
        .filter(|(name, _)| ![&known[..], sections::DRAWN].concat().contains(&name.as_str()))
        .collect();
    if others.is_empty() {
        return;
    }
    section(out, 2, "Further tables in report.json");
    for (name, table) in others {
        let size = match table {
            serde_json::Value::Array(rows) => format!(" ({})", format::counted(rows.len() as u64, "row")),
            serde_json::Value::Object(map) => format!(" ({})", format::counted(map.len() as u64, "key")),
            _ => String::new(),
        };
        line(out, &format!("- {}{size}", escaped(name)));
    }
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

/// `title` is escaped already.
fn section(out: &mut String, level: usize, title: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "\n{} {title}\n", "#".repeat(level));
}

fn grid_section(out: &mut String, level: usize, title: &str, grid: &Grid) {
    if !grid.rows.is_empty() {
        section(out, level, &escaped(title));
        table(out, grid);
    }
}

/// A pipe table whose source is aligned too.
fn table(out: &mut String, grid: &Grid) {
    if grid.rows.is_empty() {
        line(out, "Nothing was measured.");
        return;
    }
    let cell = |(cell, column): (&grid::Cell, &grid::Column)| {
        // Columns of numbers hold nothing from outside, and brackets that are no links.
        let text = if column.right { cell.text.clone() } else { escaped(&cell.text) };
        if matches!(cell.tone, Tone::Up | Tone::Down) { format!("**{text}**") } else { text }
    };
    let head: Vec<String> = grid.columns.iter().map(|c| c.title.replace('*', "\\*")).collect();
    let rows: Vec<Vec<String>> =
        grid.rows.iter().map(|r| r.iter().zip(&grid.columns).map(cell).collect()).collect();
    // A long text would blow up every line of the source.
    const WIDEST: usize = 48;
    let widths: Vec<usize> = (0..head.len())
        .map(|c| {
            let widest = rows.iter().map(|r| width(&r[c])).max().unwrap_or(0).min(WIDEST);
            widest.max(width(&head[c])).max(3)
        })
        .collect();
    let mut write = |cells: &[String]| {
        let mut text = String::from("|");
        for ((cell, column), &most) in cells.iter().zip(&grid.columns).zip(&widths) {
            let pad = " ".repeat(most.saturating_sub(width(cell)));
            text += &if column.right { format!(" {pad}{cell} |") } else { format!(" {cell}{pad} |") };
        }
        line(out, &text);
    };
    write(&head);
    let rule: Vec<String> = widths
        .iter()
        .zip(&grid.columns)
        .map(|(&w, c)| if c.right { "-".repeat(w - 1) + ":" } else { "-".repeat(w) })
        .collect();
    write(&rule);
    rows.iter().for_each(|r| write(r));
}
