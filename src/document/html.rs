//! Writes a document as one self-contained HTML file that needs no network; every text is escaped.
//!
//! The page is the template `page.html`, rendered by minijinja, which applies escaping centrally through
//! [`text::html`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Output, State};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::cards::{Card, Deck, Passage};
use super::plot::Figure;
use super::table::{Table, Tone};
use super::text::{self, shortened};
use super::{Block, Claim, Document, Rows};

const STYLE: &str = include_str!("style.css");
const PAGE: &str = include_str!("page.html");
/// Filters, sorts and colours cards. Without it all cards show, coloured by the first direction.
const SCRIPT: &str = include_str!("cards.js");
/// Maximum number of rows shown of a long table.
const MOST_ROWS: usize = 1500;
/// Maximum number of lines shown of bulky text, and of characters per line.
const MOST_LINES: usize = 200;
const LINE: usize = 400;
/// Columns with texts longer than this may wrap.
const LONG: usize = 44;
/// Maximum number of characters of the window's title.
const HEADING: usize = 120;

/// Input of the template.
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
    /// The page's only script, which its content security policy allows by hash; empty if there is none.
    script: &'static str,
    script_sha256: String,
}

#[derive(Serialize)]
struct Link<'d> {
    id: String,
    title: &'d str,
}

/// A block in the form that the template reads.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum View<'d> {
    Section {
        id: Option<String>,
        level: usize,
        title: &'d str,
        blocks: Vec<View<'d>>,
    },
    Folded {
        title: &'d str,
        size: Option<usize>,
        blocks: Vec<View<'d>>,
    },
    Statement {
        title: &'d str,
        source: &'d str,
        verdict: &'d str,
        blocks: Vec<View<'d>>,
    },
    Paragraph {
        text: &'d str,
    },
    Note {
        text: &'d str,
    },
    List {
        items: Vec<String>,
    },
    Table {
        table: TableView<'d>,
    },
    Figures {
        figures: Vec<FigureView<'d>>,
    },
    Cards {
        colours: &'d [String],
        whys: Vec<&'static str>,
        keys: Vec<&'static str>,
        cards: Vec<CardView<'d>>,
    },
}

#[derive(Serialize)]
struct CardView<'d> {
    why: &'static str,
    title: &'d str,
    context: &'d str,
    figures: &'d [(&'static str, String, Option<f64>)],
    passages: Vec<PassageView<'d>>,
    notes: &'d [String],
}

#[derive(Serialize)]
struct PassageView<'d> {
    caption: &'static str,
    tokens: Vec<CellView<'d>>,
    letters: Vec<String>,
    left_out: usize,
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

/// Writes the document as one self-contained page. If there are several top-level sections, links to them are at the
/// top.
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
        script: if document.parts().iter().any(|(_, b)| matches!(b, Block::Cards(_))) { SCRIPT } else { "" },
        script_sha256: STANDARD.encode(Sha256::digest(SCRIPT)),
    };
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_formatter(escape);
    environment.set_keep_trailing_newline(true);
    // The template is compiled in and receives every value it reads; tests render all of them.
    environment.render_named_str("page.html", PAGE, &page).expect("the page's template renders")
}

/// Writes a value of the template: text is escaped, plots and styles marked safe in the template are written as they
/// are.
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
        Block::Cards(deck) => cards(deck),
    };
    vec![one]
}

fn cards(deck: &Deck) -> View<'_> {
    let (mut whys, mut keys) = (Vec::new(), Vec::new());
    for card in &deck.cards {
        if !whys.contains(&card.why) {
            whys.push(card.why);
        }
        keys.extend(card.figures.iter().map(|f| f.0).filter(|key| !keys.contains(key)).collect::<Vec<_>>());
    }
    View::Cards { colours: &deck.colours, whys, keys, cards: deck.cards.iter().map(card).collect() }
}

fn card(card: &Card) -> CardView<'_> {
    CardView {
        why: card.why,
        title: &card.title,
        context: &card.context,
        figures: &card.figures,
        passages: card.passages.iter().map(passage).collect(),
        notes: &card.notes,
    }
}

fn passage(passage: &Passage) -> PassageView<'_> {
    let first = passage.shades.first();
    let class = |i: usize| match first.map_or(0, |shade| shade.at(i)) {
        0 => String::new(),
        up @ 1.. => format!("u{up}"),
        down => format!("d{}", -down),
    };
    let tokens = passage.pieces.iter().enumerate();
    PassageView {
        caption: passage.caption,
        tokens: tokens.map(|(i, text)| CellView { text, class: class(i) }).collect(),
        letters: passage.shades.iter().map(|shade| shade.letters()).collect(),
        left_out: passage.left_out,
    }
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

/// A table in its own horizontally scrolling box; the first column holds row headers.
fn tabulated<'d>(label: &'d str, table: &'d Table) -> TableView<'d> {
    let long: Vec<bool> = (0..table.columns.len())
        .map(|c| !table.columns[c].right && table.rows.iter().any(|r| r[c].text.chars().count() > LONG))
        .collect();
    // Most cells are numbers, so only text cells carry a class: a page has thousands of cells.
    let cell = |(c, cell): (usize, &'d super::table::Cell)| {
        let tone = match cell.tone {
            Tone::Plain => "",
            Tone::Muted => "muted",
            Tone::Up => "up",
            Tone::Down => "down",
        };
        let classes = [
            if table.columns[c].right || c == 0 { "" } else { "t" },
            if long[c] { "long" } else { "" },
            tone,
        ];
        let class = classes.into_iter().filter(|c| !c.is_empty()).collect::<Vec<_>>().join(" ");
        CellView { text: &cell.text, class }
    };
    TableView {
        label,
        columns: table
            .columns
            .iter()
            .map(|c| ColumnView { title: &c.title, class: if c.right { "" } else { "t" } })
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

/// Style rules that plots need, with the light colours written out; the plot size on a page is not included.
pub fn plot_style() -> String {
    let mut rules: String =
        STYLE.lines().filter(|line| line.starts_with("svg ")).collect::<Vec<_>>().join("\n");
    for (name, colour) in colours() {
        rules = rules.replace(&format!("var(--{name})"), colour);
    }
    rules + "\ntext{font-family:sans-serif}"
}

/// Light background colour of the page.
pub fn paper() -> &'static str {
    colours().find(|(name, _)| *name == "paper").map_or("white", |(_, colour)| colour)
}

/// Light colours by name, as declared by `:root`.
fn colours() -> impl Iterator<Item = (&'static str, &'static str)> {
    let root = STYLE.lines().next().unwrap_or_default();
    let declared = root.split_once('{').map_or("", |(_, rest)| rest.trim_end_matches('}'));
    declared.split(';').filter_map(|d| d.strip_prefix("--")?.split_once(':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Evidence;
    use crate::document::cards::Shade;
    use crate::document::table::Cell;

    const EVIL: &str = "\"><script>alert('x')</script>&\u{1b}\u{202e}";

    fn deck() -> Deck {
        let passage = Passage {
            caption: "",
            pieces: vec![EVIL.into(), "b".into(), "c".into()],
            left_out: 2,
            shades: vec![Shade(vec![-2, 0, 4]), Shade(vec![1])],
        };
        let card = Card {
            why: "high",
            title: EVIL.into(),
            context: EVIL.into(),
            figures: vec![("score", EVIL.into(), Some(0.5)), ("label", "–".into(), None)],
            passages: vec![passage],
            notes: vec![EVIL.into()],
        };
        Deck { colours: vec![EVIL.into(), "v*".into()], cards: vec![card] }
    }

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
            Block::Cards(deck()),
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
        let (html, script) = html.split_once("<script>").expect("the script of the cards");
        assert_eq!(script, format!("{SCRIPT}</script>\n</body>\n</html>\n"));
        assert!(html.contains(&format!("script-src 'sha256-{}'", STANDARD.encode(Sha256::digest(SCRIPT)))));
        assert!(
            !html.contains("<script") && !html.contains('\u{1b}') && !html.contains('\u{202e}'),
            "{html}"
        );
        // Plots are generated markup and are not escaped.
        assert_eq!(html.matches("<svg></svg>").count(), 2);
        assert!(html.contains("<tr><th>"));
        assert!(
            html.contains("<td class=\"up\">") && html.contains("<a href=\"#part-1\">second</a>"),
            "{html}"
        );
        assert!(html.contains("Nothing was measured.") && html.contains("The rest is in the JSON file."));
        assert!(
            html.contains("<i class=\"d2\">&quot;&gt;") && html.contains("<i>b</i><i class=\"u4\">c</i>")
        );
        assert!(
            html.contains(" data-s0=\"cei\" data-s1=\"f\">")
                && html.contains("data-score=\"0.5\" data-label=\"\"")
        );
        for tag in ["section", "details", "table", "ul", "figure", "main", "article", "i", "p"] {
            let opened =
                html.matches(&format!("<{tag}>")).count() + html.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, html.matches(&format!("</{tag}>")).count(), "{tag}\n{html}");
        }
        // HTML closes a cell implicitly where the next one begins.
        assert!(!html.contains("</td>") && !html.contains("</tr>\n<tr>"));
        // A page without cards has no script and allows none.
        let page =
            Document { title: EVIL.into(), blocks: vec![Block::Note(EVIL.into())], ..Document::default() };
        let without = write(&page);
        assert!(
            !without.contains("<script") && !without.contains("script-src") && without.ends_with("</html>\n")
        );
        // Heading levels follow the nesting.
        assert!(html.contains("<h2>first</h2>") && html.contains("<h3>&quot;&gt;"), "{html}");
    }
}
