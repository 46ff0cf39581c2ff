//! Writes a document for a terminal: plain text without colours or control sequences.

use super::table::Table;
use super::text::{fitted, shortened, width, wrapped};
use super::{Block, Document};

/// Maximum line width in columns.
pub const COLUMNS: usize = 120;
/// Maximum number of characters of a list item.
const ITEM: usize = 600;

/// Writes the document. Lines are at most [`COLUMNS`] wide, unless a table has more number columns than fit.
pub(super) fn write(document: &Document) -> String {
    let mut out = String::new();
    for sentence in std::iter::once(&document.title).chain(&document.lead) {
        paragraph(&mut out, sentence, "");
    }
    blocks(&mut out, &document.blocks);
    out
}

fn blocks(out: &mut String, all: &[Block]) {
    for block in all {
        match block {
            Block::Section { title, blocks: inner } | Block::Folded { title, blocks: inner } => {
                out.push('\n');
                paragraph(out, title, "");
                blocks(out, inner);
            }
            Block::Statements(all) => {
                for s in all {
                    paragraph(out, &format!("- {} ({}): {}", s.title, s.source, s.evidence.verdict), "  ");
                }
            }
            Block::Paragraph(text) | Block::Note(text) => paragraph(out, text, "  "),
            Block::List(items) => {
                items.iter().for_each(|item| paragraph(out, &format!("- {}", shortened(item, ITEM)), "  "));
            }
            Block::Table { table: of, .. } => table(out, of),
            Block::Bulk { .. } | Block::Cards(_) | Block::Figures(_) => {}
        }
    }
}

fn paragraph(out: &mut String, text: &str, indent: &str) {
    for line in wrapped(text, COLUMNS - indent.len()) {
        out.push_str(indent);
        out.push_str(&fitted(&line, COLUMNS - indent.len()));
        out.push('\n');
    }
}

/// Columns as wide as their cells and titles. If the table is too wide, titles are wrapped; if it still is, text
/// columns are narrowed from the left, down to a minimum. Number columns are never narrowed.
fn table(out: &mut String, table: &Table) {
    const FLOOR: usize = 12;
    if table.rows.is_empty() {
        return;
    }
    let columns = 0..table.columns.len();
    let cells = |c: usize| table.rows.iter().map(|r| width(&r[c].text)).max().unwrap_or(0).min(COLUMNS);
    let title = |c: usize| width(&table.columns[c].title);
    let word = |c: usize| table.columns[c].title.split_whitespace().map(width).max().unwrap_or(0);
    let mut widths: Vec<usize> = columns.clone().map(|c| cells(c).max(title(c))).collect();
    let over = |widths: &[usize]| (widths.iter().map(|w| w + GAP).sum::<usize>()).saturating_sub(COLUMNS);
    let mut by_title: Vec<usize> = columns.clone().collect();
    by_title.sort_by_key(|&c| std::cmp::Reverse(title(c)));
    for give in by_title {
        widths[give] = widths[give].saturating_sub(over(&widths)).max(cells(give).max(word(give)));
    }
    for give in columns.filter(|&c| !table.columns[c].right) {
        widths[give] = widths[give].saturating_sub(over(&widths)).max(FLOOR.min(widths[give]));
    }
    let titles: Vec<Vec<String>> =
        table.columns.iter().zip(&widths).map(|(c, &most)| wrapped(&c.title, most)).collect();
    let height = titles.iter().map(Vec::len).max().unwrap_or(1);
    for i in 0..height {
        // Titles are bottom-aligned.
        let part = |lines: &Vec<String>| lines.get((i + lines.len()).wrapping_sub(height)).cloned();
        row(out, table, &widths, titles.iter().map(|lines| part(lines).unwrap_or_default()));
    }
    for cells in &table.rows {
        row(out, table, &widths, cells.iter().map(|c| c.text.clone()));
    }
}

/// Width of the gap between two columns of a table.
const GAP: usize = 2;

fn row(out: &mut String, table: &Table, widths: &[usize], cells: impl Iterator<Item = String>) {
    let mut text = String::new();
    for ((cell, column), &most) in cells.zip(&table.columns).zip(widths) {
        let cell = fitted(&cell, most);
        let pad = " ".repeat(most.saturating_sub(width(&cell)));
        text += &" ".repeat(GAP);
        text += &if column.right { pad + &cell } else { cell + &pad };
    }
    out.push_str(text.trim_end());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_give_way_and_figures_stay() {
        let rows = vec![vec!["x".repeat(200), "0.123 [0.100, 0.146]".into()]];
        let page = Document {
            title: "t".into(),
            blocks: vec![Block::table("angles", Table::of(["constitution", "cos"], 1, rows))],
            ..Document::default()
        };
        let text = write(&page);
        assert!(text.contains("0.123 [0.100, 0.146]") && text.contains("xxx…"), "{text}");
        assert!(text.lines().all(|l| width(l) <= COLUMNS), "{text}");
    }

    #[test]
    fn long_titles_break_before_words_are_cut() {
        let titles: Vec<String> = (0..8).map(|i| format!("a title of some length {i}")).collect();
        let cells =
            std::iter::once("placebo-round (placebo)".to_owned()).chain((0..7).map(|i| format!("0.12{i}")));
        let page = Document {
            title: "t".into(),
            blocks: vec![Block::table("t", Table::of(titles, 1, vec![cells.collect()]))],
            ..Document::default()
        };
        let text = write(&page);
        assert!(text.contains("placebo-round (placebo)") && text.contains("0.126"), "{text}");
        assert!(text.lines().all(|l| width(l) <= COLUMNS) && !text.contains('…'), "{text}");
        // Every word of every title is present, and the last lines are aligned.
        assert_eq!(text.matches("title").count(), 8);
        assert!(text.lines().any(|l| (0..8).all(|i| l.contains(&i.to_string()))), "{text}");
    }
}
