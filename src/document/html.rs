//! A document as one HTML file that needs no other, no script and no network; every text is escaped.
//!
//! The page is the template `page.html`; what is escaped is decided there, once, by minijinja, with [`text::html`] as the way
//! in which it is done.

use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Output, State};
use serde::Serialize;

use super::plot::Figure;
use super::table::{Table, Tone};
use super::text::{self, shortened};
use super::{Block, Claim, Document, Rows};

const STYLE: &str = include_str!("style.css");
const PAGE: &str = include_str!("page.html");
/// Rows of a long table that the page shows.
const MOST_ROWS: usize = 1500;
/// Lines of bulky text that the page shows, and the characters of each.
const MOST_LINES: usize = 200;
const LINE: usize = 400;
/// Columns of text longer than this may break into lines.
const LONG: usize = 44;
/// Characters of the window's title.
const HEADING: usize = 120;

/// What the template reads.
#[derive(Serialize)]
struct Page<'d> {
    style: &'static str,
    heading: String,
    kicker: &'d str,
    title: &'d str,
    lead: &'d [String],
    links: Vec<Link<'d>>,
    blocks: Vec<View<'d>>,
    footer: &'d str,
}

#[derive(Serialize)]
struct Link<'d> {
    id: String,
    title: &'d str,
}

/// A block as the template reads it.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum View<'d> {
    Section { id: Option<String>, level: usize, title: &'d str, blocks: Vec<View<'d>> },
    Folded { title: &'d str, size: Option<usize>, blocks: Vec<View<'d>> },
    Statement { title: &'d str, source: &'d str, verdict: &'d str, blocks: Vec<View<'d>> },
    Paragraph { text: &'d str },
    Note { text: &'d str },
    List { items: Vec<String> },
    Table { table: TableView<'d> },
    Figures { figures: Vec<FigureView<'d>> },
}

#[derive(Serialize)]
struct TableView<'d> {
    label: &'d str,
    columns: Vec<ColumnView<'d>>,
    rows: Vec<Vec<CellView<'d>>>,
    more: usize,
}

#[derive(Serialize)]
struct ColumnView<'d> {
    title: &'d str,
    class: &'static str,
}

#[derive(Serialize)]
struct CellView<'d> {
    text: &'d str,
    class: String,
}

#[derive(Serialize)]
struct FigureView<'d> {
    title: &'d str,
    caption: &'d str,
    keys: &'d [(&'static str, &'static str)],
    svg: &'d str,
}

/// The document as one self-contained page. Sections of the first level are linked at its head where there are several.
pub(super) fn write(document: &Document) -> String {
    let sections = document.blocks.iter().enumerate().filter_map(|(i, block)| match block {
        Block::Section { title, .. } => Some(Link { id: id(i), title }),
        _ => None,
    });
    let links: Vec<Link<'_>> = sections.collect();
    let page = Page {
        style: STYLE,
        heading: shortened(&document.title, HEADING),
        kicker: &document.kicker,
        title: &document.title,
        lead: &document.lead,
        links: if links.len() > 1 { links } else { Vec::new() },
        blocks: views(&document.blocks, 2),
        footer: &document.footer,
    };
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_formatter(escape);
    environment.set_keep_trailing_newline(true);
    // The template is part of the program and every value it reads is there: the tests render all of them.
    environment.render_named_str("page.html", PAGE, &page).expect("the page's template renders")
}

/// Writes a value of the template: text escaped, the plots and styles that the template calls safe as they are.
fn escape(out: &mut Output<'_>, _: &State<'_, '_>, value: &Value) -> Result<(), minijinja::Error> {
    let text = value.to_string();
    let written = match value.kind() {
        _ if value.is_safe() => out.write_str(&text),
        ValueKind::None | ValueKind::Undefined => Ok(()),
        _ => out.write_str(&text::html(&text)),
    };
    written.map_err(minijinja::Error::from)
}

fn id(i: usize) -> String {
    format!("part-{i}")
}

fn views(blocks: &[Block], level: usize) -> Vec<View<'_>> {
    blocks.iter().enumerate().flat_map(|(i, block)| view(block, level, i)).collect()
}

fn view(block: &Block, level: usize, i: usize) -> Vec<View<'_>> {
    let one = match block {
        Block::Section { title, blocks } => View::Section {
            id: (level == 2).then(|| id(i)),
            level: level.min(6),
            title,
            blocks: views(blocks, level + 1),
        },
        Block::Folded { title, blocks } => {
            let size = match blocks.as_slice() {
                [Block::Table { table, .. }] => Some(table.rows.len()),
                _ => None,
            };
            View::Folded { title, size, blocks: views(blocks, level + 1) }
        }
        Block::Bulk { title, rows } => {
            let mut inner = match rows {
                Rows::Table(table) => vec![View::Table { table: tabulated(title, table) }],
                Rows::Lines(lines) => {
                    let items = lines.iter().take(MOST_LINES).map(|l| shortened(l, LINE)).collect();
                    vec![View::List { items }]
                }
            };
            if matches!(rows, Rows::Lines(lines) if lines.len() > MOST_LINES) {
                inner.push(View::Note { text: "The rest is in the JSON file." });
            }
            View::Folded { title, size: Some(rows.len()), blocks: inner }
        }
        Block::Statements(all) => return all.iter().map(statement).collect(),
        Block::Paragraph(text) => View::Paragraph { text },
        Block::Note(text) => View::Note { text },
        Block::List(items) => View::List { items: items.clone() },
        Block::Table { label, table } => View::Table { table: tabulated(label, table) },
        Block::Figures(figures) => View::Figures { figures: drawn(figures) },
    };
    vec![one]
}

fn statement(claim: &Claim) -> View<'_> {
    let s = &claim.evidence;
    let mut blocks: Vec<View<'_>> = s.notes.iter().map(|text| View::Note { text }).collect();
    if !s.figures.is_empty() {
        blocks.push(View::Figures { figures: drawn(&s.figures) });
    }
    for (title, table) in s.tables.iter().filter(|(_, table)| !table.rows.is_empty()) {
        let blocks_of = vec![View::Table { table: tabulated(title, table) }];
        blocks.push(View::Section { id: None, level: 3, title, blocks: blocks_of });
    }
    View::Statement { title: claim.title, source: claim.source, verdict: &s.verdict, blocks }
}

fn drawn(figures: &[Figure]) -> Vec<FigureView<'_>> {
    figures
        .iter()
        .map(|f| FigureView { title: &f.title, caption: &f.caption, keys: &f.keys, svg: &f.svg })
        .collect()
}

/// A table in a box of its own that scrolls sideways; its first column heads the rows.
fn tabulated<'d>(label: &'d str, table: &'d Table) -> TableView<'d> {
    let long: Vec<bool> = (0..table.columns.len())
        .map(|c| !table.columns[c].right && table.rows.iter().any(|r| r[c].text.chars().count() > LONG))
        .collect();
    let cell = |(c, cell): (usize, &'d super::table::Cell)| {
        let tone = match cell.tone {
            Tone::Plain => "",
            Tone::Muted => "muted",
            Tone::Up => "up",
            Tone::Down => "down",
        };
        let classes =
            [if table.columns[c].right { "n" } else { "" }, if long[c] { "long" } else { "" }, tone];
        let class = classes.into_iter().filter(|c| !c.is_empty()).collect::<Vec<_>>().join(" ");
        CellView { text: &cell.text, class }
    };
    TableView {
        label,
        columns: table
            .columns
            .iter()
            .map(|c| ColumnView { title: &c.title, class: if c.right { "n" } else { "" } })
            .collect(),
        rows: table
            .rows
            .iter()
            .take(MOST_ROWS)
            .map(|row| row.iter().enumerate().map(cell).collect())
            .collect(),
        more: table.rows.len().saturating_sub(MOST_ROWS),
    }
}

/// The rules of the style that plots need; the size that they have on a page is not among them.
pub fn plot_style() -> String {
    let needed =
        |line: &&str| [":root", "@media(prefers-color-scheme", "svg "].iter().any(|s| line.starts_with(s));
    STYLE.lines().filter(needed).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Evidence;
    use crate::document::table::Cell;

    const EVIL: &str = "\"><script>alert('x')</script>&\u{1b}\u{202e}";

    fn every_block() -> Vec<Block> {
        let mut table = Table::titled(&["name", ">x"]);
        table.rows.push(vec![Cell::name(EVIL), Cell { text: EVIL.into(), tone: Tone::Up }]);
        let figure = Figure {
            title: EVIL.into(),
            caption: EVIL.into(),
            keys: vec![("p", "k")],
            svg: "<svg></svg>".into(),
        };
        vec![
            Block::Section { title: EVIL.into(), blocks: vec![Block::table(EVIL, table.clone())] },
            Block::Folded { title: EVIL.into(), blocks: vec![Block::table(EVIL, table.clone())] },
            Block::Folded {
                title: "two".into(),
                blocks: vec![Block::Note("a".into()), Block::Note("b".into())],
            },
            Block::Bulk { title: EVIL.into(), rows: Rows::Table(table.clone()) },
            Block::Bulk { title: EVIL.into(), rows: Rows::Lines(vec![EVIL.into(); 300]) },
            Block::Statements(vec![Claim {
                title: "A statement",
                source: "Theorem 0",
                evidence: Evidence {
                    verdict: EVIL.into(),
                    notes: vec![EVIL.into()],
                    tables: vec![(EVIL.into(), table), ("empty".into(), Table::default())],
                    figures: vec![figure.clone()],
                },
            }]),
            Block::Paragraph(EVIL.into()),
            Block::List(vec![EVIL.into()]),
            Block::table("empty", Table::default()),
            Block::Figures(vec![figure]),
        ]
    }

    #[test]
    fn every_block_is_written_and_no_text_becomes_markup() {
        let blocks = vec![
            Block::Section { title: "first".into(), blocks: every_block() },
            Block::Section { title: "second".into(), blocks: vec![] },
        ];
        let page = Document {
            kicker: EVIL.into(),
            title: EVIL.into(),
            lead: vec![EVIL.into()],
            blocks,
            footer: EVIL.into(),
        };
        let html = write(&page);
        assert!(
            !html.contains("<script") && !html.contains('\u{1b}') && !html.contains('\u{202e}'),
            "{html}"
        );
        // Plots are markup of our own making.
        assert_eq!(html.matches("<svg></svg>").count(), 2);
        assert!(html.contains("<th scope=\"row\" class=\"\">") || html.contains("<th scope=\"row\">"));
        assert!(
            html.contains("<td class=\"n up\">") && html.contains("<a href=\"#part-1\">second</a>"),
            "{html}"
        );
        assert!(html.contains("Nothing was measured.") && html.contains("The rest is in the JSON file."));
        assert!(html.ends_with("</html>\n"));
        for tag in ["section", "details", "table", "ul", "figure", "main", "html", "th", "td", "p"] {
            let opened =
                html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}\n{html}");
        }
        // The levels of headings follow the nesting.
        assert!(html.contains("<h2>first</h2>") && html.contains("<h3>&quot;&gt;"), "{html}");
    }
}
