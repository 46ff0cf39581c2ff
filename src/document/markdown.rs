//! Writes a document as Markdown, with tables aligned in the source.

use std::borrow::Cow;
use std::fmt::Write;

use super::number::counted;
use super::table::{Cell, Column, Table, Tone};
use super::text::{markdown as escaped, width};
use super::{Block, Claim, Document};

/// Writes the document as Markdown. Line 1 is the title, followed by the lead.
pub(super) fn write(document: &Document) -> String {
    let mut out = format!("# {}\n", escaped(&document.title));
    for sentence in &document.lead {
        line(&mut out, &escaped(sentence));
    }
    blocks(&mut out, 2, &document.blocks);
    out
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

fn heading(out: &mut String, level: usize, title: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "\n{} {}", "#".repeat(level.min(6)), escaped(title));
}

fn blocks(out: &mut String, level: usize, all: &[Block]) {
    for (i, block) in all.iter().enumerate() {
        match block {
            Block::Folded { title, blocks: inner } if matches!(&inner[..], [Block::List(items)] if items.len() > FOLDED) =>
            {
                line(out, &format!("\n{}: in the HTML page beside this one.", escaped(title)));
            }
            Block::Section { title, blocks: inner } | Block::Folded { title, blocks: inner } => {
                heading(out, level, title);
                blocks(out, level + 1, inner);
            }
            Block::Statements(all) => statements(out, all),
            Block::Bulk { title, rows } => {
                if !matches!(i.checked_sub(1).map(|before| &all[before]), Some(Block::Bulk { .. })) {
                    out.push('\n');
                }
                let size = counted(rows.len() as u64, "row");
                line(
                    out,
                    &format!(
                        "- {} ({size}): in the JSON file and the HTML page beside this one",
                        escaped(title)
                    ),
                );
            }
            Block::Paragraph(text) | Block::Note(text) => line(out, &format!("\n{}", escaped(text))),
            Block::List(items) => {
                out.push('\n');
                items.iter().for_each(|item| line(out, &format!("- {}", escaped(item))));
            }
            Block::Table { table: of, .. } => {
                out.push('\n');
                table(out, of);
            }
            Block::Cards(deck) => {
                let texts = counted(deck.cards.len() as u64, "text");
                line(out, &format!("\n{texts}: in the HTML page beside this one."));
            }
            Block::Figures(_) => {}
        }
    }
}

/// Writes the verdicts, one line each; their evidence is in the other formats, where it can be expanded.
fn statements(out: &mut String, all: &[Claim]) {
    out.push('\n');
    for s in all {
        let (title, source) = (escaped(s.title), escaped(s.source));
        line(out, &format!("- **{title}** ({source}): {}", escaped(&s.evidence.verdict)));
    }
    if all.iter().any(|s| s.evidence.tables.iter().any(|(_, of)| !of.rows.is_empty())) {
        line(out, "\nTables and plots behind each are in the HTML page beside this one.");
    }
}

/// Largest number of items of a folded list that is still shown in full.
const FOLDED: usize = 8;

/// Cells wider than this are not padded: one long text would widen every line.
const WIDEST: usize = 48;

/// Width of a window in columns: a wider table wraps, so that padding would align nothing.
const WINDOW: usize = 140;

/// A pipe table.
fn table(out: &mut String, table: &Table) {
    if table.rows.is_empty() {
        return line(out, "Nothing was measured.");
    }
    let cell = |(cell, column): (&Cell, &Column)| {
        // Number columns contain no external text, and their brackets are not links.
        let text = if column.right { cell.text.replace('*', "\\*") } else { escaped(&cell.text) };
        if matches!(cell.tone, Tone::Up | Tone::Down) { format!("**{text}**") } else { text }
    };
    // Built-in titles may contain brackets that are not links.
    let title = |c: &Column| match &c.title {
        Cow::Borrowed(own) => own.replace('*', "\\*"),
        Cow::Owned(foreign) => escaped(foreign),
    };
    let head: Vec<String> = table.columns.iter().map(title).collect();
    let rows: Vec<Vec<String>> =
        table.rows.iter().map(|r| r.iter().zip(&table.columns).map(cell).collect()).collect();
    let widest = |c: usize| {
        let cells = rows.iter().map(|r| width(&r[c])).max().unwrap_or(0);
        cells.min(WIDEST).max(width(&head[c])).max(3)
    };
    let mut widths: Vec<usize> = (0..head.len()).map(widest).collect();
    if widths.iter().sum::<usize>() + 3 * widths.len() > WINDOW {
        widths.fill(3);
    }
    let rule = widths.iter().zip(&table.columns).map(|(&w, c)| match c.right {
        true => "-".repeat(w - 1) + ":",
        false => "-".repeat(w),
    });
    for row in [head.clone(), rule.collect()].iter().chain(&rows) {
        let mut text = String::from("|");
        for ((cell, column), &most) in row.iter().zip(&table.columns).zip(&widths) {
            let pad = " ".repeat(most.saturating_sub(width(cell)));
            text += &if column.right { format!(" {pad}{cell} |") } else { format!(" {cell}{pad} |") };
        }
        line(out, &text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Rows;

    #[test]
    fn parts_nest_and_what_is_bulky_is_named() {
        let mut numbers = Table::titled(&["name", ">x*"]);
        numbers.rows.push(vec![Cell::plain("a|b"), Cell::number("1".into())]);
        let inner = Block::section("Inner", vec![Block::table("t", numbers.clone())]);
        let bulk = |title: &str| Block::Bulk { title: title.into(), rows: Rows::Table(numbers.clone()) };
        let page = Document {
            title: "One".into(),
            lead: vec!["Two.".into()],
            blocks: vec![
                Block::Section { title: "Outer".into(), blocks: inner.into_iter().collect() },
                bulk("Every"),
                bulk("All"),
            ],
            ..Document::default()
        };
        let text = write(&page);
        let told = "# One\nTwo.\n\n## Outer\n\n### Inner\n\n| name | x\\* |\n| ---- | --: |\n| a\\|b |   1 |\n\n- Every (1 row): \
                    in the JSON file and the HTML page beside this one\n- All (1 row): in the JSON file and the HTML page beside this one\n";
        assert_eq!(text, told);
    }
}
